//! Texts as they are compared: without case, accents and widths.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::compose;

/// A text as it is compared. Each run of spaces is one space.
#[derive(Debug, Default)]
pub(super) struct Folded {
    pub(super) text: String,
    /// For each byte of `text`, where the character that it came from begins in the original.
    origins: Vec<usize>,
    /// The bytes of the original.
    len: usize,
}

impl Folded {
    /// Where the character begins that a byte came from.
    pub(super) fn origin(&self, byte: usize) -> usize {
        self.origins.get(byte).copied().unwrap_or(self.len)
    }

    /// Where the character ends that the byte before this one came from.
    pub(super) fn end(&self, byte: usize) -> usize {
        let Some(last) = byte.checked_sub(1).map(|last| self.origin(last)) else { return 0 };
        self.origins[byte..].iter().copied().find(|&origin| origin > last).unwrap_or(self.len)
    }
}

pub(super) fn folded(text: &str) -> Folded {
    let mut folded = Folded { text: String::with_capacity(text.len()), origins: Vec::new(), len: text.len() };
    fold_into(text, |c, origin| {
        folded.text.push(c);
        folded.origins.resize(folded.text.len(), origin);
    });
    folded
}

/// As [`folded`], without the places.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, |c, _| folded.push(c));
    folded
}

fn fold_into(text: &str, mut put: impl FnMut(char, usize)) {
    let mut is_space = false;
    let mut chars = text.char_indices().peekable();
    while let Some((origin, c)) = chars.next() {
        if c.is_whitespace() || c.is_control() {
            if !is_space {
                put(' ', origin);
            }
            is_space = true;
            continue;
        }
        is_space = false;
        if c.is_ascii() {
            put(c.to_ascii_lowercase(), origin);
        } else {
            // A letter whose parts are characters of their own, as files of a Mac have them.
            let mut compatible = c.nfkc();
            let mut c = compatible.next().filter(|_| compatible.next().is_none()).unwrap_or(c);
            while let Some(whole) = chars.peek().and_then(|&(_, next)| compose(c, mark(next))) {
                c = whole;
                chars.next();
            }
            // Accents are apart from their letter in between; what they do not belong to, such as the marks of
            // Japanese and the parts of Korean syllables, is put together again.
            let letters = c.nfkd().filter(|c| !is_accent(*c)).nfc();
            for c in letters.flat_map(char::to_lowercase).filter(|c| !is_accent(*c)) {
                put(if c == 'ς' { 'σ' } else { c }, origin);
            }
        }
    }
}

/// The marks of Japanese letters of half width, as those of full width.
fn mark(c: char) -> char {
    match c {
        'ﾞ' => '\u{3099}',
        'ﾟ' => '\u{309a}',
        _ => c,
    }
}

fn is_accent(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}
