//! Files of each kind, and the configurations that are made of them, which the configuration's own reader has to accept.
//! With `UPDATE_EXPECTED=1` in the environment these are written anew, to be reviewed.

mod forms;

use super::{files::Files, read};
use crate::{
    cli::From,
    config::{self, Limits, source::Sources},
};
use lb_core::{
    service::plan::{ModuleKind, PersistBy, Plan},
    time::Duration,
};
use proptest::{prelude::*, sample::Index};
use std::{fs, path::PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/import/tests")
}

/// The files of the folder, by short names.
struct Golden;

impl Files for Golden {
    fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(folder().join(path)).map_err(|error| error.to_string())
    }

    fn expand(&self, from: &str, pattern: &str) -> Result<Vec<String>, String> {
        let found = super::files::Host.expand(folder().join(from).to_str().unwrap(), pattern)?;
        let root = format!("{}/", folder().display());
        Ok(found.into_iter().map(|path| path.replace(&root, "")).collect())
    }
}

/// One text, whatever it is called.
struct Text<'t>(&'t str);

impl Files for Text<'_> {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }

    fn expand(&self, _: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

fn plan(text: &str) -> Plan {
    let limits = Limits { workers: 1, available_bytes: u64::MAX };
    config::check(&Sources::new("imported", text), limits).unwrap_or_else(|report| panic!("{report}")).plan
}

fn golden(from: From, files: &[&str], expected: &str) -> Plan {
    let paths: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
    let imported = read(&Golden, from, &paths).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(imported.invalid, None, "{}", imported.text);
    assert!(imported.text.lines().all(|line| line.len() <= 140), "{}", imported.text);
    let path = folder().join(expected);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, &imported.text).unwrap();
    }
    assert_eq!(imported.text, fs::read_to_string(path).unwrap());
    plan(&imported.text)
}

#[test]
fn a_keepalived_of_many_services_is_read() {
    let plan = golden(From::Keepalived, &["keepalived.conf"], "keepalived.toml");
    // That by mark, the one without a port and the group's mark are left out.
    assert_eq!(plan.services.len(), 12);
    let servers: usize = plan.services.iter().map(|service| service.servers.len()).sum();
    assert_eq!(servers, 23);
}

#[test]
fn a_service_of_sctp_is_read() {
    let text = "virtual_server 192.0.2.100 3868 {\n lb_algo rr\n lb_kind DR\n protocol SCTP\n \
                real_server 198.51.100.11 3868 {\n weight 1\n }\n}\n";
    let imported = read(&Text(text), From::Keepalived, &["keepalived.conf".to_owned()]).unwrap();
    assert!(imported.text.contains("protocol = \"sctp\""), "{}", imported.text);
}

#[test]
fn calls_of_sip_stay_with_their_servers() {
    let keepalived = "virtual_server 192.0.2.100 5060 {\n lb_algo rr\n lb_kind DR\n protocol UDP\n ops\n\
                      persistence_timeout 600\n persistence_granularity 0.0.0.0\n persistence_engine sip\n\
                      real_server 198.51.100.11 5060 {\n weight 1\n }\n}\n";
    let ipvsadm = "-A -u 192.0.2.100:5060 -s rr -p 600 -M 0.0.0.0 --pe sip -o\n\
                   -a -u 192.0.2.100:5060 -r 198.51.100.11 -g\n";
    for (from, text) in [(From::Keepalived, keepalived), (From::Ipvsadm, ipvsadm)] {
        let imported = read(&Text(text), from, &["x".to_owned()]).unwrap();
        assert_eq!(imported.invalid, None, "{}", imported.text);
        let service = &plan(&imported.text).services[0];
        let persistence = service.persistence;
        assert_eq!((persistence.by, persistence.prefix), (PersistBy::SipCallId, 0));
        assert!(service.one_packet && persistence.timeout == Duration::from_secs(600));
    }
    // IPVS takes it for TCP as well, and goes by address then.
    let tcp = ipvsadm.replace("-u", "-t").replace(" -o", "");
    let imported = read(&Text(&tcp), From::Ipvsadm, &["x".to_owned()]).unwrap();
    assert_eq!(imported.invalid, None, "{}", imported.text);
    assert!(imported.text.contains("persistence engine sip of tcp 192.0.2.100:5060"), "{}", imported.text);
    assert_eq!(plan(&imported.text).services[0].persistence.by, PersistBy::Address);
}

#[test]
fn services_of_ftp_get_the_module() {
    let text = "-A -t 192.0.2.100:21 -s wlc\n-a -t 192.0.2.100:21 -r 198.51.100.11 -m\n\
                -A -t 192.0.2.101:21 -s wlc -p 300\n-a -t 192.0.2.101:21 -r 198.51.100.11 -g\n\
                -A -t 192.0.2.102:2121 -s wlc\n-a -t 192.0.2.102:2121 -r 198.51.100.11:21 -m\n\
                -A -u 192.0.2.103:21 -s wlc\n-a -u 192.0.2.103:21 -r 198.51.100.11 -m\n";
    let imported = read(&Text(text), From::Ipvsadm, &["x".to_owned()]).unwrap();
    assert_eq!(imported.invalid, None, "{}", imported.text);
    let modules: Vec<_> = plan(&imported.text).services.iter().map(|service| service.module).collect();
    let (ftp, none) = (ModuleKind::Ftp, ModuleKind::None);
    assert_eq!(modules, [ftp, ftp, none, none], "{}", imported.text);
}

#[test]
fn rules_of_ipvsadm_are_read() {
    golden(From::Ipvsadm, &["ipvsadm.rules"], "ipvsadm.toml");
}

#[test]
fn a_script_that_calls_ipvsadm_is_read() {
    let plan = golden(From::Ipvsadm, &["ipvsadm.sh"], "ipvsadm.sh.toml");
    let weights: Vec<u32> = plan.services[0].servers.iter().map(|server| server.weight).collect();
    assert_eq!(weights, [5, 3], "one was deleted, one changed");
}

#[test]
fn scripts_and_configuration_of_dpvs_are_read() {
    golden(From::Dpvs, &["dpvs.conf", "dpvs.sh"], "dpvs.toml");
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    let refused =
        |from: From, text: &str| read(&Text(text), from, &["f".to_owned()]).unwrap_err().to_string();
    let server = "virtual_server 192.0.2.1 80 {\n";
    for (text, expected) in [
        (format!("{server}lb_algo rr\n"), "f:1: this block is not closed"),
        (format!("{server}}}\n}}\n"), "f:3: a block is closed that was not opened"),
        ("{\n}\n".to_owned(), "f:1: a block has no name in front of it"),
        (format!("{server}lb_algo fast\n}}\n"), "f:2: lb_algo: \"fast\" is no scheduler"),
        (format!("{server}lb_kind\n}}\n"), "f:2: lb_kind needs a value"),
        (format!("{server}delay_loop soon\n}}\n"), "f:2: delay_loop: \"soon\" is no number of seconds"),
        (format!("{server}delay_loop 1e99\n}}\n"), "f:2: delay_loop: 1"),
        (
            format!("{server}real_server 10.0.0.300 80\n}}\n"),
            "f:2: real_server: \"10.0.0.300\" is no address",
        ),
        (format!("{server}real_server 10.0.0.3 99999\n}}\n"), "f:2: \"99999\" is no port"),
        (
            format!("{server}real_server 10.0.0.3 80 {{\nweight 70000\n}}\n}}\n"),
            "f:3: weight: 70000 is out of range",
        ),
        (
            format!(
                "{server}real_server 10.0.0.3 80 {{\nHTTP_GET {{\nurl {{\nstatus_code 20x\n}}\n}}\n}}\n}}\n"
            ),
            "f:5: status_code: \"20x\" is no status code",
        ),
        (format!("{server}quorum 0\n}}\n"), "f:2: quorum: 0 is out of range"),
        ("virtual_server group none {\n}\n".to_owned(), "f:1: there is no virtual_server_group none"),
        ("virtual_server 192.0.2.1 80\n".to_owned(), "f:1: virtual_server needs a block in braces"),
        ("a \"b\n".to_owned(), "f:1: missing closing quotation mark \""),
        ("~SEQ(x, 1, 5) a\n".to_owned(), "f:1: ~SEQ and ~LST are not read"),
        ("include again\n".to_owned(), "again:1: again is included 17 deep"),
    ] {
        let said = refused(From::Keepalived, &text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    for (text, expected) in [
        ("-A -t 192.0.2.1:80\n-A -t 192.0.2.1:80\n", "f:2: the service is there already"),
        ("-a -t 192.0.2.1:80 -r 10.0.0.1 -m\n", "f:1: there is no such service"),
        ("\n-A -t www\n", "f:2: \"www\" is a name"),
        ("for i in 1 2; do ipvsadm -C; done\n", "f:1: for: what decides or repeats is not run"),
        ("ipvsadm -A -t $VIP:80\n", "f:1: $VIP is set nowhere in this file"),
        ("ipvsadm -A -t `cat vip`\n", "f:1: commands within commands are not run"),
        ("echo 'a\n", "f:1: missing closing quotation mark '"),
    ] {
        let said = refused(From::Ipvsadm, text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    for (text, expected) in [
        ("dpip addr add 10.0.0.1/99 dev dpdk0\n", "f:1: dpip addr: \"10.0.0.1/99\" is no address or network"),
        ("dpip route add default via here dev dpdk0\n", "f:1: dpip route: \"here\" is no router"),
        ("ipvs_defs {\ntcp {\ntimeout {\nestablished x\n}\n}\n}\n", "f:4: established: \"x\" is no timeout"),
    ] {
        let said = refused(From::Dpvs, text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
}

#[test]
fn nothing_at_all_is_a_valid_configuration() {
    for from in [From::Keepalived, From::Ipvsadm, From::Dpvs] {
        let imported = read(&Text("# nothing\n"), from, &["f".to_owned()]).unwrap();
        assert_eq!(imported.invalid, None, "{}", imported.text);
    }
}

#[test]
fn a_tunnel_of_a_method_that_another_line_replaces_is_forgotten() {
    let text = "virtual_server 192.0.2.100 80 {\nlb_algo rr\nlb_kind TUN type gue port 6080\nlb_kind NAT\nprotocol TCP\n\
                real_server 10.0.0.1 80 {\nweight 1\n}\n}\n";
    let imported = read(&Text(text), From::Keepalived, &["f".to_owned()]).unwrap();
    assert_eq!(imported.invalid, None, "{}", imported.text);
    assert_eq!(plan(&imported.text).services[0].tunnel, lb_core::service::plan::TunnelPlan::default());
}

#[test]
fn networks_are_found_around_awkward_addresses() {
    let text = "-A -t 192.0.2.255:80\n-a -t 192.0.2.255:80 -r 192.0.2.0:80 -g\n-a -t 192.0.2.255:80 -r 10.0.0.255 -g\n\
                -A -u 10.0.0.254:53\n-a -u 10.0.0.254:53 -r 10.0.0.1:53 -m\n-a -u 10.0.0.254:53 -r 10.0.0.254:53 -m\n\
                -a -u 10.0.0.254:53 -r 127.0.0.1:53 -m\n";
    let imported = read(&Text(text), From::Ipvsadm, &["f".to_owned()]).unwrap();
    assert_eq!(imported.invalid, None, "{}", imported.text);
    let plan = plan(&imported.text);
    assert_eq!(plan.services.iter().map(|service| service.servers.len()).collect::<Vec<_>>(), [2, 1]);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|[\\t\\n{}#!\"'$@=-])*") {
        for from in [From::Keepalived, From::Ipvsadm, From::Dpvs] {
            if let Err(wrong) = read(&Text(&text), from, &["f".to_owned()]) {
                prop_assert!(wrong.to_string().contains(':'));
            }
        }
    }

    /// Cuts, doubles and moves pieces of good files, and writes odd words into them.
    #[test]
    fn mutated_files_are_read_or_refused(
        file: Index,
        edits in prop::collection::vec((any::<Index>(), any::<Index>(), 0..60_usize, any::<Index>()), 1..8),
    ) {
        const WORDS: [&str; 16] = [
            "", "\n", "\"", "{", "}", "0", "-1", "99999999999", "::1", "virtual_server ", "real_server 10.9.9.9 1 {\n}\n",
            "$X=1\n", "${X}", "-A -t 192.0.2.9:9\n", "é", "\\",
        ];
        let files = [
            (From::Keepalived, "keepalived.conf"), (From::Keepalived, "conf.d/10-database.conf"),
            (From::Keepalived, "conf.d/20-groups.conf"), (From::Ipvsadm, "ipvsadm.rules"), (From::Ipvsadm, "ipvsadm.sh"),
            (From::Dpvs, "dpvs.sh"), (From::Dpvs, "dpvs.conf"),
        ];
        let (from, name) = file.get(&files);
        let mut text: Vec<char> = Golden.read(name).unwrap().replace("include conf.d/*.conf", "").chars().collect();
        for (at, to, length, word) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            let cut: Vec<char> = text.drain(at..end).collect();
            let to = to.index(text.len() + 1);
            text.splice(to..to, word.get(&WORDS).chars().chain(cut));
        }
        let text: String = text.into_iter().collect();
        if let Ok(imported) = read(&Text(&text), *from, &["f".to_owned()]) {
            prop_assert_eq!(imported.invalid, None, "{}\n{}", text, imported.text);
        }
    }
}
