//! `bridge NAME`: joins its standard input and output to a named pipe of this host, until one of them ends.
//!
//! For trials and tests, where a pipe of Wine has to be reached from Linux.

#[cfg(windows)]
fn main() -> std::io::Result<()> {
    use std::io::{Read as _, Write as _};
    use std::sync::Arc;

    let name = std::env::args().nth(1).ok_or_else(|| std::io::Error::other("bridge NAME"))?;
    let pipe = Arc::new(pushyd::sys::pipe::connect(&name, Vec::new())?);
    let from = Arc::clone(&pipe);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        let mut stdin = std::io::stdin().lock();
        while let Ok(n @ 1..) = stdin.read(&mut buffer) {
            if pipe.write_all(&buffer[..n], None).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    let mut buffer = vec![0; 64 * 1024];
    let mut stdout = std::io::stdout().lock();
    while let Ok(n @ 1..) = from.read(&mut buffer, None) {
        stdout.write_all(&buffer[..n])?;
        stdout.flush()?;
    }
    Ok(())
}

#[cfg(not(windows))]
fn main() {}
