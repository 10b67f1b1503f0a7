//! HTTP requests as a check, with TLS or without: one after the other, each over a connection of its own.

use super::{
    eager::Eager,
    means::Means,
    target::{Finding, plain},
};
use crate::config::health::{Digest, Http, Page, Tls};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sha2::Digest as _;
use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

/// How much of a body is matched.
const MOST_BODY: usize = 1 << 20;

/// Asks for all pages, over connections that `connect` opens.
pub(super) async fn ask<S, F>(means: &Means, connect: impl Fn() -> F, to: SocketAddr, check: &Http) -> Finding
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<S, String>>,
{
    for page in &check.pages {
        let found = async {
            let stream = connect().await?;
            match &check.tls {
                None => exchange(stream, to, page).await,
                Some(tls) => exchange(secure(means, stream, to, page, tls).await?, to, page).await,
            }
        };
        found.await.map_err(|reason| match check.only() {
            Some(_) => reason,
            None => format!("{}: {reason}", page.path),
        })?;
    }
    Ok(())
}

async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    means: &Means,
    stream: S,
    to: SocketAddr,
    page: &Page,
    tls: &Tls,
) -> Result<tokio_rustls::client::TlsStream<S>, String> {
    let config = means.trust.config(tls)?;
    let name = tls
        .sni
        .as_deref()
        .or(page.host.as_deref().map(without_port))
        .and_then(|name| ServerName::try_from(name.to_owned()).ok());
    let name = name.unwrap_or_else(|| ServerName::IpAddress(to.ip().into()));
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(|error| format!("no TLS: {}", plain(&error)))
}

async fn exchange<S>(stream: S, to: SocketAddr, page: &Page) -> Finding
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(Eager::new(stream))).await.map_err(|error| words(&error))?;
    let _connection = Guard(tokio::spawn(async move {
        // What goes wrong shows in the answer.
        let _ = connection.await;
    }));
    let host = page.host.clone().unwrap_or_else(|| authority(to));
    let request = Request::builder()
        .method(page.method.as_str())
        .uri(&page.path)
        .header("Host", host)
        .header("User-Agent", concat!("lb-app/", env!("CARGO_PKG_VERSION")))
        .header("Connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("cannot send the request: {error}"))?;
    let response = sender.send_request(request).await.map_err(|error| words(&error))?;
    let status = response.status().as_u16();
    if !page.status.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
        return Err(format!("it answered with status {status}"));
    }
    if page.body.is_none() && page.digest.is_none() {
        return Ok(());
    }
    read(response.into_body(), page).await
}

/// An address and port as a `Host` field has them: RFC 9110 7.2, RFC 3986 3.2.2.
fn authority(to: SocketAddr) -> String {
    match (to.port(), to.ip()) {
        (80 | 443, IpAddr::V4(address)) => address.to_string(),
        (80 | 443, IpAddr::V6(address)) => format!("[{address}]"),
        _ => to.to_string(),
    }
}

/// The host of a `Host` field.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Reads a body, as far as anything is to be known of it.
async fn read(mut body: Incoming, page: &Page) -> Finding {
    let mut summing = page.digest.map(Summing::new);
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| words(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if page.body.is_some() {
            read.extend_from_slice(&data[..data.len().min(MOST_BODY - read.len())]);
        }
        match &mut summing {
            Some(summing) => summing.add(&data),
            None if read.len() == MOST_BODY => break,
            None => {}
        }
    }
    if let Some(pattern) = page.body.as_ref().filter(|pattern| !pattern.0.is_match(&read)) {
        return Err(format!("its answer does not match {:?}", pattern.0.as_str()));
    }
    match (page.digest, summing.map(Summing::done)) {
        (Some(wanted), Some(found)) if found != wanted => {
            Err(format!("its answer has the digest {found}, not {wanted}"))
        }
        _ => Ok(()),
    }
}

/// A digest of what comes piece by piece.
enum Summing {
    Md5(md5::Md5),
    Sha256(sha2::Sha256),
}

impl Summing {
    /// One of the same kind.
    fn new(wanted: Digest) -> Self {
        match wanted {
            Digest::Md5(_) => Summing::Md5(md5::Md5::new()),
            Digest::Sha256(_) => Summing::Sha256(sha2::Sha256::new()),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        match self {
            Summing::Md5(sum) => sum.update(bytes),
            Summing::Sha256(sum) => sum.update(bytes),
        }
    }

    fn done(self) -> Digest {
        match self {
            Summing::Md5(sum) => Digest::Md5(sum.finalize().into()),
            Summing::Sha256(sum) => Digest::Sha256(sum.finalize().into()),
        }
    }
}

/// What an HTTP error comes from, in plain words.
fn words(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "it closed the connection without an answer".to_owned();
    }
    if error.is_parse() {
        return "its answer is not HTTP".to_owned();
    }
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.map_or_else(|| error.to_string(), plain)
}

/// Ends the task that serves a connection when the check is over, however that happens.
struct Guard(JoinHandle<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_field_is_read_and_written() {
        let written = |to: &str| authority(to.parse().unwrap());
        assert_eq!(written("192.0.2.11:80"), "192.0.2.11");
        assert_eq!(written("192.0.2.11:8080"), "192.0.2.11:8080");
        assert_eq!(written("[2001:db8::11]:443"), "[2001:db8::11]");
        assert_eq!(written("[2001:db8::11]:8443"), "[2001:db8::11]:8443");
        for (host, name) in [
            ("www.example.org", "www.example.org"),
            ("www.example.org:8443", "www.example.org"),
            ("192.0.2.11:8443", "192.0.2.11"),
            ("[2001:db8::11]", "2001:db8::11"),
            ("[2001:db8::11]:8443", "2001:db8::11"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
