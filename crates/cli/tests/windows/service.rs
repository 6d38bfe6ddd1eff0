//! The service under Windows' service manager, set up by hand.

use testkit::{DEADLINE, skip, wait_until};

use crate::host::Machine;

#[test]
fn install_start_stop_delete() {
    let machine = match Machine::new() {
        Ok(machine) => machine,
        Err(reason) => skip!("{reason}"),
    };
    let host = machine.leads();
    let check = |verb: &str, code: i32, said: &str| {
        let (found, text) = machine.pushyd(verb);
        assert_eq!(found, Some(code), "{verb}: {text}");
        assert!(text.contains(said), "{verb}: {text}");
    };
    check("delete", 1, "install it first");
    check("install", 0, "");
    check("install", 1, "it is there");
    check("start", 0, "");
    let runs = || host.says("run", &["--", "cmd", "/c", "echo", "%OS%"], b"").1 == "Windows_NT\r\n";
    wait_until(DEADLINE, "the service", runs);
    check("start", 1, "it runs already");
    check("stop", 0, "");
    wait_until(DEADLINE, "the end of the service", || !runs());
    check("delete", 0, "");
    check("start", 1, "install it first");
}
