//! A timeline: requests across, messages down, and what each request does with each message.

use std::ops::Range;

use serde::Serialize;
use turnwise::plan::{Fate, Reason};
use turnwise::replay::{Outcome, Planned, Replay};

use crate::compare::runs;
use crate::sanitize::clean;

/// One picture, as the templates draw it.
#[derive(Serialize)]
pub(super) struct Timeline {
    strategy: String,
    /// In units of the picture: one across for each request, one down for each message.
    requests: usize,
    messages: usize,
    spans: Vec<Span>,
    /// The requests that are over budget and cannot be sent.
    refused: Vec<usize>,
}

/// A message that has one fate in several requests in a row.
#[derive(Serialize, PartialEq, Eq, Clone)]
struct Span {
    message: usize,
    /// The first request, from 0.
    from: usize,
    requests: usize,
    /// The name of its color.
    class: &'static str,
    /// What a reader is told who points at it.
    title: String,
}

/// The fate of one message in one request, with its reason.
type State = (&'static str, Reason);

impl Timeline {
    pub(super) fn of(strategy: &str, messages: usize, replay: &Replay) -> Self {
        let mut drawing = Drawing { open: vec![None; messages], spans: Vec::new() };
        let mut refused = Vec::new();
        for (at, request) in replay.requests.iter().enumerate() {
            if let Outcome::Planned(planned) = &request.outcome {
                drawing.request(at, planned);
            } else {
                drawing.close_all(at);
                refused.push(at);
            }
        }
        drawing.close_all(replay.requests.len());
        Self { strategy: strategy.to_owned(), requests: replay.requests.len(), messages, spans: drawing.spans, refused }
    }
}

struct Drawing {
    /// Of each message, the state that lasts, and the request in which it began.
    open: Vec<Option<(usize, State)>>,
    spans: Vec<Span>,
}

impl Drawing {
    fn request(&mut self, at: usize, planned: &Planned) {
        for fate in [Fate::Kept, Fate::Shrunk, Fate::Summarized, Fate::Evicted] {
            for run in runs(planned, fate) {
                for index in run.all_indexes() {
                    self.state(index, at, (class(fate, &run.reason), run.reason.clone()));
                }
            }
        }
    }

    fn state(&mut self, message: usize, at: usize, state: State) {
        let lasts = self.open.get(message).and_then(Option::as_ref).is_some_and(|(_, open)| *open == state);
        if !lasts {
            self.close(message, at);
            if let Some(open) = self.open.get_mut(message) {
                *open = Some((at, state));
            }
        }
    }

    fn close_all(&mut self, at: usize) {
        (0..self.open.len()).for_each(|message| self.close(message, at));
    }

    /// Ends what lasts for a message before the request `at`.
    fn close(&mut self, message: usize, at: usize) {
        let Some((from, (class, reason))) = self.open.get_mut(message).and_then(Option::take) else { return };
        let title = title(message, from..at, class, &reason);
        self.spans.push(Span { message, from, requests: at - from, class, title });
    }
}

/// What a reader is told who points at a cell; the text of its message is listed once for all.
fn title(message: usize, requests: Range<usize>, class: &str, reason: &Reason) -> String {
    let when = match requests.len() {
        1 => format!("request {}", requests.start + 1),
        _ => format!("requests {} to {}", requests.start + 1, requests.end),
    };
    let fate = match class {
        "part" => "sent in part",
        "summary" => "summarized",
        "out" => "left out",
        _ => "sent",
    };
    format!("message {message}, {when}: {fate} ({})", clean(&reason.to_string()))
}

/// The class of a message's cell.
fn class(fate: Fate, reason: &Reason) -> &'static str {
    match (fate, reason) {
        (Fate::Kept, Reason::Head | Reason::Pin) => "pinned",
        (Fate::Kept, _) => "sent",
        (Fate::Shrunk, _) => "part",
        (Fate::Summarized, _) => "summary",
        _ => "out",
    }
}
