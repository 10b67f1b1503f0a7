//! Just enough HTTP/1.1 to hold a connection open and ask it one thing after another.

use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;

/// What a real server answered.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The real server's name, from its `X-Server` header.
    pub server: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An HTTP connection that is kept open.
#[derive(Debug)]
pub struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    /// Talks HTTP over a connection.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// The connection below.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// The connection below, for an ending of one's own choice.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// Asks for a path and waits for the answer.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.ask(path)?;
        self.answer()
    }

    /// Sends a request without waiting for its answer.
    pub fn ask(&mut self, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: story\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// Reads the answer to the oldest request that has none yet.
    pub fn answer(&mut self) -> io::Result<Response> {
        let status = self.line()?;
        let status =
            status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| odd(&status))?;
        let mut server = String::new();
        let mut length = 0;
        loop {
            let header = self.line()?;
            if header.is_empty() {
                break;
            }
            match header.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().map_err(|_| odd(&header))?;
                }
                Some((name, value)) if name.eq_ignore_ascii_case("x-server") => server = value.to_owned(),
                Some(_) => {}
                None => return Err(odd(&header)),
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Response { status, server, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn odd(line: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not HTTP: {line:?}"))
}
