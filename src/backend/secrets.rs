//! Makes a server's words and addresses safe to show: keys masked, no deceptive characters, on one
//! line.

use std::fmt;

/// The most characters of a server's words that are shown.
const MOST_SHOWN: usize = 300;
/// The most characters that are examined. Keys are masked before the text is shortened.
const MOST_READ: usize = 4 * MOST_SHOWN;
/// The replacement for a key.
const MASK: &str = "[key]";

/// The prefixes of keys: `OpenAI` and many others, Groq, xAI, Google, Hugging Face, Replicate,
/// Perplexity, NVIDIA, Fireworks, Cerebras, GitHub, AWS, and JWT tokens.
const BEGINNINGS: [&str; 20] = [
    "sk-",
    "sk_",
    "pk-",
    "rk-",
    "gsk_",
    "xai-",
    "AIza",
    "ya29.",
    "hf_",
    "r8_",
    "pplx-",
    "nvapi-",
    "fw_",
    "csk-",
    "tgp_",
    "ghp_",
    "github_pat_",
    "AKIA",
    "ASIA",
    "eyJ",
];

/// Keys that are not secret, as used with local servers; each may be a word of a message.
const PLACEHOLDERS: [&str; 12] = [
    "ollama",
    "lm-studio",
    "lmstudio",
    "empty",
    "none",
    "null",
    "dummy",
    "test",
    "not-needed",
    "no-key-required",
    "sk-no-key-required",
    "local",
];

/// Words that may follow `Bearer` and are not keys.
const AFTER_BEARER: [&str; 14] = [
    "token",
    "tokens",
    "auth",
    "authentication",
    "authorization",
    "scheme",
    "header",
    "key",
    "realm",
    "is",
    "or",
    "and",
    "was",
    "credentials",
];

/// Keys that are sent to a server, which may repeat them in its answers.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Short keys and placeholders are skipped, because they may be ordinary words.
    #[cfg_attr(not(feature = "openai"), allow(dead_code, reason = "other backends have no keys that are known here"))]
    pub(super) fn new(keys: impl IntoIterator<Item = String>) -> Self {
        const SHORTEST: usize = 4;
        let is_secret = |key: &String| {
            key.chars().count() >= SHORTEST && !PLACEHOLDERS.iter().any(|known| key.eq_ignore_ascii_case(known))
        };
        Self(keys.into_iter().map(|key| key.trim().to_owned()).filter(is_secret).collect())
    }

    /// The text with each of these keys masked.
    fn hide(&self, text: String) -> String {
        self.0.iter().fold(text, |text, key| if text.contains(&**key) { hide_word(&text, key) } else { text })
    }

    /// Whether a word is the beginning or end of one of these keys, as servers shorten them.
    fn has_part(&self, word: &str) -> bool {
        const SHORTEST_KEY: usize = 12;
        const SHORTEST_PART: usize = 8;
        const SHORTEST_MASKED_PART: usize = 4;
        let is_masked = word.contains(is_mask) || word.contains("..");
        let least = if is_masked { SHORTEST_MASKED_PART } else { SHORTEST_PART };
        let keys = || self.0.iter().filter(|key| key.chars().count() >= SHORTEST_KEY);
        let mut parts = word.split(|c| is_mask(c) || c == '.').filter(|part| part.len() >= least);
        parts.any(|part| keys().any(|key| key.starts_with(part) || key.ends_with(part)))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// The text with a key masked; a short one only if it is a whole word.
fn hide_word(text: &str, key: &str) -> String {
    const IS_A_KEY_ANYWHERE: usize = 16;
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(key) {
        let before = &rest[..at];
        let behind = &rest[at + key.len()..];
        shown.push_str(before);
        let is_word = !shown.ends_with(char::is_alphanumeric) && !behind.starts_with(char::is_alphanumeric);
        shown.push_str(if is_word || key.len() >= IS_A_KEY_ANYWHERE { MASK } else { key });
        rest = behind;
    }
    shown + rest
}

/// A server's words as they are shown: the first [`MOST_SHOWN`] characters, on one line, without
/// deceptive characters and without keys. `None` if nothing is left.
pub(super) fn shown(words: &str, secrets: &Secrets) -> Option<String> {
    let masked = masked(&one_line(words), secrets);
    let text = match masked.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", masked[..end].trim_end()),
        None => masked,
    };
    (!text.is_empty()).then_some(text)
}

/// The text on one line, up to the examined length.
fn one_line(words: &str) -> String {
    let mut line = String::new();
    let mut is_gap = false;
    for (count, c) in words.trim().chars().filter(|c| !is_invisible(*c)).enumerate() {
        if count == MOST_READ {
            // A word that is cut here may be the beginning of a key.
            let whole = line.rfind(' ').unwrap_or(0);
            line.truncate(whole);
            line.push('…');
            return line;
        }
        if c.is_whitespace() {
            is_gap = !line.is_empty();
            continue;
        }
        if std::mem::take(&mut is_gap) {
            line.push(' ');
        }
        line.push(if deceives(c) { '\u{fffd}' } else { c });
    }
    line
}

/// Characters that move the cursor, change a terminal, or reorder what is read.
fn deceives(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Characters that are invisible, and could hide inside a key.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with keys masked: those that were sent, and everything that looks like one.
pub(super) fn masked(text: &str, secrets: &Secrets) -> String {
    let text = secrets.hide(text.to_owned());
    let mut shown = String::with_capacity(text.len());
    let mut before: [&str; 2] = ["", ""];
    let mut rest = &*text;
    while !rest.is_empty() {
        let gap = rest.find(is_of_key).unwrap_or(rest.len());
        let (between, word) = rest.split_at(gap);
        shown.push_str(between);
        let end = word.find(|c| !is_of_key(c)).unwrap_or(word.len());
        let (word, behind) = word.split_at(end);
        rest = behind;
        if word.is_empty() {
            break;
        }
        // Punctuation at the end of a sentence is not part of a key.
        let key = word.trim_end_matches(['.', '-', '~']);
        let is_stated = between.contains([':', '=']);
        if is_key(key, before, is_stated) || secrets.has_part(word) {
            shown.push_str(MASK);
            shown.push_str(&word[key.len()..]);
        } else {
            shown.push_str(word);
        }
        before = [before[1], word];
    }
    shown
}

/// Characters of keys, and those that servers use to mask some of them.
fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+') || is_mask(c)
}

/// Characters that servers use to mask the middle of a key.
fn is_mask(c: char) -> bool {
    matches!(c, '*' | '•' | '…')
}

/// Whether a word looks like a key, on its own or because of the two words before it.
fn is_key(word: &str, [earlier, last]: [&str; 2], is_stated: bool) -> bool {
    let has_digit = word.contains(|c: char| c.is_ascii_digit());
    let is_long = word.len() >= 20;
    let has_beginning = BEGINNINGS.iter().any(|beginning| {
        let rest = word.strip_prefix(beginning).map(|rest| rest.trim_start_matches('-'));
        let shortest = if beginning.starts_with("sk") { 4 } else { 8 };
        rest.is_some_and(|rest| rest.len() >= shortest)
    });
    // `sk-abc***xyz`, `****6TGa`; emphasis (`**not**`) has fewer.
    let is_starred = word.contains("***") || word.contains("•••");
    let is_masked = is_starred && word.contains(|c: char| c.is_ascii_alphanumeric());
    let is_after = |name: &str| last.eq_ignore_ascii_case(name);
    let is_bearer = is_after("bearer") && !AFTER_BEARER.iter().any(|known| word.eq_ignore_ascii_case(known));
    let is_basic = is_after("basic") && word.len() >= 8 && (has_digit || is_long);
    let names_key = |word: &str| {
        let word = word.to_ascii_lowercase();
        ["key", "apikey", "token", "secret", "password"].iter().any(|name| word.ends_with(name))
    };
    let is_named = names_key(last) || (names_key(earlier) && matches!(last, "provided" | "is"));
    let has_cases = word.contains(|c: char| c.is_ascii_lowercase()) && word.contains(|c: char| c.is_ascii_uppercase());
    let is_random = (has_digit && (is_stated || last == "is")) || (is_long && (has_digit || has_cases));
    let is_value = is_named && word.len() >= 8 && is_random;
    has_beginning || is_masked || is_bearer || is_basic || is_value
}

/// An address without user, query, and path segments that look like keys or are as long as keys.
pub(super) fn address(url: &str) -> String {
    const SHORTEST_KEY: usize = 20;
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (place, path) = rest.split_once('/').map_or((rest, ""), |(place, path)| (place, path));
    let place = place.rsplit('@').next().unwrap_or_default();
    let none = Secrets::default();
    let part = |part: &str| {
        let is_secret = part.len() >= SHORTEST_KEY || masked(part, &none) != part;
        if is_secret { "…".to_owned() } else { part.to_owned() }
    };
    let path = path.split('/').filter(|part| !part.is_empty()).map(part);
    let shown: Vec<String> = std::iter::once(place.to_owned()).chain(path).collect();
    let scheme = scheme.map_or_else(String::new, |scheme| format!("{scheme}://"));
    format!("{scheme}{}", shown.join("/")).replace(deceives, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(["hunter2".to_owned(), "0123456789abcdefABCDEF/+=x".to_owned(), "ollama".to_owned()])
    }

    fn of(words: &str) -> String {
        shown(words, &secrets()).unwrap_or_default()
    }

    #[test]
    fn the_key_that_was_sent_is_not_shown_in_whole_or_part() {
        for words in [
            "wrong key hunter2.",
            "`hunter2`",
            "x=0123456789abcdefABCDEF/+=x&y",
            "prefix0123456789abcdefABCDEF/+=xsuffix",
            "the key 0123456789abcd is wrong",
            "key 0123...",
            "the key ends in …F/+=x",
        ] {
            let told = of(words);
            assert!(!told.contains("hunter2") && !told.contains("0123"), "{told}");
        }
        assert_eq!(of("hunter2000 is another word"), "hunter2000 is another word");
        assert_eq!(of("ollama: pull the model"), "ollama: pull the model");
    }

    #[test]
    fn what_looks_like_a_key_is_not_shown() {
        for (words, told) in [
            ("Incorrect API key provided: sk-abcd1234. Find", "Incorrect API key provided: [key]. Find"),
            ("provided: sk-proj-ab**********wxyz.", "provided: [key]."),
            ("Your api key: ****6TGa is invalid", "Your api key: [key] is invalid"),
            ("key sk-...wxyz", "key [key]"),
            ("key gsk_abcdefgh1234", "key [key]"),
            ("Bearer abcdef is unknown", "Bearer [key] is unknown"),
            ("authorization: bearer x9", "authorization: bearer [key]"),
            ("Basic dXNlcjpwYXNz1", "Basic [key]"),
            ("https://x/?key=AIzaSyA1234567890&x=1", "https://x/?key=[key]&x=1"),
            ("api_key=abc12345", "api_key=[key]"),
            ("The API key provided: abcd1234efgh", "The API key provided: [key]"),
            ("token eyJhbGciOiJIUzI1NiJ9.e30.abc", "token [key]"),
        ] {
            assert_eq!(of(words), told);
        }
    }

    #[test]
    fn other_words_stay_as_they_are() {
        for words in [
            "model 'foo' not found, try pulling it first",
            "a risk-free, task-based approach",
            "A bearer token is needed",
            "Basic plan",
            "Invalid API key",
            "max_tokens: 4096 is too large",
            "**not** allowed",
            "the token limit is 131072; request 7f3b2c1d-0000-4000-8000-000000000000",
            "messages.1.assistant.reasoning_content: Extra inputs are not permitted",
            "Unknown key: max_completion_tokens",
        ] {
            assert_eq!(of(words), words);
        }
    }

    #[test]
    fn one_line_is_shown_without_what_deceives() {
        assert_eq!(of(" a\r\n\tb  c "), "a b c");
        assert_eq!(of("a\u{1b}[31mb\u{202e}c\u{200b}d\u{7}"), "a\u{fffd}[31mb\u{fffd}cd\u{fffd}");
        assert_eq!(of("s\u{200b}k-abcd1234"), "[key]");
        assert_eq!(shown(" \n ", &secrets()), None);
    }

    #[test]
    fn three_hundred_characters_are_shown_and_no_piece_of_a_key_at_their_end() {
        let told = of(&"ä ".repeat(5_000));
        assert_eq!((told.chars().count(), told.ends_with('…')), (300, true));
        for before in [280, 290, 297, 1_190, 1_197] {
            let words = format!("{}hunter2 sk-abcdefgh12345678", "é".repeat(before - 1) + " ");
            let told = of(&words);
            assert!(!told.contains("hunt") && !told.contains("sk-a") && !told.contains("abcd"), "{told}");
            assert!(told.chars().count() <= MOST_SHOWN + 1);
        }
    }

    #[test]
    fn an_address_is_shown_without_user_query_and_keys() {
        for (url, told) in [
            ("https://me:pw@h.example:8443/v1/chat/completions?key=k#f", "https://h.example:8443/v1/chat/completions"),
            ("https://h/0123456789abcdef0123/v1", "https://h/…/v1"),
            ("https://h/sk-abcd1234/v1", "https://h/…/v1"),
            ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
            ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
            ("/v1/chat/completions?x", "/v1/chat/completions"),
            ("", ""),
        ] {
            assert_eq!(address(url), told);
        }
    }
}
