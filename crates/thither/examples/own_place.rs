//! A place of one's own: `umask:027` is this machine, where others have no right to what is made.
//!
//! `cargo run -p thither --example own_place`

use std::error::Error;

use thither::{Command, Local, Place, Process, Program};

/// Says as what it runs.
pub(crate) const SCRIPT: &str = "echo \"$WHO in $PWD has the mask $(umask)\"";

/// This machine with a file mode creation mask, see umask(2).
struct Umask {
    /// In octal digits.
    mask: String,
}

impl Place for Umask {
    fn spawn(&self, command: &Command) -> thither::Result<Process> {
        let program = match &command.program {
            Program::Named(name) => name.clone(),
            Program::LoginShell | Program::Default => "sh".into(),
        };
        let mut masked = command.clone();
        masked.program = Program::Named("sh".into());
        masked.args = ["-c", "umask \"$0\" && exec \"$@\"", &self.mask].map(Into::into).into();
        masked.args.push(program);
        masked.args.extend(command.args.iter().cloned());
        Local.spawn(&masked)
    }
}

/// `umask:MASK`, for all of this program.
fn register() -> Result<(), thither::RegisterError> {
    thither::register("umask", |request| {
        let mask = request.target().to_str().filter(|mask| u16::from_str_radix(mask, 8).is_ok());
        let mask = mask.ok_or("write `umask:MASK` with octal digits")?.to_owned();
        Ok(Box::new(Umask { mask }))
    })
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    register()?;
    // The options of every place are there by themselves.
    let place = thither::connect("umask:027?dir=/usr&env=WHO=me")?;
    let exit = place.status(&Command::new("sh").args(["-c", SCRIPT]))?;
    assert!(exit.success());
    Ok(())
}
