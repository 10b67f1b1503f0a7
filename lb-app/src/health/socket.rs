//! Where checks' packets leave: sockets in a network namespace, on an interface, from an address, with a mark.

use super::target::plain;
use crate::config::health::Leave;
use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashMap,
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
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
    pub(crate) async fn tcp(&self, leave: &Leave, target: SocketAddrV4) -> io::Result<TcpStream> {
        let socket = self.socket(leave, Type::STREAM, Protocol::TCP).await?;
        TcpSocket::from_std_stream(socket.into()).connect(target.into()).await
    }

    /// A UDP socket connected to `target`, so that it reports ICMP errors from there.
    pub(crate) async fn udp(&self, leave: &Leave, target: SocketAddrV4) -> io::Result<UdpSocket> {
        let socket = self.socket(leave, Type::DGRAM, Protocol::UDP).await?;
        socket.connect(&target.into())?;
        UdpSocket::from_std(socket.into())
    }

    /// An ICMP socket that talks to `target` only, and whether what it receives begins with an IPv4 header. Such a
    /// socket is used like one of UDP's.
    pub(crate) async fn icmp(&self, leave: &Leave, target: Ipv4Addr) -> io::Result<(UdpSocket, bool)> {
        // The kernel's ping sockets take no privileges where `ping_group_range` allows them.
        let (socket, raw) = match self.socket(leave, Type::DGRAM, Protocol::ICMPV4).await {
            Ok(socket) => (socket, false),
            Err(_) => (self.socket(leave, Type::RAW, Protocol::ICMPV4).await?, true),
        };
        socket.connect(&SocketAddrV4::new(target, 0).into())?;
        Ok((UdpSocket::from_std(socket.into())?, raw))
    }

    async fn socket(&self, leave: &Leave, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let Leave { via: _, netns, device, source, mark } = leave.clone();
        let make = move || {
            let socket = Socket::new(Domain::IPV4, kind, Some(protocol))?;
            socket.set_nonblocking(true)?;
            if let Some(device) = &device {
                let bound = socket.bind_device(Some(device.as_bytes()));
                bound.map_err(|error| explain(&error, &format!("interface {device}")))?;
            }
            if let Some(mark) = mark {
                socket.set_mark(mark).map_err(|error| explain(&error, &format!("mark {mark}")))?;
            }
            if let Some(source) = source {
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
