//! Tool loops from end to end. Here: a long one under a budget that holds a few of its rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[cfg(feature = "openai")]
#[path = "tool_loop/gate.rs"]
mod gate;
#[path = "tool_loop/killed.rs"]
mod killed;
#[cfg(feature = "openai")]
#[path = "support/stub.rs"]
mod stub;

use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};

use futures_lite::future::block_on;
use turnwise::backend::Scripted;
use turnwise::manager::Summarizer;
use turnwise::strategy::parse;
use turnwise::{
    ChatCost, ChatRequest, ConversationManager, Message, Observer, Reply, Role, TokenBudget, Tool, ToolCall,
};

const ROUNDS: usize = 50;
const BUDGET: u64 = 2_000;
const QUESTION: &str = "Which of the hundred stations had more rain than the year before? Look all of them up.";

/// What the last exchanges repeated of the ones before, and what they sent.
#[derive(Default)]
struct Reuse(Mutex<(u64, u64)>);

impl Observer for Reuse {
    fn committed(&self, _: &str, reply: &Reply) {
        let mut sums = self.0.lock().unwrap();
        sums.0 += reply.report.repeated;
        sums.1 += reply.report.plan.tokens().total();
    }
}

fn calls(round: usize) -> Vec<ToolCall> {
    let one =
        |n: usize| ToolCall::function(&format!("call_{n}"), "rain", &format!(r#"{{"station":{}}}"#, round * 3 + n));
    (0..=round % 3).map(one).collect()
}

fn script() -> Scripted {
    let script = Scripted::default();
    for round in 0..ROUNDS {
        // Real servers reuse ids, and say something beside their calls now and then.
        let message = Message::calls(calls(round));
        script.then(if round % 7 == 0 { message.with_content("Next, the ones in the hills.") } else { message });
    }
    script.and("Forty-one of them.")
}

async fn rain(call: ToolCall) -> String {
    let arguments: serde_json::Value = serde_json::from_str(&call.arguments()).unwrap();
    let station = arguments["station"].as_u64().unwrap();
    let month = |month: u64| {
        format!("month {month}: {} mm, {} mm the year before\n", station * month % 97, station * month % 89)
    };
    (1..=1 + station % 24).map(month).collect()
}

/// Head first, each call answered exactly once directly after it, no result without a call.
fn check_legal(messages: &[Message]) {
    assert_eq!(*messages[0].role(), Role::System);
    let mut open = BTreeSet::new();
    for message in messages {
        if *message.role() == Role::Tool {
            assert!(open.remove(message.tool_call_id().unwrap()), "a result without a call");
        } else {
            assert!(open.is_empty(), "calls without results: {open:?}");
            open = message.tool_calls().iter().map(|call| call.id().unwrap().to_owned()).collect();
        }
    }
    assert!(open.is_empty(), "the request ends in calls");
}

/// The last calls with all their results, as they were recorded; a long result may have been cut.
fn check_newest(request: &ChatRequest, history: &[Message], round: usize) {
    let newest = calls(round).len() + 1;
    let sent = &request.messages[request.messages.len() - newest..];
    let end = history.iter().scan(0, |seen, message| {
        *seen += usize::from(message.has_calls());
        Some(*seen)
    });
    let start = end.take_while(|&seen| seen <= round).count();
    assert_eq!(sent[0], history[start]);
    assert!(sent[1..].iter().all(|message| *message.role() == Role::Tool));
}

#[test]
fn fifty_rounds_stay_legal_within_the_budget_and_hold_the_question_and_the_newest_group() {
    let tool: Tool =
        serde_json::json!({"type": "function", "function": {"name": "rain", "description": "Rain by month.",
        "parameters": {"type": "object", "properties": {"station": {"type": "integer"}}}}})
        .into();
    for strategy in ["window", "tools", "recall", "ladder", "head-tail", "summarize"] {
        let (script, reuse) = (script(), Arc::new(Reuse::default()));
        let builder = ConversationManager::builder("gpt-4o").backend(script.clone()).system("You are a clerk.");
        let builder = builder.strategy(parse(strategy).unwrap()).tools([tool.clone()]).observer(Arc::clone(&reuse));
        let notes = Scripted::new(["The clerk looks the stations up, one after another."; 2 * ROUNDS]);
        let builder = builder.summarizer(Summarizer::default().backend(notes)).budget(TokenBudget::limit(BUDGET));
        let chat = builder.build().unwrap();
        let reply = block_on(chat.run_tools(QUESTION, rain).rounds(ROUNDS).into_future());
        let reply = reply.unwrap_or_else(|error| panic!("{strategy}: {error}"));
        assert_eq!(reply.text(), "Forty-one of them.");

        let (requests, history, cost) = (script.requests(), chat.history(), ChatCost::for_model("gpt-4o"));
        assert_eq!(requests.len(), ROUNDS + 1);
        for (index, request) in requests.iter().enumerate() {
            check_legal(&request.messages);
            assert!(cost.request(request).total().tokens <= BUDGET);
            assert!(
                request.messages.iter().any(|message| message.text() == QUESTION),
                "the question of request {index}"
            );
            if let Some(round) = index.checked_sub(1) {
                check_newest(request, &history, round);
            }
        }
        let trimmed = requests.last().unwrap().messages.len() < history.len() - 1;
        assert!(trimmed, "{strategy} had nothing to trim");
        let (repeated, sent) = *reuse.0.lock().unwrap();
        println!("{strategy}: {} % of {sent} tokens repeated", 100 * repeated / sent);
    }
}
