//! Manual pages, out of clap's definitions.

use crate::command::help::SECTIONS;
use clap::Command;
use clap_mangen::Man;
use std::{
    fs,
    io::{self, Write},
    path::Path,
};

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `lbctl(1)`, with all its commands and exit statuses.
    Commands,
    /// A daemon, section 8.
    Daemon,
}

/// Writes the page of a program into a directory: `lbctl.1`, `lb-app.8`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(program: &Command, directory: &Path, section: Section) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let number = if section == Section::Commands { "1" } else { "8" };
    let mut file = fs::File::create(directory.join(format!("{}.{number}", program.get_name())))?;
    let man = Man::new(program.clone()).section(number);
    man.render_title(&mut file)?;
    man.render_name_section(&mut file)?;
    man.render_synopsis_section(&mut file)?;
    man.render_description_section(&mut file)?;
    man.render_options_section(&mut file)?;
    if section == Section::Commands {
        commands(&mut file)?;
        file.write_all(EXIT_STATUS.as_bytes())?;
    } else {
        man.render_extra_section(&mut file)?;
    }
    man.render_version_section(&mut file)
}

fn commands(file: &mut impl Write) -> io::Result<()> {
    writeln!(
        file,
        ".SH COMMANDS\nQualifiers are written with or without dashes: weight 5 is \\-\\-weight 5."
    )?;
    for section in SECTIONS {
        writeln!(file, ".SS {}\n{}", section.name, escaped(section.about))?;
        for usage in section.usages() {
            writeln!(file, ".TP\n.B {}\n{}", escaped(&usage.usage), escaped(&usage.about))?;
        }
    }
    Ok(())
}

/// The text without what would be a request or an escape of roff.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('-', "\\-").replace('\n', " ")
}

const EXIT_STATUS: &str = "\
.SH EXIT STATUS
.TP
0
Done.
.TP
1
The director refused.
.TP
2
The command is invalid, or a file of commands cannot be read.
.TP
3
The director could not be reached, or the connection was lost.
.TP
4
The output could not be written.
.TP
130
Interrupted.
.SH FILES
.TP
/run/lb/lb.sock
The control socket, unless the configuration or \\-\\-file\\-prefix sets another one.
.TP
~/.local/state/lb/history
The shell's history; XDG_STATE_HOME moves it.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_every_command() {
        let directory = std::env::temp_dir().join(format!("lb-man-{}", std::process::id()));
        let program = Command::new("lbctl").about("Asks and changes a running lb-app.").version("1");
        write(&program, &directory, Section::Commands).unwrap();
        let page = fs::read_to_string(directory.join("lbctl.1")).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        for words in [".TH", "show port stats", "add server", "EXIT STATUS", "a running lb\\-app"] {
            assert!(page.contains(words), "no {words} in\n{page}");
        }
    }
}
