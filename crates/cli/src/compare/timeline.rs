//! A timeline: what each request of a replay does with each message. The page, the picture and the
//! terminal draw it.

use std::ops::Range;

use turnwise::plan::{Fate, Reason};
use turnwise::replay::{Outcome, Planned, Replay};

use super::findings::runs;

/// What a request does with a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In the head or pinned.
    Always,
    Sent,
    Shortened,
    Summarized,
    LeftOut,
}

/// One conversation under one strategy.
pub(crate) struct Timeline {
    pub(crate) requests: usize,
    pub(crate) messages: usize,
    pub(crate) spans: Vec<Span>,
    /// The requests that are over budget and cannot be sent, from 0.
    pub(crate) refused: Vec<usize>,
}

/// A message to which several requests in a row do the same.
pub(crate) struct Span {
    pub(crate) message: usize,
    /// The requests, from 0.
    pub(crate) requests: Range<usize>,
    pub(crate) kind: Kind,
    #[cfg_attr(not(feature = "report"), allow(dead_code, reason = "only pages and pictures tell it"))]
    pub(crate) reason: Reason,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Always, Self::Sent, Self::Shortened, Self::Summarized, Self::LeftOut];

    pub(crate) fn of(fate: Fate, reason: &Reason) -> Self {
        match (fate, reason) {
            (Fate::Kept, Reason::Head | Reason::Pin) => Self::Always,
            (Fate::Kept, _) => Self::Sent,
            (Fate::Shrunk, _) => Self::Shortened,
            (Fate::Summarized, _) => Self::Summarized,
            _ => Self::LeftOut,
        }
    }

    /// What people read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Always => "always sent",
            Self::Sent => "sent",
            Self::Shortened => "shortened",
            Self::Summarized => "summarized",
            Self::LeftOut => "left out",
        }
    }
}

impl Timeline {
    /// The timeline of a conversation of so many messages.
    pub(crate) fn of(messages: usize, replay: &Replay) -> Self {
        let mut open = Open { states: vec![None; messages], spans: Vec::new() };
        let mut refused = Vec::new();
        for (at, request) in replay.requests.iter().enumerate() {
            if let Outcome::Planned(planned) = &request.outcome {
                open.request(at, planned);
            } else {
                open.close_all(at);
                refused.push(at);
            }
        }
        open.close_all(replay.requests.len());
        Self { requests: replay.requests.len(), messages, spans: open.spans, refused }
    }
}

struct Open {
    /// Of each message, what lasts, and the request in which it began.
    states: Vec<Option<(usize, Kind, Reason)>>,
    spans: Vec<Span>,
}

impl Open {
    fn request(&mut self, at: usize, planned: &Planned) {
        for fate in [Fate::Kept, Fate::Shrunk, Fate::Summarized, Fate::Evicted] {
            for run in runs(planned, fate) {
                for message in run.all_indexes() {
                    self.state(message, at, Kind::of(fate, &run.reason), &run.reason);
                }
            }
        }
    }

    fn state(&mut self, message: usize, at: usize, kind: Kind, reason: &Reason) {
        let last = self.states.get(message).and_then(Option::as_ref);
        if !last.is_some_and(|(_, of, why)| *of == kind && why == reason) {
            self.close(message, at);
            if let Some(state) = self.states.get_mut(message) {
                *state = Some((at, kind, reason.clone()));
            }
        }
    }

    fn close_all(&mut self, at: usize) {
        (0..self.states.len()).for_each(|message| self.close(message, at));
    }

    /// Ends what lasts for a message before the request `at`.
    fn close(&mut self, message: usize, at: usize) {
        if let Some((from, kind, reason)) = self.states.get_mut(message).and_then(Option::take) {
            self.spans.push(Span { message, requests: from..at, kind, reason });
        }
    }
}
