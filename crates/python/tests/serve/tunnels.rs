//! Processes over there as streams.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use testkit::{DEADLINE, Marker, wait_until, within_deadline};

use crate::{heard, lives, program, python};

#[test]
fn what_is_written_is_read_while_it_is_written() {
    within_deadline("cat", || {
        let py = python();
        let (mut reader, mut writer) = py.tunnel(&["cat"]).unwrap();
        // More than all pipes take: reading and writing overlap, or this waits for ever.
        let sent: Vec<u8> = (0..16 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
        let expected = sent.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer
        });
        let mut got = vec![0; expected.len()];
        reader.read_exact(&mut got).unwrap();
        assert!(got == expected);
        // The end of its input is the end of it.
        drop(writing.join().unwrap());
        assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0);
    });
}

#[test]
fn a_read_that_waits_is_nobody_elses_matter() {
    within_deadline("a read", || {
        let py = python();
        let (mut reader, mut writer) = py.tunnel(&["cat"]).unwrap();
        let reading = thread::spawn(move || {
            let mut line = [0; 3];
            reader.read_exact(&mut line).unwrap();
            line
        });
        py.exec("import threading, signal", ()).unwrap();
        for n in 0..1000 {
            // The main thread over there is free.
            let main: bool =
                py.eval("threading.current_thread() is threading.main_thread()", ()).unwrap();
            assert!(main, "call {n}");
        }
        writer.write_all(b"abc").unwrap();
        assert_eq!(&reading.join().unwrap(), b"abc");
    });
}

#[test]
fn many_at_once() {
    within_deadline("processes", || {
        let (mut start, _) = heard();
        // Reads that wait do not count.
        start.window = 4;
        let py = start.local(&program()).unwrap();
        let tunnels: Vec<_> = (0..20).map(|_| py.tunnel(&["cat"]).unwrap()).collect();
        let (readers, writers): (Vec<_>, Vec<_>) = tunnels.into_iter().unzip();
        let reading: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                thread::spawn(move || {
                    let mut text = String::new();
                    reader.read_to_string(&mut text).unwrap();
                    text
                })
            })
            .collect();
        for (n, mut writer) in writers.into_iter().enumerate() {
            assert_eq!(py.eval::<i64>("1", ()).unwrap(), 1);
            writer.write_all(n.to_string().as_bytes()).unwrap();
        }
        for (n, reading) in reading.into_iter().enumerate() {
            assert_eq!(reading.join().unwrap(), n.to_string());
        }
    });
}

#[test]
fn dropping_it_ends_the_process() {
    check_dropped(true);
    check_dropped(false);
}

/// With and without objects being let go over there.
#[track_caller]
fn check_dropped(gc: bool) {
    within_deadline("the end", move || {
        let (mut start, _) = heard();
        start.gc = gc;
        let py = start.local(&program()).unwrap();
        // It heeds neither the end of its input nor a request to end.
        let script = "trap '' TERM; echo $$; while :; do sleep 0.01; done";
        let (mut reader, writer) = py.tunnel(&["sh", "-c", script]).unwrap();
        let mut line = [0; 20];
        let count = reader.read(&mut line).unwrap();
        let pid: u32 = std::str::from_utf8(&line[..count]).unwrap().trim().parse().unwrap();
        drop(writer);
        assert!(lives(pid));
        drop(reader);
        wait_until(DEADLINE, "the process ends", || !lives(pid));
        let waits = || !std::path::Path::new(&format!("/proc/{pid}")).exists();
        wait_until(DEADLINE, "nobody is left to be waited for", waits);
        assert_eq!(py.eval::<i64>("1", ()).unwrap(), 1);
    });
}

#[test]
fn the_end_of_the_interpreter_is_that_of_its_processes() {
    for busy in [false, true] {
        within_deadline("the end", move || {
            let py = python();
            let marker = Marker::new();
            let (name, _) = marker.variable();
            py.exec(format!("import os, time\nos.environ['{name}'] = '1'").as_str(), ()).unwrap();
            let tunnel = py.tunnel(&["sh", "-c", "trap '' TERM; while :; do sleep 0.01; done"]);
            let (reader, writer) = tunnel.unwrap();
            wait_until(DEADLINE, "it runs", || !marker.processes().is_empty());
            let pending = busy.then(|| py.start_eval::<()>("time.sleep(1000)", ()).unwrap());
            py.close().unwrap();
            marker.assert_gone();
            drop((reader, writer, pending));
        });
    }
}

#[test]
fn what_it_complains_of_is_output() {
    within_deadline("an error", || {
        let (start, heard) = heard();
        let py = start.local(&program()).unwrap();
        let (mut reader, _writer) = py.tunnel(&["sh", "-c", "echo complaint >&2"]).unwrap();
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
        let told = || heard.lock().unwrap().ends_with(b"complaint\n");
        wait_until(DEADLINE, "its complaint", told);
    });
}

#[test]
fn programs_that_cannot_be_run() {
    within_deadline("errors", || {
        let py = python();
        let said = |argv: &[&str]| py.tunnel(argv).unwrap_err().to_string();
        let missing = "FileNotFoundError: [Errno 2] No such file or directory: 'no-such-program'";
        assert!(said(&["no-such-program", "x"]).starts_with(missing));
        assert!(said(&["/"]).starts_with("PermissionError: [Errno 13] Permission denied: '/'"));
        assert_eq!(py.eval::<i64>("1", ()).unwrap(), 1);
    });
}

#[test]
fn a_process_that_reads_no_more() {
    within_deadline("a broken pipe", || {
        let py = python();
        let (mut reader, mut writer) = py.tunnel(&["true"]).unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        let error = writer.write_all(&[0; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
    });
}

#[test]
fn a_time_limit_loses_nothing() {
    within_deadline("a limit", || {
        let py = python().with_timeout(Duration::from_secs(1));
        let (mut reader, mut writer) = py.tunnel(&["cat"]).unwrap();
        let error = reader.read(&mut [0; 9]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
        writer.write_all(b"abc").unwrap();
        let mut got = [0; 3];
        let mut read = 0;
        while read < 3 {
            match reader.read(&mut got[read..]) {
                Ok(count) => read += count,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::TimedOut),
            }
        }
        assert_eq!(&got, b"abc");
    });
}
