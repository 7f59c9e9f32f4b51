//! The cost of tool calls and their results: single calls, parallel calls as one unit, and the
//! deprecated functions.

use std::collections::HashMap;

use super::ChatCost;
use super::json::{Json, Style};
use crate::message::{FunctionCall, Message, Role, ToolCall};
use crate::tokens::Count;
use crate::tokens::rules::{Family, NonAscii};

/// The call of one function, `functions.` before its name: a token less than the whole name has,
/// and these behind it (149 of 149 recorded bills).
pub(super) const NAMESPACE: &str = "functions.";
const NAMESPACE_JOINS: u64 = 1;
const AFTER_CALL: u64 = 3;
/// What a model that reasons adds to a message with calls, beside its channel (24 of 24 recorded
/// bills).
const REASONING_CALL: u64 = 4;
/// Around the name of the function in a result (166 of 166 recorded bills).
const PER_RESULT: u64 = 2;
/// Several calls in one message and all their results are two messages of a tool that calls in
/// parallel; everything around their texts (fitted on 25 recorded bills of up to 5,400 tokens).
const PER_UNIT: u64 = 20;
/// Around a deprecated call and its result (fitted on 6 recorded bills of 2023).
const AFTER_FUNCTION_CALL: u64 = 3;
const FUNCTION_RESULT_LESS: u64 = 1;

/// The names of the called functions, by the ids of the calls; for calls with the same id, the
/// first.
pub(super) type Names<'a> = HashMap<Option<&'a str>, &'a str>;

pub(super) fn names(message: &Message) -> Names<'_> {
    message.tool_calls().iter().rev().map(|call| (call.id(), call.name())).collect()
}

/// Whether a message and the results after it are billed as one unit.
pub(crate) fn is_parallel(message: &Message) -> bool {
    message.tool_calls().len() > 1
}

/// The cost of a unit.
pub(super) struct Unit {
    pub(super) calls: Count,
    pub(super) results: Count,
    /// For each result: its length in the joined text of the results, and its cost beside that
    /// text.
    pub(super) shares: Vec<(usize, Count)>,
}

impl Unit {
    pub(super) fn total(&self) -> Count {
        self.calls + self.results + self.shares.iter().map(|(_, beside)| *beside).sum()
    }

    /// What each message adds to the total; the tokens of the results are divided in proportion to
    /// their length.
    pub(super) fn each(&self) -> Vec<Count> {
        let whole: u128 = self.shares.iter().map(|(length, _)| *length as u128).sum::<u128>().max(1);
        let up_to = |length: u128| u64::try_from(u128::from(self.results.tokens) * length / whole).unwrap_or(u64::MAX);
        let mut before = 0;
        let results = self.shares.iter().map(|(length, beside)| {
            let start = up_to(before);
            before += *length as u128;
            Count { tokens: up_to(before) - start, ..self.results } + *beside
        });
        let mut each: Vec<Count> = vec![self.calls];
        each.extend(results);
        if self.shares.is_empty() {
            each[0] += self.results;
        }
        each
    }
}

impl Family {
    /// What a message with calls costs beside its calls.
    fn call(self) -> u64 {
        if self == Self::Reasoning { REASONING_CALL } else { 0 }
    }
}

impl ChatCost {
    /// The cost of several calls with all their results.
    pub(super) fn unit(&self, calls: &Message, results: &[&Message]) -> Unit {
        let sent: Vec<ToolCall> = calls.tool_calls().iter().map(ToolCall::as_sent).collect();
        let uses: Option<Vec<String>> = sent.iter().map(tool_use).collect();
        let is_read = uses.is_some();
        let uses = uses.unwrap_or_else(|| sent.iter().map(|call| call.arguments().into_owned()).collect());
        let uses = self.text(&format!("{{\"tool_uses\":[{}]}}", uses.join(",")));
        let around = Count::exact(PER_UNIT + self.family.call() + self.channel(calls));
        let around = around.estimated_if(!matches!(self.family, Family::Chat | Family::Reasoning));
        let style = if self.non_ascii == Some(NonAscii::Plain) { Style::Spaced } else { Style::SpacedAscii };
        let texts: Vec<String> = results.iter().map(|result| result_in_unit(&result.text(), style)).collect();
        let is_answered = results.len() == sent.len();
        // GPT-4o billed 4 such units as if nothing were escaped (March and April 2026), GPT-4o mini 3
        // as if all were (until February 2026); of other models there are no bills. No recorded arguments of parallel calls are outside ASCII.
        let is_seen = (self.non_ascii.is_some() || results.iter().all(|result| result.text().is_ascii()))
            && sent.iter().all(|call| call.arguments().is_ascii());
        let foreign: Count = sent.iter().map(|call| self.beside_call(call)).sum();
        Unit {
            calls: (around + self.name(calls).estimated_if(calls.name().is_some()) + self.said(calls) + uses + foreign)
                .estimated_if(!is_read || !is_answered || !is_seen || !calls.text().is_empty()),
            results: self.text(&format!("[{}]", texts.join(style.comma()))),
            shares: texts.iter().map(String::len).zip(results.iter().map(|result| self.beside_text(result))).collect(),
        }
    }

    /// The cost of a message outside a unit. A result is billed with the name of the function that
    /// it answers.
    pub(super) fn message(&self, message: &Message, names: &Names<'_>) -> Count {
        if *message.role() == Role::Tool {
            let name = names.get(&message.tool_call_id()).copied().or(message.name()).unwrap_or("");
            return self.frame(message) + self.said(message) + self.text(name) + Count::exact(PER_RESULT);
        }
        if *message.role() == Role::Function {
            let name = self.text(message.name().unwrap_or(""));
            let tokens = (self.frame(message) + name).tokens.saturating_sub(FUNCTION_RESULT_LESS);
            return Count { tokens, ..name } + self.said(message);
        }
        let call = message.tool_calls().first().map_or(Count::ZERO, |call| self.call(call));
        let function_call = message.function_call().map_or(Count::ZERO, |call| self.function_call(call));
        // No recorded call has text beside it.
        let is_seen = !message.has_calls() || message.text().is_empty();
        (self.plain(message) + call + function_call).estimated_if(!is_seen)
    }

    fn call(&self, call: &ToolCall) -> Count {
        let is_named = !call.name().trim().is_empty();
        let call = call.as_sent();
        let name = self.text(&format!("{NAMESPACE}{}", call.name()));
        let name = Count { tokens: name.tokens.saturating_sub(NAMESPACE_JOINS), ..name };
        // The server writes the arguments again.
        let arguments = match Json::parse(&call.arguments()) {
            Some(value) => self.text(&value.written(Style::Compact)),
            None => self.text(&call.arguments()).estimated_if(true),
        };
        let around = Count::exact(AFTER_CALL + self.family.call());
        (name + arguments + around + self.beside_call(&call)).estimated_if(!is_named)
    }

    /// The cost of a call beside name and arguments: estimated, as for all calls that do not call a
    /// function.
    fn beside_call(&self, call: &ToolCall) -> Count {
        let foreign: Count = call.foreign().iter().map(|value| self.foreign(value)).sum();
        foreign.estimated_if(call.kind() != "function" || !call.is_understood())
    }

    fn function_call(&self, call: &FunctionCall) -> Count {
        let call = call.as_sent(false);
        let count = self.text(call.name()) + self.text(&call.arguments()) + Count::exact(AFTER_FUNCTION_CALL);
        let foreign: Count = call.foreign().iter().map(|value| self.foreign(value)).sum();
        (count + foreign).estimated_if(self.family != Family::Chat || !call.has_text())
    }
}

/// A call in the form that the parallel tool takes; `None` if the input of a custom tool is not
/// JSON.
fn tool_use(call: &ToolCall) -> Option<String> {
    let arguments = Json::parse(&call.arguments())?.written(Style::CompactAscii);
    let name = Json::String(format!("{NAMESPACE}{}", call.name()).into()).written(Style::CompactAscii);
    Some(format!("{{\"recipient_name\":{name},\"parameters\":{arguments}}}"))
}

/// A result as one of several: its value if it is JSON, otherwise its text as a string.
fn result_in_unit(text: &str, style: Style) -> String {
    Json::parse(text).unwrap_or_else(|| Json::String(text.into())).written(style)
}
