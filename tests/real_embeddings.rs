//! With a real embedding model behind `TURNWISE_TEST_EMBEDDINGS`, the base URL of a server with `/v1/embeddings` that has
//! all-MiniLM-L6-v2 (`.ci/embeddings.sh`). Without it nothing is tested here, and that is said.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "openai")]

use std::io::Write;
use std::time::Duration;

use turnwise::backend::openai::{OpenAi, OpenAiEmbedder};
use turnwise::backend::{Embedder, Scripted};
use turnwise::vectors::Vector;
use turnwise::{ConversationManager, ErrorKind, Message, Reason, Recall, TokenBudget, Transcript};

const VARIABLE: &str = "TURNWISE_TEST_EMBEDDINGS";

/// The model, or a line that no test harness swallows.
fn embedder(test: &str) -> Option<OpenAiEmbedder> {
    let url = std::env::var(VARIABLE).ok();
    if url.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {VARIABLE} names no endpoint");
    }
    Some(OpenAi::at(&url?, "").embedder("all-minilm-l6-v2"))
}

#[tokio::test]
async fn texts_of_like_meaning_have_like_vectors() {
    let Some(embedder) = embedder("texts_of_like_meaning_have_like_vectors") else { return };
    let texts = ["The new movie is awesome.", "The new movie is so great.", "A woman watches TV."];
    let made = embedder.embed(texts.map(str::to_owned).to_vec()).await.unwrap();
    assert!(made.tokens.unwrap() > 15);
    let [one, like, other] = [0, 1, 2].map(|at: usize| Vector::new(&made.vectors[at]).unwrap());
    assert_eq!(one.dimensions(), 384);
    // The model's own figures are 0.89 and -0.05.
    assert!((56_000..61_000).contains(&one.similarity(&like)), "{}", one.similarity(&like));
    assert!((-7_000..2_000).contains(&one.similarity(&other)), "{}", one.similarity(&other));
}

#[tokio::test]
async fn a_model_that_the_server_does_not_have_is_an_error_with_its_words() {
    let test = "a_model_that_the_server_does_not_have_is_an_error_with_its_words";
    let Some(_) = embedder(test) else { return };
    let other = OpenAi::at(&std::env::var(VARIABLE).unwrap(), "").embedder("text-embedding-9");
    let error = other.embed(vec!["a".to_owned()]).await.unwrap_err();
    assert_eq!((error.kind(), error.status_code()), (ErrorKind::Rejected, Some(404)));
    assert!(error.to_string().contains("the model is all-minilm-l6-v2"), "{error}");
}

#[tokio::test]
async fn a_question_in_other_words_finds_what_was_said_and_after_a_reload_too() {
    let test = "a_question_in_other_words_finds_what_was_said_and_after_a_reload_too";
    let Some(embedder) = embedder(test) else { return };
    let mut file = Transcript::default();
    let said = "I went biking in the hills with my brother on Sunday.";
    for text in [said, "What a nice day for it."] {
        file.conversation.push(text);
    }
    for n in 1..=60 {
        file.conversation.push(format!("What is {n} times {n}, and {n} plus {n}?"));
        file.conversation.push(Message::assistant(format!("These are {} and {}.", n * n, n + n)));
    }
    let chat = |file: Transcript| {
        let builder = ConversationManager::builder("gpt-4o-mini").backend(Scripted::new(["Yes."; 4]));
        let builder = builder.strategy(Recall::new()).embedder(embedder.clone());
        builder.embed_within(Duration::from_secs(60)).budget(TokenBudget::limit(300)).open(file).unwrap()
    };
    let first = chat(file);
    assert_eq!(first.embed_history().await.unwrap(), 122);
    let reply = first.send("Who joined the bicycle ride?").await.unwrap();
    let plan = &reply.report.plan;
    assert_eq!(plan.decisions().next().map(|decision| decision.reason), Some(&Reason::Meaning));
    assert_eq!(plan.messages()[0].text(), said);

    let again = chat(Transcript::from_json(&first.transcript().to_json()).unwrap());
    let planned = again.regenerate().plan().unwrap();
    assert_eq!(serde_json::to_string(&planned).unwrap(), serde_json::to_string(plan).unwrap());
}
