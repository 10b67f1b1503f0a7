//! The HTTP server that metrics are read from.

use super::{facts::Facts, text::Format};
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Frame, Incoming},
    header::{ACCEPT, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Semaphore, mpsc},
};
use tracing::debug;

/// Connections at the same time; others wait.
const MOST_CONNECTIONS: usize = 16;
/// Scrapes at the same time; others wait.
const MOST_SCRAPES: usize = 2;
/// How long a client may take to send a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pieces of text that wait for the network.
const PIECES: usize = 4;

/// Where facts come from; nothing when the director has ended.
pub(crate) type Source = Arc<dyn Fn() -> Option<Facts> + Send + Sync>;

/// Serves metrics until it is stopped.
pub(crate) struct Exporter {
    runtime: Runtime,
    address: SocketAddr,
}

impl Exporter {
    /// Starts serving.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub(crate) fn start(listen: SocketAddr, source: Source) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("lb-metrics").enable_all().build()?;
        let guard = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(guard);
        runtime.spawn(accept(listener, source));
        Ok(Exporter { runtime, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops serving, in the middle of a scrape if need be. To be called by a thread that may wait.
    pub(crate) fn stop(self) {
        self.runtime.shutdown_timeout(Duration::from_millis(500));
    }
}

async fn accept(listener: tokio::net::TcpListener, source: Source) {
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let scrapes = Arc::new(Semaphore::new(MOST_SCRAPES));
    loop {
        let Ok(turn) = connections.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptor, say. It may be better later.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (source, scrapes) = (source.clone(), scrapes.clone());
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(request, source.clone(), scrapes.clone()));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
                debug!("metrics: {error}");
            }
            drop(turn);
        });
    }
}

type Answer = Response<Either<Full<Bytes>, Pieces>>;

async fn answer(
    request: Request<Incoming>,
    source: Source,
    scrapes: Arc<Semaphore>,
) -> Result<Answer, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
            scrape(Format::accepted(accept.unwrap_or_default()), source, scrapes).await
        }
        (&Method::GET, "/") => plain(StatusCode::OK, "lb-app: metrics are at /metrics\n"),
        (&Method::GET, _) => plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n"),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"),
    })
}

async fn scrape(format: Format, source: Source, scrapes: Arc<Semaphore>) -> Answer {
    let Ok(turn) = scrapes.acquire_owned().await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the director is ending\n");
    };
    let (pieces, body) = mpsc::channel(PIECES);
    // Made as fast as it is read: a large director's text need not be in memory as a whole.
    let made = tokio::task::spawn_blocking(move || {
        let Some(facts) = source() else { return };
        facts.write(format, |piece| {
            // A client that has gone away wants no more.
            let _ = pieces.blocking_send(Bytes::from(piece));
        });
        drop(turn);
    });
    drop(made);
    let mut response = Response::new(Either::Right(Pieces(body)));
    let kind = format.content_type().parse().expect("a valid value");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response
}

/// A body that comes piece by piece.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
