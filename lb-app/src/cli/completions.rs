//! `--completions`: scripts by which shells complete this command line.
//!
//! clap's own know one command line, and end at `--`, where ours begins: before it stand EAL's arguments, of which the
//! usual ones are here, and behind it ours. So the scripts are made here, of the same definitions.

use clap::{Arg, Command, ValueEnum};
use std::fmt::Write;

/// Whose completions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// EAL's arguments that are used with lb-app, with what they want and what they are for.
const EAL: [(&str, bool, &str); 13] = [
    ("-l", true, "CPUs to use, the first one for control"),
    ("--lcores", true, "lcores and the CPUs that they run on"),
    ("--main-lcore", true, "The lcore for control"),
    ("--no-huge", false, "Ordinary memory instead of huge pages"),
    ("-m", true, "Memory in MiB"),
    ("--no-pci", false, "No PCI devices"),
    ("-a", true, "Use this PCI device only"),
    ("-b", true, "Do not use this PCI device"),
    ("--vdev", true, "A virtual device"),
    ("--file-prefix", true, "A name of its own beside other DPDK programs"),
    ("--in-memory", false, "No files that others could use"),
    ("--no-telemetry", false, "No telemetry socket"),
    ("--log-level", true, "The level of log lines from DPDK"),
];

/// One argument of ours.
struct Word {
    flags: Vec<String>,
    help: String,
    takes_value: bool,
    values: Vec<String>,
    takes_path: bool,
}

/// The script by which a shell completes the command line of our arguments.
pub(super) fn script(command: Command, shell: Shell) -> String {
    let ours = words(command);
    match shell {
        Shell::Bash => bash(&ours),
        Shell::Zsh => zsh(&ours),
        Shell::Fish => fish(&ours),
    }
}

fn words(mut command: Command) -> Vec<Word> {
    command.build();
    let shown = |argument: &&Arg| !argument.is_hide_set() && !argument.is_positional();
    command.get_arguments().filter(shown).map(word).collect()
}

fn word(argument: &Arg) -> Word {
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.split(['\n', ';']).next().unwrap_or_default().split(". ").next().unwrap_or_default();
    let takes_value = argument.get_action().takes_values();
    let values = match takes_value {
        true => argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        false => Vec::new(),
    };
    let names = argument.get_value_names().unwrap_or_default();
    Word {
        flags: long.into_iter().chain(short).collect(),
        help: help.replace(['`', '\'', '"', '[', ']'], "").trim_end_matches('.').to_owned(),
        takes_value,
        values,
        takes_path: names.iter().any(|name| ["FILE", "DIRECTORY"].contains(&name.as_str())),
    }
}

/// What those that only print are called: they need no `--`.
fn alone(ours: &[Word]) -> String {
    let words = [
        "--help",
        "--version",
        "--check",
        "--doctor",
        "--report",
        "--example",
        "--import",
        "--man",
        "--completions",
    ];
    debug_assert!(words.iter().all(|word| ours.iter().any(|our| our.flags.contains(&(*word).to_owned()))));
    words.join(" ")
}

fn bash(ours: &[Word]) -> String {
    let flags = |words: &[Word]| -> String {
        words.iter().flat_map(|word| word.flags.clone()).collect::<Vec<_>>().join(" ")
    };
    let mut cases = String::new();
    for word in ours.iter().filter(|word| word.takes_value) {
        let reply = match (word.values.is_empty(), word.takes_path) {
            (false, _) => format!("COMPREPLY=($(compgen -W \"{}\" -- \"$cur\"))", word.values.join(" ")),
            (true, true) => "COMPREPLY=($(compgen -f -- \"$cur\"))".to_owned(),
            (true, false) => ":".to_owned(),
        };
        let _ = writeln!(cases, "    {}) {reply}; return ;;", word.flags.join(" | "));
    }
    let eal: Vec<&str> = EAL.iter().map(|(flag, _, _)| *flag).collect();
    format!(
        "# Completions of lb-app: EAL's arguments, then -- and its own.\n\
         _lb_app() {{\n    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words=\"{} {} --\" at\n    \
         compopt -o filenames 2>/dev/null\n    COMPREPLY=()\n    case $prev in\n{cases}    esac\n    \
         for ((at = 1; at < COMP_CWORD; at++)); do\n        [ \"${{COMP_WORDS[at]}}\" != -- ] || words=\"{}\"\n    done\n    \
         COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}}\ncomplete -o default -F _lb_app lb-app\n",
        eal.join(" "),
        alone(ours),
        flags(ours)
    )
}

fn zsh(ours: &[Word]) -> String {
    let described = |flag: &str, help: &str| format!("'{}:{help}'", flag.replace(':', "\\:"));
    let mut cases = String::new();
    for word in ours.iter().filter(|word| word.takes_value) {
        let action = match (word.values.is_empty(), word.takes_path) {
            (false, _) => format!("compadd -- {}", word.values.join(" ")),
            (true, true) => "_files".to_owned(),
            (true, false) => format!("_message '{}'", word.help),
        };
        let _ = writeln!(cases, "    {}) {action}; return ;;", word.flags.join(" | "));
    }
    let own: Vec<String> =
        ours.iter().flat_map(|word| word.flags.iter().map(|flag| described(flag, &word.help))).collect();
    let eal: Vec<String> = EAL.iter().map(|(flag, _, help)| described(flag, help)).collect();
    format!(
        "#compdef lb-app\n# Completions of lb-app: EAL's arguments, then -- and its own.\n_lb_app() {{\n  \
         local -a own=(\n    {}\n  )\n  local -a eal=(\n    {}\n    '--:The arguments of lb-app follow'\n  )\n  \
         case $words[CURRENT-1] in\n{cases}  esac\n  \
         if (( ${{words[(I)--import]}} )); then _files; return; fi\n  \
         if (( ${{words[(I)--]}} && ${{words[(I)--]}} < CURRENT )); then\n    _describe -o 'lb-app argument' own\n  else\n    \
         _describe -o 'EAL argument' eal\n    compadd -- {}\n  fi\n}}\n\
         if [ \"$funcstack[1]\" = _lb-app ]; then _lb_app \"$@\"; else compdef _lb_app lb-app; fi\n",
        own.join("\n    "),
        eal.join("\n    "),
        alone(ours)
    )
}

fn fish(ours: &[Word]) -> String {
    // fish itself completes no options behind `--`, so they are arguments there.
    let mut text = "# Completions of lb-app: EAL's arguments, then -- and its own.\n\
                    function __lb_app_own\n    contains -- -- (commandline -opc)\nend\n\
                    function __lb_app_after\n    contains -- (commandline -opc)[-1] $argv\nend\n\
                    complete -c lb-app -f\n\
                    complete -c lb-app -n 'contains -- --import (commandline -opc)' -F\n"
        .to_owned();
    for (flag, takes_value, help) in EAL {
        let name = flag.trim_start_matches('-');
        let kind = if flag.starts_with("--") { "-l" } else { "-s" };
        let value = if takes_value { " -x" } else { "" };
        let _ = writeln!(text, "complete -c lb-app -n 'not __lb_app_own' {kind} {name}{value} -d '{help}'");
    }
    for word in alone(ours).split(' ') {
        let name = word.trim_start_matches('-');
        let help =
            ours.iter().find(|our| our.flags.iter().any(|flag| flag == word)).map(|our| our.help.as_str());
        let _ = writeln!(
            text,
            "complete -c lb-app -n 'not __lb_app_own' -l {name} -d '{}'",
            help.unwrap_or_default()
        );
    }
    for word in ours {
        for flag in &word.flags {
            let _ = writeln!(text, "complete -c lb-app -n __lb_app_own -a '{flag}' -d '{}'", word.help);
        }
        let after = format!("complete -c lb-app -n '__lb_app_after {}'", word.flags.join(" "));
        let _ = match (word.takes_value, word.values.is_empty(), word.takes_path) {
            (true, false, _) => writeln!(text, "{after} -k -a '{}'", word.values.join(" ")),
            (true, true, true) => writeln!(text, "{after} -F"),
            _ => Ok(()),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::process;

    /// What bash would offer; nothing where there is no bash.
    fn offered(words: &[&str]) -> Option<Vec<String>> {
        let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let test = format!(
            "{}\nCOMP_WORDS=({}) COMP_CWORD={}\n_lb_app\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            bash(&super::words(crate::cli::Options::command())),
            line.join(" "),
            words.len() - 1
        );
        let output = process::Command::new("bash").args(["-c", &test]).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
    }

    #[test]
    fn bash_completes_eals_arguments_then_ours() {
        let Some(eal) = offered(&["lb-app", "--no-"]) else { return };
        assert_eq!(eal, ["--no-huge", "--no-pci", "--no-telemetry"]);
        assert_eq!(offered(&["lb-app", "-l", "0-2", "--", "--conf", "x", "--ch"]).unwrap(), ["--check"]);
        assert_eq!(offered(&["lb-app", "--exa"]).unwrap(), ["--example"]);
        assert_eq!(offered(&["lb-app", "--example", "v"]).unwrap(), ["vlan", "vrrp"]);
        assert_eq!(offered(&["lb-app", "--", "--log-format", ""]).unwrap(), ["text", "json"]);
    }

    #[test]
    fn every_shell_has_every_argument() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(crate::cli::Options::command(), shell);
            for word in ["total-num-mbufs", "no-huge", "ecmp", "cmdline-file", "interactive"] {
                assert!(script.contains(word), "no {word} in {shell:?}");
            }
        }
    }

    #[test]
    fn shells_read_their_scripts() {
        let shells =
            [(Shell::Bash, "bash", "-n"), (Shell::Zsh, "zsh", "-n"), (Shell::Fish, "fish", "--no-execute")];
        for (shell, program, check) in shells {
            let file = std::env::temp_dir().join(format!("lb-complete-{}-{program}", process::id()));
            std::fs::write(&file, script(crate::cli::Options::command(), shell)).unwrap();
            // Not every machine has every shell.
            if let Ok(output) = process::Command::new(program).arg(check).arg(&file).output() {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            std::fs::remove_file(file).unwrap();
        }
    }
}
