//! The user's terminal and ptys.

pub mod size;

pub use size::WindowSize;
