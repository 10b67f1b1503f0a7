//! The unit that packages and the appliance install lets `lb-app` do what it offers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/lb-app.service")
}

/// What the unit says of a key, word by word.
fn words(key: &str) -> Vec<String> {
    let unit = fs::read_to_string(path()).expect("the unit");
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn save_may_write_the_configuration_file() {
    let start = words("ExecStart");
    let conf = start.iter().skip_while(|word| *word != "--conf").nth(1).expect("a configuration file");
    let directory = Path::new(conf).parent().expect("a directory");
    let writable = words("ReadWritePaths");
    assert!(
        writable.iter().any(|path| directory.starts_with(path.trim_start_matches('-'))),
        "{writable:?} are not {}",
        directory.display()
    );
}

#[test]
fn a_reload_waits_for_its_answer() {
    assert_eq!(words("ExecReload"), ["/usr/bin/lbctl", "reload"]);
}

#[test]
fn vips_are_withdrawn_however_it_ends() {
    let (start, post) = (words("ExecStart"), words("ExecStopPost"));
    let conf = |words: &[String]| words.iter().skip_while(|word| *word != "--conf").nth(1).cloned();
    assert!(post.contains(&"--withdraw".to_owned()));
    assert_eq!(conf(&start), conf(&post));
}

#[test]
fn checks_may_be_programs_of_other_users() {
    let capabilities = words("CapabilityBoundingSet");
    for needed in ["CAP_SETUID", "CAP_SETGID", "CAP_KILL"] {
        assert!(capabilities.iter().any(|capability| capability == needed), "{needed}");
    }
}

#[test]
fn captures_and_state_files_have_a_place_and_a_group() {
    // Below it are the default of `captures`, and the state files of the documentation.
    assert_eq!(words("StateDirectory"), ["lb"]);
    assert_eq!(words("ProtectSystem"), ["full"], "strict would deny other places below /var");
    assert!(words("CapabilityBoundingSet").contains(&"CAP_CHOWN".to_owned()));
}

#[test]
fn ports_checks_and_clients_have_their_sockets() {
    let families = words("RestrictAddressFamilies");
    for needed in ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_XDP"] {
        assert!(families.iter().any(|family| family == needed), "{needed}");
    }
    assert_eq!(words("RestrictNamespaces"), ["net"], "checks may be made in one");
}

/// What systemd-analyze says of it, where there is one; the packages' tests have it anyway.
fn analyze(name: &str, arguments: &[&str]) -> Option<Output> {
    // Its programs are not installed here.
    let unit = fs::read_to_string(path()).expect("the unit").replace("=/usr/bin/", "=/bin/true ");
    let directory = std::env::temp_dir().join(format!("lb-unit-{name}-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("lb-app.service");
    fs::write(&file, unit).expect("a file");
    let output = Command::new("systemd-analyze").args(arguments).arg(&file).output();
    fs::remove_dir_all(&directory).expect("it was there");
    output.ok()
}

#[test]
fn its_exposure_is_as_documented() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/running.md")).expect("a page");
    let arguments = ["security", "--offline=true", "--no-pager"];
    // Older ones analyze only units that are loaded.
    let Some(output) = analyze("security", &arguments).filter(|output| output.status.success()) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let (_, rest) = said.split_once("Overall exposure level for lb-app.service: ").expect("a score");
    let score = rest.split_whitespace().next().expect("a number");
    let version = Command::new("systemd-analyze").arg("--version").output().expect("it runs");
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.split_whitespace().nth(1).expect("its version");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_documented = page.contains(&format!("with systemd {version}"));
    assert!(
        !is_documented || page.contains(&format!("{score} with systemd {version}")),
        "{score} with systemd {version} is not what docs/running.md has"
    );
}

#[test]
fn systemd_understands_it() {
    if let Some(output) = analyze("verify", &["verify", "--man=no"]) {
        let said = String::from_utf8_lossy(&output.stderr);
        let complaints: Vec<&str> = said.lines().filter(|line| line.contains("lb-app.service")).collect();
        assert!(output.status.success() && complaints.is_empty(), "{said}");
    }
}
