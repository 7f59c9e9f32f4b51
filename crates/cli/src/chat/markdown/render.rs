//! Blocks of Markdown as styled lines.

use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::chat::wrap::Wrap;
use crate::output::{BOLD, DIM};
use crate::sanitize::{clean, clean_lines};

pub(super) const OPTIONS: Options = Options::ENABLE_TABLES.union(INLINE).union(Options::ENABLE_TASKLISTS);
const INLINE: Options = Options::ENABLE_STRIKETHROUGH;
const CODE: Style = AnsiColor::Cyan.on_default();
const BAR: &str = "│ ";
/// Keeps the first word of a part of a paragraph from beginning a block.
const GUARD: &str = "x ";

/// Shows a part of a paragraph.
pub(super) fn inline(text: &str, wrap: &mut Wrap, out: &mut String) {
    let text = format!("{GUARD}{text}");
    let mut renderer = Renderer::new(wrap, out);
    let mut guard = Some(GUARD);
    for event in Parser::new_ext(&text, INLINE) {
        match event {
            Event::Text(words) if guard.is_some() => {
                let guard = guard.take().unwrap_or_default();
                renderer.event(Event::Text(words.strip_prefix(guard).unwrap_or(&words).to_owned().into()));
            }
            // The parts of a paragraph are on one line.
            Event::Start(Tag::Paragraph | Tag::Heading { .. }) | Event::End(TagEnd::Paragraph | TagEnd::Heading(_)) => {
            }
            event => renderer.event(event),
        }
    }
}

/// Whether nothing after a part of a paragraph, which ends between words, changes how it is shown:
/// all marks in it have their other half.
pub(super) fn is_settled(text: &str) -> bool {
    let text = format!("{GUARD}{text}");
    // What is left as text: marks that have no other half are there.
    let mut left = String::new();
    for event in Parser::new_ext(&text, INLINE) {
        match event {
            Event::Text(words) => left.push_str(&words),
            Event::SoftBreak | Event::HardBreak => left.push(' '),
            Event::Code(_) | Event::End(_) => left.push('x'),
            _ => {}
        }
    }
    !left.char_indices().any(|(at, c)| is_open_mark(&left, at, c))
}

/// Whether a character of a text may begin something that ends later.
fn is_open_mark(text: &str, at: usize, c: char) -> bool {
    let before = text[..at].chars().next_back();
    let after = &text[at + c.len_utf8()..];
    let begins_word = after.chars().next().is_some_and(|next| !next.is_whitespace());
    match c {
        '`' => true,
        '*' => begins_word,
        '_' => begins_word && !before.is_some_and(char::is_alphanumeric),
        '~' => after.starts_with('~'),
        '<' => after.starts_with(|next: char| next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?')),
        '[' => after.split_once(']').is_none_or(|(_, after)| after.starts_with(['(', '['])),
        '\\' => after.is_empty(),
        _ => false,
    }
}

/// Shows a block, or an item of a list.
pub(super) fn piece(text: &str, wrap: &mut Wrap, out: &mut String) {
    let mut renderer = Renderer::new(wrap, out);
    for event in Parser::new_ext(text, OPTIONS) {
        renderer.event(event);
    }
    renderer.wrap.end_line(renderer.out);
}

pub(super) fn code_line(line: &str) -> String {
    let line = clean(&line.replace('\t', "    ")).into_owned();
    if line.is_empty() { line } else { format!("  {CODE}{line}{CODE:#}") }
}

struct Renderer<'a> {
    wrap: &'a mut Wrap,
    out: &'a mut String,
    styles: Vec<Style>,
    /// The number of the next item of each list; `None` if it has none.
    lists: Vec<Option<u64>>,
    /// What takes back the indents of the items and quotes that are open.
    indents: Vec<(String, usize)>,
    /// The address and the text so far of the links that are open.
    links: Vec<(String, String)>,
    is_code: bool,
    table: Option<(Table, Vec<String>)>,
    /// Whether a blank line comes before the next paragraph of an item or a quote.
    needs_gap: bool,
}

impl<'a> Renderer<'a> {
    fn new(wrap: &'a mut Wrap, out: &'a mut String) -> Self {
        Self {
            wrap,
            out,
            styles: Vec::new(),
            lists: Vec::new(),
            indents: Vec::new(),
            links: Vec::new(),
            is_code: false,
            table: None,
            needs_gap: false,
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.is_code => {
                for line in text.lines() {
                    let line = code_line(line);
                    self.wrap.line(&line, self.out);
                }
            }
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text, Style::new()),
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text, CODE),
            Event::FootnoteReference(name) => self.text(&format!("[{name}]"), DIM),
            Event::SoftBreak => self.text(" ", Style::new()),
            Event::HardBreak => self.wrap.break_line(self.out),
            Event::Rule => {
                let rule = format!("{DIM}{}{DIM:#}", "─".repeat(self.wrap.room()));
                self.wrap.line(&rule, self.out);
            }
            Event::TaskListMarker(is_done) => self.text(if is_done { "[x] " } else { "[ ] " }, Style::new()),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.gap(),
            Tag::Heading { .. } => {
                self.gap();
                self.styles.push(BOLD);
            }
            Tag::BlockQuote(_) => {
                let bar = format!("{DIM}{BAR}{DIM:#}");
                self.indents.push(self.wrap.indent(&bar, &bar, 2));
            }
            Tag::CodeBlock(_) => {
                self.wrap.end_line(self.out);
                self.is_code = true;
            }
            Tag::List(first) => {
                self.wrap.end_line(self.out);
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Emphasis => self.styles.push(Style::new().italic()),
            Tag::Strong => self.styles.push(BOLD),
            Tag::Strikethrough => self.styles.push(Style::new().strikethrough()),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push((dest_url.into_string(), String::new()));
            }
            Tag::Table(_) => {
                let mut table = Table::new();
                table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(u16::try_from(self.wrap.room()).unwrap_or(u16::MAX));
                self.table = Some((table, Vec::new()));
            }
            Tag::TableCell => {
                if let Some((_, row)) = &mut self.table {
                    row.push(String::new());
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => {
                self.wrap.end_line(self.out);
                self.needs_gap = true;
            }
            TagEnd::Heading(_) => {
                self.styles.pop();
                self.wrap.end_line(self.out);
            }
            TagEnd::BlockQuote(_) | TagEnd::Item => {
                self.wrap.end_line(self.out);
                if let Some(before) = self.indents.pop() {
                    self.wrap.outdent(before);
                }
                self.needs_gap = false;
            }
            TagEnd::CodeBlock => self.is_code = false,
            TagEnd::List(_) => drop(self.lists.pop()),
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => drop(self.styles.pop()),
            TagEnd::Link | TagEnd::Image => {
                if let Some((address, _)) = self.links.pop().filter(|(address, text)| address != text) {
                    self.text(&format!(" ({address})"), DIM);
                }
            }
            TagEnd::TableHead => {
                if let Some((table, row)) = &mut self.table {
                    table.set_header(std::mem::take(row));
                }
            }
            TagEnd::TableRow => {
                if let Some((table, row)) = &mut self.table {
                    table.add_row(std::mem::take(row));
                }
            }
            TagEnd::Table => {
                for line in self.table.take().iter().flat_map(|(table, _)| table.lines()) {
                    self.wrap.line(&line, self.out);
                }
            }
            TagEnd::HtmlBlock => self.wrap.end_line(self.out),
            _ => {}
        }
    }

    fn item(&mut self) {
        self.wrap.end_line(self.out);
        let marker = match self.lists.last_mut() {
            Some(Some(number)) => {
                let marker = format!("{number}. ");
                *number += 1;
                marker
            }
            _ => "• ".to_owned(),
        };
        let width = marker.chars().count();
        self.indents.push(self.wrap.indent(&marker, &" ".repeat(width), width));
        self.needs_gap = false;
    }

    /// A blank line between the paragraphs of an item or a quote.
    fn gap(&mut self) {
        if std::mem::take(&mut self.needs_gap) {
            self.wrap.line("", self.out);
        }
    }

    /// Text in the styles that are open. Entities may have become any character.
    fn text(&mut self, text: &str, style: Style) {
        let text = clean_lines(text);
        if let Some((_, so_far)) = self.links.last_mut() {
            so_far.push_str(&text);
        }
        if let Some(cell) = self.table.as_mut().and_then(|(_, row)| row.last_mut()) {
            cell.push_str(&text);
            return;
        }
        let style =
            self.styles.iter().fold(style, |style, more| style.effects(style.get_effects() | more.get_effects()));
        self.wrap.text(&text, style, self.out);
    }
}
