//! The hash by which NICs spread flows over their queues (RSS), so that software can tell where a flow arrives.

/// The key that every port is given. Any key with many irregular bits spreads well; this is Microsoft's verification
/// key, whose published results are the tests below. NICs with longer keys get it followed by itself.
pub const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa,
];

/// The hash of an IPv4 packet with ports: addresses and ports in the order of the packet.
#[must_use]
pub fn ipv4(source: u32, destination: u32, source_port: u16, destination_port: u16) -> u32 {
    let mut input = [0; 12];
    input[..4].copy_from_slice(&source.to_be_bytes());
    input[4..8].copy_from_slice(&destination.to_be_bytes());
    input[8..10].copy_from_slice(&source_port.to_be_bytes());
    input[10..].copy_from_slice(&destination_port.to_be_bytes());
    hash(&input)
}

/// Each bit of the input that is set adds the 32 bits of the key that begin at its place.
fn hash(input: &[u8; 12]) -> u32 {
    let mut result = 0;
    for (index, byte) in input.iter().enumerate() {
        let window = KEY[index..index + 5].iter().fold(0u64, |bits, &key| bits << 8 | u64::from(key));
        for bit in 0..8 {
            if byte & (0x80 >> bit) != 0 {
                result ^= (window >> (8 - bit)) as u32;
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Microsoft's "Verifying the RSS Hash Calculation", IPv4 with TCP.
    #[test]
    fn the_published_results() {
        let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
        for (source, source_port, destination, destination_port, expected) in [
            ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x51cc_c178),
            ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xc626_b0ea),
            ("24.19.198.95", 12898, "12.22.207.184", 38024, 0x5c2b_394a),
            ("38.27.205.30", 48228, "209.142.163.6", 2217, 0xafc7_327f),
            ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x10e8_28a2),
        ] {
            assert_eq!(ipv4(address(source), address(destination), source_port, destination_port), expected);
        }
    }
}
