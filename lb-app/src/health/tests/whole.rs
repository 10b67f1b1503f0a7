//! From checks to a plan and back.

use super::{eventually, loopbacks, service, service_at, udp};
use crate::{
    config::{
        Config,
        health::{Check, WhenAllFail},
    },
    health::{
        Balancer, Knowledge, Monitor, Target,
        advice::Told,
        event::Event,
        report::{ServerState, ServiceReport},
    },
    journal::Journal,
};
use lb_core::service::plan::{Admin, Advice, Health, Plan, ServerPlan, Standing};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A plan that is only written down.
struct Paper {
    knowledge: Arc<Knowledge>,
    config: Mutex<Config>,
    /// The plan that is in effect, and how often another was.
    plan: Mutex<(Plan, u64)>,
}

impl Balancer for Paper {
    fn refresh(&self) -> Result<(), String> {
        self.change(|_| ());
        Ok(())
    }
}

impl Paper {
    fn new(config: Config) -> Arc<Self> {
        let plan = Mutex::new((config.plan.clone(), 0));
        let paper = Arc::new(Paper { knowledge: Knowledge::new(false), config: Mutex::new(config), plan });
        paper.change(|_| ());
        paper
    }

    /// A check finds that a server of the first service works, or does not.
    fn tell(&self, server: usize, good: bool) {
        let key = self.plan.lock().unwrap().0.services[0].keyed_servers().nth(server).unwrap().0;
        let target = Target { name: "web".to_owned(), key };
        let finding = if good { Ok(Told::works()) } else { Err("ill".to_owned()) };
        self.knowledge.take(&target, false, (finding, Duration::ZERO)).unwrap();
        self.refresh().unwrap();
    }

    /// Changes the configuration, in one step, as a reload does; its plan is the operator's.
    fn change(&self, edit: impl FnOnce(&mut Config)) {
        let mut config = self.config.lock().unwrap();
        edit(&mut config);
        let mut plan = config.plan.clone();
        let derived = self.knowledge.derive(&mut plan, &config.health);
        let mut current = self.plan.lock().unwrap();
        let changes = current.1 + u64::from(current.0.services != plan.services);
        self.knowledge.commit(&plan, &config.health, derived);
        *current = (plan, changes);
    }

    /// The servers of the first service with what they get: the sorry server last, if it is one of them.
    fn healths(&self) -> Vec<Health> {
        self.plan.lock().unwrap().0.services[0].servers.iter().map(|server| server.health).collect()
    }

    fn report(&self) -> ServiceReport {
        self.knowledge.report((0, 0)).services.remove(0)
    }
}

/// One whose workers take their time with a change.
struct Slow {
    paper: Arc<Paper>,
    began: AtomicBool,
    ended: AtomicBool,
}

impl Balancer for Slow {
    fn refresh(&self) -> Result<(), String> {
        self.began.store(true, Ordering::Relaxed);
        // Longer than the end waits for anything else.
        thread::sleep(Duration::from_secs(1));
        self.ended.store(true, Ordering::Relaxed);
        self.paper.refresh()
    }
}

#[test]
fn the_end_waits_for_a_change_that_is_under_way() {
    let mut config = service(
        "servers = [{ address = \"192.0.2.11\" }]
         check = { type = \"tcp\", interval = \"20ms\", retry_interval = \"10ms\", warmup = \"0s\" }\n",
    );
    let check = Arc::make_mut(config.health.services[0].check.as_mut().unwrap());
    // Nobody listens there.
    (check.address, check.port) = (Some(Ipv4Addr::LOCALHOST.into()), Some(1));
    let slow = Slow { paper: Paper::new(config), began: false.into(), ended: false.into() };
    let (slow, knowledge) = (Arc::new(slow), |slow: &Slow| slow.paper.knowledge.clone());
    let monitor = Monitor::start(knowledge(&slow), slow.clone(), &Arc::new(Journal::new())).unwrap();
    eventually(|| slow.began.load(Ordering::Relaxed));
    monitor.stop();
    assert!(slow.ended.load(Ordering::Relaxed), "it would have gone on without a clock");
    assert!(monitor.run(&[], Vec::new(), Duration::from_secs(1)).is_err(), "the director is stopping");
}

#[test]
fn from_checks_to_orders_and_back() {
    for loopback in loopbacks() {
        follows_checks(loopback, if loopback.is_ipv4() { "192.0.2." } else { "2001:db8::" });
    }
}

fn follows_checks(loopback: IpAddr, network: &str) {
    let at = |host: &str| format!("{network}{host}");
    let sorry = SocketAddr::new(at("99").parse().unwrap(), 8080);
    let listener = TcpListener::bind((loopback, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (first, second) = (at("11"), at("12"));
    let lines = format!(
        "servers = [{{ address = \"{first}\" }}, {{ address = \"{second}\", check = {{ type = \"none\" }}, weight = 0 }}]
         check = {{ type = \"tcp\", address = \"{first}\", port = {port}, interval = \"20ms\", retry_interval = \"10ms\", warmup = \"0s\" }}
         health = {{ sorry_server = \"{sorry}\" }}\n"
    );
    let mut config = service_at(&at("100"), &lines);
    // Checks may not be configured for loopback, where nothing but this test is.
    let check = Arc::make_mut(config.health.services[0].check.as_mut().unwrap());
    check.address = Some(loopback);
    let paper = Paper::new(config);
    let (up, down) = (Health::Up, Health::Down);
    assert_eq!(paper.healths(), [up, up], "from the first moment on");
    let monitor = Monitor::start(paper.knowledge.clone(), paper.clone(), &Arc::new(Journal::new())).unwrap();
    eventually(|| monitor.report().services[0].servers[0].checks > 3);

    drop(listener);
    eventually(|| paper.healths() == [down, Health::Inhibited, up]);
    let report = monitor.report();
    let server = &report.services[0].servers[0];
    assert_eq!((server.state, server.transitions, server.failures >= 3), (ServerState::Down, 1, true));
    assert_eq!(server.last_failure.as_ref().unwrap().0, "it refused the connection");
    assert_eq!((report.services[0].quorum, report.services[0].quorum_changes), (false, 1));

    let _listener = TcpListener::bind((loopback, port)).unwrap();
    eventually(|| paper.healths() == [up, up]);

    // What is taken out of the plan is not checked any more.
    paper.change(|config| config.plan.services[0].servers.clear());
    assert!(paper.report().servers.is_empty());
    monitor.stop();
}

/// Servers that are new or changed have their right state in the same step, whatever changes them.
#[test]
fn every_change_of_a_plan_leaves_it_right() {
    let lines = "servers = [{ address = \"192.0.2.11\" }, { address = \"192.0.2.12\" }]
        check = { type = \"tcp\", assume_down = true }
        health = { sorry_server = \"192.0.2.99:80\" }\n";
    let (up, down) = (Health::Up, Health::Down);
    let paper = Paper::new(service(lines));
    assert_eq!(paper.healths(), [down, down, up], "the sorry server stands in at once");
    let tell = |server, good| paper.tell(server, good);
    tell(0, true);
    assert_eq!(paper.healths(), [up, down]);

    // A server is added.
    let new = ServerPlan::new([192, 0, 2, 13], 80, 1);
    paper.change(|config| config.plan.services[0].servers.push(new));
    assert_eq!(paper.healths(), [up, down, down]);
    // Another quorum.
    paper.change(|config| config.health.services[0].pool.quorum = 2);
    assert_eq!(paper.healths(), [Health::Inhibited, down, down, up]);
    assert!(!paper.report().quorum);
    // Another sorry server, while it stands in.
    paper.change(|config| {
        let sorry = config.health.services[0].pool.sorry_server.as_mut().unwrap();
        sorry.address = "192.0.2.98:80".parse().unwrap();
    });
    let last = paper.plan.lock().unwrap().0.services[0].servers.last().cloned().unwrap();
    assert_eq!((last.address, last.health), ([192, 0, 2, 98].into(), up));
    assert_eq!(paper.healths(), [Health::Inhibited, down, down, up]);
    // None any more; and then none is needed.
    paper.change(|config| {
        let pool = &mut config.health.services[0].pool;
        (pool.sorry_server, pool.when_all_fail) = (None, WhenAllFail::Reject);
    });
    assert_eq!(paper.healths(), [up, down, down]);
    paper.change(|config| config.health.services[0].pool.quorum = 1);
    assert!(paper.report().quorum);
    // Checks that are gone take what they found with them.
    paper.change(|config| config.health.services[0].check = None);
    assert_eq!(paper.healths(), [up, up, up]);
}

/// Who is drained or disabled does not count, and `show health` says the same as what servers get.
#[test]
fn only_servers_that_take_connections_count() {
    let lines = "servers = [{ address = \"192.0.2.11\" }, { address = \"192.0.2.12\", weight = 3 }]
        check = { type = \"tcp\", fall = 1 }
        health = { sorry_server = \"192.0.2.99:80\" }\n";
    let paper = Paper::new(service(lines));
    assert_eq!((paper.report().up_weight, paper.report().quorum), (4, true));
    for (admin, weight, word) in
        [(Admin::Draining, 3, "drained"), (Admin::Disabled, 3, "disabled"), (Admin::Enabled, 0, "drained")]
    {
        let set = |server: usize, admin, weight| {
            paper.change(|config| {
                let server = &mut config.plan.services[0].servers[server];
                (server.admin, server.weight) = (admin, weight);
            });
        };
        set(1, admin, weight);
        let report = paper.report();
        assert_eq!((report.up_weight, report.quorum), (1, true), "{word}");
        assert_eq!(report.servers[1].role_word(), word);
        assert_eq!(paper.healths().len(), 2, "nobody stands in");
        set(0, admin, 0);
        let report = paper.report();
        assert_eq!((report.up_weight, report.quorum, report.sorry.unwrap().1), (0, false, true), "{word}");
        assert_eq!(paper.healths().last(), Some(&Health::Up), "the sorry server");
        set(0, Admin::Enabled, 1);
        set(1, Admin::Enabled, 3);
        assert!(paper.report().quorum && paper.healths() == [Health::Up; 2]);
    }
}

/// A service that is for certain clients now, and was for all, or the other way round, is known by another key.
#[test]
fn what_is_known_of_a_service_stays_when_it_is_for_other_clients() {
    let lines = "servers = [{ address = \"192.0.2.11\" }, { address = \"192.0.2.12\" }]
        check = { type = \"tcp\", assume_down = true }\n";
    let paper = Paper::new(service(lines));
    let tell = |server, good| paper.tell(server, good);
    tell(0, true);
    assert_eq!(paper.healths(), [Health::Up, Health::Down]);
    for clients in ["from = [\"203.0.113.0/24\"]\n", "on = [\"wan\"]\n", "", "on = [\"wan\"]\n"] {
        paper.change(|config| *config = service(&format!("{clients}{lines}")));
        assert_eq!(paper.healths(), [Health::Up, Health::Down], "{clients}");
        assert_eq!(paper.report().servers[0].checks, 1, "{clients}");
    }
    // Checks go on under the key that it has now.
    tell(1, true);
    assert_eq!(paper.healths(), [Health::Up; 2]);
    // Under another name it is another one, of which nothing is known.
    paper.change(|config| {
        config.plan.services[0].name = "other".to_owned();
        config.health.services[0].key = config.plan.services[0].key();
    });
    assert_eq!(paper.healths(), [Health::Down; 2]);
}

/// After a few short outages of all servers, those that are well are not kept waiting.
#[test]
fn damping_never_removes_the_last_servers() {
    let lines = "servers = [{ address = \"192.0.2.11\" }, { address = \"192.0.2.12\" }]
        check = { type = \"tcp\", fall = 1, rise = 1 }
        health = { flap_limit = 2, flap_hold = \"1h\" }\n";
    let paper = Paper::new(service(lines));
    let tell = |good: bool| {
        for server in 0..2 {
            let key = paper.plan.lock().unwrap().0.services[0].keyed_servers().nth(server).unwrap().0;
            let target = Target { name: "web".to_owned(), key };
            let finding = if good { Ok(Told::works()) } else { Err("ill".to_owned()) };
            paper.knowledge.take(&target, false, (finding, Duration::ZERO)).unwrap();
        }
        paper.refresh().unwrap();
    };
    for _ in 0..4 {
        tell(false);
        assert_eq!(paper.healths(), [Health::Down; 2]);
        tell(true);
        assert_eq!(paper.healths(), [Health::Up; 2]);
        assert!(paper.report().quorum);
    }
}

/// What a service starts with is told, so that what an earlier run's end left undone is put right.
#[test]
fn a_service_starts_with_its_events() {
    let told = |lines: &str, edit: fn(&mut Config)| {
        let paper = Paper::new(service(lines));
        let told = Mutex::new(Vec::new());
        paper.knowledge.step(|event, _, _| told.lock().unwrap().push(event.clone()));
        let first = told.lock().unwrap().drain(..).collect::<Vec<_>>();
        paper.change(edit);
        paper.knowledge.step(|event, _, _| told.lock().unwrap().push(event.clone()));
        (first, told.into_inner().unwrap())
    };
    let servers = "servers = [{ address = \"192.0.2.11\" }]\n";
    let hooks = "quorum_up = [\"up\"], quorum_down = [\"down\"], sorry_server = \"192.0.2.99:80\"";
    let service = "tcp 192.0.2.100:80".parse().unwrap();
    let name = || "web".to_owned();
    let quorum = |reached, word: &str, first| Event::Quorum {
        service,
        name: name(),
        reached,
        program: Some(vec![word.to_owned()]),
        first,
    };
    let sorry = |serves, first| Event::Sorry {
        service,
        name: name(),
        server: "192.0.2.99:80".parse().unwrap(),
        serves,
        first,
    };
    let well = format!("{servers}check = {{ type = \"tcp\" }}\nhealth = {{ {hooks} }}\n");
    let (first, then) = told(&well, |_| ());
    assert_eq!((first, then), (vec![quorum(true, "up", true), sorry(false, true)], vec![]));
    let ill = format!("{servers}check = {{ type = \"tcp\", assume_down = true }}\nhealth = {{ {hooks} }}\n");
    let (first, _) = told(&ill, |_| ());
    assert_eq!(first, [quorum(false, "down", true), sorry(true, true)]);
    // A program that is new learns how things are; so does the one of a service that is new.
    let (_, then) = told(&well, |config| {
        config.health.services[0].pool.quorum_up = Some(vec!["another".to_owned()]);
    });
    assert_eq!(then, [quorum(true, "another", false)]);
    let (_, then) = told(&well, |config| {
        config.health.services[0].pool.sorry_server = None;
        config.health.services[0].pool.quorum = 2;
    });
    assert_eq!(then, [quorum(false, "down", false)]);
    let unchecked = told(servers, |_| ());
    assert_eq!(unchecked, (vec![], vec![]), "nobody looks at it");
}

/// The sorry server that is changed while it stands in steps back, and the other in.
#[test]
fn a_changed_sorry_server_is_an_event() {
    let lines = "servers = [{ address = \"192.0.2.11\" }]
        check = { type = \"tcp\", assume_down = true }
        health = { sorry_server = \"192.0.2.99:80\" }\n";
    let paper = Paper::new(service(lines));
    let steps = || {
        let steps = Mutex::new(Vec::new());
        paper.knowledge.step(|event, _, _| {
            if let Event::Sorry { server, serves, .. } = event {
                steps.lock().unwrap().push((server.to_string(), *serves));
            }
        });
        steps.into_inner().unwrap()
    };
    assert_eq!(steps(), [("192.0.2.99:80".to_owned(), true)]);
    paper.change(|config| {
        config.health.services[0].pool.sorry_server.as_mut().unwrap().address =
            "192.0.2.98:80".parse().unwrap();
    });
    assert_eq!(steps(), [("192.0.2.99:80".to_owned(), false), ("192.0.2.98:80".to_owned(), true)]);
}

/// Thousands of servers, checked every four seconds, on the threads and descriptors that a director has for it.
#[test]
fn many_checks_keep_their_pace() {
    const SERVERS: usize = 4_000;
    let echo = udp(<[u8]>::to_vec);
    let servers: Vec<String> = (0..SERVERS)
        .map(|n| format!("{{ address = \"192.0.2.{}\", port = {} }}", 2 + n % 90, 1_000 + n / 90))
        .collect();
    let lines = format!(
        "servers = [{}]\ncheck = {{ type = \"udp\", payload = \"ping\", require_reply = true, interval = \"4s\", timeout = \"3900ms\", port = {echo} }}\n",
        servers.join(", ")
    );
    let mut config = service(&lines);
    Arc::make_mut(config.health.services[0].check.as_mut().unwrap()).address =
        Some(Ipv4Addr::LOCALHOST.into());
    let paper = Paper::new(config);
    let monitor = Monitor::start(paper.knowledge.clone(), paper, &Arc::new(Journal::new())).unwrap();
    let all = || monitor.report().services[0].servers.clone();
    // Asking is not free either.
    eventually(|| {
        thread::sleep(Duration::from_millis(500));
        all().iter().all(|server| server.checks >= 2)
    });
    let failed = all().into_iter().find(|server| server.failures > 0);
    assert_eq!(failed.map(|server| server.last_failure), None);
    monitor.stop();
}

/// Routing daemons hear that a VIP is to go, and hooks run, whatever checks are doing.
#[test]
fn programs_that_check_and_hang_keep_no_hook_waiting() {
    let servers: Vec<String> =
        (0..80).map(|n| format!("{{ address = \"192.0.2.{}\", port = 80 }}", 2 + n)).collect();
    let check = "check = { type = \"command\", command = [\"/bin/sleep\", \"300\"], interval = \"1s\", timeout = \"2m\" }";
    let paper = Paper::new(service(&format!("servers = [{}]\n{check}\n", servers.join(", "))));
    let monitor = Monitor::start(paper.knowledge.clone(), paper, &Arc::new(Journal::new())).unwrap();
    // As many as there are places for.
    eventually(|| monitor.programs_left() == 0);
    let start = Instant::now();
    monitor.run(&["/bin/true".to_owned()], Vec::new(), Duration::from_secs(60)).unwrap();
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    monitor.stop();
}

/// What an agent and a file say is in the plan a moment later, beside what the operator says; a reload that leaves them as
/// they are leaves what they said, and one that removes them forgets it.
#[test]
fn what_agents_say_gets_into_the_plan_beside_what_operators_say() {
    let folder = std::env::temp_dir().join(format!("lb-app-agents-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (load, state) = (folder.join("load"), folder.join("state"));
    let write = |path: &std::path::Path, text: &str| std::fs::write(path, text).unwrap();
    let often = "interval = \"10ms\", warmup = \"0s\"";
    let lines = format!(
        "servers = [{{ address = \"192.0.2.11\", weight = 40 }}, {{ address = \"192.0.2.12\", weight = 40, agent = {{ type = \"none\" }} }}]\n\
         check = {{ type = \"file\", file = \"{}\", weight = 2, {often} }}\n\
         agent = {{ type = \"file\", file = \"{}\", {often} }}\n",
        load.display(),
        state.display()
    );
    let paper = Paper::new(service(&lines));
    let monitor = Monitor::start(paper.knowledge.clone(), paper.clone(), &Arc::new(Journal::new())).unwrap();
    let first = || paper.plan.lock().unwrap().0.services[0].servers[0].clone();
    let second = || paper.plan.lock().unwrap().0.services[0].servers[1].clone();
    write(&load, "5\n");
    eventually(|| first().effective_weight() == 50 && second().effective_weight() == 50);
    assert_eq!(first().weight, 40, "the operator's stays his");
    write(&state, "50% maxconn:9\n");
    eventually(|| first().effective_weight() == 25);
    assert_eq!((first().limits().upper, second().effective_weight()), (9, 50));
    write(&state, "drain\n");
    eventually(|| first().standing() == Standing::Draining);
    assert_eq!(first().admin, Admin::Enabled);
    write(&state, "ready down # disk full\n");
    eventually(|| first().health == Health::Down);
    let report = paper.report();
    assert_eq!(report.servers[0].last_failure.as_ref().unwrap().0, "its agent says down: disk full");
    assert_eq!(report.up_weight, 50, "the quorum goes by weights in effect");
    write(&state, "up\n");
    eventually(|| first().health == Health::Up && first().effective_weight() == 25);
    // The operator's weight is what percentages are of, and his 0 is the last word.
    let weigh = |weight: u32| paper.change(|config| config.plan.services[0].servers[0].weight = weight);
    weigh(90);
    assert_eq!(first().effective_weight(), 50);
    weigh(0);
    assert_eq!(first().effective_weight(), 0);
    weigh(40);
    assert_eq!(first().effective_weight(), 25);
    // Nonsense changes nothing, and neither does a file that is gone: it holds 0, which is up.
    write(&state, "perhaps\n");
    eventually(|| paper.report().servers[0].agent.as_ref().unwrap().failure.is_some());
    assert_eq!(first().effective_weight(), 25);
    std::fs::remove_file(&state).unwrap();
    eventually(|| paper.report().servers[0].agent.as_ref().unwrap().failure.is_none());
    assert_eq!(first().effective_weight(), 25);
    paper.change(|config| config.health.services[0].agent = None);
    assert_eq!((first().effective_weight(), first().limits().upper), (50, 0), "its agent is forgotten");
    paper.change(|config| config.health.services[0].check = None);
    assert_eq!((first().effective_weight(), first().advice), (40, Advice::default()));
    monitor.stop();
    std::fs::remove_dir_all(folder).unwrap();
}

/// A server of several services is asked once for all of them, and each makes of it what it says.
#[test]
fn a_server_of_several_services_is_checked_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let served = thread::spawn(move || {
        for stream in listener.incoming().take(40) {
            drop(stream);
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let check = |more: &str| {
        let often = "interval = \"25ms\", retry_interval = \"25ms\", warmup = \"0s\"";
        format!("check = {{ type = \"tcp\", port = {port}, {often}, {more} }}\n")
    };
    let more = |name: &str, vip: u8, check: &str| {
        format!(
            "[[services]]\nname = \"{name}\"\nvip = \"192.0.2.{vip}\"\nport = 80\nprotocol = \"tcp\"\nmethod = \"nat\"\n\
             servers = [{{ address = \"192.0.2.11\" }}]\n{check}"
        )
    };
    let lines = format!(
        "servers = [{{ address = \"192.0.2.11\" }}]\n{}{}{}",
        check("fall = 2"),
        more("shop", 101, &check("fall = 2")),
        more("mail", 102, &check("fall = 30"))
    );
    let mut config = service(&lines);
    for service in &mut config.health.services {
        let check = Arc::unwrap_or_clone(service.check.take().unwrap());
        // A server cannot be there, but this test is.
        service.check = Some(Arc::new(Check { address: Some(Ipv4Addr::LOCALHOST.into()), ..check }));
    }
    let paper = Paper::new(config);
    let monitor = Monitor::start(paper.knowledge.clone(), paper.clone(), &Arc::new(Journal::new())).unwrap();
    let servers = || -> Vec<(u64, ServerState)> {
        let report = paper.knowledge.report((0, 0));
        report.services.iter().map(|service| (service.servers[0].checks, service.servers[0].state)).collect()
    };
    eventually(|| servers().iter().all(|(checks, _)| *checks >= 20));
    let (made, told) =
        (asked.load(Ordering::Relaxed), servers().iter().map(|(checks, _)| checks).sum::<u64>());
    assert!(made * 5 < told * 2, "{made} connections told {told} times");
    // When it is gone, those that wait for two failures notice, and the one that waits for more does not yet.
    served.join().unwrap();
    eventually(|| servers()[0].1 == ServerState::Down && servers()[1].1 == ServerState::Down);
    // One of them is not checked any more: the others go on.
    paper.change(|config| config.health.services[0].check = None);
    let before = servers();
    assert_eq!(before.len(), 2);
    eventually(|| servers()[0].0 > before[0].0 + 2 && servers()[1].0 > before[1].0 + 2);
    eventually(|| servers()[1].1 == ServerState::Down);
    monitor.stop();
}
