//! Reading the arguments of a tool call as a type.

use serde::de::value::Error as NoValue;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use crate::message::ToolCall;
use crate::text::described_as_json;

/// The arguments of a call. If they do not fit the type, the error is what the model is told.
pub(super) fn read<A: DeserializeOwned>(call: &ToolCall) -> Result<A, String> {
    let text = call.arguments();
    let error = match serde_json::from_str(&text) {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    if call.invalid_arguments().is_none() {
        if let Ok(nothing) = A::deserialize(Nothing) {
            return Ok(nothing);
        }
        // A model writes no arguments as an empty object, and an `Option` is read from null.
        if is_empty_object(&text)
            && let Ok(nothing) = serde_json::from_str("null")
        {
            return Ok(nothing);
        }
    }
    let why = described_as_json(&error);
    Err(format!("the arguments of `{}` do not fit: {why}; nothing was run, correct them and call again", call.name()))
}

fn is_empty_object(text: &str) -> bool {
    let inside = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    inside.is_some_and(|inside| inside.trim().is_empty())
}

/// What only a type without a value is read from: `()`, or a struct without fields (`struct Now;`).
struct Nothing;

impl<'de> Deserializer<'de> for Nothing {
    type Error = NoValue;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, NoValue> {
        Err(NoValue::custom("there is no value"))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoValue> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, NoValue> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option newtype_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}
