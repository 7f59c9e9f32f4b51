//! What was dropped, why, and how to get it back.

use turnwise::{Conversation, Fate, Message, Reason, ToolCall, Transcript};

use crate::{TRIMMING, each_real_plan, ids, long_talk, plan, texts};

/// codex#5366, claude-code#26212, zed#35019, llama_index#23144: what was dropped, and why? Nobody said.
#[test]
fn every_message_that_is_not_sent_is_named_with_a_reason() {
    each_real_plan(|talk, plan| {
        let all: Vec<&Message> = talk.head().iter().chain(talk.path().messages()).collect();
        let decided: Vec<_> = plan.decisions().collect();
        assert!(decided.iter().map(|decision| decision.index).eq(0..all.len()));
        let sent = decided.iter().filter(|decision| decision.fate.is_sent());
        assert_eq!(sent.count(), plan.messages().len());
        assert_eq!(decided.iter().filter(|decision| !decision.fate.is_sent()).count(), plan.evicted());
        let explained = plan.explain().to_string();
        assert!(plan.runs().iter().all(|run| explained.contains(&run.reason.to_string())));
    });
}

/// zed#61599: the numbers behind a decision could not be seen.
#[test]
fn the_arithmetic_behind_a_plan_adds_up() {
    each_real_plan(|_, plan| {
        let parts = plan.tokens();
        assert_eq!(
            parts.head + parts.tools + parts.history + parts.summary + parts.context + parts.overhead,
            parts.total()
        );
        let sent = plan.runs().iter().filter(|run| run.fate.is_sent());
        assert_eq!(sent.map(|run| run.tokens).sum::<u64>(), parts.head + parts.history);
        let said = plan.explain().to_string().replace(',', "");
        assert!(said.contains(&format!("= {} tokens", parts.total())) || parts.estimated, "{said}");
    });
}

/// aichat#576, harness-sdk#702, llama_index's summary buffer: is it destructive?
#[test]
fn planning_removes_nothing_from_the_record() {
    let talk = long_talk(40);
    let before = Transcript::new(talk.clone()).to_json();
    for spec in TRIMMING {
        let plan = plan(1_000, &talk, spec);
        assert!(plan.evicted() > 0);
        let mut marked = talk.clone();
        plan.commit_marks(&mut marked).unwrap();
        assert!(marked.path().messages().eq(talk.path().messages()));
    }
    assert_eq!(Transcript::new(talk).to_json(), before);
}

/// agent-framework#7358: a result was cut, and nobody said so, least of all to the model.
#[test]
fn what_was_made_smaller_says_so_to_the_model_and_to_the_reader() {
    let mut talk = Conversation::from_messages([Message::user("Read it all.")]);
    for id in ["1", "2", "3"] {
        talk.push(Message::calls([ToolCall::function(id, "read", "{}")]));
        talk.push(Message::tool(id, "r".repeat(1_000)));
    }
    talk.push(Message::assistant("Done."));
    talk.push(Message::user("Thanks."));
    let cleared = plan(2_500, &talk, "tools:keep=1");
    assert_eq!(cleared.messages()[2].text(), "[result of 1,000 tokens left out]");
    let run = cleared.runs().iter().find(|run| run.fate == Fate::Shrunk).unwrap();
    assert_eq!((&run.reason, run.saved), (&Reason::Cleared, 2 * (1_000 - 33)));
    assert!(cleared.explain().to_string().contains("1,934 saved"), "{}", cleared.explain());

    let pasted = Conversation::from_messages([Message::user("p".repeat(5_000))]);
    let cut = plan(1_000, &pasted, "window");
    let text = cut.messages()[0].text().into_owned();
    let said: u64 = text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap();
    assert!(said > 4_000, "how much is missing stands in the text: {text}");
}

/// deja-vu#543: give back what compaction threw away.
#[test]
fn what_a_summary_covers_can_be_listed_and_brought_back() {
    let mut talk = long_talk(12);
    let items = ids(&talk);
    let summary = talk.attach(items[0], items[9], "They counted.", None).unwrap();
    let short = plan(2_000, &talk, "summarize");
    assert_eq!(short.summary().unwrap().id, summary);
    assert!(short.messages()[0].text().ends_with("They counted."));
    let covered: Vec<_> = talk.covered(summary).unwrap().iter().map(|item| item.id()).collect();
    assert_eq!(covered, items[..10]);
    talk.expand(summary).unwrap();
    let whole = plan(3_000, &talk, "summarize");
    assert_eq!(whole.messages().len(), 24);
    assert!(whole.summary().is_none());
}

/// pydantic-ai#2541, monocode#213: an export without the summary, and a summary nobody can read.
#[test]
fn a_saved_conversation_holds_its_summaries_as_text() {
    let mut talk = long_talk(3);
    let items = ids(&talk);
    talk.attach(items[0], items[3], "They counted to one.", Some("small-model")).unwrap();
    let json = Transcript::new(talk).to_json();
    assert!(json.contains("They counted to one.") && json.contains("small-model"));
    let again = Transcript::from_json(&json).unwrap().conversation;
    let summary = again.summaries().next().unwrap();
    assert_eq!((summary.first, summary.last, &*summary.text), (items[0], items[3], "They counted to one."));
}

/// term-llm PR 663, hermes-agent PR 87326: people write a program of their own to compare settings.
#[test]
fn settings_are_compared_without_sending_anything_and_the_same_twice() {
    let talk = long_talk(30);
    for spec in TRIMMING {
        let (one, two) = (plan(1_500, &talk, spec), plan(1_500, &talk, spec));
        assert_eq!(texts(&one), texts(&two));
        assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&two).unwrap());
    }
}

/// What each step of a ladder costs was nowhere said, so that nobody could choose.
#[test]
fn a_ladder_says_the_price_of_each_step_and_takes_no_more_than_it_needs() {
    let mut talk = Conversation::from_messages([Message::user("The task.")]);
    for message in long_talk(30).path().messages() {
        talk.push(message.clone());
    }
    for id in ["1", "2", "3", "4"] {
        talk.push(Message::calls([ToolCall::function(id, "read", "{}")]));
        talk.push(Message::tool(id, "r".repeat(1_000)));
    }
    talk.push(Message::assistant("Read."));
    talk.push(Message::user("What did it say?"));
    let spec = "ladder:clear-tools:keep=1/drop-reasoning/summarize";
    let steps = |limit| {
        let step = |step: &turnwise::plan::Step| (step.saved, step.price);
        plan(limit, &talk, spec).steps().iter().map(step).collect::<Vec<_>>()
    };
    let unneeded = (None, 0);
    assert_eq!(steps(12_000), vec![unneeded; 3]);
    let cleared = (Some(3 * (1_000 - 33)), 0);
    assert_eq!(steps(8_500), [cleared, unneeded, unneeded]);
    let (far, plan) = (steps(4_000), plan(4_000, &talk, spec));
    assert_eq!(far[..2], [cleared, (Some(0), 0)]);
    let request = plan.summary_request().unwrap();
    assert!(request.tokens > 0 && far[2].1 == request.tokens, "{far:?}");
    let said = plan.explain().to_string().replace(',', "");
    assert!(said.contains(&format!("{} tokens to summarize", request.tokens)), "{said}");
}
