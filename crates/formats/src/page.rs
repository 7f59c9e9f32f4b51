//! What pages for people show of a conversation: the path, other branches where they leave it, and
//! summaries where they end.

use std::collections::{HashMap, HashSet};

use turnwise::conversation::{ItemId, Summary};
use turnwise::{Conversation, Item, Message};

/// Branches that leave the path, and summaries, by the item after which they are shown.
#[derive(Debug)]
pub(crate) struct Beside<'a> {
    /// By the last item of the path that they share with it.
    pub(crate) branches: HashMap<Option<ItemId>, Vec<Vec<&'a Item>>>,
    /// By the last item that they stand for.
    pub(crate) summaries: HashMap<ItemId, Vec<&'a Summary>>,
}

impl<'a> Beside<'a> {
    pub(crate) fn of(conversation: &'a Conversation) -> Self {
        let path = conversation.path();
        let mut shown: HashSet<ItemId> = HashSet::new();
        let mut branches: HashMap<Option<ItemId>, Vec<Vec<&Item>>> = HashMap::new();
        for branch in conversation.branches().filter(|branch| !branch.is_current) {
            let mut own = Vec::new();
            let mut next = conversation.get(branch.leaf);
            let mut fork = None;
            while let Some(item) = next {
                if path.contains(item.id()) {
                    fork = Some(item.id());
                    break;
                }
                if shown.insert(item.id()) {
                    own.push(item);
                }
                next = item.parent().and_then(|parent| conversation.get(parent));
            }
            own.reverse();
            if !own.is_empty() {
                branches.entry(fork).or_default().push(own);
            }
        }
        let mut summaries: HashMap<ItemId, Vec<&Summary>> = HashMap::new();
        for summary in conversation.summaries() {
            summaries.entry(summary.last).or_default().push(summary);
        }
        Self { branches, summaries }
    }
}

/// The name that a reader sees for a role.
pub(crate) fn speaker(message: &Message) -> String {
    let role = match message.role().as_str() {
        "system" | "developer" => "Instructions",
        "user" => "User",
        "assistant" => "Assistant",
        "tool" | "function" => "Result",
        other => other,
    };
    match message.name() {
        Some(name) => format!("{role} ({name})"),
        None => role.to_owned(),
    }
}

/// The text of a message, with a blank line between its parts.
pub(crate) fn text(message: &Message) -> String {
    match message.content() {
        Some(content) if content.parts().len() > 1 => {
            let texts = content.parts().iter().filter_map(|part| part.text());
            texts.collect::<Vec<_>>().join("\n\n")
        }
        _ => message.text().into_owned(),
    }
}

/// The reasoning of a message, if it has any.
pub(crate) fn reasoning(message: &Message) -> Option<String> {
    let text = |key| message.get(key).and_then(|text| text.parse::<String>().ok());
    text("reasoning_content").or_else(|| text("reasoning")).filter(|text| !text.trim().is_empty())
}

/// The title of a conversation, or a name made of its id.
pub(crate) fn title(transcript: &turnwise::Transcript) -> String {
    let metadata = transcript.conversation.metadata();
    let title = metadata.get("title").map(str::to_owned);
    title.or_else(|| crate::origin::id(transcript)).unwrap_or_else(|| "Conversation".to_owned())
}
