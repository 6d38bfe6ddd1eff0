//! What a SIGKILL of ours leaves, the next run removes.

use std::process::{Command, Stdio};

use testkit::{DEADLINE, Proxy, Who, wait_until};

use crate::tool::{THITHER, code, engine, kill};

#[test]
fn the_next_run_removes_what_a_killed_one_has_left() {
    testkit::own_records!(Who::Same);
    let engine = engine!(own);
    let proxy = Proxy::unix(engine.socket());
    let host = proxy.host();
    let thither = |words: &[&str]| {
        let mut command = Command::new(THITHER);
        command.args(words).env("DOCKER_HOST", &host).stdin(Stdio::null());
        command
    };
    let ours = || engine.docker(&["ps", "-aq", "--no-trunc", "--filter", "label=thither"]);
    // Killed as soon as it waits for the answer to each of its calls in turn, and once it runs.
    for needle in ["/containers/create", "/wait", "/attach", "/start", ""] {
        if needle.is_empty() {
            proxy.resume();
            proxy.on("nothing");
        } else {
            proxy.on(needle);
            proxy.stall();
        }
        let before = proxy.requests().len();
        let child = thither(&["run", "image:busybox", "sleep", "1000"]).spawn().unwrap();
        match needle {
            "" => wait_until(DEADLINE, "it runs", || {
                !engine.docker(&["ps", "-q", "--filter", "label=thither"]).is_empty()
            }),
            _ => wait_until(DEADLINE, needle, || {
                let requests = proxy.requests();
                requests[before.min(requests.len())..]
                    .iter()
                    .any(|request| String::from_utf8_lossy(request).contains(needle))
            }),
        }
        kill(child.id(), "KILL");
        assert_eq!(code(child), None);
        proxy.resume();
        proxy.on("nothing");
        let left = ours();
        // One that is still wanted is not touched, nor is somebody else's.
        let mut other =
            thither(&["run", "--name", "other", "image:busybox", "sleep", "1000"]).spawn().unwrap();
        wait_until(DEADLINE, "the other one runs", || {
            engine.request("GET", "/containers/other/json", None).status == 200
                && engine.get("/containers/other/json")["State"]["Running"] == true
        });
        let found = thither(&["run", "image:busybox", "true"]).output().unwrap();
        assert!(found.status.success(), "{needle}: {found:?}");
        for id in left.lines() {
            let gone =
                || engine.request("GET", &format!("/containers/{id}/json"), None).status == 404;
            wait_until(DEADLINE, "what was left is removed", gone);
        }
        assert_eq!(engine.get("/containers/other/json")["State"]["Running"], true, "{needle}");
        kill(other.id(), "TERM");
        other.wait().unwrap();
        // What the engine was asked for may have come to be behind the back of that run: it is for the one after it.
        wait_until(DEADLINE, "nothing is left", || {
            assert!(thither(&["run", "image:busybox", "true"]).status().unwrap().success());
            ours().is_empty()
        });
    }
}
