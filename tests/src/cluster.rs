//! Directors behind a router that spreads connections over them.
//!
//! Each has BIRD beside it, which speaks BGP and BFD with the router over the host side of the very port that packets come
//! by. They are peers: they tell one another of the connections that the others could not find the server of.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bird::Bird;
use crate::config::Config;
use crate::control::Control;
use crate::director::Director;
use crate::netns::Namespace;
use crate::process::{PATIENCE, eventually};
use crate::world::{self, World};

/// On no network that anybody is attached to: only the router's routes lead there.
pub const VIP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 100);

/// BFD notices within four times that.
const BFD: &str = "interval 200 ms; multiplier 4;";
/// What BGP would otherwise wait for, up to a minute.
const HASTE: &str = "error wait time 1, 2;\n  connect delay time 1;\n  connect retry time 1;";

/// The directors and their router.
#[derive(Debug)]
pub struct Cluster<'a> {
    world: &'a World,
    // What runs in a namespace ends before the namespace does.
    members: Vec<Member>,
    _router: Bird,
    _others: Vec<Namespace>,
}

/// A director with what is beside it.
#[derive(Debug)]
pub struct Member {
    namespace: Namespace,
    directory: PathBuf,
    name: String,
    text: String,
    workers: usize,
    runs: u32,
    running: Option<(Director, Control)>,
    _bird: Bird,
}

/// The last byte of a director's addresses, from number 1.
fn host(number: usize) -> u8 {
    30 + u8::try_from(number).expect("few directors")
}

/// A director's address on the wan.
fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, host(number))
}

impl<'a> Cluster<'a> {
    /// So many directors with this configuration, and starts them. Packets to the VIP are spread over all of them when it
    /// returns.
    pub fn start(world: &'a World, config: &Config, directors: usize) -> Result<Self> {
        for server in world.servers() {
            server.namespace().ip(&format!("addr add {VIP}/32 dev lo"))?;
        }
        world.spread_by_ports()?;
        let router = Bird::start(world.router(), world.directory(), "router", &of_router(directors))?;
        let others = (1..directors).map(|_| world.another_director()).collect::<Result<Vec<_>>>()?;
        let namespaces: Vec<_> =
            std::iter::once(world.director()).chain(&others).map(Namespace::twin).collect();
        let key = world.directory().join("sync.key");
        fs::write(&key, "a key that all of them have\n")?;
        fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        let members = (1..).zip(namespaces).map(|(number, namespace)| {
            let peers = (1..=directors).filter(|peer| *peer != number);
            let peers: Vec<_> = peers.map(|peer| format!("\"{}:4789\"", address(peer))).collect();
            let sync = format!(
                "[sync]\nlisten = \"{}:4789\"\npeers = [{}]\nkey_file = {key:?}\n",
                address(number),
                peers.join(", ")
            );
            Member::new(world, namespace, number, config.clone().section(sync))
        });
        let members = members.collect::<Result<Vec<_>>>()?;
        let mut cluster = Self { world, members, _router: router, _others: others };
        for number in 1..=directors {
            cluster.revive(number)?;
        }
        cluster.routed_to(&(1..=directors).collect::<Vec<_>>())?;
        Ok(cluster)
    }

    /// What a director's control socket says.
    pub fn ask(&self, number: usize, question: &str) -> Result<String> {
        let (_, control) = self.members[number - 1].running.as_ref().context("it does not run")?;
        control.ask(question)
    }

    /// The same of all.
    pub fn ask_all(&self, question: &str) -> Result<Vec<String>> {
        (1..=self.members.len()).map(|number| self.ask(number, question)).collect()
    }

    /// Whether each director has exceptions to tell, connections that are not with the server that the others would choose,
    /// and all others know them.
    pub fn exceptions_are_told(&self) -> Result<bool> {
        for answer in self.ask_all("--json show sync")? {
            let answer: Value = serde_json::from_str(&answer)?;
            let told = &answer["reply"]["peers"];
            let peers = told["peers"].as_array().context("a list of peers")?;
            let knows = |peer: &Value| {
                peer["up"] == true && peer["same_tables"] == true && peer["unacknowledged"] == 0
            };
            if told["tells_all"] == true || told["told"] == 0 || !peers.iter().all(knows) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends a director as a power failure would.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        self.members[number - 1].end().map(Director::kill)
    }

    /// Ends a director as a service manager does.
    pub fn stop(&mut self, number: usize) -> Result<()> {
        self.members[number - 1].end()?.stop().map(drop)
    }

    /// Starts a director that does not run, with what its configuration file says.
    pub fn revive(&mut self, number: usize) -> Result<()> {
        let member = &mut self.members[number - 1];
        member.runs += 1;
        let name = format!("{}-{}", member.name, member.runs);
        let director = Director::start(
            &member.namespace,
            &member.directory,
            &name,
            &member.text,
            member.workers,
            |_| (),
        )?;
        let control = Control::of(&director)?;
        member.running = Some((director, control));
        Ok(())
    }

    /// Waits until the router sends packets to these directors, and to no others.
    pub fn routed_to(&self, numbers: &[usize]) -> Result<()> {
        let wanted: BTreeSet<usize> = numbers.iter().copied().collect();
        let is_so = eventually(PATIENCE, || Ok(self.next_hops()? == wanted))?;
        ensure!(is_so, "the router sends packets to {:?}, not to {wanted:?}", self.next_hops()?);
        Ok(())
    }

    fn next_hops(&self) -> Result<BTreeSet<usize>> {
        let routes = self.world.router().run("ip", &["route", "show", &VIP.to_string()])?;
        Ok((1..=self.members.len())
            .filter(|number| routes.contains(&format!("via {} ", address(*number))))
            .collect())
    }
}

impl Member {
    /// The director, to be ended. Its file may have been written by `save`.
    fn end(&mut self) -> Result<Director> {
        let (director, _) = self.running.take().context("it does not run")?;
        self.text = director.configuration()?;
        Ok(director)
    }

    fn new(world: &World, namespace: Namespace, number: usize, config: Config) -> Result<Self> {
        let (own, file) = (address(number), world.directory().join(format!("announced{number}.conf")));
        fs::write(&file, "")?;
        for name in ["lbwan", "lblan"] {
            // A NIC that DPDK owns shows the kernel nothing.
            namespace.leave_to_dpdk(name)?;
        }
        let bird = format!(
            "router id {own};\ninclude \"{}\";\nprotocol device {{}}\n\
             protocol bfd {{ interface \"lb-wan\" {{ {BFD} }}; }}\n\
             protocol bgp upstream {{\n  local {own} as 65001;\n  neighbor {} as 65000;\n  bfd on;\n  {HASTE}\n  \
             ipv4 {{ import none; export where proto = \"lb_vips4\"; next hop self; }};\n}}\n",
            file.display(),
            world::GATEWAY
        );
        let bird = Bird::start(&namespace, world.directory(), &format!("bird{number}"), &bird)?;
        let announce = format!(
            "[announce]\nfile = {file:?}\ncommand = [\"birdc\", \"-s\", {:?}, \"configure\"]\n",
            bird.socket
        );
        let config = config.section(announce).at_host(host(number)).with_host_sides();
        Ok(Self {
            namespace,
            directory: world.directory().to_owned(),
            name: format!("{}-{number}", world.name()),
            text: config.render(&world.server_addresses()),
            workers: config.workers(),
            runs: 0,
            running: None,
            _bird: bird,
        })
    }
}

/// Equally good routes are one of several next hops.
fn of_router(directors: usize) -> String {
    let own = world::GATEWAY;
    let neighbours: String = (1..=directors)
        .map(|number| {
            format!(
                "protocol bgp director{number} {{\n  local {own} as 65000;\n  neighbor {} as 65001;\n  bfd on;\n  \
                 {HASTE}\n  ipv4 {{ import all; export none; }};\n}}\n",
                address(number)
            )
        })
        .collect();
    format!(
        "router id {own};\nprotocol device {{}}\nprotocol direct {{ ipv4; }}\n\
         protocol bfd {{ interface \"wan\" {{ {BFD} }}; }}\n\
         protocol kernel {{ merge paths on; ipv4 {{ export where source = RTS_BGP; }}; }}\n{neighbours}"
    )
}
