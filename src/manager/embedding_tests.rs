use std::future::IntoFuture;
use std::sync::Mutex;

use futures_lite::future::block_on;

use super::*;
use crate::backend::{BoxFuture, Embeddings, Scripted, ScriptedEmbedder};
use crate::budget::TokenBudget;
use crate::manager::{Observer, Reply};
use crate::strategy::{Ladder, Recall, SlidingWindow};
use crate::transcript::Transcript;

fn topics() -> ScriptedEmbedder {
    ScriptedEmbedder::new([["kitten", "pets"], ["times", "plus"]])
}

fn builder(embedder: &ScriptedEmbedder) -> Builder {
    ConversationManager::builder("gpt-4o-mini")
        .backend(Scripted::new(std::iter::repeat_n("Yes, of course, so it is, as far as I know.", 40)))
        .strategy(Recall::new())
        .embedder(embedder.clone())
        .embed_within(Duration::from_millis(50))
        .budget(TokenBudget::limit(150))
}

/// Ten exchanges, the first about a kitten.
fn talk(chat: &ConversationManager) {
    block_on(chat.send("I have a kitten called Minka.").into_future()).unwrap();
    for n in 1..10 {
        block_on(chat.send(format!("Is {n} times 1 just {n}?")).into_future()).unwrap();
    }
}

fn ask(chat: &ConversationManager) -> Reply {
    block_on(chat.send("Do you remember any pets?").into_future()).unwrap()
}

fn is_found(reply: &Reply) -> bool {
    reply.report.plan.messages().iter().any(|message| message.text().contains("Minka"))
}

/// The outcome of each call of an embedder.
#[derive(Default)]
struct Told(Mutex<Vec<(usize, Option<String>)>>);

impl Observer for Told {
    fn embedded(&self, _: &str, call: &EmbeddingCall) {
        self.0.lock().unwrap().push((call.texts, call.refused.clone()));
    }
}

#[test]
fn what_shares_no_word_with_the_question_is_found_by_its_meaning() {
    let chat = builder(&topics()).build().unwrap();
    talk(&chat);
    let reply = ask(&chat);
    assert!(is_found(&reply));
    let explained = reply.report.plan.explain().to_string();
    assert!(explained.contains("close to the question in meaning"), "{explained}");
    let [call] = &reply.report.embeddings[..] else { panic!("{:?}", reply.report.embeddings) };
    assert_eq!((call.texts, call.tokens, &call.refused), (1, Some(5), &None));
}

#[test]
fn without_an_embedder_it_is_not_found_and_nothing_of_vectors_is_saved() {
    let setup = ConversationManager::builder("gpt-4o-mini").strategy(Recall::new()).budget(TokenBudget::limit(150));
    let words = setup.backend(Scripted::new(std::iter::repeat_n("Yes, of course, so it is, as far as I know.", 40)));
    let words = words.build().unwrap();
    talk(&words);
    let reply = ask(&words);
    assert!(!is_found(&reply) && reply.report.embeddings.is_empty());
    assert!(!words.transcript().to_json().contains("vectors"));
}

#[test]
fn each_message_is_embedded_once_after_its_exchange_and_the_question_only_when_something_is_left_out() {
    let embedder = topics();
    let chat = builder(&embedder).build().unwrap();
    talk(&chat);
    ask(&chat);
    let texts: Vec<String> = embedder.calls().concat();
    let whole: Vec<String> = chat.history().iter().map(|message| message.text().into_owned()).collect();
    let times = |wanted: &str| texts.iter().filter(|text| *text == wanted).count();
    assert_eq!(texts.len(), whole.len());
    assert_eq!(times("I have a kitten called Minka."), 1);
    // The first exchange fits; both its messages are embedded after it, in one call.
    assert_eq!(embedder.calls()[0].len(), 2);
    assert_eq!(embedder.calls().last().unwrap().len(), 1, "the reply; the question has its vector");
}

#[test]
fn a_strategy_that_compares_no_meanings_waits_for_no_vector() {
    let embedder = topics();
    let chat = builder(&embedder).strategy(SlidingWindow::tokens()).build().unwrap();
    talk(&chat);
    let reply = ask(&chat);
    assert!(reply.report.plan.evicted() > 0 && reply.report.embeddings.is_empty());
}

#[test]
fn a_vector_that_does_not_come_in_time_is_left_out_and_made_later() {
    let (embedder, told) = (topics(), Arc::new(Told::default()));
    let chat = builder(&embedder).observer(Arc::clone(&told)).build().unwrap();
    talk(&chat);
    embedder.then_stall();
    let reply = ask(&chat);
    assert!(!is_found(&reply));
    let refused = reply.report.embeddings[0].refused.as_deref().unwrap();
    assert!(refused.contains("no vector within 0.05 s"), "{refused}");
    assert!(told.0.lock().unwrap().iter().any(|(texts, refused)| *texts == 1 && refused.is_some()));
    // Its vector was made with the others after the exchange, so a repeated question needs no call.
    let record = chat.snapshot();
    assert!(record.path().items().all(|item| chat.transcript().vectors.get(item).is_some()));
    let again = block_on(chat.regenerate().into_future()).unwrap();
    assert!(is_found(&again) && again.report.embeddings.is_empty());
}

#[test]
fn no_exchange_fails_with_its_embedder_and_a_broken_one_is_asked_less_and_less() {
    let embedder = topics();
    let chat = builder(&embedder).build().unwrap();
    talk(&chat);
    for _ in 0..200 {
        embedder.then_fail(BackendError::unavailable("down"));
    }
    let asked: Vec<bool> = (0..9).map(|_| !ask(&chat).report.embeddings.is_empty()).collect();
    assert_eq!(asked, [true, false, true, false, false, false, true, false, false]);
    let error = block_on(chat.embed_history()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("the vectors of messages could not be made: down"), "{error}");
}

#[test]
fn a_text_that_is_refused_does_not_stand_in_the_way_of_others() {
    struct Picky;
    impl Embedder for Picky {
        fn id(&self) -> &'static str {
            "picky"
        }

        fn embed(&self, texts: Vec<String>) -> BoxFuture<'static, Result<Embeddings, BackendError>> {
            Box::pin(async move {
                if texts.iter().any(|text| text.contains("poison")) {
                    return Err(BackendError::rejected("not this one"));
                }
                Ok(Embeddings::new(texts.iter().map(|_| vec![1.0, 0.5]).collect()))
            })
        }
    }
    let mut file = Transcript::default();
    for text in ["one", "poison", "three"] {
        file.conversation.push(text);
    }
    let chat = ConversationManager::builder("gpt-4o-mini").embedder(Picky).open(file).unwrap();
    assert_eq!(block_on(chat.embed_history()).unwrap(), 2);
    assert_eq!(block_on(chat.embed_history()).unwrap(), 0);
    let alone = ConversationManager::builder("gpt-4o-mini").embedder(Picky).build().unwrap();
    alone.push("poison").unwrap();
    assert_eq!(block_on(alone.embed_history()).unwrap_err().kind(), ErrorKind::Rejected);
}

#[test]
fn vectors_of_changing_lengths_are_an_error_and_not_an_endless_task() {
    struct Wild(std::sync::atomic::AtomicUsize);
    impl Embedder for Wild {
        fn id(&self) -> &'static str {
            "wild"
        }

        fn most_texts(&self) -> usize {
            1
        }

        fn embed(&self, _: Vec<String>) -> BoxFuture<'static, Result<Embeddings, BackendError>> {
            let call = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Box::pin(async move { Ok(Embeddings::new(vec![vec![1.0; 2 + call % 2]])) })
        }
    }
    let chat = ConversationManager::builder("gpt-4o-mini").embedder(Wild(0.into())).build().unwrap();
    for text in ["one", "two", "three"] {
        chat.push(text).unwrap();
    }
    let error = block_on(chat.embed_history()).unwrap_err();
    assert!(error.to_string().contains("vectors of 2 and of 3 dimensions"), "{error}");
}

#[test]
fn the_plan_of_a_saved_conversation_is_the_plan_that_was_sent() {
    let chat = builder(&topics()).build().unwrap();
    talk(&chat);
    let sent = ask(&chat).report.plan;
    let file = Transcript::from_json(&chat.transcript().to_json()).unwrap();
    let again = builder(&topics()).open(file).unwrap();
    let planned = again.regenerate().plan().unwrap();
    assert_eq!(serde_json::to_string(&planned).unwrap(), serde_json::to_string(&sent).unwrap());
    assert!(serde_json::to_string(&planned).unwrap().contains("\"meaning\""));
}

#[test]
fn a_conversation_of_another_model_gets_its_vectors_anew() {
    let chat = builder(&topics()).build().unwrap();
    talk(&chat);
    let other = builder(&topics().with_id("other")).open(chat.transcript()).unwrap();
    assert!(!is_found(&ask(&other)), "vectors of two models are not compared");
    assert_eq!(other.transcript().vectors.by(), "other");
    assert!(is_found(&ask(&other)));
}

#[test]
fn a_purged_message_leaves_no_vector() {
    let chat = builder(&topics()).build().unwrap();
    talk(&chat);
    let (before, file) = (chat.vectors_known(), chat.transcript());
    assert_eq!(before, file.conversation.next_ordinal());
    let last = chat.snapshot().leaf().unwrap();
    chat.edit_record(|record| record.purge(last)).unwrap();
    assert_eq!(chat.vectors_known(), before - 1);
}

impl ConversationManager {
    fn vectors_known(&self) -> usize {
        self.shared.vectors().count()
    }
}

#[test]
fn what_is_billed_for_vectors_is_in_the_spending() {
    let chat = builder(&topics()).build().unwrap();
    talk(&chat);
    let spending = serde_json::to_value(chat.spending()).unwrap().to_string();
    assert!(spending.contains("\"embedding\""), "{spending}");
}

#[test]
fn the_words_of_a_server_are_not_in_debug() {
    let refused = Some("a secret of the conversation".to_owned());
    let call = EmbeddingCall { texts: 1, tokens: None, elapsed: Duration::ZERO, refused };
    assert!(!format!("{call:?}").contains("secret"));
}

#[cfg(feature = "openai")]
#[tokio::test]
async fn in_a_tokio_runtime_the_reply_does_not_wait_for_the_vectors_of_the_history() {
    let embedder = topics();
    embedder.then_stall();
    let chat = builder(&embedder).embed_within(Duration::from_secs(3_600)).build().unwrap();
    chat.send("I have a kitten called Minka.").await.unwrap();
    assert_eq!(chat.turn_count(), 1);
}

#[test]
fn a_redacted_message_is_embedded_again_and_the_others_are_not() {
    let embedder = topics();
    let chat = builder(&embedder).build().unwrap();
    talk(&chat);
    let before = embedder.calls().len();
    let hide = |text: &str| text.contains("Minka").then(|| text.replace("Minka", "[name]"));
    assert_eq!(chat.redact(hide).unwrap(), 1);
    assert_eq!(chat.transcript().vectors.count(), 19);
    assert_eq!(block_on(chat.embed_history()).unwrap(), 1);
    assert_eq!(embedder.calls()[before..], [["I have a kitten called [name]."]]);
}

#[test]
fn the_default_ladder_finds_by_meaning_too() {
    let chat = builder(&topics()).strategy(Ladder::default()).build().unwrap();
    talk(&chat);
    let reply = ask(&chat);
    assert!(is_found(&reply), "{}", reply.report.plan.explain());
    assert_eq!(reply.report.embeddings.len(), 1);
}
