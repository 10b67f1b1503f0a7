//! Where checks' packets leave: sockets in a network namespace, on an interface, from an address, with a mark.

use super::target::plain;
use crate::config::health::Leave;
use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashMap,
    fs::File,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};
use tokio::{
    net::{TcpSocket, TcpStream, UdpSocket},
    sync::oneshot,
};

/// Where `ip netns` keeps the names of network namespaces.
const NAMESPACES: &str = "/run/netns";

type Job = Box<dyn FnOnce(io::Result<()>) + Send>;

/// One thread for each network namespace that checks leave from: a thread is in one namespace, and so are the sockets
/// and the processes that it makes.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    threads: Mutex<HashMap<String, mpsc::Sender<Job>>>,
}

impl Doors {
    /// Calls `make` in a namespace, or right here.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        namespace: Option<&str>,
        make: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Some(namespace) = namespace else { return make() };
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move |entered| {
            // The check may have been cancelled.
            let _ = done.send(entered.and_then(|()| make()));
        });
        self.thread(namespace)?
            .send(job)
            .map_err(|_| io::Error::other("the thread of the network namespace exited"))?;
        outcome.await.map_err(|_| io::Error::other("the thread of the network namespace exited"))?
    }

    fn thread(&self, namespace: &str) -> io::Result<mpsc::Sender<Job>> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = threads.get(namespace) {
            return Ok(jobs.clone());
        }
        let (jobs, queue) = mpsc::channel::<Job>();
        let path = Path::new(NAMESPACES).join(namespace);
        thread::Builder::new().name("lb-netns".to_owned()).spawn(move || {
            for job in queue {
                // Anew each time: the namespace may have been made again under its name.
                job(enter(&path));
            }
        })?;
        threads.insert(namespace.to_owned(), jobs.clone());
        Ok(jobs)
    }

    /// Opens a TCP connection.
    pub(crate) async fn tcp(&self, leave: &Leave, target: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(leave, target.ip(), Type::STREAM, Protocol::TCP).await?;
        TcpSocket::from_std_stream(socket.into()).connect(target).await
    }

    /// A UDP socket connected to `target`, so that it reports ICMP errors from there.
    pub(crate) async fn udp(&self, leave: &Leave, target: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.socket(leave, target.ip(), Type::DGRAM, Protocol::UDP).await?;
        socket.connect(&target.into())?;
        UdpSocket::from_std(socket.into())
    }

    /// An ICMP socket that talks to `target` only, and whether it is a raw one. Such a socket is used like one of UDP's.
    pub(crate) async fn icmp(&self, leave: &Leave, target: IpAddr) -> io::Result<(UdpSocket, bool)> {
        let protocol = if target.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        // The kernel's ping sockets take no privileges where `ping_group_range`, which is for both families, allows them.
        let (socket, raw) = match self.socket(leave, target, Type::DGRAM, protocol).await {
            Ok(socket) => (socket, false),
            Err(_) => (self.socket(leave, target, Type::RAW, protocol).await?, true),
        };
        socket.connect(&SocketAddr::new(target, 0).into())?;
        Ok((UdpSocket::from_std(socket.into())?, raw))
    }

    /// A socket for packets to that address.
    async fn socket(&self, leave: &Leave, to: IpAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let Leave { via: _, netns, device, source, mark } = leave.clone();
        let make = move || {
            let socket = Socket::new(Domain::for_address(SocketAddr::new(to, 0)), kind, Some(protocol))?;
            socket.set_nonblocking(true)?;
            if let Some(device) = &device {
                let bound = socket.bind_device(Some(device.as_bytes()));
                bound.map_err(|error| explain(&error, &format!("interface {device}")))?;
            }
            if let Some(mark) = mark {
                socket.set_mark(mark).map_err(|error| explain(&error, &format!("mark {mark}")))?;
            }
            if let Some(source) = source {
                if source.is_ipv4() != to.is_ipv4() {
                    let what = format!("source address {source}: {to} is of the other address family");
                    return Err(io::Error::other(what));
                }
                let bound = socket.bind(&SocketAddr::new(source, 0).into());
                bound.map_err(|error| explain(&error, &format!("source address {source}")))?;
            }
            Ok(socket)
        };
        self.within(netns.as_deref(), make).await
    }
}

fn enter(path: &Path) -> io::Result<()> {
    let entered = File::open(path).and_then(|file| Ok(setns(file, CloneFlags::CLONE_NEWNET)?));
    entered.map_err(|error| explain(&error, &format!("network namespace {}", path.display())))
}

/// The same error, with what it is about in front.
fn explain(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {}", plain(error)))
}
