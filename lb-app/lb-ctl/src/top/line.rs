//! Lines of the screen: text in columns, and how it looks. What a look means stands in the text as well, so that nothing
//! is lost without colour.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// From so many columns on a screen is wide, and there is more in its tables.
pub(super) const WIDE: usize = 120;

/// How text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Look {
    #[default]
    Plain,
    /// A heading.
    Head,
    /// The line that was chosen.
    Chosen,
    Bold,
    Dim,
    /// It works.
    Good,
    /// Somebody should know.
    Warn,
    /// It does not work.
    Bad,
}

impl Look {
    /// The terminal's words for it, with or without colour.
    fn begin(self, colour: bool) -> &'static str {
        match (self, colour) {
            (Look::Plain, _) | (Look::Good, false) => "",
            (Look::Head, _) => "\x1b[7m",
            (Look::Chosen, _) => "\x1b[1;7m",
            (Look::Bold, _) | (Look::Warn, false) => "\x1b[1m",
            (Look::Dim, _) => "\x1b[2m",
            (Look::Good, true) => "\x1b[32m",
            (Look::Warn, true) => "\x1b[33m",
            (Look::Bad, true) => "\x1b[1;31m",
            // Beside the words, which are in capitals.
            (Look::Bad, false) => "\x1b[1;4m",
        }
    }
}

/// A line of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    parts: Vec<(String, Look)>,
    /// The whole line looks like this, whatever its parts do.
    whole: Option<Look>,
}

impl Line {
    pub(super) fn plain(text: impl AsRef<str>) -> Self {
        Line::default().then(text, Look::Plain)
    }

    /// A line that looks the same from one side of the screen to the other.
    pub(super) fn whole(text: impl AsRef<str>, look: Look) -> Self {
        Line { whole: Some(look), ..Line::plain(text) }
    }

    /// With more text behind it.
    pub(super) fn then(mut self, text: impl AsRef<str>, look: Look) -> Self {
        // What comes from elsewhere must not move the cursor.
        let text = text.as_ref().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        self.parts.push((text, look));
        self
    }

    /// The same line, chosen.
    pub(super) fn chosen(self) -> Self {
        Line { whole: Some(Look::Chosen), ..self }
    }

    /// As text alone.
    pub(super) fn text(&self) -> String {
        let text: String = self.parts.iter().map(|(text, _)| text.as_str()).collect();
        text.trim_end().to_owned()
    }

    /// As a terminal wants it, cut to its width.
    pub(super) fn painted(&self, columns: usize, colour: bool) -> String {
        let (mut painted, mut room) = (String::new(), columns);
        for (text, look) in &self.parts {
            let look = self.whole.unwrap_or(*look);
            let text = cut(text, room);
            room -= text.width();
            painted += &dressed(&text, look, colour);
        }
        if let Some(look) = self.whole {
            painted += &dressed(&" ".repeat(room), look, colour);
        }
        painted
    }
}

fn dressed(text: &str, look: Look, colour: bool) -> String {
    match look.begin(colour) {
        "" => text.to_owned(),
        begin => format!("{begin}{text}\x1b[0m"),
    }
}

/// As much of the text as fits, without a mark.
fn cut(text: &str, columns: usize) -> String {
    let mut width = 0;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width <= columns
    };
    text.chars().take_while(fits).collect()
}

/// The text in exactly so many columns, on the left; what is longer ends with `~`.
pub(super) fn left(text: &str, columns: usize) -> String {
    let width = text.width();
    if width <= columns {
        return format!("{text}{}", " ".repeat(columns - width));
    }
    let short = cut(text, columns.saturating_sub(1));
    let room = columns.saturating_sub(short.width());
    format!("{short}{}", "~".repeat(room))
}

/// The same on the right.
pub(super) fn right(text: &str, columns: usize) -> String {
    let width = text.width();
    if width <= columns { format!("{}{text}", " ".repeat(columns - width)) } else { left(text, columns) }
}

/// A bar of so many columns, brackets included: how much of the whole it is.
pub(super) fn bar(part: f64, columns: usize) -> String {
    let room = columns.saturating_sub(2);
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    // What there is of it shows.
    let full = ((part * room as f64).round() as usize).max(usize::from(part > 0.0)).min(room);
    format!("[{}{}]", "|".repeat(full), " ".repeat(room - full))
}

/// A table's heading: titles in their columns.
pub(super) fn headings(columns: &[(&str, isize)]) -> Line {
    Line::whole(cells(columns), Look::Head)
}

/// Texts in columns; negative ones are on the right.
pub(super) fn cells(columns: &[(&str, isize)]) -> String {
    let cell = |(text, width): &(&str, isize)| {
        let columns = width.unsigned_abs();
        if *width < 0 { right(text, columns) } else { left(text, columns) }
    };
    columns.iter().map(cell).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns() {
        assert_eq!(left("web", 5), "web  ");
        assert_eq!(left("services", 5), "serv~");
        assert_eq!(left("店店店", 5), "店店~");
        assert_eq!(right("10", 4), "  10");
        assert_eq!(left("web", 0), "");
        let line = Line::plain("ab").then("cd\x1b[2J", Look::Bad);
        assert_eq!(line.text(), "abcd?[2J");
        assert_eq!(line.painted(3, true), "ab\x1b[1;31mc\x1b[0m");
        assert_eq!(line.painted(3, false), "ab\x1b[1;4mc\x1b[0m");
        assert_eq!(Line::whole("ab", Look::Head).painted(4, false), "\x1b[7mab\x1b[0m\x1b[7m  \x1b[0m");
    }

    #[test]
    fn a_bar_shows_what_there_is() {
        assert_eq!(bar(0.0, 6), "[    ]");
        assert_eq!(bar(0.001, 6), "[|   ]");
        assert_eq!(bar(0.5, 6), "[||  ]");
        assert_eq!(bar(7.0, 6), "[||||]");
        assert_eq!(bar(f64::NAN, 6), "[    ]");
    }
}
