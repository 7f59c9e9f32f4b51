//! A JSON schema that is read with its references resolved.

use std::cell::Cell;

use super::json::Json;

/// The deepest that schemas are followed through references. JSON itself cannot be nested deeper.
const DEEPEST: usize = 128;
/// What references may add to a schema: bytes for each byte of it, and some more.
const ROOM_PER_BYTE: usize = 4;
const LEAST_ROOM: usize = 16 * 1024;

/// One schema, and the definition that its `$ref` names, whose members hold where it has none of
/// its own.
#[derive(Clone, Copy)]
pub(super) struct Schema<'a> {
    own: &'a Json,
    named: Option<&'a Json>,
}

impl<'a> Schema<'a> {
    pub(super) fn without_reference(own: &'a Json) -> Self {
        Self { own, named: None }
    }

    pub(super) fn get(self, key: &str) -> Option<&'a Json> {
        self.own.get(key).or_else(|| self.named?.get(key))
    }

    /// A text that is not only white space, without the white space around it.
    pub(super) fn text(self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    pub(super) fn items(self, key: &str) -> &'a [Json] {
        self.get(key).map_or(&[], Json::items)
    }

    pub(super) fn properties(self) -> &'a [(Box<str>, Json)] {
        self.get("properties").map_or(&[], Json::members)
    }

    pub(super) fn has_properties(self) -> bool {
        !self.properties().is_empty()
    }

    /// The alternatives of `anyOf` or `oneOf`.
    pub(super) fn variants(self) -> Option<&'a [Json]> {
        ["anyOf", "oneOf"].into_iter().find_map(|key| self.get(key)).map(Json::items)
    }
}

/// Finds what references name within one schema. References can make a small schema endless, so
/// what they add is limited.
pub(super) struct Resolver<'a> {
    root: &'a Json,
    room: Cell<usize>,
    has_refused: Cell<bool>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(whole: &'a Json) -> Self {
        let room = weight(whole).saturating_mul(ROOM_PER_BYTE).saturating_add(LEAST_ROOM);
        Self { root: whole, room: Cell::new(room), has_refused: Cell::new(false) }
    }

    /// The schema at a depth, with what it refers to.
    pub(super) fn schema(&self, own: &'a Json, depth: usize) -> Schema<'a> {
        let Some(reference) = own.text("$ref") else { return Schema::without_reference(own) };
        // No recorded definition is a reference itself.
        let target = self.target(reference).filter(|target| target.get("$ref").is_none());
        let named = target.filter(|target| self.takes(target, depth));
        self.has_refused.set(self.has_refused.get() || named.is_none());
        Schema { own, named }
    }

    /// Whether a reference was left as it is: it names nothing here, or its schema never ends.
    pub(super) fn has_refused(&self) -> bool {
        self.has_refused.get()
    }

    fn target(&self, reference: &str) -> Option<&'a Json> {
        let path = reference.strip_prefix('#')?;
        let mut keys = path.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"));
        keys.try_fold(self.root, |json, key| json.get(&key))
    }

    fn takes(&self, target: &Json, depth: usize) -> bool {
        let room =
            if depth < DEEPEST && self.room.get() > 0 { self.room.get().saturating_sub(weight(target)) } else { 0 };
        self.room.set(room);
        room > 0
    }
}

/// About as many bytes as a value has when it is written.
fn weight(json: &Json) -> usize {
    match json {
        Json::Plain(text) | Json::String(text) => text.len() + 2,
        Json::Array(items) => items.iter().map(weight).sum::<usize>() + 2,
        Json::Object(members) => members.iter().map(|(key, value)| key.len() + 4 + weight(value)).sum::<usize>() + 2,
    }
}
