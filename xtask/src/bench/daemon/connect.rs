//! To a daemon and back, from a program that stays open.

use super::{Bench, FEATURES, Tool, table};
use crate::bench::example;
use crate::bench::files::text;
use crate::bench::rounds::interleaved;
use crate::bench::ssh::ask;
use crate::bench::table::Limit;
use crate::bench::worker::Worker;

/// In milliseconds.
const UNIX_MOST: f64 = 1.5;
const TLS_MOST: f64 = 5.0;

const UNIX: &str = "daemon, Unix";
const TLS: &str = "daemon, TLS";
const LOCAL: &str = "true, local:";

impl Bench<'_> {
    /// Each time: connect, authenticate, run `true`, hear of its end.
    pub(super) fn connect(&self) -> Vec<String> {
        let title = format!("daemon-connect: `true` from an open program; n = {}", self.runs);
        let program = match example("thither", "measure_place", FEATURES) {
            Ok(program) => text(&program),
            Err(reason) => return vec![format!("{title}: {reason}")],
        };
        let (unix, tls) = (self.host.unix(), self.host.tls());
        let tools = [(UNIX, unix.as_str()), (TLS, &tls), (LOCAL, "local:")]
            .map(|(name, address)| Tool::new(name, &[&program, address]));
        let mut workers: Vec<_> = tools.iter().map(|tool| self.worker(tool)).collect();
        let costs = interleaved(tools.len(), self.runs, |index| ask(&mut workers[index], "true"));
        let [unix, tls, local] = <[_; 3]>::try_from(costs).expect("as many as tools");
        let [of_unix, of_tls, of_local] = tools;
        let title = format!("{title}, interleaved");
        // One table for each way, both with `true` itself of the same run.
        let most = |most| [Limit::Most { column: 0, most }];
        let of_local_too = || Tool { name: LOCAL, argv: of_local.argv.clone() };
        let mut missed =
            table(&title, &[of_unix, of_local_too()], vec![unix, local.clone()], &most(UNIX_MOST));
        missed.extend(table(&title, &[of_tls, of_local_too()], vec![tls, local], &most(TLS_MOST)));
        missed
    }

    /// A program that stays open, and is paired.
    pub(super) fn worker(&self, tool: &Tool) -> crate::Result<Worker> {
        let variables = self.host.variables().map(|(name, value)| format!("{name}={value}"));
        Worker::start(&[&["env".to_owned()], &variables[..], &tool.argv].concat())
    }
}
