//! Finds the place of damage in a file.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::body::position;
use crate::error::{Error, ErrorKind, Position, Result};

/// A value in the text of a file.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    value: &'a str,
    file: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn of(file: &'a str) -> Self {
        Self { value: file, file }
    }

    pub(super) fn position(self) -> Position {
        position(self.file, self.value.as_ptr() as usize - self.file.as_ptr() as usize)
    }

    fn at(self, value: &'a str) -> Self {
        Self { value, ..self }
    }

    fn members(self) -> BTreeMap<String, &'a RawValue> {
        serde_json::from_str(self.value).unwrap_or_default()
    }

    /// The value of a member; the object itself if it has no member of that name.
    pub(super) fn member(self, name: &str) -> Self {
        self.members().get(name).map_or(self, |value| self.at(value.get()))
    }

    /// The member of an object that cannot be read, or the element of that member. `read` reads the
    /// object: to test one member, it reads an object in which all others are missing.
    pub(super) fn unreadable(self, read: impl Fn(&str) -> Option<serde_json::Error>) -> Self {
        let fails = |key: &str, value: &str| {
            let key = serde_json::Value::from(key);
            read(&format!("{{{key}:{value}}}")).is_some_and(|e| !e.to_string().starts_with("missing field"))
        };
        let members = self.members();
        let Some((key, value)) = members.iter().find(|(key, value)| fails(key, value.get())) else { return self };
        let elements: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        let element = elements.into_iter().find(|element| fails(key, &format!("[{}]", element.get())));
        self.at(element.map_or(value.get(), RawValue::get))
    }
}

/// Refuses zeros at the end of a file. A crash leaves them if the file's length was stored before
/// its content.
pub(super) fn refuse_zeros(text: &str) -> Result<()> {
    let whole = text.trim_end_matches(['\0', '\n', '\r', ' ', '\t']);
    let zeros = text[whole.len()..].bytes().filter(|&byte| byte == 0).count();
    if zeros == 0 {
        return Ok(());
    }
    let zeros = crate::text::counted(zeros, "zero byte");
    let rest = if whole.trim().is_empty() {
        let detail = format!("the file has {zeros} and no text, as after a crash before its content was written");
        return Err(Error::new(ErrorKind::Damaged, detail).at(position(text, 0)));
    } else if serde_json::from_str::<serde::de::IgnoredAny>(whole).is_ok() {
        format!("after a complete JSON value, as after a crash; keep its first {} bytes", whole.len())
    } else {
        "after text that ends in the middle of a value, as after a crash that kept only its beginning".to_owned()
    };
    let detail = format!("the file ends in {zeros} {rest}");
    Err(Error::new(ErrorKind::Damaged, detail).at(position(text, whole.len())))
}
