//! Who somebody is, and acting as they.

#![expect(unsafe_code, reason = "tokens and impersonation have no safe form")]

use std::io;
use std::marker::PhantomData;
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
use windows_sys::Win32::Security::{
    DuplicateTokenEx, GetTokenInformation, ImpersonateLoggedOnUser, LookupAccountNameW,
    LookupAccountSidW, PSID, RevertToSelf, SecurityImpersonation, TOKEN_ALL_ACCESS,
    TOKEN_DUPLICATE, TOKEN_ELEVATION, TOKEN_INFORMATION_CLASS, TOKEN_QUERY, TOKEN_USER,
    TokenElevation, TokenImpersonationLevel, TokenPrimary, TokenUser,
};
use windows_sys::Win32::System::Environment::{CreateEnvironmentBlock, DestroyEnvironmentBlock};
use windows_sys::Win32::System::Pipes::ImpersonateNamedPipeClient;
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentThread, OpenProcessToken, OpenThreadToken,
};
use windows_sys::Win32::UI::Shell::{
    GetUserProfileDirectoryW, LoadUserProfileW, PROFILEINFOW, UnloadUserProfile,
};

use super::pipe::Pipe;
use super::{checked, wide};
use crate::environment::Environment;

/// A token of access.
#[derive(Debug)]
pub struct Token(OwnedHandle);

/// This thread acts as somebody else until this is dropped.
#[derive(Debug)]
pub struct Acting(PhantomData<*const ()>);

impl Drop for Acting {
    fn drop(&mut self) {
        // SAFETY: nothing is pointed to.
        if unsafe { RevertToSelf() } == 0 {
            // It would go on with somebody else's rights.
            std::process::abort();
        }
    }
}

impl Token {
    /// Ours.
    ///
    /// # Errors
    /// Those of OpenProcessToken.
    pub fn own() -> io::Result<Token> {
        let mut token = null_mut();
        // SAFETY: what it opens is ours alone.
        checked(unsafe {
            OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY | TOKEN_DUPLICATE, &mut token)
        })?;
        // SAFETY: it was just opened.
        Ok(Token(unsafe { OwnedHandle::from_raw_handle(token) }))
    }

    /// That of a pipe's client, with which a process can be started. Something has to have been read from it.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] for a client that does not let us act as it; else those of the calls.
    pub fn of_client(pipe: &Pipe) -> io::Result<Token> {
        let mut opened = null_mut();
        {
            // SAFETY: the handle is open.
            checked(unsafe { ImpersonateNamedPipeClient(pipe.as_handle().as_raw_handle()) })?;
            let _acting = Acting(PhantomData);
            // SAFETY: what it opens is ours alone.
            checked(unsafe {
                let access = TOKEN_QUERY | TOKEN_DUPLICATE;
                OpenThreadToken(GetCurrentThread(), access, 1, &mut opened)
            })?;
        }
        // SAFETY: it was just opened.
        let token = Token(unsafe { OwnedHandle::from_raw_handle(opened) });
        if token.number(TokenImpersonationLevel)? < SecurityImpersonation as u32 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut primary = null_mut();
        // SAFETY: what it makes is ours alone.
        checked(unsafe {
            let level = SecurityImpersonation;
            let from = token.raw();
            DuplicateTokenEx(from, TOKEN_ALL_ACCESS, null(), level, TokenPrimary, &mut primary)
        })?;
        // SAFETY: it was just made.
        Ok(Token(unsafe { OwnedHandle::from_raw_handle(primary) }))
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    /// Makes this thread act as this user.
    ///
    /// # Errors
    /// Those of ImpersonateLoggedOnUser.
    pub fn act(&self) -> io::Result<Acting> {
        // SAFETY: the handle is open.
        checked(unsafe { ImpersonateLoggedOnUser(self.raw()) })?;
        Ok(Acting(PhantomData))
    }

    /// A number of its information.
    fn number(&self, class: TOKEN_INFORMATION_CLASS) -> io::Result<u32> {
        let (mut number, mut length) = (0_u32, 0);
        // SAFETY: there is room for 4 bytes, as it is told.
        checked(unsafe {
            GetTokenInformation(self.raw(), class, (&raw mut number).cast(), 4, &mut length)
        })?;
        Ok(number)
    }

    /// Whether it has an administrator's rights at hand.
    ///
    /// # Errors
    /// Those of GetTokenInformation.
    pub fn is_elevated(&self) -> io::Result<bool> {
        debug_assert_eq!(size_of::<TOKEN_ELEVATION>(), 4);
        Ok(self.number(TokenElevation)? != 0)
    }

    /// Calls this with the identifier of the user.
    fn with_sid<T>(&self, with: impl FnOnce(PSID) -> io::Result<T>) -> io::Result<T> {
        // The identifier is within; 68 bytes are the longest.
        let mut room = [0_u64; 32];
        let (size, mut length) = (size_of_val(&room) as u32, 0);
        // SAFETY: there is as much room as it is told, aligned for a pointer.
        checked(unsafe {
            let room = room.as_mut_ptr().cast();
            GetTokenInformation(self.raw(), TokenUser, room, size, &mut length)
        })?;
        // SAFETY: it was filled in, and lives as long as its room.
        with(unsafe { (*room.as_ptr().cast::<TOKEN_USER>()).User.Sid })
    }

    /// The user's identifier, as `S-1-5-18`.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn sid(&self) -> io::Result<String> {
        self.with_sid(sid_text)
    }

    /// The user's name, as `DOMAIN\user`, or the identifier where nobody knows a name.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn name(&self) -> io::Result<String> {
        self.with_sid(|sid| account_name(sid).or_else(|_| sid_text(sid)))
    }

    /// The user's variables.
    ///
    /// # Errors
    /// Those of CreateEnvironmentBlock.
    pub fn environment(&self) -> io::Result<Environment> {
        let mut block = null_mut();
        // SAFETY: what it makes is freed below.
        checked(unsafe { CreateEnvironmentBlock(&mut block, self.raw(), 0) })?;
        let units = block.cast::<u16>().cast_const();
        let mut length = 0;
        // SAFETY: the block ends with two zeroes.
        while unsafe { *units.add(length) != 0 || *units.add(length + 1) != 0 } {
            length += 1;
        }
        // SAFETY: so many there are.
        let environment =
            Environment::of_block(unsafe { std::slice::from_raw_parts(units, length) });
        // SAFETY: it was made by the call whose memory is freed so.
        unsafe { DestroyEnvironmentBlock(block) };
        Ok(environment)
    }

    /// The user's own directory.
    ///
    /// # Errors
    /// Those of GetUserProfileDirectoryW.
    pub fn profile(&self) -> io::Result<String> {
        let mut room = vec![0_u16; 32 * 1024];
        let mut length = room.len() as u32;
        // SAFETY: there is as much room as it is told.
        checked(unsafe { GetUserProfileDirectoryW(self.raw(), room.as_mut_ptr(), &mut length) })?;
        Ok(text(&room))
    }
}

/// Without windows that ask; profinfo.h.
const PI_NOUI: u32 = 1;

/// A user's registry, loaded as long as this lives.
#[derive(Debug)]
pub struct Profile {
    token: OwnedHandle,
    key: HANDLE,
}

impl Profile {
    /// Loads that of this user; makes the user's directory, too, where there is none yet.
    ///
    /// # Errors
    /// Those of LoadUserProfileW.
    pub fn load(user: &Token) -> io::Result<Profile> {
        let name = user.name()?;
        let mut name = wide(name.rsplit('\\').next().unwrap_or_default());
        let token = user.0.try_clone()?;
        let mut profile = PROFILEINFOW {
            dwSize: size_of::<PROFILEINFOW>() as u32,
            dwFlags: PI_NOUI,
            lpUserName: name.as_mut_ptr(),
            ..PROFILEINFOW::default()
        };
        // SAFETY: the name lives until it returns.
        checked(unsafe { LoadUserProfileW(token.as_raw_handle(), &mut profile) })?;
        Ok(Profile { token, key: profile.hProfile })
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // SAFETY: it was loaded with this token, and is unloaded once.
        unsafe { UnloadUserProfile(self.token.as_raw_handle(), self.key) };
    }
}

/// Up to the zero.
pub(super) fn text(units: &[u16]) -> String {
    String::from_utf16_lossy(units.split(|&unit| unit == 0).next().unwrap_or_default())
}

fn sid_text(sid: PSID) -> io::Result<String> {
    let mut units = null_mut();
    // SAFETY: the identifier is valid; what it makes is freed below.
    checked(unsafe { ConvertSidToStringSidW(sid, &mut units) })?;
    // SAFETY: it ends with a zero.
    let length = (0..).take_while(|&at| unsafe { *units.add(at) } != 0).count();
    // SAFETY: so many there are.
    let text = String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(units, length) });
    // SAFETY: it was made by a call whose memory is freed so.
    unsafe { LocalFree(units.cast()) };
    Ok(text)
}

fn account_name(sid: PSID) -> io::Result<String> {
    let (mut name, mut domain) = ([0_u16; 512], [0_u16; 512]);
    let (mut names, mut domains, mut kind) = (512, 512, 0);
    // SAFETY: the identifier is valid, and there is as much room as it is told.
    checked(unsafe {
        let (name, domain) = (name.as_mut_ptr(), domain.as_mut_ptr());
        LookupAccountSidW(null(), sid, name, &mut names, domain, &mut domains, &mut kind)
    })?;
    Ok(format!(r"{}\{}", text(&domain), text(&name)))
}

/// The identifier of an account with this name.
///
/// # Errors
/// Those of LookupAccountNameW.
pub fn sid_of(account: &str) -> io::Result<String> {
    let mut sid = [0_u64; 16];
    let mut domain = [0_u16; 512];
    let (mut size, mut domains, mut kind) = (size_of_val(&sid) as u32, 512, 0);
    let sid = sid.as_mut_ptr().cast();
    // SAFETY: there is as much room as it is told, aligned.
    checked(unsafe {
        let domain = domain.as_mut_ptr();
        LookupAccountNameW(
            null(),
            wide(account).as_ptr(),
            sid,
            &mut size,
            domain,
            &mut domains,
            &mut kind,
        )
    })?;
    sid_text(sid)
}
