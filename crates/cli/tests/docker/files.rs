//! A directory into a container: what a signal to the tool leaves there.

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};

use testkit::{DEADLINE, Marker, wait_until, write_program};

use crate::common::finish;
use crate::tool::{Tool, engine, kill};

/// A copy of a directory that has come half the way and stands still.
struct Stalled<'e> {
    container: testkit::Container<'e>,
    child: Child,
    marker: Marker,
    _tool: Tool,
}

impl<'e> Stalled<'e> {
    fn new(engine: &'e testkit::Engine) -> Stalled<'e> {
        let container = engine.container(&["sleep", "inf"]).start();
        let (code, said) = container.exec(&["sh", "-c", "mkdir -p /srv/d && touch /srv/d/old"]);
        assert_eq!(code, 0, "{said}");
        let tool = Tool::new(engine);
        let folder = tool.test.dir().to_owned();
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::create_dir(folder.join("d")).unwrap();
        std::fs::write(folder.join("d/large"), vec![b'x'; 3_000_000]).unwrap();
        let tar = "#!/bin/sh\ncase $1 in --version) exit;; esac\n\
                   /bin/tar \"$@\" | head -c 1000000\nexec sleep 1000\n";
        write_program(&folder.join("bin/tar"), tar);
        // By commands, as another user is.
        let user = std::fs::metadata("/proc/self").unwrap().uid();
        let folder = folder.display();
        let from = format!("local:?user={user}&env=PATH={folder}/bin:/usr/bin:/bin::{folder}/d");
        let to = format!("docker:{}::/srv", container.name());
        let marker = Marker::new();
        let mut command = tool.command(["cp", "-r", &from, &to]);
        marker.mark(&mut command);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let stalled = Stalled { container, child, marker, _tool: tool };
        wait_until(DEADLINE, "half of it", || stalled.names().contains("/large\n"));
        stalled
    }

    fn names(&self) -> String {
        self.container.exec(&["find", "/srv", "-type", "f"]).1
    }
}

#[test]
fn a_signal_leaves_all_as_it_was() {
    let engine = engine!(shared);
    for (signal, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15)] {
        let Stalled { container, child, marker, _tool } = Stalled::new(engine);
        kill(child.id(), signal);
        let status = finish(child, |mut child| child.wait());
        assert_eq!(status.code(), Some(128 + number), "{signal}");
        assert_eq!(container.exec(&["find", "/srv"]).1, "/srv\n/srv/d\n/srv/d/old\n");
        marker.assert_gone();
    }
}

#[test]
fn a_kill_does_too() {
    let engine = engine!(shared);
    let Stalled { container, child, marker: _marker, _tool } = Stalled::new(engine);
    kill(child.id(), "KILL");
    let status = finish(child, |mut child| child.wait());
    assert_eq!(status.code(), None);
    // What runs over there finds out by itself.
    let is_as_before = || container.exec(&["find", "/srv"]).1 == "/srv\n/srv/d\n/srv/d/old\n";
    wait_until(DEADLINE, "it tidies up", is_as_before);
}
