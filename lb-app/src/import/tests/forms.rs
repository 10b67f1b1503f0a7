//! Odd forms that files have, and what must not be lost from them without a word.

use super::{Golden, Text, plan, read};
use crate::cli::From;

/// What is made of a text, which must be valid.
fn imported(from: From, text: &str) -> String {
    let imported =
        read(&Text(text), from, &["f".to_owned()]).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    assert_eq!(imported.invalid, None, "{text}\n{}", imported.text);
    imported.text
}

fn refused(from: From, text: &str) -> String {
    read(&Text(text), from, &["f".to_owned()]).expect_err(text).to_string()
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    // Comments are wrapped.
    let comments = text.replace("\n#   ", " ").replace("\n# ", " ");
    for part in parts {
        assert!(text.contains(part) || comments.contains(part), "{part}: {text}");
    }
}

#[test]
fn definitions_may_have_several_lines() {
    let text = "$N=11\n$RS=\\\n\treal_server 198.51.100.$N 80 {\\\n  weight 3 \\\n TCP_CHECK {\\\n connect_timeout 2\\\n }\\\n}\n\
                virtual_server 192.0.2.100 80 {\n lb_kind NAT\n $RS\n}\n";
    let made = imported(From::Keepalived, text);
    let server = &plan(&made).services[0].servers[0];
    assert_eq!((server.address.to_string(), server.weight), ("198.51.100.11".to_owned(), 3));
    has(&made, &["type = \"tcp\"", "timeout = \"2s\""]);
    assert!(refused(From::Keepalived, "$X=a\\\n").starts_with("f:1: the definition of $X does not end"));
}

#[test]
fn lines_of_one_host_are_left_out_whole_and_named() {
    let text = "! two hosts\r\nvirtual_server 192.0.2.100 80 {\r\n\tlb_kind NAT\r\n@a\tquorum 2\r\n@^a quorum 3\r\n\
                @a real_server 198.51.100.11 80 {\r\n@a weight 1 # {\r\n@a }\r\n\treal_server 198.51.100.12 80 {\r\n }\r\n}\r\n\
                @b vrrp_instance X {\r\n@b state MASTER\r\n@b }\r\n";
    let made = imported(From::Keepalived, text);
    let servers: Vec<_> =
        plan(&made).services[0].servers.iter().map(|server| server.address.to_string()).collect();
    assert_eq!(servers, ["198.51.100.12"]);
    has(&made, &["f:4: \"@a\\tquorum 2\", which is for one host", "f:6: \"@a real_server", "f:14: \"@b }\""]);
    let cut = "virtual_server 192.0.2.100 80 {\n@a real_server 198.51.100.11 80 {\n}\n}\n";
    assert!(refused(From::Keepalived, cut).starts_with("f:2: the lines for one host (@a) do not close"));
}

#[test]
fn files_that_are_not_there_are_named() {
    let read = |text: &'static str| {
        struct Alone(&'static str);
        impl super::Files for Alone {
            fn read(&self, _: &str) -> Result<String, String> {
                Ok(self.0.to_owned())
            }

            fn expand(&self, _: &str, _: &str) -> Result<Vec<String>, String> {
                Ok(Vec::new())
            }
        }
        read(&Alone(text), From::Keepalived, &["f".to_owned()])
    };
    let made = read("include /etc/keepalived/conf.d/*.conf\n").unwrap();
    has(&made.text, &["f:1: include /etc/keepalived/conf.d/*.conf, where there is no file"]);
    let wrong = read("includer sub.conf\n").unwrap_err().to_string();
    assert!(wrong.starts_with("f:1: includer: there is no sub.conf"), "{wrong}");
}

#[test]
fn routes_keep_their_family_and_their_link() {
    let service =
        "virtual_server 2001:db8::100 80 {\n lb_kind NAT\n real_server 2001:db8:1::11 80 {\n }\n}\n";
    let routes = "static_ipaddress {\n 2001:db8::1/64 dev eth0\n}\nstatic_routes {\n default via fe80::1 dev eth0\n \
                  2001:db8:9::/48 via fe80::2 dev eth9\n 10.0.0.0/8 via 2001:db8::7\n}\n";
    let made = imported(From::Keepalived, &format!("{routes}{service}"));
    has(
        &made,
        &[
            "to = \"::/0\"\nvia = \"fe80::1\"\ninterface = \"eth0\"",
            "f:6: route to 2001:db8:9::/48 via fe80::2: its router is of one link",
            "f:7: route to 10.0.0.0/8 via 2001:db8::7: its router is of another family",
        ],
    );
    let script = "dpip -6 addr add 2001:db8::1/64 dev dpdk0\ndpip -6 route add default via fe80::1 dev dpdk0\n\
                  dpip route6 add 2001:db8:9::/48 via 2001:db8::7 dev dpdk0\n\
                  ipvsadm -A -t [2001:db8::100]:80 -s rr\nipvsadm -a -t [2001:db8::100]:80 -r [2001:db8::11]:80 -g\n";
    has(
        &imported(From::Dpvs, script),
        &[
            "to = \"::/0\"\nvia = \"fe80::1\"\ninterface = \"dpdk0\"",
            "to = \"2001:db8:9::/48\"\nvia = \"2001:db8::7\"",
        ],
    );
}

#[test]
fn servers_of_another_family_than_the_vip_are_left_out_where_the_method_takes_none() {
    let group = |method: &str| {
        format!(
            "virtual_server_group DNS {{\n 192.0.2.53 53\n 2001:db8::53 53\n}}\nvirtual_server group DNS {{\n lb_kind {method}\n \
             protocol UDP\n sorry_server 198.51.100.99 53\n real_server 198.51.100.11 53 {{\n }}\n}}\n"
        )
    };
    let servers =
        |made: &str| plan(made).services.iter().map(|service| service.servers.len()).collect::<Vec<_>>();
    for method in ["NAT", "DR"] {
        let made = imported(From::Keepalived, &group(method));
        assert_eq!(servers(&made), [1, 0], "{made}");
        has(
            &made,
            &[
                "server 198.51.100.11:53 of udp [2001:db8::53]:53: is not of the VIP's family, as ",
                "sorry server",
            ],
        );
    }
    assert_eq!(servers(&imported(From::Keepalived, &group("TUN"))), [1, 1], "it takes either");
    // A server's family is that of the local addresses.
    let script = "ipvsadm -A -t [2001:db8::100]:80 -s rr\nipvsadm -a -t [2001:db8::100]:80 -r 198.51.100.11:80 -b\n\
                  ipvsadm -a -t [2001:db8::100]:80 -r [2001:db8:1::11]:80 -b\n\
                  ipvsadm -P -z 198.51.100.20 -t [2001:db8::100]:80 -F dpdk1\n\
                  ipvsadm -P -z 2001:db8:1::20 -t [2001:db8::100]:80 -F dpdk1\n";
    let made = imported(From::Dpvs, script);
    assert_eq!(servers(&made), [1], "{made}");
    has(
        &made,
        &["is not of the family of the local addresses", "2001:db8:1::20, which is of another family"],
    );
}

#[test]
fn what_a_reply_to_a_datagram_must_be_is_kept() {
    let text = "virtual_server 192.0.2.100/32 53 {\n lb_kind NAT\n protocol UDP\n real_server 198.51.100.11 53 {\n UDP_CHECK {\n \
                payload 0123\n require_reply 45 ff\n }\n }\n}\n";
    has(&imported(From::Keepalived, text), &["require_reply = true", "expect = \"(?s-u)^\\\\x45\\\\xff\""]);
    let odd = text.replace("45 ff", "4x");
    has(&imported(From::Keepalived, &odd), &["require_reply = true", "f:7: the reply 4x of UDP_CHECK"]);
}

#[test]
fn services_by_match_are_named_with_the_nearest_thing() {
    let text = "ipvsadm -A -s rr -H proto=tcp,src-range=198.51.100.0-198.51.100.255\n\
                ipvsadm -a -H proto=tcp,src-range=198.51.100.0-198.51.100.255 -r 192.0.2.50:0 -J\n";
    has(
        &imported(From::Dpvs, text),
        &["f:1: ipvsadm -A -s rr -H", "f:2: ipvsadm -a -H", "`[[snat]]` with its `sources`"],
    );
}

/// A word that nobody knows is put behind each line of a file. It must be refused or named in what is made of it, unless it
/// is in a block that stays with keepalived.
#[test]
fn no_word_is_lost_silently() {
    let text = std::fs::read_to_string(super::folder().join("keepalived.conf")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("include")).collect();
    let stays =
        ["vrrp_", "track_file", "bfd_instance", "garp_group", "static_rules", "SSL", "notification_email"];
    let (mut open, mut tried) = (Vec::new(), 0);
    for (at, line) in lines.iter().enumerate() {
        let line = line.split(['!', '#']).next().unwrap_or_default().trim();
        // Only what stands in lines of its own: the rest is where a line ends elsewhere.
        match (line.ends_with('{'), line) {
            (true, _) => open.push(line.split_whitespace().next().unwrap_or_default()),
            (false, "}") => drop(open.pop()),
            _ => {}
        }
        let is_kept = open.iter().any(|block| stays.iter().any(|stay| block.starts_with(stay)))
            || open.last() == Some(&"host");
        if is_kept || line.ends_with('\\') {
            continue;
        }
        let changed = [&lines[..=at], &["  nobody_knows_this 7"], &lines[at + 1..]].concat().join("\n");
        let told = match read(&Text(&changed), From::Keepalived, &["f".to_owned()]) {
            Ok(imported) => imported.text,
            Err(wrong) => wrong.to_string(),
        };
        assert!(
            told.contains("nobody_knows_this") || told.starts_with("f:"),
            "behind line {}: {line}",
            at + 1
        );
        tried += 1;
    }
    assert!(tried > 100, "{tried}");
    assert!(read(&Golden, From::Keepalived, &["keepalived.conf".to_owned()]).is_ok());
}
