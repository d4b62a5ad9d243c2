//! A page of titled sections with aligned labels. Knows nothing about files.
//!
//! ```text
//! title
//! subtitle
//!
//! Section
//!   Label        value  (exact value)
//!                wrapped
//! ```
//!
//! A field without value and a section without fields do not appear. With colour, only weight and hue are
//! added: the text is the same, so a page can be compared and grepped either way.

use super::Style;
use super::human::{char_columns, columns, visible};

/// Labels are padded to this at least, so that sections line up.
const LABEL_COLUMNS: usize = 12;

/// A longer label gets its value on the same line, unaligned.
const MAX_LABEL_COLUMNS: usize = 30;

/// Values are never squeezed below this, however narrow the terminal.
const MIN_VALUE_COLUMNS: usize = 24;

const BOLD: &str = "\x1b[1m";
const HEADING: &str = "\x1b[1;36m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// The page of one thing.
pub struct Page {
    /// The first line.
    pub title: String,
    /// The line below.
    pub subtitle: String,
    /// In order.
    pub sections: Vec<Section>,
}

/// A heading with fields.
pub struct Section {
    title: &'static str,
    fields: Vec<Field>,
}

struct Field {
    label: String,
    value: String,
    exact: String,
}

impl Section {
    /// A section without fields, which would not appear.
    pub fn new(title: &'static str) -> Self {
        Section { title, fields: Vec::new() }
    }

    /// Adds a field unless its value is empty. Line breaks in the value are kept.
    pub fn add(&mut self, label: impl Into<String>, value: impl Into<String>) {
        self.add_with(label, value, "");
    }

    /// As [`Section::add`], with the exact form of the value behind it in parentheses.
    pub fn add_with(&mut self, label: impl Into<String>, value: impl Into<String>, exact: impl Into<String>) {
        let (value, exact) = (value.into(), exact.into());
        if !value.trim().is_empty() {
            self.fields.push(Field { label: visible(&label.into()), value, exact: visible(&exact) });
        }
    }
}

impl Page {
    /// The page as text, each line ended.
    pub fn render(&self, style: &Style) -> String {
        let mut text = String::new();
        line(&mut text, style, &[(BOLD, &visible(&self.title))]);
        line(&mut text, style, &[(DIM, &visible(&self.subtitle))]);
        for section in self.sections.iter().filter(|section| !section.fields.is_empty()) {
            text.push('\n');
            line(&mut text, style, &[(HEADING, section.title)]);
            let widths = section.fields.iter().map(|field| columns(&field.label));
            let label_columns =
                widths.filter(|width| *width <= MAX_LABEL_COLUMNS).max().unwrap_or(0).max(LABEL_COLUMNS);
            for field in &section.fields {
                field.render(&mut text, style, label_columns);
            }
        }
        text
    }
}

impl Field {
    fn render(&self, text: &mut String, style: &Style, label_columns: usize) {
        let indent = label_columns + 4;
        let room = match style.width {
            0 => usize::MAX,
            width => width.saturating_sub(indent).max(MIN_VALUE_COLUMNS),
        };
        let mut lines: Vec<String> = self.value.lines().flat_map(|line| wrap(&visible(line), room)).collect();
        let exact = if self.exact.is_empty() { String::new() } else { format!("({})", self.exact) };
        let last = lines.last().map_or(0, |line| columns(line));
        let fits = last.saturating_add(2).saturating_add(columns(&exact)) <= room;
        if !exact.is_empty() && !fits {
            lines.push(String::new());
        }
        let count = lines.len();
        for (at, value) in lines.iter().enumerate() {
            let label = if at == 0 { self.label.as_str() } else { "" };
            let pad = " ".repeat(label_columns.saturating_sub(columns(label)) + 2);
            let gap = if value.is_empty() { "" } else { "  " };
            let exact = if at + 1 == count { exact.as_str() } else { "" };
            let gap = if exact.is_empty() { "" } else { gap };
            line(text, style, &[("", "  "), (DIM, label), ("", &pad), ("", value), ("", gap), (DIM, exact)]);
        }
    }
}

/// One line of pieces, each with its look, without blanks at the end.
fn line(text: &mut String, style: &Style, pieces: &[(&str, &str)]) {
    for (look, piece) in pieces.iter().filter(|(_, piece)| !piece.is_empty()) {
        if style.color && !look.is_empty() {
            text.push_str(&format!("{look}{piece}{PLAIN}"));
        } else {
            text.push_str(piece);
        }
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

/// Lines of at most `room` columns, broken at blanks where possible.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        if used > 0 && used + columns(word.trim_end()) > room {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            if used + char_columns(c) > room && c != ' ' {
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used += char_columns(c);
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wrap_and_long_words_break() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("\u{4e2d}\u{6587}\u{5b57}", 4), ["\u{4e2d}\u{6587}", "\u{5b57}"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("one two", usize::MAX), ["one two"]);
    }

    #[test]
    fn colour_changes_no_text() {
        let mut section = Section::new("Section");
        section.add_with("Label", "value", "exact");
        section.add("Empty", "");
        let page = Page {
            title: "a\nb".into(),
            subtitle: "sub".into(),
            sections: vec![Section::new("Nothing"), section],
        };
        let render = |color| page.render(&Style { color, ..Style::default() });
        let plain = render(false);
        assert_eq!(plain, "a\\nb\nsub\n\nSection\n  Label         value  (exact)\n");
        let colored = render(true);
        assert_ne!(plain, colored);
        let without = [BOLD, HEADING, DIM, PLAIN].iter().fold(colored, |text, code| text.replace(code, ""));
        assert_eq!(plain, without);
    }

    #[test]
    fn a_narrow_terminal_gets_narrow_lines() {
        let mut section = Section::new("Section");
        section.add_with("Label", "word ".repeat(20), "2020-08-19T17:11:11.000Z");
        let page = Page { title: "t".into(), subtitle: "s".into(), sections: vec![section] };
        let text = page.render(&Style { width: 50, ..Style::default() });
        assert!(text.lines().all(|line| columns(line) <= 50), "{text}");
        assert!(text.ends_with("\n                (2020-08-19T17:11:11.000Z)\n"), "{text}");
    }
}
