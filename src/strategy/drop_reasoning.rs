//! `DropReasoning`: leaves out what models thought before they answered in earlier turns.

use std::borrow::Cow;

use super::options::{FREE, Listed, Reader};
use super::sweep::Sweep;
use crate::error::Result;
use crate::message::Role;
use crate::plan::{Draft, Reason, Shrink, Strategy, StrategyCache, View};

/// Leaves out the model's reasoning of earlier turns, once a request exceeds the high mark:
/// `<think>` blocks, and members that hold reasoning, if they are sent at all. Use it as a step of
/// a [`Ladder`](super::Ladder), like [`ClearTools`](super::ClearTools).
///
/// # Examples
/// ```
/// use turnwise::{DropReasoning, Ladder, SlidingWindow};
///
/// let strategy = Ladder::new().step(DropReasoning).step(SlidingWindow::tokens());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropReasoning;

pub(super) const LISTED: Listed = Listed {
    name: "drop-reasoning",
    takes: "no options",
    about: "a step of a ladder: earlier reasoning dropped, nothing else left out",
    price: FREE,
    read: Reader::Options(|_| Ok(Box::new(DropReasoning))),
};

impl Strategy for DropReasoning {
    fn spec(&self) -> Cow<'static, str> {
        "drop-reasoning".into()
    }

    fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        let path = view.path();
        let thinks = |group: usize| {
            let mut messages = path.group(group).messages();
            messages.any(|message| *message.role() == Role::Assistant && message.has_reasoning())
        };
        let turn = view.newest().and_then(|newest| path.turn_of(newest));
        let end = turn.map_or(path.group_count(), |turn| path.turn(turn).start);
        let sweep =
            Sweep { mark: "dropped", how: Shrink::DropReasoning, why: Reason::Reasoning, least: 0, wants: &thinks };
        Ok(sweep.draft(view, end))
    }
}
