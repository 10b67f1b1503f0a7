//! Programs that hold nothing of DPDK's: no packet buffers, no sockets on ports, no device.
//!
//! DPDK does not mark its descriptors to be closed where a process becomes another program, so both is done here: they
//! are marked once DPDK has started ([`close_on_exec`]), and a program starts without any descriptor that it was not
//! given ([`Program::start`]), whatever was opened since.

use std::{
    ffi::{CString, NulError},
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    ptr,
};
use thiserror::Error;

/// A program, and what it may have.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// What it is called with, its own name first.
    pub arguments: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// The user and group it runs as; ours if not given.
    pub user: Option<(u32, u32)>,
    /// Largest address space, in bytes.
    pub address_space: Option<u64>,
}

/// Why a program was not started.
#[derive(Debug, Error)]
pub enum SpawnError {
    #[error("cannot create a process: {0}")]
    Process(io::Error),
    #[error("cannot read its output: {0}")]
    Streams(io::Error),
    #[error("cannot limit its memory: {0}")]
    Memory(io::Error),
    #[error("cannot run it as that user: {0}")]
    User(io::Error),
    #[error(transparent)]
    Program(io::Error),
    #[error("an argument contains a NUL byte")]
    Zero(#[from] NulError),
}

impl Program {
    /// Starts it in a process group of its own. What it prints goes to `output`, and it has nothing to read. Returns its
    /// process id, which is ours until it has been waited for.
    ///
    /// # Errors
    /// See [`SpawnError`]; then there is no process.
    pub fn start(&self, output: &OwnedFd) -> Result<i32, SpawnError> {
        let nothing = File::open("/dev/null").map_err(SpawnError::Streams)?;
        let path = CString::new(self.path.as_os_str().as_encoded_bytes())?;
        let arguments = List::new(self.arguments.iter().cloned())?;
        let environment = List::new(self.environment.iter().map(|(name, value)| format!("{name}={value}")))?;
        let (uid, gid) = self.user.unwrap_or_default();
        let program = dpdk_sys::shim_program {
            path: path.as_ptr(),
            arguments: arguments.pointers.as_ptr(),
            environment: environment.pointers.as_ptr(),
            input: nothing.as_raw_fd(),
            output: output.as_raw_fd(),
            address_space: self.address_space.unwrap_or(0),
            change_user: self.user.is_some(),
            uid,
            gid,
        };
        let (mut step, mut error) = (0, 0);
        // SAFETY: all strings end with a zero byte, both lists with a null pointer, and all of them and the descriptors
        // outlive the call.
        let id = unsafe { dpdk_sys::shim_spawn(&raw const program, &raw mut step, &raw mut error) };
        if id >= 0 {
            return Ok(id);
        }
        let error = io::Error::from_raw_os_error(error);
        Err(match step.cast_unsigned() {
            dpdk_sys::SHIM_SPAWN_STREAMS => SpawnError::Streams(error),
            dpdk_sys::SHIM_SPAWN_MEMORY => SpawnError::Memory(error),
            dpdk_sys::SHIM_SPAWN_USER => SpawnError::User(error),
            dpdk_sys::SHIM_SPAWN_PROGRAM => SpawnError::Program(error),
            _ => SpawnError::Process(error),
        })
    }
}

/// Strings as C wants a list of them.
struct List {
    /// To the strings below, and null at the end.
    pointers: Vec<*const libc::c_char>,
    _strings: Vec<CString>,
}

impl List {
    fn new(strings: impl Iterator<Item = String>) -> Result<Self, NulError> {
        let strings = strings.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Ok(List { pointers, _strings: strings })
    }
}

/// Marks every descriptor that is open now to be closed where this process becomes another program. Kernels that cannot
/// do it leave it to [`Program::start`].
pub fn close_on_exec() {
    // SAFETY: it changes a mark that only matters to other programs.
    unsafe { dpdk_sys::shim_close_on_exec() };
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        fcntl::{FcntlArg, FdFlag, fcntl},
        sys::wait::waitpid,
        unistd::{Pid, dup},
    };
    use std::io::Read;

    fn shell(script: &str) -> Program {
        Program {
            path: "/bin/sh".into(),
            arguments: ["sh", "-c", script].map(str::to_owned).to_vec(),
            environment: vec![("A".to_owned(), "b".to_owned())],
            user: None,
            address_space: None,
        }
    }

    /// What a program prints, or why it does not run.
    fn output(program: &Program) -> Result<String, SpawnError> {
        let (mut reader, writer) = io::pipe().unwrap();
        let id = program.start(&writer.into())?;
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        waitpid(Pid::from_raw(id), None).unwrap();
        Ok(text)
    }

    #[test]
    fn a_program_holds_only_what_it_was_given() {
        let file = File::open("/proc/self/maps").unwrap();
        // Such a copy is not marked, as DPDK's descriptors are not.
        let inherited = dup(&file).unwrap();
        // What lists them has one more for what it lists.
        let held = output(&shell("ls -l /proc/self/fd; env")).unwrap();
        let targets: Vec<&str> =
            held.lines().filter_map(|line| line.split_once(" -> ")).map(|(_, to)| to).collect();
        assert_eq!(targets.len(), 4, "{held}");
        assert_eq!(targets[0], "/dev/null", "{held}");
        assert!(targets[1].starts_with("pipe:") && targets[1] == targets[2], "{held}");
        // What a shell sets by itself does not count.
        let variables = held.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
        let given: Vec<&str> =
            variables.filter(|name| !["PWD", "OLDPWD", "_", "SHLVL"].contains(name)).collect();
        assert_eq!(given, ["A"], "{held}");
        drop(inherited);
    }

    #[test]
    fn descriptors_are_marked() {
        let file = File::open("/proc/self/maps").unwrap();
        let inherited = dup(&file).unwrap();
        let is_marked = || fcntl(&inherited, FcntlArg::F_GETFD).unwrap() & FdFlag::FD_CLOEXEC.bits() != 0;
        assert!(!is_marked());
        close_on_exec();
        assert!(is_marked());
    }

    #[test]
    fn limits_and_users_are_set_or_the_program_does_not_run() {
        let limited = Program { address_space: Some(64 << 20), ..shell("ulimit -v; ulimit -H -v") };
        assert_eq!(output(&limited).unwrap(), "65536\n65536\n");
        assert!(matches!(
            output(&Program { path: "/nonexistent".into(), ..shell("") }),
            Err(SpawnError::Program(_))
        ));
        let nobody = Program { user: Some((65_534, 65_534)), ..shell("id -u; id -g; id -G") };
        if nix::unistd::geteuid().is_root() {
            assert_eq!(output(&nobody).unwrap(), "65534\n65534\n65534\n");
        } else {
            assert!(matches!(output(&nobody), Err(SpawnError::User(_))));
        }
        let zero = Program { arguments: vec!["a\0b".to_owned()], ..shell("") };
        assert!(matches!(output(&zero), Err(SpawnError::Zero(_))));
    }

    #[test]
    fn a_program_finds_signals_as_if_it_were_the_first() {
        assert_eq!(output(&shell("grep SigBlk /proc/self/status")).unwrap(), "SigBlk:\t0000000000000000\n");
        // This process ignores it.
        assert_eq!(output(&shell("kill -s PIPE $$; echo it goes on")).unwrap(), "");
    }
}
