//! `make install`: programs, pages, completions and unit are where packages of distributions want them, and the programs
//! are enough to begin with.

use anyhow::{Context, Result, ensure};
use lb_stories::director::program;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A directory that goes with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("lb-install-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn make(variables: &[String]) -> Result<Output> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut make = Command::new("make");
    make.arg("--no-print-directory").arg("-C").arg(repository).arg("install").args(variables);
    Ok(make.output()?)
}

#[test]
fn everything_is_below_destdir_and_prefix_and_works() -> Result<()> {
    let scratch = Scratch::new()?;
    let root = scratch.0.join("root");
    let bin = program()?.parent().context("it is in a directory")?.to_owned();
    let variables = |bin: &Path| {
        vec![
            format!("BIN={}", bin.display()),
            "PREFIX=/opt/lb".to_owned(),
            format!("DESTDIR={}", root.display()),
        ]
    };
    let refused = make(&variables(&scratch.0))?;
    ensure!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("make build"));
    ensure!(!root.exists(), "nothing is installed by halves");

    let output = make(&variables(&bin))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let prefix = root.join("opt/lb");
    for file in [
        "bin/lbctl",
        "share/man/man1/lbctl.1",
        "share/man/man5/lb.toml.5",
        "share/man/man8/lb-app.8",
        "bin/lb-sync",
        "share/man/man8/lb-sync.8",
        "share/bash-completion/completions/lb-app",
        "share/bash-completion/completions/lbctl",
        "share/zsh/site-functions/_lb-app",
        "share/fish/vendor_completions.d/lbctl.fish",
        "share/doc/lb-app/LICENSE-MIT",
        "share/doc/lb-app/docs/health.md",
        "share/doc/lb-app/conf/nat.toml",
    ] {
        ensure!(prefix.join(file).metadata().is_ok_and(|file| file.len() > 0), "no {file}");
    }
    ensure!(fs::read_dir(&root)?.count() == 1, "something is outside of PREFIX");
    let unit = fs::read_to_string(prefix.join("lib/systemd/system/lb-app.service"))?;
    ensure!(unit.contains("\nExecStart=/opt/lb/bin/lb-app ") && !unit.contains("/usr/bin/lb"), "{unit}");

    let unit = fs::read_to_string(prefix.join("lib/systemd/system/lb-sync.service"))?;
    ensure!(unit.contains("\nExecStart=/opt/lb/bin/lb-sync") && !unit.contains("/usr/bin/lb"), "{unit}");

    // The first steps of somebody who has just installed it.
    let lb_app = prefix.join("bin/lb-app");
    let example = Command::new(&lb_app).args(["--example", "dr"]).output()?;
    let conf = scratch.0.join("lb.toml");
    fs::write(&conf, &example.stdout)?;
    ensure!(example.stdout.starts_with(b"# DR"));
    let checked = Command::new(&lb_app).args(["--check", "--conf"]).arg(&conf).output()?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    Ok(())
}
