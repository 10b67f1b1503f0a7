//! CRC32c, the checksum of SCTP (RFC 9260 6.8 and appendix A), and its incremental update.
//!
//! A CRC is linear: what a change of some bytes does to it follows from those bytes and from how many lie behind them, not
//! from what these are. So the checksum of a packet whose ports change is updated without reading the packet, and damage
//! on the way stays visible, as with the [Internet checksum](super::checksum).

/// The polynomial, its highest power in the lowest bit, as in all of this file.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What a byte does to the register that so many bytes follow: four bytes are then one step.
static BYTES: [[u32; 256]; 4] = bytes();

/// What 2^n zero bytes do to a register, for each n: for each of its eight digits of four bits, what that becomes. As many
/// as there are bits in the length of a packet.
static ZEROS: [[[u32; 16]; 8]; 16] = zeros();

/// The checksum of bytes.
#[must_use]
pub fn of(bytes: &[u8]) -> u32 {
    !read(!0, bytes)
}

/// The register once it has read those bytes.
#[must_use]
pub fn read(register: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let register = words.iter().fold(register, |register, word| {
        let [a, b, c, d] = (register ^ u32::from_le_bytes(*word)).to_le_bytes().map(usize::from);
        BYTES[3][a] ^ BYTES[2][b] ^ BYTES[1][c] ^ BYTES[0][d]
    });
    rest.iter().fold(register, |register, byte| {
        let [low, ..] = register.to_le_bytes();
        register >> 8 ^ BYTES[0][usize::from(low ^ byte)]
    })
}

/// The register once it has read so many zero bytes.
#[must_use]
pub fn read_zeros(mut register: u32, count: u16) -> u32 {
    for (power, digits) in ZEROS.iter().enumerate() {
        if count >> power & 1 != 0 {
            register = apply(digits, register);
        }
    }
    register
}

/// What it does to the checksum of `len` bytes that their first four change, given as they lie in memory: bits of the
/// checksum that change as well.
#[must_use]
pub fn change_of_first(old: [u8; 4], new: [u8; 4], len: u16) -> u32 {
    // A register that begins with a word is one of zero that has read it and is yet to move on.
    read_zeros(u32::from_le_bytes(old) ^ u32::from_le_bytes(new), len)
}

const fn apply(digits: &[[u32; 16]; 8], register: u32) -> u32 {
    let mut result = 0;
    let mut at = 0;
    while at < 8 {
        result ^= digits[at][(register >> (4 * at) & 0xf) as usize];
        at += 1;
    }
    result
}

const fn bytes() -> [[u32; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut register = byte;
        let mut bit = 0;
        while bit < 8 {
            register = register >> 1 ^ if register & 1 != 0 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte as usize] = register;
        byte += 1;
    }
    let mut table = 1;
    while table < 4 {
        byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte as usize];
            tables[table][byte as usize] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

const fn zeros() -> [[[u32; 16]; 8]; 16] {
    let bytes = bytes();
    let mut powers = [[[0; 16]; 8]; 16];
    let mut power = 0;
    while power < 16 {
        let mut at = 0;
        while at < 8 {
            let mut digit: u32 = 0;
            while digit < 16 {
                let register = digit << (4 * at);
                powers[power][at][digit as usize] = if power == 0 {
                    register >> 8 ^ bytes[0][(register & 0xff) as usize]
                } else {
                    // Twice as many: the same once more.
                    let half = &powers[power - 1];
                    apply(half, apply(half, register))
                };
                digit += 1;
            }
            at += 1;
        }
        power += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_3720() {
        // Appendix B.4, which lists the bytes as they are sent: the lowest first.
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        let examples: [(&[u8], u32); 5] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&up, 0x46dd_794e),
            (&down, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
        ];
        for (bytes, checksum) in examples {
            assert_eq!(of(bytes), checksum, "{bytes:?}");
        }
        assert_eq!(of(b""), 0);
    }

    proptest! {
        #[test]
        fn zeros_are_read_at_once(register: u32, count in 0..3_000_u16) {
            prop_assert_eq!(read_zeros(register, count), read(register, &vec![0; count.into()]));
        }

        #[test]
        fn a_change_is_as_good_as_a_new_checksum(mut bytes in prop::collection::vec(any::<u8>(), 4..2_000), new: [u8; 4]) {
            let old = *bytes.first_chunk::<4>().unwrap();
            let before = of(&bytes);
            bytes[..4].copy_from_slice(&new);
            prop_assert_eq!(before ^ change_of_first(old, new, bytes.len() as u16), of(&bytes));
        }
    }
}
