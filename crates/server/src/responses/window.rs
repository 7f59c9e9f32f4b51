//! What of a conversation is sent: what comes after its newest compaction item, with the summary in
//! front, and with the reasoning that its client has kept sealed.

use std::collections::HashSet;
use std::ops::Range;

use turnwise::conversation::ItemId;
use turnwise::{Conversation, Message, Role, Transcript};
use turnwise_conversations::{Record, SealedItem};

use crate::seal::{SealedKind, Sealer};

/// What a summary begins with where it is sent to a model.
const INTRODUCTION: &str = "Summary of the conversation so far:\n\n";
/// The member of a message with its reasoning.
const REASONING: &str = "reasoning_content";

/// A message that stands for what a summary covers.
pub(super) fn of_summary(text: &str) -> Message {
    Message::user(format!("{INTRODUCTION}{text}"))
}

/// The reasoning of a reply.
pub(super) fn reasoning_of(message: &Message) -> Option<String> {
    let texts = [REASONING, "reasoning"].into_iter().filter_map(|key| message.get(key)?.parse::<String>().ok());
    texts.into_iter().find(|text| !text.is_empty())
}

/// The sealed items of the first messages of a conversation.
#[derive(Clone, Default)]
pub(crate) struct Scanned {
    messages: usize,
    bytes: usize,
    found: Vec<SealedItem>,
}

impl Scanned {
    #[cfg(test)]
    pub(super) fn of(file: &Transcript) -> Self {
        let mut scanned = Self::default();
        scanned.all(&Record::of("conv_0", &mut file.clone()), file);
        scanned
    }

    /// The bytes of these messages.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All sealed items, after the messages were looked at that were not yet.
    fn all(&mut self, record: &Record<'_>, file: &Transcript) -> Vec<SealedItem> {
        let path = file.conversation.path();
        let bytes = |message: &Message| serde_json::to_vec(message).map_or(0, |json| json.len());
        let new = (self.messages..path.len()).filter_map(|position| path.item(position));
        self.bytes += new.map(|item| bytes(item.message())).sum::<usize>();
        self.found.extend(record.sealed_in_messages(self.messages));
        self.messages = path.len();
        record.sealed_with(&self.found)
    }
}

/// A file with what of a record is sent. `input` is the position of the first message of the request:
/// what it has before its own compaction item is its client's choice, and sent.
pub(super) fn of(owner: &str, work: &Transcript, input: usize, sealer: &Sealer, scanned: &mut Scanned) -> Transcript {
    let mut file = work.clone();
    let found = scanned.all(&Record::of(owner, &mut file), work);
    let open = |kind: SealedKind, item: &SealedItem| Some((item.position, sealer.open(kind, &item.content)?));
    let newest =
        found.iter().rev().filter(|item| item.kind == "compaction").find_map(|item| open(SealedKind::Compaction, item));
    let thoughts: Vec<(usize, String)> = found
        .iter()
        .filter(|item| item.kind == "reasoning")
        .filter_map(|item| open(SealedKind::Reasoning, item))
        .collect();
    let path = work.conversation.path();
    let lacks = |(position, _): &(usize, String)| {
        path.item(*position)
            .is_some_and(|item| *item.message().role() == Role::Assistant && item.message().get(REASONING).is_none())
    };
    if newest.is_none() && !thoughts.iter().any(lacks) {
        return file;
    }
    let (end, summary) = newest.map_or((0, None), |(position, text)| (position, Some(of_summary(&text))));
    let mut new = Copy::of(&work.conversation);
    new.add(0..end, |position, is_kept| position >= input || is_kept);
    new.conversation.extend(summary.map(|summary| (None, summary)));
    new.add(end..path.len(), |_, _| true);
    for (position, text) in &thoughts {
        new.reason(*position, text);
    }
    file.conversation = new.finish();
    file
}

/// A file in which a conversation has only its messages from a position on, after a summary of the
/// others.
pub(super) fn after_summary(file: &Transcript, from: usize, summary: &str) -> Transcript {
    let mut new = Copy::of(&file.conversation);
    new.add(0..from, |_, is_kept| is_kept);
    new.conversation.push((None, of_summary(summary)));
    new.add(from..file.conversation.path().len(), |_, _| true);
    let conversation = new.finish();
    let mut sent = file.clone();
    sent.conversation = conversation;
    sent
}

/// The first of the messages at the end that a summary must not stand for: what the user said last,
/// or the results of tools with the calls that they answer.
pub(super) fn newest(talk: &Conversation) -> usize {
    let roles: Vec<&Role> = talk.path().messages().map(Message::role).collect();
    let is_result = |role: &&Role| matches!(role, Role::Tool | Role::Function);
    if roles.last().is_some_and(is_result) {
        return roles.iter().rposition(|role| **role == Role::Assistant).unwrap_or_default();
    }
    roles.iter().rposition(|role| **role == Role::Assistant || is_result(role)).map_or(0, |last| last + 1)
}

/// A copy of some of the messages of a conversation, with their pins.
struct Copy<'a> {
    of: &'a Conversation,
    pins: HashSet<ItemId>,
    conversation: Vec<(Option<usize>, Message)>,
}

impl<'a> Copy<'a> {
    fn of(conversation: &'a Conversation) -> Self {
        Self { of: conversation, pins: conversation.pins().collect(), conversation: Vec::new() }
    }

    /// Adds messages that are taken, which also depends on whether one is sent in any case: an
    /// instruction, or pinned.
    fn add(&mut self, range: Range<usize>, is_taken: impl Fn(usize, bool) -> bool) {
        let path = self.of.path();
        for (position, item) in range.filter_map(|position| Some((position, path.item(position)?))) {
            let is_kept = item.message().role().is_instruction() || self.pins.contains(&item.id());
            if is_taken(position, is_kept) {
                self.conversation.push((Some(position), item.message().clone()));
            }
        }
    }

    /// Gives a message of the model its reasoning.
    fn reason(&mut self, position: usize, text: &str) {
        let found = self.conversation.iter_mut().find(|(from, _)| *from == Some(position));
        let lacking =
            found.filter(|(_, message)| *message.role() == Role::Assistant && message.get(REASONING).is_none());
        if let Some((_, message)) = lacking
            && let Ok(with) = message.clone().with_field(REASONING, text)
        {
            *message = with;
        }
    }

    fn finish(self) -> Conversation {
        let mut new = Conversation::new();
        // The head is one already.
        let _ = new.set_head(self.of.head().iter().cloned());
        let path = self.of.path();
        for (from, message) in self.conversation {
            let old = from.and_then(|position| path.item(position)).map(turnwise::Item::id);
            let id = new.push(message);
            if old.is_some_and(|old| self.pins.contains(&old)) {
                let _ = new.pin(id);
            }
        }
        new
    }
}
