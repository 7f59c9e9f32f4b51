//! Makes calls and their results legal for strict servers: each call has a unique id, a name, and a
//! JSON object as arguments; each result has the id of its call. The record is not changed.

use std::collections::{HashMap, HashSet, VecDeque};

use xxhash_rust::xxh3::xxh3_64;

use super::object::Member;
use super::{Content, FunctionCall, Message, MessageMember, Part, Role, ToolCall};

/// The length of the ids that some servers require: nine letters and digits.
const ID_LENGTH: usize = 9;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// An id made from a number, in a form that every server accepts.
pub(crate) fn made_id(mut number: u64) -> String {
    let digit = |_| {
        let digit = DIGITS[(number % 62) as usize];
        number /= 62;
        char::from(digit)
    };
    (0..ID_LENGTH).map(digit).collect()
}

/// The ids that the last calls are sent with, in their order, by their original ids; empty if they
/// are the same.
type Ids = HashMap<String, VecDeque<String>>;

/// The messages with calls and results that strict servers accept. Messages that are legal already
/// are not changed.
pub(crate) fn with_legal_calls(mut messages: Vec<Message>) -> Vec<Message> {
    let mut made = HashSet::new();
    let mut ids = Ids::new();
    for message in &mut messages {
        if message.has_calls() {
            ids.clear();
            if !has_legal_calls(message) {
                *message = legal(message, &mut made, &mut ids);
            }
        } else if *message.role() == Role::Tool && !ids.is_empty() {
            let written = message.tool_call_id().unwrap_or_default().trim();
            if let Some(sent) = ids.get_mut(written).and_then(VecDeque::pop_front) {
                *message = Message(message.0.with(Member::Known(MessageMember::ToolCallId(Some(sent.into())))));
            }
        }
    }
    messages
}

/// What in the calls of a message is not as the API has it, and what is sent instead: one sentence
/// for each fault.
pub(crate) fn call_faults(message: &Message) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for call in message.tool_calls() {
        let name = call.name();
        match call.stated_id() {
            None => faults.push(format!("a call of `{name}` has no id; one is made for it and its result")),
            Some(id) if !seen.insert(id) => {
                faults.push(format!("two calls have the id `{id}`; one is made for the second and its result"));
            }
            Some(_) => {}
        }
        faults.extend(call_fault(name, call.is_nameless(), call.invalid_arguments()));
    }
    if let Some(call) = message.function_call() {
        faults.extend(call_fault(call.name(), call.is_nameless(), call.invalid_arguments()));
    }
    faults
}

fn call_fault(name: &str, is_nameless: bool, invalid: Option<String>) -> Vec<String> {
    let nameless = is_nameless.then(|| "a call has no name; it is sent as `unnamed`".to_owned());
    let invalid = invalid.map(|why| {
        format!(
            "the arguments of the call of `{name}` are not JSON as the API has it ({why}); they are sent as text in a \
             JSON object, under `{}`",
            super::arguments::INVALID
        )
    });
    nameless.into_iter().chain(invalid).collect()
}

/// Whether strict servers take the calls of a message as they are, if it has any.
pub(crate) fn has_legal_calls(message: &Message) -> bool {
    let calls = message.tool_calls();
    let has_own_id = |(index, call): (usize, &ToolCall)| {
        call.stated_id().is_some_and(|id| calls[..index].iter().all(|before| before.stated_id() != Some(id)))
    };
    // Only the rare message with many calls needs a set.
    let have_ids = match calls.len() {
        0..=16 => calls.iter().enumerate().all(has_own_id),
        _ => calls.iter().filter_map(ToolCall::stated_id).collect::<HashSet<_>>().len() == calls.len(),
    };
    have_ids
        && calls.iter().all(ToolCall::is_as_sent)
        && message.function_call().is_none_or(|call| call.is_as_sent(false))
}

fn legal(message: &Message, made: &mut HashSet<String>, ids: &mut Ids) -> Message {
    let written: HashSet<&str> = message.tool_calls().iter().filter_map(ToolCall::stated_id).collect();
    let print = xxh3_64(&serde_json::to_vec(message).unwrap_or_default());
    let mut seen = HashSet::new();
    let calls: Vec<ToolCall> = message
        .tool_calls()
        .iter()
        .enumerate()
        .map(|(index, call)| {
            let own = call.stated_id().filter(|id| seen.insert(*id)).map(str::to_owned);
            let sent = own.unwrap_or_else(|| new_id(print, index, &written, made));
            let as_written = call.id().unwrap_or_default().trim().to_owned();
            ids.entry(as_written).or_default().push_back(sent.clone());
            let call = call.as_sent();
            if call.id() == Some(&*sent) { call } else { call.with_id(&sent) }
        })
        .collect();
    let mut sent = message.clone();
    if !calls.is_empty() {
        sent = sent.with_calls(calls);
    }
    if let Some(call) = message.function_call() {
        sent = Message(sent.0.with(Member::Known(MessageMember::FunctionCall(Some(call.as_sent(false))))));
    }
    sent
}

/// An id that depends only on the message, whose hash is `print`, unless the same message was sent
/// before.
fn new_id(print: u64, index: usize, written: &HashSet<&str>, made: &mut HashSet<String>) -> String {
    let ids = (0_u32..).map(|again| made_id(xxh3_64(format!("{print} {index} {again}").as_bytes())));
    let mut free = ids.filter(|id| !written.contains(&**id) && !made.contains(id));
    let id = free.next().unwrap_or_default();
    made.insert(id.clone());
    id
}

impl Message {
    /// Whether it has only members of the specification, calls that strict servers accept, and no
    /// [tool part](Self::tool_part): [`Dialect::default`](crate::Dialect) sends it unchanged.
    pub(crate) fn is_standard(&self) -> bool {
        self.retains_all(|_| false) && has_legal_calls(self) && self.tool_part().is_none()
    }

    /// The type of the first part that is a call or a result, as Anthropic's API writes them. The
    /// groups of a path do not know such parts, so a call could be sent without its result.
    pub(crate) fn tool_part(&self) -> Option<&str> {
        let parts = self.content().map_or(&[][..], Content::parts);
        parts.iter().map(Part::kind).find(|kind| matches!(*kind, "tool_use" | "tool_result"))
    }

    /// The same message with other calls.
    pub(crate) fn with_calls(&self, calls: Vec<ToolCall>) -> Self {
        Self(self.0.with(Member::Known(MessageMember::ToolCalls(Some(calls.into())))))
    }

    /// The result of the deprecated function call.
    pub(crate) fn function_result(call: &FunctionCall, content: super::Content) -> Self {
        Self::new(Role::Function, content).with_name(call.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(json: &str) -> String {
        let messages: Vec<Message> = serde_json::from_str(json).unwrap();
        let sent = with_legal_calls(messages);
        assert_eq!(with_legal_calls(sent.clone()), sent, "what was made legal stays as it is");
        assert!(sent.iter().all(|message| call_faults(message).is_empty()));
        serde_json::to_string(&sent).unwrap()
    }

    #[test]
    fn legal_calls_are_not_touched() {
        let json = r#"[{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":" { } "},"extra_content":{"x":1.0}},{"id":"b","type":"custom","custom":{"name":"g","input":"not JSON"}}]},{"role":"tool","tool_call_id":"b","content":"x"}]"#;
        assert_eq!(sent(json), json);
        let other = r#"[{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"web_search","web_search":{"q":"x"}}]}]"#;
        assert_eq!(sent(other), other);
    }

    #[test]
    fn arguments_are_sent_as_the_text_of_an_object() {
        for (written, expected) in [
            (r#""{\"a\":\"b""#, r#""{\"invalid_arguments\":\"{\\\"a\\\":\\\"b\"}""#),
            (r#""""#, r#""{}""#),
            ("null", r#""{}""#),
            (r#"{"city":"Oslo"}"#, r#""{\"city\":\"Oslo\"}""#),
        ] {
            let call = |arguments: &str| {
                format!(
                    r#"[{{"role":"assistant","content":null,"tool_calls":[{{"id":"a","type":"function","function":{{"name":"f","arguments":{arguments}}}}}],"function_call":{{"name":"f","arguments":{arguments}}}}}]"#
                )
            };
            assert_eq!(sent(&call(written)), call(expected));
        }
        let absent = r#"[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f"}}]}]"#;
        let expected = r#"[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"},"type":"function"}]}]"#;
        assert_eq!(sent(absent), expected);
    }

    #[test]
    fn ids_are_made_for_calls_and_their_results_in_order() {
        let call = r#"{"type":"function","function":{"name":"f","arguments":"{}"}}"#;
        let same = r#"{"id":"s","type":"function","function":{"name":"f","arguments":"{}"}}"#;
        let json = format!(
            r#"[{{"role":"assistant","content":null,"tool_calls":[{call},{same},{call},{same}]}},
            {{"role":"tool","tool_call_id":"s","content":"1"}},{{"role":"tool","content":"0"}},
            {{"role":"tool","tool_call_id":"","content":"2"}},{{"role":"tool","tool_call_id":"s","content":"3"}},
            {{"role":"assistant","content":null,"tool_calls":[{call},{same},{call},{same}]}}]"#
        );
        let messages: Vec<Message> = serde_json::from_str(&json).unwrap();
        let sent = with_legal_calls(messages.clone());
        assert_eq!(sent, with_legal_calls(messages), "the same ids every time");
        let ids: Vec<&str> = sent[0].tool_calls().iter().filter_map(ToolCall::id).collect();
        let again: Vec<&str> = sent[5].tool_calls().iter().filter_map(ToolCall::id).collect();
        let made: HashSet<&str> = ids.iter().chain(&again).copied().collect();
        assert_eq!((ids[1], made.len()), ("s", 7), "{ids:?} {again:?}");
        assert!(
            made.iter()
                .filter(|id| **id != "s")
                .all(|id| id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()))
        );
        for (result, message) in sent[1..5].iter().enumerate() {
            let text = message.text();
            let call: usize = text.parse().unwrap();
            assert_eq!(message.tool_call_id(), Some(ids[call]), "result {result}");
        }
    }

    #[test]
    fn each_fault_is_said() {
        let json = r#"{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"write","arguments":"{\"a\":"}},
            {"id":"a","function":{"name":"get"}},{"function":{"arguments":"{}"}},{"id":"c","custom":{"name":"c","input":"{"}}]}"#;
        let faults = call_faults(&Message::from_json(json).unwrap());
        let says = |words: &str| faults.iter().filter(|fault| fault.contains(words)).count();
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert_eq!((says("of `write` are not JSON"), says("id `a`"), says("no id"), says("no name")), (1, 1, 1, 1));
    }
}
