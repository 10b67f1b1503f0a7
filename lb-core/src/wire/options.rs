//! The options of a TCP header, RFC 9293 3.1.

use super::tcp::HEADER_LEN;

/// End of the list.
const END: u8 = 0;
/// Nothing: fills gaps.
pub const NOTHING: u8 = 1;
/// Selective acknowledgements, RFC 2018: pairs of numbers between which all has arrived.
pub const SACK: u8 = 5;
/// Fast open, RFC 7413: a cookie, or the wish for one.
pub const FAST_OPEN: u8 = 34;
/// The same as long as it was an experiment, RFC 6994: told by the magic number behind kind and length.
pub const EXPERIMENT: u8 = 254;
/// Fast open's number among experiments.
pub const FAST_OPEN_EXPERIMENT: [u8; 2] = [0xf9, 0x89];

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOption {
    /// What it is.
    pub kind: u8,
    /// Where it begins in the header.
    pub at: usize,
    /// Bytes that it takes, kind and length included.
    pub len: usize,
}

/// The options of a whole header, but for those that fill gaps. The walk ends where a length is wrong.
pub fn options(header: &[u8]) -> impl Iterator<Item = TcpOption> {
    let mut at = HEADER_LEN;
    std::iter::from_fn(move || {
        while header.get(at) == Some(&NOTHING) {
            at += 1;
        }
        let (kind, len) = (*header.get(at)?, usize::from(*header.get(at + 1)?));
        if kind == END || len < 2 || at + len > header.len() {
            return None;
        }
        let option = TcpOption { kind, at, len };
        at += len;
        Some(option)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Vec<(u8, usize, usize)> {
        let header = [&[0; HEADER_LEN], bytes].concat();
        options(&header).map(|option| (option.kind, option.at, option.len)).collect()
    }

    #[test]
    fn options_are_found_one_after_the_other() {
        assert_eq!(walk(&[]), []);
        assert_eq!(walk(&[1, 1, 8, 4, 0, 0, 2, 4, 5, 180]), [(8, 22, 4), (2, 26, 4)]);
        assert_eq!(walk(&[3, 3, 7, 0, 2, 4, 5, 180]), [(3, 20, 3)], "the end of the list");
        assert_eq!(walk(&[3, 1, 7, 0]), [], "shorter than itself");
        assert_eq!(walk(&[3, 9, 7, 0]), [], "longer than the header");
        assert_eq!(walk(&[1, 1, 1, 3]), [], "cut off");
    }
}
