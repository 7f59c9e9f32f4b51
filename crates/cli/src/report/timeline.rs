//! A timeline as the templates draw it: requests across, messages down.

use serde::Serialize;

use crate::compare::{self, Kind, Span};
use crate::sanitize::clean;

/// One picture.
#[derive(Serialize)]
pub(super) struct Timeline {
    strategy: String,
    /// In units of the picture: one across for each request, one down for each message.
    requests: usize,
    messages: usize,
    spans: Vec<Drawn>,
    /// The requests that are over budget and cannot be sent.
    refused: Vec<usize>,
}

/// A message to which several requests in a row do the same.
#[derive(Serialize)]
struct Drawn {
    message: usize,
    /// The first request, from 0.
    from: usize,
    requests: usize,
    /// The name of its color.
    class: &'static str,
    /// What a reader is told who points at it; the text of its message is listed once for all.
    title: String,
}

impl Timeline {
    pub(super) fn of(strategy: &str, timeline: compare::Timeline) -> Self {
        Self {
            strategy: strategy.to_owned(),
            requests: timeline.requests,
            messages: timeline.messages,
            spans: timeline.spans.iter().map(Drawn::of).collect(),
            refused: timeline.refused,
        }
    }
}

impl Drawn {
    fn of(span: &Span) -> Self {
        let Span { message, requests, kind, reason } = span;
        let when = match requests.len() {
            1 => format!("request {}", requests.start + 1),
            _ => format!("requests {} to {}", requests.start + 1, requests.end),
        };
        let what = match kind {
            Kind::Always => Kind::Sent.name(),
            kind => kind.name(),
        };
        let title = format!("message {message}, {when}: {what} ({})", clean(&reason.to_string()));
        Self { message: *message, from: requests.start, requests: requests.len(), class: class(*kind), title }
    }
}

/// The class of a message's cell.
fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Always => "pinned",
        Kind::Sent => "sent",
        Kind::Shortened => "part",
        Kind::Summarized => "summary",
        Kind::LeftOut => "out",
    }
}
