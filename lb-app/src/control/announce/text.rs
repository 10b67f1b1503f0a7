//! What the file says.

use crate::config::Format;
use std::{fmt::Write, net::IpAddr};

/// The file with these VIPs. Those that are about to go have the community for that, where the format has a word for it.
pub(super) fn text(format: Format, vips: &[IpAddr], leaving: bool) -> String {
    match format {
        Format::Bird => bird(vips, leaving),
        Format::List => vips.iter().fold(String::new(), |text, vip| text + &prefix(*vip) + "\n"),
    }
}

/// Static protocols, so that BIRD's own configuration says to whom they are exported. There is always one for IPv4: what
/// names it in a filter is right without VIPs, too.
fn bird(vips: &[IpAddr], leaving: bool) -> String {
    let mut text = "# Written by lb-app: the VIPs that may be sent to this director.\n".to_owned();
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = vips.iter().partition(|vip| vip.is_ipv4());
    let attributes = if leaving { " { bgp_community.add((65535, 0)); }" } else { "" };
    for (name, channel, vips, always) in [("lb_vips4", "ipv4", v4, true), ("lb_vips6", "ipv6", v6, false)] {
        if vips.is_empty() && !always {
            continue;
        }
        let _ = writeln!(text, "protocol static {name} {{\n  {channel};");
        for vip in vips {
            let _ = writeln!(text, "  route {} blackhole{attributes};", prefix(vip));
        }
        text.push_str("}\n");
    }
    text
}

fn prefix(vip: IpAddr) -> String {
    format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_in_the_words_of_their_readers() {
        let vips: [IpAddr; 3] = ["192.0.2.100", "192.0.2.101", "2001:db8::1"].map(|vip| vip.parse().unwrap());
        assert_eq!(
            text(Format::Bird, &vips, false),
            "# Written by lb-app: the VIPs that may be sent to this director.\n\
             protocol static lb_vips4 {\n  ipv4;\n  route 192.0.2.100/32 blackhole;\n  route 192.0.2.101/32 blackhole;\n}\n\
             protocol static lb_vips6 {\n  ipv6;\n  route 2001:db8::1/128 blackhole;\n}\n"
        );
        assert_eq!(
            text(Format::Bird, &vips[..1], true),
            "# Written by lb-app: the VIPs that may be sent to this director.\n\
             protocol static lb_vips4 {\n  ipv4;\n  \
             route 192.0.2.100/32 blackhole { bgp_community.add((65535, 0)); };\n}\n"
        );
        assert!(text(Format::Bird, &[], false).ends_with("protocol static lb_vips4 {\n  ipv4;\n}\n"));
        assert_eq!(text(Format::List, &vips, true), "192.0.2.100/32\n192.0.2.101/32\n2001:db8::1/128\n");
        assert_eq!(text(Format::List, &[], false), "");
    }
}
