use std::future::IntoFuture;

use futures_lite::future::block_on;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, FinishReason};
use crate::budget::TokenBudget;
use crate::message::Message;
use crate::plan::{Fate, Plan};
use crate::request::ChatRequest;
use crate::strategy::Summarize;
use crate::tokens::CounterFn;

const LIMIT: u64 = 3_000;

/// Answers questions, and summarizes in one of several ways.
#[derive(Clone)]
struct Model {
    how: How,
    summaries: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum How {
    Well,
    Empty,
    CutOff,
    Huge,
    Fails,
}

impl Model {
    fn new(how: How) -> Self {
        Self { how, summaries: Arc::default() }
    }

    fn calls(&self) -> usize {
        self.summaries.load(Ordering::Relaxed)
    }
}

impl ChatBackend for Model {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let cost: u64 = request.messages.iter().map(|message| message.text().len() as u64 + 4).sum();
        assert!(cost + 3 <= LIMIT, "a request of {cost}");
        let is_summary = request.messages[0].text().starts_with("You keep the memory");
        let reply = |text: String| Ok(ChatReply::new(Message::assistant(text)));
        let answer = match (is_summary, self.how) {
            (false, _) => reply(format!("answer {}", "a".repeat(100))),
            (true, How::Well) => reply(format!("summary {}", self.calls())),
            (true, How::Empty) => reply("  ".to_owned()),
            (true, How::CutOff) => Ok(ChatReply::new(Message::assistant("so far")).finish(FinishReason::Length)),
            (true, How::Huge) => reply("x".repeat(5_000)),
            (true, How::Fails) => Err(BackendError::status(500, "no room for lantern")),
        };
        self.summaries.fetch_add(usize::from(is_summary), Ordering::Relaxed);
        Box::pin(async move { answer })
    }
}

fn builder(model: &Model) -> Builder {
    ConversationManager::builder("test-model")
        .backend(model.clone())
        .budget(TokenBudget::limit(LIMIT))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
        .strategy(Summarize::rolling().tokens(200))
}

fn talk(chat: &ConversationManager, turns: usize) -> Vec<Reply> {
    let question = |n: usize| chat.send(format!("question {n:03} {}", "q".repeat(100)));
    block_on(async {
        let mut replies = Vec::new();
        for n in 0..turns {
            replies.push(question(n).await.unwrap());
        }
        replies
    })
}

/// Every message is sent, left out with a reason, or covered by the summary that the plan names.
fn account(plan: &Plan) {
    let covered: usize = plan.runs().iter().map(|run| run.indexes.len()).sum();
    assert_eq!(covered, plan.record().messages().count());
    let is_summarized = plan.runs().iter().any(|run| run.fate == Fate::Summarized);
    assert_eq!(is_summarized, plan.summary().is_some());
    assert!(plan.tokens().total() <= LIMIT);
}

#[test]
fn old_messages_are_summarized_and_the_summary_rolls_on() {
    let model = Model::new(How::Well);
    let chat = builder(&model).system("Be brief.").build().unwrap();
    let replies = talk(&chat, 60);
    for reply in &replies {
        account(&reply.report.plan);
    }
    let last = &replies[59].report.plan;
    assert_eq!(last.messages()[0].text(), "Be brief.");
    let text = last.messages()[1].text().into_owned();
    assert!(text.starts_with("Summary of ") && text.contains("summary "), "{text}");
    assert_eq!(chat.history().len(), 121, "the record is whole");
    // A cut from the high to the low mark takes some eight exchanges, of which one call takes in
    // all.
    assert!((4..=12).contains(&model.calls()), "{} calls", model.calls());
    let made: usize = replies.iter().map(|reply| reply.report.summaries.len()).sum();
    assert_eq!(made, model.calls());
    assert!(replies.iter().flat_map(|reply| &reply.report.summaries).all(|call| call.refused.is_none()));
}

#[test]
fn without_a_new_summary_none_is_made_and_what_does_not_fit_is_left_out() {
    let model = Model::new(How::Well);
    let chat = builder(&model).build().unwrap();
    for n in 0..30 {
        let question = format!("question {n:03} {}", "q".repeat(100));
        let reply = block_on(chat.send(question).without_new_summary().into_future()).unwrap();
        account(&reply.report.plan);
    }
    assert_eq!((model.calls(), chat.history().len()), (0, 60));
    let plan = chat.plan("next").unwrap();
    assert!(plan.evicted() > 0 && plan.summary_request().is_some());
    talk(&chat, 1);
    assert!(model.calls() > 0, "the next exchange is as before");
    block_on(chat.send("and now?").without_new_summary().into_future()).unwrap();
    assert!(chat.plan("next").unwrap().summary().is_some(), "what exists is sent");
}

#[test]
fn a_summary_survives_save_load_and_fork() {
    let model = Model::new(How::Well);
    let chat = builder(&model).build().unwrap();
    let replies = talk(&chat, 30);
    let before = model.calls();
    let again = builder(&model).open(Transcript::from_json(&chat.transcript().to_json()).unwrap()).unwrap();
    let fork = chat.fork(replies[29].item_id).unwrap();
    for other in [again, fork] {
        let plan = other.plan("next").unwrap();
        assert!(plan.summary().is_some() && plan.summary_request().is_none());
    }
    assert_eq!(model.calls(), before);
}

#[test]
fn a_bad_summary_never_costs_the_exchange() {
    for how in [How::Empty, How::CutOff, How::Huge, How::Fails] {
        let model = Model::new(how);
        let chat = builder(&model).build().unwrap();
        let replies = talk(&chat, 60);
        for reply in &replies {
            account(&reply.report.plan);
        }
        assert_eq!(chat.snapshot().summaries().count(), 0);
        let calls: Vec<_> = replies.iter().flat_map(|reply| &reply.report.summaries).collect();
        assert!(calls.iter().all(|call| call.refused.is_some()));
        let is_told = calls.iter().all(|call| call.refused.as_ref().unwrap().contains("lantern"));
        assert_eq!(is_told, matches!(how, How::Fails), "the server's reason is there for who asks");
        assert!(!format!("{:?}", replies.iter().map(|reply| &reply.report).collect::<Vec<_>>()).contains("lantern"));
        assert!((2..=12).contains(&calls.len()), "{} calls: it is asked ever more rarely", calls.len());
    }
}

#[test]
fn a_long_conversation_opened_cold_is_summarized_by_parts() {
    let model = Model::new(How::Well);
    let long = (0..400).map(|n| match n % 2 {
        0 => Message::user(format!("question {n} {}", "q".repeat(140))),
        _ => Message::assistant(format!("answer {n} {}", "a".repeat(140))),
    });
    let file = Transcript::new(Conversation::from_messages(long));
    let chat = builder(&model).open(file).unwrap();
    let replies = talk(&chat, 40);
    assert_eq!(replies[0].report.summaries.len(), 2);
    for reply in &replies {
        account(&reply.report.plan);
    }
    let covered = |reply: &Reply| reply.report.plan.summary().map_or(0, |summary| summary.groups.end);
    assert!(covered(&replies[0]) > 5 && covered(&replies[39]) > 400, "{}", covered(&replies[39]));
}

#[test]
fn a_summary_can_be_made_ahead_of_time() {
    let model = Model::new(How::Well);
    let chat = builder(&model).build().unwrap();
    assert!(!block_on(chat.prepare(0.5)).unwrap(), "there is nothing yet");
    let replies = talk(&chat, 9);
    assert!(replies.iter().all(|reply| reply.report.summaries.is_empty()));
    assert!(block_on(chat.prepare(0.5)).unwrap());
    assert_eq!((model.calls(), chat.snapshot().summaries().count()), (1, 1));
    let replies = talk(&chat, 6);
    assert!(replies.iter().all(|reply| reply.report.summaries.is_empty()), "no send waits for a summary");
    assert!(replies[5].report.plan.summary().is_some());
}

#[test]
fn a_summary_must_mention_what_it_is_told_to() {
    let model = Model::new(How::Well);
    let chat = builder(&model).summarizer(Summarizer::default().must_mention(["order 66"])).build().unwrap();
    let replies = talk(&chat, 20);
    let refused = replies.iter().flat_map(|reply| &reply.report.summaries).find_map(|call| call.refused.clone());
    assert!(refused.unwrap().contains("of the required words"));
}

#[test]
fn pins_inside_a_summary_are_sent_in_full_before_it() {
    let model = Model::new(How::Well);
    let chat = builder(&model).build().unwrap();
    let first = talk(&chat, 1).remove(0);
    chat.pin(first.asked).unwrap();
    let replies = talk(&chat, 30);
    let plan = &replies[29].report.plan;
    account(plan);
    assert!(plan.messages()[0].text().starts_with("question 000"));
    assert!(plan.messages()[1].text().starts_with("Summary of"));
}

fn german() -> SummaryPrompts {
    SummaryPrompts {
        instructions: "Fasse in {words} Wörtern zusammen.".to_owned(),
        previous: "Bisher:\n{summary}".to_owned(),
        messages: "Nachrichten:\n{messages}".to_owned(),
        call: "ruft {name}({arguments}) auf".to_owned(),
        left_out: "[… {tokens} Zeichen fehlen …]".to_owned(),
        introduction: "Fazit aus {messages} früheren Nachrichten:".to_owned(),
    }
}

/// Answers in German, and notes what it is sent.
#[derive(Clone, Default)]
struct German(Arc<Mutex<Vec<String>>>);

impl ChatBackend for German {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let texts: Vec<String> = request.messages.iter().map(|message| message.text().into_owned()).collect();
        let is_summary = texts[0].starts_with("Fasse");
        self.0.lock().unwrap().extend(texts);
        let text = if is_summary { "Es ging um Flüsse.".to_owned() } else { format!("Antwort {}", "ä".repeat(90)) };
        Box::pin(async move { Ok(ChatReply::new(Message::assistant(text))) })
    }
}

#[test]
fn with_prompts_in_another_language_no_english_text_of_ours_reaches_the_model() {
    let backend = German::default();
    let chat = ConversationManager::builder("test-model")
        .backend(backend.clone())
        .budget(TokenBudget::limit(LIMIT))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
        .strategy(Summarize::rolling().tokens(200))
        .summarizer(Summarizer::default().prompts(german()))
        .system("Sei kurz.")
        .build()
        .unwrap();
    // A call with its result, and a message that is longer than the summarizer's window.
    chat.push("Welche Flüsse gibt es?").unwrap();
    chat.push(Message::calls([crate::message::ToolCall::function("1", "suche", "{\"wort\":\"Fluss\"}")])).unwrap();
    chat.push(Message::tool("1", "Elbe, Oder")).unwrap();
    chat.push(Message::assistant("ü".repeat(2_000))).unwrap();
    for number in 0..40 {
        block_on(chat.send(format!("Frage {number} {}", "ö".repeat(60))).into_future()).unwrap();
    }
    let sent = backend.0.lock().unwrap().join("\n");
    for german in [
        "ruft suche({\"wort\":\"Fluss\"}) auf",
        "Zeichen fehlen …]",
        "Bisher:\nEs ging",
        "Nachrichten:\n",
        "Fazit aus ",
    ] {
        assert!(sent.contains(german), "{german}");
    }
    let defaults = SummaryPrompts::default();
    let texts = [
        defaults.instructions,
        defaults.previous,
        defaults.messages,
        defaults.call,
        defaults.left_out,
        defaults.introduction,
    ];
    let letters = |letter: char| !letter.is_alphabetic();
    let ours = texts.iter().flat_map(|text| text.split(letters)).filter(|word| word.len() > 3);
    // Names of roles, and of what is filled in, are no words of a text.
    let allowed = ["user", "tool", "assistant", "system", "name", "arguments", "words", "messages", "tokens"];
    let sent: std::collections::HashSet<&str> = sent.split(letters).collect();
    let english: Vec<&str> = ours.filter(|word| sent.contains(word) && !allowed.contains(word)).collect();
    assert!(english.is_empty(), "{english:?}");

    // Another manager, and a program without one, send it as it was made.
    let again = Transcript::from_json(&chat.transcript().to_json()).unwrap();
    assert_eq!(again.conversation.summaries().last().unwrap().introduction.as_deref(), Some(&*german().introduction));
}

#[test]
fn the_texts_around_a_summary_are_those_of_the_files_and_stay_out_of_the_record() {
    let model = Model::new(How::Well);
    let chat = builder(&model).build().unwrap();
    talk(&chat, 30);
    assert!(chat.snapshot().summaries().all(|summary| summary.introduction.is_none()));
    let default = SummaryPrompts::default();
    assert_eq!((&*default.previous, &*default.messages), ("Summary so far:\n{summary}", "Messages:\n{messages}"));
}
