//! Detach keys are ours to watch for: we pass a prefix on after a moment, where an engine holds it back until the next
//! key.

/// What the engine is to watch for instead of its own ctrl-p ctrl-q, since it cannot be told to watch for nothing.
/// Keys that follow one another in no program; the first of them, which it holds back until the next one, is the one
/// that least is done with.
pub(crate) const NEVER_TYPED: &str =
    "ctrl-^,ctrl-@,ctrl-],ctrl-^,ctrl-_,ctrl-@,ctrl-^,ctrl-],ctrl-_,ctrl-@,ctrl-],ctrl-_";
