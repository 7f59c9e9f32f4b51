//! The gate for tool calls: checks every finished reply, of any backend, before its calls are run,
//! recorded or sent.

use std::collections::HashSet;

use super::{ChatReply, FinishReason};
use crate::error::ErrorKind;
use crate::message::{Arguments, Message, ToolCall, made_id};
use crate::text::counted;

/// Why a reply is not accepted: the kind and the message of the error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) kind: ErrorKind,
    pub(crate) why: String,
}

impl ChatReply {
    /// The reply's message as it may be run and recorded. Every call of a function or a custom tool
    /// has a name; every call has an id that is unique in the reply; no call is cut off. Arguments
    /// that are complete but not JSON are accepted, because the model can correct them.
    ///
    /// Pieces of a call that arrived without a name (some servers number each piece anew) are
    /// appended to the call before them.
    pub(crate) fn pass_gate(&self) -> Result<Message, Stopped> {
        let calls = self.message.tool_calls();
        let joined = joined(calls)?;
        let calls = joined.as_deref().unwrap_or(calls);
        self.refuse_cut(calls)?;
        if let Some(call) = self.message.function_call().filter(|call| call.is_nameless()) {
            return Err(malformed(format!("a `function_call` without a name ({} bytes)", call.arguments().len())));
        }
        let identified = identified(calls);
        Ok(match identified.or(joined) {
            Some(calls) => self.message.with_calls(calls),
            None => self.message.clone(),
        })
    }

    /// Refuses a reply that ends in the middle of a call. If the server reports that it stopped the
    /// reply, empty or free-text arguments at its end count as cut, because more may have been
    /// intended.
    fn refuse_cut(&self, calls: &[ToolCall]) -> Result<(), Stopped> {
        let was_stopped = self.finish.is_stopped_early();
        let function = self.message.function_call().map(ToolCall::of_function);
        let mut calls = calls.iter().chain(&function).peekable();
        while let Some(call) = calls.next() {
            let is_cut = match call.judged() {
                Some(Arguments::Object) => false,
                Some(Arguments::Cut) => true,
                Some(Arguments::Empty | Arguments::Invalid(_)) | None => was_stopped && calls.peek().is_none(),
            };
            if is_cut {
                return Err(Stopped { kind: ErrorKind::CutCall, why: self.why_cut(call) });
            }
        }
        Ok(())
    }

    fn why_cut(&self, call: &ToolCall) -> String {
        const NOTHING: &str =
            "none of its calls was run or recorded, and the part that arrived is in the error's attempt";
        let name = call.name();
        let tokens = self.usage.as_ref().map(|usage| usage.completion_tokens).filter(|&tokens| tokens > 0);
        let size = tokens.map(|tokens| format!(" ({tokens} tokens)")).unwrap_or_default();
        match &self.finish {
            FinishReason::ContentFilter => {
                format!(
                    "a filter stopped the reply in the middle of a call of `{name}`; {NOTHING}; rephrase the request"
                )
            }
            finish if finish.is_stopped_early() => format!(
                "the reply reached its largest size{size} in the middle of a call of `{name}`; {NOTHING}; raise \
                 `max_completion_tokens`, or ask for less at once"
            ),
            _ => format!(
                "the arguments of a call of `{name}` end in the middle of a value, though the server reports that the reply \
                 is whole{size}; {NOTHING}; raise `max_completion_tokens` if it is set, or send again"
            ),
        }
    }
}

impl FinishReason {
    /// Whether the reply was stopped before the model was done.
    pub(crate) fn is_stopped_early(&self) -> bool {
        match self {
            Self::Length | Self::ContentFilter => true,
            // The names that servers use: `max_tokens`, `model_length`, `MAX_TOKENS`.
            Self::Other(reason) => ["length", "max_"].iter().any(|part| reason.to_lowercase().contains(part)),
            Self::Stop | Self::ToolCalls => false,
        }
    }
}

/// The calls, with nameless pieces appended to the calls that they belong to; `None` if all have
/// names.
fn joined(calls: &[ToolCall]) -> Result<Option<Vec<ToolCall>>, Stopped> {
    if !calls.iter().any(ToolCall::is_nameless) {
        return Ok(None);
    }
    // Each call, with its text if pieces were appended to it.
    let mut grown: Vec<(&ToolCall, Option<String>)> = Vec::new();
    for call in calls.iter().filter(|call| !call.is_blank()) {
        match grown.last_mut() {
            _ if !call.is_nameless() => grown.push((call, None)),
            Some((before, text)) => {
                text.get_or_insert_with(|| before.written().to_owned()).push_str(call.written());
            }
            None => {
                let of = counted(calls.len(), "call");
                return Err(malformed(format!(
                    "the first of {of} in the reply has no name; nothing was run or recorded"
                )));
            }
        }
    }
    let mut joined = Vec::with_capacity(grown.len());
    for (call, text) in grown {
        let whole = text.as_ref().map(|text| call.with_written(text));
        if whole.as_ref().is_some_and(|whole| matches!(whole.judged(), Some(Arguments::Invalid(_)))) {
            return Err(malformed(format!(
                "a piece of a call without a name does not continue the call of `{}` before it; nothing was run or \
                 recorded",
                call.name()
            )));
        }
        joined.push(whole.unwrap_or_else(|| call.clone()));
    }
    Ok(Some(joined))
}

/// The calls with an id for each; `None` if all have one.
fn identified(calls: &[ToolCall]) -> Option<Vec<ToolCall>> {
    let mut seen: HashSet<&str> = HashSet::new();
    let lacks: Vec<bool> = calls.iter().map(|call| call.stated_id().is_none_or(|id| !seen.insert(id))).collect();
    lacks.contains(&true).then(|| {
        let with_id = |(call, lacks): (&ToolCall, &bool)| {
            if *lacks { call.with_id(&made_id(fastrand::u64(..))) } else { call.clone() }
        };
        calls.iter().zip(&lacks).map(with_id).collect()
    })
}

fn malformed(why: String) -> Stopped {
    Stopped { kind: ErrorKind::Malformed, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(calls: &[&str], finish: &str) -> ChatReply {
        let json = format!(r#"{{"role":"assistant","content":"Text","tool_calls":[{}]}}"#, calls.join(","));
        ChatReply::new(Message::from_json(&json).unwrap()).finish(finish.into())
    }

    fn call(id: &str, name: &str, arguments: &str) -> String {
        let text = serde_json::Value::from(arguments);
        format!(r#"{{"id":"{id}","type":"function","function":{{"name":"{name}","arguments":{text}}}}}"#)
    }

    /// Name and arguments of each call that passes, or the kind of the error.
    fn passed(calls: &[&str], finish: &str) -> Result<Vec<String>, ErrorKind> {
        let message = reply(calls, finish).pass_gate().map_err(|stopped| stopped.kind)?;
        let ids: HashSet<&str> = message.tool_calls().iter().filter_map(ToolCall::stated_id).collect();
        assert_eq!(ids.len(), message.tool_calls().len(), "an id for each");
        Ok(message.tool_calls().iter().map(|call| format!("{}({})", call.name(), call.arguments())).collect())
    }

    const ENDS: [&str; 7] =
        ["tool_calls", "stop", "function_call", "length", "content_filter", "model_length", "end_turn"];

    #[test]
    fn a_call_that_is_cut_stops_the_reply_whatever_the_server_says() {
        let (whole, cut) = (call("a", "f", "{}"), call("b", "write", r#"{"path":"a.t"#));
        for end in ENDS {
            for calls in [&[&*cut][..], &[&*whole, &*cut], &[&*cut, &*whole]] {
                assert_eq!(passed(calls, end), Err(ErrorKind::CutCall), "{end}");
            }
        }
        let says = |end: &str| reply(&[&cut], end).pass_gate().unwrap_err().why;
        assert!(says("length").contains("raise `max_completion_tokens`") && says("length").contains("`write`"));
        assert!(says("content_filter").contains("a filter") && says("stop").contains("middle of a value"));
    }

    #[test]
    fn a_reply_that_was_stopped_behind_a_whole_call_passes() {
        let (one, two) = (call("a", "f", r#"{"x":1}"#), call("b", "g", ""));
        for end in ENDS {
            assert_eq!(passed(&[&one], end).unwrap(), [r#"f({"x":1})"#], "{end}");
            assert_eq!(passed(&[&two, &one], end).unwrap().len(), 2, "{end}");
        }
    }

    #[test]
    fn what_may_be_incomplete_counts_as_cut_only_at_the_end_of_a_reply_that_was_stopped() {
        let custom = r#"{"id":"c","type":"custom","custom":{"name":"run","input":"rm -r /tmp/"}}"#;
        for last in [call("b", "g", ""), call("b", "g", "null"), call("b", "g", "[1"), custom.to_owned()] {
            let is_value = !last.contains("[1");
            for end in ENDS {
                let was_stopped = matches!(end, "length" | "content_filter" | "model_length");
                assert_eq!(passed(&[&last], end).is_ok(), is_value && !was_stopped, "{last} {end}");
            }
        }
    }

    #[test]
    fn arguments_that_are_complete_and_no_json_pass_for_the_model_to_correct() {
        for written in ["{city: 1}", "[1]", "Oslo", "{}{}"] {
            assert_eq!(passed(&[&call("a", "f", written)], "tool_calls").unwrap(), [format!("f({written})")]);
        }
    }

    #[test]
    fn nameless_pieces_join_the_call_before_them_or_are_malformed() {
        let begun = |arguments| call("a", "get", arguments);
        let piece = |arguments: &str| {
            format!(r#"{{"type":"function","function":{{"arguments":{}}}}}"#, serde_json::Value::from(arguments))
        };
        let bonn = r#"get({"city":"Bonn"})"#;
        let pieces = [begun(""), piece("{\"city\":"), piece("\"Bonn\"}")];
        assert_eq!(passed(&pieces.each_ref().map(|p| &**p), "tool_calls").unwrap(), [bonn]);
        let with_ids = [begun("{\"city"), call("x", "", "\":\"Bonn\"}"), call("y", " ", "")];
        assert_eq!(passed(&with_ids.each_ref().map(|p| &**p), "tool_calls").unwrap(), [bonn]);
        let two = [begun("{"), piece("}"), call("b", "put", ""), piece("{\"n\":1}"), piece("")];
        assert_eq!(passed(&two.each_ref().map(|p| &**p), "tool_calls").unwrap(), ["get({})", "put({\"n\":1})"]);
        for bad in [&[piece("{}")][..], &[begun("{}"), piece("{}")], &[call("a", "", "{}")]] {
            let calls: Vec<&str> = bad.iter().map(String::as_str).collect();
            assert_eq!(passed(&calls, "tool_calls"), Err(ErrorKind::Malformed), "{bad:?}");
        }
        assert_eq!(passed(&[&begun("{"), &piece("\"a")], "length"), Err(ErrorKind::CutCall));
        assert_eq!(passed(&[r#"{"index":0,"function":{"arguments":""}}"#], "stop").unwrap(), [""; 0]);
        let function = r#"{"role":"assistant","content":null,"function_call":{"arguments":"{}"}}"#;
        let nameless = ChatReply::new(Message::from_json(function).unwrap());
        assert_eq!(nameless.pass_gate().unwrap_err().kind, ErrorKind::Malformed);
    }

    #[test]
    fn missing_ids_are_made_and_repeated_ones_told_apart() {
        let without = r#"{"type":"function","function":{"name":"f","arguments":"{}"}}"#;
        let calls = [without, &call("", "f", ""), &call("a", "f", ""), &call("a", "f", "")];
        let message = reply(&calls, "tool_calls").pass_gate().unwrap();
        let ids: Vec<&str> = message.tool_calls().iter().filter_map(ToolCall::id).collect();
        assert_eq!((ids.len(), ids[2]), (4, "a"));
        assert!([ids[0], ids[1], ids[3]].iter().all(|id| id.len() == 9 && *id != "a"));
    }

    #[test]
    fn a_reply_with_nothing_wrong_is_the_one_that_came() {
        let whole = reply(&[&call("a", "f", " {}"), &call("b", "g", "[1]")], "tool_calls");
        assert_eq!(whole.pass_gate().unwrap(), whole.message);
        let kind = reply(&[r#"{"id":"a","type":"web_search","web_search":{"q":"x"}}"#], "tool_calls");
        assert_eq!(kind.pass_gate().unwrap(), kind.message);
        let said = ChatReply::new(Message::assistant("Hi")).finish(FinishReason::Length);
        assert_eq!(said.pass_gate().unwrap(), said.message);
    }
}
