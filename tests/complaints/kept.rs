//! What must stay: the system prompt, rules, pins, and what belongs to a branch.

use turnwise::conversation::Mark;
use turnwise::{Conversation, ErrorKind, Message, Role, TokenBudget, ToolCall, Transcript};

use crate::{TRIMMING, assert_legal, each_real_plan, ids, long_talk, plan, plan_within, texts};

/// semantic-kernel#12708, llama_index#23144: the system prompt was trimmed away.
#[test]
fn the_system_prompt_is_never_trimmed() {
    each_real_plan(|talk, plan| {
        assert!(!talk.head().is_empty());
        assert_eq!(&plan.messages()[..talk.head().len()], talk.head());
    });
}

/// codex#19910, codex#31659, hermes-agent#84718: summaries and windows lose the task and the standing rules.
#[test]
fn a_rule_is_in_every_request_whatever_is_trimmed_or_summarized() {
    let mut talk = long_talk(40);
    talk.set_system("You are a clerk.");
    talk.constrain("Always answer in French.");
    let items = ids(&talk);
    talk.pin(items[0]).unwrap();
    talk.attach(items[0], items[50], "They counted.", None).unwrap();
    talk.set_system("You are another clerk.");
    for spec in TRIMMING {
        let texts = texts(&plan(1_500, &talk, spec));
        assert_eq!(texts[..2], ["You are another clerk.", "Always answer in French."], "{spec}");
        assert!(texts[2].starts_with("question 000"), "{spec}");
    }
    let mut branch = talk.fork(items[20]).unwrap();
    branch.push(Message::user("Elsewhere."));
    assert_eq!(plan(1_500, &branch, "window").messages()[1].text(), "Always answer in French.");
}

/// opencode#8932, sdk-typescript PR 1105, harness-sdk#4087: a pin was lost when the session was restored.
#[test]
fn a_pin_survives_save_load_and_fork() {
    let mut talk = long_talk(30);
    let items = ids(&talk);
    talk.pin(items[3]).unwrap();
    let loaded = Transcript::from_json(&Transcript::new(talk.clone()).to_json()).unwrap().conversation;
    let fork = talk.fork(items[40]).unwrap();
    for (talk, what) in [(talk, "itself"), (loaded, "loaded"), (fork, "forked")] {
        for spec in TRIMMING {
            assert!(texts(&plan(1_500, &talk, spec)).iter().any(|text| text.starts_with("answer 001")), "{what}");
        }
    }
}

/// Pins count too: those that alone are too much are refused, with the numbers.
#[test]
fn pins_that_alone_exceed_the_limit_are_refused_with_the_arithmetic() {
    let mut talk = long_talk(30);
    for id in ids(&talk).into_iter().take(8) {
        talk.pin(id).unwrap();
    }
    for spec in TRIMMING {
        let error = plan_within(&TokenBudget::limit(700), &talk, spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PinsOverBudget);
        let over = error.over_budget().unwrap();
        assert!(over.tokens > 800 && over.room < 700);
        assert!(error.to_string().contains(&format!("{}", over.room)), "{error}");
    }
}

/// A rule may be taken back, and is then in no request any more.
#[test]
fn a_rule_that_was_lifted_is_gone() {
    let mut talk = long_talk(3);
    talk.constrain("Always answer in French.");
    assert!(talk.lift("Always answer in French."));
    let plan = plan(2_000, &talk, "window");
    assert!(plan.messages().iter().all(|message| *message.role() != Role::System));
}

/// pydantic-ai-harness#85, claude-agent-sdk-typescript#88, OpenHands#2840, agno#7266, opencode#3487: forks lost the ids of
/// calls, and the state of what trims.
#[test]
fn a_fork_keeps_calls_summaries_and_cuts_of_what_it_holds_and_nothing_else() {
    let mut talk = Conversation::from_messages([Message::user("one"), Message::calls([call("x")])]);
    talk.push(Message::tool("x", "found"));
    for message in long_talk(20).path().messages() {
        talk.push(message.clone());
    }
    let items = ids(&talk);
    talk.attach(items[0], items[10], "They began.", None).unwrap();
    talk.attach(items[0], items[30], "They went on.", None).unwrap();
    talk.set_mark(Mark::new("window", "cut", items[11], items[35])).unwrap();
    let late = talk.fork(items[38]).unwrap();
    assert_eq!((late.summaries().count(), late.mark("window", "cut")), (2, Some(items[11])));
    let early = talk.fork(items[20]).unwrap();
    assert_eq!((early.summaries().count(), early.mark("window", "cut")), (1, None));
    let sent = texts(&plan(1_200, &early, "summarize"));
    assert!(sent[0].ends_with("They began."), "{}", sent[0]);
    let whole = plan(10_000, &early, "window");
    assert_legal(whole.messages());
    assert_eq!(whole.messages()[1].tool_calls()[0].id(), Some("x"));
}

fn call(id: &str) -> ToolCall {
    ToolCall::function(id, "find", "{}")
}
