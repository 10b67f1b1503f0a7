//! ipvsadm's options: their letters, their long names, and which take a value.
//!
//! Options may be short and in one word (`-Ln`, `-w3`), or long, with their value behind a blank or `=`.

use crate::near::nearest;

/// An option: its letter, its long name, and its value.
struct Opt {
    letter: Option<char>,
    long: &'static str,
    value: Takes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    One,
    /// One may follow.
    Maybe,
    /// `--set` takes three words.
    Three,
}

const fn opt(letter: char, long: &'static str, value: Takes) -> Opt {
    Opt { letter: Some(letter), long, value }
}

const fn long(long: &'static str, value: Takes) -> Opt {
    Opt { letter: None, long, value }
}

use Takes::{Maybe, Nothing, One, Three};

const OPTIONS: &[Opt] = &[
    opt('A', "add-service", Nothing),
    opt('E', "edit-service", Nothing),
    opt('D', "delete-service", Nothing),
    opt('C', "clear", Nothing),
    opt('R', "restore", Nothing),
    opt('S', "save", Nothing),
    opt('a', "add-server", Nothing),
    opt('e', "edit-server", Nothing),
    opt('d', "delete-server", Nothing),
    opt('L', "list", Nothing),
    opt('l', "list", Nothing),
    opt('Z', "zero", Nothing),
    long("set", Three),
    long("start-daemon", One),
    long("stop-daemon", One),
    opt('h', "help", Nothing),
    opt('v', "version", Nothing),
    opt('t', "tcp-service", One),
    opt('u', "udp-service", One),
    long("sctp-service", One),
    opt('f', "fwmark-service", One),
    opt('s', "scheduler", One),
    opt('p', "persistent", Maybe),
    opt('M', "netmask", One),
    opt('b', "sched-flags", One),
    long("pe", One),
    opt('o', "ops", Nothing),
    opt('r', "real-server", One),
    opt('g', "gatewaying", Nothing),
    opt('i', "ipip", Nothing),
    opt('m', "masquerading", Nothing),
    long("tun-type", One),
    long("tun-port", One),
    long("tun-nocsum", Nothing),
    long("tun-csum", Nothing),
    long("tun-remcsum", Nothing),
    opt('w', "weight", One),
    opt('x', "u-threshold", One),
    opt('y', "l-threshold", One),
    long("mcast-interface", One),
    long("syncid", One),
    long("sync-maxlen", One),
    long("mcast-group", One),
    long("mcast-port", One),
    long("mcast-ttl", One),
    opt('c', "connection", Nothing),
    opt('6', "ipv6", Nothing),
    long("timeout", Nothing),
    long("daemon", Nothing),
    long("stats", Nothing),
    long("rate", Nothing),
    long("thresholds", Nothing),
    long("persistent-conn", Nothing),
    long("tun-info", Nothing),
    long("nosort", Nothing),
    long("sort", Nothing),
    opt('n', "numeric", Nothing),
    opt('X', "exact", Nothing),
];

/// Every option: its letters, and its long name.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (Option<char>, &'static str)> {
    OPTIONS.iter().map(|option| (option.letter, option.long))
}

/// What invocations do, and at most one of these may be given.
pub(super) const COMMANDS: [&str; 15] = [
    "add-service",
    "edit-service",
    "delete-service",
    "clear",
    "restore",
    "save",
    "add-server",
    "edit-server",
    "delete-server",
    "list",
    "zero",
    "set",
    "start-daemon",
    "stop-daemon",
    "help",
];

/// Whether a word begins an invocation of ipvsadm's: one of its commands.
#[must_use]
pub fn is_command(word: &str) -> bool {
    let word = word.split('=').next().unwrap_or_default();
    if let Some(long) = word.strip_prefix("--") {
        // These are lbctl's own as well.
        return COMMANDS.contains(&long) && long != "help";
    }
    let letters = word.strip_prefix('-').unwrap_or_default();
    let is_command = |option: &Opt| COMMANDS.contains(&option.long) && option.long != "help";
    let is_of = |letter| OPTIONS.iter().any(|option| option.letter == Some(letter) && is_command(option));
    letters.chars().next().is_some_and(is_of)
        && letters.chars().all(|letter| {
            OPTIONS.iter().any(|option| option.letter == Some(letter)) || !letter.is_alphabetic()
        })
}

/// An option with its values, in the order in which they were given.
pub(super) type Given = (&'static str, Vec<String>);

/// Takes the words behind the program's name apart: options, with as many values as each takes.
pub(super) fn given(words: &[String]) -> Result<Vec<Given>, String> {
    let mut given = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if let Some(name) = word.strip_prefix("--") {
            let (name, value) =
                name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
            let option = OPTIONS.iter().find(|option| option.long == name).ok_or_else(|| unknown(word))?;
            let mut values: Vec<String> = value.into_iter().collect();
            take(option, &mut values, &mut words, word)?;
            given.push((option.long, values));
            continue;
        }
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty());
        let mut letters = letters.ok_or_else(|| format!("unexpected word {word:?}"))?;
        while let Some(letter) = letters.chars().next() {
            letters = &letters[letter.len_utf8()..];
            let option = OPTIONS.iter().find(|option| option.letter == Some(letter));
            let option = option.ok_or_else(|| unknown(&format!("-{letter}")))?;
            let mut values = Vec::new();
            let has_value = match option.value {
                Nothing | Three => false,
                One => true,
                // A number, else another letter.
                Maybe => letters.starts_with(|c: char| c.is_ascii_digit()),
            };
            if has_value && !letters.is_empty() {
                values.push(letters.trim_start_matches('=').to_owned());
                letters = "";
            }
            take(option, &mut values, &mut words, &format!("-{letter}"))?;
            given.push((option.long, values));
        }
    }
    Ok(given)
}

/// Takes the values of an option that are words of their own.
fn take<'w>(
    option: &Opt,
    values: &mut Vec<String>,
    words: &mut std::iter::Peekable<impl Iterator<Item = &'w String>>,
    shown: &str,
) -> Result<(), String> {
    let wanted = match option.value {
        Nothing if values.is_empty() => return Ok(()),
        Nothing => return Err(format!("{shown} takes no value")),
        One => 1,
        Three => 3,
        Maybe => {
            let next = words.next_if(|word| values.is_empty() && !word.starts_with('-'));
            values.extend(next.cloned());
            return Ok(());
        }
    };
    while values.len() < wanted {
        let next = words.next_if(|word| !word.starts_with('-') || word.len() == 1);
        values.push(next.ok_or_else(|| format!("{shown} needs a value"))?.clone());
    }
    Ok(())
}

fn unknown(word: &str) -> String {
    let known: Vec<String> = OPTIONS.iter().map(|option| format!("--{}", option.long)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let remedy =
        nearest(word.split('=').next().unwrap_or_default(), &known).filter(|_| word.starts_with("--"));
    let remedy = remedy.map_or(String::new(), |near| format!(": did you mean {near}?"));
    format!("{word} is no option of ipvsadm{remedy}")
}
