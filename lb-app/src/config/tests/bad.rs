//! Every kind of mistake, with the exact report.
//!
//! `bad.txt` holds the cases: `## ` and what is wrong, the configuration, `-- ` and the report. `%base` stands for
//! [`BASE`]. With `UPDATE_EXPECTED=1` in the environment the reports are written anew, to be reviewed.

use super::{BASE, LIMITS, check, parse};
use crate::config::{Limits, load, options::read_text};
use lb_core::{
    limits::{MAX_PORTS, MAX_ROUTES, MAX_SERVICES},
    service::option::{Kind, Value},
};
use std::{fmt::Write, fs, path::Path};

#[test]
fn every_mistake_is_reported_exactly() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/bad.txt");
    let expected = fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    for case in expected.split("## ").skip(1) {
        let (head, _) = case.split_once("-- report\n").unwrap();
        let (_, text) = head.split_once('\n').unwrap();
        let report = match check(&text.replace("%base\n", BASE)) {
            Ok(_) => panic!("no mistake found: {head}"),
            Err(report) => report.to_string(),
        };
        write!(actual, "## {head}-- report\n{report}\n").unwrap();
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, &actual).unwrap();
        return;
    }
    for (actual, expected) in actual.split("## ").zip(expected.split("## ")) {
        assert_eq!(actual, expected);
    }
    assert_eq!(actual, expected);
}

#[test]
fn too_much_of_something_is_reported() {
    let mut ports = String::new();
    for index in 0..=MAX_PORTS {
        writeln!(
            ports,
            "[[ports]]\nname = \"p{index}\"\ndevice = \"d{index}\"\naddresses = [\"10.0.{index}.1/24\"]"
        )
        .unwrap();
    }
    let routes: String = (0..=MAX_ROUTES)
        .map(|index| {
            format!("[[routes]]\nto = \"10.{}.{}.0/24\"\nvia = \"192.0.2.2\"\n", index / 256, index % 256)
        })
        .collect();
    let services: String = (1..=MAX_SERVICES)
        .map(|port| {
            format!("[[services]]\nname = \"s{port}\"\nvip = \"192.0.2.200\"\nport = {port}\nprotocol = \"tcp\"\nmethod = \"dr\"\n")
        })
        .collect();
    let addresses: Vec<String> = (0..257).map(|index| format!("\"10.0.{}.1/24\"", index % 256)).collect();
    let addresses =
        format!("[[ports]]\nname = \"lan\"\ndevice = \"d\"\naddresses = [{}]", addresses.join(","));
    for (text, message) in [
        (ports, "ports[32]: 33 ports are too many; use at most 32\n"),
        (format!("{BASE}{routes}"), "routes[1024]: 1025 routes are too many; use at most 1024\n"),
        (format!("{BASE}{services}"), "services[16384]: 16385 services are too many; use at most 16384\n"),
        (addresses, "ports[0].addresses: has 257 elements; use at most 256\n"),
    ] {
        let report = check(&text).unwrap_err();
        let first = report.to_string();
        assert_eq!(report.problems.len(), 1, "{report}");
        assert!(first.contains(message), "{report}");
    }
}

#[test]
fn capacity_must_fit_into_memory() {
    let small = Limits { workers: 2, available_bytes: 128 << 20 };
    let report = parse("lb.toml", &format!("{BASE}[workers]\nconnections = 600_000\n"), small).unwrap_err();
    assert_eq!(
        report.to_string(),
        "lb.toml:18:15: workers.connections: 600000 connections of IPv4 and 65536 of IPv6 on each of 2 workers \
         need 178 MiB of memory, persistent clients included, 128 MiB is available; use at most 398309, fewer workers, or more memory\n\
         \x20   18 | connections = 600_000\n\
         \x20      |               ^^^^^^^\n\
         1 error, nothing was applied\n"
    );
    let report = parse("lb.toml", BASE, small).unwrap_err();
    assert_eq!(report.problems[0].key, "workers.connections", "the default may be too much as well");
    let none = Limits { workers: 2, available_bytes: 100 };
    let report = parse("lb.toml", BASE, none).unwrap_err();
    assert_eq!(
        report.problems[0].complaint.remedy,
        "free memory, use fewer workers, or set a smaller `connections_v6`"
    );
    assert!(parse("lb.toml", BASE, LIMITS).is_ok());
}

#[test]
fn the_tables_of_schedulers_must_fit_into_memory_as_well() {
    // A thousand services, over so many different servers.
    let with = |servers: usize, mebibytes: u64| {
        let mut text = format!("{BASE}[workers]\nconnections = 1_000\n");
        for number in 0..1_000 {
            let server = format!("10.0.{}.{}", number % servers / 250, number % servers % 250 + 1);
            let port = 1_000 + number;
            writeln!(
                text,
                "[[services]]\nname = \"s{number}\"\nvip = \"192.0.2.100\"\nport = {port}\nprotocol = \"tcp\"\n\
                 method = \"nat\"\nscheduler = \"mh\"\nservers = [{{ address = \"{server}\", port = {port} }}]"
            )
            .unwrap();
        }
        writeln!(text, "[[routes]]\nto = \"10.0.0.0/8\"\nvia = \"198.51.100.2\"").unwrap();
        parse("lb.toml", &text, Limits { workers: 1, available_bytes: mebibytes << 20 })
    };
    assert!(with(1_000, 40).is_ok());
    let report = with(1_000, 20).unwrap_err();
    let complaint = &report.problems[0].complaint;
    assert_eq!(
        complaint.what,
        "1000 connections of IPv4 and 1000 of IPv6 on each of 1 workers need 7 MiB of memory, persistent clients \
         included and schedulers 32 MiB, 20 MiB is available"
    );
    assert_eq!(
        complaint.remedy,
        "free memory, or use fewer services with sh, dh or mh that have different servers"
    );
    assert!(with(100, 20).is_ok(), "services with the same servers share a table");
}

#[test]
fn files_that_are_no_text_are_reported() {
    let folder = tempfile();
    let missing = folder.join("missing.toml");
    let report = load(&missing, LIMITS).unwrap_err();
    assert!(report.to_string().contains("missing.toml: cannot be read: No such file"), "{report}");
    let binary = folder.join("binary.toml");
    fs::write(&binary, b"[workers]\n\xff\n").unwrap();
    let report = load(&binary, LIMITS).unwrap_err();
    assert!(report.to_string().contains("binary.toml: line 2 is not UTF-8 text; save the file"), "{report}");
    fs::remove_dir_all(folder).unwrap();
}

/// A new folder of this process.
fn tempfile() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("lb-app-config-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_report_does_not_obey_what_it_shows() {
    let report = check("[[ports]]\nname = \"wan\u{202e}\u{200b}\"\n").unwrap_err().to_string();
    assert!(report.contains("name: \"wan\\u{202e}\\u{200b}\" has characters that nobody sees"), "{report}");
    assert!(report.contains("| name = \"wan  \"\n"), "{report}");
}

#[test]
fn names_of_commands_are_checked_like_those_of_the_file() {
    let name = |name: &str| read_text(&Kind::Name, &Value::Text(name.to_owned()).to_string());
    assert!(name(&"é".repeat(64)).is_ok());
    for bad in
        ["", "the web", "web\u{7}", "web\u{202e}", "w\u{200b}eb", "web\u{7f}", "web\u{2028}", &"é".repeat(65)]
    {
        assert!(name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn long_lines_are_cut_around_the_mark() {
    let text = format!("{}x = {{ a = 1 }}", " ".repeat(5_000));
    let report = check(&text).unwrap_err().to_string();
    assert!(report.lines().all(|line| line.len() < 200), "{report}");
    assert!(report.contains("x = { a = 1 }\n"), "{report}");
}
