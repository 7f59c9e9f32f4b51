//! Summaries that fail, loop, overflow, grow or lose what was written meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_lite::future::{block_on, poll_once, yield_now};
use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, FinishReason, Usage};
use turnwise::manager::Summarizer;
use turnwise::tokens::CounterFn;
use turnwise::{
    ChatRequest, Conversation, ConversationManager, Fate, Message, Reply, SlidingWindow, Summarize, TokenBudget,
    Transcript,
};

use crate::{bytes, long_talk};

const LIMIT: u64 = 3_000;

type Answer = Result<ChatReply, BackendError>;
/// Makes of a number from 0 and the request for a summary what the model answers.
type Answers = dyn Fn(usize, &ChatRequest) -> Answer + Send + Sync;

/// A model whose summaries are made as a test likes; it remembers the requests for them.
#[derive(Clone)]
struct Model {
    summarize: Arc<Answers>,
    asked: Arc<Mutex<Vec<ChatRequest>>>,
    chatted: Arc<AtomicUsize>,
}

#[allow(clippy::unnecessary_wraps, reason = "it stands where an answer does")]
fn said(text: impl Into<String>) -> Answer {
    Ok(ChatReply::new(Message::assistant(text.into())))
}

impl Model {
    fn new(summarize: impl Fn(usize, &ChatRequest) -> Answer + Send + Sync + 'static) -> Self {
        Self { summarize: Arc::new(summarize), asked: Arc::default(), chatted: Arc::default() }
    }

    fn asked(&self) -> Vec<ChatRequest> {
        self.asked.lock().unwrap().clone()
    }

    fn chat(&self) -> turnwise::Builder {
        let counter = CounterFn::new("bytes", |text| text.len() as u64);
        let builder = ConversationManager::builder("test-model").backend(self.clone()).counter(counter);
        builder.budget(TokenBudget::limit(LIMIT)).strategy(Summarize::rolling().tokens(300))
    }
}

impl ChatBackend for Model {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Answer> {
        assert!(bytes().messages(&request.messages).total().tokens <= LIMIT, "a request over the window");
        if !request.messages[0].text().starts_with("You keep the memory") {
            self.chatted.fetch_add(1, Ordering::Relaxed);
            return Box::pin(async { said("a".repeat(100)) });
        }
        let answer = (self.summarize)(self.asked().len(), &request);
        self.asked.lock().unwrap().push(request);
        Box::pin(async move {
            yield_now().await;
            answer
        })
    }
}

fn talk(chat: &ConversationManager, turns: usize) -> Vec<Reply> {
    let ask = |n: usize| block_on(async { chat.send(format!("question {n:03} {:080}", 0)).await.unwrap() });
    (0..turns).map(ask).collect()
}

/// langchain#38867: the call failed, the history was deleted, and the error's text became the summary.
#[test]
fn a_failed_summary_deletes_nothing_and_its_error_is_no_summary() {
    let model = Model::new(|_, _| Err(BackendError::status(500, "the server is on fire")));
    let chat = model.chat().build().unwrap();
    let replies = talk(&chat, 40);
    assert_eq!((chat.history().len(), model.chatted.load(Ordering::Relaxed)), (80, 40));
    assert!(!model.asked().is_empty());
    assert_eq!(chat.snapshot().summaries().count(), 0);
    for reply in &replies {
        let plan = &reply.report.plan;
        assert!(plan.messages().iter().all(|message| !message.text().contains("fire")));
        assert!(plan.messages().len() > 10 || plan.evicted() == 0, "the window stands in");
    }
}

/// openclaw#120663, docker-agent PR 3469, LibreChat agents PR 479: empty summaries were taken, or asked for until a cap.
#[test]
fn an_empty_summary_is_refused_and_the_last_one_kept() {
    let model = Model::new(|number, _| said(if number == 0 { "They counted." } else { " \n " }));
    let chat = model.chat().build().unwrap();
    let replies = talk(&chat, 80);
    assert!(model.asked().len() < 20, "{} calls", model.asked().len());
    assert_eq!(chat.snapshot().summaries().count(), 1);
    let last = &replies[79].report.plan;
    assert!(last.messages()[0].text().ends_with("They counted."));
    let mut refused = replies.iter().flat_map(|reply| &reply.report.summaries).filter_map(|call| call.refused.as_ref());
    assert!(refused.all(|why| why.contains("empty")));
}

/// codex#13279, #37319, #35226, #40213, #40619, deer-flow PR 2638: compaction that made the context larger, again and again.
#[test]
fn a_summary_that_is_no_shorter_is_refused_and_asked_for_ever_more_rarely() {
    let echo = |_: usize, request: &ChatRequest| said(request.messages[1].text().into_owned());
    let model = Model::new(echo);
    let chat = model.chat().build().unwrap();
    let replies = talk(&chat, 80);
    assert!(model.asked().len() <= 14, "{} calls in 80 exchanges", model.asked().len());
    assert!(replies.iter().all(|reply| reply.report.summaries.len() <= 2));
    assert_eq!(chat.snapshot().summaries().count(), 0);
}

/// The same reports: a summary within its tokens, and yet longer than the few messages that it replaced.
#[test]
fn a_summary_of_little_is_refused_where_it_is_longer() {
    let mut refused = 0;
    for turns in 14..24 {
        let model = Model::new(|number, _| said(if number == 0 { "Short.".to_owned() } else { "s".repeat(290) }));
        let chat = model.chat().open(Transcript::new(long_talk(turns))).unwrap();
        let calls = talk(&chat, 1).remove(0).report.summaries;
        for (number, (call, request)) in calls.iter().zip(model.asked()).enumerate().skip(1) {
            let text = request.messages[1].text().into_owned();
            let replaced = text.split_once("Messages:\n").unwrap().1.len() + "Short.".len();
            assert_eq!(call.refused.is_some(), replaced <= 290, "call {number} of {turns} turns: {:?}", call.refused);
            refused += usize::from(call.refused.is_some());
        }
    }
    assert!(refused > 0);
}

/// The same reports: only the last summary was summarized, again and again.
#[test]
fn a_summary_is_never_made_of_a_summary_alone() {
    let model = Model::new(|number, _| said(format!("Summary {number}.")));
    let chat = model.chat().build().unwrap();
    talk(&chat, 80);
    let asked = model.asked();
    assert!(asked.len() >= 4);
    for (number, request) in asked.iter().enumerate() {
        let told = request.messages[1].text().into_owned();
        assert!(told.split_once("Messages:").unwrap().1.contains("question "), "{told}");
        assert_eq!(
            told.contains(&format!("Summary {}.", number.wrapping_sub(1))),
            number > 0,
            "the last is carried over"
        );
    }
}

/// codex#24014, #23589, #29319, goose#8642, #10402, zed#62362: compaction itself was too long for the model, and the session
/// dead. (The model above refuses any request over its window.)
#[test]
fn summarizing_a_history_of_many_windows_never_overflows_the_window() {
    let model = Model::new(|number, _| said(format!("Summary {number}.")));
    let mut long = long_talk(300);
    long.push(Message::user("h".repeat(20_000)));
    long.push(Message::assistant("Long."));
    let chat = model.chat().open(Transcript::new(long)).unwrap();
    let replies = talk(&chat, 40);
    assert!(replies.iter().all(|reply| reply.report.summaries.len() <= 2), "some at a time");
    let covered = replies[39].report.plan.summary().unwrap().groups.end;
    assert!(covered > 600, "{covered}");
}

/// langmem, langchain (read): what did not fit the summarizer was left out of the summary without a word.
#[test]
fn nothing_is_skipped_between_two_summaries() {
    let model = Model::new(|number, _| said(format!("Summary {number}.")));
    let chat = model.chat().open(Transcript::new(long_talk(200))).unwrap();
    talk(&chat, 40);
    let told: String = model.asked().iter().map(|request| request.messages[1].text().into_owned()).collect();
    for n in 0..200 {
        assert!(told.contains(&format!("question {n:03}")) && told.contains(&format!("answer {n:03}")), "{n}");
    }
}

/// langchain#17888, langmem#118: a running summary that grows without bound.
#[test]
fn a_running_summary_stays_within_its_tokens() {
    let model = Model::new(|number, _| said("s".repeat(250 + 10 * number)));
    let chat = model.chat().build().unwrap();
    for reply in talk(&chat, 120) {
        // The words that introduce it and its frame are not the summarizer's.
        assert!(reply.report.plan.tokens().summary <= 300 + 150, "{}", reply.report.plan.tokens().summary);
    }
    assert!(chat.snapshot().summaries().all(|summary| summary.text.len() <= 300));
    assert!(model.asked().len() > 6, "one that was too long was refused");
}

/// The same: a summary that was cut off in the middle is none.
#[test]
fn a_summary_that_was_cut_off_is_refused() {
    let cut_off = |_: usize, _: &ChatRequest| said("so far").map(|reply| reply.finish(FinishReason::Length));
    let chat = Model::new(cut_off).chat().build().unwrap();
    let replies = talk(&chat, 30);
    assert_eq!(chat.snapshot().summaries().count(), 0);
    assert!(replies.iter().flat_map(|reply| &reply.report.summaries).all(|call| call.refused.is_some()));
}

/// openai-agents#4434, openclaw#117564, tau#701: summaries were billed and not reported.
#[test]
fn the_tokens_of_summaries_are_in_the_report_taken_or_not() {
    let billed = |number: usize, _: &ChatRequest| {
        said(if number.is_multiple_of(2) { "Good." } else { "" }).map(|reply| reply.usage(Usage::new(900, 50)))
    };
    let model = Model::new(billed);
    let chat = model.chat().build().unwrap();
    let calls: Vec<_> = talk(&chat, 80).into_iter().flat_map(|reply| reply.report.summaries).collect();
    assert_eq!(calls.len(), model.asked().len());
    for (call, request) in calls.iter().zip(model.asked()) {
        assert_eq!(call.usage.as_ref().unwrap().prompt_tokens, 900);
        assert_eq!(call.tokens, bytes().messages(&request.messages).total().tokens);
    }
    assert!(calls.iter().any(|call| call.refused.is_some()) && calls.iter().any(|call| call.refused.is_none()));
}

/// openai-agents#3820 (documented there), aichat (read): messages written while a summary was made went with the old ones.
#[test]
fn what_is_said_while_a_summary_is_made_stays() {
    let model = Model::new(|_, _| said("They counted."));
    let chat = model.chat().open(Transcript::new(long_talk(30))).unwrap();
    let before = chat.history().len();
    block_on(async {
        let mut making = Box::pin(chat.prepare(0.5));
        assert!(poll_once(&mut making).await.is_none(), "it waits for the model");
        chat.push(Message::user("By the way, I am allergic to nuts.")).unwrap();
        assert!(making.await.unwrap());
    });
    assert_eq!(chat.history().len(), before + 1);
    let plan = chat.plan("What may I eat?").unwrap();
    assert!(plan.summary().is_some());
    assert!(plan.messages().iter().any(|message| message.text().contains("allergic to nuts")));
    let covered: &Conversation = &chat.snapshot();
    let summary = covered.summaries().next().unwrap();
    assert!(covered.covered(summary.id).unwrap().iter().all(|item| !item.message().text().contains("nuts")));
}

/// rig-memory, aichat (read): the summary was lost, and paid for again, with every restart.
#[test]
fn a_summary_is_not_paid_for_again_after_a_restart() {
    let model = Model::new(|number, _| said(format!("Summary {number}.")));
    let chat = model.chat().build().unwrap();
    talk(&chat, 30);
    let paid = model.asked().len();
    let saved = chat.transcript().to_json();
    let again = model.chat().open(Transcript::from_json(&saved).unwrap()).unwrap();
    let plan = again.plan("Go on.").unwrap();
    assert!(plan.summary().is_some() && plan.runs().iter().any(|run| run.fate == Fate::Summarized));
    assert_eq!(model.asked().len(), paid);
}

/// 17 % of the rules survive a summary in the benchmark that hermes-agent#84718 cites: here they are not summarized.
#[test]
fn pins_and_rules_never_depend_on_what_a_summary_says() {
    let model = Model::new(|_, _| said("Nothing of note."));
    let summarizer = Summarizer::default().max_calls(1);
    let chat = model.chat().system("Be brief.").summarizer(summarizer).build().unwrap();
    let first = talk(&chat, 1).remove(0);
    chat.pin(first.asked).unwrap();
    chat.edit_record(|record| {
        record.constrain("Never name a price.");
        Ok(())
    })
    .unwrap();
    let replies = talk(&chat, 60);
    assert!(replies[59].report.plan.summary().is_some());
    for reply in &replies {
        let texts: Vec<_> = reply.report.plan.messages().iter().map(|message| message.text().into_owned()).collect();
        assert_eq!(texts[..2], ["Be brief.", "Never name a price."]);
        assert!(texts[2].starts_with("question 000"));
    }
}

/// A summary of one branch must not stand for another, and the way back must not be paid for again.
#[test]
fn a_summary_and_a_cut_are_those_of_the_branch_that_holds_them() {
    let window = |model: &Model| model.chat().strategy(SlidingWindow::tokens());
    for (setup, summarizes) in [(Model::chat as fn(&Model) -> _, true), (window, false)] {
        let model = Model::new(|number, _| said(format!("Summary {number}.")));
        let chat = setup(&model).build().unwrap();
        let replies = talk(&chat, 40);
        let (paid, end) = (model.asked().len(), chat.snapshot().leaf().unwrap());
        let sent = |chat: &ConversationManager| chat.plan("Go on.").unwrap().messages().to_vec();
        let before = sent(&chat);

        chat.switch(replies[0].item_id).unwrap();
        assert_eq!(chat.snapshot().summaries().count(), 0);
        talk(&chat, 2);
        assert_eq!(sent(&chat).len(), 2 + 2 * 2 + 1, "all of a short branch is sent");
        chat.edit(replies[39].asked, "question 039, otherwise").unwrap();
        assert_eq!(sent(&chat)[0], before[0], "what is old is the same on this branch");
        chat.switch(end).unwrap();
        assert_eq!(sent(&chat), before);

        let saved = Transcript::from_json(&chat.transcript().to_json()).unwrap();
        assert_eq!(sent(&setup(&model).open(saved).unwrap()), before);
        assert_eq!((model.asked().len(), paid > 0), (paid, summarizes), "no summary is paid for twice");
    }
}
