//! The service manager's side.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use windows_service::service::{
    ServiceAccess, ServiceControl, ServiceControlAccept, ServiceErrorControl, ServiceExitCode,
    ServiceInfo, ServiceStartType, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_service::{define_windows_service, service_dispatcher};

use crate::admission::{Admit, descriptor, is_sid};
use crate::options::Options;
use crate::server::Server;
use crate::sys::event::Event;
use crate::sys::log::{self, Level, Log};
use crate::sys::security::Descriptor;
use crate::sys::token::{Token, sid_of};

/// The service's name, and its source in the event log.
pub const NAME: &str = "thither";
/// How long a service may take to stop.
const STOPPING: Duration = Duration::from_secs(30);

static OPTIONS: OnceLock<Options> = OnceLock::new();

/// Serves, until `stop` has happened.
///
/// # Errors
/// When there can be no such pipe.
pub fn serve(options: &Options, stop: Arc<Event>, log: Log) -> io::Result<()> {
    let log = Arc::new(log);
    let served = open(options, stop, &log).and_then(|server| {
        log.say(Level::Info, &format!(r"serves \\.\pipe\{}", options.pipe));
        server.run()
    });
    match &served {
        Ok(()) => log.say(Level::Info, "stopped"),
        Err(error) => log.say(Level::Error, &format!("ended: {error}")),
    }
    served
}

fn failed(what: String) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn open(options: &Options, stop: Arc<Event>, log: &Arc<Log>) -> io::Result<Server> {
    let (mut accounts, mut list) = (Vec::new(), None);
    for admit in &options.admit {
        match admit {
            Admit::List(text) => list = Some(text.as_str()),
            Admit::Account(sid) if is_sid(sid) => accounts.push(sid.clone()),
            Admit::Account(name) => accounts
                .push(sid_of(name).map_err(failed(format!("there is no account \"{name}\"")))?),
        }
    }
    let own = Token::own()?.sid()?;
    let text = descriptor(&own, &accounts, list);
    let security = Descriptor::parse(&text).map_err(failed(format!("no access list: {text}")))?;
    let made = Server::new(&options.pipe, security, stop, Arc::clone(log));
    let what = format!(r"cannot make \\.\pipe\{}, is it served already?", options.pipe);
    made.map_err(failed(what))
}

define_windows_service!(service_main, main);

/// What the service manager starts.
///
/// # Errors
/// When it was not the service manager.
pub fn run(options: Options) -> windows_service::Result<()> {
    let _ = OPTIONS.set(options);
    service_dispatcher::start(NAME, service_main)
}

fn main(_: Vec<OsString>) {
    let log = Log::events(NAME).unwrap_or(Log::Stderr);
    let Some(options) = OPTIONS.get() else { return };
    let stop = match Event::new() {
        Ok(stop) => Arc::new(stop),
        Err(error) => return log.say(Level::Error, &format!("cannot start: {error}")),
    };
    let hear = Arc::clone(&stop);
    let handler = service_control_handler::register(NAME, move |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            hear.set();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    });
    let handler = match handler {
        Ok(handler) => handler,
        Err(error) => return log.say(Level::Error, &format!("cannot be a service: {error}")),
    };
    let status = |current_state, code| ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state,
        controls_accepted: match current_state {
            ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
            _ => ServiceControlAccept::empty(),
        },
        exit_code: ServiceExitCode::Win32(code),
        checkpoint: 0,
        wait_hint: Duration::default(),
        process_id: None,
    };
    // If it cannot be told, it finds out.
    let _ = handler.set_service_status(status(ServiceState::Running, 0));
    // ERROR_SERVICE_SPECIFIC_ERROR has no text; this has: ERROR_EXCEPTION_IN_SERVICE.
    let code = if serve(options, stop, log).is_ok() { 0 } else { 1064 };
    let _ = handler.set_service_status(status(ServiceState::Stopped, code));
}

fn manager(access: ServiceManagerAccess) -> windows_service::Result<ServiceManager> {
    ServiceManager::local_computer(None::<&OsStr>, ServiceManagerAccess::CONNECT | access)
}

/// Makes the service, of this very program: it starts with Windows, as the system itself.
///
/// # Errors
/// What the service manager has against it.
pub fn install(options: &Options) -> windows_service::Result<()> {
    let executable_path = std::env::current_exe().map_err(windows_service::Error::Winapi)?;
    let args = std::iter::once("service".to_owned()).chain(options.args());
    let info = ServiceInfo {
        name: NAME.into(),
        display_name: "Thither".into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path,
        launch_arguments: args.map(OsString::from).collect(),
        dependencies: Vec::new(),
        account_name: None,
        account_password: None,
    };
    let service = manager(ServiceManagerAccess::CREATE_SERVICE)?
        .create_service(&info, ServiceAccess::CHANGE_CONFIG)?;
    // It works without either.
    let _ = service.set_description("Runs commands over SMB, each as the user who connected.");
    let _ = log::register(NAME);
    Ok(())
}

/// Starts the service.
///
/// # Errors
/// What the service manager has against it.
pub fn start() -> windows_service::Result<()> {
    let manager = manager(ServiceManagerAccess::empty())?;
    manager.open_service(NAME, ServiceAccess::START)?.start::<&OsStr>(&[])
}

/// Stops it, and waits until it has stopped.
///
/// # Errors
/// What the service manager has against it.
pub fn stop() -> windows_service::Result<()> {
    let manager = manager(ServiceManagerAccess::empty())?;
    let service = manager.open_service(NAME, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
    service.stop()?;
    let deadline = Instant::now() + STOPPING;
    while service.query_status()?.current_state != ServiceState::Stopped {
        if Instant::now() >= deadline {
            return Err(windows_service::Error::Winapi(io::ErrorKind::TimedOut.into()));
        }
        // The service manager has no event for it.
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Removes the service, which goes once it has stopped.
///
/// # Errors
/// What the service manager has against it.
pub fn delete() -> windows_service::Result<()> {
    let manager = manager(ServiceManagerAccess::empty())?;
    manager.open_service(NAME, ServiceAccess::DELETE)?.delete()?;
    log::unregister(NAME);
    Ok(())
}
