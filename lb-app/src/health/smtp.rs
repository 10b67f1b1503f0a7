//! The beginning of an SMTP session as a check (RFC 5321): a greeting, an answer to HELO, and a farewell.

use super::target::{Finding, plain};
use crate::config::health::Smtp;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Most bytes of an answer: a line has 512, and some servers greet with several.
const MOST: u64 = 8 << 10;

/// Asks over a connection that is open.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: S, check: &Smtp) -> Finding {
    let mut stream = BufReader::new(stream);
    expect(&mut stream, "its greeting", "220").await?;
    say(&mut stream, &format!("HELO {}\r\n", check.helo)).await?;
    expect(&mut stream, "its answer to HELO", "250").await?;
    // It works, whether it hears this or not; but it does not log a lost connection.
    let _ = say(&mut stream, "QUIT\r\n").await;
    let _ = expect(&mut stream, "its answer to QUIT", "221").await;
    Ok(())
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, line: &str) -> Finding {
    stream.write_all(line.as_bytes()).await.map_err(|error| plain(&error))?;
    stream.flush().await.map_err(|error| plain(&error))
}

/// Reads an answer, which may have several lines, and compares its code.
async fn expect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    what: &str,
    code: &str,
) -> Finding {
    let mut left = MOST;
    loop {
        let mut line = Vec::new();
        let read = stream.take(left).read_until(b'\n', &mut line).await.map_err(|error| plain(&error))?;
        left -= read as u64;
        if left == 0 {
            return Err(format!("{what} is too long"));
        }
        if read == 0 {
            return Err(format!("it closed the connection before {what}"));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.starts_with(code) {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
            return Err(format!("{what} is {shown:?}, not {code}"));
        }
        // A hyphen behind the code says that more lines follow.
        if text.as_bytes().get(code.len()) != Some(&b'-') {
            return Ok(());
        }
    }
}
