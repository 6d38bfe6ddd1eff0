//! A Docker container's terminal in the user's own, commands in it, and its files: a blocking client of the Engine API,
//! which Podman serves too.

pub mod settings;
pub mod credentials;
pub mod engine;
pub mod dial;
pub mod error;
mod call;
mod answer;
mod http;
mod connect;
mod lines;
pub mod container;
pub mod image;
pub mod list;
mod exec;
mod shim;
mod keys;
mod model;
mod target;
mod control;
mod driver;
mod relay;
pub mod frame;
mod input;
mod plumbing;
mod upload;
mod files;
mod unpack;
mod place;

pub use container::{Attach, Attached, Container};
pub use dial::Dial;
pub use engine::{ApiVersion, Engine};
pub use error::{Error, Result};
pub use exec::Exec;
pub use frame::Demuxer;
pub use image::Image;
pub use relay::Format;
pub use settings::Settings;
