//! `--man`: the manual pages. That of the program follows from its command line, that of the configuration is the
//! reference, which follows from the tables of options.

use super::roff;
use clap::Command;
use std::{fs, io, path::Path};

/// The reference of the configuration.
const REFERENCE: &str = include_str!("../../../conf/README.md");

/// Writes `lb-app.8` and `lb.toml.5` into a directory. They name no DPDK, because they may be read where another one runs.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn write(program: Command, directory: &Path) -> io::Result<()> {
    let program = program.version(lb_ctl::version::VERSION);
    lb_ctl::man::write(&program, directory, lb_ctl::man::Section::Daemon)?;
    let page = directory.join("lb-app.8");
    // What clap prints behind the options are examples.
    let text = fs::read_to_string(&page)?.replace(".SH EXTRA\n", ".SH EXAMPLES\n");
    fs::write(page, text + PROGRAM_ENDS)?;
    fs::write(directory.join("lb.toml.5"), configuration())
}

/// `lb.toml(5)`.
fn configuration() -> String {
    let version = roff::escaped(env!("CARGO_PKG_VERSION"));
    let body = roff::from_markdown(REFERENCE);
    format!(
        ".TH lb.toml 5 \"\" \"lb\\-app {version}\"\n.SH NAME\nlb.toml \\- configuration of lb\\-app\n\
         .SH DESCRIPTION\n{body}{CONFIGURATION_ENDS}"
    )
}

const PROGRAM_ENDS: &str = "\
.SH EXIT STATUS
.TP
0
It ended in good order, or what was asked for is printed.
.TP
1
The configuration has mistakes, something that is needed is missing, the doctor found something wrong, or packets are not
accounted for. What it was is on standard error.
.TP
2
The command line is wrong.
.SH ENVIRONMENT
.TP
RUST_LOG
The level of the log: error, warn, info, debug or trace.
.SH FILES
.TP
/etc/lb/lb.toml
The configuration that the service runs with.
.TP
/etc/default/lb\\-app
Its arguments: LB_EAL for DPDK, LB_OPTIONS for lb\\-app.
.TP
/run/lb/lb.sock
The control socket, unless the configuration or \\-\\-file\\-prefix sets another one.
.SH SEE ALSO
.BR lb.toml (5),
.BR lbctl (1),
/usr/share/doc/lb\\-app
";

const CONFIGURATION_ENDS: &str = "\
.SH FILES
.TP
/etc/lb/lb.toml
The configuration that the service runs with.
.TP
/usr/share/doc/lb\\-app/conf
Configurations to start from; lb\\-app \\-\\-example prints most of them.
.SH SEE ALSO
.BR lb\\-app (8),
.BR lbctl (1),
/usr/share/doc/lb\\-app/docs
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_page_has_every_key_of_the_reference() {
        let page = configuration();
        let keys = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        let keys: Vec<&str> = keys.map(|(key, _)| key).collect();
        assert!(keys.len() > 70, "{keys:?}");
        for key in keys {
            let tag = format!(".TP\n\\fB{}\\fR\n", roff::escaped(key));
            assert!(page.contains(&tag), "no {key}");
        }
        for left in ["`", "](", "<!--", "|--"] {
            assert!(!page.contains(left), "{left} is left of Markdown");
        }
    }
}
