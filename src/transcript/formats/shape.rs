//! `Shape`: a format that is known by its members, as most formats of the registry are.

use std::borrow::Cow;

use super::sample::{Sample, Stage, Value};
use super::{Detected, Format, Likelihood};
use crate::outline::Object;

/// The way out of a format that the crate `turnwise-formats` reads.
pub(super) const CONVERT: &str =
    "`turnwise convert FILE NEW.json` converts it, and the crate `turnwise-formats` reads it";

/// What gives a format away, in the words of an error.
pub(super) type Sign = Option<Cow<'static, str>>;

/// A format, and what its parts have that no other's have.
pub(super) struct Shape {
    /// One word for it.
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// What can be done to use it here.
    pub(super) way_out: &'static str,
    /// A message, by itself.
    pub(super) message: fn(&Object<'_>) -> Sign,
    /// A whole conversation, or the first of a list.
    pub(super) whole: fn(&Object<'_>) -> Sign,
    /// A request's body with `messages`.
    pub(super) body: fn(&Object<'_>) -> Sign,
    /// Its names for the user and the model, each with the chat-completions name. A name is a sign
    /// only where the chat-completions name does not occur: in a conversation that also has
    /// `assistant`, the role `ai` is an unknown role and no sign of this format.
    pub(super) roles: &'static [(&'static str, &'static str)],
    pub(super) telling: &'static [&'static str],
    pub(super) likelihood: Likelihood,
}

/// A format of which nothing is known.
pub(super) const SHAPE: Shape = Shape {
    id: "",
    name: "",
    way_out: "",
    message: |_| None,
    whole: |_| None,
    body: |_| None,
    roles: &[],
    telling: &[],
    likelihood: Likelihood::Certain,
};

impl Shape {
    fn found(&self, stage: Stage, at: &Value<'_>, sign: Cow<'static, str>) -> Detected {
        let message = matches!(stage, Stage::Messages | Stage::Roles).then_some(at.index);
        let likelihood = if stage == Stage::Roles { Likelihood::Likely } else { self.likelihood };
        Detected { stage, message, byte: at.byte, ..Detected::new(likelihood, sign, self.way_out) }
    }

    fn look(&self, stage: Stage, at: Option<&Value<'_>>, sign: fn(&Object<'_>) -> Sign) -> Option<Detected> {
        let at = at?;
        Some(self.found(stage, at, sign(&at.object)?))
    }

    /// A role that it has another name for, where that name is used throughout.
    fn by_role(&self, messages: &[Value<'_>]) -> Option<Detected> {
        self.roles.iter().find_map(|(name, ours)| {
            let at = messages.iter().find(|message| message.object.is_one_of("role", &[name]))?;
            let is_mixed = messages.iter().any(|message| message.object.is_one_of("role", &[ours]));
            (!is_mixed).then(|| self.found(Stage::Roles, at, format!("the role `{name}`").into()))
        })
    }
}

impl Format for Shape {
    fn id(&self) -> &'static str {
        self.id
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn detect(&self, sample: &Sample<'_>) -> Option<Detected> {
        let whole = if sample.is_array() { Stage::First } else { Stage::Whole };
        let of_whole = || self.look(whole, sample.conversation(), self.whole);
        let in_array = if sample.is_array() { of_whole() } else { None };
        in_array
            .or_else(|| sample.messages().iter().find_map(|one| self.look(Stage::Messages, Some(one), self.message)))
            .or_else(|| self.look(Stage::Body, sample.body(), self.body))
            .or_else(of_whole)
            .or_else(|| self.look(Stage::Line, sample.line(), self.message))
            .or_else(|| self.by_role(sample.messages()))
    }

    fn telling(&self) -> &'static [&'static str] {
        self.telling
    }
}

/// The sign of what holds.
pub(super) fn sign(holds: bool, text: &'static str) -> Sign {
    holds.then_some(Cow::Borrowed(text))
}

/// Some members, where all of them are there.
pub(super) fn members(object: &Object<'_>, keys: &[&str]) -> Sign {
    let all = || keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
    object.has_all(keys).then(|| Cow::Owned(all()))
}

/// A member with its value, which is one of ours.
pub(super) fn named(key: &str, object: &Object<'_>) -> Sign {
    Some(Cow::Owned(format!("the {key} `{}`", object.text(key)?)))
}

/// The kind of the first part of the content that is meant.
pub(super) fn part(message: &Object<'_>, is_meant: impl Fn(&Object<'_>) -> bool) -> Sign {
    let kind = message.objects("content").find(|part| is_meant(part))?.text("type")?.into_owned();
    Some(Cow::Owned(format!("a part of the type `{kind}`")))
}

/// The first element of a list that is an object.
pub(super) fn first<'a>(object: &Object<'a>, key: &str) -> Option<Object<'a>> {
    object.objects(key).next()
}
