//! `Shrink`: how a group is made smaller. `Shrinker`: writes the shorter texts and remembers
//! what they cost.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::ends::ends;
use crate::conversation::{Group, Stamp};
use crate::message::{Message, Role};
use crate::text::thousands;
use crate::tokens::{ChatCost, Count};

/// How a group is shortened without being left out. The record keeps it in full.
///
/// # Examples
/// ```
/// use turnwise::plan::Shrink;
/// use turnwise::{Draft, Reason, View};
///
/// /// Keeps beginning and end of every message that is longer than 500 tokens.
/// fn shorten(view: &View<'_>) -> Draft {
///     let groups = (0..view.path().group_count()).filter(|&group| view.tokens(group..group + 1) > 500);
///     let shorten = |draft: Draft, group| draft.shrink(group, Shrink::Ends { tokens: 200 }, Reason::Other("long".into()));
///     groups.fold(Draft::keep_all(), shorten)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shrink {
    /// Each tool result is replaced by a note of how many tokens it had.
    ClearResults,
    /// The model's reasoning is removed: the members `reasoning`, `reasoning_content` and
    /// `thinking`, a `<think>` block at the start of the text, and parts of the kinds `thinking`,
    /// `redacted_thinking` and `reasoning`.
    DropReasoning,
    /// Of longer texts only the beginning and the end are kept, with the number of tokens left out
    /// between them.
    Ends {
        /// The most tokens of one text.
        tokens: u64,
    },
    /// Of the text of a single message only these ranges of bytes are kept, in order, with `[…]`
    /// for each gap.
    Excerpt {
        /// Ranges at character boundaries that neither overlap nor touch; others are ignored.
        ranges: Arc<[Range<usize>]>,
    },
}

impl Shrink {
    fn apply(&self, message: &Message, is_lone: bool, cost: &ChatCost) -> Message {
        match self {
            Self::ClearResults if message.is_result() => cleared(message, cost),
            Self::DropReasoning if *message.role() == Role::Assistant => message.without_reasoning(),
            Self::Ends { tokens } => message.map_texts(|text| ends(text, *tokens, cost)),
            Self::Excerpt { ranges } if is_lone => message.map_texts(|text| Some(excerpt(text, ranges))),
            _ => message.clone(),
        }
    }
}

fn cleared(message: &Message, cost: &ChatCost) -> Message {
    let tokens = cost.said(message).tokens;
    let marker = format!("[result of {} tokens left out]", thousands(tokens));
    if cost.text(&marker).tokens < tokens { message.clone().with_content(marker) } else { message.clone() }
}

fn excerpt(text: &str, ranges: &[Range<usize>]) -> String {
    const GAP: &str = "[…]";
    let mut out = String::new();
    let mut end = 0;
    for range in ranges {
        let Some(piece) = text.get(range.clone()).filter(|_| range.start >= end) else { continue };
        if range.start > end {
            out.push_str(GAP);
            out.push('\n');
        }
        out.push_str(piece);
        if !piece.ends_with('\n') {
            out.push('\n');
        }
        end = range.end;
    }
    if end < text.len() {
        out.push_str(GAP);
    }
    out.trim_end_matches('\n').to_owned()
}

/// A group in shortened form.
#[derive(Clone, Debug)]
pub(super) struct Shrunk {
    pub(super) messages: Arc<[Message]>,
    pub(super) count: Count,
}

/// Groups that were shortened and counted, so that no plan does it again.
#[derive(Debug, Default)]
pub(super) struct Shrinker {
    /// Most conversations have no such groups.
    known: Mutex<Option<Box<Known>>>,
}

#[derive(Debug, Default)]
struct Known {
    cost_id: String,
    /// By the last item of the group, which identifies the others.
    groups: HashMap<(Stamp, Vec<Shrink>), Shrunk>,
    /// Summaries by their text.
    summaries: HashMap<String, Count>,
}

/// More than any request needs; above it, everything is forgotten.
const MOST_KNOWN: usize = 4_096;

impl Shrinker {
    /// Accesses the entries for this cost rule, with room for one more.
    fn known<T>(&self, cost: &ChatCost, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if known.cost_id != cost.id() || known.groups.len().max(known.summaries.len()) >= MOST_KNOWN {
            **known = Known { cost_id: cost.id().to_owned(), ..Known::default() };
        }
        look(known)
    }

    /// The cost of a summary as a message.
    pub(super) fn count(&self, message: &Message, cost: &ChatCost) -> Count {
        let text = message.text().into_owned();
        self.known(cost, |known| *known.summaries.entry(text).or_insert_with(|| cost.group([message])))
    }

    /// A group shortened in these ways, one after the other.
    pub(super) fn shrink(&self, group: Group<'_>, ways: &[Shrink], cost: &ChatCost) -> Shrunk {
        let Some(last) = group.last_item() else { return Shrunk { messages: Arc::from([]), count: Count::ZERO } };
        let make = || {
            let is_lone = group.positions().len() == 1;
            let shrink = |message: &Message| {
                ways.iter().fold(message.clone(), |message, way| way.apply(&message, is_lone, cost))
            };
            let messages: Arc<[Message]> = group.messages().map(shrink).collect();
            Shrunk { count: cost.group(&*messages), messages }
        };
        let key = (last.stamp(), ways.to_vec());
        self.known(cost, |known| known.groups.entry(key).or_insert_with(make).clone())
    }
}
