//! The form of a keepalived.conf: lines of words, with blocks in braces; comments, quotation marks, includes and
//! definitions. What the words mean is not known here.

use super::super::{
    draft::{Place, Wrong},
    files::Files,
};
use std::{collections::HashMap, rc::Rc, str::FromStr};

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

/// A line that says for which host it is: it is left out.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::import) struct Conditional(pub(in crate::import) Place, pub(in crate::import) String);

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
pub(in crate::import) fn read(files: &dyn Files, path: &str) -> Result<(Vec<Node>, Vec<Conditional>), Wrong> {
    let mut reader =
        Reader { files, definitions: HashMap::new(), tokens: Vec::new(), conditional: Vec::new() };
    let nowhere = Place { file: path.into(), line: 1 };
    reader.file(path, &nowhere, 0)?;
    let mut tokens = reader.tokens.into_iter().peekable();
    let mut nodes = Vec::new();
    block(&mut tokens, &mut nodes, None)?;
    Ok((nodes, reader.conditional))
}

struct Reader<'f> {
    files: &'f dyn Files,
    definitions: HashMap<String, String>,
    tokens: Vec<(Place, Token)>,
    conditional: Vec<Conditional>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, from: &Place, depth: usize) -> Result<(), Wrong> {
        if depth > MAX_DEPTH {
            return Err(from.wrong(format!("{path} is included {depth} deep; use at most {MAX_DEPTH}")));
        }
        let text =
            self.files.read(path).map_err(|error| from.wrong(format!("{path} cannot be read: {error}")))?;
        let file: Rc<str> = path.into();
        for (line, text) in (1..).zip(text.lines()) {
            let place = Place { file: file.clone(), line };
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
            if rest.contains(['{', '}']) {
                return Err(place.wrong(format!(
                    "a block for one host (@{host}) cannot be left out line by line; write the file as that host reads it"
                )));
            }
            self.conditional.push(Conditional(place.clone(), bare.trim_end().to_owned()));
            return Ok(());
        }
        if bare.starts_with('~') {
            return Err(place.wrong("~SEQ and ~LST are not read; write the lines that they stand for"));
        }
        if let Some((name, value)) = bare.strip_prefix('$').and_then(|rest| rest.split_once('='))
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            if value.trim_end().ends_with('\\') {
                return Err(
                    place.wrong("definitions of several lines are not read; write the lines themselves")
                );
            }
            let value = self.substitute(place, value.trim())?;
            self.definitions.insert(name.to_owned(), value);
            return Ok(());
        }
        let text = self.substitute(place, text)?;
        let start = self.tokens.len();
        words(place, &text, &mut self.tokens)?;
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
        if found.is_empty() && word != "include" && word != "includea" {
            return Err(place.wrong(format!("{word}: there is no {pattern}")));
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
