//! Scripts against a director that only keeps services.

use super::run::run;
use crate::{
    cli::{self, Own},
    protocol::{
        Code, Done, Refusal, Reply, Request,
        connections::Connections,
        keys::{Reach, ServerEndpoint},
        persistence::{ByServer, Clients},
        services::{self, Rate, Server, Service, Services, Traffic},
        timeouts::{self, Timeouts},
    },
    transport::{CallError, Transport},
};

mod whole;

/// Services as a director keeps them.
#[derive(Default)]
struct Director {
    services: Vec<Service>,
    asked: Vec<Request>,
    peers: crate::protocol::sync::Peers,
    clients: Vec<ByServer>,
}

impl Director {
    fn service(&mut self, name: &str) -> Result<&mut Service, CallError> {
        let found = self.services.iter_mut().find(|service| service.name == name);
        found.ok_or_else(|| Refusal::new(Code::NotFound, "no such service").into())
    }

    /// Does what ipvsadm would do with a line; what it prints, or why not.
    fn ipvsadm(&mut self, line: &str, input: &str) -> Result<String, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let mut out = Vec::new();
        let done = run(self, &words, false, &mut input.as_bytes(), &mut out);
        done.map_err(|failure| failure.to_string()).map(|()| String::from_utf8(out).unwrap())
    }
}

fn weight(options: &crate::protocol::options::Options) -> u32 {
    options["weight"].as_u64().unwrap() as u32
}

/// The tunnel that a server's options say, as the director would tell it.
fn tunnel(options: &crate::protocol::options::Options) -> Option<services::Tunnel> {
    let kind = options.get("tunnel")?.as_str().unwrap().replace("default", "ipip");
    let port = options["tunnel_port"].as_u64().unwrap() as u16;
    let port = kind.starts_with("gue").then_some(if port == 0 { 6080 } else { port });
    Some(services::Tunnel { kind, port, checksum: options["tunnel_checksum"] == "on" })
}

fn thresholds(options: &crate::protocol::options::Options) -> Option<services::Thresholds> {
    let [upper, lower] =
        ["upper_threshold", "lower_threshold"].map(|key| options[key].as_u64().unwrap() as u32);
    (upper > 0).then_some(services::Thresholds { upper, lower, full: false })
}

/// lb-app's defaults.
fn timeouts() -> Timeouts {
    let of = [("ESTABLISHED", 900), ("FIN_WAIT", 120), ("UDP", 300)];
    let timeouts =
        of.map(|(state, seconds)| serde_json::json!({ "state": state, "timeout_ms": seconds * 1_000 }));
    let service = serde_json::json!({ "service": "web", "timeouts": timeouts });
    serde_json::from_value(serde_json::json!({ "services": [service] })).unwrap()
}

impl Transport for Director {
    fn call(&mut self, request: Request) -> Result<Reply, CallError> {
        self.asked.push(request.clone());
        if let Request::Sync(_) = request {
            return Ok(Reply::Peers(self.peers.clone()));
        }
        if let Request::Persistence(_) = request {
            let servers = self.clients.clone();
            return Ok(Reply::Persistence(Clients { servers, ..Clients::default() }));
        }
        if let Request::Timeouts(timeouts::Request::List { .. }) = request {
            return Ok(Reply::Timeouts(timeouts()));
        }
        if let Request::Connections(_) = request {
            return Ok(Reply::Connections(Connections::default()));
        }
        let Request::Services(request) = request else { return Ok(Reply::Done(Done::default())) };
        match request {
            services::Request::List { .. } => {
                let services = self.services.clone();
                return Ok(Reply::Services(Services {
                    director: "0".to_owned(),
                    capacity: 4_096,
                    services,
                    next: None,
                }));
            }
            services::Request::Add(new) => {
                let scheduler = new.options["scheduler"].as_str().unwrap().to_owned();
                let flag = |option: &str, flag: &str| {
                    let is_said = new.options.get(option).is_some_and(|said| *said == true);
                    is_said.then(|| format!("{scheduler}-{flag}"))
                };
                let flags = [flag("hash_port", "port"), flag("hash_fallback", "fallback")];
                let flags = flags.into_iter().flatten().collect();
                self.services.push(Service {
                    name: new.name,
                    description: String::new(),
                    key: crate::protocol::keys::ServiceKey {
                        protocol: new.protocol,
                        vip: new.vip,
                        port: new.port,
                    },
                    reach: (new.port == 0).then(|| Reach {
                        protocols: "TCP".to_owned(),
                        endpoints: format!("{}:any", new.vip),
                        clients: String::new(),
                    }),
                    method: new.method,
                    scheduler,
                    flags,
                    adopt: false,
                    options: new.options,
                    traffic: Traffic::default(),
                    rate: Rate::default(),
                    servers: Vec::new(),
                });
            }
            services::Request::Change(change) => {
                let scheduler = change.options["scheduler"].as_str().unwrap().to_owned();
                self.service(&change.name)?.scheduler = scheduler;
            }
            services::Request::Remove { name } => self.services.retain(|service| service.name != name),
            services::Request::AddServer { service, address, port, options } => {
                let service = self.service(&service)?;
                let endpoint = ServerEndpoint { address, port: port.unwrap_or(service.key.port) };
                service.servers.push(Server {
                    endpoint,
                    weight: weight(&options),
                    configured_weight: weight(&options),
                    state: "enabled".to_owned(),
                    health: "up".to_owned(),
                    drains_within_ms: None,
                    description: String::new(),
                    tunnel: tunnel(&options),
                    thresholds: thresholds(&options),
                    quic: Vec::new(),
                    active: 3,
                    inactive: 12_345_678,
                    traffic: Traffic { connections: 7, ..Traffic::default() },
                    rate: Rate::default(),
                });
            }
            services::Request::ChangeServer(change) => {
                let service = self.service(&change.service)?;
                let server = service.servers.iter_mut().find(|server| {
                    server.endpoint.address == change.address && Some(server.endpoint.port) == change.port
                });
                server.unwrap().configured_weight = weight(&change.options);
            }
            services::Request::RemoveServer { service, address, .. } => {
                self.service(&service)?.servers.retain(|server| server.endpoint.address != address);
            }
            services::Request::Clear { .. } => {}
        }
        Ok(Reply::Done(Done { changed: Some(true), notes: Vec::new() }))
    }
}

const RULES: &str = "-A -t 192.0.2.100:80 -s wlc\n\
                     -a -t 192.0.2.100:80 -r 198.51.100.11:8080 -m -w 3\n\
                     -a -t 192.0.2.100:80 -r 198.51.100.12:80 -m -w 1 -x 100 -y 80\n\
                     -A -u 192.0.2.100:53 -s mh -b mh-port,mh-fallback\n\
                     -a -u 192.0.2.100:53 -r 198.51.100.31:53 -i -w 0\n\
                     -A -t 192.0.2.101:443 -s rr\n\
                     -a -t 192.0.2.101:443 -r 198.51.100.41:443 -g -w 1\n";

#[test]
fn what_is_saved_is_restored() {
    let mut director = Director::default();
    assert_eq!(director.ipvsadm("-R", RULES).as_deref(), Ok(""));
    assert_eq!(director.ipvsadm("-S -n", "").as_deref(), Ok(RULES));
    let mut other = Director::default();
    other.ipvsadm("--restore", &director.ipvsadm("-Sn", "").unwrap()).unwrap();
    assert_eq!(other.services, director.services);
    director.ipvsadm("-C", "").unwrap();
    assert_eq!(director.services, []);
}

#[test]
fn services_of_sctp_are_added_listed_and_saved() {
    let rules = "-A --sctp-service 192.0.2.100:3868 -s wlc\n\
                 -a --sctp-service 192.0.2.100:3868 -r 198.51.100.11:3868 -m -w 1\n";
    let mut director = Director::default();
    assert_eq!(director.ipvsadm("-R", rules).as_deref(), Ok(""));
    assert_eq!(director.ipvsadm("-Sn", "").as_deref(), Ok(rules));
    let list = director.ipvsadm("-L -n --sctp-service 192.0.2.100:3868", "").unwrap();
    assert!(list.contains("SCTP 192.0.2.100:3868 wlc\n"), "{list}");
}

#[test]
fn thresholds_are_listed_as_ipvsadm_lists_them() {
    let mut director = Director::default();
    director.ipvsadm("-R", RULES).unwrap();
    let list = director.ipvsadm("-L -n --thresholds", "").unwrap();
    for line in [
        "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n",
        "TCP  192.0.2.100:80 wlc\n",
        "  -> 198.51.100.11:8080           0          0          3          12345678  \n",
        "  -> 198.51.100.12:80             100        80         3          12345678  \n",
    ] {
        assert!(list.contains(line), "{list}");
    }
}

#[test]
fn clients_that_stay_with_a_server_are_listed_as_ipvsadm_lists_them() {
    let mut director = Director::default();
    director.ipvsadm("-R", RULES).unwrap();
    director.clients = vec![ByServer {
        service: "tcp-192.0.2.100-80".to_owned(),
        server: ServerEndpoint { address: "198.51.100.12".parse().unwrap(), port: 80 },
        clients: 42,
    }];
    let list = director.ipvsadm("-L -n --persistent-conn", "").unwrap();
    for line in [
        "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n  -> RemoteAddress:Port\n",
        "TCP  192.0.2.100:80 wlc\n",
        "  -> 198.51.100.11:8080           3         0           3          12345678  \n",
        "  -> 198.51.100.12:80             1         42          3          12345678  \n",
    ] {
        assert!(list.contains(line), "{list}");
    }
}

#[test]
fn counters_of_one_service_or_all_are_cleared() {
    let mut director = Director::default();
    director.ipvsadm("-R", RULES).unwrap();
    let cleared = |director: &Director| match director.asked.last() {
        Some(Request::Services(services::Request::Clear { service })) => service.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(director.ipvsadm("-Z", "").as_deref(), Ok(""));
    assert_eq!(cleared(&director), None);
    assert_eq!(director.ipvsadm("-Z -u 192.0.2.100:53", "").as_deref(), Ok(""));
    assert_eq!(cleared(&director).as_deref(), Some("udp-192.0.2.100-53"));
    assert!(director.ipvsadm("-Z -t 192.0.2.109:80", "").unwrap_err().starts_with("there is no service"));
    assert!(director.ipvsadm("-Z -w 3", "").unwrap_err().starts_with("--weight does not go with --zero"));
}

#[test]
fn persistence_and_one_packet_are_said_as_ipvsadm_says_them() {
    let mut director = Director::default();
    let rules = "-A -t 192.0.2.102:80 -s rr -p 300\n\
                 -A -t 192.0.2.103:80 -s wlc -p 90 -M 255.255.255.0\n\
                 -A -u [2001:db8::1]:53 -s mh -b mh-port -p 60 -M 64\n\
                 -A -u 192.0.2.53:53 -s rr -o\n\
                 -A -u 192.0.2.54:5060 -s rr -p 600 -M 0.0.0.0 --pe sip -o\n";
    assert_eq!(director.ipvsadm("-R", rules).as_deref(), Ok(""));
    assert_eq!(director.ipvsadm("-S", "").as_deref(), Ok(rules));
    let list = director.ipvsadm("-Ln", "").unwrap();
    for line in [
        "TCP  192.0.2.102:80 rr persistent 300\n",
        "TCP  192.0.2.103:80 wlc persistent 90 mask 255.255.255.0\n",
        "UDP  [2001:db8::1]:53 mh (mh-port) persistent 60 mask 64\n",
        "UDP  192.0.2.53:53 rr ops\n",
        "UDP  192.0.2.54:5060 rr persistent 600 mask 0.0.0.0 pe sip ops\n",
    ] {
        assert!(list.contains(line), "{list}");
    }
    let wrong = director.ipvsadm("-A -u 192.0.2.55:53 -p --pe dns", "").unwrap_err();
    assert!(wrong.contains("no persistence engine \"dns\""), "{wrong}");
    assert!(director.ipvsadm("-A -u 192.0.2.55:53 -p -M 0.0.0.0", "").is_err(), "one client");
    director.ipvsadm("-A -t 192.0.2.104:80 -p", "").unwrap();
    assert!(director.ipvsadm("-S", "").unwrap().ends_with("-A -t 192.0.2.104:80 -s wlc -p 300\n"));
}

#[test]
fn port_0_is_any_port() {
    let mut director = Director::default();
    let rules = "-A -t 192.0.2.102:0 -s rr\n-a -t 192.0.2.102:0 -r 198.51.100.41:0 -g -w 1\n";
    assert_eq!(director.ipvsadm("-R", rules).as_deref(), Ok(""));
    assert_eq!(director.ipvsadm("-S", "").as_deref(), Ok(rules));
    assert!(director.ipvsadm("-Ln", "").unwrap().contains("TCP  192.0.2.102:any rr\n  -> 198.51.100.41:0 "));
    director.ipvsadm("-d -t 192.0.2.102:0 -r 198.51.100.41", "").unwrap();
    assert_eq!(director.services[0].servers, []);
    // What ipvsadm has no rule for is a comment among its rules.
    director.services[0].key.port = 80;
    director.services[0].reach.as_mut().unwrap().endpoints = "192.0.2.102:80,443".to_owned();
    let saved = director.ipvsadm("-S", "").unwrap();
    assert!(saved.starts_with("# tcp-192.0.2.102-0: ipvsadm has no rule for TCP 192.0.2.102:80,443; "));
    assert_eq!(director.ipvsadm("-R", &saved).as_deref(), Ok(""));
}

#[test]
fn services_that_share_an_address_and_port_have_names_only() {
    let mut director = Director::default();
    director.ipvsadm("-A -t 192.0.2.100:80 -s rr", "").unwrap();
    let mut tenant = director.services[0].clone();
    tenant.name = "tenant".to_owned();
    tenant.reach = Some(Reach {
        protocols: "TCP".to_owned(),
        endpoints: "192.0.2.100:80".to_owned(),
        clients: "from 203.0.113.0/24".to_owned(),
    });
    director.services.push(tenant);
    assert!(director.ipvsadm("-Ln", "").unwrap().contains("TCP  192.0.2.100:80 from 203.0.113.0/24 rr\n"));
    for words in
        ["-E -t 192.0.2.100:80 -s wlc", "-a -t 192.0.2.100:80 -r 198.51.100.11", "-D -t 192.0.2.100:80"]
    {
        let refused = director.ipvsadm(words, "").unwrap_err();
        let which = "several services are at TCP 192.0.2.100:80: tcp-192.0.2.100-80 (for all clients), tenant (from \
                     203.0.113.0/24); ";
        assert!(refused.starts_with(which), "{words}: {refused}");
    }
    let saved = director.ipvsadm("-S", "").unwrap();
    let comment =
        "# tenant: ipvsadm has no rule for TCP 192.0.2.100:80 from 203.0.113.0/24; `lbctl save` has\n";
    assert_eq!(saved, format!("-A -t 192.0.2.100:80 -s rr\n{comment}"));
    // One by itself is meant by what it is sent.
    director.services.remove(0);
    director.ipvsadm("-a -t 192.0.2.100:80 -r 198.51.100.11", "").unwrap();
    director.ipvsadm("-d -t 192.0.2.100:80 -r 198.51.100.11", "").unwrap();
    director.ipvsadm("-D -t 192.0.2.100:80", "").unwrap();
    assert!(director.services.is_empty());
}

#[test]
fn tunnels_are_said_as_ipvsadm_says_them() {
    let mut director = Director::default();
    let rules = "-A -t 192.0.2.100:80 -s wlc\n\
                 -a -t 192.0.2.100:80 -r 198.51.100.11:80 -i -w 1\n\
                 -a -t 192.0.2.100:80 -r 198.51.100.12:80 -i -w 1 --tun-type gue --tun-port 7000 --tun-csum\n\
                 -a -t 192.0.2.100:80 -r 198.51.100.13:80 -i -w 1 --tun-type gre --tun-nocsum\n";
    director.ipvsadm("-R", rules).unwrap();
    assert_eq!(director.ipvsadm("-S -n", "").as_deref(), Ok(rules));
    director.ipvsadm("-a -t 192.0.2.100:80 -r 198.51.100.14 -i --tun-type gue", "").unwrap();
    let saved = director.ipvsadm("-S -n", "").unwrap();
    assert!(
        saved.ends_with("198.51.100.14:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum\n"),
        "{saved}"
    );
    let add = "-a -t 192.0.2.100:80 -r 198.51.100.15";
    for (options, expected) in [
        ("-i --tun-type vxlan", "--tun-type: \"vxlan\" is none of ipip, gue, gre, gue1"),
        ("-i --tun-port 6080", "--tun-port is for --tun-type gue"),
        ("-i --tun-type gre --tun-remcsum", "--tun-remcsum is for --tun-type gue"),
        ("-i --tun-type gue --tun-port 0", "--tun-port: 0 is no port"),
        ("-i --tun-type ipip --tun-csum", "checksums are for --tun-type gue and gre"),
        (
            "-i --tun-type gue --tun-csum --tun-nocsum",
            "--tun-nocsum, --tun-csum and --tun-remcsum exclude one another",
        ),
    ] {
        assert_eq!(director.ipvsadm(&format!("{add} {options}"), "").unwrap_err(), expected, "{options}");
    }
}

#[test]
fn listings_are_ipvsadms_own() {
    let mut director = Director::default();
    director.ipvsadm("-R", RULES).unwrap();
    assert_eq!(
        director.ipvsadm("-Ln", "").unwrap(),
        "IP Virtual Server version 1.2.1 (size=4096)\n\
         Prot LocalAddress:Port Scheduler Flags\n\
         \x20 -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n\
         TCP  192.0.2.100:80 wlc\n\
         \x20 -> 198.51.100.11:8080           Masq    3      3          12345678  \n\
         \x20 -> 198.51.100.12:80             Masq    1      3          12345678  \n\
         TCP  192.0.2.101:443 rr\n\
         \x20 -> 198.51.100.41:443            Route   1      3          12345678  \n\
         UDP  192.0.2.100:53 mh (mh-port,mh-fallback)\n\
         \x20 -> 198.51.100.31:53             Tunnel  0      3          12345678  \n"
    );
    assert_eq!(
        director.ipvsadm("-L -n --stats -t 192.0.2.101:443", "").unwrap(),
        "IP Virtual Server version 1.2.1 (size=4096)\n\
         Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n\
         \x20 -> RemoteAddress:Port\n\
         TCP  192.0.2.101:443                     0        0        0        0        0\n\
         \x20 -> 198.51.100.41:443                   7        0        0        0        0\n"
    );
    assert_eq!(director.ipvsadm("-L --daemon", "").as_deref(), Ok(""));
    director.peers.ipvs = serde_json::from_value(serde_json::json!({
        "interface": "eth1", "group": "224.0.0.81:8848", "syncid": 7, "capacity": 131_072,
        "backup": {
            "senders": [], "held": 0, "adopted": 0, "datagrams": 0, "connections": 0, "ended": 0, "clients": 0,
            "clients_unknown": 0, "no_room": 0, "unfit": [], "refused": []
        },
    }))
    .unwrap();
    assert_eq!(
        director.ipvsadm("-L --daemon", "").as_deref(),
        Ok("backup sync daemon (mcast=eth1, syncid=7, group=224.0.0.81, port=8848)\n")
    );
}

#[test]
fn services_and_servers_are_changed() {
    let mut director = Director::default();
    director.ipvsadm("-R", RULES).unwrap();
    director.ipvsadm("-e -t 192.0.2.100:80 -r 198.51.100.11:8080 -m -w 9", "").unwrap();
    director.ipvsadm("-e -t 192.0.2.100:80 -r 198.51.100.12 -m", "").unwrap();
    director.ipvsadm("-d -u 192.0.2.100:53 -r 198.51.100.31", "").unwrap();
    director.ipvsadm("-E -t 192.0.2.101:443", "").unwrap();
    director.ipvsadm("-D -u 192.0.2.100:53", "").unwrap();
    assert_eq!(
        director.ipvsadm("-S", "").unwrap(),
        "-A -t 192.0.2.100:80 -s wlc\n\
         -a -t 192.0.2.100:80 -r 198.51.100.11:8080 -m -w 9\n\
         -a -t 192.0.2.100:80 -r 198.51.100.12:80 -m -w 1 -x 100 -y 80\n\
         -A -t 192.0.2.101:443 -s wlc\n\
         -a -t 192.0.2.101:443 -r 198.51.100.41:443 -g -w 1\n"
    );
    director.asked.clear();
    director.ipvsadm("--set 900 0 300", "").unwrap();
    assert_eq!(director.asked.len(), 2, "0 leaves a timeout as it is");
}

#[test]
fn what_cannot_be_is_refused_in_a_line_before_anything_is_changed() {
    let mut director = Director::default();
    director.ipvsadm("-R", RULES).unwrap();
    let before = director.services.clone();
    for (line, expected) in [
        (
            "-A -t 192.0.2.102:80 -p 300 -M 255.0.255.0",
            "-M: \"255.0.255.0\" is no mask, such as 255.255.255.0",
        ),
        (
            "-A -f 3",
            "packets have no fwmarks here; a service of several addresses and ports, for certain clients",
        ),
        (
            "-a -t 192.0.2.100:80 -r 198.51.100.13 -g",
            "all servers of a service have its method, and tcp-192.0.2.100-80 has nat",
        ),
        (
            "-a -t 192.0.2.100:80 -r 198.51.100.13 -m --tun-type gue",
            "--tun-type and what goes with it are for -i",
        ),
        (
            "-a -t 192.0.2.100:80 -r 198.51.100.13 -i --tun-type gue --tun-remcsum",
            "--tun-remcsum is not supported: servers would compute",
        ),
        ("-a -t 192.0.2.109:80 -r 198.51.100.13 -m", "there is no service TCP 192.0.2.109:80"),
        ("--start-daemon master", "lb.toml says who copies connections: [ipvs_sync] with directors of IPVS"),
    ] {
        let said = director.ipvsadm(line, "").unwrap_err();
        assert!(said.starts_with(expected) && !said.contains('\n'), "{line}: {said}");
    }
    assert_eq!(director.services, before);
    assert_eq!(
        director.ipvsadm("-R", "\n-A -t 192.0.2.103:80\n-A -t www:80\n").unwrap_err(),
        "standard input:3: \"www\" is a name; write its address (ipvsadm -S -n)"
    );
}

#[test]
fn arguments_are_ipvsadms_by_their_first_or_by_the_programs_name() {
    let words = |line: &str| {
        let arguments = line.split_whitespace().map(str::to_owned).collect();
        match cli::parse(arguments).unwrap_or_else(|error| panic!("{line}: {error}")).command {
            Some(Own::Ipvsadm { words }) => words.join(" "),
            other => panic!("{line}: {other:?}"),
        }
    };
    assert_eq!(words("lbctl -Ln --rate"), "-Ln --rate");
    assert_eq!(words("lbctl --socket /x --json -A -t 192.0.2.1:80"), "-A -t 192.0.2.1:80");
    assert_eq!(words("lbctl --list --stats"), "--list --stats");
    assert_eq!(words("/sbin/ipvsadm"), "");
    assert_eq!(words("/sbin/ipvsadm --socket /x -h"), "-h");
    assert_eq!(words("ipvsadm --set 1 2 3"), "--set 1 2 3");
    let shared = cli::parse(["lbctl", "show", "services"].map(str::to_owned).to_vec()).unwrap();
    assert!(matches!(shared.command, Some(Own::Shared(_))));
    assert!(cli::parse(["lbctl", "-V"].map(str::to_owned).to_vec()).is_err(), "its version");
}
