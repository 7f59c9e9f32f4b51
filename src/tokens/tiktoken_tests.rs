use fastrand::Rng;

use super::super::{samples, split};
use super::*;

const ENCODINGS: [Encoding; 2] = [Encoding::O200kBase, Encoding::Cl100kBase];

/// What `tiktoken-rs` says, asked for the whole text at once.
fn plain(encoding: Encoding, text: &str) -> u64 {
    let bpe = match encoding {
        Encoding::O200kBase => tiktoken_rs::o200k_base_singleton(),
        Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
    };
    bpe.count_ordinary(text) as u64
}

#[test]
fn golden_counts() {
    for (text, o200k, cl100k) in [
        ("", 0, 0),
        ("Hello, world", 3, 3),
        ("tiktoken is great!", 6, 6),
        ("<|endoftext|>", 7, 7),
        ("<|fim_prefix|>", 6, 7),
        ("<|im_start|>", 6, 6),
        ("お誕生日おめでとう", 8, 9),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("}\n// TODO", 2, 3),
        ("👩\u{200d}💻", 5, 7),
    ] {
        for (encoding, tokens) in ENCODINGS.into_iter().zip([o200k, cl100k]) {
            assert_eq!(Tiktoken::new(encoding).count(text), Count::exact(tokens), "{encoding} {text:?}");
        }
    }
}

#[test]
fn exact_counts_are_those_of_tiktoken_rs() {
    let chance = &mut Rng::with_seed(11);
    for encoding in ENCODINGS {
        let counter = Tiktoken::new(encoding);
        let same = |text: &str| {
            let count = counter.count(text);
            assert!(!count.exact || count.tokens == plain(encoding, text), "{encoding} {text:?}: {count}");
        };
        for _ in 0..3_000 {
            same(&samples::mixed(chance, 14));
            same(samples::real(chance, 300));
        }
        for _ in 0..4 {
            same(&samples::mixed(chance, 60_000));
            same(samples::real(chance, 200_000));
        }
        assert!(counter.count(&samples::REAL).exact && samples::REAL.len() > 2 * split::LONGEST);
    }
}

#[test]
fn exact_cuts_add_up() {
    let chance = &mut Rng::with_seed(12);
    for encoding in ENCODINGS {
        for round in 0..4_000 {
            let mixed = samples::mixed(chance, 14);
            let text = if round % 4 == 0 { samples::real(chance, 200) } else { &mixed };
            let (whole, mut sum) = (plain(encoding, text), 0);
            let mut rest = text;
            while let Some(cut) = split::last(rest) {
                let behind = &rest[cut..];
                sum += plain(encoding, behind);
                assert_eq!(sum + plain(encoding, &rest[..cut]), whole, "{encoding} {text:?} at {cut}");
                rest = &rest[..cut];
            }
        }
    }
}

#[test]
fn a_torn_text_is_counted_upwards_and_marked() {
    let chance = &mut Rng::with_seed(13);
    for encoding in ENCODINGS {
        let counter = Tiktoken::new(encoding);
        for unit in ["a", "=", " ", "\n", "\u{a0}", "你", "7", "'s", "aA", "👩\u{200d}💻", "\u{301}", "\0"] {
            let text = unit.repeat(150_000 / unit.len());
            let (count, whole) = (counter.count(&text), plain(encoding, &text));
            assert!(!count.exact && count.tokens >= whole && count.tokens <= whole + 40, "{unit:?}: {count}, {whole}");
        }
        let letters: String = (0..150_000).map(|_| chance.lowercase()).collect();
        let (count, whole) = (counter.count(&letters), plain(encoding, &letters));
        assert!(!count.exact && count.tokens >= whole && count.tokens <= whole + 40, "{count}, {whole}");
    }
}

#[test]
fn a_run_of_blanks_that_kills_tiktoken_rs_is_counted() {
    for encoding in ENCODINGS {
        let counter = Tiktoken::new(encoding);
        for blank in [" ", "\t", "\u{a0}", "\u{3000}"] {
            let count = counter.count(&format!("{}x", blank.repeat(1_100_000)));
            assert!(!count.exact && count.tokens > 1, "{blank:?}: {count}");
        }
    }
}

#[test]
fn a_count_within_a_limit_is_the_count_or_nothing() {
    let chance = &mut Rng::with_seed(14);
    for encoding in ENCODINGS {
        let counter = Tiktoken::new(encoding);
        let torn = "=".repeat(200_000);
        let mut texts = vec![String::new(), torn, samples::REAL.clone()];
        texts.extend((0..200).map(|_| samples::mixed(chance, 40)));
        for text in texts {
            let count = counter.count(&text);
            for limit in [0, count.tokens / 2, count.tokens, count.tokens + 1, u64::MAX] {
                let expected = (count.tokens <= limit).then_some(count);
                assert_eq!(counter.count_within(&text, limit), expected, "{limit}");
            }
            assert_eq!(counter.count_within(&text, count.tokens.wrapping_sub(1)).is_some(), count.tokens == 0);
        }
    }
}

#[test]
fn what_is_settled_stands_however_the_text_goes_on() {
    let chance = &mut Rng::with_seed(15);
    for encoding in ENCODINGS {
        let counter = Tiktoken::new(encoding);
        for _ in 0..500 {
            let (text, more) = (samples::mixed(chance, 14), samples::mixed(chance, 3));
            let (end, count) = counter.count_settled(&text);
            let whole = text + &more;
            assert_eq!(count.tokens + plain(encoding, &whole[end..]), plain(encoding, &whole), "{whole:?} at {end}");
        }
    }
}
