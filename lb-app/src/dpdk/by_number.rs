//! What DPDK knows of ports by their numbers, and what it calls things.

use std::{
    ffi::{CStr, c_char},
    mem::MaybeUninit,
};

/// The name of a port.
pub(super) fn port_name(id: u16) -> Option<String> {
    let mut name: [c_char; dpdk_sys::SHIM_NAME_SIZE as usize] = [0; _];
    // SAFETY: DPDK writes at most SHIM_NAME_SIZE bytes, with a NUL at the end, or fails for an unknown id.
    let code = unsafe { dpdk_sys::rte_eth_dev_get_name_by_port(id, name.as_mut_ptr()) };
    // SAFETY: a NUL is in there: the array was zero, and DPDK's names are terminated.
    (code == 0).then(|| unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
}

/// DPDK's description of a port, or its error number.
pub(super) fn raw_info(id: u16) -> Result<dpdk_sys::rte_eth_dev_info, i32> {
    let mut info = MaybeUninit::zeroed();
    // SAFETY: DPDK fails for an unknown id, and else fills the whole structure.
    let code = unsafe { dpdk_sys::rte_eth_dev_info_get(id, info.as_mut_ptr()) };
    // SAFETY: numbers and pointers, for which zero is a value, filled by DPDK.
    if code == 0 { Ok(unsafe { info.assume_init() }) } else { Err(code) }
}

/// What this version of DPDK calls a member in a bond's arguments.
pub(super) fn member_key() -> &'static str {
    // SAFETY: it returns a constant string.
    text(unsafe { dpdk_sys::shim_bond_member_key() }).unwrap_or("member")
}

/// A string that DPDK or a driver holds as a constant.
pub(super) fn text(constant: *const c_char) -> Option<&'static str> {
    if constant.is_null() {
        return None;
    }
    // SAFETY: the callers pass constants of libraries that are never unloaded, NUL-terminated.
    unsafe { CStr::from_ptr(constant) }.to_str().ok()
}
