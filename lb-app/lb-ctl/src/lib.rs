//! The control side of `lb-app`: the protocol of its socket, the operators' commands, and what they read.
//!
//! * [`protocol`]: requests, answers and their framing.
//! * [`transport`]: how a request reaches the director.
//! * [`render`]: answers become text.
//! * [`command`]: words become requests; completion and help.
//! * [`foreign`]: what words of other load balancers are here.
//! * [`near`]: "did you mean".
//! * [`mistake`]: what is wrong with a command, in one line.
//! * [`failure`]: why a command did not do what it should.
//! * [`top`]: the live view.
//! * `follow`: events as they happen.
//! * `stream`: packets as they pass.
//! * [`session`]: one command after the other, from a line, a file or a terminal.
//! * [`shell`]: the terminal.
//! * [`cli`]: the command line of `lbctl`.
//! * [`completion`]: what it tells other shells.
//! * [`man`]: manual pages.
//! * [`version`]: what the programs call themselves.

pub mod cli;
pub mod command;
pub mod completion;
pub mod failure;
mod follow;
pub mod foreign;
pub mod ipvsadm;
pub mod man;
pub mod mistake;
pub mod near;
pub mod protocol;
pub mod render;
pub mod session;
pub mod shell;
mod stream;
pub mod top;
pub mod transport;
pub mod version;

/// The default control socket of `lb-app`.
pub const DEFAULT_SOCKET: &str = "/run/lb/lb.sock";
