//! FTP: what servers say of data connections, and where those go.

use super::{
    common::{frame::*, frame6::*, plan::*, read, world::World},
    expect,
    segment::{self, Segment, parse},
};
use lb_core::{
    counters::DropReason,
    service::plan::{Admin, Method, ModuleKind, Plan},
};

pub(crate) const CLIENT: &str = "203.0.113.10:4000";
pub(crate) const SERVICE: &str = "192.0.2.100:21";
pub(crate) const SERVER: &str = "198.51.100.11:2121";

pub(crate) fn plan(method: Method) -> Plan {
    let mut service = service(method, SERVICE, &[SERVER, "198.51.100.12:2121"]);
    service.module = ModuleKind::Ftp;
    network().with(service)
}

/// Where the server sends to.
pub(crate) fn peer(world: &World) -> String {
    match world.connections()[0].local() {
        Some((address, port)) => format!("{}:{port}", std::net::Ipv4Addr::from_bits(address)),
        None => CLIENT.to_owned(),
    }
}

/// A segment; the client's numbers begin at 1000, the server's at 5000.
pub(crate) fn segment(ends: (&str, &str), flags: u8, numbers: (u32, u32), options: &[u8], text: &str) -> Ip {
    segment::segment(ends, flags, numbers, options, text.as_bytes())
}

pub(crate) fn is(sequence: u32, acknowledgement: u32, payload: &str) -> Segment {
    Segment { sequence, acknowledgement, payload: payload.as_bytes().to_vec() }
}

/// What the server gets of a client's segment.
#[track_caller]
pub(crate) fn ask(world: &mut World, numbers: (u32, u32), text: &str) -> Segment {
    let sent = world.receive(WAN, &segment((CLIENT, SERVICE), ACK, numbers, &[], text).via_gateway());
    assert_eq!(sent.len(), 1);
    parse(&sent[0].frame)
}

/// What the client gets of a server's segment.
#[track_caller]
pub(crate) fn answer(world: &mut World, numbers: (u32, u32), text: &str) -> Segment {
    let to = peer(world);
    let sent = world.receive(LAN, &segment((SERVER, &to), ACK, numbers, &[], text).via_server());
    assert_eq!(sent.len(), 1);
    parse(&sent[0].frame)
}

/// A control connection with the first server.
pub(crate) fn connected(plan: &Plan) -> World {
    let mut world = World::new(plan);
    world.receive(WAN, &segment((CLIENT, SERVICE), SYN, (999, 0), &[], "").via_gateway());
    let to = peer(&world);
    world.receive(LAN, &segment((SERVER, &to), SYN | ACK, (4_999, 1_000), &[], "").via_server());
    ask(&mut world, (1_000, 5_000), "");
    assert_eq!(answer(&mut world, (5_000, 1_000), "220 hi\r\n"), is(5_000, 1_000, "220 hi\r\n"));
    world
}

/// The line of a client's SYN to a port of the VIP, on its way.
#[track_caller]
pub(crate) fn open(world: &mut World, from: &str, port: u16) -> String {
    let to = format!("192.0.2.100:{port}");
    let sent = world.receive(WAN, &tcp(from, &to, SYN).via_gateway());
    assert_eq!(sent.len(), 1);
    sent[0].line()
}

#[test]
fn the_address_in_a_reply_becomes_the_vip() {
    for method in [Method::Nat, Method::FullNat] {
        let mut world = connected(&plan(method));
        let told = "227 Entering Passive Mode (192,0,2,100,195,80).\r\n";
        let said = "227 Entering Passive Mode (198,51,100,11,195,80).\r\n";
        assert_eq!(answer(&mut world, (5_008, 1_000), said), is(5_008, 1_000, told), "{method}");
        assert_eq!(world.counters(0).rewritten.get(), 1);
        assert_eq!(world.expected.len(), 1);
        // Again, as its acknowledgement is lost; and what follows is two bytes nearer.
        assert_eq!(answer(&mut world, (5_008, 1_000), said), is(5_008, 1_000, told));
        let acknowledged = 5_008 + told.len() as u32;
        assert_eq!(ask(&mut world, (1_000, acknowledged), "").acknowledgement, 5_008 + said.len() as u32);
        assert_eq!(
            answer(&mut world, (5_008 + said.len() as u32, 1_000), "150 ok\r\n"),
            is(acknowledged, 1_000, "150 ok\r\n")
        );
    }
}

#[test]
fn the_data_connection_goes_to_the_port_that_was_told() {
    let mut world = connected(&plan(Method::Nat));
    answer(&mut world, (5_008, 1_000), "227 (198,51,100,11,195,80)\r\n");
    let line = open(&mut world, "203.0.113.10:4001", 50_000);
    assert_eq!(line, "lan: 203.0.113.10:4001 > 198.51.100.11:50000 tcp syn ttl 63");
    let syn_ack = tcp("198.51.100.11:50000", "203.0.113.10:4001", SYN | ACK);
    let line = "wan: 192.0.2.100:50000 > 203.0.113.10:4001 tcp syn ack ttl 63";
    expect(&mut world, LAN, &syn_ack.via_server(), line);
    let counters = world.counters(0);
    assert_eq!([counters.expected.get(), counters.expected_came.get()], [1, 1]);
    // It was expected once.
    assert!(open(&mut world, "203.0.113.10:4002", 50_000).contains(" tcp rst"));
    // The SYN again.
    assert!(open(&mut world, "203.0.113.10:4001", 50_000).contains("198.51.100.11:50000"));
}

#[test]
fn what_claims_to_be_a_servers_reply_and_comes_from_outside_is_not_read() {
    for method in [Method::Nat, Method::FullNat] {
        let mut world = connected(&plan(method));
        let to = peer(&world);
        let said = segment((SERVER, &to), ACK, (5_008, 1_000), &[], "227 (198,51,100,11,195,80)\r\n");
        assert!(world.receive(WAN, &said.via_gateway()).is_empty(), "{method}");
        assert_eq!((world.expected.len(), world.dropped(DropReason::WrongPort)), (0, 1), "{method}");
    }
}

#[test]
fn a_damaged_packet_opens_nothing_that_is_expected() {
    let mut world = connected(&plan(Method::Nat));
    answer(&mut world, (5_008, 1_000), "227 (198,51,100,11,195,80)\r\n");
    let mut syn = tcp("203.0.113.10:4001", "192.0.2.100:50000", SYN).via_gateway();
    *syn.last_mut().unwrap() ^= 1;
    assert!(world.receive(WAN, &syn).is_empty());
    assert_eq!(world.dropped(DropReason::BadL4Checksum), 1);
    assert!(open(&mut world, "203.0.113.10:4001", 50_000).contains("198.51.100.11:50000"));
}

#[test]
fn under_fullnat_data_comes_from_the_address_that_control_comes_from() {
    let mut plan = plan(Method::FullNat);
    plan.first().local_addresses = (20..28).map(|host| [198, 51, 100, host].into()).collect();
    let mut world = connected(&plan);
    let (control, _) = world.connections()[0].local().unwrap();
    for port in 50_000..50_008 {
        let reply = format!("229 Entering Extended Passive Mode (|||{port}|)\r\n");
        let before = answer(&mut world, (5_008, 1_000), &reply);
        assert_eq!(before, is(5_008, 1_000, &reply));
        // The same place of the stream again would be a repetition.
        world = {
            let line = open(&mut world, &format!("203.0.113.10:{}", port - 40_000), port);
            assert!(line.contains(&format!("> 198.51.100.11:{port} tcp syn")), "{line}");
            let from = format!("lan: {}:", std::net::Ipv4Addr::from_bits(control));
            assert!(line.starts_with(&from), "{line}");
            connected(&plan)
        };
        let (other, _) = world.connections()[0].local().unwrap();
        if other != control {
            break;
        }
    }
}

/// Servers may be made to say what somebody has put there, as a message about a directory.
#[test]
fn no_well_known_port_is_opened() {
    let mut world = connected(&plan(Method::Nat));
    let told = answer(&mut world, (5_008, 1_000), "227 (198,51,100,11,0,22)\r\n");
    assert_eq!(told, is(5_008, 1_000, "227 (192,0,2,100,0,22)\r\n"));
    assert_eq!(world.expected.len(), 0);
    assert!(open(&mut world, "203.0.113.10:4001", 22).contains(" tcp rst"));
}

#[test]
fn an_extended_reply_stays_as_it_is() {
    let mut world = connected(&plan(Method::Nat));
    let reply = "229 Entering Extended Passive Mode (|||50000|)\r\n";
    assert_eq!(answer(&mut world, (5_008, 1_000), reply), is(5_008, 1_000, reply));
    assert_eq!(world.counters(0).rewritten.get(), 0);
    assert!(open(&mut world, "203.0.113.10:4001", 50_000).contains("> 198.51.100.11:50000 tcp syn"));
}

#[test]
fn what_is_cut_is_replaced_all_the_same() {
    let said = "227 ok (198,51,100,11,195,80)\r\n";
    let told = "227 ok (192,0,2,100,195,80)\r\n";
    for cut in 1..said.len() {
        let mut world = connected(&plan(Method::Nat));
        let mut got = String::new();
        for (at, part) in [(0, &said[..cut]), (cut, &said[cut..])] {
            let sent = answer(&mut world, (5_008 + at as u32, 1_000), part);
            let beyond = (sent.sequence - 5_008) as usize;
            if sent.payload.is_empty() {
                assert_eq!(beyond + 1, got.len(), "{cut}: nothing new, so that it is acknowledged");
                continue;
            }
            got.truncate(beyond);
            assert_eq!(got.len(), beyond, "{cut}: no gap");
            got.push_str(sent.text());
        }
        assert_eq!(got, told, "{cut}");
        assert!(open(&mut world, "203.0.113.10:4001", 50_000).contains("> 198.51.100.11:50000 "), "{cut}");
    }
}

#[test]
fn what_is_ahead_of_a_gap_waits_until_its_sender_repeats_it() {
    let mut world = connected(&plan(Method::Nat));
    let to = peer(&world);
    let late = segment((SERVER, &to), ACK, (5_020, 1_000), &[], "11,195,80)\r\n").via_server();
    assert!(world.receive(LAN, &late).is_empty());
    assert_eq!(world.dropped(DropReason::OutOfOrder), 1);
}

#[test]
fn selective_acknowledgements_are_in_the_servers_numbers() {
    let mut world = connected(&plan(Method::Nat));
    let said = "227 (198,51,100,11,195,80)\r\n";
    answer(&mut world, (5_008, 1_000), said);
    let end = 5_008 + said.len() as u32;
    assert_eq!(answer(&mut world, (end, 1_000), "150 ok\r\n").sequence, end - 2);
    let edges = [end - 2, end + 6].map(u32::to_be_bytes).concat();
    let options = [&[1, 1, 5, 10], edges.as_slice()].concat();
    let sent =
        world.receive(WAN, &segment((CLIENT, SERVICE), ACK, (1_000, 5_008), &options, "").via_gateway());
    read::check_ip(read::ip_packet(&sent[0].frame).unwrap()).unwrap();
    let header = &sent[0].frame[14 + 20 + 20..];
    assert_eq!(header[4..12], [end, end + 8].map(u32::to_be_bytes).concat());
    assert_eq!(parse(&sent[0].frame).acknowledgement, 5_008);
}

#[test]
fn another_client_is_not_expected() {
    let mut world = connected(&plan(Method::Nat));
    answer(&mut world, (5_008, 1_000), "227 (198,51,100,11,195,80)\r\n");
    assert!(open(&mut world, "203.0.113.11:4001", 50_000).contains(" tcp rst"), "a stranger");
    assert!(open(&mut world, "203.0.113.10:4001", 50_001).contains(" tcp rst"), "another port");
    world.pass(60_000);
    assert!(open(&mut world, "203.0.113.10:4001", 50_000).contains(" tcp rst"), "too late");
}

#[test]
fn a_drained_server_gets_its_clients_data_connections() {
    let mut plan = plan(Method::Nat);
    let mut world = connected(&plan);
    plan.first().servers[0].admin = Admin::Draining;
    world.exchange(&plan);
    answer(&mut world, (5_008, 1_000), "227 (198,51,100,11,195,80)\r\n");
    assert!(open(&mut world, "203.0.113.10:4001", 50_000).contains("> 198.51.100.11:50000 "));
    // One that is removed does not.
    answer(&mut world, (5_036, 1_000), "227 (198,51,100,11,195,81)\r\n");
    plan.first().servers.remove(0);
    world.exchange(&plan);
    assert!(open(&mut world, "203.0.113.10:4002", 50_001).contains(" tcp rst"));
}

#[test]
fn one_client_is_told_different_ports_for_two_servers() {
    let mut world = connected(&plan(Method::Nat));
    answer(&mut world, (5_008, 1_000), "227 (198,51,100,11,195,80)\r\n");
    // Another control connection, with the other server.
    let (client, server) = ("203.0.113.10:4500", "198.51.100.12:2121");
    world.receive(WAN, &segment((client, SERVICE), SYN, (999, 0), &[], "").via_gateway());
    world.receive(LAN, &segment((server, client), SYN | ACK, (4_999, 1_000), &[], "").via_server());
    world.receive(WAN, &segment((client, SERVICE), ACK, (1_000, 5_000), &[], "").via_gateway());
    let said = "227 (198,51,100,12,195,80)\r\n229 (|||50000|)\r\n";
    let sent = world.receive(LAN, &segment((server, client), ACK, (5_000, 1_000), &[], said).via_server());
    assert_eq!(parse(&sent[0].frame), is(5_000, 1_000, "227 (192,0,2,100,195,81)\r\n229 (|||50001|)\r\n"));
    assert!(open(&mut world, "203.0.113.10:4001", 50_001).contains("> 198.51.100.12:50000 "));
    assert!(open(&mut world, "203.0.113.10:4002", 50_000).contains("> 198.51.100.11:50000 "));
}

#[test]
fn what_cannot_be_told_apart_is_nobodys() {
    let mut world = connected(&plan(Method::Nat));
    answer(&mut world, (5_008, 1_000), "227 (198,51,100,11,195,80)\r\n");
    let (client, server) = ("203.0.113.10:4500", "198.51.100.12:2121");
    world.receive(WAN, &segment((client, SERVICE), SYN, (999, 0), &[], "").via_gateway());
    world.receive(LAN, &segment((server, client), SYN | ACK, (4_999, 1_000), &[], "").via_server());
    // What has come in part cannot get another port any more.
    for (at, part) in [(5_000, "227 (198,51,100,12,195"), (5_022, ",80)\r\n")] {
        world.receive(LAN, &segment((server, client), ACK, (at, 1_000), &[], part).via_server());
    }
    assert!(open(&mut world, "203.0.113.10:4001", 50_000).contains(" tcp rst"));
    assert_eq!(world.counters(0).expected_lost.get(), 1);
}

#[test]
fn what_is_encrypted_is_not_read() {
    let mut world = connected(&plan(Method::Nat));
    answer(&mut world, (5_008, 1_000), "234 Proceed.\r\n");
    let text = "227 (198,51,100,11,195,80)\r\n";
    assert_eq!(answer(&mut world, (5_022, 1_000), text), is(5_022, 1_000, text));
    assert!(world.expected.is_empty());
}

#[test]
fn a_service_of_exactly_that_port_stays_reachable() {
    let web = service(Method::Nat, "192.0.2.100:50000", &["198.51.100.12:80"]);
    let mut world = connected(&plan(Method::Nat).with(web));
    let told = answer(&mut world, (5_008, 1_000), "227 (198,51,100,11,195,80)\r\n");
    assert_eq!(told, is(5_008, 1_000, "227 (192,0,2,100,195,81)\r\n"));
    assert!(open(&mut world, "203.0.113.10:4001", 50_001).contains("> 198.51.100.11:50000 "));
    assert!(open(&mut world, "203.0.113.10:4002", 50_000).contains("> 198.51.100.12:80 "));
}

/// What the server gets of a client's command.
#[track_caller]
fn command(world: &mut World, at: u32, text: &str) -> Segment {
    ask(world, (at, 5_008), text)
}

/// The line of a server's SYN for data, on its way.
#[track_caller]
fn dial(world: &mut World, from: &str, to: &str) -> String {
    let sent = world.receive(LAN, &tcp(from, to, SYN).via_server());
    assert_eq!(sent.len(), 1);
    sent[0].line()
}

#[test]
fn a_server_connects_to_the_port_that_the_client_said() {
    for text in ["PORT 203,0,113,10,15,161\r\n", "eprt |1|203.0.113.10|4001|\r\n"] {
        let mut world = connected(&plan(Method::Nat));
        assert_eq!(command(&mut world, 1_000, text), is(1_000, 5_008, text));
        let data = "198.51.100.11:2120";
        let line = dial(&mut world, data, "203.0.113.10:4001");
        assert_eq!(line, "wan: 192.0.2.100:20 > 203.0.113.10:4001 tcp syn ttl 63");
        let agrees = tcp("203.0.113.10:4001", "192.0.2.100:20", SYN | ACK);
        let line = "lan: 203.0.113.10:4001 > 198.51.100.11:2120 tcp syn ack ttl 63";
        expect(&mut world, WAN, &agrees.via_gateway(), line);
        let sends = tcp(data, "203.0.113.10:4001", ACK);
        expect(
            &mut world,
            LAN,
            &sends.via_server(),
            "wan: 192.0.2.100:20 > 203.0.113.10:4001 tcp ack ttl 63",
        );
        let counters = world.counters(0);
        assert_eq!([counters.expected.get(), counters.expected_came.get()], [1, 1]);
        // Again, as it gets no answer; and it was expected once.
        assert!(dial(&mut world, data, "203.0.113.10:4001").starts_with("wan: "));
        assert!(world.receive(LAN, &tcp(data, "203.0.113.10:4002", SYN).via_server()).is_empty());
        assert_eq!(world.dropped(DropReason::NoSnat), 1);
    }
}

#[test]
fn a_server_that_does_not_see_clients_is_told_the_local_address() {
    let texts = ["PORT 203,0,113,10,15,161\r\n", "EPRT |1|203.0.113.10|4001|\r\n"];
    for (text, is_extended) in texts.into_iter().zip([false, true]) {
        let mut world = connected(&plan(Method::FullNat));
        let (local, control) = world.connections()[0].local().unwrap();
        let address = std::net::Ipv4Addr::from_bits(local);
        let told = command(&mut world, 1_000, text);
        let port: u16 = match is_extended {
            true => {
                let field = told.text().split('|').nth(3).unwrap().parse().unwrap();
                assert_eq!(told.text(), format!("EPRT |1|{address}|{field}|\r\n"));
                field
            }
            false => {
                let numbers: Vec<u16> =
                    told.text()[5..].trim_end().split(',').map(|number| number.parse().unwrap()).collect();
                assert_eq!(numbers[..4], address.octets().map(u16::from));
                numbers[4] << 8 | numbers[5]
            }
        };
        assert_ne!(port, control);
        let line = dial(&mut world, "198.51.100.11:20", &format!("{address}:{port}"));
        assert_eq!(line, "wan: 192.0.2.100:20 > 203.0.113.10:4001 tcp syn ttl 63");
        let agrees = tcp("203.0.113.10:4001", "192.0.2.100:20", SYN | ACK);
        let line = format!("lan: {address}:{port} > 198.51.100.11:20 tcp syn ack ttl 63");
        expect(&mut world, WAN, &agrees.via_gateway(), &line);
        // What follows is in other numbers, both ways.
        let grown = (told.text().len() as u32).wrapping_sub(text.len() as u32);
        let end = 1_000 + text.len() as u32;
        let answered = answer(&mut world, (5_008, end.wrapping_add(grown)), "200 ok\r\n");
        assert_eq!(answered, is(5_008, end, "200 ok\r\n"));
        assert_eq!(ask(&mut world, (end, 5_016), "LIST\r\n"), is(end.wrapping_add(grown), 5_016, "LIST\r\n"));
    }
}

#[test]
fn both_modes_of_ipv6() {
    let (client, vip) = ("[2001:db8:a::10]:4000", "[2001:db8:1::100]:21");
    for method in [Method::Nat, Method::FullNat] {
        let mut service = service(method, vip, &["[2001:db8:2::11]:21"]);
        service.module = ModuleKind::Ftp;
        let plan = network6().with(service);
        // The byte ahead of each text has the SYN's number.
        let say = |world: &mut World, port, from: &str, to: &str, text: &str| {
            let text = format!(".{text}");
            let said = tcp6_with(endpoint6(from), endpoint6(to), ACK, text.as_bytes());
            let sent = world.receive(port, &if port == WAN { said.via_gateway() } else { said.via_server() });
            assert_eq!(sent.len(), 1);
            read::check_ip(read::ip_packet(&sent[0].frame).unwrap()).unwrap();
            String::from_utf8(sent[0].frame[14 + 40 + 20 + 1..].to_vec()).unwrap()
        };
        let server = "[2001:db8:2::11]:21";
        let opened = || {
            let mut world = World::new(&plan);
            let seen = world.receive(WAN, &tcp6(client, vip, SYN).via_gateway())[0].source();
            let ends = (endpoint6(server), endpoint6(&seen));
            world.receive(LAN, &tcp6_numbered(ends, SYN | ACK, (4_999, 1_001), b"").via_server());
            (world, seen)
        };
        let (mut world, _) = opened();
        let said = "EPRT |2|2001:db8:a::10|4001|\r\n";
        let told = say(&mut world, WAN, client, vip, said);
        let to = if method == Method::Nat {
            assert_eq!(told, said);
            "[2001:db8:a::10]:4001".to_owned()
        } else {
            let fields: Vec<&str> = told.split('|').collect();
            let ["EPRT ", "2", "2001:db8:2::20", port, "\r\n"] = *fields.as_slice() else { panic!("{told}") };
            format!("[2001:db8:2::20]:{port}")
        };
        let syn = tcp6("[2001:db8:2::11]:20", &to, SYN);
        let line = "wan: [2001:db8:1::100]:20 > [2001:db8:a::10]:4001 tcp syn ttl 63";
        expect(&mut world, LAN, &syn.via_server(), line);

        let mut world = World::new(&plan);
        let seen = world.receive(WAN, &tcp6(client, vip, SYN).via_gateway())[0].source();
        world.receive(LAN, &tcp6(server, &seen, SYN | ACK).via_server());
        let reply = "229 Extended (|||50000|)\r\n";
        assert_eq!(say(&mut world, LAN, server, &seen, reply), reply);
        let syn = tcp6("[2001:db8:a::10]:4002", "[2001:db8:1::100]:50000", SYN);
        let sent = world.receive(WAN, &syn.via_gateway());
        assert_eq!(sent[0].destination(), "[2001:db8:2::11]:50000");
    }
}

#[test]
fn who_names_another_host_is_not_helped_to_reach_it() {
    for method in [Method::Nat, Method::FullNat] {
        let mut world = connected(&plan(method));
        let text = "PORT 203,0,113,11,15,161\r\n";
        assert_eq!(command(&mut world, 1_000, text), is(1_000, 5_008, text));
        assert!(world.expected.is_empty());
        assert!(
            world.receive(LAN, &tcp("198.51.100.11:20", "203.0.113.11:4001", SYN).via_server()).is_empty()
        );
    }
}

#[test]
fn the_same_port_of_a_client_serves_for_one_transfer_after_another() {
    let mut world = connected(&plan(Method::Nat));
    let (text, data, client) = ("PORT 203,0,113,10,15,161\r\n", "198.51.100.11:20", "203.0.113.10:4001");
    for transfer in 0..3 {
        command(&mut world, 1_000 + transfer * text.len() as u32, text);
        assert!(dial(&mut world, data, client).contains(" tcp syn "), "{transfer}");
        world.receive(WAN, &tcp(client, "192.0.2.100:20", SYN | ACK).via_gateway());
        for flags in [ACK, ACK | FIN] {
            world.receive(LAN, &tcp(data, client, flags).via_server());
            world.receive(WAN, &tcp(client, "192.0.2.100:20", flags).via_gateway());
        }
        assert_eq!(world.connections().len(), 2);
    }
    assert_eq!(world.counters(0).expected_came.get(), 3);
}

#[test]
fn where_servers_answer_by_themselves_data_goes_to_the_server_of_control() {
    for method in [Method::Tun, Method::Dr] {
        let mut service = service(method, SERVICE, &["198.51.100.11:21", "198.51.100.12:21"]);
        service.module = ModuleKind::Ftp;
        let mut world = World::new(&network().with(service));
        let say = |world: &mut World, at: u32, text: &str| {
            let sent =
                world.receive(WAN, &segment((CLIENT, SERVICE), ACK, (at, 5_000), &[], text).via_gateway());
            assert_eq!(sent.len(), 1);
            sent[0].frame[..12].to_vec()
        };
        world.receive(WAN, &segment((CLIENT, SERVICE), SYN, (999, 0), &[], "").via_gateway());
        let server = say(&mut world, 1_000, "");
        let go = |world: &mut World, from: &str, to: &str, flags: u8| {
            let sent = world.receive(WAN, &tcp(from, to, flags).via_gateway());
            sent.first().map(|sent| sent.frame[..12].to_vec())
        };
        // Passive: at any port, once, and a service's own port stays its own.
        assert_eq!(say(&mut world, 1_000, "epsv\r\n"), server);
        for from in 4_100..4_104 {
            assert!(go(&mut world, &format!("203.0.113.11:{from}"), "192.0.2.100:50000", SYN).is_some());
        }
        assert_eq!(world.counters(0).expected_came.get(), 0, "others are refused");
        assert_eq!(go(&mut world, "203.0.113.10:4001", "192.0.2.100:50000", SYN), Some(server.clone()));
        assert_eq!(world.counters(0).expected_came.get(), 1);
        assert_eq!(go(&mut world, "203.0.113.10:4001", "192.0.2.100:50000", ACK), Some(server.clone()));
        // Active: the server's SYN is not seen.
        assert_eq!(say(&mut world, 1_006, "PORT 203,0,113,10,15,162\r\n"), server);
        let agrees = go(&mut world, "203.0.113.10:4002", "192.0.2.100:20", SYN | ACK);
        assert_eq!(agrees, Some(server.clone()));
        assert_eq!(go(&mut world, "203.0.113.10:4002", "192.0.2.100:20", ACK), Some(server));
        assert_eq!(world.counters(0).expected_came.get(), 2);
        assert_eq!(world.connections().len(), 3);
    }
}

#[test]
fn a_text_that_grows_beyond_the_mtu_goes_on_in_parts() {
    let (vip, server) = ("198.51.100.200:21", SERVER);
    let mut service = service(Method::Nat, vip, &[server]);
    service.module = ModuleKind::Ftp;
    let mut world = World::new(&network().with(service));
    world.receive(WAN, &segment((CLIENT, vip), SYN, (999, 0), &[], "").via_gateway());
    let send = |world: &mut World, at: u32, text: &str| {
        let sent = world.receive(LAN, &segment((server, CLIENT), ACK, (at, 1_000), &[], text).via_server());
        assert!(sent[0].frame.len() <= 14 + 1_500);
        parse(&sent[0].frame)
    };
    world.receive(LAN, &segment((server, CLIENT), SYN | ACK, (4_999, 1_000), &[], "").via_server());
    let text = format!("227 (198,51,100,11,195,80){}\r\n", ".".repeat(1_460 - 28));
    assert_eq!(text.len(), 1_460);
    let told = text.replace("100,11", "100,200");
    assert_eq!(send(&mut world, 5_000, &text), is(5_000, 1_000, &told[..1_460]));
    // It is acknowledged as far as it came, and the rest comes again.
    let ack = segment((CLIENT, vip), ACK, (1_000, 5_000 + 1_460), &[], "");
    let sent = world.receive(WAN, &ack.via_gateway());
    assert_eq!(parse(&sent[0].frame).acknowledgement, 5_000 + 1_459);
    assert_eq!(send(&mut world, 5_000 + 1_459, &text[1_459..]), is(6_460, 1_000, &told[1_460..]));
}
