//! `OpenAssistant`: trees of replies, and messages with a parent, one a line.

use std::collections::HashMap;

use serde_json::value::RawValue;
use turnwise::{Error, Message};

use super::{invalid, lines, value};
use crate::draft::{Draft, Import, NodeId};
use crate::format::{Division, Format};
use crate::head::Head;
use crate::members::Members;
use crate::origin::with_origin;
use crate::report::Fate;
use crate::time::time;

const NAME: &str = "oasst";

/// `OpenAssistant`'s data.
#[derive(Debug)]
pub(crate) struct Oasst;

impl Format for Oasst {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "OpenAssistant trees"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl"]
    }

    fn needs(&self) -> &'static str {
        "a `prompt` with `replies`, or messages with `parent_id` and the role `prompter`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["message_tree_id", "prompt", "message_id", "parent_id"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["oasst"]
    }

    fn division(&self, head: &Head<'_>) -> Division {
        let is_flat = head.first().is_some_and(|first| first.has("message_id"));
        if is_flat { Division::Whole } else { Division::Elements }
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let first = lines(text).0.first().and_then(|first| Members::of(first));
        if first.is_some_and(|first| first.peek().has("message_id")) {
            return flat(text, out);
        }
        let mut whole = Members::of(value(text)?).ok_or_else(|| invalid("a tree is not an object"))?;
        let prompt = whole.raw("prompt").ok_or_else(|| invalid("there is no `prompt`"))?;
        let mut draft = Draft::named(whole.peek().text("message_tree_id"));
        draft.rest = whole.rest();
        // The reply with the lowest rank is the path.
        let mut waiting: Vec<(&RawValue, Option<NodeId>, bool)> = vec![(prompt, None, true)];
        let mut leaf = None;
        while let Some((raw, parent, is_on_path)) = waiting.pop() {
            let Some(mut node) = Members::of(raw) else {
                draft.note(Fate::Dropped, "reply that is not an object");
                continue;
            };
            let replies = node.list("replies").unwrap_or_default();
            let place = add(&mut draft, node, parent);
            if is_on_path {
                leaf = Some(place);
            }
            let best = best(&replies).filter(|_| is_on_path);
            let next = replies.into_iter().enumerate().rev();
            waiting.extend(next.map(|(index, reply)| (reply, Some(place), best == Some(index))));
        }
        draft.end_at(leaf);
        out.push(draft.finish(NAME));
        Ok(())
    }
}

/// The reply with the lowest rank; the first one if none has a rank. Deleted ones come last.
fn best(replies: &[&RawValue]) -> Option<usize> {
    let rank = |reply: &RawValue| {
        let mut reply = Members::of(reply)?;
        let rank = reply.number("rank").unwrap_or(f64::INFINITY);
        Some((reply.is_true("deleted"), rank))
    };
    let ranks = replies.iter().enumerate().filter_map(|(index, reply)| Some((rank(reply)?, index)));
    let lowest = ranks.min_by(|((deleted, rank), _), ((other_deleted, other), _)| {
        deleted.cmp(other_deleted).then(rank.total_cmp(other))
    });
    lowest.map(|(_, index)| index)
}

fn add(draft: &mut Draft, mut node: Members<'_>, parent: Option<NodeId>) -> NodeId {
    let role = node.text("role").filter(|role| role != "prompter").unwrap_or_else(|| "user".into());
    let text = node.text("text").unwrap_or_default();
    let when = node.raw("created_date").and_then(time);
    draft.add(parent, [with_origin(Message::new(&*role, &*text), NAME, node.rest())], when)
}

/// Messages with a parent each, in any order: each root is a conversation.
fn flat(text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
    let (list, _) = lines(text);
    let nodes: Vec<Members<'_>> = list.into_iter().filter_map(Members::of).collect();
    let id = |node: &Members<'_>, key: &str| node.peek().text(key).map(std::borrow::Cow::into_owned);
    let known: HashMap<String, usize> =
        nodes.iter().enumerate().filter_map(|(index, node)| Some((id(node, "message_id")?, index))).collect();
    let parent = |node: &Members<'_>| id(node, "parent_id").and_then(|parent| known.get(&parent).copied());
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        match parent(node) {
            Some(parent) => children.entry(parent).or_default().push(index),
            None => roots.push(index),
        }
    }
    let ranks: Vec<(bool, f64)> = nodes
        .iter()
        .map(|node| {
            let rank = node.peek().get("rank").and_then(|rank| rank.get().parse().ok());
            (node.is_true("deleted"), rank.unwrap_or(f64::INFINITY))
        })
        .collect();
    let mut nodes: Vec<Option<Members<'_>>> = nodes.into_iter().map(Some).collect();
    for root in roots {
        let mut draft = Draft::default();
        draft.id = nodes[root].as_ref().and_then(|node| id(node, "message_tree_id").or_else(|| id(node, "message_id")));
        let mut waiting = vec![(root, None, true)];
        let mut leaf = None;
        while let Some((index, parent, is_on_path)) = waiting.pop() {
            let Some(node) = nodes[index].take() else { continue };
            let place = add(&mut draft, node, parent);
            if is_on_path {
                leaf = Some(place);
            }
            let below = children.remove(&index).unwrap_or_default();
            let order = |one: &&usize, other: &&usize| {
                ranks[**one].0.cmp(&ranks[**other].0).then(ranks[**one].1.total_cmp(&ranks[**other].1))
            };
            let best = below.iter().min_by(order).copied().filter(|_| is_on_path);
            waiting.extend(below.into_iter().rev().map(|child| (child, Some(place), best == Some(child))));
        }
        draft.end_at(leaf);
        out.push(draft.finish(NAME));
    }
    if out.is_empty() {
        return Err(invalid("there is no message without a parent"));
    }
    Ok(())
}
