//! `pushyd.exe`: runs what `smb:` places ask for on this Windows host, behind a named pipe, as the user who connected.

#[cfg(windows)]
fn main() {
    println!("{}", thither_place::wire::frame::VERSION);
}

#[cfg(not(windows))]
fn main() {
    eprintln!("pushyd: this is a program for Windows: `cargo xtask dist windows` makes it");
    std::process::exit(2);
}
