//! Who is at the other end of a UNIX socket, as the kernel noted it when they connected.

use std::{
    io,
    os::{fd::AsRawFd, unix::net::UnixStream},
};

/// A process at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its effective user.
    pub user: u32,
    /// Its effective group and its supplementary ones.
    pub groups: Vec<u32>,
}

impl Peer {
    /// Of a connected stream.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let mut credentials = [libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX }];
        ask(stream, libc::SO_PEERCRED, &mut credentials)?;
        let [libc::ucred { uid, gid, .. }] = credentials;
        // Most users are in a few groups; the kernel says how many there are if there is too little room.
        let mut groups = vec![0; 32];
        let mut length = ask(stream, libc::SO_PEERGROUPS, &mut groups);
        if let Ok(needed) = length
            && needed > groups.len()
        {
            groups.resize(needed, 0);
            length = ask(stream, libc::SO_PEERGROUPS, &mut groups);
        }
        groups.truncate(length?);
        groups.push(gid);
        Ok(Peer { user: uid, groups })
    }
}

/// An option of the socket that is a list of `T`s: how many there are, which may be more than there was room for.
fn ask<T>(stream: &UnixStream, option: libc::c_int, values: &mut [T]) -> io::Result<usize> {
    let mut bytes = size_of_val(values) as libc::socklen_t;
    let (socket, start) = (stream.as_raw_fd(), values.as_mut_ptr());
    // SAFETY: the socket is open; the kernel writes at most as many bytes as are there, plain numbers of a `T`.
    let code = unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, option, start.cast(), &raw mut bytes) };
    let error = io::Error::last_os_error();
    match code {
        0 => Ok(bytes as usize / size_of::<T>()),
        _ if error.raw_os_error() == Some(libc::ERANGE) => Ok(bytes as usize / size_of::<T>()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{getegid, geteuid, getgroups};

    #[test]
    fn a_peer_has_the_user_and_all_groups_of_its_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.user, geteuid().as_raw());
        let mut own: Vec<u32> = getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
        own.push(getegid().as_raw());
        assert_eq!(peer.groups, own);
    }
}
