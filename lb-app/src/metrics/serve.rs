//! The HTTP server that metrics are read from.
//!
//! Anybody may connect, so nobody may stay: clients have a time to ask, a time to read an answer, and a time in all; and
//! where all seats are taken, the oldest makes room for whoever comes (see [`super::seats`]).

use super::{
    console::{Ask, Console},
    facts::Facts,
    seats::{Seat, Seats, Ticket},
    text::Format,
    whole,
};
use crate::journal::{Happened, Journal};
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Frame, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use lb_ctl::protocol::events::Kind;
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    fmt, io,
    net::{IpAddr, SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle, Runtime},
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::debug;

/// Connections at the same time, in all and of one peer.
const MOST_CONNECTIONS: (usize, usize) = (16, 8);
/// Scrapes at the same time.
const MOST_SCRAPES: usize = 4;
/// How long a scrape waits for one that ends by itself, before the oldest makes room.
const TURN: Duration = Duration::from_secs(1);
/// How long a client may take to send a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to read an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a connection lasts, if another request comes whenever one is answered.
const LIFETIME: Duration = Duration::from_secs(60);
/// Bytes of a request's head, at most.
const MOST_HEAD: usize = 16 << 10;
/// Pieces of text that wait for the network.
const PIECES: usize = 4;
/// Time until an address that cannot be listened on is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Where facts come from; nothing when the director has ended.
pub(crate) type Source = Arc<dyn Fn() -> Option<Facts> + Send + Sync>;

/// Where metrics are served, or why they are not yet.
pub(crate) type Place = Result<SocketAddr, String>;

/// Serves metrics until it is stopped.
pub(crate) struct Exporter {
    runtime: Runtime,
    place: watch::Receiver<Place>,
}

impl Exporter {
    /// Starts serving metrics, and the page if there is a way to ask what it shows. An address that cannot be listened on, because another program does, or since it is not there
    /// yet, is tried again and again: that nobody can look is no reason not to forward.
    ///
    /// # Errors
    /// When there are no threads for it.
    pub(crate) fn start(
        listen: SocketAddr,
        source: Source,
        console: Option<Ask>,
        journal: &Arc<Journal>,
    ) -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("lb-metrics").enable_all().build()?;
        let bound = bind(listen, runtime.handle());
        let (told, place) = watch::channel(place_of(listen, &bound));
        match &*place.borrow() {
            Ok(address) => journal.tell(served(*address, console.is_some())),
            Err(reason) => {
                let text = format!("{reason}; trying again every {} s", AGAIN.as_secs());
                journal.tell(Happened::new(Kind::MetricsUnavailable, text));
            }
        }
        let shared = Shared {
            source,
            console: console.map(Console::new),
            scrapes: Seats::new(MOST_SCRAPES, MOST_SCRAPES),
        };
        runtime.spawn(serve(listen, bound, told, Arc::new(shared), journal.clone()));
        Ok(Exporter { runtime, place })
    }

    /// Where metrics are served, or why they are not yet, now and later.
    pub(crate) fn place(&self) -> watch::Receiver<Place> {
        self.place.clone()
    }

    /// Stops serving, in the middle of a scrape if need be. To be called by a thread that may wait.
    pub(crate) fn stop(self) {
        self.runtime.shutdown_timeout(Duration::from_millis(500));
    }
}

/// What all clients share.
struct Shared {
    source: Source,
    console: Option<Console>,
    scrapes: Arc<Seats>,
}

fn served(address: SocketAddr, with_page: bool) -> Happened {
    let page = if with_page { format!(", and the page at http://{address}/") } else { String::new() };
    Happened::new(Kind::MetricsServed, format!("metrics are at http://{address}/metrics{page}"))
}

fn bind(listen: SocketAddr, runtime: &Handle) -> io::Result<tokio::net::TcpListener> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let _guard = runtime.enter();
    tokio::net::TcpListener::from_std(listener)
}

fn place_of(listen: SocketAddr, bound: &io::Result<tokio::net::TcpListener>) -> Place {
    match bound.as_ref().map(tokio::net::TcpListener::local_addr) {
        Ok(address) => Ok(address.unwrap_or(listen)),
        Err(error) => Err(format!("cannot serve metrics at {listen}: {error}")),
    }
}

async fn serve(
    listen: SocketAddr,
    mut bound: io::Result<tokio::net::TcpListener>,
    told: watch::Sender<Place>,
    shared: Arc<Shared>,
    journal: Arc<Journal>,
) {
    loop {
        let place = place_of(listen, &bound);
        told.send_if_modified(|told| {
            let is_news = *told != place;
            if let (true, Ok(address)) = (is_news, &place) {
                journal.tell(served(*address, shared.console.is_some()));
            }
            *told = place;
            is_news
        });
        match bound {
            Ok(listener) => return accept(listener, shared).await,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
        bound = bind(listen, &Handle::current());
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let (most, per_peer) = MOST_CONNECTIONS;
    let connections = Seats::new(most, per_peer);
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // No file descriptor, say. It may be better later.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let ticket = connections.come();
        let seat = connections.take(peer.ip(), ticket);
        let client = Client { peer: peer.ip(), seats: connections.clone(), first: Mutex::new(Some(ticket)) };
        tokio::spawn(converse(stream, client, seat, shared.clone()));
    }
}

/// Who asks.
struct Client {
    peer: IpAddr,
    seats: Arc<Seats>,
    /// Until its first request: when it connected.
    first: Mutex<Option<Ticket>>,
}

impl Client {
    /// When it came with this request. Connections that wait to be read are read in any order; so with its first, it came
    /// when it connected.
    fn ticket(&self) -> Ticket {
        self.first.lock().take().unwrap_or_else(|| self.seats.come())
    }
}

/// Answers a client until it goes, has to make room, or has been there for long enough.
async fn converse(stream: TcpStream, client: Client, seat: Seat, shared: Arc<Shared>) {
    let peer = client.peer;
    let answer = service_fn(|request| answer(request, &client, shared.clone()));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MOST_HEAD);
    let connection = server.serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let over = tokio::time::sleep(LIFETIME);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => Some(outcome),
        () = seat.leave() => None,
        () = over => {
            // What is being answered is.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = connection.as_mut() => Some(outcome),
                () = seat.leave() => None,
                () = tokio::time::sleep(ANSWER) => None,
            }
        }
    };
    match outcome {
        Some(Ok(())) => {}
        Some(Err(error)) => debug!("metrics: {peer}: {error}"),
        None => debug!("metrics: disconnected {peer}: its time was up"),
    }
}

type Answer = Response<Either<Full<Bytes>, Pieces>>;

async fn answer(
    request: Request<Incoming>,
    client: &Client,
    shared: Arc<Shared>,
) -> Result<Answer, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(answer);
    }
    let path = request.uri().path();
    if path == "/metrics" {
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let format = Format::accepted(accept.unwrap_or_default());
        return Ok(scrape(format, client, shared.source.clone(), &shared.scrapes).await);
    }
    if let Some(console) = &shared.console
        && let Some(answer) = console.answer(path, request.uri().query().unwrap_or_default()).await
    {
        return Ok(answer.map(Either::Left));
    }
    Ok(match path {
        "/" => plain(StatusCode::OK, "lb-app: metrics are at /metrics\n"),
        _ => plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n"),
    })
}

async fn scrape(format: Format, client: &Client, source: Source, scrapes: &Arc<Seats>) -> Answer {
    let ticket = client.ticket();
    let end = Instant::now() + TURN;
    while scrapes.are_taken() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seat = scrapes.take(client.peer, ticket);
    // Made as fast as it is read: a large director's text need not be in memory as a whole.
    let (made, made_pieces) = mpsc::channel(1);
    let (passed, pieces) = mpsc::channel(PIECES);
    drop(tokio::task::spawn_blocking(move || {
        let Some(facts) = source() else { return };
        let mut goes_on = true;
        let mut give = |piece| goes_on = goes_on && made.blocking_send(piece).is_ok();
        whole::write(&facts, format, |text| give(Piece::Text(Bytes::from(text))));
        give(Piece::End);
    }));
    tokio::spawn(async move {
        // A client that has gone away, takes too long or has to make room gets no more.
        tokio::select! {
            () = pass_on(made_pieces, passed) => {}
            () = seat.leave() => {}
            () = tokio::time::sleep(ANSWER) => {}
        }
    });
    let mut response = Response::new(Either::Right(Pieces(pieces)));
    let kind = format.content_type().parse().expect("a valid value");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Passes pieces on, until there are no more or nobody reads them.
async fn pass_on(mut from: mpsc::Receiver<Piece>, to: mpsc::Sender<Piece>) {
    while let Some(piece) = from.recv().await
        && to.send(piece).await.is_ok()
    {}
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response
}

/// A piece of a body.
enum Piece {
    Text(Bytes),
    /// That was all of it.
    End,
}

/// A body that comes piece by piece.
struct Pieces(mpsc::Receiver<Piece>);

/// There would have been more: what has come so far must not pass for everything.
#[derive(Debug)]
struct Cut;

impl Body for Pieces {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.0.poll_recv(context).map(|piece| match piece {
            Some(Piece::Text(text)) => Some(Ok(Frame::data(text))),
            Some(Piece::End) => None,
            None => Some(Err(Cut)),
        })
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client took too long")
    }
}

impl std::error::Error for Cut {}
