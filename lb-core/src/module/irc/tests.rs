use super::*;
use proptest::prelude::*;

/// Clients are told another address, and half their port numbers are another's outside.
struct Director {
    opened: Vec<SocketAddr>,
}

const OWN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 11);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);

impl Host for Director {
    fn rewrites(&self) -> bool {
        true
    }

    fn vip(&self) -> IpAddr {
        [203, 0, 113, 67].into()
    }

    fn client(&self) -> IpAddr {
        OWN.into()
    }

    fn hides_clients(&self) -> bool {
        true
    }

    fn is_choosy(&self) -> bool {
        true
    }

    fn shown(&mut self, _: Option<u16>) -> Option<SocketAddr> {
        None
    }

    fn active(&mut self, _: SocketAddr, _: u16) {}

    fn passive_somewhere(&mut self) {}

    fn passive(&mut self, _: u16, _: bool) -> Option<u16> {
        None
    }

    fn answered_elsewhere(&mut self) {}

    fn open_to_anybody(&mut self, client: SocketAddr) -> Option<SocketAddr> {
        if client.ip() != IpAddr::from(OWN) && client.is_ipv4() {
            return None;
        }
        self.opened.push(client);
        let ip = if client.is_ipv4() { OUTSIDE.into() } else { "2001:db8:1::50".parse().unwrap() };
        Some(SocketAddr::new(ip, client.port() + 1))
    }

    fn port_to_anybody(&self, direction: Direction, port: u16) -> Option<u16> {
        match direction {
            Direction::In => port.checked_add(1),
            Direction::Out => port.checked_sub(1),
        }
    }

    fn server(&self) -> IpAddr {
        self.vip()
    }

    fn translated(&self, _: Direction, _: SocketAddr) -> Option<SocketAddr> {
        None
    }

    fn media(&mut self, _: u16, _: bool) -> Option<u16> {
        None
    }

    fn media_is_over(&mut self, _: u16) {}

    fn media_of_client(&mut self, _: u16) {}

    fn calls(&self) -> [u16; 2] {
        [0; 2]
    }

    fn called(&mut self, _: bool) {}

    fn missed(&mut self) {}
}

/// What becomes of a text that comes in these parts: what is held back comes again with the next part.
fn read(direction: Direction, parts: &[&[u8]]) -> (Vec<u8>, Director) {
    let (mut line, mut kept, mut host) = (Line::START, Kept::NONE, Director { opened: Vec::new() });
    let (mut said, mut left, mut is_inside) = (Vec::new(), Vec::new(), false);
    // The last once more: what is repeated without more is let pass in the end.
    for part in parts.iter().copied().chain([&b""[..]; 3]) {
        left.extend_from_slice(part);
        while !left.is_empty() {
            let (count, new) = match Irc.read((&mut line, &mut kept), direction, &left, true, &mut host) {
                Step::Read(count) | Step::Sealed(count) => (count, None),
                Step::Replace(count, text) => (count, Some(text)),
                Step::End(count) => {
                    is_inside = false;
                    left.drain(..count);
                    continue;
                }
                Step::Wait(count) => {
                    said.extend(left.drain(..count));
                    break;
                }
            };
            let passed = left.drain(..count);
            if !is_inside {
                said.extend(passed);
            }
            if let Some(text) = new {
                said.extend(text.as_bytes());
                is_inside = true;
            }
        }
    }
    assert!(left.is_empty(), "{}", left.escape_ascii());
    (said, host)
}

fn out(text: &str) -> String {
    String::from_utf8(read(Direction::In, &[text.as_bytes()]).0).unwrap()
}

#[test]
fn offers_name_the_director() {
    let (own, told) = (u32::from(OWN), u32::from(OUTSIDE));
    for (said, expected) in [
        (format!("SEND file {own} 5000 1234"), format!("SEND file {told} 5001 1234")),
        (format!("SEND \"my file\" {own} 5000 1234 7"), format!("SEND \"my file\" {told} 5001 1234 7")),
        (format!("CHAT chat {own} 5000"), format!("CHAT chat {told} 5001")),
        (format!("schat chat {own} 5000"), format!("schat chat {told} 5001")),
        (format!("TSEND f  {own} 5000 1"), format!("TSEND f  {told} 5001 1")),
        (format!("MOVE file {own} 5000"), format!("MOVE file {told} 5001")),
        ("SEND f 198.51.100.11 5000 1".to_owned(), "SEND f 192.0.2.50 5001 1".to_owned()),
        ("SEND f 2001:db8:2::11 5000 1".to_owned(), "SEND f 2001:db8:1::50 5001 1".to_owned()),
        ("ACCEPT file 5000 17".to_owned(), "ACCEPT file 5001 17".to_owned()),
    ] {
        for ahead in ["PRIVMSG", "privmsg", ":me!u@host PRIVMSG", "@label=x :me PRIVMSG", "@a PRIVMSG"] {
            let line = |text: &str| format!("NICK x\r\n{ahead} nick :\x01DCC {text}\x01\r\nPING 1\r\n");
            assert_eq!(out(&line(&said)), line(&expected));
        }
    }
}

#[test]
fn what_is_none_stays() {
    let own = u32::from(OWN);
    for said in [
        // Passive: the other one waits.
        format!("SEND file {own} 0 1234 7"),
        // Somebody else's address.
        "SEND file 3405803786 5000 1234".to_owned(),
        "SEND file 99999999999 5000 1234".to_owned(),
        format!("SEND file {own} 65536 1"),
        format!("SEND file {own} +500 1"),
        format!("SEND file {own}"),
        format!("SEND \"file {own} 5000 1"),
        "SEND".to_owned(),
        "RESUME file 5000 17".to_owned(),
        format!("XMIT file {own} 5000"),
        format!("SEND file {own} 5000{}", " ".repeat(100)).replace("5000", &"5".repeat(100)),
    ] {
        let line = format!("PRIVMSG nick :\x01DCC {said}\x01\r\n");
        assert_eq!(out(&line), line);
    }
    let offer = format!("\x01DCC SEND file {own} 5000 1\x01\r\n");
    for ahead in [
        "NOTICE nick :",
        "PRIVMSG nick ",
        "PRIVMSG nick :x",
        "PRIVMSGS nick :",
        "",
        "PRIVMSG :",
        "TOPIC #c :PRIVMSG nick :",
    ] {
        let line = format!("{ahead}{offer}");
        assert_eq!(out(&line), line, "{ahead}");
    }
}

#[test]
fn who_asks_to_go_on_hears_of_ports_as_they_are_here() {
    for (said, told) in [("RESUME f 5001 7", "RESUME f 5000 7"), ("RESUME f 0 7 3", "RESUME f 0 7 3")] {
        let line = |text: &str| format!(":you!u@host PRIVMSG me :\x01DCC {text}\x01\r\n").into_bytes();
        assert_eq!(read(Direction::Out, &[&line(said)]).0, line(told));
    }
    // What others offer waits where they say.
    let offer = b":you PRIVMSG me :\x01DCC SEND f 3325256715 5000 1\x01\r\n";
    let (said, host) = read(Direction::Out, &[offer]);
    assert!(said == offer && host.opened.is_empty());
}

#[test]
fn what_is_encrypted_is_not_read() {
    let (mut line, mut kept, mut host) = (Line::START, Kept::NONE, Director { opened: Vec::new() });
    let step =
        Irc.read((&mut line, &mut kept), Direction::In, b"STARTTLS\r\n\x16\x03\x01...", true, &mut host);
    assert_eq!(step, Step::Sealed(12));
}

#[test]
fn it_does_not_matter_where_a_line_is_cut() {
    let said = format!("PRIVMSG nick :\x01DCC SEND file {} 5000 1234\x01\r\n", u32::from(OWN));
    let told = said.replace(&format!("{} 5000", u32::from(OWN)), &format!("{} 5001", u32::from(OUTSIDE)));
    for cut in 0..said.len() {
        let (one, other) = said.as_bytes().split_at(cut);
        let (got, host) = read(Direction::In, &[one, other]);
        assert_eq!(got.escape_ascii().to_string(), told.as_bytes().escape_ascii().to_string(), "{cut}");
        assert_eq!(host.opened, [SocketAddr::new(OWN.into(), 5_000)]);
    }
    // Byte by byte it passes as it is, rather than never.
    let bytes: Vec<&[u8]> = said.as_bytes().chunks(1).collect();
    assert_eq!(read(Direction::In, &bytes).0, said.as_bytes());
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_their_end(
        parts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                prop_oneof![
                    Just("PRIVMSG nick :"), Just("\x01DCC SEND "), Just("\x01DCC ACCEPT "), Just("file "),
                    Just("3325256715 "), Just("5000 "), Just("5000\x01\r\n"), Just("\""), Just("\r\n"), Just(" "),
                    Just("\x01DCC RESUME f 5000 "), Just(":"), Just("@"),
                ].prop_map(|text| text.as_bytes().to_vec()),
            ],
            0..20,
        ),
        is_in: bool,
    ) {
        let direction = if is_in { Direction::In } else { Direction::Out };
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let (said, host) = read(direction, &parts);
        let all: usize = parts.iter().map(|part| part.len()).sum();
        // Nothing is lost but what gave way: of at most 45 bytes, to at least 1.
        prop_assert!(said.len() + 45 * parts.len() >= all);
        prop_assert!(is_in || host.opened.is_empty());
    }
}
