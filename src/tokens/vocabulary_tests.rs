use std::path::Path;

use fastrand::Rng;
use tiktoken_rs::CoreBPE;

use super::super::samples;
use super::*;

const ENCODINGS: [Encoding; 2] = [Encoding::O200kBase, Encoding::Cl100kBase];

fn tokenizer(encoding: Encoding) -> &'static CoreBPE {
    match encoding {
        Encoding::O200kBase => tiktoken_rs::o200k_base_singleton(),
        Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
    }
}

/// The table of an encoding, made from what `tiktoken-rs` holds.
fn table(encoding: Encoding) -> Vec<u8> {
    let tokenizer = tokenizer(encoding);
    let special = tokenizer.special_tokens();
    let decode = |rank: Rank| Some((tokenizer.decode_bytes(&[rank]).ok()?, rank));
    let is_special = |token: &[u8]| str::from_utf8(token).is_ok_and(|token| special.contains(token));
    let mut tokens: Vec<(Vec<u8>, Rank)> =
        (0..300_000).filter_map(decode).filter(|(token, _)| !is_special(token)).collect();
    tokens.sort();

    let number = u32::try_from(tokens.len()).unwrap();
    let mut table = number.to_le_bytes().to_vec();
    let mut bytes: Vec<u8> = Vec::new();
    for (index, (token, rank)) in tokens.iter().enumerate() {
        let start = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let length = u8::try_from(token.len()).unwrap();
        let rank = rank.to_le_bytes();
        assert_eq!((start[3], rank[3]), (0, 0));
        table.extend([start[0], start[1], start[2], length, rank[0], rank[1], rank[2]]);
        if tokens.get(index + 1).is_none_or(|(next, _)| !next.starts_with(token)) {
            bytes.extend(token);
        }
    }
    table.extend(bytes);
    table
}

#[test]
#[ignore = "writes the tables; run it when tiktoken-rs has another vocabulary"]
fn write_the_tables() {
    for encoding in ENCODINGS {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/tokens/vocabulary/{encoding}.bin"));
        std::fs::write(file, table(encoding)).unwrap();
    }
}

#[test]
fn the_tables_hold_the_vocabularies_of_tiktoken_rs() {
    assert!(include_bytes!("vocabulary/o200k_base.bin") == table(Encoding::O200kBase).as_slice());
    assert!(include_bytes!("vocabulary/cl100k_base.bin") == table(Encoding::Cl100kBase).as_slice());
}

#[test]
fn counts_are_those_of_tiktoken_rs() {
    let chance = &mut Rng::with_seed(21);
    for encoding in ENCODINGS {
        let same = |text: &str| {
            let tokens = tokenizer(encoding).count_ordinary(text) as u64;
            assert!(count(encoding, text).is_none_or(|count| count == tokens), "{encoding} {text:?}: {tokens}");
        };
        for _ in 0..3_000 {
            same(&samples::mixed(chance, 14));
            same(samples::real(chance, 300));
            let letters: String = (0..chance.usize(1..LONGEST_WORD)).map(|_| chance.lowercase()).collect();
            same(&letters);
        }
        assert!(count(encoding, &samples::REAL).is_some());
    }
}

#[test]
fn a_long_word_needs_the_tokenizer() {
    for encoding in ENCODINGS {
        assert_eq!(count(encoding, ""), Some(0));
        assert!(count(encoding, &"xq".repeat(LONGEST_WORD / 2)).is_some());
        assert_eq!(count(encoding, &format!("a {}", "xq".repeat(LONGEST_WORD / 2))), None);
    }
}
