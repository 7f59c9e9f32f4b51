//! `Sample`: a text to be recognised, with its outer parts read once for all formats.

use serde_json::value::RawValue;

use crate::outline::{Object, elements, values};

/// A text to be recognised. [`Format`](super::Format) has an example.
#[derive(Debug)]
pub struct Sample<'a> {
    text: &'a str,
    /// The object that the text is, or if the text is an array, its first element.
    outer: Option<Value<'a>>,
    is_array: bool,
    /// The objects that may be messages: the elements of an array or of `messages`, or the values of
    /// a log.
    messages: Vec<Value<'a>>,
}

/// An object in a text.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) object: Object<'a>,
    /// Its index in the list that contains it; 0 if none does.
    pub(super) index: usize,
    /// The byte of the text at which it begins.
    pub(super) byte: usize,
}

/// Where a sign of a format is looked for. A sign of an earlier stage is preferred among equally
/// likely formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// In the first element of an array, taken as a conversation.
    First,
    /// In each message.
    Messages,
    /// In the roles of the messages, which the format may name differently.
    Roles,
    /// In the text, taken as the body of a request.
    Body,
    /// In the text, taken as a conversation.
    Whole,
    /// In the text, taken as one message, such as a line of a log.
    Line,
}

impl<'a> Sample<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut sample = Self { text, outer: None, is_array: false, messages: Vec::new() };
        let Some(first) = values(text).next() else { return sample };
        if let Some(outer) = sample.value(0, first) {
            sample.messages = sample.objects(&outer.object.list("messages"));
            sample.outer = Some(outer);
        } else {
            let list = elements(first);
            sample.is_array = true;
            sample.messages = sample.objects(&list);
            sample.outer = list.first().and_then(|first| sample.value(0, first));
        }
        sample
    }

    pub(super) fn of_log(text: &'a str, messages: &[&'a RawValue]) -> Self {
        let sample = Self { text, outer: None, is_array: true, messages: Vec::new() };
        Self { messages: sample.objects(messages), ..sample }
    }

    fn value(&self, index: usize, value: &'a RawValue) -> Option<Value<'a>> {
        // `value` is a part of `text`, so its distance from the start is its place.
        let byte = value.get().as_ptr() as usize - self.text.as_ptr() as usize;
        Object::of(value).map(|object| Value { object, index, byte })
    }

    fn objects(&self, list: &[&'a RawValue]) -> Vec<Value<'a>> {
        list.iter().enumerate().filter_map(|(index, value)| self.value(index, value)).collect()
    }

    /// The whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn is_array(&self) -> bool {
        self.is_array
    }

    pub(super) fn messages(&self) -> &[Value<'a>] {
        &self.messages
    }

    /// The text, if it may be the body of a request: one object with `messages`.
    pub(super) fn body(&self) -> Option<&Value<'a>> {
        self.outer.as_ref().filter(|outer| !self.is_array && outer.object.is_list("messages"))
    }

    /// The text, or the first element of an array, if it may be a conversation of another program. An
    /// object with chat-completions `messages` is left out: it may have any other members.
    pub(super) fn conversation(&self) -> Option<&Value<'a>> {
        self.outer.as_ref().filter(|outer| {
            let first = outer.object.objects("messages").next();
            !outer.object.is_list("messages") || first.is_some_and(|message| !message.has("role"))
        })
    }

    /// The text, if it may be one message.
    pub(super) fn line(&self) -> Option<&Value<'a>> {
        self.outer.as_ref().filter(|_| !self.is_array)
    }
}
