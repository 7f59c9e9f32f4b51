//! What must be answered, made smaller when it is longer than there is room.

use super::runs::Cut;
use super::shrink::{Shrink, Shrinker};
use crate::conversation::Path;
use crate::ledger::Sums;
use crate::message::Message;
use crate::tokens::ChatCost;

/// No text is cut to less than this, in tokens: what is left would say nothing.
const LEAST: u64 = 64;

/// Cuts the longest texts of these groups to one length, so that together they fit into `room` tokens; `None` when they
/// cannot.
pub(super) fn cut_to_fit(
    path: Path<'_>,
    groups: &[usize],
    room: u64,
    sums: &Sums,
    cost: &ChatCost,
    shrinker: &Shrinker,
) -> Option<Vec<Cut>> {
    let messages = || groups.iter().flat_map(|&group| path.group(group).messages());
    let lengths: Vec<u64> = messages().flat_map(|message| text_lengths(message, cost)).collect();
    let whole: u64 = groups.iter().map(|&group| sums.group(group).tokens).sum();
    let around = whole.saturating_sub(lengths.iter().sum());
    let mut length = common_length(&lengths, room.checked_sub(around)?)?;
    loop {
        let how = Shrink::Ends { tokens: length };
        let cut = |&group: &usize| {
            let ways = std::slice::from_ref(&how);
            let tokens = shrinker.shrink(path.group(group), ways, cost).count.tokens;
            Cut { group, how: how.clone(), tokens }
        };
        let cuts: Vec<Cut> = groups.iter().map(cut).collect();
        let over = cuts.iter().map(|cut| cut.tokens).sum::<u64>().saturating_sub(room);
        if over == 0 {
            let is_cut = |cut: &Cut| sums.group(cut.group).tokens > cut.tokens;
            return Some(cuts.into_iter().filter(is_cut).collect());
        }
        // Texts that were counted as parts may cost a little more together.
        let longest = lengths.iter().filter(|&&tokens| tokens > length).count().max(1) as u64;
        length = length.checked_sub(over.div_ceil(longest)).filter(|&length| length >= LEAST)?;
    }
}

fn text_lengths(message: &Message, cost: &ChatCost) -> Vec<u64> {
    let mut lengths = Vec::new();
    message.map_texts(|text| {
        lengths.push(cost.text(text).tokens);
        None
    });
    lengths
}

/// The greatest length to which all texts can be cut so that they fit into `room`.
fn common_length(lengths: &[u64], room: u64) -> Option<u64> {
    let fits = |most: u64| lengths.iter().map(|&tokens| tokens.min(most)).sum::<u64>() <= room;
    let (mut enough, mut too_much) = (LEAST, lengths.iter().copied().max().unwrap_or(0).max(LEAST) + 1);
    if !fits(enough) {
        return None;
    }
    while too_much - enough > 1 {
        let middle = enough.midpoint(too_much);
        if fits(middle) {
            enough = middle;
        } else {
            too_much = middle;
        }
    }
    Some(enough)
}
