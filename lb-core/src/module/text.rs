//! Short texts: what a module has read of a line, and what it puts in the place of others.

use std::fmt;

/// Bytes that a module keeps of a line, and that it puts in the place of others: enough for an address of IPv6 and a port.
pub const MOST_TEXT: usize = Text::ROOM as usize;

/// A short text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    len: u8,
    bytes: [u8; MOST_TEXT],
}

impl Text {
    /// Bytes that there is room for.
    pub const ROOM: u16 = 62;

    /// No bytes.
    pub const EMPTY: Text = Text { len: 0, bytes: [0; MOST_TEXT] };

    /// As many of these bytes as there is room for.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let mut all = Text::EMPTY;
        text.iter().all(|&byte| all.push(byte));
        all
    }

    /// Adds a byte. `false` if there is no room.
    pub fn push(&mut self, byte: u8) -> bool {
        let Some(place) = self.bytes.get_mut(usize::from(self.len)) else { return false };
        *place = byte;
        self.len += 1;
        true
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> u16 {
        self.len as u16
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// As far as there is room.
impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| self.push(byte)) { Ok(()) } else { Err(fmt::Error) }
    }
}

/// A number of 16 bits of five digits at most, as ports and parts of addresses are said.
#[must_use]
pub fn number(text: &[u8]) -> Option<u16> {
    let digits = str::from_utf8(text).ok().filter(|text| text.len() <= 5)?;
    // A sign would do for a number, too.
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}
