//! `Draft`: a conversation that is being read, as a tree of nodes.

use std::fmt;

use turnwise::conversation::{ItemId, Timestamp};
use turnwise::message::RawJson;
use turnwise::{Conversation, Message, Tool, Transcript};

use crate::members::Rest;
use crate::origin;
use crate::report::{Fate, Report};

/// A conversation as it was read, and what was not carried over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Import {
    /// The conversation, with what the format says about it beside the messages.
    pub transcript: Transcript,
    /// What was not carried over as it was.
    pub report: Report,
    /// The id that the file gives the conversation.
    pub id: Option<String>,
}

/// A place in the tree.
pub(crate) type NodeId = usize;

/// What one node of the file became: no message, one or several.
#[derive(Debug)]
struct Node {
    parent: Option<NodeId>,
    messages: Vec<Message>,
    time: Option<Timestamp>,
}

/// The place after all messages up to now. They are counted only where the place is written.
struct Place<'a>(&'a [Node]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}", self.0.iter().map(|node| node.messages.len()).sum::<usize>())
    }
}

/// A conversation that is being read.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) report: Report,
    pub(crate) id: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) tools: Vec<Tool>,
    /// Members of a request that chat completions have too.
    pub(crate) params: Vec<(String, RawJson)>,
    /// Members of the format that chat completions do not have.
    pub(crate) rest: Rest,
    nodes: Vec<Node>,
    leaf: Option<NodeId>,
}

impl Draft {
    /// A conversation with an id.
    pub(crate) fn named(id: Option<impl Into<String>>) -> Self {
        Self { id: id.map(Into::into), ..Self::default() }
    }

    /// Adds messages after the ones before.
    pub(crate) fn push(&mut self, messages: impl IntoIterator<Item = Message>, time: Option<Timestamp>) -> NodeId {
        self.add(self.leaf, messages, time)
    }

    /// Adds a node below another one, or a root. It becomes the leaf.
    pub(crate) fn add(
        &mut self,
        parent: Option<NodeId>,
        messages: impl IntoIterator<Item = Message>,
        time: Option<Timestamp>,
    ) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(Node { parent, messages: messages.into_iter().collect(), time });
        self.leaf = Some(id);
        id
    }

    /// The messages of a node, to add to them.
    pub(crate) fn messages_mut(&mut self, node: NodeId) -> Option<&mut Vec<Message>> {
        self.nodes.get_mut(node).map(|node| &mut node.messages)
    }

    pub(crate) fn messages(&self, node: NodeId) -> &[Message] {
        self.nodes.get(node).map_or(&[], |node| &node.messages)
    }

    /// All messages, in the order in which they were added.
    pub(crate) fn into_messages(self) -> (Vec<Message>, Report) {
        (self.nodes.into_iter().flat_map(|node| node.messages).collect(), self.report)
    }

    /// The last message of the current path.
    pub(crate) fn last(&self) -> Option<&Message> {
        let mut up = std::iter::successors(self.leaf, |node| self.nodes.get(*node)?.parent);
        up.find_map(|node| self.messages(node).last())
    }

    /// The next message begins a new tree.
    pub(crate) fn restart(&mut self) {
        self.leaf = None;
    }

    /// The node at which the current path ends.
    pub(crate) fn end_at(&mut self, leaf: Option<NodeId>) {
        if leaf.is_some() {
            self.leaf = leaf;
        }
    }

    pub(crate) fn note(&mut self, fate: Fate, kind: &str) {
        self.report.add(fate, kind, Place(&self.nodes));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.iter().all(|node| node.messages.is_empty())
    }

    /// The conversation. The leading instructions of the current path become its head.
    pub(crate) fn finish(mut self, format: &str) -> Import {
        let head = self.take_head();
        let mut conversation = Conversation::from_messages(head);
        let mut time = conversation.created_at();
        // The last item of each node; that of its parent where it has no messages.
        let mut ends: Vec<Option<ItemId>> = Vec::with_capacity(self.nodes.len());
        for node in self.nodes {
            let mut end = node.parent.and_then(|parent| ends.get(parent).copied().flatten());
            time = node.time.unwrap_or(time);
            for message in node.messages {
                move_to(&mut conversation, end);
                end = Some(conversation.push_at(message, time));
            }
            ends.push(end);
        }
        move_to(&mut conversation, self.leaf.and_then(|leaf| ends.get(leaf).copied().flatten()));
        if let Some(title) = self.title.filter(|title| !title.trim().is_empty()) {
            // A title that is longer than metadata may be is in the rest all the same.
            let _ = conversation.metadata_mut().set("title", title);
        }
        let mut transcript = Transcript::new(conversation);
        transcript.model = self.model;
        transcript.tools = self.tools;
        transcript.extra = self.params;
        origin::set(&mut transcript, format, self.id.as_deref(), self.rest);
        Import { transcript, report: self.report, id: self.id }
    }

    /// Removes the instructions from the start of the current path.
    fn take_head(&mut self) -> Vec<Message> {
        let mut path: Vec<NodeId> = std::iter::successors(self.leaf, |node| self.nodes.get(*node)?.parent).collect();
        path.reverse();
        let mut head = Vec::new();
        for node in path {
            let Some(node) = self.nodes.get_mut(node) else { break };
            let instructions = node.messages.iter().take_while(|message| message.role().is_instruction()).count();
            head.extend(node.messages.drain(..instructions));
            if !node.messages.is_empty() {
                break;
            }
        }
        head
    }
}

/// Makes an item the end of the path; `None` is the start.
fn move_to(conversation: &mut Conversation, end: Option<ItemId>) {
    match end {
        _ if conversation.leaf() == end => {}
        // The id is one of this conversation.
        Some(end) => drop(conversation.switch(end)),
        None => conversation.clear(),
    }
}
