//! Every option of ipvsadm 1.31, by its letter and by its name: it does what it does there, or is refused with what there
//! is instead.

use super::{Director, RULES};
use crate::{ipvsadm::options, protocol::Request};

/// What `ipvsadm -h` and its manual page have, in the order in which they have it.
const OPTIONS: [(Option<char>, &str); 54] = [
    (Some('A'), "add-service"),
    (Some('E'), "edit-service"),
    (Some('D'), "delete-service"),
    (Some('C'), "clear"),
    (Some('R'), "restore"),
    (Some('S'), "save"),
    (Some('a'), "add-server"),
    (Some('e'), "edit-server"),
    (Some('d'), "delete-server"),
    (Some('L'), "list"),
    (Some('l'), "list"),
    (Some('Z'), "zero"),
    (None, "set"),
    (None, "start-daemon"),
    (None, "stop-daemon"),
    (Some('h'), "help"),
    (Some('v'), "version"),
    (Some('t'), "tcp-service"),
    (Some('u'), "udp-service"),
    (None, "sctp-service"),
    (Some('f'), "fwmark-service"),
    (Some('6'), "ipv6"),
    (Some('s'), "scheduler"),
    (None, "pe"),
    (Some('p'), "persistent"),
    (Some('M'), "netmask"),
    (Some('r'), "real-server"),
    (Some('g'), "gatewaying"),
    (Some('i'), "ipip"),
    (Some('m'), "masquerading"),
    (None, "tun-type"),
    (None, "tun-port"),
    (None, "tun-nocsum"),
    (None, "tun-csum"),
    (None, "tun-remcsum"),
    (Some('w'), "weight"),
    (Some('x'), "u-threshold"),
    (Some('y'), "l-threshold"),
    (Some('c'), "connection"),
    (None, "timeout"),
    (None, "daemon"),
    (None, "stats"),
    (None, "rate"),
    (Some('X'), "exact"),
    (None, "thresholds"),
    (None, "persistent-conn"),
    (None, "tun-info"),
    (None, "nosort"),
    (None, "sort"),
    (Some('o'), "ops"),
    (Some('n'), "numeric"),
    (Some('b'), "sched-flags"),
    (None, "mcast-interface"),
    (None, "syncid"),
];
/// The rest of them, of the daemon.
const DAEMON: [&str; 4] = ["sync-maxlen", "mcast-group", "mcast-port", "mcast-ttl"];

/// What becomes of a line.
#[derive(Clone, Copy)]
enum Does {
    /// It prints a text with this in it.
    Prints(&'static str),
    /// The director is asked for a change, whose JSON has each of these.
    Asks(&'static [&'static str]),
    /// It is refused by a sentence that has this.
    Refused(&'static str),
}

use Does::{Asks, Prints, Refused};

const LINES: &[(&str, Does)] = &[
    ("-A -t 192.0.2.9:80 -s sed", Asks(&["\"add\"", "\"scheduler\":\"sed\"", "\"protocol\":\"tcp\""])),
    ("--add-service --tcp-service 192.0.2.9:80 --scheduler nq", Asks(&["\"add\"", "\"scheduler\":\"nq\""])),
    (
        "-A -u 192.0.2.9:53 -o",
        Asks(&["\"protocol\":\"udp\"", "\"one_packet\":true", "\"scheduler\":\"wlc\""]),
    ),
    ("-A --udp-service 192.0.2.9:53 --ops", Asks(&["\"protocol\":\"udp\"", "\"one_packet\":true"])),
    ("-A --sctp-service 192.0.2.9:3868", Asks(&["\"protocol\":\"sctp\""])),
    ("-A -t 192.0.2.9:80 -p", Asks(&["\"persistence_timeout\":\"300s\"", "\"persistence_prefix\":128"])),
    (
        "-A -t 192.0.2.9:80 -p 90 -M 255.255.255.0",
        Asks(&["\"persistence_timeout\":\"90s\"", "\"persistence_prefix\":24"]),
    ),
    ("-A -t [2001:db8::9]:80 --persistent=90 --netmask=64", Asks(&["\"persistence_prefix\":64"])),
    ("-A -t 192.0.2.9:80 -p 0", Refused("leave -p out")),
    ("-A -u 192.0.2.9:5060 -p --pe sip", Asks(&["\"persistence_by\":\"sip-call-id\""])),
    ("-A -u 192.0.2.9:5060 -p --pe dns", Refused("there is no persistence engine \"dns\", but sip")),
    ("-A -t 192.0.2.9:80 -s sh -b sh-port", Asks(&["\"hash_port\":true", "\"hash_fallback\":false"])),
    (
        "-A -t 192.0.2.9:80 -s mh --sched-flags flag-1",
        Asks(&["\"hash_port\":false", "\"hash_fallback\":true"]),
    ),
    ("-A -t 192.0.2.9:80 -s rr -b mh-port", Refused("scheduler rr has no flag \"mh-port\"")),
    ("-A -t 192.0.2.9:80 -s sh -b mh-port", Refused("scheduler sh has no flag \"mh-port\"")),
    (
        "-A -f 3 -6",
        Refused(
            "`lbctl add service NAME tcp VIP:PORT METHOD vips VIP,VIP ports 80,443 from NETWORK on PORT`",
        ),
    ),
    ("-A --fwmark-service 3 --ipv6", Refused("packets have no fwmarks here")),
    ("-A -t 192.0.2.9:80 -6", Refused("--ipv6 is for -f")),
    (
        "-E -t 192.0.2.100:80 -s rr",
        Asks(&["\"change\"", "\"scheduler\":\"rr\"", "\"persistence_timeout\":\"0s\""]),
    ),
    ("--edit-service -t 192.0.2.100:80", Asks(&["\"change\"", "\"scheduler\":\"wlc\""])),
    ("-D -t 192.0.2.100:80", Asks(&["\"remove\"", "\"name\":\"tcp-192.0.2.100-80\""])),
    ("--delete-service -u 192.0.2.100:53", Asks(&["\"remove\"", "\"name\":\"udp-192.0.2.100-53\""])),
    ("-C", Asks(&["\"remove\"", "\"name\":\"tcp-192.0.2.101-443\""])),
    ("--clear", Asks(&["\"remove\""])),
    ("-R", Asks(&["\"add\"", "\"scheduler\":\"twos\""])),
    ("--restore", Asks(&["\"add\"", "\"scheduler\":\"twos\""])),
    ("-S", Prints("-A -u 192.0.2.100:53 -s mh -b mh-port,mh-fallback\n")),
    ("--save --numeric", Prints("-a -t 192.0.2.101:443 -r 198.51.100.41:443 -g -w 1\n")),
    ("-a -t 192.0.2.100:80 -r 198.51.100.13:81 -m", Asks(&["\"add-server\"", "\"port\":81", "\"weight\":1"])),
    (
        "--add-server -t 192.0.2.100:80 --real-server 198.51.100.13 --masquerading --weight 5",
        Asks(&["\"port\":null", "\"weight\":5"]),
    ),
    ("-a -t 192.0.2.101:443 -r 198.51.100.42:80 -g", Asks(&["\"port\":null"])),
    ("-a -t 192.0.2.101:443 -r 198.51.100.42 --gatewaying", Asks(&["\"add-server\""])),
    ("-a -u 192.0.2.100:53 -r 198.51.100.42:80 -i", Asks(&["\"port\":null", "\"tunnel\":\"default\""])),
    ("-a -u 192.0.2.100:53 -r 198.51.100.42 --ipip", Asks(&["\"tunnel\":\"default\""])),
    ("-a -t 192.0.2.100:80 -r 198.51.100.13 -g", Refused("give -m, or make a service of its own")),
    (
        "-a -t 192.0.2.100:80 -r 198.51.100.13 -m -w 65536",
        Refused("weight: \"65536\" is no number from 0 to 65535"),
    ),
    (
        "-a -t 192.0.2.100:80 -r 198.51.100.13 -m -x 9 -y 7",
        Asks(&["\"upper_threshold\":9", "\"lower_threshold\":7"]),
    ),
    (
        "-a -t 192.0.2.100:80 -r 198.51.100.13 -m --u-threshold 9 --l-threshold 7",
        Asks(&["\"upper_threshold\":9", "\"lower_threshold\":7"]),
    ),
    (
        "-a -u 192.0.2.100:53 -r 198.51.100.13 -i --tun-type gue --tun-port 7000 --tun-nocsum",
        Asks(&["\"tunnel\":\"gue\"", "\"tunnel_port\":7000", "\"tunnel_checksum\":\"off\""]),
    ),
    (
        "-a -u 192.0.2.100:53 -r 198.51.100.13 -i --tun-type gre --tun-csum",
        Asks(&["\"tunnel\":\"gre\"", "\"tunnel_checksum\":\"on\""]),
    ),
    (
        "-a -u 192.0.2.100:53 -r 198.51.100.13 -i --tun-type gue --tun-port 7000 --tun-remcsum",
        Refused("--tun-csum covers the whole packet"),
    ),
    (
        "-e -t 192.0.2.100:80 -r 198.51.100.11:8080 -m -w 9",
        Asks(&["\"change-server\"", "\"port\":8080", "\"weight\":9", "\"upper_threshold\":0"]),
    ),
    ("--edit-server -t 192.0.2.101:443 -r 198.51.100.41:80 -g", Asks(&["\"change-server\"", "\"port\":443"])),
    ("-d -t 192.0.2.100:80 -r 198.51.100.11:8080", Asks(&["\"remove-server\"", "\"port\":8080"])),
    ("--delete-server -t 192.0.2.100:80 -r 198.51.100.12", Asks(&["\"remove-server\"", "\"port\":80"])),
    ("-Z", Asks(&["\"clear\"", "\"service\":null"])),
    ("--zero -t 192.0.2.100:80", Asks(&["\"clear\"", "\"service\":\"tcp-192.0.2.100-80\""])),
    ("--set 900 120 0", Asks(&["\"timeouts\"", "\"fin_wait\"", "120000"])),
    (
        "--start-daemon master --mcast-interface eth1 --syncid 7",
        Refused("[ipvs_sync] with directors of IPVS"),
    ),
    (
        "--start-daemon backup --sync-maxlen 1400 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1",
        Refused("[sync] between directors of lb-app"),
    ),
    ("--stop-daemon master", Refused("[ipvs_sync]")),
    ("-h", Prints("-Z [-t|-u VIP:PORT]")),
    ("--help", Prints("--tun-info")),
    ("-v", Prints("ipvsadm by lbctl ")),
    ("--version", Prints("ipvsadm by lbctl ")),
    ("-L -n", Prints("TCP  192.0.2.100:80 wlc\n  -> 198.51.100.11:8080           Masq    3 ")),
    ("-l -t 192.0.2.101:443", Prints("TCP  192.0.2.101:443 rr\n")),
    (
        "--list --numeric --sort",
        Prints("UDP  192.0.2.100:53 mh (mh-port,mh-fallback)\n  -> 198.51.100.31:53"),
    ),
    (
        "-L --nosort",
        Prints("198.51.100.12:80             Masq    1      3          12345678  \nUDP  192.0.2.100:53 "),
    ),
    (
        "-L --stats",
        Prints("Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n"),
    ),
    ("-L --rate", Prints("Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n")),
    (
        "-L --stats -X",
        Prints("  -> 198.51.100.11:8080                  7        0  1234567        0        0\n"),
    ),
    ("-L --stats --exact", Prints(" 1234567 ")),
    (
        "-L --stats",
        Prints("  -> 198.51.100.11:8080                  7        0    1234K        0        0\n"),
    ),
    (
        "-L --thresholds",
        Prints("  -> 198.51.100.12:80             100        80         3          12345678  \n"),
    ),
    (
        "-L --persistent-conn",
        Prints("Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n"),
    ),
    (
        "-L --tun-info",
        Prints("  -> 198.51.100.31:53             Tunnel  ipip          0      3          12345678  \n"),
    ),
    ("-L -c", Prints("pro expire state       source             virtual            destination\n")),
    ("-L --connection", Prints("IPVS connection entries\n")),
    ("-L --timeout", Prints("Timeout (tcp tcpfin udp): 900 120 300\n")),
    ("-L --daemon", Prints("")),
    ("-L -c -t 192.0.2.100:80", Refused("`lbctl show connections vip VIP:PORT`")),
    ("-L -c --persistent-conn", Refused("`lbctl show persistence`")),
    ("-L --timeout --daemon", Refused("--timeout and --daemon exclude one another")),
    ("-L --stats --rate", Refused("--stats and --rate exclude one another")),
    ("-L -Z", Refused("--list and --zero are two commands")),
    ("-S --exact", Refused("--exact does not go with --save")),
];

#[test]
fn every_option_does_its_thing_or_is_refused_with_what_there_is_instead() {
    for (line, does) in LINES {
        let mut director = Director::default();
        director.ipvsadm("-R", RULES).unwrap();
        director.services[0].servers[0].traffic.packets_out = 1_234_567;
        director.asked.clear();
        let said = director.ipvsadm(line, "ipvsadm -A -t 192.0.2.9:80 -s twos\n");
        let changes = |request: &&Request| {
            let text = serde_json::to_string(request).unwrap();
            !["\"list\"", "\"show\""].iter().any(|reads| text.contains(reads))
        };
        let asked: Vec<String> =
            director.asked.iter().filter(changes).map(|it| serde_json::to_string(it).unwrap()).collect();
        match *does {
            Prints(text) => {
                assert!(said.as_ref().is_ok_and(|said| said.contains(text)), "{line}: {said:?}");
                assert_eq!(asked, [""; 0], "{line}");
            }
            Asks(parts) => {
                assert_eq!(said.as_deref(), Ok(""), "{line}");
                let has = |request: &String| parts.iter().all(|part| request.contains(part));
                assert!(asked.iter().any(has), "{line}: {asked:?}");
            }
            Refused(sentence) => {
                let said = said.expect_err(line);
                assert!(said.contains(sentence) && !said.contains('\n'), "{line}: {said}");
                assert_eq!(asked, [""; 0], "{line}: changed something");
            }
        }
    }
}

#[test]
fn there_are_all_options_and_no_others_and_each_is_tried() {
    let mut here: Vec<_> = options::all().collect();
    let mut there: Vec<_> = OPTIONS.into_iter().chain(DAEMON.map(|name| (None, name))).collect();
    here.sort_unstable();
    there.sort_unstable();
    assert_eq!(here, there);
    let words: Vec<&str> = LINES.iter().flat_map(|(line, _)| line.split_whitespace()).collect();
    for (letter, name) in there {
        let long = format!("--{name}");
        assert!(
            words.iter().any(|word| word.split('=').next() == Some(&long))
                || letter.is_some_and(|letter| words.contains(&format!("-{letter}").as_str())),
            "{long} is not tried"
        );
        if let Some(letter) = letter {
            assert!(words.contains(&format!("-{letter}").as_str()), "-{letter} is not tried");
        }
    }
}

#[test]
fn tunnels_are_listed_as_ipvsadm_lists_them() {
    let mut director = Director::default();
    let rules = "-A -t 192.0.2.100:80 -s wlc\n\
                 -a -t 192.0.2.100:80 -r 198.51.100.14:80 -i -w 1 --tun-type gre --tun-csum\n\
                 -a -t 192.0.2.100:80 -r 198.51.100.13:80 -i -w 1 --tun-type gre\n\
                 -a -t 192.0.2.100:80 -r 198.51.100.12:80 -i -w 2 --tun-type gue --tun-port 7000 --tun-csum\n\
                 -a -t 192.0.2.100:80 -r 198.51.100.11:80 -i -w 10\n\
                 -A -t 192.0.2.99:80 -s rr\n\
                 -a -t 192.0.2.99:80 -r 198.51.100.11:80 -m\n";
    director.ipvsadm("-R", rules).unwrap();
    assert_eq!(
        director.ipvsadm("-L -n --tun-info", "").unwrap(),
        "IP Virtual Server version 1.2.1 (size=4096)\n\
         Prot LocalAddress:Port Scheduler Flags\n\
         \x20 -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n\
         TCP  192.0.2.99:80 rr\n\
         \x20 -> 198.51.100.11:80             Masq    n/a           1      3          12345678  \n\
         TCP  192.0.2.100:80 wlc\n\
         \x20 -> 198.51.100.11:80             Tunnel  ipip          10     3          12345678  \n\
         \x20 -> 198.51.100.12:80             Tunnel  gue:7000:+c   2      3          12345678  \n\
         \x20 -> 198.51.100.13:80             Tunnel  gre:-c        1      3          12345678  \n\
         \x20 -> 198.51.100.14:80             Tunnel  gre:+c        1      3          12345678  \n"
    );
    let unsorted = director.ipvsadm("-L -n --tun-info --nosort", "").unwrap();
    let at = |what: &str| unsorted.find(what).unwrap();
    assert!(at("192.0.2.100:80") < at("192.0.2.99:80") && at("198.51.100.14:80") < at("198.51.100.11:80"));
}
