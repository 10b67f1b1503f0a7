//! Reads which files of a crate import from which others.
//!
//! A file imports from another if it names something that is defined there: by `use`, or by a path through a module.
//! What a module only re-exports is looked for where it is defined. Naming a module alone imports nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The imports of one crate: from file to file, each with a name that the first takes from the second.
pub(crate) type Imports = BTreeMap<(String, String), String>;

/// A path of modules from the crate's root.
type Module = Vec<String>;

/// The files of one crate.
pub(crate) struct Sources {
    files: BTreeMap<Module, File>,
}

struct File {
    /// From the crate's `src`.
    name: String,
    tokens: Vec<String>,
    /// The words that are in no `use` and declare no module.
    body: BTreeSet<String>,
    /// Names that are re-exported, each with the path to what it is.
    reexports: BTreeMap<String, Module>,
}

impl Sources {
    /// Reads all files below a `src`, its programs in `bin` left out. Without `tests`, what is compiled for tests alone is
    /// left out as well.
    pub(crate) fn read(src: &Path, tests: bool) -> Self {
        let mut files = BTreeMap::new();
        let mut left_out = BTreeSet::new();
        for path in rust_files(src) {
            let inside = path.strip_prefix(src).expect("a file below src");
            let module = module_of(inside);
            if module.first().is_some_and(|first| first == "bin") {
                continue;
            }
            let mut tokens = tokens(&fs::read_to_string(&path).expect("a source file"));
            if !tests {
                let modules = remove_tests(&mut tokens);
                left_out.extend(modules.into_iter().map(|name| child(&module, &name)));
            }
            let name = inside.display().to_string();
            let body = body(&tokens);
            files.insert(module, File { name, tokens, body, reexports: BTreeMap::new() });
        }
        files.retain(|module, _| !left_out.iter().any(|test| module.starts_with(test)));
        let mut sources = Sources { files };
        sources.find_reexports();
        sources
    }

    /// The names of all files, each with its module.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.files.iter().map(|(module, file)| (file.name.as_str(), module.as_slice()))
    }

    /// The module that a file is.
    pub(crate) fn module(&self, file: &str) -> Option<&[String]> {
        self.files().find(|(name, _)| *name == file).map(|(_, module)| module)
    }

    /// Who imports from whom.
    pub(crate) fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (module, file) in &self.files {
            for (target, name) in self.named_by(module, file) {
                let target = &self.files[&target].name;
                if *target != file.name {
                    imports.entry((file.name.clone(), target.clone())).or_insert(name);
                }
            }
        }
        imports
    }

    fn find_reexports(&mut self) {
        let mut found = Vec::new();
        for (module, file) in &self.files {
            for used in paths(&file.tokens, module).into_iter().filter(|path| path.is_public) {
                let modules = self.modules_in_scope(module, &[]);
                let name = used.name();
                found.push((module.clone(), name, self.absolute(&used, &modules)));
            }
        }
        for (module, name, path) in found {
            if let (Some(path), Some(file)) = (path, self.files.get_mut(&module)) {
                file.reexports.insert(name, path);
            }
        }
    }

    /// The modules in which something stands that a file names, with its name.
    fn named_by(&self, module: &Module, file: &File) -> Vec<(Module, String)> {
        let paths = paths(&file.tokens, module);
        let modules = self.modules_in_scope(module, &paths);
        let mut named = Vec::new();
        for path in &paths {
            let is_used = || file.body.contains(&path.name());
            if path.is_public && !is_used() {
                continue;
            }
            if let Some((target, name)) =
                self.absolute(path, &modules).and_then(|absolute| self.definition(&absolute, 0))
            {
                named.push((target, name));
            }
        }
        named
    }

    /// What a file calls modules: those that it declares, and those that it imports.
    fn modules_in_scope(&self, module: &Module, paths: &[Named]) -> BTreeMap<String, Module> {
        let children =
            self.files.keys().filter(|other| other.len() == module.len() + 1 && other.starts_with(module));
        let mut scope: BTreeMap<String, Module> =
            children.map(|other| (other[module.len()].clone(), other.clone())).collect();
        for path in paths.iter().filter(|path| path.is_use) {
            if let Some(absolute) = self.absolute(path, &scope)
                && self.files.contains_key(&absolute)
            {
                scope.insert(path.name(), absolute);
            }
        }
        scope
    }

    /// The path from the crate's root, if it is one of this crate's.
    fn absolute(&self, path: &Named, scope: &BTreeMap<String, Module>) -> Option<Module> {
        let mut at = path.within.clone();
        let mut segments = path.segments.iter().peekable();
        match segments.next()?.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
                while segments.next_if(|segment| *segment == "super").is_some() {
                    at.pop()?;
                }
            }
            first => at = scope.get(first)?.clone(),
        }
        at.extend(segments.filter(|segment| *segment != "self").cloned());
        Some(at)
    }

    /// Where what a path means is defined, and its name there; nothing if it is a module.
    fn definition(&self, path: &Module, depth: usize) -> Option<(Module, String)> {
        let length = (0..=path.len()).rev().find(|&length| self.files.contains_key(&path[..length]))?;
        let (module, rest) = path.split_at(length);
        let name = rest.first()?;
        match self.files[module].reexports.get(name) {
            // Deeper than any chain of re-exports: one that leads back to itself.
            Some(target) if depth < 8 => {
                let whole: Module = target.iter().chain(&rest[1..]).cloned().collect();
                self.definition(&whole, depth + 1)
            }
            _ => Some((module.to_vec(), name.clone())),
        }
    }
}

/// The circles among files, each with the imports that make it.
pub(crate) fn circles(imports: &Imports) -> Vec<String> {
    let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in imports.keys() {
        below.entry(from).or_default().insert(to);
    }
    let reach = |from: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            for &next in below.get(file).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = below.keys().map(|&file| (file, reach(file))).collect();
    let is_reached = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
    let mut circles: BTreeMap<BTreeSet<&str>, Vec<String>> = BTreeMap::new();
    for ((from, to), name) in imports {
        if is_reached(to, from) {
            let members =
                reached[from.as_str()].iter().copied().filter(|file| is_reached(file, from)).collect();
            circles.entry(members).or_default().push(format!("  {from} -> {to}: {name}"));
        }
    }
    circles.into_values().map(|lines| lines.join("\n")).collect()
}

/// All Rust files under a directory.
pub(crate) fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a source directory") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn module_of(inside: &Path) -> Module {
    let mut module: Module =
        inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod")
        || module.len() == 1 && matches!(&*module[0], "lib" | "main")
    {
        module.pop();
    }
    module
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// A path in a file's text.
struct Named {
    /// The module that it is written in, those inside the file included.
    within: Module,
    segments: Vec<String>,
    /// What `as` calls it.
    alias: Option<String>,
    is_use: bool,
    /// It is re-exported.
    is_public: bool,
}

impl Named {
    /// What it is called from then on.
    fn name(&self) -> String {
        let last = self.segments.iter().rev().find(|segment| *segment != "self");
        self.alias.as_ref().or(last).cloned().unwrap_or_default()
    }
}

/// All paths of several segments, groups of them taken apart.
fn paths(tokens: &[String], module: &Module) -> Vec<Named> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token == text);
    let mut found = Vec::new();
    let (mut within, mut depth, mut inside) = (module.clone(), 0, Vec::new());
    let (mut is_use, mut is_public) = (false, false);
    let mut at = 0;
    while at < tokens.len() {
        match &*tokens[at] {
            "mod" if is(at + 2, "{") => {
                within.push(tokens[at + 1].clone());
                inside.push(depth);
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inside.pop_if(|before| *before == depth).is_some() {
                    within.pop();
                }
            }
            "use" => {
                is_use = true;
                is_public = at > 0 && matches!(&*tokens[at - 1], "pub" | ")");
            }
            ";" => (is_use, is_public) = (false, false),
            word if is_word(word) && is(at + 1, "::") && !(at > 0 && is(at - 1, "::")) => {
                let mut whole = Vec::new();
                at = tree(tokens, at, &[], &mut whole);
                let named = whole.into_iter().map(|(segments, alias)| Named {
                    within: within.clone(),
                    segments,
                    alias,
                    is_use,
                    is_public: is_use && is_public,
                });
                found.extend(named);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads a path, or a group of them, that stands behind `before`. Returns the place behind it.
fn tree(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    found: &mut Vec<(Vec<String>, Option<String>)>,
) -> usize {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token == text);
    let mut segments = before.to_vec();
    loop {
        if is(at, "{") {
            at += 1;
            while at < tokens.len() && !is(at, "}") {
                at = tree(tokens, at, &segments, found);
                if is(at, ",") {
                    at += 1;
                }
            }
            return at + 1;
        }
        match tokens.get(at) {
            Some(word) if is_word(word) || word == "*" => segments.push(word.clone()),
            // A turbofish, or the end of the text.
            _ => break,
        }
        at += 1;
        if !is(at, "::") {
            break;
        }
        at += 1;
    }
    let mut alias = None;
    if is(at, "as") {
        alias = tokens.get(at + 1).cloned();
        at += 2;
    }
    found.push((segments, alias));
    at
}

/// Removes what is compiled for tests alone, and returns the modules among it that are files of their own.
fn remove_tests(tokens: &mut Vec<String>) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut modules = Vec::new();
    while let Some(from) = tokens.windows(MARK.len()).position(|window| window == MARK) {
        let mut to = from + MARK.len();
        let (mut depth, is_import) = (0, tokens[to..].iter().take(5).any(|token| token == "use"));
        while let Some(token) = tokens.get(to) {
            to += 1;
            match &**token {
                "{" | "[" => depth += 1,
                "}" if depth == 1 && !is_import => break,
                "}" | "]" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
        let removed: Vec<String> = tokens.drain(from..to).collect();
        let declared = removed.windows(3).filter(|window| window[0] == "mod" && window[2] == ";");
        modules.extend(declared.map(|window| window[1].clone()));
    }
    modules
}

fn body(tokens: &[String]) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut rest = tokens.iter();
    while let Some(token) = rest.next() {
        match &**token {
            "use" => drop(rest.find(|token| *token == ";")),
            "mod" => drop(rest.next()),
            word if is_word(word) => drop(words.insert(word.to_owned())),
            _ => {}
        }
    }
    words
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The words and signs of a text; comments and literals are left out.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match c {
            '/' if next == '/' => at += chars[at..].iter().take_while(|c| **c != '\n').count(),
            '"' => at = behind_string(&chars, at + 1),
            'r' if next == '"' || next == '#' && is_raw_string(&chars[at + 1..]) => {
                at = behind_raw_string(&chars, at + 1);
            }
            '\'' => at = behind_quote(&chars, at),
            c if c.is_alphanumeric() || c == '_' => {
                let word: String =
                    chars[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                at += word.chars().count();
                found.push(word);
            }
            ':' if next == ':' => {
                found.push("::".to_owned());
                at += 2;
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                at += 1;
            }
        }
    }
    found
}

fn behind_string(chars: &[char], mut at: usize) -> usize {
    while let Some(c) = chars.get(at) {
        at += 1;
        match c {
            '"' => break,
            '\\' => at += 1,
            _ => {}
        }
    }
    at
}

fn is_raw_string(chars: &[char]) -> bool {
    chars.iter().find(|c| **c != '#').is_some_and(|c| *c == '"')
}

fn behind_raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let begin = at + hashes + 1;
    let length = chars[begin..].windows(end.len()).position(|window| window == end);
    length.map_or(chars.len(), |length| begin + length + end.len())
}

/// Behind a character in quotes, or behind the quote of a lifetime.
fn behind_quote(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => at + 3 + chars[at + 3..].iter().take_while(|c| **c != '\'').count() + 1,
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}
