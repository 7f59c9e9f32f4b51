//! What an index has of a text.

use std::collections::BTreeSet;

use super::fold::fold;

/// The most letters of a word in an index. A longer one is several, each of which begins [`STEP`]
/// letters after the one before it, so that any [`STEP`] letters are in one of them.
const LONGEST: usize = 64;
const STEP: usize = LONGEST / 2;

/// The words of a text as an index has them, each once: words of scripts with spaces; of the other
/// scripts each character and each two that follow one another. They have letters, digits and signs,
/// without case and accents, and never a space or ASCII punctuation.
///
/// # Examples
/// ```
/// use turnwise_store::search::words;
///
/// let words: Vec<String> = words("The Café, the 東京駅!").into_iter().collect();
/// assert_eq!(words, ["cafe", "the", "京", "京駅", "東", "東京", "駅"]);
/// ```
pub fn words(text: &str) -> BTreeSet<String> {
    let text = fold(text);
    let mut words = BTreeSet::new();
    for run in runs(&text) {
        if run.is_unspaced {
            let chars: Vec<char> = run.text.chars().collect();
            words.extend(chars.iter().map(char::to_string));
            words.extend(chars.windows(2).map(|two| two.iter().collect::<String>()));
        } else {
            words.extend(of_word(run.text));
        }
    }
    words
}

/// A word as an index has it: one, or several if it is long.
fn of_word(word: &str) -> Vec<String> {
    if word.len() <= LONGEST {
        return vec![word.to_owned()];
    }
    let letters: Vec<char> = word.chars().collect();
    let mut words = Vec::new();
    let mut begin = 0;
    loop {
        let end = (begin + LONGEST).min(letters.len());
        words.push(letters[begin..end].iter().collect());
        if end == letters.len() {
            return words;
        }
        begin += STEP;
    }
}

/// Whether a word of an index can be found by a part of it.
#[cfg(feature = "sqlite")]
pub(crate) fn has_parts(word: &str) -> bool {
    word.chars().next().is_some_and(is_letter) && word.chars().nth(2).is_some()
}

/// What an item must have in an index to be found by a term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Piece {
    /// A word of the index.
    Word(String),
    /// A word of the index that has this part, of at least three letters.
    Part(String),
}

impl Piece {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Part(text) => text,
        }
    }
}

/// What a folded term needs. Empty if it has no letter.
pub(super) fn pieces(term: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for run in runs(term) {
        let letters: Vec<char> = run.text.chars().collect();
        if run.is_unspaced {
            match letters.len() {
                1 => pieces.push(Piece::Word(run.text.to_owned())),
                _ => pieces.extend(letters.windows(2).map(|two| Piece::Word(two.iter().collect()))),
            }
        } else if letters.len() < 3 || (run.is_whole(term) && run.text.len() <= LONGEST) {
            pieces.push(Piece::Word(run.text.to_owned()));
        } else if letters.len() <= STEP {
            pieces.push(Piece::Part(run.text.to_owned()));
        } else {
            pieces.extend(letters.windows(STEP).step_by(STEP).map(|part| Piece::Part(part.iter().collect())));
        }
    }
    pieces
}

/// Characters that follow one another and are words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) text: &'a str,
    pub(super) begin: usize,
    /// Of a script without spaces between words, or signs.
    pub(super) is_unspaced: bool,
}

impl Run<'_> {
    pub(super) fn end(&self) -> usize {
        self.begin + self.text.len()
    }

    /// Whether something else is on both sides.
    fn is_whole(&self, term: &str) -> bool {
        self.begin > 0 && self.end() < term.len()
    }
}

/// The runs of a folded text.
pub(super) fn runs(text: &str) -> impl Iterator<Item = Run<'_>> {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (begin, first) = rest.next()?;
            let Some(kind) = kind(first) else { continue };
            let mut end = begin + first.len_utf8();
            while let Some((at, c)) = rest.next_if(|(_, c)| self::kind(*c) == Some(kind)) {
                end = at + c.len_utf8();
            }
            return Some(Run { text: &text[begin..end], begin, is_unspaced: kind == Kind::Unspaced });
        }
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Spaced,
    Unspaced,
}

/// `None` for what is no part of a word.
fn kind(c: char) -> Option<Kind> {
    match c {
        'a'..='z' | '0'..='9' => Some(Kind::Spaced),
        _ if c.is_ascii() => None,
        // Thai, Lao; Myanmar; Hangul, its letters; Khmer; signs; Japanese and bopomofo; Chinese; Hangul;
        // emoji; rarer Chinese.
        '\u{e00}'..='\u{eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1100}'..='\u{11ff}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{2600}'..='\u{27bf}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{318f}'
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{1f000}'..='\u{1faff}'
        | '\u{20000}'..='\u{3ffff}' => Some(Kind::Unspaced),
        _ if c.is_alphanumeric() => Some(Kind::Spaced),
        _ => None,
    }
}

/// Whether a character is a letter of a word with spaces around it.
pub(super) fn is_letter(c: char) -> bool {
    kind(c) == Some(Kind::Spaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_long_word_is_in_one_word_of_the_index() {
        let long: String = (0..500).map(|n| char::from(b'a' + u8::try_from(n * n % 26).unwrap())).collect();
        let words = words(&long);
        assert!(words.iter().all(|word| word.len() <= LONGEST));
        for begin in 0..long.len() {
            for end in begin + 3..=long.len() {
                for piece in pieces(&long[begin..end]) {
                    let Piece::Part(part) = piece else { panic!("{piece:?}") };
                    assert!(words.iter().any(|word| word.contains(&part)), "{begin}..{end}");
                }
            }
        }
    }
}
