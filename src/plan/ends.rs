//! `ends`: the beginning and the end of a long text, within a number of tokens.

use crate::text::thousands;
use crate::tokens::ChatCost;

/// The beginning and the end of a text, in at most `most` tokens, with the number of tokens left
/// out between them, or `…` if that number would take half of the room. `None` if the text is not
/// longer than that, or would not become shorter.
pub(crate) fn ends(text: &str, most: u64, cost: &ChatCost) -> Option<String> {
    ends_around(text, most, cost, marker)
}

/// [`ends`] with another text between them, made from the number of tokens.
pub(crate) fn ends_around(text: &str, most: u64, cost: &ChatCost, marker: impl Fn(u64) -> String) -> Option<String> {
    let all = cost.text(text).tokens;
    if all <= most {
        return None;
    }
    let has_number = cost.text(&marker(all)).tokens.saturating_mul(2) <= most;
    let between = |gone: u64| if has_number { marker(gone) } else { "…".to_owned() };
    let space = if has_number { "\n" } else { " " };
    let mut room = most.saturating_sub(cost.text(&between(all)).tokens);
    while room > 0 {
        let first = prefix(text, room.div_ceil(2), all, cost);
        let last = suffix(&text[first..], room / 2, all, cost) + first;
        let gone = cost.text(&text[first..last]).tokens;
        let start = text[..first].trim_end();
        let end = text[last..].trim_start();
        let cut = format!("{start}{space}{}{space}{end}", between(gone));
        let tokens = cost.text(&cut).tokens;
        if tokens <= most {
            return Some(cut);
        }
        room = room.saturating_sub((tokens - most).max(1));
    }
    Some(between(all)).filter(|cut| cost.text(cut).tokens < all)
}

fn marker(tokens: u64) -> String {
    format!("[… {} tokens left out …]", thousands(tokens))
}

/// Where a beginning of at most `want` tokens ends, in bytes; after white space if there is any
/// nearby.
fn prefix(text: &str, want: u64, all: u64, cost: &ChatCost) -> usize {
    let mut end = share(text, want, all);
    while end > 0 {
        let found = cost.text(&text[..end]).tokens;
        if found <= want {
            let near = floor(text, end - end / 4);
            return text[near..end].rfind(char::is_whitespace).map_or(end, |space| near + space);
        }
        end = floor(text, share(&text[..end], want, found).min(end - 1));
    }
    0
}

/// Where an end of at most `want` tokens begins.
fn suffix(text: &str, want: u64, all: u64, cost: &ChatCost) -> usize {
    let mut length = share(text, want, all);
    while length > 0 {
        let start = ceil(text, text.len() - length);
        let found = cost.text(&text[start..]).tokens;
        if found <= want {
            let near = ceil(text, start + (text.len() - start) / 4);
            return text[start..near].find(char::is_whitespace).map_or(start, |space| start + space);
        }
        length = share(&text[start..], want, found).min(length - 1);
    }
    text.len()
}

/// How many bytes of `text`, up to a character boundary, correspond to `want` of its `all` tokens.
fn share(text: &str, want: u64, all: u64) -> usize {
    let bytes = text.len() as u128 * u128::from(want) / u128::from(all.max(1));
    floor(text, usize::try_from(bytes).unwrap_or(text.len()).min(text.len()))
}

fn floor(text: &str, byte: usize) -> usize {
    (0..=byte).rev().find(|&byte| text.is_char_boundary(byte)).unwrap_or(0)
}

fn ceil(text: &str, byte: usize) -> usize {
    (byte..text.len()).find(|&byte| text.is_char_boundary(byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::CounterFn;

    #[test]
    fn beginning_and_end_stay_and_the_sum_is_within_the_limit() {
        let bytes = ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64));
        let real = ChatCost::default();
        let words = (0..500).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
        let unbroken = "ü€😀x".repeat(400);
        for (cost, text) in [(&bytes, &words), (&real, &words), (&bytes, &unbroken), (&real, &unbroken)] {
            let all = cost.text(text).tokens;
            assert_eq!(ends(text, all, cost), None);
            for most in [0, 1, 20, 64, 100, 333, all - 1] {
                let cut = ends(text, most, cost).unwrap();
                let tokens = cost.text(&cut).tokens;
                assert!(tokens <= most.max(cost.text("…").tokens), "{tokens} of {most}: {cut}");
                assert!(most < 100 || tokens > most / 2, "only {tokens} of {most} are used");
                let has_number = 2 * cost.text(&marker(all)).tokens <= most;
                assert_eq!(cut.contains("tokens left out"), has_number, "{cut}");
                let (first, last) = cut.split_once(if has_number { "[…" } else { "…" }).unwrap();
                let last = if has_number { last.split_once("…]").unwrap().1 } else { last };
                assert!(text.starts_with(first.trim_end()));
                assert!(text.trim_end().ends_with(last.trim()));
            }
        }
    }
}
