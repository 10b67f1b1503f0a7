//! The director as a whole.

use super::{
    answer::{Answer, change_refused, done, done_if, done_with, word},
    forward, keys,
    process::Process,
    services,
};
use crate::{
    control::{
        announce::Leaving,
        file::{
            difference::line::Line,
            reload::{How, Reloaded},
        },
        live::running::Running,
        plane::ControlPlane,
    },
    dataplane::{BURST, ask::Silent},
    dpdk,
    journal::Happened,
};
use lb_core::{
    conn::state::State,
    service::plan::{Method, Plan, Role, SchedulerKind},
};
use lb_ctl::protocol::{
    Code, Done, Refusal, Reply,
    director::{
        About, Announced, AnnouncedVip, Configuration, NamedServer, NamedService, Names, PortSetup, Request,
        WorkerSetup,
    },
    events::Kind,
};
use std::{sync::atomic::Ordering, time::Duration};

/// Names of one kind, at most.
const MOST_NAMES: usize = 1_000;

pub(super) fn answer(
    plane: &ControlPlane,
    process: &Process,
    forwarded: &forward::Baseline,
    request: &Request,
    who: &str,
) -> Answer {
    let (running, reloads) = (&*plane.running, &plane.reloads);
    let tell = |kind, text: String| running.journal.tell(Happened::new(kind, text).by(who));
    match *request {
        Request::About => Ok(Reply::About(about(plane, process))),
        Request::Names => Ok(Reply::Names(names(plane))),
        Request::Configuration => Ok(Reply::Configuration(configuration(running))),
        // Whoever ends has withdrawn its VIPs, or is about to.
        Request::Start if process.stop.load(Ordering::Relaxed) => Err(invalid("the director is stopping")),
        Request::Start => {
            plane.announcer.stay();
            running.resume();
            tell(Kind::ForwardingStarted, "forwarding".to_owned());
            Ok(done_with("forwarding"))
        }
        Request::Stop => {
            let answer = pause(running, forwarded);
            tell(Kind::ForwardingStopped, "forwarding is stopped: no port is polled".to_owned());
            answer
        }
        Request::Drain => {
            if !running.config.announce.is_on() {
                let why = "nothing is announced that could be withdrawn: [announce] has neither `file` nor `interface`; use \
                           `stop`, or `set director role standby`";
                return Err(invalid(why));
            }
            plane.announcer.leave(true);
            tell(
                Kind::DirectorDraining,
                "the director drains: its VIPs are withdrawn, then it stops".to_owned(),
            );
            Ok(done_with("draining: VIPs are withdrawn, then no port is polled; `start` undoes it"))
        }
        Request::Announced => Ok(Reply::Announced(announced(plane))),
        Request::Role { ref role } => {
            let role = word("role", role, Role::ALL, Role::name)?;
            let before = running.change(|plan| Ok(std::mem::replace(&mut plan.director.role, role)));
            let before = before.map_err(|error| change_refused(&error))?;
            running.tell_role(before, Some(who));
            Ok(done_if(before != role))
        }
        Request::Reload { dry_run, confirm_within_ms } => {
            let confirm_within = confirm_within_ms.map(Duration::from_millis);
            let reloaded = reloads.reload(running, How { dry_run, confirm_within }, who);
            let Reloaded { difference, kept, cautions } =
                reloaded.map_err(|error| invalid(error.to_string().trim_end()))?;
            let mut notes: Vec<String> = difference.live.iter().map(ToString::to_string).collect();
            let changed = Some(!notes.is_empty());
            if notes.is_empty() {
                notes.push("no differences".to_owned());
            }
            notes.extend(kept.iter().map(Line::kept));
            notes.extend(cautions.iter().map(|caution| format!("warning: {caution}")));
            Ok(Reply::Done(Done { changed, notes }))
        }
        Request::Confirm if reloads.confirm(running, who) => Ok(done()),
        Request::Confirm => Err(invalid("no reload is pending")),
        Request::Save => match running.save() {
            Ok(true) => {
                let what = format!("saved the running configuration to {}", running.path.display());
                tell(Kind::Saved, what.clone());
                Ok(Reply::Done(Done { changed: Some(true), notes: vec![what] }))
            }
            Ok(false) => {
                let what = format!("{} already contains the running configuration", running.path.display());
                Ok(Reply::Done(Done { changed: Some(false), notes: vec![what] }))
            }
            Err(error) => Err(Refusal::new(Code::Failed, error.to_string().trim_end())),
        },
        Request::Quit => {
            tell(Kind::Stopping, "asked to stop".to_owned());
            process.stop.store(true, Ordering::Relaxed);
            Ok(done())
        }
        Request::Verbose { level } => match (process.set_verbosity)(level) {
            Ok(()) => {
                tell(Kind::Changed, format!("the log level is {level}"));
                Ok(done())
            }
            Err(why) => Err(invalid(why)),
        },
    }
}

fn about(plane: &ControlPlane, process: &Process) -> About {
    let running = &plane.running;
    let watched = plane.watched.told(running);
    About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        dpdk: dpdk::version().to_owned(),
        pid: std::process::id(),
        uptime_ms: running.clock.now().as_millis(),
        forwarding: !running.shutdown.is_paused(),
        role: running.current().plan.director.role.to_string(),
        workers: running.workers.len() as u32,
        ports: running.config.plan.ports.len() as u32,
        capacity: running.capacity() as u64,
        tables: running.fills().into(),
        generation: running.current().generation,
        file_sha256: running.current().config.sha256.clone(),
        drain: drain(plane.announcer.leaving()),
        file_watched: watched.is_some(),
        file_refused: watched.and_then(|watched| watched.refused),
        unconfirmed_ms: plane.reloads.unconfirmed().map(|left| left.as_millis() as u64),
        metrics_failure: plane.metrics_failure(),
        clients_dropped: process.clients_dropped.load(Ordering::Relaxed),
    }
}

fn announced(plane: &ControlPlane) -> Announced {
    let vips = plane.announcer.verdicts().into_iter();
    let vips = vips.map(|(vip, reason)| AnnouncedVip { vip, announced: reason.is_none(), reason });
    Announced {
        file: plane.running.config.announce.file.clone(),
        interface: plane.running.config.announce.interface.clone(),
        drain: drain(plane.announcer.leaving()),
        vips: vips.collect(),
    }
}

/// How far a director that drains has got.
fn drain(leaving: Leaving) -> Option<String> {
    let word = match leaving {
        Leaving::Stays => return None,
        Leaving::Asked | Leaving::Telling(_) | Leaving::Going(_) | Leaving::Withdrawn(_) => "draining",
        Leaving::Left => "drained",
    };
    Some(word.to_owned())
}

/// Workers poll no port any more when this returns.
fn pause(running: &Running, forwarded: &forward::Baseline) -> Answer {
    running.pause().map_err(|silent: Silent| {
        Refusal::new(Code::Timeout, format!("{silent}; it stops forwarding as soon as it responds"))
    })?;
    Ok(forward::stats(running, forwarded))
}

fn invalid(why: impl Into<String>) -> Refusal {
    Refusal::new(Code::Invalid, why)
}

fn names(plane: &ControlPlane) -> Names {
    let running = &*plane.running;
    let plan = running.current().plan;
    let servers = plan.services.iter().flat_map(|service| &service.servers);
    let mut servers: Vec<String> =
        servers.take(MOST_NAMES).map(|server| server.endpoint().to_string()).collect();
    servers.sort();
    servers.dedup();
    Names {
        services: plan.services.iter().take(MOST_NAMES).map(|service| service.name.clone()).collect(),
        ports: running.port_names(),
        interfaces: plan
            .interfaces
            .iter()
            .filter(|on| !on.tags.is_empty())
            .map(|on| on.name.clone())
            .collect(),
        servers,
        workers: running.workers.len() as u32,
        schedulers: SchedulerKind::ALL.iter().map(ToString::to_string).collect(),
        methods: Method::ALL.iter().map(ToString::to_string).collect(),
        states: State::ALL.iter().skip(1).map(|state| state.word().to_owned()).collect(),
        listed: named_services(&plan),
        routes: plan.routes.iter().take(MOST_NAMES).map(|route| route.to.to_string()).collect(),
        traces: plane.watches.traces().iter().map(|trace| trace.id).collect(),
        captures: plane.watches.captures().iter().map(|capture| capture.id).collect(),
    }
}

fn named_services(plan: &Plan) -> Vec<NamedService> {
    let mut room = MOST_NAMES;
    let services = plan.services.iter().take(MOST_NAMES).map(|service| {
        let servers = service.servers.iter().take(room).map(|server| NamedServer {
            endpoint: server.endpoint().into(),
            state: server.admin.to_string(),
            health: services::health(server.health).to_owned(),
        });
        let servers: Vec<NamedServer> = servers.collect();
        room -= servers.len();
        NamedService {
            name: service.name.clone(),
            key: keys::service_told(service.key()),
            method: service.method.to_string(),
            scheduler: service.scheduler.to_string(),
            servers,
        }
    });
    services.collect()
}

fn configuration(running: &Running) -> Configuration {
    let names = running.port_names();
    let ports = running.ports();
    let ports = ports.iter().zip(names).map(|(port, name)| {
        let setup = port.setup();
        PortSetup {
            id: u32::from(port.index().0),
            name,
            rx_queues: u32::from(setup.rx_queues),
            tx_queues: u32::from(setup.tx_queues),
            rx_descriptors: u32::from(setup.rx_descriptors),
            tx_descriptors: u32::from(setup.tx_descriptors),
            rx_offloads: setup.rx_offloads,
            tx_offloads: setup.tx_offloads,
            mtu: u32::from(setup.mtu),
        }
    });
    let workers = running.workers.iter().map(|worker| WorkerSetup {
        id: u32::from(worker.id.0),
        lcore: worker.lcore.0,
        node: worker.lcore.socket(),
    });
    Configuration {
        main_lcore: running.main_lcore.0,
        idle: running.config.idle.to_string(),
        burst: BURST as u32,
        buffer_bytes: u32::from(running.pool.frame_room()),
        buffers: running.pool.size(),
        verify_checksums: running.current().plan.verify_checksums,
        ports: ports.collect(),
        workers: workers.collect(),
    }
}
