//! Shell scripts that only call programs, one after the other, as those are that fill IPVS and DPVS: words, quotation marks,
//! continued lines, and variables that are set to plain text. What decides or repeats is refused.

use super::draft::{Place, Wrong};
use std::{collections::HashMap, rc::Rc};

/// One call of a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) place: Place,
    /// The program, without its folder.
    pub(super) program: String,
    /// Its arguments.
    pub(super) words: Vec<String>,
}

/// Words of the shell's that decide or repeat.
const CONTROL: [&str; 14] = [
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "function",
    "select",
];
/// Programs that run another.
const PREFIXES: [&str; 3] = ["sudo", "exec", "nohup"];
/// Longest line that variables may make.
const MAX_LENGTH: usize = 1 << 16;

/// Reads a script. Lines that begin with an option are calls of `program`.
pub(super) fn read(file: &str, text: &str, program: &str) -> Result<Vec<Call>, Wrong> {
    let file: Rc<str> = file.into();
    let mut variables: HashMap<String, String> = HashMap::new();
    let mut calls = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((line, text)) = lines.next() {
        let place = Place { file: file.clone(), line };
        let mut text = text.to_owned();
        while text.ends_with('\\') {
            text.pop();
            let Some((_, more)) = lines.next() else { break };
            text.push(' ');
            text.push_str(more);
            if text.len() > MAX_LENGTH {
                return Err(place.wrong("the line is too long"));
            }
        }
        for mut words in split(&place, &text, &variables)? {
            while words.first().is_some_and(|word| PREFIXES.contains(&word.as_str())) {
                words.remove(0);
            }
            let Some(first) = words.first().cloned() else { continue };
            if CONTROL.contains(&first.as_str()) || first.ends_with("()") {
                let what = "what decides or repeats is not run; import what the script made: ipvsadm -S -n";
                return Err(place.wrong(format!("{first}: {what}")));
            }
            if let Some((name, value)) = first.split_once('=').filter(|(name, _)| is_name(name)) {
                variables.insert(name.to_owned(), value.to_owned());
                continue;
            }
            if first.starts_with('-') {
                calls.push(Call { place: place.clone(), program: program.to_owned(), words });
                continue;
            }
            let name = first.rsplit('/').next().unwrap_or_default().to_owned();
            words.remove(0);
            calls.push(Call { place: place.clone(), program: name, words });
        }
    }
    Ok(calls)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The commands of a line, each in words.
fn split(place: &Place, text: &str, variables: &HashMap<String, String>) -> Result<Vec<Vec<String>>, Wrong> {
    let mut commands = vec![Vec::new()];
    let mut chars = text.chars().peekable();
    let mut word: Option<String> = None;
    let mut quote = None;
    let end = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>| {
        if let (Some(word), Some(last)) = (word.take(), commands.last_mut()) {
            last.push(word);
        }
    };
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, '$') => {
                let value = variable(place, &mut chars, variables)?;
                word.get_or_insert_default().push_str(&value);
            }
            (_, '`') => {
                return Err(place.wrong("commands within commands are not run; write what they print"));
            }
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '#') if word.is_none() => break,
            (None, ';' | '&' | '|' | '\n') => {
                end(&mut word, &mut commands);
                commands.push(Vec::new());
            }
            (None, '<' | '>') => {
                // Where output goes is nobody's business here.
                end(&mut word, &mut commands);
                while chars.next_if(|c| c.is_whitespace() || matches!(c, '>' | '&')).is_some() {}
                while chars.next_if(|c| !c.is_whitespace() && *c != ';').is_some() {}
            }
            (None, c) if c.is_whitespace() => end(&mut word, &mut commands),
            (None, c) => word.get_or_insert_default().push(c),
        }
        if word.as_ref().is_some_and(|word| word.len() > MAX_LENGTH) {
            return Err(place.wrong("variables make this line too long"));
        }
    }
    if let Some(mark) = quote {
        return Err(place.wrong(format!("missing closing quotation mark {mark}")));
    }
    end(&mut word, &mut commands);
    Ok(commands)
}

/// The value of the variable whose name follows.
fn variable(
    place: &Place,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    variables: &HashMap<String, String>,
) -> Result<String, Wrong> {
    if chars.peek() == Some(&'(') {
        return Err(place.wrong("commands within commands are not run; write what they print"));
    }
    let braced = chars.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    if braced && chars.next() != Some('}') {
        return Err(place.wrong(format!("${{{name}...}} is not read; write its value")));
    }
    variables.get(&name).cloned().ok_or_else(|| place.wrong(format!("${name} is set nowhere in this file")))
}
