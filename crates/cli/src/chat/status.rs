//! What was sent and what it cost, in one line after a reply.

use std::collections::BTreeMap;

use turnwise::plan::Run;
use turnwise::spending::Tally;
use turnwise::{ConversationManager, Fate, Plan, Reply};

use super::printing::{figure, note};
use crate::text::{counted, thousands};

/// The line for a person: tokens of the budget, cost, what was left out.
pub(super) fn line(chat: &ConversationManager, reply: &Reply, asides: &Tally) -> String {
    let plan = &reply.report.plan;
    let tokens = figure(plan, plan.tokens().total());
    let mut parts = vec![format!("{tokens} of {} tokens", thousands(plan.budget().limit))];
    let total = chat.spending().total() + *asides;
    match (reply.report.cost, total.cost()) {
        (Some(cost), Some(total)) if total != cost => parts.push(format!("{cost:.4}, {total:.4} in all")),
        (Some(cost), _) => parts.push(format!("{cost:.4}")),
        (None, _) => {}
    }
    parts.push(left_out(plan));
    parts.join(" · ")
}

/// What is not sent as it is, in words.
fn left_out(plan: &Plan) -> String {
    let all: usize = plan.runs().iter().map(Run::messages).sum();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for run in plan.runs().iter().filter(|run| run.fate == Fate::Evicted) {
        *reasons.entry(run.reason.to_string()).or_default() += run.messages();
    }
    let count = |fate: Fate| plan.runs().iter().filter(|run| run.fate == fate).map(Run::messages).sum::<usize>();
    let (summarized, shortened) = (count(Fate::Summarized), count(Fate::Shrunk));
    let mut parts = Vec::new();
    if !reasons.is_empty() {
        let words: Vec<&str> = reasons.keys().map(String::as_str).collect();
        let left_out = thousands(reasons.values().sum::<usize>() as u64);
        parts.push(format!("{left_out} of {} left out: {}", counted(all, "message"), words.join(", ")));
    }
    if summarized > 0 {
        parts.push(format!("{} replaced by a summary", thousands(summarized as u64)));
    }
    if shortened > 0 {
        parts.push(format!("{} shortened", thousands(shortened as u64)));
    }
    if parts.is_empty() { "everything was sent".to_owned() } else { parts.join("; ") }
}

/// The remark in a pipe, if anything was not sent as it is.
pub(super) fn trimmed(plan: &Plan) {
    let runs = plan.runs();
    let count = |fate: Fate| runs.iter().filter(|run| run.fate == fate).map(Run::messages).sum::<usize>();
    let left_out = plan.evicted();
    let shorter = count(Fate::Shrunk);
    if left_out + shorter == 0 {
        return;
    }
    let all = runs.iter().map(Run::messages).sum::<usize>();
    let sent = thousands((all - left_out) as u64);
    let summary = if plan.summary().is_some() { " and a summary" } else { "" };
    let shortened = match shorter {
        0 => String::new(),
        shorter => format!(", {} of them shortened", thousands(shorter as u64)),
    };
    let tokens = figure(plan, plan.tokens().total());
    let limit = thousands(plan.budget().limit);
    note(format_args!("{sent} of {} sent{summary}{shortened}, {tokens} of {limit} tokens", counted(all, "message")));
}
