//! `Sample`: a text to be recognised, with its outer parts read once for all formats.

use serde_json::value::RawValue;

use crate::outline::{Object, elements, values};

/// A text to be recognised. [`Format`](super::Format) has an example.
#[derive(Debug)]
pub struct Sample<'a> {
    text: &'a str,
    /// The whole text as one object, or the first element of an array.
    whole: Option<Value<'a>>,
    is_array: bool,
    /// What stands where messages do: the elements of an array or of `messages`, or the values of a
    /// log.
    messages: Vec<Value<'a>>,
}

/// An object in a text.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) object: Object<'a>,
    /// Its place in the list that it is of.
    pub(super) index: usize,
    /// Where it begins.
    pub(super) byte: usize,
}

/// The parts of a text, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The first element of an array.
    First,
    Messages,
    Roles,
    Body,
    Whole,
    /// The whole as one message.
    Line,
}

impl<'a> Sample<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut sample = Self { text, whole: None, is_array: false, messages: Vec::new() };
        let Some(first) = values(text).next() else { return sample };
        if let Some(whole) = sample.value(0, first) {
            sample.messages = sample.objects(&whole.object.list("messages"));
            sample.whole = Some(whole);
        } else {
            let list = elements(first);
            sample.is_array = true;
            sample.messages = sample.objects(&list);
            sample.whole = list.first().and_then(|first| sample.value(0, first));
        }
        sample
    }

    pub(super) fn of_log(text: &'a str, messages: &[&'a RawValue]) -> Self {
        let sample = Self { text, whole: None, is_array: true, messages: Vec::new() };
        Self { messages: sample.objects(messages), ..sample }
    }

    fn value(&self, index: usize, value: &'a RawValue) -> Option<Value<'a>> {
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

    /// The body of a request: the text is one object with `messages`.
    pub(super) fn body(&self) -> Option<&Value<'a>> {
        self.whole.as_ref().filter(|whole| !self.is_array && whole.object.is_list("messages"))
    }

    /// A conversation that is no body with messages: one of ours may have any members beside these.
    pub(super) fn conversation(&self) -> Option<&Value<'a>> {
        self.whole.as_ref().filter(|whole| {
            let first = whole.object.objects("messages").next();
            !whole.object.is_list("messages") || first.is_some_and(|message| !message.has("role"))
        })
    }

    /// The text as one message.
    pub(super) fn line(&self) -> Option<&Value<'a>> {
        self.whole.as_ref().filter(|_| !self.is_array)
    }
}
