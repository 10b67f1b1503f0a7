//! Asking an agent on a server, as HAProxy's agent-check does: a connection, on which it says one line.

use super::{advice::Told, target::plain};
use crate::config::health::Agent;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Most bytes of an answer that are read.
const MOST: u64 = 1 << 10;

/// Hears what it says over a connection that is open.
///
/// # Errors
/// What is wrong with the answer.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    agent: &Agent,
) -> Result<Told, String> {
    if !agent.send.is_empty() {
        // One that answers without having read this has answered.
        let _ = stream.write_all(agent.send.as_bytes()).await;
        let _ = stream.flush().await;
    }
    let mut answer = Vec::new();
    let mut stream = stream.take(MOST);
    let mut chunk = [0; 256];
    while !answer.contains(&b'\n') && !answer.contains(&b'\r') {
        match stream.read(&mut chunk).await {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            // What it said before it reset the connection counts.
            Err(_) if !answer.is_empty() => break,
            Err(error) => return Err(plain(&error)),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    match text.lines().next().unwrap_or_default().trim() {
        "" => Err("it closed the connection without a word".to_owned()),
        line => Told::read(line),
    }
}
