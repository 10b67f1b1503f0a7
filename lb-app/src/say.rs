//! Text for whoever reads standard output.

use std::io::Write;

/// Writes `text` to standard output. Failures are ignored, so that a closed reader does not stop forwarding: `print!`
/// would end the process.
pub(crate) fn say(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_ref().as_bytes()).and_then(|()| out.flush());
}
