//! `Markdown`: a reply on a terminal, block by block as it arrives; paragraphs word by word.

mod render;

use clap::builder::styling::Style;
use pulldown_cmark::{Event, Parser, Tag};

use super::wrap::Wrap;
use crate::sanitize::clean_lines;
use render::{OPTIONS, code_line, inline, is_settled, piece};

/// A line or a part of a paragraph that is longer is shown before its end is known, in bytes: what is
/// pending is looked at again and again.
const LONGEST: usize = 4_096;

/// How many words at the end are tried without.
const TRIES: usize = 6;

/// Takes text as it arrives, and returns what can be shown.
pub(super) struct Markdown {
    wrap: Wrap,
    /// What is not shown yet.
    pending: String,
    block: Block,
    /// Whether a blank line comes before the next block.
    needs_gap: bool,
    has_shown: bool,
    /// How much of what is pending was looked at without finding a whole block.
    seen: usize,
}

#[derive(Clone, PartialEq, Eq)]
enum Block {
    /// The next line begins one.
    None,
    Paragraph,
    /// The fence that ends it.
    Code(String),
}

impl Markdown {
    pub(super) fn new(width: usize) -> Self {
        Self {
            wrap: Wrap::new(width),
            pending: String::new(),
            block: Block::None,
            needs_gap: false,
            has_shown: false,
            seen: 0,
        }
    }

    pub(super) fn push(&mut self, text: &str) -> String {
        self.pending.push_str(text);
        self.advance(false)
    }

    /// What is left, after the whole text or the part that arrived.
    pub(super) fn end(&mut self) -> String {
        let mut out = self.advance(true);
        self.wrap.end_line(&mut out);
        out
    }

    /// Whether text has arrived that is not shown, and the cursor is at the start of a line.
    pub(super) fn is_gathering(&self) -> bool {
        self.block != Block::Paragraph && !self.pending.trim().is_empty()
    }

    fn advance(&mut self, is_end: bool) -> String {
        let mut out = String::new();
        while !self.pending.is_empty() {
            let goes_on = match self.block.clone() {
                Block::None => self.begin(is_end, &mut out),
                Block::Paragraph => self.paragraph(is_end, &mut out),
                Block::Code(fence) => self.code(&fence, is_end, &mut out),
            };
            if !goes_on {
                break;
            }
        }
        out
    }

    /// Finds out what begins. Returns whether there is more to do now; so do the others.
    fn begin(&mut self, is_end: bool, out: &mut String) -> bool {
        let blank = self.pending.len() - self.pending.trim_start().len();
        if let Some(at) = self.pending[..blank].rfind('\n') {
            self.pending.drain(..=at);
            self.needs_gap = true;
        }
        let (line, is_line) = first_line(&self.pending, is_end);
        if line.trim().is_empty() {
            return false;
        }
        if !is_line && line.len() > LONGEST {
            self.block = Block::Paragraph;
            return true;
        }
        if let Some(fence) = fence(line).filter(|_| is_line) {
            self.gap(out);
            self.pending.drain(..line_end(&self.pending));
            self.block = Block::Code(fence);
            return true;
        }
        match begins_paragraph(line, is_line) {
            Some(true) => {
                self.gap(out);
                self.block = Block::Paragraph;
                true
            }
            Some(false) if is_line => self.gather(is_end, out),
            _ => false,
        }
    }

    fn gap(&mut self, out: &mut String) {
        if self.needs_gap && self.has_shown {
            self.wrap.break_line(out);
        }
        self.needs_gap = false;
        self.has_shown = true;
    }

    fn paragraph(&mut self, is_end: bool, out: &mut String) -> bool {
        let (end, is_over) = paragraph_end(&self.pending, is_end);
        if is_over {
            let body: String = self.pending.drain(..end).collect();
            inline(&body, &mut self.wrap, out);
            self.wrap.end_line(out);
            self.block = Block::None;
            if self.pending.starts_with('\n') {
                self.pending.remove(0);
            }
            return true;
        }
        let Some(cut) = settled(&self.pending[..end]) else {
            if end <= LONGEST {
                return false;
            }
            let words: String = self.pending.drain(..end).collect();
            self.wrap.text(&clean_lines(&words), Style::new(), out);
            return true;
        };
        let words: String = self.pending.drain(..cut).collect();
        inline(&words, &mut self.wrap, out);
        let spaces = self.pending.len() - self.pending.trim_start().len();
        let spaces: String = self.pending.drain(..spaces).collect();
        if spaces.contains("  \n") {
            self.wrap.break_line(out);
        } else {
            self.wrap.text(" ", Style::new(), out);
        }
        true
    }

    fn code(&mut self, fence: &str, is_end: bool, out: &mut String) -> bool {
        let (line, is_line) = first_line(&self.pending, is_end);
        if !is_line {
            return false;
        }
        let trimmed = line.trim();
        if trimmed.starts_with(fence) && trimmed.chars().all(|c| fence.starts_with(c)) {
            self.block = Block::None;
        } else {
            self.wrap.line(&code_line(line), out);
        }
        self.pending.drain(..line_end(&self.pending));
        true
    }

    /// Shows the blocks whose end is known. Of a list, each item is one.
    fn gather(&mut self, is_end: bool, out: &mut String) -> bool {
        let complete = if is_end { self.pending.len() } else { self.pending.rfind('\n').map_or(0, |at| at + 1) };
        if complete == std::mem::replace(&mut self.seen, complete) && !is_end {
            return false;
        }
        let pieces = pieces(&self.pending[..complete]);
        let Some(last) = pieces.last() else {
            // Nothing that would be shown, such as the address of a link: show it as it is.
            if !is_end && !self.pending.contains("\n\n") {
                return false;
            }
            let text: String = self.pending.drain(..line_end(&self.pending)).collect();
            self.gap(out);
            self.wrap.line(text.trim_end(), out);
            return true;
        };
        // The first line of a table reads as a paragraph, until the second is known.
        let may_be_table = self.pending.trim_start().starts_with('|') && self.pending[..complete].lines().count() < 2;
        let is_last_whole = is_end || last.is_line;
        if pieces.len() == 1 && may_be_table && !is_last_whole {
            return false;
        }
        if pieces.len() == 1 && last.is_paragraph && !is_last_whole {
            self.gap(out);
            self.block = Block::Paragraph;
            return true;
        }
        let whole = if is_last_whole { pieces.len() } else { pieces.len() - 1 };
        for (index, one) in pieces[..whole].iter().enumerate() {
            let end = pieces.get(index + 1).map_or(complete, |next| next.start);
            self.gap(out);
            let text = self.pending[one.start..end].to_owned();
            piece(&text, &mut self.wrap, out);
            self.needs_gap = text.trim_end_matches([' ', '\t']).ends_with("\n\n") || text.ends_with("\n \n");
        }
        let shown = if is_last_whole { complete } else { last.start };
        self.pending.drain(..shown);
        if whole > 0 {
            self.seen = 0;
        }
        whole > 0
    }
}

/// A block, or an item of a list.
struct Piece {
    start: usize,
    /// Whether it is whole when its line is: a heading or a rule.
    is_line: bool,
    is_paragraph: bool,
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut depth = 0;
    let mut is_in_list = false;
    for (event, range) in Parser::new_ext(text, OPTIONS).into_offset_iter() {
        let is_start = matches!(event, Event::Start(_));
        // An item begins with its marker, and a block with the spaces before it.
        let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        match (&event, depth) {
            (Event::Start(Tag::List(_)), 0) => is_in_list = true,
            (Event::Start(tag), 0) => pieces.push(Piece {
                start,
                is_line: matches!(tag, Tag::Heading { .. }),
                is_paragraph: matches!(tag, Tag::Paragraph),
            }),
            (Event::Start(Tag::Item), 1) if is_in_list => {
                pieces.push(Piece { start, is_line: false, is_paragraph: false });
            }
            (Event::Rule, 0) => pieces.push(Piece { start, is_line: true, is_paragraph: false }),
            _ => {}
        }
        if is_start {
            depth += 1;
        } else if matches!(event, Event::End(_)) {
            depth -= 1;
            is_in_list &= depth > 0;
        }
    }
    pieces
}

/// The first line without its end, and whether all of it has arrived.
fn first_line(text: &str, is_end: bool) -> (&str, bool) {
    match text.split_once('\n') {
        Some((line, _)) => (line, true),
        None => (text, is_end),
    }
}

fn line_end(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |at| at + 1)
}

/// The fence of a line that begins a block of code.
fn fence(line: &str) -> Option<String> {
    let line = line.trim_start();
    let c = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let fence: String = line.chars().take_while(|next| *next == c).collect();
    (fence.len() >= 3 && !line[fence.len()..].contains('`')).then_some(fence)
}

/// Whether a line begins a paragraph, and no other block; `None` if more of it must be known.
fn begins_paragraph(line: &str, is_line: bool) -> Option<bool> {
    if line.starts_with("    ") || line.starts_with('\t') {
        return Some(false);
    }
    let line = line.trim_start();
    let mut chars = line.chars();
    let first = chars.next()?;
    let second = chars.next();
    match first {
        '0'..='9' => match line.trim_start_matches(|c: char| c.is_ascii_digit()).chars().next() {
            Some(c) => Some(!matches!(c, '.' | ')')),
            None => is_line.then_some(true),
        },
        '*' | '_' | '`' => match (second, chars.next()) {
            (None, _) if !is_line => None,
            (Some(second), None) if second == first && !is_line => None,
            (Some(second), third) if second == first => {
                Some(first != '`' && third.is_some_and(|third| third != first && !third.is_whitespace()))
            }
            (Some(second), _) => Some(!second.is_whitespace()),
            (None, _) => Some(false),
        },
        first => Some(first.is_alphabetic() || matches!(first, '(' | '"' | '\'' | '“' | '„' | '«' | '¿' | '¡')),
    }
}

/// Where the paragraph at the start of a text ends as far as is known, and whether it does end there.
fn paragraph_end(text: &str, is_end: bool) -> (usize, bool) {
    for (at, _) in text.match_indices('\n') {
        let rest = &text[at + 1..];
        let (line, is_line) = first_line(rest, is_end);
        if line.trim().is_empty() {
            return (at, is_line);
        }
        match interrupts(line, is_line) {
            Some(true) => return (at, true),
            Some(false) => {}
            None => return (at, false),
        }
    }
    (text.len(), is_end)
}

/// Whether a line ends the paragraph before it; `None` if more of it must be known.
fn interrupts(line: &str, is_line: bool) -> Option<bool> {
    let line = line.trim_start();
    let first = line.chars().next()?;
    let after = line.trim_start_matches(first);
    match first {
        '#' | '>' | '|' => Some(true),
        '-' | '*' | '+' => match line[1..].chars().next() {
            Some(second) => Some(second.is_whitespace() || (after.trim().is_empty() && is_line)),
            None => is_line.then_some(true),
        },
        '`' | '~' => {
            let count = line.len() - after.len();
            if count >= 3 { Some(true) } else { (!after.is_empty() || is_line).then_some(false) }
        }
        '1' => match line[1..].chars().next() {
            Some('.' | ')') => match line[2..].chars().next() {
                Some(third) => Some(third.is_whitespace()),
                None => is_line.then_some(true),
            },
            Some(_) => Some(false),
            None => is_line.then_some(false),
        },
        _ => Some(false),
    }
}

/// The end of the words that can be shown because nothing that follows changes how. The word at the
/// end, and the spaces after it, may not be complete.
fn settled(text: &str) -> Option<usize> {
    let mut words = text.trim_end();
    for _ in 0..TRIES {
        words = words[..words.rfind(char::is_whitespace)?].trim_end();
        if words.is_empty() {
            return None;
        }
        if is_settled(words) {
            return Some(words.len());
        }
    }
    None
}

#[cfg(test)]
#[path = "markdown_tests.rs"]
mod tests;
