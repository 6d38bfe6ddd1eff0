//! A process in a job of its own, as a user.

#![expect(
    unsafe_code,
    reason = "processes with a token, a list of handles and a job have no safe form"
)]

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{ERROR_PRIVILEGE_NOT_HELD, HANDLE};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_ATTRIBUTE_DIRECTORY, FILE_EXECUTE, GetFileAttributesW,
    INVALID_FILE_ATTRIBUTES, OPEN_EXISTING,
};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    SetInformationJobObject, TerminateJobObject,
};
use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, CREATE_SUSPENDED, CREATE_UNICODE_ENVIRONMENT, CreateProcessAsUserW,
    CreateProcessW, DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT,
    GetExitCodeProcess, InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROCESS_INFORMATION, ResumeThread, STARTF_USESTDHANDLES,
    STARTUPINFOEXW, STARTUPINFOW, TerminateProcess, UpdateProcThreadAttribute,
};

use super::token::{Token, text};
use super::{checked, wide};

/// What is to run.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The file.
    pub file: &'a str,
    /// The whole line, with the name.
    pub line: &'a str,
    /// The block of variables.
    pub environment: &'a [u16],
    /// An absolute directory.
    pub dir: &'a str,
    /// Its standard input, output and error, which it inherits, and nothing else.
    pub streams: [OwnedHandle; 3],
}

/// A process and all that it starts, which end when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: OwnedHandle,
    job: OwnedHandle,
    pid: u32,
}

/// The list of what is inherited.
struct Inherited {
    list: Vec<u64>,
    // They are pointed to by the list.
    _handles: Box<[HANDLE; 3]>,
}

impl Inherited {
    fn new(handles: [HANDLE; 3]) -> io::Result<Inherited> {
        let mut size = 0;
        // SAFETY: it only asks for the size.
        unsafe { InitializeProcThreadAttributeList(null_mut(), 1, 0, &mut size) };
        let mut list = vec![0_u64; size.div_ceil(8)];
        let handles = Box::new(handles);
        // SAFETY: there is as much room as it asked for, and the handles live as long as the list.
        unsafe {
            let list: LPPROC_THREAD_ATTRIBUTE_LIST = list.as_mut_ptr().cast();
            checked(InitializeProcThreadAttributeList(list, 1, 0, &mut size))?;
            let what = PROC_THREAD_ATTRIBUTE_HANDLE_LIST as usize;
            let (value, size) = (handles.as_ptr().cast(), size_of_val(&*handles));
            checked(UpdateProcThreadAttribute(list, 0, what, value, size, null_mut(), null()))?;
        }
        Ok(Inherited { list, _handles: handles })
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        // SAFETY: it was initialized.
        unsafe { DeleteProcThreadAttributeList(self.list.as_mut_ptr().cast()) };
    }
}

fn job() -> io::Result<OwnedHandle> {
    // SAFETY: nothing is pointed to.
    let job = unsafe { CreateJobObjectW(null(), null()) };
    if job.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made.
    let job = unsafe { OwnedHandle::from_raw_handle(job) };
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    // SAFETY: the limits have that size.
    checked(unsafe {
        let (what, size) = (JobObjectExtendedLimitInformation, size_of_val(&limits) as u32);
        SetInformationJobObject(job.as_raw_handle(), what, (&raw const limits).cast(), size)
    })?;
    Ok(job)
}

/// Starts it as this user; where we may not, and `ours` says that this user is us, as we are.
///
/// # Errors
/// Those of the calls; [`ERROR_PRIVILEGE_NOT_HELD`] where we may not act as this user.
pub fn start(plan: Plan<'_>, user: &Token, ours: bool) -> io::Result<Child> {
    let job = job()?;
    let mut inherited = Inherited::new(plan.streams.each_ref().map(AsRawHandle::as_raw_handle))?;
    let [stdin, stdout, stderr] = plan.streams.each_ref().map(AsRawHandle::as_raw_handle);
    let startup = STARTUPINFOEXW {
        StartupInfo: STARTUPINFOW {
            cb: size_of::<STARTUPINFOEXW>() as u32,
            dwFlags: STARTF_USESTDHANDLES,
            hStdInput: stdin,
            hStdOutput: stdout,
            hStdError: stderr,
            ..STARTUPINFOW::default()
        },
        lpAttributeList: inherited.list.as_mut_ptr().cast(),
    };
    let flags = CREATE_SUSPENDED
        | CREATE_UNICODE_ENVIRONMENT
        | CREATE_NO_WINDOW
        | EXTENDED_STARTUPINFO_PRESENT;
    let (file, mut line, dir) = (wide(plan.file), wide(plan.line), wide(plan.dir));
    let mut made = PROCESS_INFORMATION::default();
    // SAFETY: all texts end with a zero and live until it returns; the line may be written to; the block ends as it should.
    let mut create = |token: Option<&Token>| unsafe {
        let (file, line, dir) = (file.as_ptr(), line.as_mut_ptr(), dir.as_ptr());
        let (block, startup) = (plan.environment.as_ptr().cast(), (&raw const startup).cast());
        checked(match token {
            Some(token) => CreateProcessAsUserW(
                token.raw(),
                file,
                line,
                null(),
                null(),
                1,
                flags,
                block,
                dir,
                startup,
                &mut made,
            ),
            None => {
                CreateProcessW(file, line, null(), null(), 1, flags, block, dir, startup, &mut made)
            }
        })
    };
    match create(Some(user)) {
        Err(error) if ours && error.raw_os_error() == Some(ERROR_PRIVILEGE_NOT_HELD as i32) => {
            create(None)?;
        }
        other => other?,
    }
    // SAFETY: both were just opened, and are ours alone.
    let (process, thread) = unsafe {
        (OwnedHandle::from_raw_handle(made.hProcess), OwnedHandle::from_raw_handle(made.hThread))
    };
    // SAFETY: the handles are open.
    let assigned =
        checked(unsafe { AssignProcessToJobObject(job.as_raw_handle(), process.as_raw_handle()) });
    // SAFETY: the handle is open. It has not run yet.
    if assigned.is_err() || unsafe { ResumeThread(thread.as_raw_handle()) } == u32::MAX {
        let error = assigned.err().unwrap_or_else(io::Error::last_os_error);
        // SAFETY: the handle is open.
        unsafe { TerminateProcess(process.as_raw_handle(), 1) };
        return Err(error);
    }
    Ok(Child { process, job, pid: made.dwProcessId })
}

impl Child {
    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends it and all that it has started, with this code.
    pub fn terminate(&self, code: u32) {
        // SAFETY: the handle is open. What has ended already is no matter.
        unsafe { TerminateJobObject(self.job.as_raw_handle(), code) };
    }

    /// Its code, once it has ended.
    ///
    /// # Errors
    /// Those of GetExitCodeProcess.
    pub fn code(&self) -> io::Result<u32> {
        let mut code = 0;
        // SAFETY: the handle is open.
        checked(unsafe { GetExitCodeProcess(self.process.as_raw_handle(), &mut code) })?;
        Ok(code)
    }
}

impl AsHandle for Child {
    /// Signalled once the process has ended.
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.process.as_handle()
    }
}

/// Whether whom this thread acts as may execute a file.
///
/// # Errors
/// Those of CreateFileW.
pub fn may_execute(path: &str) -> io::Result<()> {
    // SAFETY: the path lives until it returns.
    let handle = unsafe {
        CreateFileW(wide(path).as_ptr(), FILE_EXECUTE, 7, null(), OPEN_EXISTING, 0, null_mut())
    };
    if handle == windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just opened.
    drop(unsafe { OwnedHandle::from_raw_handle(handle) });
    Ok(())
}

/// Whether whom this thread acts as sees a directory.
#[must_use]
pub fn is_dir(path: &str) -> bool {
    // SAFETY: the path lives until it returns.
    let attributes = unsafe { GetFileAttributesW(wide(path).as_ptr()) };
    attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_DIRECTORY != 0
}

/// Where the programs of Windows are.
///
/// # Errors
/// Those of GetSystemDirectoryW.
pub fn system_directory() -> io::Result<String> {
    let mut room = [0_u16; 1024];
    // SAFETY: there is as much room as it is told.
    match unsafe { GetSystemDirectoryW(room.as_mut_ptr(), room.len() as u32) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(text(&room)),
    }
}
