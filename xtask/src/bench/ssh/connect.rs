//! To a host and back.

use super::{COLD, NAME, NO_WORSE, Ssh, THITHER, Tool, WARM, ask, table};
use crate::bench::rounds::{interleaved, run};
use crate::bench::table::Limit;

const COLD_LIMITS: &[Limit] = &[Limit::Ratio { column: 0, against: COLD, most: NO_WORSE }];
const WARM_LIMITS: &[Limit] = &[Limit::Ratio { column: 0, against: WARM, most: 0.5 }];
const BUILT_IN_LIMITS: &[Limit] = &[Limit::Ratio { column: 0, against: COLD, most: 0.7 }];

/// What both clients know.
const SAME_EXCHANGE: [&str; 2] = ["-o", "KexAlgorithms=curve25519-sha256"];

impl Ssh<'_> {
    pub(super) fn connect(&self) -> Vec<String> {
        [self.cold(), self.warm(), self.built_in()].concat()
    }

    /// Without a master that runs: ours starts one each time, which lives on.
    fn cold(&self) -> Vec<String> {
        let [_, cold] = self.ssh_running(&["true"]);
        let tools = [self.ours_running(&["true"]), cold];
        let costs = interleaved(tools.len(), self.runs, |index| {
            if index == 0 {
                self.host.end_masters()?;
            }
            run(self.host.command_of(&tools[index]), 0)
        });
        let title = format!("ssh-connect, cold: start to exit of `true`; n = {}", self.runs);
        table(&title, &tools, costs, COLD_LIMITS)
    }

    /// From a program that stays open, and from the command line.
    fn warm(&self) -> Vec<String> {
        let title = format!("ssh-connect, warm: `true` over a master; n = {}", self.runs);
        let open = match self.open_program() {
            Ok(open) => open,
            Err(reason) => return vec![format!("{title}: {reason}")],
        };
        let [warm, _] = self.ssh_running(&["true"]);
        let by_hand = Tool { name: "thither run", ..self.ours_running(&["true"]) };
        let tools = [open, warm, by_hand];
        let mut worker = self.start(&tools[0]);
        let costs = interleaved(tools.len(), self.runs, |index| match index {
            0 => ask(&mut worker, "true"),
            _ => run(self.host.command_of(&tools[index]), 0),
        });
        table(&title, &tools, costs, WARM_LIMITS)
    }

    /// Without a program of OpenSSH on this side.
    fn built_in(&self) -> Vec<String> {
        let address = self.host.address_without_configuration();
        let ours = self.ours(&["run", &address, "--", "true"]);
        let ours = Tool { name: THITHER, without_ssh: true, ..ours };
        let ssh = self.host.plain_ssh(&[&SAME_EXCHANGE[..], &[NAME, "true"]].concat());
        let tools = [ours, Tool::new(COLD, ssh)];
        let one = |index: usize| run(self.host.command_of(&tools[index]), 0);
        let costs = interleaved(tools.len(), self.runs, one);
        let title = format!(
            "ssh-connect, built in: start to exit of `true`, the same key exchange; n = {}",
            self.runs
        );
        table(&title, &tools, costs, BUILT_IN_LIMITS)
    }
}
