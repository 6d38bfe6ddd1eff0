//! A host that only another host can reach, and a link that breaks.

use std::io::Read;
use std::process::Stdio;

use testkit::{Network, Sshd, within_deadline};

use crate::common::{Test, first_byte};

/// Two hosts in a network: the second one listens where the first one alone can reach it.
struct Far {
    test: Test,
    network: Network,
    hosts: [Sshd; 2],
}

impl Far {
    fn new() -> Result<Far, String> {
        let test = Test::new();
        let network = Network::new()?;
        let home = format!("SetEnv HOME={}", test.dir().display());
        let outer = Sshd::within(&network, &home)?;
        let inner = Sshd::within(&network, &home)?;
        let host = |name: &str, address: &str, sshd: &Sshd| {
            format!(
                "Host {name}\n HostName {address}\n Port {}\n User root\n IdentityFile {}\n IdentitiesOnly yes\n \
                 UserKnownHostsFile /dev/null\n GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking no\n LogLevel ERROR\n",
                sshd.port(),
                sshd.identity().display(),
            )
        };
        let address = network.address().to_string();
        let hosts = [host("outer", &address, &outer), host("inner", "127.0.0.1", &inner)];
        let config = test.file("config", &hosts.concat());
        let wrapper = format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", config.display());
        testkit::write_program(&test.dir().join("ssh"), &wrapper);
        Ok(Far { test, network, hosts: [outer, inner] })
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.test.thither(args);
        command.env("THITHER_SSH", self.test.dir().join("ssh"));
        command
    }
}

macro_rules! far {
    () => {
        match Far::new() {
            Ok(far) => far,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

#[test]
fn a_host_that_only_another_one_reaches() {
    let far = far!();
    let says = |place: &str| {
        let line = "echo there; exit 3";
        let command = &mut far.command(&["run", place, "--", "sh", "-c", line]);
        let output = crate::common::output(command, b"");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    assert_eq!(says("ssh:inner").1, Some(125));
    assert_eq!(says("ssh:outer|ssh:inner"), ("there\n".into(), Some(3)));
}

/// Nothing tells that the link is cut, but that the host does not answer any more.
#[test]
fn a_link_that_is_cut_in_the_middle_of_output() {
    let far = far!();
    let (outer, address) = (&far.hosts[0], far.network.address());
    let built_in = format!(
        "ssh:root@{address}:{}?keep-alive=1&use-native=false&missing-host-key-policy=warning&identity={}",
        outer.port(),
        outer.identity().display(),
    );
    for place in ["ssh:outer?keep-alive=1&use-native=true", &built_in] {
        let line = "while :; do echo still here; sleep 0.05; done";
        let mut command = far.command(&["run", place, "--", "sh", "-c", line]);
        command.env("HOME", far.test.dir());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        first_byte(child.stdout.as_mut().unwrap());
        far.network.cut();
        let (said, code) = within_deadline("the loss", move || {
            let mut said = String::new();
            let mut rest = Vec::new();
            child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            (said, child.wait().unwrap().code())
        });
        assert!(said.contains("lost"), "{said}");
        assert_eq!(code, Some(125), "{said}");
        far.network.mend();
    }
}
