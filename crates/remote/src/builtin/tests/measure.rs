//! Connect, authenticate, run `true`, against `ssh` with the same key exchange. By hand, in a release build:
//! `cargo test --release -p thither-remote --features ssh-builtin -- --ignored --nocapture measure`

use super::*;
use std::io::{Read, Write};
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 30;

fn ssh(world: &World, line: &str) -> Program {
    let mut ssh = Program::new("ssh");
    ssh.arg("-F").arg(world.sshd.ssh_config()).args([
        "-o",
        "KexAlgorithms=curve25519-sha256",
        "-l",
        &world.user,
    ]);
    ssh.args(["thither-test", line]).stdin(Stdio::null());
    ssh
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("standard error");
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    let world = world!();
    let [mut cold, mut theirs, mut warm] = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let place = world.place();
        cold.push(timed(|| drop(run(&place, "true"))));
        warm.push(timed(|| drop(run(&place, "true"))));
        theirs.push(timed(|| assert!(ssh(&world, "true").status().expect("ssh").success())));
    }
    let (cold, theirs, warm) = (median(cold), median(theirs), median(warm));
    let ratio = cold.as_secs_f64() / theirs.as_secs_f64();
    say(&format!(
        "true, n={ROUNDS}: built in {cold:?}, ssh {theirs:?}, ratio {ratio:.2}; again {warm:?}"
    ));

    let flood = "head -c 268435456 /dev/zero";
    let [mut ours, mut theirs] = [const { Vec::new() }; 2];
    let place = world.place();
    for _ in 0..5 {
        ours.push(timed(|| {
            let mut process = place.spawn(line(flood), None, &piped()).expect("a process");
            let mut stdout = fs::File::from(process.stdout.take().expect("a pipe"));
            while stdout.read(&mut [0; 65536]).expect("output") > 0 {}
            process.wait().expect("its end");
        }));
        theirs.push(timed(|| {
            let mut child = ssh(&world, flood).stdout(Stdio::piped()).spawn().expect("ssh");
            let mut stdout = child.stdout.take().expect("a pipe");
            while stdout.read(&mut [0; 65536]).expect("output") > 0 {}
            child.wait().expect("its end");
        }));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    say(&format!(
        "stdout of 256 MiB: built in {ours:?}, ssh with its connecting {theirs:?}, ratio {ratio:.2}"
    ));
}
