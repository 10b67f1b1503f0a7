//! Connection IDs that name their server, draft-ietf-quic-load-balancers-21 ("QUIC-LB"): which configuration of several they
//! are of, the server's name and a nonce, all but the first byte encrypted where there is a key.

use super::quic::{MOST_NAME_LEN, Name};
use aes::{
    Aes128,
    cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit},
};

/// How many configurations there can be at a time. The last number is of IDs that name nobody, section 3.1.
pub const CONFIGURATIONS: usize = 7;
/// Bytes of a name and a nonce together, of an ID of QUIC version 1, at most.
pub const MOST_LEN: u8 = 19;
/// Bytes of a nonce, at least.
pub const LEAST_NONCE_LEN: u8 = 4;
/// Bytes of a key.
pub const KEY_LEN: usize = 16;

/// Bytes of a block of AES: where name and nonce have as many they are one, section 5.4.1.
const BLOCK_LEN: usize = 16;
/// Bits of a block.
const BLOCK_BITS: u32 = 128;

/// The number of the configuration that a connection ID is of, section 3.1.
#[inline]
#[must_use]
pub fn rotation(id: &[u8]) -> Option<usize> {
    id.first().map(|first| usize::from(first >> 5)).filter(|number| *number < CONFIGURATIONS)
}

/// How one configuration has servers' names in connection IDs.
#[derive(Clone)]
pub struct Encoding {
    /// Bytes of a name.
    name_len: u8,
    /// Bytes of name and nonce.
    len: u8,
    /// With the key, if there is one.
    cipher: Option<Aes128>,
}

impl Encoding {
    /// With names and nonces of so many bytes.
    ///
    /// `None` if there cannot be such.
    #[must_use]
    pub fn new(name_len: u8, nonce_len: u8, key: Option<&[u8; KEY_LEN]>) -> Option<Self> {
        let len = name_len.checked_add(nonce_len).filter(|len| *len <= MOST_LEN)?;
        let fits = (1..=MOST_NAME_LEN).contains(&usize::from(name_len)) && nonce_len >= LEAST_NONCE_LEN;
        fits.then(|| Encoding { name_len, len, cipher: key.map(|key| Aes128::new(&(*key).into())) })
    }

    /// Bytes of the names that it has.
    #[must_use]
    pub const fn name_len(&self) -> u8 {
        self.name_len
    }

    /// The name in a connection ID that begins so. `None` if it is too short.
    #[inline]
    #[must_use]
    pub fn name(&self, id: &[u8]) -> Option<Name> {
        let (len, name_len) = (usize::from(self.len), usize::from(self.name_len));
        let text = id.get(1..=len)?;
        let bits = match &self.cipher {
            None => top(text),
            Some(cipher) if len == BLOCK_LEN => {
                let mut block = top(text).to_be_bytes().into();
                cipher.decrypt_block(&mut block);
                u128::from_be_bytes(block.into())
            }
            Some(cipher) => self.unmixed(cipher, text),
        };
        Name::of_bits(name_len, bits >> (BLOCK_BITS - 8 * u32::from(self.name_len)))
    }

    /// The first bytes of what was encrypted by four passes, section 5.5.2; the fourth only if the name reaches into the
    /// right half. Both halves are as bits of a block from its first on. Where the number of bytes is odd, the last four bits
    /// of the left half's last byte are not its, nor are the first four of the right half's first.
    fn unmixed(&self, cipher: &Aes128, text: &[u8]) -> u128 {
        let halves = Halves::of(self.len);
        let mixed = |half: u128, pass: u8| {
            let mut block = (half | u128::from(self.len) << 8 | u128::from(pass)).to_be_bytes().into();
            cipher.encrypt_block(&mut block);
            u128::from_be_bytes(block.into())
        };
        let (mut left, mut right) = halves.split(text);
        left ^= mixed(right, 4) & halves.left;
        right ^= mixed(left, 3) & halves.right;
        left ^= mixed(right, 2) & halves.left;
        if u32::from(self.name_len) * 8 <= halves.bits {
            return left;
        }
        right ^= mixed(left, 1) & halves.right;
        left | right << halves.gap >> halves.bits
    }
}

/// Where the halves of a text are.
struct Halves {
    /// Bits that each has.
    bits: u32,
    /// Bytes that each touches.
    bytes: usize,
    /// Bits of the right half's first byte that are the left's.
    gap: u32,
    /// Which bits of a block are the left half's.
    left: u128,
    /// Which are the right's.
    right: u128,
}

impl Halves {
    /// Of a text of so many bytes, 19 at most.
    fn of(len: u8) -> Self {
        let bits = u32::from(len) * 4;
        let (bytes, gap) = (usize::from(len.div_ceil(2)), u32::from(len % 2) * 4);
        let (left, right) = (u128::MAX << (BLOCK_BITS - bits), u128::MAX << (BLOCK_BITS - bits - gap));
        Halves { bits, bytes, gap, left, right: right & u128::MAX >> gap }
    }

    fn split(&self, text: &[u8]) -> (u128, u128) {
        let left = top(&text[..self.bytes]) & self.left;
        (left, top(&text[text.len() - self.bytes..]) & self.right)
    }
}

/// The first bytes, up to a block, as the first bits of one.
#[inline]
fn top(bytes: &[u8]) -> u128 {
    let mut block = [0; BLOCK_LEN];
    let len = bytes.len().min(BLOCK_LEN);
    block[..len].copy_from_slice(&bytes[..len]);
    u128::from_be_bytes(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn hex(digits: &str) -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn key(digits: &str) -> [u8; KEY_LEN] {
        hex(digits).try_into().unwrap()
    }

    /// A connection ID as section 5.4 has servers make it, byte by byte and nibble by nibble, with nothing of the code above
    /// but AES.
    fn encoded(first: u8, name: &[u8], nonce: &[u8], key: Option<[u8; KEY_LEN]>) -> Vec<u8> {
        let text = [name, nonce].concat();
        let Some(key) = key else { return [&[first][..], &text].concat() };
        let aes = |block: [u8; 16]| -> [u8; 16] {
            let mut block = block.into();
            Aes128::new(&key.into()).encrypt_block(&mut block);
            block.into()
        };
        if text.len() == 16 {
            return [&[first][..], &aes(text.try_into().unwrap())].concat();
        }
        let half_len = text.len().div_ceil(2);
        let is_odd = text.len() % 2 == 1;
        let mut left = text[..half_len].to_vec();
        let mut right = text[text.len() - half_len..].to_vec();
        let clear = |left: &mut [u8], right: &mut [u8]| {
            if is_odd {
                left[half_len - 1] &= 0xf0;
                right[0] &= 0x0f;
            }
        };
        clear(&mut left, &mut right);
        for pass in 1..=4 {
            let (from, to) = if pass % 2 == 1 { (&left, &mut right) } else { (&right, &mut left) };
            let mut block = [0; 16];
            block[..half_len].copy_from_slice(from);
            (block[14], block[15]) = (text.len() as u8, pass);
            let mixed = aes(block);
            to.iter_mut().zip(mixed).for_each(|(byte, with)| *byte ^= with);
            clear(&mut left, &mut right);
        }
        if is_odd {
            left[half_len - 1] |= right.remove(0);
        }
        [&[first][..], &left, &right].concat()
    }

    /// Appendix B.1 and B.2. What has 3 as its number in the last of them has 0 in its first byte, and the second of the first
    /// misses a digit of its nonce; the bytes behind are as they should be.
    #[test]
    fn the_drafts_examples_are_read_and_written() {
        const KEY: &str = "8f95f09245765f80256934e50c66207f";
        for (number, name, nonce, secret, id) in [
            (0, "c4605e", "4504cc4f", None, "07c4605e4504cc4f"),
            (1, "350d28b420", "3487d9700b", None, "2a350d28b4203487d9700b"),
            (0, "ed793a", "ee080dbf", Some(KEY), "0720b1d07b359d3c"),
            (1, "ed793a51d49b8f5fab65", "ee080dbf48", Some(KEY), "2fcc381bc74cb4fbad2823a3d1f8fed2"),
            (2, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", Some(KEY), "504dd2d05a7b0de9b2b9907afb5ecf8cc3"),
            (
                0,
                "ed793a51d49b8f5fab",
                "ee080dbf48c0d1e55d",
                Some(KEY),
                "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc",
            ),
            // Section 5.4.2.3.
            (0, "31441a", "9c69c275", Some("fdf726a9893ec05c0632d3956680baf0"), "0767947d29be054a"),
        ] {
            let (bytes, secret) = (hex(id), secret.map(key));
            let [name_len, nonce_len] = [name, nonce].map(|digits| digits.len() as u8 / 2);
            let encoding = Encoding::new(name_len, nonce_len, secret.as_ref()).unwrap();
            assert_eq!(rotation(&bytes), Some(number), "{id}");
            assert_eq!(encoding.name(&bytes), name.parse().ok(), "{id}");
            assert_eq!(encoded(bytes[0], &hex(name), &hex(nonce), secret), bytes, "{id}");
        }
    }

    #[test]
    fn the_last_number_names_nobody() {
        assert_eq!([0x00, 0x20, 0xc0, 0xdf].map(|first| rotation(&[first])), [0, 1, 6, 6].map(Some));
        assert_eq!([0xe0, 0xff].map(|first| rotation(&[first])), [None, None]);
        assert_eq!(rotation(&[]), None);
    }

    #[test]
    fn lengths_have_bounds() {
        let can_be = |name_len, nonce_len| Encoding::new(name_len, nonce_len, None).is_some();
        assert!(can_be(1, 4) && can_be(15, 4) && can_be(1, 18) && can_be(9, 10));
        for (name_len, nonce_len) in [(0, 4), (1, 3), (16, 4), (15, 5), (1, 19), (255, 4), (4, 255)] {
            assert!(!can_be(name_len, nonce_len), "{name_len} and {nonce_len}");
        }
    }

    /// Lengths of a name and a nonce that can be.
    fn lengths() -> impl Strategy<Value = (u8, u8)> {
        (1u8..=15).prop_flat_map(|name_len| (Just(name_len), 4..=MOST_LEN - name_len))
    }

    proptest! {
        #[test]
        fn what_servers_write_is_read(
            (name_len, nonce_len) in lengths(),
            (first, bytes) in (any::<u8>(), vec(any::<u8>(), 19)),
            key in proptest::option::of(any::<[u8; KEY_LEN]>()),
            more in vec(any::<u8>(), 0..8),
        ) {
            let (name, nonce) = bytes[..usize::from(name_len + nonce_len)].split_at(name_len.into());
            let encoding = Encoding::new(name_len, nonce_len, key.as_ref()).unwrap();
            let id = encoded(first, name, nonce, key);
            prop_assert_eq!(id.len(), 1 + usize::from(name_len + nonce_len));
            prop_assert_eq!(encoding.name(&id[..id.len() - 1]), None, "it is too short");
            // What is behind is the server's own business, section 5.3, or is not of the ID.
            prop_assert_eq!(encoding.name(&[id, more].concat()), Name::of_bytes(name));
        }

        #[test]
        fn any_bytes_can_be_read(
            (name_len, nonce_len) in lengths(),
            id in vec(any::<u8>(), 0..40),
            key in proptest::option::of(any::<[u8; KEY_LEN]>()),
        ) {
            let encoding = Encoding::new(name_len, nonce_len, key.as_ref()).unwrap();
            let is_whole = id.len() > usize::from(name_len + nonce_len);
            prop_assert_eq!(encoding.name(&id).map(Name::width), is_whole.then_some(Some(name_len)));
        }
    }
}
