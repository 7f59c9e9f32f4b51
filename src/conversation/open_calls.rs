//! `OpenCalls`: the calls that wait for their results, and which result answers which call.

use std::collections::{HashMap, VecDeque};

use crate::message::{Message, Role};

/// The calls of one message that have no result yet, by their place among its calls. Calls and
/// results pair within the stretch up to the next reply: an id may repeat, here and elsewhere in
/// the conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenCalls {
    /// The places of the calls with one id or name, in the order in which they are answered; none
    /// where all of them are.
    places: HashMap<Name, VecDeque<usize>>,
    /// How many are open in all.
    open: usize,
}

/// What a result names its call by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Id(Option<Box<str>>),
    Function(Box<str>),
}

impl Name {
    /// Some servers give calls no id, or an empty one: a result without one answers either.
    fn id(id: Option<&str>) -> Self {
        Self::Id(id.filter(|id| !id.is_empty()).map(Box::from))
    }

    fn of_call_for(result: &Message) -> Self {
        match result.role() {
            Role::Function => Self::Function(result.name().unwrap_or_default().into()),
            _ => Self::id(result.tool_call_id()),
        }
    }
}

/// Why a result answers no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpaired {
    /// No call has its id or name.
    Unknown,
    /// Each call with its id or name has a result.
    Answered,
}

impl OpenCalls {
    /// All calls of a message.
    pub(crate) fn of(message: &Message) -> Self {
        let tools = message.tool_calls().iter().map(|call| Name::id(call.id()));
        let function = message.function_call().map(|call| Name::Function(call.name().into()));
        let mut calls = Self::default();
        for (place, name) in tools.chain(function).enumerate() {
            calls.places.entry(name).or_default().push_back(place);
            calls.open += 1;
        }
        calls
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// The places of the calls, in order.
    pub(crate) fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.places.values().flatten().copied().collect();
        places.sort_unstable();
        places
    }

    /// Takes out the call that a result answers, and tells its place.
    pub(crate) fn answer(&mut self, result: &Message) -> Result<usize, Unpaired> {
        let places = self.places.get_mut(&Name::of_call_for(result)).ok_or(Unpaired::Unknown)?;
        let place = places.pop_front().ok_or(Unpaired::Answered)?;
        self.open -= 1;
        Ok(place)
    }

    /// Whether a message is a result that can answer the call at a place.
    pub(crate) fn can_answer(&self, place: usize, result: &Message) -> bool {
        let places = self.places.get(&Name::of_call_for(result));
        result.is_result() && places.is_some_and(|places| places.contains(&place))
    }

    /// Of calls with the same id or name, those at these places are answered after the others.
    pub(crate) fn answer_last(&mut self, is_last: impl Fn(usize) -> bool) {
        for places in self.places.values_mut() {
            places.make_contiguous().sort_by_key(|&place| is_last(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToolCall;

    #[test]
    fn a_result_answers_the_first_open_call_with_its_id() {
        let mut calls = OpenCalls::of(&Message::calls(["a", "b", "a", ""].map(|id| ToolCall::function(id, "f", "{}"))));
        assert_eq!(calls.answer(&Message::tool("a", "r")), Ok(0));
        assert_eq!(calls.answer(&Message::tool("c", "r")), Err(Unpaired::Unknown));
        assert_eq!(calls.answer(&Message::tool("", "r")), Ok(3));
        assert_eq!(calls.places(), [1, 2]);
        assert_eq!(calls.answer(&Message::tool("a", "r")), Ok(2));
        assert_eq!(calls.answer(&Message::tool("a", "r")), Err(Unpaired::Answered));
        assert_eq!((calls.answer(&Message::tool("b", "r")), calls.is_empty()), (Ok(1), true));
    }

    #[test]
    fn calls_that_have_run_are_answered_after_others_with_the_same_id() {
        let mut calls = OpenCalls::of(&Message::calls(["a", "a", "a"].map(|id| ToolCall::function(id, "f", "{}"))));
        calls.answer_last(|place| place == 0);
        let answered: Vec<_> = (0..3).map(|_| calls.answer(&Message::tool("a", "r"))).collect();
        assert_eq!(answered, [Ok(1), Ok(2), Ok(0)]);
    }

    #[test]
    fn a_function_call_is_answered_by_its_name() {
        let json = r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}"#;
        let message: Message = serde_json::from_str(json).unwrap();
        let mut calls = OpenCalls::of(&message);
        assert_eq!(calls.answer(&Message::tool("f", "r")), Err(Unpaired::Unknown));
        let result = Message::function_result(message.function_call().unwrap(), "r".into());
        assert_eq!(calls.answer(&result), Ok(0));
    }
}
