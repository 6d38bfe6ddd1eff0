//! Who may open a pipe.

#![expect(unsafe_code, reason = "security descriptors have no safe form")]

use std::io;
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};

use super::{checked, wide};

/// A security descriptor.
#[derive(Debug)]
pub struct Descriptor(PSECURITY_DESCRIPTOR);

// SAFETY: it is memory that nobody changes any more.
unsafe impl Send for Descriptor {}
// SAFETY: the same.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// Reads one in the Security Descriptor Definition Language, MS-DTYP 2.5.1.
    ///
    /// # Errors
    /// Those of ConvertStringSecurityDescriptorToSecurityDescriptorW.
    pub fn parse(sddl: &str) -> io::Result<Descriptor> {
        let mut descriptor = null_mut();
        // SAFETY: the text lives until it returns; what it makes is ours.
        checked(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                wide(sddl).as_ptr(),
                SDDL_REVISION_1,
                &mut descriptor,
                null_mut(),
            )
        })?;
        Ok(Descriptor(descriptor))
    }

    /// For a call that makes something. They have to be used while this lives.
    pub(super) fn attributes(&self, inherit: bool) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0,
            bInheritHandle: i32::from(inherit),
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: it was made by a call whose memory is freed so, and nobody has it any more.
        unsafe { LocalFree(self.0) };
    }
}
