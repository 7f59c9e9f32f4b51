//! Calls and their results.

use turnwise::backend::Scripted;
use turnwise::message::Part;
use turnwise::{
    Conversation, ConversationManager, ErrorKind, Fate, Message, Reason, TokenBudget, ToolCall, Transcript,
};

use crate::{TRIMMING, assert_legal, each_real_plan, ids, long_talk, plan, plan_on_user, plan_within};

fn call(id: &str) -> ToolCall {
    ToolCall::function(id, "look_up", r#"{"of": "all"}"#)
}

/// A question, `rounds` rounds of calls of two tools at once, and no answer yet.
fn loop_of(rounds: usize) -> Conversation {
    let mut talk = Conversation::from_messages([Message::user("Find them all.")]);
    for round in 0..rounds {
        let names = [format!("{round}a"), format!("{round}b")];
        talk.push(Message::calls(names.each_ref().map(|name| call(name))));
        for name in &names {
            talk.push(Message::tool(name, format!("found {}", "x".repeat(200))));
        }
    }
    talk
}

/// langchain#33245, n8n#34166, inspect_ai PR 2999
#[test]
fn trimming_never_leaves_a_result_without_its_call() {
    each_real_plan(|_, plan| assert_legal(plan.messages()));
}

/// autogen#7955, autogen#6789
#[test]
fn taking_messages_from_the_middle_never_orphans_a_result() {
    let mut talk = loop_of(12);
    talk.push(Message::assistant("All found."));
    talk.push(Message::user("Which of them was found in round 3?"));
    for spec in ["head-tail:first=4", "recall", "recall:tail=0,excerpts=50"] {
        for limit in (700..6_000).step_by(250) {
            let plan = plan(limit, &talk, spec);
            assert_legal(plan.messages());
            let has_hole = plan.runs().windows(2).any(|two| two[0].fate.is_sent() && two[1].fate == Fate::Evicted);
            assert!(has_hole || plan.evicted() == 0 || plan.runs()[0].fate == Fate::Evicted);
        }
    }
}

/// semantic-kernel PR 13610: calls at once whose results were paired once.
#[test]
fn of_parallel_calls_all_results_are_sent_or_none() {
    let mut talk = loop_of(8);
    talk.push(Message::assistant("All found."));
    talk.push(Message::user("Thanks!"));
    for spec in TRIMMING {
        for limit in (400..4_000).step_by(90) {
            let plan = plan(limit, &talk, spec);
            assert_legal(plan.messages());
            let results = plan.messages().iter().filter(|message| message.tool_call_id().is_some()).count();
            assert_eq!(results % 2, 0, "{spec} under {limit}");
        }
    }
}

/// semantic-kernel#12708: results were known by the class of their content.
#[test]
fn a_result_is_known_by_its_role_whatever_its_content() {
    let of_parts = Message::tool("b", "").with_content(vec![Part::from_text("two"), Part::from_text("parts")]);
    let null = Message::from_json(r#"{"role": "tool", "tool_call_id": "c", "content": null}"#).unwrap();
    let none = Message::from_json(r#"{"role": "tool", "tool_call_id": "d"}"#).unwrap();
    let talk = Conversation::from_messages([
        Message::calls(["a", "b", "c", "d"].map(call)),
        Message::tool("a", "text"),
        of_parts,
        null,
        none,
        Message::user("And now?"),
    ]);
    assert_eq!(talk.path().group_count(), 2);
    assert_eq!(plan(2_000, &talk, "window").messages().len(), 6);
    assert_eq!(plan(100, &talk, "window").messages().len(), 1);
}

/// llama_index#20256: a memory began with the assistant.
#[test]
fn a_window_can_be_asked_to_begin_with_the_user() {
    let talk = long_talk(20);
    for limit in (300..2_000).step_by(60) {
        let plan = plan(limit, &talk, "window:start=user");
        let first = plan.messages()[0].role().as_str().to_owned();
        assert!(first == "user" || plan.messages().len() == 1, "{limit}");
    }
}

/// gemini-cli, Anthropic-like servers and templates that want roles to alternate: the request must begin with the user,
/// whatever is trimmed.
#[test]
fn a_request_of_any_strategy_can_be_asked_to_begin_with_the_user() {
    let mut talk = loop_of(3);
    for message in long_talk(20).messages() {
        talk.push(message.clone());
    }
    talk.push(Message::user("And now?"));
    let mut dropped = 0;
    for spec in TRIMMING {
        for limit in (300..2_500).step_by(60) {
            let budget = TokenBudget::limit(limit);
            let free = plan_within(&budget, &talk, spec).unwrap();
            let bound = plan_on_user(&budget, &talk, spec).unwrap();
            assert_eq!(bound.messages()[0].role().as_str(), "user", "{spec} under {limit}");
            assert!(bound.tokens().total() <= limit);
            dropped += usize::from(bound.runs().iter().any(|run| run.reason == Reason::Start));
            let is_as_before = free.messages()[0].role().as_str() == "user";
            assert!(!is_as_before || free.messages() == bound.messages(), "{spec} under {limit}");
        }
    }
    assert!(dropped > 50, "{dropped}");
    futures_lite::future::block_on(async {
        let backend = Scripted::new(["Hi."]);
        let chat = ConversationManager::builder("m").backend(backend.clone()).budget(TokenBudget::limit(1_000));
        let chat = chat.start_on_user().build().unwrap();
        chat.push(Message::assistant("Welcome!")).unwrap();
        chat.send("Hello.").await.unwrap();
        assert_eq!(texts_of(&backend.requests()[0].messages), ["Hello."]);
    });
}

/// langchain#39261: a window without a user message was replaced by a placeholder, and the model never called.
#[test]
fn a_tool_loop_longer_than_the_window_is_sent_with_its_question_and_no_placeholder() {
    let talk = loop_of(40);
    for spec in TRIMMING {
        let plan = plan(1_500, &talk, spec);
        assert_eq!(plan.messages()[0].text(), "Find them all.", "{spec}");
        assert!(plan.messages().len() >= 4, "{spec}");
        assert_legal(plan.messages());
        let is_cleared = |message: &Message| message.text().starts_with("[result of ");
        let known: Vec<&Message> = talk.path().messages().collect();
        let made_up = plan.messages().iter().filter(|message| !known.contains(message) && !is_cleared(message));
        assert_eq!(made_up.count(), 0, "{spec}");
    }
}

/// OpenHands#2255, OpenHands#1518: one loop spans all there is, and nothing could be condensed.
#[test]
fn one_round_longer_than_the_budget_is_made_smaller_and_not_refused() {
    let mut talk = Conversation::from_messages([Message::user("Read both.")]);
    talk.push(Message::calls(["a", "b"].map(call)));
    talk.push(Message::tool("a", "a".repeat(50_000)));
    talk.push(Message::tool("b", "short"));
    for spec in TRIMMING {
        let plan = plan(2_000, &talk, spec);
        assert_legal(plan.messages());
        assert_eq!(plan.messages().len(), 4);
        assert!(plan.tokens().total() <= 2_000);
        assert_eq!((plan.messages()[0].text(), plan.messages()[3].text()), ("Read both.".into(), "short".into()));
        let run = plan.runs().iter().find(|run| run.fate == Fate::Shrunk).unwrap();
        assert!(run.saved > 48_000 && run.reason == Reason::Pending);
    }
}

/// opencode#21326, agentscope#2469, livekit agents#5092: a call that was interrupted spoiled the session for good.
#[test]
fn an_interrupted_call_does_not_spoil_the_conversation() {
    let mut talk = long_talk(3);
    talk.push(Message::user("Book it."));
    talk.push(Message::calls([ToolCall::function("x", "book", r#"{"seat": "12"#)]));
    let call = ids(&talk)[7];
    talk.push(Message::user("Are you there?"));
    for spec in TRIMMING.into_iter().filter(|spec| !spec.starts_with("window:")) {
        let plan = plan(10_000, &talk, spec);
        assert_legal(plan.messages());
        let decided = plan.decisions().find(|decision| decision.item == Some(call)).unwrap();
        assert_eq!((decided.fate, decided.reason), (Fate::Evicted, &Reason::Unanswered));
        assert_eq!(plan.messages().len(), 8);
    }
    assert_eq!(talk.get(call).unwrap().message().tool_calls()[0].arguments(), r#"{"seat": "12"#);
}

fn steered() -> Conversation {
    Conversation::from_messages([
        Message::user("Start."),
        Message::calls([call("a"), call("b")]),
        Message::tool("a", "3 files"),
        Message::user("I meant the other folder."),
        Message::tool("b", "x, y, z"),
    ])
}

fn texts_of(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.text().into_owned()).collect()
}

/// kimi-code#705: the user spoke while a tool ran, and calls and results were left out, or refused by the server.
#[test]
fn what_a_user_says_while_a_tool_runs_does_not_tear_calls_and_results_apart() {
    let mut talk = steered();
    talk.push(Message::assistant("Done."));
    talk.push(Message::user("What was in it?"));
    for spec in TRIMMING {
        for limit in (100..600).step_by(20) {
            assert_legal(plan(limit, &talk, spec).messages());
        }
    }
    let sent = plan(1_000, &talk, "window");
    assert_eq!(texts_of(&sent.messages()[1..5]), ["", "3 files", "x, y, z", "I meant the other folder."]);
    assert!(sent.decisions().all(|decision| decision.fate == Fate::Kept));
    assert_eq!(texts_of(&talk.messages().cloned().collect::<Vec<_>>())[3], "I meant the other folder.");
}

#[test]
fn a_file_keeps_the_order_in_which_things_happened() {
    let again = Transcript::from_json(&Transcript::new(steered()).to_json()).unwrap();
    assert!(again.conversation.messages().eq(steered().messages()));
    assert_eq!(plan(1_000, &again.conversation, "window").messages(), plan(1_000, &steered(), "window").messages());
}

/// The same, as it happens.
#[test]
fn results_can_be_sent_after_the_user_spoke() {
    futures_lite::future::block_on(async {
        let backend = Scripted::default().and([call("a"), call("b")]).and("Done.").and("Fine.");
        let chat = ConversationManager::builder("m").backend(backend.clone()).budget(TokenBudget::limit(1_000));
        let chat = chat.build().unwrap();
        chat.send("Start.").await.unwrap();
        chat.push(Message::tool("a", "3 files")).unwrap();
        chat.push("I meant the other folder.").unwrap();
        let error = chat.respond([Message::tool("c", "?")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownCall);
        let reply = chat.respond([Message::tool("b", "x, y, z")]).await.unwrap();
        assert_eq!(reply.text(), "Done.");
        let sent = backend.requests().pop().unwrap().messages;
        assert_eq!(texts_of(&sent), ["Start.", "", "3 files", "x, y, z", "I meant the other folder."]);
        let recorded = texts_of(&chat.history());
        assert_eq!(recorded[2..], ["3 files", "I meant the other folder.", "x, y, z", "Done."]);
        chat.send("Thanks.").await.unwrap();
        assert_legal(&backend.requests().pop().unwrap().messages);
    });
}

#[test]
fn of_calls_that_a_user_spoke_after_only_the_open_ones_are_run() {
    futures_lite::future::block_on(async {
        let backend = Scripted::new(["Done."]);
        let mut talk = steered();
        talk.undo();
        talk.push(Message::user("I meant the other folder."));
        let chat = ConversationManager::builder("m").backend(backend.clone()).budget(TokenBudget::limit(1_000));
        let chat = chat.open(Transcript::new(talk)).unwrap();
        let run = |call: ToolCall| async move { format!("ran {}", call.id().unwrap_or_default()) };
        assert_eq!(chat.resume_tools(run).await.unwrap().text(), "Done.");
        let sent = backend.requests().pop().unwrap().messages;
        assert_eq!(texts_of(&sent), ["Start.", "", "3 files", "ran b", "I meant the other folder."]);
    });
}

#[test]
fn a_reply_is_not_asked_for_while_a_late_result_is_missing() {
    futures_lite::future::block_on(async {
        let mut talk = Conversation::from_messages([Message::user("Start."), Message::calls([call("a"), call("b")])]);
        talk.push(Message::user("I meant the other folder."));
        let answered = Scripted::new(["Yes?"]);
        let chat = |talk: &Conversation| {
            let chat = ConversationManager::builder("m").backend(answered.clone()).budget(TokenBudget::limit(1_000));
            chat.open(Transcript::new(talk.clone())).unwrap()
        };
        talk.push(Message::tool("a", "3 files"));
        let error = chat(&talk).reply().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnansweredCalls);
        assert!(error.to_string().contains("`b`"), "{error}");
        talk.undo();
        talk.push(Message::user("Never mind."));
        assert_eq!(chat(&talk).reply().await.unwrap().text(), "Yes?", "the user is answered without the calls");
    });
}
