//! Tells the crate which commit it is built from.
//!
//! `LB_COMMIT` says so where there is no repository, as in packages' builds; otherwise git does. Development builds name
//! none: with every commit's own, each would be compiled anew.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LB_COMMIT");
    let given = env::var("LB_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| if is_release { ask_git() } else { None });
    println!("cargo:rustc-env=LB_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// The commit that is checked out, if this is a repository, and which files change with it.
fn ask_git() -> Option<String> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // A file that does not exist would count as changed each time.
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        if let Some(file) = git(&["rev-parse", "--git-path", name]).filter(|file| Path::new(file).exists()) {
            println!("cargo:rerun-if-changed={file}");
        }
    }
    Some(commit)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| printed.trim().to_owned())
}
