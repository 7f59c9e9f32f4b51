//! What was sent and not counted, or counted by guess.

use serde_json::json;
use turnwise::{
    ChatCost, ChatRequest, Conversation, ErrorKind, Ledger, Message, Planner, SlidingWindow, StrategyCache,
    TokenBudget, count, strategy::parse, trim,
};

const RIVER: &str = "The river is wide here. ";

fn messages(value: &serde_json::Value) -> Vec<Message> {
    ChatRequest::from_json(&value.to_string()).unwrap().messages
}

fn body(messages: &[Message]) -> String {
    serde_json::to_string(messages).unwrap()
}

/// open-jarvis/OpenJarvis#608: parts of a kind that is not known (thinking of Mistral, calls of Anthropic) with 24,000
/// tokens of text passed for 500 within a budget of 2,000.
#[test]
fn a_part_of_another_kind_is_counted_by_its_text() {
    let river = RIVER.repeat(4_000);
    let thinking =
        json!([{"type": "thinking", "thinking": [{"type": "text", "text": river}]}, {"type": "text", "text": "Done."}]);
    let call = json!([{"type": "tool_use", "id": "t1", "name": "write", "input": {"text": river}}]);
    for content in [thinking, call] {
        let content_kind = content[0]["type"].clone();
        let user = |text: &str| json!({"role": "user", "content": text});
        let talk = messages(&json!([user("go"), {"role": "assistant", "content": content}, user("next")]));
        let total = count(&talk);
        assert!((24_000..24_200).contains(&total.tokens) && !total.exact, "{total}");
        let budget = TokenBudget::limit(2_000);
        let window = trim(&talk, &budget, &SlidingWindow::tokens()).unwrap();
        assert!(window.tokens().total() <= 2_000 && body(window.messages()).len() < 2_000, "{}", window.explain());
        if content_kind == "tool_use" {
            let refused = trim(&talk, &TokenBudget::limit(50_000), &SlidingWindow::tokens()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidMessage, "a call that is a part is not sent");
            continue;
        }
        for spec in ["recall", "head-tail", "tools", "ladder"] {
            let plan = trim(&talk, &budget, &*parse(spec).unwrap()).unwrap();
            assert!(body(plan.messages()).len() < 2_000, "{spec}: {}", plan.explain());
        }
        let refused = trim(&talk, &budget, &*parse("everything").unwrap()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OverBudget);
        let pending = trim(&talk[1..2], &budget, &SlidingWindow::tokens()).unwrap_err();
        assert!(pending.over_budget().unwrap().tokens > 24_000, "{pending}");
    }
}

/// The same report: 24,000 tokens of `reasoning_content` were printed and not counted.
#[test]
fn what_a_plan_gives_is_what_was_counted() {
    let talk = messages(&json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "Done.", "reasoning_content": RIVER.repeat(4_000), "tool_calls": []},
        {"role": "user", "content": "next"},
    ]));
    let plan = trim(&talk, &TokenBudget::limit(2_000), &SlidingWindow::tokens()).unwrap();
    assert!(!plan.tokens().estimated);
    // Built from a `Value`, whose keys are in alphabetic order.
    let sent =
        r#"[{"content":"go","role":"user"},{"content":"Done.","role":"assistant"},{"content":"next","role":"user"}]"#;
    assert_eq!(body(plan.messages()), sent);
    assert_eq!(body(&plan.request().messages), sent);
    assert_eq!(plan.tokens().total(), count(plan.messages()).tokens);

    let dialect = turnwise::backend::Dialect::default().send_fields(["reasoning_content"]);
    let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(30_000)).unwrap().dialect(dialect.clone());
    let plan = |planner: &Planner| {
        let talk = Conversation::from_messages(talk.iter().cloned());
        planner.plan(&talk, &mut Ledger::new(), &SlidingWindow::tokens(), &mut StrategyCache::default())
    };
    let whole = plan(&planner).unwrap();
    assert!(whole.tokens().total() > 24_000 && whole.tokens().estimated && body(whole.messages()).len() > 96_000);
    let small = Planner::new(ChatCost::default(), &TokenBudget::limit(2_000)).unwrap().dialect(dialect);
    assert!(body(plan(&small).unwrap().messages()).len() < 1_000, "it is left out, as it does not fit");
}

/// vercel/ai: messages of its user interface have `parts` and no content. They counted four tokens, exactly.
#[test]
fn a_message_whose_text_stands_elsewhere_is_not_exact() {
    let talk = messages(&json!([{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hello there!"}]}]));
    assert!(!count(&talk).exact);
    assert!(trim(&talk, &TokenBudget::limit(2_000), &SlidingWindow::tokens()).unwrap().tokens().estimated);
}
