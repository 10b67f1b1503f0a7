//! Headless Chromium, spoken to over its debugging pipe: two files that it reads and writes JSON through.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::netns::Namespace;
use crate::process::{Background, PATIENCE};

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    _process: Background,
    commands: File,
    messages: Receiver<Value>,
    session: String,
    last: u64,
    /// What came that nobody has asked for, oldest first.
    events: VecDeque<Value>,
}

impl Browser {
    /// Starts one in a namespace; its files go into a directory.
    pub fn start(namespace: &Namespace, directory: &Path) -> Result<Self> {
        let [to, from] = ["to-browser", "from-browser"].map(|name| directory.join(name));
        for pipe in [&to, &from] {
            mkfifo(pipe, Mode::S_IRUSR | Mode::S_IWUSR)?;
        }
        let mut command = namespace.command("sh");
        command.arg("-c").arg(
            "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
             --disable-background-networking --disable-component-update --disable-sync --no-proxy-server \
             --user-data-dir=\"$1/profile\" --remote-debugging-pipe about:blank 3<\"$1/to-browser\" \
             4>\"$1/from-browser\"",
        );
        command.arg("sh").arg(directory).env("HOME", directory);
        let process = namespace.spawn(&mut command, &directory.join("chromium.log"))?;
        let commands = OpenOptions::new().write(true).open(&to)?;
        let answers = BufReader::new(File::open(&from)?);
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in answers.split(0) {
                let message = message.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
                if message.is_none_or(|message| sender.send(message).is_err()) {
                    return;
                }
            }
        });
        let events = VecDeque::new();
        let mut browser =
            Self { _process: process, commands, messages, session: String::new(), last: 0, events };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach)?;
        browser.session = attached["sessionId"].as_str().context("a session")?.to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method of the debugging protocol and waits for its result.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.last += 1;
        let id = self.last;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.commands.write_all(format!("{message}\0").as_bytes())?;
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = match self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => bail!("{method}: no answer after {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("{method}: the browser is gone"),
            };
            if answer["id"] != id {
                self.events.push_back(answer);
                continue;
            }
            ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
            return Ok(answer["result"].clone());
        }
    }

    /// Opens an address.
    pub fn open(&mut self, address: &str) -> Result<()> {
        // An address that differs behind # only would not be loaded again.
        self.call("Page.navigate", &json!({ "url": "about:blank" }))?;
        let answer = self.call("Page.navigate", &json!({ "url": address }))?;
        ensure!(answer.get("errorText").is_none(), "{address}: {answer}");
        Ok(())
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let what = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &what)?;
        ensure!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true.
    pub fn becomes(&mut self, expression: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        // What it is about may not be there yet.
        let asked = format!("(() => {{ try {{ return ({expression}); }} catch {{ return false; }} }})()");
        while self.value(&asked)? != true {
            if Instant::now() >= end {
                let text = self.value("document.body.innerText")?;
                bail!("{expression} is not true; the page says:\n{}", text.as_str().unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Presses a key in the page.
    pub fn press(&mut self, key: &str, text: &str) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// How large the page is, and whether it is for the dark.
    pub fn look(&mut self, width: u32, height: u32, dark: bool) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &features)?;
        Ok(())
    }

    /// A picture of what is to be seen: WebP, in base64.
    pub fn picture(&mut self) -> Result<String> {
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "webp", "quality": 60 }))?;
        Ok(picture["data"].as_str().context("a picture")?.to_owned())
    }

    /// What the browser had to say: errors and warnings of the console, and exceptions.
    pub fn complaints(&mut self) -> Result<Vec<String>> {
        self.value("0")?;
        let complaints = self.events.iter().filter(|event| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] != "log",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] != "verbose",
            _ => false,
        });
        Ok(complaints.map(ToString::to_string).collect())
    }

    /// The addresses that were asked for.
    pub fn requests(&mut self) -> Result<Vec<String>> {
        self.value("0")?;
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        Ok(sent.filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned)).collect())
    }
}
