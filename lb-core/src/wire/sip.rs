//! SIP messages, RFC 3261: lines, and headers by name.
//!
//! Lines end with CR LF, and with either alone where older programs made them (RFC 2543). A line that begins with a space goes
//! on with the one before. Nothing here trusts a length or allocates; a text is looked through once.

/// The longest Call-ID that is one (`IP_VS_PEDATA_MAXLEN` of Linux).
pub const MAX_CALL_ID: usize = 255;

/// A line of a text: what is in it, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it begins.
    pub at: usize,
    /// What it says.
    pub text: &'a [u8],
    /// Where the next begins.
    pub next: usize,
}

/// The line that begins there, if one does that ends.
#[must_use]
pub fn line(text: &[u8], at: usize) -> Option<Line<'_>> {
    let rest = text.get(at..)?;
    let len = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let end = if rest[len..].starts_with(b"\r\n") { 2 } else { 1 };
    Some(Line { at, text: &rest[..len], next: at + len + end })
}

/// All lines from there on up to an empty one.
pub fn lines(text: &[u8], at: usize) -> impl Iterator<Item = Line<'_>> {
    std::iter::successors(line(text, at), |before| line(text, before.next))
        .take_while(|line| !line.text.is_empty())
}

/// A header's value, if the line is that header: its name, or its short one (RFC 3261 7.3.3), in letters of any size. Where the
/// value begins in the line, and the value, spaces around it included.
#[must_use]
pub fn value<'a>(line: &Line<'a>, name: &[u8], short: u8) -> Option<(usize, &'a [u8])> {
    let colon = line.text.iter().position(|&byte| byte == b':')?;
    let said = line.text[..colon].trim_ascii_end();
    let is_it = said.eq_ignore_ascii_case(name) || short != 0 && said.eq_ignore_ascii_case(&[short]);
    is_it.then(|| (colon + 1, &line.text[colon + 1..]))
}

/// Whether a line goes on with the one before.
#[must_use]
pub fn continues(line: &Line<'_>) -> bool {
    matches!(line.text.first(), Some(b' ' | b'\t'))
}

/// A message's Call-ID: one word of at most [`MAX_CALL_ID`] bytes, in a line that ends.
#[must_use]
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    let mut is_due = false;
    for line in lines(message, 0) {
        let said = match value(&line, b"call-id", b'i') {
            _ if is_due => continues(&line).then_some(line.text)?,
            Some((_, said)) => said,
            None => continue,
        };
        let id = said.trim_ascii();
        if !id.is_empty() {
            let is_word = id.len() <= MAX_CALL_ID && id.iter().all(u8::is_ascii_graphic);
            return is_word.then_some(id);
        }
        is_due = true;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id_of(headers: &str) -> Option<&str> {
        call_id(headers.as_bytes()).map(|id| str::from_utf8(id).unwrap())
    }

    #[test]
    fn the_call_id_by_any_of_its_names() {
        for name in ["Call-ID:", "call-id :", "CALL-ID:\t", "i:", "I : "] {
            let message = format!("INVITE sip:b@192.0.2.100 SIP/2.0\r\nTo: <sip:b@x>\r\n{name} 1@x \r\n\r\n");
            assert_eq!(id_of(&message), Some("1@x"), "{name}");
        }
        assert_eq!(id_of("SIP/2.0 200 OK\nCall-ID: a\n"), Some("a"), "lines of an older kind");
        assert_eq!(id_of("SIP/2.0 200 OK\rCall-ID: a\r"), Some("a"));
        assert_eq!(id_of("SIP/2.0 200 OK\r\nCall-ID:\r\n a@x\r\n"), Some("a@x"), "folded");
    }

    #[test]
    fn anything_else_is_none() {
        let long = format!("x\r\ni: {}\r\n", "x".repeat(256));
        for message in [
            "",
            "\r\n\r\n",
            "INVITE sip:b@192.0.2.100 SIP/2.0\r\nVia: i: 1\r\n",
            "OPTIONS x\r\nCall-ID: cut",
            "OPTIONS x\r\nCall-ID: \r\nVia: x\r\n",
            "OPTIONS x\r\nCall-ID: two words\r\n",
            "OPTIONS x\r\nX-Call-ID: 1\r\n",
            "OPTIONS x\r\n\r\nCall-ID: of-a-body\r\n",
            &long,
        ] {
            assert_eq!(id_of(message), None, "{message:?}");
        }
        assert_eq!(id_of(&format!("x\r\ni: {}\r\n", "x".repeat(255))).map(str::len), Some(255));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            prop_assert!(call_id(&bytes).is_none_or(|id| id.len() <= MAX_CALL_ID));
            let read: usize = lines(&bytes, 0).map(|line| line.next - line.at).sum();
            prop_assert!(read <= bytes.len());
        }
    }
}
