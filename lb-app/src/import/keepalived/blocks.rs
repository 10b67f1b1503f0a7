//! The form of a keepalived.conf: lines of words, with blocks in braces; comments, quotation marks, includes and
//! definitions. What the words mean is not known here.

use super::super::{
    draft::{Place, Wrong},
    files::Files,
};
use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    str::FromStr,
};

/// How deep files include files, and blocks are in blocks.
const MAX_DEPTH: usize = 16;
/// Most lines that a file may expand to by its definitions, so that a few lines cannot fill the memory.
const MAX_LENGTH: usize = 1 << 20;

/// A line, with what stands in braces behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct Node {
    pub(in crate::import) place: Place,
    /// Never empty.
    pub(in crate::import) words: Vec<String>,
    /// The block, if there is one.
    pub(in crate::import) block: Option<Vec<Node>>,
}

impl Node {
    /// The first word.
    pub(in crate::import) fn key(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The words behind it.
    pub(in crate::import) fn values(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The word behind it, which must be there.
    pub(in crate::import) fn value(&self) -> Result<&str, Wrong> {
        let value = self.words.get(1).map(String::as_str);
        value.ok_or_else(|| self.place.wrong(format!("{} needs a value", self.key())))
    }

    /// The word behind it, as a number or whatever it is.
    pub(in crate::import) fn parsed<T: FromStr>(&self, what: &str) -> Result<T, Wrong> {
        let value = self.value()?;
        value.parse().map_err(|_| self.place.wrong(format!("{}: {value:?} is no {what}", self.key())))
    }

    /// What stands in braces behind it, which must be there.
    pub(in crate::import) fn block(&self) -> Result<&[Node], Wrong> {
        let block = self.block.as_deref();
        block.ok_or_else(|| self.place.wrong(format!("{} needs a block in braces", self.key())))
    }

    /// The first line of the block with that key.
    pub(in crate::import) fn child(&self, key: &str) -> Option<&Node> {
        self.block.iter().flatten().find(|node| node.key() == key)
    }
}

/// What was not read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::import) enum Unread {
    /// A line that says for which host it is.
    OfHost(String),
    /// A word and a pattern of files, of which there are none.
    NoFile(String),
}

/// What was not read, and where.
pub(in crate::import) type Left = (Place, Unread);

/// Lines of one host, which open as many blocks as they close.
#[derive(Debug)]
struct OfHost {
    /// The first that opens one.
    place: Place,
    open: i64,
}

/// A word, or a brace.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    /// The end of a line.
    End,
}

/// Reads a file and all that it includes.
pub(in crate::import) fn read(files: &dyn Files, path: &str) -> Result<(Vec<Node>, Vec<Left>), Wrong> {
    let mut reader = Reader {
        files,
        definitions: HashMap::new(),
        tokens: Vec::new(),
        unread: Vec::new(),
        hosts: BTreeMap::new(),
    };
    let nowhere = Place { file: path.into(), line: 1 };
    reader.file(path, &nowhere, 0)?;
    if let Some((host, lines)) = reader.hosts.iter().find(|(_, lines)| lines.open != 0) {
        return Err(lines.place.wrong(format!(
            "the lines for one host (@{host}) do not close the blocks that they open, so they cannot be left out; write \
             the file as that host reads it"
        )));
    }
    let mut tokens = reader.tokens.into_iter().peekable();
    let mut nodes = Vec::new();
    block(&mut tokens, &mut nodes, None)?;
    Ok((nodes, reader.unread))
}

struct Reader<'f> {
    files: &'f dyn Files,
    definitions: HashMap<String, String>,
    tokens: Vec<(Place, Token)>,
    unread: Vec<Left>,
    hosts: BTreeMap<String, OfHost>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, from: &Place, depth: usize) -> Result<(), Wrong> {
        if depth > MAX_DEPTH {
            return Err(from.wrong(format!("{path} is included {depth} deep; use at most {MAX_DEPTH}")));
        }
        let text =
            self.files.read(path).map_err(|error| from.wrong(format!("{path} cannot be read: {error}")))?;
        let file: Rc<str> = path.into();
        let mut lines = (1..).zip(text.lines());
        while let Some((line, text)) = lines.next() {
            let place = Place { file: file.clone(), line };
            if let Some((name, value)) = definition(text) {
                let mut value = value.to_owned();
                // Each line but the last says that another follows.
                while let Some(begun) = value.trim_end().strip_suffix('\\') {
                    let Some((_, next)) = lines.next() else {
                        return Err(place.wrong(format!("the definition of ${name} does not end")));
                    };
                    value = format!("{}\n{next}", begun.trim_end());
                    if value.len() > MAX_LENGTH {
                        return Err(place.wrong(format!("the definition of ${name} is too long")));
                    }
                }
                let value = self.substitute(&place, value.trim())?;
                self.definitions.insert(name.to_owned(), value);
                continue;
            }
            self.line(&place, text, depth)?;
            if self.tokens.len() > MAX_LENGTH {
                return Err(place.wrong("the configuration is too large with all that it includes"));
            }
        }
        Ok(())
    }

    fn line(&mut self, place: &Place, text: &str, depth: usize) -> Result<(), Wrong> {
        let bare = text.trim_start();
        if let Some(condition) = bare.strip_prefix('@') {
            let (host, rest) = condition.split_once(char::is_whitespace).unwrap_or((condition, ""));
            let mut tokens = Vec::new();
            words(place, rest, &mut tokens)?;
            let count = |token| tokens.iter().filter(|(_, other)| *other == token).count() as i64;
            let opened = count(Token::Open) - count(Token::Close);
            if opened != 0 {
                let of_host = || OfHost { place: place.clone(), open: 0 };
                self.hosts.entry(host.to_owned()).or_insert_with(of_host).open += opened;
            }
            self.unread.push((place.clone(), Unread::OfHost(bare.trim_end().to_owned())));
            return Ok(());
        }
        if bare.starts_with('~') {
            return Err(place.wrong("~SEQ and ~LST are not read; write the lines that they stand for"));
        }
        let text = self.substitute(place, text)?;
        let start = self.tokens.len();
        // A definition may stand for several lines.
        text.lines().try_for_each(|line| words(place, line, &mut self.tokens))?;
        let included = match &self.tokens[start..] {
            [(_, Token::Word(word)), (_, Token::Word(path)), (_, Token::End)] if is_include(word) => {
                Some((word.clone(), path.clone()))
            }
            _ => None,
        };
        let Some((word, pattern)) = included else { return Ok(()) };
        self.tokens.truncate(start);
        let found = self.files.expand(&place.file, &pattern);
        let found = found.map_err(|error| place.wrong(format!("{pattern} cannot be read: {error}")))?;
        // keepalived includes what is there; the stricter words insist.
        if found.is_empty() {
            if word != "include" && word != "includea" {
                return Err(place.wrong(format!("{word}: there is no {pattern}")));
            }
            self.unread.push((place.clone(), Unread::NoFile(format!("{word} {pattern}"))));
        }
        found.iter().try_for_each(|path| self.file(path, place, depth + 1))
    }

    /// Puts definitions where they are used. What is not defined stays, as in keepalived.
    fn substitute(&self, place: &Place, text: &str) -> Result<String, Wrong> {
        if !text.contains('$') || self.definitions.is_empty() {
            return Ok(text.to_owned());
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            out.push_str(before);
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, after) = match behind.strip_prefix('{').and_then(|behind| behind.split_once('}')) {
                Some((name, after)) => (name, after),
                None => behind.split_at(behind.find(|c| !is_name(c)).unwrap_or(behind.len())),
            };
            match self.definitions.get(name) {
                Some(value) => {
                    out.push_str(value);
                    rest = after;
                }
                None => {
                    out.push('$');
                    rest = behind;
                }
            }
            if out.len() > MAX_LENGTH {
                return Err(place.wrong("definitions make this line too long"));
            }
        }
        Ok(out + rest)
    }
}

/// The name and the value of a definition, if the line is one.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim_start().strip_prefix('$')?.split_once('=')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((name, value))
}

fn is_include(word: &str) -> bool {
    matches!(word, "include" | "includea" | "includer" | "includem" | "includew" | "includeb")
}

/// Splits a line.
fn words(place: &Place, text: &str, tokens: &mut Vec<(Place, Token)>) -> Result<(), Wrong> {
    let mut push = |token| tokens.push((place.clone(), token));
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' | '!' => break,
            '{' => push(Token::Open),
            '}' => push(Token::Close),
            c if c.is_whitespace() => {}
            '"' | '\'' => {
                let mut word = String::new();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' && matches!(chars.peek(), Some('"' | '\\')) => {
                            word.extend(chars.next());
                        }
                        Some(other) => word.push(other),
                        None => return Err(place.wrong(format!("missing closing quotation mark {c}"))),
                    }
                }
                push(Token::Word(word));
            }
            c => {
                let mut word = String::from(c);
                while let Some(next) = chars.next_if(|c| !c.is_whitespace() && !matches!(c, '{' | '}')) {
                    word.push(next);
                }
                push(Token::Word(word));
            }
        }
    }
    push(Token::End);
    Ok(())
}

/// Reads lines up to the end of a block that was opened there, or of everything.
fn block(
    tokens: &mut std::iter::Peekable<impl Iterator<Item = (Place, Token)>>,
    nodes: &mut Vec<Node>,
    opened: Option<(&Place, usize)>,
) -> Result<(), Wrong> {
    let depth = opened.map_or(0, |(_, depth)| depth);
    let mut words: Vec<String> = Vec::new();
    let mut at: Option<Place> = None;
    let finish = |words: &mut Vec<String>, at: &mut Option<Place>, nodes: &mut Vec<Node>| {
        if let Some(place) = at.take() {
            nodes.push(Node { place, words: std::mem::take(words), block: None });
        }
    };
    while let Some((place, token)) = tokens.next() {
        match token {
            Token::Word(word) => {
                at.get_or_insert(place);
                words.push(word);
            }
            Token::End => finish(&mut words, &mut at, nodes),
            Token::Open => {
                finish(&mut words, &mut at, nodes);
                if depth >= MAX_DEPTH {
                    return Err(place.wrong("blocks are nested too deeply"));
                }
                let owner = nodes.last_mut().filter(|node| node.block.is_none());
                let owner = owner.ok_or_else(|| place.wrong("a block has no name in front of it"))?;
                let mut inner = Vec::new();
                block(tokens, &mut inner, Some((&place, depth + 1)))?;
                owner.block = Some(inner);
            }
            Token::Close => {
                finish(&mut words, &mut at, nodes);
                return if opened.is_some() {
                    Ok(())
                } else {
                    Err(place.wrong("a block is closed that was not opened"))
                };
            }
        }
    }
    match opened {
        Some((place, _)) => Err(place.wrong("this block is not closed")),
        None => {
            finish(&mut words, &mut at, nodes);
            Ok(())
        }
    }
}
