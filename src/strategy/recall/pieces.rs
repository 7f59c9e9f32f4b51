//! Splits long texts into pieces that can be understood alone, and chooses among them.

use std::cmp::Reverse;
use std::ops::Range;

/// A piece of a text: its range in bytes, and its tokens, counted part by part (in practice an
/// upper bound).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    pub(super) tokens: u64,
}

/// A piece with fewer tokens is joined with the next one, as long as both have fewer than [`FULL`].
pub(super) const SMALL: u64 = 24;
/// Prose with more tokens is divided into sentences.
const FULL: u64 = 96;
/// Anything with more tokens is divided into lines, and those after a fixed number of characters.
const MOST: u64 = 400;
const MOST_CHARACTERS: usize = 300;
/// A line or sentence of this many bytes is not counted at once, so that no text is tokenized
/// twice.
const LONG_LINE: usize = 4 * MOST_CHARACTERS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Prose,
    Item,
    Heading,
    Code,
    Table,
}

/// Lines that belong together.
#[derive(Debug)]
struct Block {
    range: Range<usize>,
    kind: Kind,
}

/// Divides a text into pieces that cover it: blocks of code, items of lists, headings with what
/// follows, paragraphs, tables. `count` returns the tokens of a text; each byte is counted once, or
/// twice in an endless line.
pub(super) fn cut(text: &str, count: impl Fn(&str) -> u64) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    // A heading, or a sentence that announces something (`Here is an example:`), is not left alone.
    let mut announces = false;
    for block in blocks(text) {
        let parts = parts_of(text, &block, &count);
        let whole: u64 = parts.iter().map(|part| part.tokens).sum();
        let most = if block.kind == Kind::Code || block.kind == Kind::Table { MOST } else { FULL };
        let parts = if whole <= most { vec![Piece { range: block.range.clone(), tokens: whole }] } else { parts };
        for (number, part) in parts.into_iter().enumerate() {
            match pieces.last_mut() {
                Some(last) if takes(last, &part, announces && number == 0) => {
                    last.range.end = part.range.end;
                    last.tokens += part.tokens;
                }
                _ => pieces.push(part),
            }
        }
        let said = text[block.range].trim_end();
        announces = block.kind == Kind::Heading || said.ends_with(':') || said.ends_with('：');
    }
    pieces
}

fn takes(last: &Piece, next: &Piece, is_announced: bool) -> bool {
    let most = if is_announced { MOST } else { FULL };
    last.tokens < SMALL && last.tokens + next.tokens < most
}

/// The sentences or lines of a block, none of them too large.
fn parts_of(text: &str, block: &Block, count: &impl Fn(&str) -> u64) -> Vec<Piece> {
    let mut parts = Vec::new();
    let of_block = &text[block.range.clone()];
    let ends = match block.kind {
        Kind::Code | Kind::Table => line_ends(of_block),
        Kind::Prose | Kind::Item | Kind::Heading => sentence_ends(of_block),
    };
    let mut start = block.range.start;
    for end in ends {
        let range = start..block.range.start + end;
        start = range.end;
        let tokens = if range.len() < LONG_LINE { count(&text[range.clone()]) } else { u64::MAX };
        if tokens <= MOST {
            parts.push(Piece { range, tokens });
        } else {
            parts.extend(chunks(text, range).map(|range| {
                let tokens = count(&text[range.clone()]);
                Piece { range, tokens }
            }));
        }
    }
    parts
}

/// A range in chunks of a fixed number of characters.
fn chunks(text: &str, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let rest = &text[start..range.end];
        let len = rest.char_indices().nth(MOST_CHARACTERS).map_or(rest.len(), |(at, _)| at);
        let chunk = start..start + len;
        start = chunk.end;
        (len > 0).then_some(chunk)
    })
}

fn line_ends(text: &str) -> Vec<usize> {
    let mut end = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        end += line.len();
        end
    });
    lines.collect()
}

/// The end of each sentence: after the white space that follows a full stop, and after a stop that
/// needs none.
fn sentence_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut is_stopped = false;
    let mut is_in_gap = false;
    for (at, character) in text.char_indices() {
        if character.is_whitespace() {
            is_in_gap = is_stopped || character == '\n';
        } else {
            if is_in_gap {
                ends.push(at);
            }
            is_in_gap = matches!(character, '。' | '！' | '？');
            // A quote or bracket after the stop belongs to the sentence.
            is_stopped = matches!(character, '.' | '!' | '?' | '…' | '।')
                || (is_stopped && matches!(character, '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '*' | '_'));
        }
    }
    if !text.is_empty() {
        ends.push(text.len());
    }
    ends
}

/// The text in blocks that cover it; white space between two belongs to the first.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fence: Option<&str> = None;
    let mut at = 0;
    let mut is_closed = true;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let last = blocks.last_mut();
        if let Some(open) = fence {
            if closes(line, open) {
                fence = None;
                is_closed = true;
            }
            if let Some(last) = last {
                last.range.end = range.end;
            }
            continue;
        }
        fence = opening(line);
        let kind = kind_of(line);
        let begins = match (&last, kind) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(last), Some(kind)) => is_closed || fence.is_some() || begins(last.kind, kind),
        };
        match last {
            Some(last) if !begins => last.range.end = range.end,
            _ => {
                let kind = if fence.is_some() { Kind::Code } else { kind.unwrap_or(Kind::Prose) };
                blocks.push(Block { range, kind });
            }
        }
        is_closed = kind.is_none();
    }
    blocks
}

/// Whether a line of kind `next` begins a block directly after a line of kind `last`.
fn begins(last: Kind, next: Kind) -> bool {
    match next {
        Kind::Item | Kind::Heading => true,
        Kind::Table => last != Kind::Table,
        Kind::Prose | Kind::Code => matches!(last, Kind::Table | Kind::Heading),
    }
}

/// The kind of a line outside of code; `None` for a blank one.
fn kind_of(line: &str) -> Option<Kind> {
    let line = line.trim();
    let first = line.chars().next()?;
    let marks = line.bytes().take_while(|&byte| byte == b'#').count();
    let number = line.bytes().take_while(u8::is_ascii_digit).count();
    let behind_number = line.get(number..).filter(|_| (1..4).contains(&number));
    let is_item = ["- ", "* ", "+ ", "• "].iter().any(|bullet| line.starts_with(bullet))
        || behind_number.is_some_and(|rest| rest.starts_with(". ") || rest.starts_with(") "));
    Some(match first {
        '|' => Kind::Table,
        '#' if marks <= 6 && line[marks..].starts_with(' ') => Kind::Heading,
        _ if is_item => Kind::Item,
        _ => Kind::Prose,
    })
}

/// The marks that open a block of code.
fn opening(line: &str) -> Option<&str> {
    let line = line.trim_start();
    ['`', '~'].into_iter().find_map(|mark| {
        let marks = line.len() - line.trim_start_matches(mark).len();
        (marks >= 3 && !line[marks..].contains(mark)).then(|| &line[..marks])
    })
}

fn closes(line: &str, open: &str) -> bool {
    let line = line.trim();
    line.starts_with(open) && line.trim_start_matches(&open[..1]).is_empty()
}

/// A piece of some text that may be sent, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// The caller's number of the text; of equal offers, the one with the larger number is taken.
    pub(super) text: usize,
    /// The index of the piece in the text.
    pub(super) piece: usize,
    pub(super) worth: u64,
    pub(super) tokens: u64,
}

/// The best offers that fit into `room` tokens, by text and piece. Each text that is used costs
/// `wrapper` once, and each gap in it `mark`.
pub(super) fn choose(mut offers: Vec<Offer>, mut room: u64, wrapper: impl Fn(usize) -> u64, mark: u64) -> Vec<Offer> {
    offers.sort_unstable_by_key(|offer| (Reverse(offer.worth), Reverse(offer.text), offer.piece));
    let mut chosen: std::collections::BTreeMap<(usize, usize), Offer> = std::collections::BTreeMap::new();
    for offer in offers.into_iter().filter(|offer| offer.worth > 0) {
        let at = (offer.text, offer.piece);
        let is_new = chosen.range((offer.text, 0)..=(offer.text, usize::MAX)).next().is_none();
        let beside = [offer.piece.checked_sub(1), offer.piece.checked_add(1)].into_iter().flatten();
        let joined = beside.filter(|&piece| chosen.contains_key(&(offer.text, piece))).count() as u64;
        // A piece alone has a gap before and after it; each neighbour closes one of the gaps that
        // are paid already.
        let gaps = if is_new { 2 * mark } else { mark };
        let price = offer.tokens + if is_new { wrapper(offer.text) } else { 0 } + gaps;
        let back = joined * mark;
        if price <= room + back {
            room = room + back - price;
            chosen.insert(at, offer);
        }
    }
    chosen.into_values().collect()
}

/// The ranges of the chosen pieces, in order; adjacent ones are joined.
pub(super) fn ranges(pieces: &[Piece], chosen: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for piece in chosen.into_iter().filter_map(|index| pieces.get(index)) {
        match ranges.last_mut() {
            Some(last) if last.end == piece.range.start => last.end = piece.range.end,
            _ => ranges.push(piece.range.clone()),
        }
    }
    ranges
}

#[cfg(test)]
#[path = "pieces_tests.rs"]
mod tests;
