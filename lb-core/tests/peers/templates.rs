//! Clients of persistent services, as directors of IPVS are told of them and tell of them.

use crate::{
    common::{
        frame::{ACK, SYN, tcp, udp},
        plan::*,
        world::World,
    },
    ipvs::{SYNCID, at, backup},
};
use lb_core::{
    family::V4,
    peers::ipvs::{
        entry::{self, Told, Unfit},
        master::Master,
        message::{self, Datagram, Unread},
        template::{Of, Template},
    },
    service::{
        check::check,
        key::Protocol,
        plan::{Method, PersistBy, PersistencePlan, Plan},
        reach::PortRange,
    },
    time::Duration,
    worker::{clients, exceptions::Wanted},
};

fn client(of: Of, server: &str, left_s: u64) -> Template<'static> {
    Template {
        of,
        network: "203.0.113.0".parse().unwrap(),
        call_id: None,
        server: server.parse().unwrap(),
        method: Method::Dr,
        left: Duration::from_secs(left_s),
    }
}

/// As `ip_vs_sched_persist` makes them and `ip_vs_sync_conn` writes them.
#[test]
fn templates_of_each_kind_of_service() {
    let bytes = |of, server| {
        let mut bytes = Datagram::new(SYNCID, 1_400);
        assert!(bytes.add(&client(of, server, 300).tell().unwrap()));
        let bytes = bytes.finish();
        assert_eq!(bytes.len(), 8 + 36);
        bytes[8..].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let endpoint = |at: &str| Of::Endpoint(Protocol::Tcp, at.parse().unwrap());
    // Protocol, flags, state, ports; mark, time; client, VIP, server.
    assert_eq!(
        bytes(endpoint("192.0.2.100:80"), "198.51.100.11:80"),
        concat!(
            "00060024",
            "00001183",
            "0001",
            "000000500050",
            "000000000000012c",
            "cb007100",
            "c0000264",
            "c633640b"
        )
    );
    assert_eq!(
        bytes(endpoint("192.0.2.100:0"), "198.51.100.11:0"),
        concat!(
            "00060024",
            "00001183",
            "0001",
            "000000000000",
            "000000000000012c",
            "cb007100",
            "c0000264",
            "c633640b"
        )
    );
    assert_eq!(
        bytes(Of::Mark(5), "198.51.100.11:0"),
        concat!(
            "00000024",
            "00001183",
            "0001",
            "000000000000",
            "000000050000012c",
            "cb007100",
            "00000005",
            "c633640b"
        )
    );
    let v6 =
        Template { network: "2001:db8::".parse().unwrap(), ..client(Of::Mark(5), "[2001:db8:2::b]:0", 300) };
    assert_eq!(v6.tell().unwrap().vip, "[0:5::]:0".parse().unwrap());
    for server in ["198.51.100.11:80", "[2001:db8::1]:80"] {
        let full = Template { method: Method::FullNat, ..client(Of::Mark(5), server, 300) };
        assert_eq!(full.tell(), None);
    }
    assert_eq!(client(Of::Mark(5), "[2001:db8::1]:80", 300).tell(), None, "of another family");
}

#[test]
fn clients_are_told_as_often_as_connections_and_end_by_their_time() {
    let mut master = Master::new((SYNCID, 1_400), 2, 1_000, at(0));
    let mut tells = |from: u64, seconds: u64, clients: &[Option<Template<'_>>]| {
        let mut told = Vec::new();
        for second in from..from + seconds {
            let mut out = |bytes: &[u8]| {
                message::read(bytes, SYNCID).unwrap().for_each(|raw| told.push((second, raw.timeout_s)));
            };
            master.poll(at(second * 1_000));
            master.begin_look(at(second * 1_000));
            clients.iter().for_each(|client| master.found_client(client.as_ref(), &mut out));
            master.end_look(&mut out);
        }
        let counts = *master.counts();
        (told, master.clients(), [counts.clients_no_room, counts.clients_untellable])
    };
    let of = |mark, left_s| Some(client(Of::Mark(mark), "198.51.100.11:0", left_s));
    let told = [(1, 300), (9, 300), (17, 300), (77, 300)];
    assert_eq!(tells(1, 100, &[of(5, 300)]), (told.to_vec(), 1, [0, 0]));
    // Its time goes by, and it is told before half of what was told is over.
    assert_eq!(tells(137, 1, &[of(5, 20)]), (vec![(137, 20)], 1, [0, 0]));
    assert_eq!(tells(147, 1, &[of(5, 10)]), (vec![(147, 10)], 1, [0, 0]));
    let moved = Some(client(Of::Mark(5), "198.51.100.12:0", 10));
    assert_eq!(tells(148, 1, &[moved]), (vec![(148, 10)], 1, [0, 0]));
    assert_eq!(tells(149, 1, &[]), (vec![], 0, [0, 0]));
    let (told, clients, counts) = tells(150, 1, &[of(1, 9), of(2, 9), of(3, 9), None]);
    assert_eq!((told.len(), clients, counts), (2, 2, [1, 1]));
}

/// A plan whose first service is persistent and has these ports and that mark.
fn persistent(ports: &[PortRange], fwmark: u32) -> Plan {
    let mut plan = two_servers(Method::Dr);
    let service = plan.first();
    let timeout = Duration::from_secs(60);
    service.persistence = PersistencePlan { timeout, prefix: 24, ..PersistencePlan::default() };
    service.fwmark = fwmark;
    service.set_ports(ports.to_vec());
    let port = service.default_server_port();
    service.servers.iter_mut().for_each(|server| server.port = port);
    check(&plan, []).unwrap();
    plan
}

#[test]
fn a_client_stays_with_its_server_whatever_ipvs_knows_the_service_by() {
    let (http, https, ftp) = (PortRange::one(80), PortRange::one(443), PortRange::one(21));
    for (ports, fwmark, known_by) in [
        (&[http][..], 0, "tcp 192.0.2.100:80"),
        (&[http][..], 5, "mark 5"),
        (&[ftp][..], 0, "tcp 192.0.2.100:0"),
        (&[PortRange::ANY][..], 0, "tcp 192.0.2.100:0"),
        (&[http, https][..], 7, "mark 7"),
        (&[http, https][..], 0, "nothing"),
        (&["1024-2047".parse().unwrap()][..], 0, "nothing"),
    ] {
        let plan = persistent(ports, fwmark);
        let to = format!("192.0.2.100:{}", if ports[0] == PortRange::ANY { 8_080 } else { ports[0].first });
        let open = |world: &mut World, net: u8, port: u16| {
            let from = |flags| tcp(&format!("203.0.{net}.10:{port}"), &to, flags).via_gateway();
            [SYN, ACK, ACK].map(|flags| world.receive(WAN, &from(flags))[0].frame[..6].to_vec())[0].clone()
        };
        let mut first = World::new(&plan);
        let chosen: Vec<Vec<u8>> = (1..=20).map(|net| open(&mut first, net, 4_000)).collect();
        let mut found = Vec::new();
        first.workers[0].exceptions::<V4>(
            first.now,
            0..u32::MAX,
            Wanted { all: true, young: true },
            |seen| found.push(seen.mark),
        );
        assert!(found.iter().all(|&mark| mark == fwmark), "of connections, too");
        let mut second = World::new(&plan);
        let (mut backup, _) = backup(64);
        let mut master = Master::new((SYNCID, 1_400), 100, 1_000, at(0));
        let mut names = std::collections::BTreeSet::new();
        let (persistence, snapshot, now) = (second.persistence(), second.snapshot.clone(), second.now);
        let mut learn = |told: &Template<'_>| {
            names.insert(match told.of {
                Of::Endpoint(protocol, vip) => format!("{protocol} {vip}"),
                Of::Mark(mark) => format!("mark {mark}"),
            });
            clients::learn_template(persistence, &snapshot, now, told)
        };
        let mut out = |bytes: &[u8]| assert!(backup.receive(at(0), bytes, &mut learn));
        master.poll(at(1_000));
        master.begin_look(at(1_000));
        clients::templates(first.persistence(), &first.snapshot, first.now)
            .for_each(|client| master.found_client(client.as_ref(), &mut out));
        master.end_look(&mut out);
        if known_by == "nothing" {
            assert_eq!((master.counts().clients_untellable, backup.counts().clients), (20, 0));
            continue;
        }
        assert_eq!(names.into_iter().collect::<Vec<_>>(), [known_by]);
        assert_eq!((backup.counts().clients, backup.counts().clients_unknown), (20, 0), "{known_by}");
        // What was only heard of is not told in turn.
        assert_eq!(clients::templates(persistence, &snapshot, now).count(), 0);
        let mut after: Vec<Vec<u8>> = (1..=20).rev().map(|net| open(&mut second, net, 5_000)).collect();
        after.reverse();
        assert_eq!(after, chosen, "{known_by}");
    }
}

#[test]
fn a_mark_is_one_services() {
    let mut plan = persistent(&[PortRange::one(80)], 5);
    let mut other = plan.services[0].clone();
    other.name = "other".to_owned();
    other.set_ports(vec![PortRange::one(81)]);
    other.servers.iter_mut().for_each(|server| server.port = 81);
    plan.services.push(other);
    let text = check(&plan, []).unwrap_err().to_string();
    assert!(text.contains("by mark 5"), "{text}");
    plan.services[1].fwmark = 6;
    check(&plan, []).unwrap();
}

/// As Linux writes them (`ip_vs_sync_conn`): two clients of a service by address and port with the engine `sip`, the first
/// of which is filled up to four bytes. An entry, then what the engine knows the client by, then its name.
const CALLS: &str = concat!(
    "0007006602010000",
    "0011002e000011830001000013c413c4000000000000012ccb007100c0000264c633640c",
    "0203314078",
    "0303736970",
    "0000",
    "0011002e000011830001000013c413c4000000000000012ccb007100c0000264c633640b",
    "0203324078",
    "0303736970",
);

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn clients_of_the_engine_sip_have_a_call_id() {
    let datagram = bytes(CALLS);
    let told: Vec<_> =
        message::read(&datagram, SYNCID).unwrap().map(|raw| entry::read(&raw).unwrap()).collect();
    let of = |call_id: &'static [u8], server: &str| {
        let of = Of::Endpoint(Protocol::Udp, "192.0.2.100:5060".parse().unwrap());
        Told::Client(Template { call_id: Some(call_id), ..client(of, server, 300) })
    };
    assert_eq!(told, [of(b"1@x", "198.51.100.12:5060"), of(b"2@x", "198.51.100.11:5060")]);
    // Here nothing says a Call-ID that could be told.
    let Told::Client(template) = told[0] else { panic!("a client") };
    assert_eq!(template.tell(), None);
    // Of another engine nobody knows what its data mean, and Linux takes none without a name.
    let first = |hex: &str| {
        let datagram = bytes(hex);
        message::read(&datagram, SYNCID).map(|mut entries| entry::read(&entries.next().unwrap()).map(|_| ()))
    };
    assert_eq!(first(CALLS), Ok(Ok(())));
    assert_eq!(first(&CALLS.replacen("0303736970", "0303646e73", 1)), Ok(Err(Unfit::Client)));
    // An option that one need not know has another bit.
    assert_eq!(
        first(&CALLS.replacen("0303736970", "4803736970", 1)),
        Ok(Err(Unfit::Client)),
        "without a name"
    );
    assert_eq!(first(&CALLS.replacen("0203314078", "4803314078", 1)), Ok(Ok(())), "a name alone is nothing");
    assert_eq!(first(&CALLS.replacen("0203314078", "0303314078", 1)), Err(Unread::Malformed), "two names");
    assert_eq!(first(&CALLS.replacen("0303736970", "0203736970", 1)), Err(Unread::Malformed), "two data");
    let named = |len: usize| {
        let options = format!("02013103{len:02x}{}", "73".repeat(len));
        let entry = CALLS.replacen("02033140780303736970", &options, 1).replacen(
            "0011002e",
            &format!("001100{:02x}", 41 + len),
            1,
        );
        first(&format!("000700{:02x}01010000{}", 49 + len, &entry[16..2 * (49 + len)]))
    };
    assert_eq!([named(16), named(17)], [Ok(Err(Unfit::Client)), Err(Unread::Malformed)]);
}

#[test]
fn a_call_stays_with_the_server_that_a_director_of_ipvs_tells() {
    let plan = |by, prefix| {
        let mut plan = two_servers(Method::Dr).udp();
        let service = plan.first();
        let timeout = Duration::from_secs(60);
        service.persistence = PersistencePlan { timeout, prefix, by, ..PersistencePlan::default() };
        service.set_ports(vec![PortRange::one(5_060)]);
        service.servers.iter_mut().for_each(|server| server.port = 5_060);
        check(&plan, []).unwrap();
        plan
    };
    let learned = |plan: &Plan| {
        let world = World::new(plan);
        let (mut backup, _) = backup(64);
        let mut learn = |told: &Template<'_>| {
            clients::learn_template(world.persistence(), &world.snapshot, world.now, told)
        };
        assert!(backup.receive(at(0), &bytes(CALLS), &mut learn));
        let counts = *backup.counts();
        (world, [counts.clients, counts.clients_unknown, counts.unfit[Unfit::Client as usize]])
    };
    let (mut world, counts) = learned(&plan(PersistBy::SipCallId, 24));
    assert_eq!(counts, [2, 0, 0]);
    let mut station = |from: &str, call: &str| {
        let text = format!("OPTIONS sip:b@192.0.2.100 SIP/2.0\r\nCall-ID: {call}\r\n\r\n");
        let sent = world.receive(WAN, &udp(from, "192.0.2.100:5060", text.as_bytes()).via_gateway());
        sent[0].frame[..6].to_vec()
    };
    // From anybody in the network, whatever a scheduler would say.
    for host in 1..5 {
        assert_eq!(station(&format!("203.0.113.{host}:5060"), "1@x"), SERVER_MACS[1].0);
        assert_eq!(station(&format!("203.0.113.{host}:5061"), "2@x"), SERVER_MACS[0].0);
    }
    // Of other networks it is other calls, for which the scheduler takes turns.
    let elsewhere = [1, 2].map(|net| station(&format!("198.18.{net}.1:5060"), "1@x"));
    assert_ne!(elsewhere[0], elsewhere[1]);
    // Where clients are told apart otherwise nobody would find them.
    for plan in [plan(PersistBy::Address, 24), plan(PersistBy::SipCallId, 16), plan(PersistBy::SipCallId, 0)]
    {
        assert_eq!(learned(&plan).1, [0, 2, 0]);
    }
}
