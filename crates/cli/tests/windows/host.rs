//! The host of a test.

use std::process::{Command, Output};

use testkit::{Service, Smbd, Windows, find_program};

use crate::common::{Test, output};

/// A Windows with the service, behind a server of the test's own: or a skip.
macro_rules! host {
    ($host:ident) => {
        let machine = match crate::host::Machine::new() {
            Ok(machine) => machine,
            Err(reason) => testkit::skip!("{reason}"),
        };
        let $host = machine.serves();
    };
}

pub(crate) use host;

/// What may be missing here.
pub(crate) struct Machine {
    windows: Windows,
    smbd: Smbd,
}

impl Machine {
    pub(crate) fn new() -> Result<Machine, String> {
        find_program("smbd")?;
        let windows = Windows::start()?;
        let smbd = Smbd::options("server smb encrypt = required")?;
        Ok(Machine { windows, smbd })
    }

    /// With the service in the foreground.
    pub(crate) fn serves(&self) -> Host<'_> {
        self.host(self.windows.serve(self.smbd.pipe("thither")))
    }

    /// With a service that is not there yet.
    pub(crate) fn leads(&self) -> Host<'_> {
        self.host(self.windows.lead(self.smbd.pipe("thither")))
    }

    /// `pushyd VERB` over there: its exit code, and what it says.
    #[track_caller]
    pub(crate) fn pushyd(&self, verb: &str) -> (Option<i32>, String) {
        let mut command = self.windows.command(r"C:\thither\pushyd.exe");
        let Output { status, stdout, stderr } = output(command.arg(verb), b"\n");
        let said = [stdout, stderr].concat();
        (status.code(), String::from_utf8(said).expect("text"))
    }

    fn host<'a>(&'a self, service: Service<'a>) -> Host<'a> {
        let test = Test::new();
        let password = test.file("password", self.smbd.password());
        let address = format!(
            "smb:{}@127.0.0.1:{}?password-file={}",
            self.smbd.user(),
            self.smbd.port(),
            password.display(),
        );
        Host { test, address, service }
    }
}

/// A host that can be reached.
pub(crate) struct Host<'a> {
    pub(crate) test: Test,
    /// With all that is needed.
    pub(crate) address: String,
    pub(crate) service: Service<'a>,
}

impl Host<'_> {
    /// `thither VERB ADDRESS -- ARG...`.
    pub(crate) fn thither(&self, verb: &str, args: &[&str]) -> Command {
        self.test.thither([&[verb, self.address.as_str()], args].concat())
    }

    /// Its exit code, output and errors.
    #[track_caller]
    pub(crate) fn says(&self, verb: &str, args: &[&str], input: &[u8]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = output(&mut self.thither(verb, args), input);
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let stderr = text(stderr).replace(&self.address, "ADDRESS");
        (status.code().expect("it is not killed"), text(stdout), stderr)
    }

    /// Checks what a run gives.
    #[track_caller]
    pub(crate) fn check(&self, args: &[&str], code: i32, stdout: &str, stderr: &str) {
        let args = [&["--"], args].concat();
        let said = self.says("run", &args, b"");
        let log = self.service.log();
        assert_eq!(said, (code, stdout.into(), stderr.into()), "{args:?}; the service: {log}");
    }
}
