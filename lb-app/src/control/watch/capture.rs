//! Captures: packets before and after, in a file or as a client reads them.
//!
//! Workers copy frames into buffers that a capture has from its beginning. What becomes of the frames gives the buffers
//! back: a thread of its own that writes a file, or a client that reads a stream ([`Stream`]). A frame for which there is
//! no buffer is missed and counted: forwarding never waits for a disk or a client.

use super::{error::WatchError, pcapng::Blocks, place::Place, stream::Stream, which::compile};
use crate::{
    control::live::running::Running,
    dataplane::tap::capture::{Capture, CaptureShared, Frame},
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use lb_core::packet::PortId;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};
use tracing::{info, warn};

/// Buffers of one capture.
const BUFFERS: usize = 4_096;
/// Bytes of a frame that are kept if nobody says how many; also the most.
pub(super) const SNAPLEN: usize = 9_216;
/// How often the writer looks whether it is to end.
const ROUND: Duration = Duration::from_millis(100);
/// How long a frame waits to be in the file, at most: what a crash can lose.
const FLUSH: Duration = Duration::from_millis(20);
/// Bytes that are written at once, about.
const CHUNK: usize = 64 << 10;

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
    shared: Arc<CaptureShared>,
    sink: Sink,
}

/// What becomes of the frames.
#[derive(Debug)]
enum Sink {
    File(Writing),
    Stream(Arc<Stream>),
}

/// A file in the making, and the thread that writes it.
#[derive(Debug)]
struct Writing {
    file: PathBuf,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    /// None once it has ended.
    writer: Option<JoinHandle<()>>,
}

/// The state of a capture.
#[derive(Clone, Debug)]
pub(crate) struct CaptureSummary {
    pub(crate) id: u32,
    pub(crate) port: Option<PortId>,
    pub(crate) filter: String,
    /// Its file; none for a stream.
    pub(crate) file: Option<PathBuf>,
    /// The number of packets after which it ends; none without a limit.
    pub(crate) count: Option<u64>,
    /// Frames in the file or stream.
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
        let (mut out, file) = place.create(file)?;
        let fail = |error| WatchError::File { file: file.display().to_string(), error };
        let (mut blocks, frames, empty, shared) = begin(running, &wanted);
        blocks.write(&mut out).map_err(fail)?;

        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let writer = Writer {
            out,
            blocks,
            frames,
            empty,
            shared: shared.clone(),
            stop: stop.clone(),
            written: Arc::clone(&written),
            file: file.clone(),
        };
        let thread = thread::Builder::new().name(format!("capture-{id}")).spawn(|| writer.run());
        let writer = Some(thread.map_err(fail)?);
        Ok(RunningCapture { id, wanted, shared, sink: Sink::File(Writing { file, stop, written, writer }) })
    }

    /// Begins a stream, for a client to read.
    pub(super) fn stream(id: u32, running: &Running, wanted: Wanted) -> RunningCapture {
        let (blocks, frames, empty, shared) = begin(running, &wanted);
        let stream = Arc::new(Stream::new(shared.clone(), frames, empty, blocks));
        RunningCapture { id, wanted, shared, sink: Sink::Stream(stream) }
    }

    /// The stream, if it is one.
    pub(super) fn streamed(&self) -> Option<&Arc<Stream>> {
        match &self.sink {
            Sink::Stream(stream) => Some(stream),
            Sink::File(_) => None,
        }
    }

    pub(super) fn is_tapping(&self) -> bool {
        match &self.sink {
            Sink::File(writing) => writing.writer.is_some(),
            Sink::Stream(stream) => stream.is_tapping(),
        }
    }

    pub(super) fn tap(&self) -> Option<Capture> {
        self.is_tapping().then(|| {
            // It was compiled before, when it was asked for.
            let filter = compile(&self.wanted.filter).expect("a filter that was compiled before");
            Capture { port: self.wanted.port, filter, shared: self.shared.clone() }
        })
    }

    /// Whether it is a stream that nobody reads any more.
    pub(super) fn is_forgotten(&self) -> bool {
        self.streamed().is_some_and(|stream| stream.is_forgotten())
    }

    /// Ends a file that has all its packets, or whose writer has failed.
    pub(super) fn end_if_complete(&mut self) {
        let Sink::File(writing) = &mut self.sink else { return };
        let is_complete = self.shared.left.load(Relaxed) == 0;
        if is_complete && !writing.stop.swap(true, Relaxed) {
            info!("capture {}: {} has all {} packets", self.id, writing.file.display(), self.wanted.count);
        }
        if writing.writer.as_ref().is_some_and(JoinHandle::is_finished) {
            writing.writer = None;
        }
    }

    /// Ends it, and waits for the file to be complete.
    pub(super) fn end(mut self) -> CaptureSummary {
        match &mut self.sink {
            Sink::File(writing) => {
                writing.stop.store(true, Relaxed);
                if let Some(writer) = writing.writer.take() {
                    // A panic of the writer was logged.
                    let _ = writer.join();
                }
            }
            Sink::Stream(stream) => stream.stop(),
        }
        self.summary()
    }

    pub(super) fn summary(&self) -> CaptureSummary {
        let (file, written) = match &self.sink {
            Sink::File(writing) => (Some(writing.file.clone()), writing.written.load(Relaxed)),
            Sink::Stream(stream) => (None, stream.written.load(Relaxed)),
        };
        CaptureSummary {
            id: self.id,
            port: self.wanted.port,
            filter: self.wanted.filter.clone(),
            file,
            count: (self.wanted.count != u64::MAX).then_some(self.wanted.count),
            written,
            missed: self.shared.counted().iter().map(|(_, missed)| missed).sum(),
            is_running: self.is_tapping(),
        }
    }
}

/// The beginning of a capture, and what workers fill, with the other ends of it.
fn begin(
    running: &Running,
    wanted: &Wanted,
) -> (Blocks, Receiver<Frame>, Sender<Vec<u8>>, Arc<CaptureShared>) {
    let names = running.port_names();
    let blocks = Blocks::begin(&names, &wanted.filter, wanted.snaplen);
    let largest_mtu = running.config.plan.interfaces.iter().map(|it| usize::from(it.mtu)).max();
    let (frames, empty, shared) = buffers(wanted, names.len() * 2, largest_mtu.unwrap_or_default());
    (blocks, frames, empty, shared)
}

/// What workers fill, with the other ends of it. Buffers are as large as frames of that MTU can be.
pub(super) fn buffers(
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
    out: fs::File,
    blocks: Blocks,
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

    fn write(mut self) -> io::Result<()> {
        // When what waits has to be in the file.
        let mut due: Option<Instant> = None;
        loop {
            let wait = due.map_or(ROUND, |due| due.saturating_duration_since(Instant::now()));
            match self.frames.recv_timeout(wait) {
                Ok(frame) => {
                    self.blocks.frame(&frame);
                    self.written.fetch_add(1, Relaxed);
                    let _ = self.empty.try_send(frame.bytes);
                    due.get_or_insert_with(|| Instant::now() + FLUSH);
                }
                // Frames of workers that were about to give them have come by now.
                Err(_) if due.is_none() && self.stop.load(Relaxed) => break,
                Err(RecvTimeoutError::Disconnected) if due.is_none() => break,
                Err(_) => {}
            }
            if self.blocks.len() >= CHUNK || due.is_some_and(|due| Instant::now() >= due) {
                self.blocks.write(&mut self.out)?;
                due = None;
            }
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.blocks.end(now, &self.shared.counted());
        self.blocks.write(&mut self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(count: u64) -> Wanted {
        Wanted { port: None, filter: String::new(), count, snaplen: 64 }
    }

    fn file(name: &str) -> (PathBuf, fs::File) {
        let path = std::env::temp_dir().join(format!("lb-capture-{}-{name}", std::process::id()));
        let out = fs::File::create(&path).unwrap();
        (path, out)
    }

    /// While frames keep coming, too: whoever follows the file sees them, and a crash loses none of before.
    #[test]
    fn frames_are_in_the_file_soon() {
        let (path, out) = file("soon");
        let (frames, empty, shared) = buffers(&wanted(u64::MAX), 2, 1_500);
        let stop = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            out,
            blocks: Blocks::default(),
            frames,
            empty,
            shared: shared.clone(),
            stop: stop.clone(),
            written: Arc::default(),
            file: path.clone(),
        };
        let thread = thread::spawn(|| writer.run());
        // An enhanced packet block of 60 bytes: 32 bytes around them.
        let block = 60 + 32;
        let (begin, mut in_file) = (Instant::now(), 0);
        while in_file == 0 && begin.elapsed() < Duration::from_secs(10) {
            shared.take(0, &[1; 60]);
            thread::sleep(Duration::from_millis(1));
            in_file = fs::metadata(&path).unwrap().len();
        }
        assert!(in_file > 0 && in_file % block == 0, "{in_file} bytes, which are whole blocks");
        stop.store(true, Relaxed);
        thread.join().unwrap();
        // All frames, and the statistics of two interfaces.
        let seen: u64 = shared.counted().iter().map(|(seen, _)| seen).sum();
        assert_eq!(fs::metadata(&path).unwrap().len(), seen * block + 2 * 52);
        fs::remove_file(&path).unwrap();
    }

    /// Nobody reads: as many frames wait as there are buffers, all others are missed, and workers go on.
    #[test]
    fn a_stream_that_nobody_reads_is_bounded() {
        let (frames, empty, shared) = buffers(&wanted(u64::MAX), 2, 1_500);
        let stream = Stream::new(shared.clone(), frames, empty, Blocks::begin(&["wan".to_owned()], "", 64));
        for _ in 0..BUFFERS + 10 {
            shared.take(1, &[1; 60]);
        }
        assert_eq!(shared.counted(), [(0, 0), (BUFFERS as u64 + 10, 10)]);
        let mut bytes = 0;
        stream.stop();
        let mut pieces = 0;
        loop {
            let piece = stream.read(CHUNK, Duration::ZERO);
            assert!(piece.bytes.len() < CHUNK + 1_000, "{}", piece.bytes.len());
            (bytes, pieces) = (bytes + piece.bytes.len(), pieces + 1);
            if piece.is_last {
                assert_eq!(piece.missed, 10);
                break;
            }
        }
        assert!(pieces > BUFFERS * 92 / CHUNK && bytes > BUFFERS * 92, "{pieces} pieces of {bytes} bytes");
        assert_eq!(stream.written.load(Relaxed), BUFFERS as u64);
        // There are buffers again.
        shared.take(0, &[1; 60]);
        assert_eq!(shared.counted()[0], (1, 0));
    }
}
