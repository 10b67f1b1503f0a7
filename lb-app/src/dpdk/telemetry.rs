//! Questions that DPDK's telemetry socket passes on to us, and answers in its terms.
//!
//! The socket's thread calls [`answer`] with the command; who answers which is in a table here.

use dpdk_sys::rte_tel_data;
use std::{
    ffi::{CStr, CString, c_char, c_int},
    ptr::NonNull,
    sync::{Mutex, PoisonError},
};

/// A value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A text. DPDK truncates it at 8 KiB.
    Text(String),
    /// More values, each with its name.
    Object(Object),
}

/// Values with their names. DPDK takes letters, digits, `_` and `/` in names, and 256 of them.
pub type Object = Vec<(String, Value)>;

/// Answers a command; what is given is its parameter.
type Answer = Box<dyn Fn(&str) -> Object + Send>;

static ANSWERS: Mutex<Vec<(CString, Answer)>> = Mutex::new(Vec::new());

/// Has a command such as `/lb/services` answered from now on. Returns whether DPDK accepts it.
pub fn register(command: &CStr, help: &CStr, answer_it: impl Fn(&str) -> Object + Send + 'static) -> bool {
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    answers.push((command.to_owned(), Box::new(answer_it)));
    drop(answers);
    // SAFETY: DPDK copies both texts, and calls the function with a command that it was registered for.
    unsafe { dpdk_sys::rte_telemetry_register_cmd(command.as_ptr(), Some(answer), help.as_ptr()) == 0 }
}

/// Has nothing answered any more: what the answers rest on is about to go.
pub fn forget_all() {
    ANSWERS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

unsafe extern "C" fn answer(
    command: *const c_char,
    parameter: *const c_char,
    data: *mut rte_tel_data,
) -> c_int {
    let Some(data) = NonNull::new(data) else { return -libc::EINVAL };
    // SAFETY: DPDK passes a NUL-terminated text that stays while this function runs.
    let command = unsafe { CStr::from_ptr(command) };
    let parameter = if parameter.is_null() {
        ""
    } else {
        // SAFETY: as above.
        unsafe { CStr::from_ptr(parameter) }.to_str().unwrap_or_default()
    };
    let answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((_, answer)) = answers.iter().find(|(known, _)| known.as_c_str() == command) else {
        return -libc::ENOENT;
    };
    write(data, &answer(parameter));
    0
}

/// Makes `data` an object. Entries beyond DPDK's capacity are left out, so long lists are answered in pages.
fn write(data: NonNull<rte_tel_data>, object: &Object) {
    // SAFETY: DPDK has given us the data, which is new.
    unsafe { dpdk_sys::rte_tel_data_start_dict(data.as_ptr()) };
    for (name, value) in object {
        let Ok(name) = CString::new(name.as_str()) else { continue };
        match value {
            // SAFETY: the data is a dict by now; DPDK copies the name.
            Value::Number(number) => unsafe {
                dpdk_sys::shim_tel_add_number(data.as_ptr(), name.as_ptr(), *number);
            },
            Value::Text(text) => {
                let Ok(text) = CString::new(text.as_str()) else { continue };
                // SAFETY: as above; the text is copied, too.
                unsafe {
                    dpdk_sys::rte_tel_data_add_dict_string(data.as_ptr(), name.as_ptr(), text.as_ptr());
                }
            }
            Value::Object(inner) => {
                // SAFETY: makes new data, or none.
                let Some(container) = NonNull::new(unsafe { dpdk_sys::rte_tel_data_alloc() }) else {
                    continue;
                };
                write(container, inner);
                // SAFETY: both are dicts. On success the outer one owns the inner one and frees it.
                let code = unsafe {
                    dpdk_sys::rte_tel_data_add_dict_container(
                        data.as_ptr(),
                        name.as_ptr(),
                        container.as_ptr(),
                        0,
                    )
                };
                if code != 0 {
                    // SAFETY: it was not taken, so it is still ours.
                    unsafe { dpdk_sys::rte_tel_data_free(container.as_ptr()) };
                }
            }
        }
    }
}
