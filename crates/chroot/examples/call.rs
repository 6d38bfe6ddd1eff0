//! Calls a function in a root, `call ROOT [TIMES]`: what the benchmark of calls measures.

use std::error::Error;

use thither_chroot::{Chroot, Functions};

fn nothing(_: ()) {}

fn main() -> Result<(), Box<dyn Error>> {
    Functions::new().register(nothing).serve();
    let mut args = std::env::args_os().skip(1);
    let root = args.next().ok_or("usage: call ROOT [TIMES]")?;
    let times = match args.next() {
        Some(text) => text.to_str().unwrap_or_default().parse()?,
        None => 1,
    };
    let chroot = Chroot::new(root);
    for _ in 0..times {
        chroot.call(nothing, ())?;
    }
    Ok(())
}
