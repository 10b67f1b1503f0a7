//! Captures: packets before and after, in a file.
//!
//! Workers copy frames into buffers that a capture has from its beginning; a thread of its own writes them and gives the
//! buffers back. A frame for which there is no buffer is missed and counted: forwarding never waits for the disk.

use super::{error::WatchError, pcapng::File, place::Place, which::compile};
use crate::{
    control::live::running::Running,
    dataplane::tap::capture::{Capture, CaptureShared, Frame},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use lb_core::packet::PortId;
use pcap_file::{PcapError, PcapResult};
use std::{
    fs,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};
use tracing::{info, warn};

/// Buffers of one capture.
const BUFFERS: usize = 4_096;
/// Bytes of a frame that are kept if nobody says how many; also the most.
pub(super) const SNAPLEN: usize = 9_216;
/// How often the writer looks whether it is to end, and gives the file what it has.
const ROUND: Duration = Duration::from_millis(100);

/// Which packets a capture is to have.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Those that arrive on it or leave by it; of all ports if there is none.
    pub(super) port: Option<PortId>,
    pub(super) filter: String,
    /// How many; `u64::MAX` if there is no limit.
    pub(super) count: u64,
    /// Bytes of each.
    pub(super) snaplen: usize,
}

/// One capture.
#[derive(Debug)]
pub(super) struct RunningCapture {
    pub(super) id: u32,
    wanted: Wanted,
    file: PathBuf,
    shared: Arc<CaptureShared>,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

/// The state of a capture.
#[derive(Clone, Debug)]
pub(crate) struct CaptureSummary {
    pub(crate) id: u32,
    pub(crate) port: Option<PortId>,
    pub(crate) filter: String,
    pub(crate) file: PathBuf,
    /// The number of packets after which it ends; none without a limit.
    pub(crate) count: Option<u64>,
    /// Frames in the file.
    pub(crate) written: u64,
    /// Frames that were missed.
    pub(crate) missed: u64,
    /// Whether it is active.
    pub(crate) is_running: bool,
}

impl RunningCapture {
    /// Begins a new file in the directory for captures, and the thread that writes it.
    pub(super) fn start(
        id: u32,
        running: &Running,
        wanted: Wanted,
        file: &Path,
    ) -> Result<RunningCapture, WatchError> {
        let control = &running.config.control;
        let place = Place { directory: &control.captures, group: control.group.as_deref() };
        let (out, file) = place.create(file)?;
        let fail = |error| WatchError::File { file: file.display().to_string(), error };
        let names = running.port_names();
        let begun = File::begin(BufWriter::new(out), &names, &wanted.filter, wanted.snaplen);
        let pcapng = begun.map_err(|error| fail(std::io::Error::other(error)))?;

        let largest_mtu =
            running.config.plan.interfaces.iter().map(|interface| usize::from(interface.mtu)).max();
        let (frames, empty, shared) = buffers(&wanted, names.len() * 2, largest_mtu.unwrap_or_default());
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let writer = Writer {
            pcapng,
            frames,
            empty,
            shared: shared.clone(),
            stop: stop.clone(),
            written: Arc::clone(&written),
            file: file.clone(),
        };
        let thread = thread::Builder::new().name(format!("capture-{id}")).spawn(|| writer.run());
        let writer = Some(thread.map_err(fail)?);
        Ok(RunningCapture { id, wanted, file, shared, stop, written, writer })
    }

    pub(super) fn is_tapping(&self) -> bool {
        self.writer.is_some()
    }

    pub(super) fn tap(&self) -> Option<Capture> {
        self.is_tapping().then(|| {
            // It was compiled before, when it was asked for.
            let filter = compile(&self.wanted.filter).expect("a filter that was compiled before");
            Capture { port: self.wanted.port, filter, shared: self.shared.clone() }
        })
    }

    /// Ends a capture that has all its packets, or whose writer has failed.
    pub(super) fn end_if_complete(&mut self) {
        let is_complete = self.shared.left.load(Relaxed) == 0;
        if is_complete && !self.stop.swap(true, Relaxed) {
            info!("capture {}: {} has all {} packets", self.id, self.file.display(), self.wanted.count);
        }
        if self.writer.as_ref().is_some_and(JoinHandle::is_finished) {
            self.writer = None;
        }
    }

    /// Ends it, and waits for the file to be complete.
    pub(super) fn end(mut self) -> CaptureSummary {
        self.stop.store(true, Relaxed);
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was logged.
            let _ = writer.join();
        }
        self.summary()
    }

    pub(super) fn summary(&self) -> CaptureSummary {
        CaptureSummary {
            id: self.id,
            port: self.wanted.port,
            filter: self.wanted.filter.clone(),
            file: self.file.clone(),
            count: (self.wanted.count != u64::MAX).then_some(self.wanted.count),
            written: self.written.load(Relaxed),
            missed: self.shared.missed.iter().map(|missed| missed.load(Relaxed)).sum(),
            is_running: self.writer.is_some(),
        }
    }
}

/// What workers fill, with the writer's ends of it. Buffers are as large as frames of that MTU can be.
fn buffers(
    wanted: &Wanted,
    interfaces: usize,
    mtu: usize,
) -> (Receiver<Frame>, Sender<Vec<u8>>, Arc<CaptureShared>) {
    let (empty_sender, empty) = bounded(BUFFERS);
    for _ in 0..BUFFERS {
        // Ethernet with two tags; a tunnel's header fits into the MTU.
        let buffer = Vec::with_capacity(wanted.snaplen.min(mtu + 22));
        let _ = empty_sender.try_send(buffer);
    }
    let (full, frames) = bounded(BUFFERS);
    let counters = || (0..interfaces).map(|_| AtomicU64::new(0)).collect();
    let shared = CaptureShared {
        left: wanted.count.into(),
        handed_over: 0.into(),
        seen: counters(),
        missed: counters(),
        snaplen: wanted.snaplen,
        empty,
        full,
    };
    (frames, empty_sender, Arc::new(shared))
}

/// The thread that writes a capture.
struct Writer {
    pcapng: File<BufWriter<fs::File>>,
    frames: Receiver<Frame>,
    empty: Sender<Vec<u8>>,
    shared: Arc<CaptureShared>,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    file: PathBuf,
}

impl Writer {
    fn run(mut self) {
        let file = std::mem::take(&mut self.file);
        if let Err(error) = self.write() {
            warn!("capture to {} stopped: {error}", file.display());
        }
    }

    fn write(mut self) -> PcapResult<()> {
        loop {
            match self.frames.recv_timeout(ROUND) {
                Ok(frame) => {
                    self.pcapng.frame(&frame)?;
                    self.written.fetch_add(1, Relaxed);
                    let _ = self.empty.try_send(frame.bytes);
                }
                // Frames of workers that were about to give them have come by now.
                Err(_) if self.stop.load(Relaxed) => break,
                Err(_) => self.pcapng.flush().map_err(PcapError::IoError)?,
            }
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let counted = self.shared.seen.iter().zip(&self.shared.missed);
        let counted: Vec<_> =
            counted.map(|(seen, missed)| (seen.load(Relaxed), missed.load(Relaxed))).collect();
        self.pcapng.end(now, &counted)
    }
}
