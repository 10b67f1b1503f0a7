//! `lb-app --check`: what a file means, or where it is wrong.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use lb_stories::config::Service;
use lb_stories::director::{check, check_unheard};
use lb_stories::process::Scratch;
use lb_stories::{Config, Method};

#[test]
fn a_good_file() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("lb.toml");
    fs::write(&file, Config::http().render(&[[198, 51, 100, 11].into()]))?;
    let output = check(&file)?;
    let printed = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for method in Method::ALL {
        assert!(printed.contains(&method.vip().to_string()), "{printed}");
    }
    Ok(())
}

#[test]
fn a_broken_file() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("lb.toml");
    let good = Config::http().render(&[[198, 51, 100, 11].into()]);
    fs::write(&file, good.replacen("scheduler = \"rr\"", "scheduler = \"rrr\"", 1))?;
    let line =
        1 + good.lines().position(|line| line.starts_with("scheduler")).expect("a service has a scheduler");

    let output = check(&file)?;
    let complaint = String::from_utf8(output.stderr)?;
    assert!(output.status.code().is_some_and(|code| code != 0), "{:?}", output.status);
    assert!(complaint.contains(&format!("lb.toml:{line}:")), "{complaint}");
    assert!(complaint.contains("scheduler"), "{complaint}");
    Ok(())
}

/// A reader of standard output that goes away ends no director.
#[test]
fn a_reader_who_leaves() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("lb.toml");
    fs::write(&file, Config::http().render(&[[198, 51, 100, 11].into()]))?;
    let status = check_unheard(&file)?;
    assert!(status.success(), "{status}");
    Ok(())
}

/// Checks that cannot work here are sound, and warned of: by a kernel that is nowhere near, and without capabilities.
#[test]
fn a_check_that_cannot_work_is_warned_of() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("lb.toml");
    let kernel = "check = { type = \"tcp\", via = \"kernel\" }";
    let program =
        "check = { type = \"command\", command = [\"/bin/true\"], user = \"nobody\", netns = \"mgmt\" }";
    let config = |check: &str| {
        Config::new().service(Service::tcp(Method::Nat, 80).line(check)).render(&[[198, 51, 100, 11].into()])
    };
    fs::write(&file, config(kernel))?;
    let output = check(&file)?;
    let warning = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warning.contains("has no address on that network"), "{warning}");
    fs::write(&file, config(program))?;
    let output = check(&file)?;
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = Command::new("setpriv")
        .arg("--bounding-set=-setuid,-setgid,-kill")
        .arg(lb_stories::director::program()?)
        .args(["--", "--check", "--conf"])
        .arg(&file)
        .output()?;
    let warning = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && warning.contains("no CAP_SETUID, no CAP_SETGID, no CAP_KILL"),
        "{warning}"
    );
    Ok(())
}
