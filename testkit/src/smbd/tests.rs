use std::net::TcpStream;

use super::*;

#[test]
fn it_listens_and_ends_with_its_handle() {
    let smbd = match Smbd::start() {
        Ok(smbd) => smbd,
        Err(reason) => crate::skip!("{reason}"),
    };
    assert!(TcpStream::connect(smbd.address()).is_ok());
    let (address, folder) = (smbd.address(), smbd.folder.path().to_owned());
    drop(smbd);
    assert!(TcpStream::connect(address).is_err());
    assert!(!folder.exists());
}
