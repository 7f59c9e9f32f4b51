//! `OpenCalls`: the calls that have no result yet.

use std::collections::HashMap;

use crate::message::{Message, Role};

/// The calls of one message that have no result yet, counted by id. They pair within the stretch up
/// to the next reply, because ids may repeat, in one message and across the conversation.
#[derive(Clone, Debug)]
pub(super) struct OpenCalls {
    /// The group of the calls.
    pub(super) group: u32,
    calls: HashMap<Call, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Call {
    Tool(Option<Box<str>>),
    Function(Box<str>),
}

impl OpenCalls {
    pub(super) fn of(group: u32, message: &Message) -> Self {
        let tools = message.tool_calls().iter().map(|call| Call::Tool(named(call.id())));
        let function = message.function_call().map(|call| Call::Function(call.name().into()));
        let mut open = Self { group, calls: HashMap::new() };
        for call in tools.chain(function) {
            *open.calls.entry(call).or_default() += 1;
        }
        open
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Removes a call that `result` answers. Returns whether there was one.
    pub(super) fn answer(&mut self, result: &Message) -> bool {
        let call = match result.role() {
            Role::Function => Call::Function(result.name().unwrap_or("").into()),
            _ => Call::Tool(named(result.tool_call_id())),
        };
        let Some(left) = self.calls.get_mut(&call) else { return false };
        *left -= 1;
        if *left == 0 {
            self.calls.remove(&call);
        }
        true
    }
}

/// Some servers give calls no id, or an empty one; a result without an id answers either.
fn named(id: Option<&str>) -> Option<Box<str>> {
    id.filter(|id| !id.is_empty()).map(Box::from)
}
