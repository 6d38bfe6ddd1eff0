//! An exec by bollard, as its own examples do it: `bollard-exec SOCKET CONTAINER COMMAND...`, with `-t` ahead for a
//! terminal, whose modes are the caller's business.

use std::error::Error;
use std::process::ExitCode;

use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt;
use tokio::io::{AsyncWriteExt, copy, stderr, stdin, stdout};

/// How long an answer may take, in seconds.
const TIMEOUT: u64 = 60;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let tty = args.first().is_some_and(|arg| arg == "-t");
    if tty {
        args.remove(0);
    }
    let code = match exec(&args, tty).await {
        Ok(code) => code,
        Err(error) => {
            let _ = stderr().write_all(format!("bollard-exec: {error}\n").as_bytes()).await;
            125
        }
    };
    // A read of standard input may still wait in a thread of tokio's.
    std::process::exit(code.into())
}

async fn exec(args: &[String], tty: bool) -> Result<u8> {
    let [socket, container, command @ ..] = args else { return Err("too few arguments".into()) };
    let docker = Docker::connect_with_unix(socket, TIMEOUT, API_DEFAULT_VERSION)?;
    let docker = docker.negotiate_version().await?;
    let config = ExecConfig {
        attach_stdin: Some(tty),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(tty),
        cmd: Some(command.to_vec()),
        ..Default::default()
    };
    let id = docker.create_exec(container, config).await?.id;
    let StartExecResults::Attached { mut output, mut input } = docker.start_exec(&id, None).await?
    else {
        return Err("it is not attached".into());
    };
    if tty {
        tokio::spawn(async move { copy(&mut stdin(), &mut input).await });
    }
    let (mut out, mut err) = (stdout(), stderr());
    while let Some(part) = output.next().await {
        match part? {
            LogOutput::StdErr { message } => err.write_all(&message).await?,
            part => {
                out.write_all(&part.into_bytes()).await?;
                if tty {
                    out.flush().await?;
                }
            }
        }
    }
    out.flush().await?;
    let state = docker.inspect_exec(&id).await?;
    Ok(u8::try_from(state.exit_code.ok_or("no exit code")?)?)
}
