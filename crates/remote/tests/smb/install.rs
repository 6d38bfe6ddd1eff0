//! The service of a Windows host, set up from here: a real smbd with the share of administrators, and a service manager behind
//! its pipe that decodes what we say by itself.

mod faults;
mod hostile;

use std::fs;
use std::os::fd::AsFd;
use std::sync::Arc;

use expect_test::{Expect, expect};
use testkit::{Services, Smbd, within_deadline};
use thither_place::Result;
use thither_remote::smb::install::{File, Service, Step, install, status, uninstall};
use thither_remote::smb::{Settings, Smb};
use thither_remote::ssh::Secret;

use crate::common::told;

/// A host, and its service manager.
struct Windows {
    smbd: Smbd,
    services: Services,
}

/// One of the test's own, or a skip.
macro_rules! windows {
    () => {
        match crate::install::Windows::new() {
            Ok(windows) => windows,
            Err(reason) => testkit::skip!("{reason}"),
        }
    };
}

use windows;

/// Longer than what is written or read at once.
fn program() -> Vec<u8> {
    let mut program = b"MZ".to_vec();
    program.extend((0_u32..50_000).flat_map(u32::to_le_bytes));
    program
}

fn service() -> Service {
    Service::new(program(), "thither").unwrap()
}

impl Windows {
    fn new() -> std::result::Result<Windows, String> {
        let smbd = Smbd::windows()?;
        let services = smbd.services()?;
        Ok(Windows { smbd, services })
    }

    fn place(&self) -> Smb {
        Smb::from(Settings {
            host: "127.0.0.1".into(),
            port: Some(self.smbd.port()),
            username: Some(self.smbd.user().into()),
            password: Some(Secret::new(self.smbd.password())),
            ..Settings::default()
        })
    }

    /// The names and lengths of the files that are there, and the names of the services.
    #[track_caller]
    fn there(&mut self) -> String {
        let mut files: Vec<String> = fs::read_dir(self.smbd.share())
            .unwrap()
            .flatten()
            .map(|entry| {
                let size = entry.metadata().unwrap().len();
                format!("{} {size}", entry.file_name().to_string_lossy())
            })
            .collect();
        files.sort();
        format!("{files:?} {}", self.services.all())
    }

    /// The steps that are told, and the error.
    #[track_caller]
    fn does(
        &self,
        work: impl FnOnce(&Smb, &mut dyn FnMut(Step)) -> Result<()> + Send + 'static,
    ) -> String {
        let place = self.place();
        let text = within_deadline("the end of it", move || {
            let mut text = String::new();
            let done = work(&place, &mut |step| text += &format!("{step}\n"));
            done.map_or_else(|error| text.clone() + &told(&error) + "\n", |()| text.clone())
        });
        text.replace(self.smbd.user(), "USER").replace(&self.smbd.port().to_string(), "PORT")
    }

    #[track_caller]
    fn install(&self) -> String {
        self.does(|place, told| install(place, &service(), None, told))
    }

    #[track_caller]
    fn uninstall(&self) -> String {
        self.does(|place, told| uninstall(place, None, told))
    }
}

#[test]
fn a_service_is_installed_and_removed() {
    let mut windows = windows!();
    let before = windows.there();
    let steps = r"copied the program to ADMIN$\thither-pushyd.exe
made the service thither
started the service thither
";
    assert_eq!(windows.install(), steps);
    let installed = fs::read(windows.smbd.share().join("thither-pushyd.exe")).unwrap();
    assert!(installed == program());
    expect![[r#"["thither-pushyd.exe 200002"] {"thither":{"account":"LocalSystem","command":"\"%SystemRoot%\\thither-pushyd.exe\" service --pipe thither","display":"thither","error":1,"start":2,"state":4,"type":16}}"#]].assert_eq(&windows.there());
    expect![[r#"
        [15,"\\\\127.0.0.1",null,3]
        [16,"thither",65589]
        [12,"thither",{"account":null,"command":"\"%SystemRoot%\\thither-pushyd.exe\" service --pipe thither","display":"thither","error":1,"start":2,"type":16},65589]
        [6,"thither"]
        [19,"thither",0]
        [6,"thither"]
        [6,"thither"]
    "#]].assert_eq(&windows.services.calls());
    expect![[r#"
        ADMIN$\thither-pushyd.exe is there, the same
        the service thither is there, the same
        the service thither runs
    "#]]
    .assert_eq(&windows.install());
    expect![[r#"
        stopped the service thither
        deleted the service thither
        removed ADMIN$\thither-pushyd.exe
    "#]]
    .assert_eq(&windows.uninstall());
    assert_eq!(windows.there(), before);
    expect![[r#"
        there is no service thither
        there is no ADMIN$\thither-pushyd.exe
    "#]]
    .assert_eq(&windows.uninstall());
}

#[test]
fn calls_may_come_in_small_pieces() {
    let mut windows = windows!();
    let before = windows.there();
    windows.services.tell(r#"{"fragment": 64}"#);
    assert!(windows.install().ends_with("started the service thither\n"));
    assert!(windows.uninstall().ends_with("removed ADMIN$\\thither-pushyd.exe\n"));
    assert_eq!(windows.there(), before);
}

#[track_caller]
fn check_status(windows: &Windows, program: Option<Vec<u8>>, expected: Expect) {
    let place = windows.place();
    let status =
        within_deadline("the status", move || status(&place, program.map(Arc::from), None));
    expected.assert_debug_eq(&status.unwrap());
}

#[test]
fn the_status_says_what_is_there() {
    let windows = windows!();
    check_status(
        &windows,
        None,
        expect![[r#"
        Status {
            program: None,
            service: None,
            pipe: Absent,
        }
    "#]],
    );
    windows.install();
    let pipe = windows.smbd.pipe("thither");
    crate::common::each(pipe, drop);
    check_status(
        &windows,
        Some(program()),
        expect![[r#"
        Status {
            program: Some(
                File {
                    size: 200002,
                    is_same: Some(
                        true,
                    ),
                },
            ),
            service: Some(
                Running {
                    state: Running,
                    command: "\"%SystemRoot%\\thither-pushyd.exe\" service --pipe thither",
                    account: "LocalSystem",
                    is_automatic: true,
                    is_ours: true,
                },
            ),
            pipe: Answers,
        }
    "#]],
    );
    check_status(
        &windows,
        Some(b"MZ".to_vec()),
        expect![[r#"
        Status {
            program: Some(
                File {
                    size: 200002,
                    is_same: Some(
                        false,
                    ),
                },
            ),
            service: Some(
                Running {
                    state: Running,
                    command: "\"%SystemRoot%\\thither-pushyd.exe\" service --pipe thither",
                    account: "LocalSystem",
                    is_automatic: true,
                    is_ours: true,
                },
            ),
            pipe: Answers,
        }
    "#]],
    );
    let mut other = program();
    *other.last_mut().unwrap() ^= 1;
    let place = windows.place();
    let seen = within_deadline("the status", move || status(&place, Some(other.into()), None));
    let size = program().len() as u64;
    assert_eq!(seen.unwrap().program, Some(File { size, is_same: Some(false) }));
}

#[test]
fn a_service_that_rests_is_started() {
    let mut windows = windows!();
    windows.install();
    let resting = windows.services.all().replace(r#""state":4"#, r#""state":1"#);
    windows.services.tell(&format!(r#"{{"services": {resting}}}"#));
    expect![[r#"
        ADMIN$\thither-pushyd.exe is there, the same
        the service thither is there, the same
        started the service thither
    "#]]
    .assert_eq(&windows.install());
}

#[test]
fn what_somebody_left_who_was_killed_is_cleaned_up() {
    let mut windows = windows!();
    let before = windows.there();
    fs::write(windows.smbd.share().join("thither-pushyd.new"), "longer").unwrap();
    let user = windows.smbd.user().to_owned();
    let _ = std::process::Command::new("chown")
        .arg(&user)
        .arg(windows.smbd.share().join("thither-pushyd.new"))
        .status();
    windows.uninstall();
    assert_eq!(windows.there(), before);
}

#[test]
fn a_cancelled_installation_changes_nothing() {
    let mut windows = windows!();
    let before = windows.there();
    let said = windows.does(|place, told| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(writer);
        install(place, &service(), Some(reader.as_fd()), told)
    });
    expect![[r#"
        gave up on `smb:USER@127.0.0.1:PORT`
    "#]]
    .assert_eq(&said);
    assert_eq!(windows.there(), before);
}

/// Cancelled once a step is told: each of them is undone.
#[test]
fn steps_that_were_done_are_undone_when_it_is_cancelled() {
    let mut windows = windows!();
    let before = windows.there();
    for last in [Step::Copied, Step::Made] {
        let said = windows.does(move |place, told| {
            let (reader, writer) = std::io::pipe().unwrap();
            let mut writer = Some(writer);
            install(place, &service(), Some(reader.as_fd()), &mut |step| {
                told(step);
                if step == last {
                    drop(writer.take());
                }
            })
        });
        assert!(said.ends_with("gave up on `smb:USER@127.0.0.1:PORT`\n"), "{said}");
        assert_eq!(windows.there(), before, "{last:?}");
    }
}
