//! Configurations and lines of the protocol.

use crate::pages::{Fence, Page, pages};
use lb_ctl::protocol::{Call, Return};
use std::{
    env, fs,
    path::PathBuf,
    process::{self, Command},
};

/// What sections of a configuration are completed with.
const PORTS: &str = "\n\
    [[ports]]\nname = \"wan\"\ndevice = \"net_null0\"\naddresses = [\"192.0.2.1/24\"]\n\
    [[ports]]\nname = \"lan\"\ndevice = \"net_null1\"\naddresses = [\"198.51.100.1/24\"]\n";
/// What keys of a service are completed with.
const SERVICE: &str =
    "[[services]]\nname = \"web\"\nvip = \"192.0.2.100\"\nport = 80\nprotocol = \"tcp\"\nmethod = \"nat\"\n";

/// A directory that goes with the test.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        let path = env::temp_dir().join(format!("lb-docs-{name}-{}", process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The configurations that a fence stands for.
fn configurations(fence: &Fence) -> Vec<String> {
    let text = fence.lines.join("\n");
    match fence.info.as_str() {
        "toml" => vec![text],
        "toml sections" => vec![text + PORTS],
        "toml service" => vec![format!("{PORTS}{SERVICE}{text}\n")],
        "toml device" => {
            let port = |device: &String| {
                format!("[[ports]]\nname = \"wan\"\n{device}\naddresses = [\"192.0.2.1/24\"]\n")
            };
            fence.lines.iter().map(port).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_fence_says_what_it_holds() {
    const KNOWN: [&str; 9] =
        ["sh", "nft", "lbctl", "toml", "toml sections", "toml service", "toml device", "json", "text"];
    for fence in pages().iter().flat_map(Page::fences) {
        assert!(KNOWN.contains(&fence.info.as_str()), "{}: a fence of {:?}", fence.place, fence.info);
    }
}

#[test]
fn configurations_are_valid() {
    let scratch = Scratch::new("toml");
    let mut count = 0;
    for fence in pages().iter().flat_map(Page::fences) {
        for text in configurations(&fence) {
            let file = scratch.0.join("lb.toml");
            fs::write(&file, &text).expect("a file");
            let mut check = Command::new(env!("CARGO_BIN_EXE_lb-app"));
            let output = check.args(["--check", "--conf"]).arg(&file).output().expect("lb-app runs");
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {complaint}\n{text}", fence.place);
            count += 1;
        }
    }
    assert!(count > 5, "{count} configurations");
}

#[test]
fn lines_of_the_protocol_are_read() {
    let json = |fence: &Fence| fence.info == "json";
    for fence in pages().iter().flat_map(Page::fences).filter(json) {
        for line in &fence.lines {
            let read = match line.contains("\"request\"") {
                true => serde_json::from_str::<Call>(line).map(drop),
                false => serde_json::from_str::<Return>(line).map(drop),
            };
            read.unwrap_or_else(|error| panic!("{}: {line}: {error}", fence.place));
        }
    }
}
