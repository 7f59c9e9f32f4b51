//! `Overhead`: the cost of a request that does not depend on the path.

use super::Required;
use super::plan::RequestTokens;
use super::runs::{Decided, history};
use super::view::RequiredGroups;
use crate::budget::ResolvedBudget;
use crate::error::RequiredTokens;
use crate::ledger::Sums;
use crate::tokens::Count;

/// The cost of a request that does not depend on the path.
pub(super) struct Overhead {
    pub(super) head: Count,
    pub(super) tools: Count,
    pub(super) context: Count,
    pub(super) priming: Count,
}

impl Overhead {
    pub(super) fn tokens(&self) -> u64 {
        (self.head + self.tools + self.context + self.priming).tokens
    }

    pub(super) fn request_tokens(&self, decided: &Decided) -> RequestTokens {
        RequestTokens {
            head: self.head.tokens,
            tools: self.tools.tokens,
            history: history(&decided.runs),
            summary: decided.summary.as_ref().map_or(0, |summary| summary.tokens),
            context: self.context.tokens,
            overhead: self.priming.tokens,
            estimated: false,
        }
    }

    /// What the request must hold: this, and the required groups.
    pub(super) fn required(&self, groups: &RequiredGroups, sums: &Sums, budget: &ResolvedBudget) -> RequiredTokens {
        let of = |why| groups.of_reason(why).fold(0_u64, |sum, group| sum.saturating_add(sums.group(group).tokens));
        RequiredTokens {
            head: self.head.tokens,
            tools: self.tools.tokens,
            context: self.context.tokens,
            pins: of(Required::Pin),
            pending: of(Required::Pending).saturating_add(of(Required::Leads)),
            opening: self.priming.tokens,
            limit: budget.limit,
            reply_reserve: budget.reply_reserve,
        }
    }
}
