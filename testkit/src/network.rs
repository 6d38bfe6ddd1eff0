//! A network of its own, which a test can cut.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::{find_program, is_root};

/// A network namespace, joined to this machine's network by one link. Both go when it is dropped.
#[derive(Debug)]
pub struct Network {
    name: String,
    number: u8,
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// The reason for a skip: `ip` is missing, or we are not root.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Result<Network, String> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        find_program("ip")?;
        if !is_root() {
            return Err("only root can make a network".into());
        }
        // Several test programs make them at the same time: each number has 4 addresses of RFC 2544's benchmarking network.
        let process = std::process::id();
        for _ in 0..64 {
            let number =
                (process as u8).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7));
            let network = Network { name: format!("thither-{process}-{number}"), number };
            let link = network.link();
            if ip(&["link", "show", &link]) || !ip(&["netns", "add", &network.name]) {
                continue;
            }
            let (here, there) = (network.net(1), network.net(2));
            let within = ["netns", "exec", &network.name, "ip"];
            let steps: [&[&str]; 6] = [
                &[
                    "link",
                    "add",
                    &link,
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    &network.name,
                ],
                &["addr", "add", &here, "dev", &link],
                &["link", "set", &link, "up"],
                &[&within[..], &["addr", "add", &there, "dev", "eth0"]].concat(),
                &[&within[..], &["link", "set", "eth0", "up"]].concat(),
                &[&within[..], &["link", "set", "lo", "up"]].concat(),
            ];
            for step in steps {
                assert!(ip(step), "ip {step:?}");
            }
            return Ok(network);
        }
        panic!("no number for a network");
    }

    /// Its address, as seen from this machine.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 2)
    }

    /// What runs a program in it: these words go before its own.
    #[must_use]
    pub fn words(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Cuts the link: nothing arrives any more, on either side, and nobody is told.
    ///
    /// # Panics
    /// When it cannot be cut.
    pub fn cut(&self) {
        let [_, _, _, name] = self.words();
        // What the peer's end drops is lost without a word, while a link that is down is an error for who sends.
        assert!(ip(&["netns", "exec", name, "ip", "addr", "flush", "dev", "eth0"]), "cut");
        assert!(
            ip(&[
                "neigh",
                "replace",
                &self.address().to_string(),
                "lladdr",
                "02:00:00:00:00:01",
                "dev",
                &self.link()
            ]),
            "cut"
        );
    }

    /// Mends it.
    ///
    /// # Panics
    /// When it cannot be mended.
    pub fn mend(&self) {
        let [_, _, _, name] = self.words();
        let there = self.net(2);
        assert!(ip(&["netns", "exec", name, "ip", "addr", "add", &there, "dev", "eth0"]), "mend");
        ip(&["neigh", "del", &self.address().to_string(), "dev", &self.link()]);
    }

    fn link(&self) -> String {
        format!("thither{}", self.number)
    }

    fn net(&self, host: u8) -> String {
        format!("198.18.{}.{host}/30", self.number)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The link goes with the namespace, once no process is in it.
        ip(&["link", "del", &self.link()]);
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> bool {
    let output = Command::new("ip").args(args).output().expect("ip");
    output.status.success()
}
