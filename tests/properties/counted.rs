//! Invariant 11: nothing is sent that was not counted, and what was built costs what was read.

use fastrand::Rng;
use turnwise::backend::Dialect;
use turnwise::message::{FunctionCall, ImageDetail, Part, RawJson};
use turnwise::strategy::parse;
use turnwise::tokens::CounterFn;
use turnwise::{
    ChatCost, Content, Conversation, Ledger, Message, Planner, Role, StrategyCache, TokenBudget, Tool, ToolCall, trim,
};

use crate::each_case;
use crate::generate::{self, chance, json, message_json, pick, text};

const STRATEGIES: [&str; 7] = [
    "window",
    "window:turns=2",
    "head-tail",
    "recall",
    "tools",
    "drop-reasoning",
    "ladder:drop-reasoning/tools/window",
];

fn cost() -> ChatCost {
    ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64 / 4 + 1))
}

/// A conversation with unknown members, parts and roles.
fn messages(rng: &mut Rng) -> Vec<Message> {
    let mut messages = generate::talk(rng).messages;
    for message in &mut messages {
        if chance(rng, 10) {
            let reasoning = RawJson::from(text(rng).repeat(20));
            *message = message.clone().with_field("reasoning_content", reasoning).unwrap();
        }
    }
    for _ in 0..rng.usize(0..4) {
        let at = rng.usize(0..=messages.len());
        messages.insert(at, Message::from_json(&message_json(rng)).unwrap());
    }
    messages
}

#[test]
fn invariant_11_what_a_plan_sends_costs_what_it_says() {
    each_case(600, |case| {
        let rng = &mut case.rng;
        let messages = messages(rng);
        let limit = rng.u64(50..4_000);
        let spec = pick(rng, &STRATEGIES);
        let fields: &[&str] = if chance(rng, 50) { &[] } else { &["reasoning_content", "a_0", "vendor_1"] };
        let dialect = Dialect::default().send_fields(fields.iter().copied());
        let cost = if fields.is_empty() { cost() } else { cost().fields(fields.iter().copied()) };
        case.note(format!("{spec} in {limit}, sends {fields:?}: {}", serde_json::to_string(&messages).unwrap()));
        let planner = Planner::new(self::cost(), &TokenBudget::limit(limit)).unwrap().dialect(dialect);
        let conversation = Conversation::from_messages(messages);
        let strategy = parse(spec).unwrap();
        let mut ledger = Ledger::new();
        let Ok(plan) = planner.plan(&conversation, &mut ledger, &*strategy, &mut StrategyCache::default()) else {
            return;
        };
        let total = cost.messages(plan.messages()).total();
        if plan.messages().iter().any(is_result_with_calls) {
            assert!(plan.tokens().estimated);
        } else {
            assert_eq!(plan.tokens().total(), total.tokens);
        }
        assert!(plan.tokens().estimated || total.exact, "said to be exact");
        assert_eq!(plan.messages(), plan.request().messages);
        let sent = serde_json::to_string(plan.messages()).unwrap();
        let body = serde_json::to_string(&plan.request()).unwrap();
        assert!(body.contains(&sent));
        for message in plan.messages() {
            assert!(message.extra().all(|(key, _)| fields.contains(&key)), "{message:?}");
            let empty =
                message.tool_calls().is_empty() && serde_json::to_string(message).unwrap().contains("\"tool_calls\"");
            let is_said = message.text().contains("tool_calls");
            assert!(!empty || is_said, "an empty list of calls");
        }
    });
}

/// Calls in a result, which no server takes, are an estimate: their ids are made when they are sent.
fn is_result_with_calls(message: &Message) -> bool {
    message.is_result() && message.has_calls()
}

#[test]
fn invariant_11_trim_gives_the_messages_of_a_request() {
    each_case(200, |case| {
        let messages = messages(&mut case.rng);
        case.note(serde_json::to_string(&messages).unwrap());
        let strategy = parse(pick(&mut case.rng, &STRATEGIES)).unwrap();
        let Ok(plan) = trim(&messages, &TokenBudget::limit(100_000), &*strategy) else { return };
        assert_eq!(plan.messages(), plan.request().messages);
        assert_eq!(Dialect::default().fit(plan.messages()), plan.messages(), "fitting it again changes nothing");
        if plan.messages().iter().any(is_result_with_calls) {
            assert!(plan.tokens().estimated);
        } else {
            assert_eq!(plan.tokens().total(), turnwise::count(plan.messages()).tokens);
        }
    });
}

/// A text, a number or a deep value, as somebody may pass it for the value of anything.
fn value(rng: &mut Rng) -> RawJson {
    match rng.u8(0..4) {
        0 => RawJson::from(text(rng)),
        1 => RawJson::from(serde_json::json!({"url": text(rng), "detail": pick(rng, &["low", "high", "auto", "far"])})),
        _ => RawJson::new(&json(rng, 3)).unwrap(),
    }
}

fn part(rng: &mut Rng) -> Part {
    let details = [ImageDetail::Auto, ImageDetail::Low, ImageDetail::High];
    match rng.u8(0..4) {
        0 => Part::from_text(&text(rng)),
        1 => Part::image(&text(rng)),
        2 => Part::image_with_detail(&text(rng), pick(rng, &details)),
        _ => {
            let kinds = ["text", "refusal", "image_url", "input_audio", "file", "thinking", "type", "", "größe"];
            Part::new(pick(rng, &kinds), value(rng))
        }
    }
}

fn content(rng: &mut Rng) -> Content {
    match rng.u8(0..3) {
        0 => Content::from(text(rng)),
        1 => Content::from(text(rng).as_str()),
        _ => Content::from((0..rng.usize(0..4)).map(|_| part(rng)).collect::<Vec<_>>()),
    }
}

fn call(rng: &mut Rng) -> ToolCall {
    match rng.u8(0..3) {
        0 => ToolCall::custom(&text(rng), &text(rng), &text(rng)),
        1 => ToolCall::function(&text(rng), &text(rng), &json(rng, 2)),
        _ => ToolCall::function(&text(rng), &text(rng), &text(rng)),
    }
}

fn built(rng: &mut Rng) -> Message {
    let role = pick(rng, &["system", "user", "assistant", "tool", "function", "critic", ""]);
    let message = match rng.u8(0..10) {
        0 => Message::system(content(rng)),
        1 => Message::developer(content(rng)),
        2 => Message::user(content(rng)),
        3 => Message::assistant(content(rng)),
        4 => Message::calls((0..rng.usize(0..3)).map(|_| call(rng)).collect::<Vec<_>>()),
        5 => Message::tool(&text(rng), content(rng)),
        6 => Message::new(role, content(rng)),
        7 => Message::new(Role::Other(role.into()), content(rng)),
        8 => Message::from(text(rng)),
        _ => Message::from(&text(rng)),
    };
    let message = match rng.u8(0..12) {
        0 => message.and_text(&text(rng)),
        1 => message.image_url(&text(rng)),
        2 => message.image_with_detail(&text(rng), ImageDetail::Low),
        3 => message.and_part(part(rng)),
        4 => message.with_content(content(rng)),
        5 => message.with_name(&text(rng)),
        _ => message,
    };
    let keys = ["content", "name", "refusal", "tool_call_id", "tool_calls", "function_call", "audio", "vendor", "role"];
    if chance(rng, 30) {
        let function = RawJson::from(serde_json::to_value(FunctionCall::new(&text(rng), &text(rng))).unwrap());
        let value = if chance(rng, 20) { function } else { value(rng) };
        return message.clone().with_field(pick(rng, &keys), value).unwrap_or(message);
    }
    message
}

#[test]
fn invariant_11_what_is_built_is_what_is_read() {
    each_case(5_000, |case| {
        let message = built(&mut case.rng);
        let json = serde_json::to_string(&message).unwrap();
        case.note(json.clone());
        let read = Message::from_json(&json).unwrap();
        assert_eq!(read, message);
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert_eq!(cost().group([&read]), cost().group([&message]));
        let tool = Tool::new(value(&mut case.rng));
        assert_eq!(serde_json::from_str::<Tool>(&serde_json::to_string(&tool).unwrap()).unwrap(), tool);
    });
}

/// Every text that is sent is in the count: a text that grows by a thousand words makes the count
/// grow, wherever it is.
#[test]
fn invariant_11_no_text_is_sent_for_nothing() {
    let count = CounterFn::new("words", |text| text.split(|letter: char| !letter.is_alphanumeric()).count() as u64);
    let cost = ChatCost::new(count);
    let long = "word ".repeat(1_000);
    each_case(500, |case| {
        let compact = message_json(&mut case.rng);
        let sent = Dialect::default().fit(&[Message::from_json(&compact.replace("1e999", "9")).unwrap()]);
        let json = serde_json::to_string(&sent[0]).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        for place in places(&value, String::new()) {
            let mut grown = value.clone();
            *grown.pointer_mut(&place).unwrap() = long.as_str().into();
            let Ok(message) = Message::from_json(&grown.to_string()) else { continue };
            case.note(format!("{place} of {json}"));
            let total = cost.group([&message]);
            assert!(total.tokens >= 1_000, "{place} of {json}: {} tokens", total.tokens);
        }
    });
}

/// The places of all texts of a message, as JSON pointers.
fn places(value: &serde_json::Value, place: String) -> Vec<String> {
    match value {
        serde_json::Value::String(_) if place == "/role" => Vec::new(),
        serde_json::Value::String(_) => vec![place],
        serde_json::Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(index, item)| places(item, format!("{place}/{index}"))).collect()
        }
        serde_json::Value::Object(members) => {
            let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
            members.iter().flat_map(|(key, item)| places(item, format!("{place}/{}", escaped(key)))).collect()
        }
        _ => Vec::new(),
    }
}
