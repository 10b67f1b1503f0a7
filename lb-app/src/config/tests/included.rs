//! Configurations of several files.

use super::{BASE, LIMITS};
use crate::config::{load, read, source::sha256};
use std::{fs, path::PathBuf};

/// A folder with files, gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder =
            Folder(std::env::temp_dir().join(format!("lb-app-include-{name}-{}", std::process::id())));
        for (name, text) in files {
            let path = folder.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    /// What is wrong, with short names of files and without excerpts.
    fn problems(&self) -> Vec<String> {
        let report = load(&self.0.join("lb.toml"), LIMITS).unwrap_err();
        let folder = format!("{}/", self.0.display());
        report.problems.iter().map(|problem| problem.line().replace(&folder, "")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn service(name: &str, port: u16) -> String {
    let rest = "protocol = \"tcp\"\nmethod = \"nat\"\n";
    format!("[[services]]\nname = \"{name}\"\nvip = \"192.0.2.100\"\nport = {port}\n{rest}")
}

fn main(include: &str) -> String {
    format!("include = {include}\n{BASE}")
}

#[test]
fn files_are_read_in_order_and_mean_the_same_as_one() {
    let folder = Folder::new(
        "order",
        &[
            ("lb.toml", &main("[\"conf.d/*.toml\", \"timeouts.toml\"]")),
            ("conf.d/20-mail.toml", &service("mail", 25)),
            ("conf.d/10-dns.toml", &format!("include = \"more/dot.toml\"\n{}", service("dns", 53))),
            ("conf.d/more/dot.toml", &service("dot", 853)),
            ("conf.d/.10-dns.toml.swp", "not TOML"),
            ("conf.d/README", "not TOML"),
            ("timeouts.toml", "[timeouts]\nudp = \"9s\""),
        ],
    );
    let path = folder.0.join("lb.toml");
    let config = load(&path, LIMITS).unwrap();
    let names: Vec<&str> = config.plan.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["web", "dns", "dot", "mail"]);
    assert_eq!(
        config.plan.services[3].timeouts, config.plan.timeouts,
        "services follow timeouts of any file"
    );
    assert_eq!(config.included.len(), 4);
    let sources = read(&path).unwrap();
    assert_eq!(config.sha256, sha256(sources.files().iter().map(|source| source.text.as_str())));
    let effective = super::check(&config.to_string()).unwrap();
    assert_eq!(effective.plan.services, config.plan.services);
    assert!(config.to_string().starts_with("# with what "), "{config}");
}

#[test]
fn mistakes_are_reported_where_they_are() {
    let folder = Folder::new(
        "places",
        &[
            ("lb.toml", &main("\"conf.d/*\"")),
            ("conf.d/a", &format!("{}weight = 1", service("web", 25))),
            ("conf.d/b", &format!("# the same again\n{}[timeouts]\nudp = 7", service("more", 80))),
            ("conf.d/c", "[timeouts]\nsyn = \"1s\"\n[workers]\n"),
            ("conf.d/d", "services = 3"),
        ],
    );
    assert_eq!(
        folder.problems(),
        [
            "conf.d/a:2:8: services[1].name: another service is called \"web\" (line 13 of lb.toml); give each its own \
             name",
            "conf.d/a:7:1: services[1].weight: unknown key; known here: name, description, vip, vips, port, ports, protocol, from, on, method, local_addresses, client_address, module, \
             tunnel, tunnel_port, tunnel_checksum, dscp, scheduler, flags, hash_servers, adopt, mss_clamp, one_packet, persistence, quic, fwmark, slow_start, timeouts, health, servers, check, agent",
            "conf.d/b:4:7: services[2].vip: tcp 192.0.2.100:80 is another service's already (line 14 of lb.toml); use \
             another address or port, put all servers into one service, or have each serve other clients: `from`, `on`",
            "conf.d/b:9:7: timeouts.udp: is a whole number, not text in quotes; write for example \"500ms\", \"90s\", \
             \"15m\" or \"1h30m\"",
            "conf.d/c:1:2: timeouts: another file has `timeouts` already (line 8 of conf.d/b); keep it in one file; only \
             lists of tables can be in several",
            "conf.d/d:1:1: services: another file has `services` already (line 12 of lb.toml); keep it in one file; only \
             lists of tables can be in several",
        ]
        .map(str::to_owned)
        .into_iter()
        .collect::<Vec<_>>()
    );
}

#[test]
fn a_table_is_in_one_file() {
    let folder = Folder::new(
        "twice",
        &[
            ("lb.toml", &format!("{}[timeouts]\nsyn = \"1s\"\n", main("\"a.toml\""))),
            ("a.toml", "services = 3\n[timeouts]\nudp = \"1s\"\n"),
        ],
    );
    let remedy = "keep it in one file; only lists of tables can be in several";
    assert_eq!(
        folder.problems(),
        [
            format!(
                "a.toml:1:1: services: another file has `services` already (line 12 of lb.toml); {remedy}"
            ),
            format!(
                "a.toml:2:2: timeouts: another file has `timeouts` already (line 18 of lb.toml); {remedy}"
            ),
        ]
    );
}

#[test]
fn what_cannot_be_included_is_refused() {
    let folder = Folder::new(
        "bad",
        &[
            (
                "lb.toml",
                &main(
                    "[\"missing.toml\", \"no.d/*.toml\", \"*/a\", 7, \"a.toml\", \"./a.toml\", \"empty/*\", \"bin\"]",
                ),
            ),
            ("a.toml", "include = \"lb.toml\""),
            ("empty/.hidden", ""),
        ],
    );
    fs::write(folder.0.join("bin"), b"\n\xff").unwrap();
    let removed = "or remove it from `include`";
    let once = "include each file once, and none from within itself";
    let mut problems = folder.problems();
    problems.sort();
    let mut expected = [
        format!(
            "lb.toml:1:12: include: missing.toml cannot be read: No such file or directory (os error 2); name a \
             configuration file that can be read, {removed}"
        ),
        format!(
            "lb.toml:1:28: include: the folder {}/no.d cannot be read: No such file or directory (os error 2); create \
             it, {removed}",
            folder.0.display()
        ),
        "lb.toml:1:43: include: \"*/a\" is no name of a file; only the last part can have * or ?, as in \
         \"conf.d/*.toml\""
            .to_owned(),
        "lb.toml:1:50: include: is a whole number, not text in quotes; write it in quotes".to_owned(),
        format!("a.toml:1:11: include: lb.toml is part of the configuration already (the file that was named); {once}"),
        format!("lb.toml:1:63: include: ./a.toml is part of the configuration already (included by lb.toml:1); {once}"),
        format!("lb.toml:1:86: include: bin line 2 is not UTF-8 text; save the file as UTF-8, {removed}"),
    ]
    .map(|line| line.replace(&format!("{}/", folder.0.display()), ""));
    expected.sort();
    assert_eq!(problems, expected);
}

#[test]
fn broken_syntax_is_reported_in_its_file() {
    let folder = Folder::new("syntax", &[("lb.toml", &main("\"a.toml\"")), ("a.toml", "\n\nx = = 1\n")]);
    let problems = folder.problems();
    assert!(problems[0].starts_with("a.toml:3:5: not valid TOML: "), "{problems:?}");
}
