//! A timeline as the templates draw it: requests across, messages down.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use turnwise::plan::Reason;

use crate::compare::{self, Kind, Span};
use crate::sanitize::clean;

/// With more spans than these a browser takes long to find the one that is pointed at, so they are
/// drawn as one path of each color.
const MOST_SPANS: usize = 5_000;

/// One picture.
#[derive(Serialize)]
pub(super) struct Timeline {
    strategy: String,
    /// In units of the picture: one across for each request, one down for each message.
    requests: usize,
    messages: usize,
    /// What is drawn, if it is not too much.
    spans: Vec<Drawn>,
    /// What is drawn instead.
    paths: Vec<Path>,
    /// [`Looked`] as JSON, if there are paths.
    looked: Option<String>,
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

/// All spans of one color.
#[derive(Serialize)]
struct Path {
    class: &'static str,
    d: String,
}

/// Where the page's script looks up what a reader points at.
#[derive(Default, Serialize)]
struct Looked {
    /// What happens to messages, and why.
    whats: Vec<String>,
    /// Of each message: the first request, the number of requests, and the index of what happens to it, and so on.
    messages: Vec<Vec<usize>>,
    refused: Vec<usize>,
}

impl Timeline {
    pub(super) fn of(strategy: &str, timeline: compare::Timeline) -> Self {
        let is_many = timeline.spans.len() > MOST_SPANS;
        Self {
            strategy: strategy.to_owned(),
            requests: timeline.requests,
            messages: timeline.messages,
            paths: if is_many { Path::all(&timeline.spans) } else { Vec::new() },
            looked: if is_many { serde_json::to_string(&Looked::of(&timeline)).ok() } else { None },
            spans: if is_many { Vec::new() } else { timeline.spans.iter().map(Drawn::of).collect() },
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
        let title = format!("message {message}, {when}: {}", what(*kind, reason));
        Self { message: *message, from: requests.start, requests: requests.len(), class: class(*kind), title }
    }
}

impl Path {
    fn all(spans: &[Span]) -> Vec<Self> {
        let mut paths: BTreeMap<&'static str, String> = BTreeMap::new();
        for Span { message, requests, kind, .. } in spans {
            let d = paths.entry(class(*kind)).or_default();
            let (from, width) = (requests.start, requests.len());
            // Writing to a string does not fail.
            let _ = write!(d, "M{from} {message}h{width}v1h-{width}z");
        }
        paths.into_iter().map(|(class, d)| Self { class, d }).collect()
    }
}

impl Looked {
    fn of(timeline: &compare::Timeline) -> Self {
        let mut looked = Self { refused: timeline.refused.clone(), ..Self::default() };
        looked.messages.resize(timeline.messages, Vec::new());
        let mut known = BTreeMap::new();
        for Span { message, requests, kind, reason } in &timeline.spans {
            let what = *known.entry(what(*kind, reason)).or_insert_with_key(|what| {
                looked.whats.push(what.clone());
                looked.whats.len() - 1
            });
            looked.messages[*message].extend([requests.start, requests.len(), what]);
        }
        looked
    }
}

/// What happens to a message, and why.
fn what(kind: Kind, reason: &Reason) -> String {
    let what = match kind {
        Kind::Always => Kind::Sent.name(),
        kind => kind.name(),
    };
    format!("{what} ({})", clean(&reason.to_string()))
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
