//! The unit that packages and the appliance install lets `lb-app` do what it offers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
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
fn checks_may_be_programs_of_other_users() {
    let capabilities = words("CapabilityBoundingSet");
    for needed in ["CAP_SETUID", "CAP_SETGID", "CAP_KILL"] {
        assert!(capabilities.iter().any(|capability| capability == needed), "{needed}");
    }
}

#[test]
fn systemd_understands_it() {
    // Its programs are not installed here.
    let unit = fs::read_to_string(path()).expect("the unit").replace("=/usr/bin/", "=/bin/true ");
    let directory = std::env::temp_dir().join(format!("lb-unit-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("lb-app.service");
    fs::write(&file, unit).expect("a file");
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output();
    fs::remove_dir_all(&directory).expect("it was there");
    // Where there is no systemd, the packages' tests say so.
    if let Ok(output) = verified {
        let said = String::from_utf8_lossy(&output.stderr);
        let complaints: Vec<&str> = said.lines().filter(|line| line.contains("lb-app.service")).collect();
        assert!(output.status.success() && complaints.is_empty(), "{said}");
    }
}
