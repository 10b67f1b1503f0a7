//! Markdown becomes roff: as much of it as the reference of the configuration uses.
//!
//! Tables become lists of tagged paragraphs, one for each row, because a terminal has no room for four columns. Links to
//! other files name the file where packages put it.

use std::fmt::Write;

/// Where packages put the documentation that links lead to.
const DOCUMENTATION: &str = "/usr/share/doc/lb-app";

/// A page of Markdown as the body of a manual page: from its second heading on, what stands before that included, the
/// title not.
pub(super) fn from_markdown(markdown: &str) -> String {
    let mut page = Page::default();
    for line in markdown.lines() {
        page.line(line);
    }
    page.end_paragraph();
    page.text
}

/// Text without what would be a request or an escape of roff.
pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[derive(Default)]
struct Page {
    text: String,
    /// Lines that belong together.
    paragraph: Vec<String>,
    is_literal: bool,
    /// Names of columns, once a table has begun.
    columns: Option<Vec<String>>,
}

impl Page {
    fn line(&mut self, line: &str) {
        if line.trim_start().starts_with("```") {
            self.end_paragraph();
            self.is_literal = !self.is_literal;
            self.text += if self.is_literal { ".PP\n.RS 4\n.nf\n" } else { ".fi\n.RE\n" };
        } else if self.is_literal {
            self.text += &escaped(line);
            self.text.push('\n');
        } else if let Some(row) = line.strip_prefix('|') {
            self.end_paragraph();
            self.row(&cells(row));
        } else if let Some(heading) = line.strip_prefix("# ") {
            debug_assert!(self.text.is_empty(), "{heading:?} is a second title");
        } else if line.starts_with('#') {
            self.end_paragraph();
            let level = line.bytes().take_while(|byte| *byte == b'#').count();
            let heading = escaped(&line[level..].trim().replace('`', "")).replace('"', "\\(dq");
            let _ = match level {
                2 => writeln!(self.text, ".SH \"{heading}\""),
                _ => writeln!(self.text, ".SS \"{heading}\""),
            };
        } else if line.is_empty() || line.starts_with("<!--") {
            self.end_paragraph();
            self.columns = None;
        } else {
            if line.starts_with("* ") {
                self.end_paragraph();
            }
            self.paragraph.push(line.to_owned());
        }
    }

    fn end_paragraph(&mut self) {
        if self.paragraph.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.paragraph).join(" ");
        let (request, text) = match text.strip_prefix("* ") {
            Some(item) => (".IP \\(bu 2", item),
            None => (".PP", text.as_str()),
        };
        let _ = writeln!(self.text, "{request}\n{}", inline(text));
    }

    /// A row: what its first cell says of the others.
    fn row(&mut self, cells: &[String]) {
        let Some(columns) = &self.columns else {
            self.columns = Some(cells.to_vec());
            return;
        };
        if cells.iter().all(|cell| !cell.is_empty() && cell.bytes().all(|byte| byte == b'-')) {
            return;
        }
        let [first, rest @ ..] = cells else { return };
        let _ = writeln!(self.text, ".TP\n{}", inline(first));
        match rest {
            // A key: its values and default, then what it means.
            [values, default, meaning] if columns[2] == "default" => {
                let default = match default.as_str() {
                    "required" => "required".to_owned(),
                    default => format!("default: {}", inline(default)),
                };
                let _ = writeln!(self.text, "{}; {default}\n.br\n{}", inline(values), inline(meaning));
            }
            rest => {
                let rest: Vec<String> = rest.iter().map(|cell| inline(cell)).collect();
                let _ = writeln!(self.text, "{}", rest.join("\n.br\n"));
            }
        }
    }
}

fn cells(row: &str) -> Vec<String> {
    row.trim_end().trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Code in bold, links as text with the file that they lead to.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        match at % 2 {
            0 => out += &links(part),
            _ => out += &format!("\\fB{}\\fR", escaped(part).trim_start_matches("\\&")),
        }
    }
    match out.starts_with(['.', '\'']) {
        true => format!("\\&{out}"),
        false => out,
    }
}

/// Text between two pieces of code. Of a link whose text is code, only brackets and target are seen here, and left out.
fn links(text: &str) -> String {
    let mut out = String::new();
    // The end of a link whose text was code.
    let code = text.strip_prefix("](").and_then(|after| after.split_once(')'));
    let mut rest = code.map_or(text, |(_, after)| after);
    while let Some((before, after)) = rest.split_once('[') {
        out += &plain(before);
        rest = match after.split_once("](").and_then(|(name, rest)| Some((name, rest.split_once(')')?))) {
            Some((name, (target, rest))) if !name.contains('[') => {
                out += &plain(name);
                out += &place(name, target);
                rest
            }
            _ => {
                // The text of this one is code: `](target)` follows behind it.
                rest = after;
                continue;
            }
        };
    }
    out + &plain(rest)
}

/// Where a link leads, if its text does not say so.
fn place(name: &str, target: &str) -> String {
    let file = target.split('#').next().unwrap_or_default();
    match file.strip_prefix("../") {
        Some(file) if file == name => format!(" in {}", plain(DOCUMENTATION)),
        Some(file) => format!(" ({}/{})", plain(DOCUMENTATION), plain(file)),
        None if file.starts_with("http") => format!(" ({})", plain(file)),
        None => String::new(),
    }
}

fn plain(text: &str) -> String {
    escaped(text).trim_start_matches("\\&").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_tables_and_code_become_requests() {
        let page = from_markdown(
            "# Title\n\nOne [line](../docs/live.md#reload)\nof `text-1`.\n\n## `[a]`\n\n<!-- note -->\n\n\
             | key | type | default | meaning |\n|---|---|---|---|\n| `k` | 1 to 2 | `1` | A key. |\n| `r` | text | required | Another. |\n\n\
             | word | is |\n|---|---|\n| [`x`](x.md) | .short |\n\n```sh\n.run --now\n```\n",
        );
        let expected = ".PP\nOne line (/usr/share/doc/lb\\-app/docs/live.md) of \\fBtext\\-1\\fR.\n.SH \"[a]\"\n\
             .TP\n\\fBk\\fR\n1 to 2; default: \\fB1\\fR\n.br\nA key.\n.TP\n\\fBr\\fR\ntext; required\n.br\nAnother.\n\
             .TP\n\\fBx\\fR\n\\&.short\n.PP\n.RS 4\n.nf\n\\&.run \\-\\-now\n.fi\n.RE\n";
        assert_eq!(page, expected);
    }
}
