//! Vectors of the texts of a set, from the model that `TURNWISE_TEST_EMBEDDINGS` names by its base URL.

use std::collections::HashMap;

use turnwise::plan::Extras;
use turnwise::vectors::{Vector, Vectors, text_of};
use turnwise::{Conversation, Item};

/// The vector of each text.
pub(crate) type Known = HashMap<String, Vector>;

#[cfg(feature = "openai")]
const VARIABLE: &str = "TURNWISE_TEST_EMBEDDINGS";
const MODEL: &str = "all-minilm-l6-v2";
/// As many characters as an embedder takes by default.
const LONGEST: usize = 2_000;

/// The vectors of all texts, or a line that says that there are none.
#[cfg(feature = "openai")]
pub(crate) fn vectors_of(texts: &[String]) -> Option<Known> {
    use turnwise::OpenAi;
    use turnwise::backend::Embedder;

    let Ok(url) = std::env::var(VARIABLE) else {
        println!("NO EMBEDDING MODEL: name one in {VARIABLE} (.ci/embeddings.sh) for figures of recall by meaning.");
        return None;
    };
    println!("asking {url} for the vectors of {} texts", texts.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let embedder = OpenAi::at(&url, "").embedder(MODEL);
    let batch = |texts: &[String]| {
        let made = runtime.block_on(embedder.embed(texts.to_vec())).unwrap();
        let vectors: Vec<Vector> = made.vectors.iter().map(|parts| Vector::new(parts).unwrap()).collect();
        texts.iter().cloned().zip(vectors).collect::<Vec<_>>()
    };
    Some(texts.chunks(64).flat_map(batch).collect())
}

#[cfg(not(feature = "openai"))]
pub(crate) fn vectors_of(_: &[String]) -> Option<Known> {
    println!("NO EMBEDDING MODEL: recall by meaning needs the feature `openai`.");
    None
}

/// The texts of messages, as they are embedded.
pub(crate) fn texts<'a>(messages: impl IntoIterator<Item = &'a turnwise::Message>) -> Vec<String> {
    let mut texts: Vec<String> = messages.into_iter().map(|message| text_of(message, LONGEST)).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// What a conversation is planned with: the vectors of its messages, those of `vectors` and those that are missing in it.
pub(crate) fn extras(talk: &Conversation, vectors: &mut Vectors, known: Option<&Known>) -> Extras {
    let mut extras = Extras::default();
    if let Some(known) = known {
        let missing: Vec<Item> = vectors.missing(MODEL, talk.path()).cloned().collect();
        for item in missing {
            vectors.put(MODEL, &item, known[&text_of(item.message(), LONGEST)].clone());
        }
        extras.vectors = vectors.clone();
    }
    extras
}
