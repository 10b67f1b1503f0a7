//! A stream on which a server may answer before it has read what it is asked.
//!
//! Some servers answer at once, close, and read nothing. What is sent to them then meets a reset, and what they said is
//! there all the same; `curl` reads it. So whatever becomes of the request, the answer is read; and not before the
//! request has been sent, since an answer to nothing is an error to whoever speaks HTTP.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose other end is in a hurry.
pub(super) struct Eager<S> {
    stream: S,
    /// Something has been sent, or could not be.
    asked: bool,
    /// Sending has failed.
    deaf: bool,
    reader: Option<Waker>,
}

impl<S> Eager<S> {
    pub(super) fn new(stream: S) -> Self {
        Eager { stream, asked: false, deaf: false, reader: None }
    }

    /// From here on there may be an answer.
    fn asked(&mut self) {
        self.asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Eager<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Eager<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(outcome) => outcome,
        };
        self.asked();
        Poll::Ready(Ok(outcome.unwrap_or_else(|_| {
            self.deaf = true;
            bytes.len()
        })))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.deaf |= matches!(outcome, Poll::Ready(Err(_)));
        outcome.map(|_| Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It may be the other end that has closed.
        Pin::new(&mut self.stream).poll_shutdown(context).map(|_| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn an_answer_is_read_whatever_becomes_of_the_question() {
        let (near, mut far) = duplex(64);
        far.write_all(b"answer").await.unwrap();
        drop(far);
        let mut eager = Eager::new(near);
        let mut answer = String::new();
        let early =
            tokio::time::timeout(std::time::Duration::from_millis(20), eager.read_to_string(&mut answer));
        assert!(early.await.is_err(), "nobody has asked yet");
        eager.write_all(b"question").await.unwrap();
        eager.write_all(b"more of it").await.unwrap();
        eager.flush().await.unwrap();
        eager.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }
}
