use super::*;
use crate::Marker;

#[test]
fn it_runs_programs_of_windows_and_ends_with_its_handle() {
    let windows = match Windows::start() {
        Ok(windows) => windows,
        Err(reason) => crate::skip!("{reason}"),
    };
    let marker = Marker::new();
    let mut echo = windows.command("cmd");
    echo.args(["/c", "echo", "%OS%"]).stdin(Stdio::piped());
    let output = marker.mark(&mut echo).output().expect("nsenter");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Windows_NT\r\n");
    let folder = windows.folder.path().to_owned();
    drop(windows);
    assert!(!folder.exists());
    // What the first program starts, and leaves.
    marker.assert_gone();
}
