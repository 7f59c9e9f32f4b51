//! Reads a streamed reply as events, within the time limits.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{Answer, Unread};
use super::beside::beside;
use super::sse::{Event, Events};
use super::streamed::{Streamed, Taken};
use crate::backend::stream::EventStream;
use crate::backend::{Attempt, BackendError, ChatEvent, ChatReply};

/// How long to wait for the usage after the model has given a finish reason.
const FOR_THE_BILL: Duration = Duration::from_secs(5);
/// How long to wait for the end of the stream after the usage has arrived.
const FOR_THE_END: Duration = Duration::from_secs(1);

/// The time limits of a stream that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The longest time between two events.
    pub(super) event: Duration,
    /// The longest time of the whole stream, and when it is over.
    pub(super) whole: Option<(Duration, Instant)>,
}

/// The beginning of the answer to a request for a stream.
pub(super) enum Begun {
    /// A whole reply, from servers that do not stream.
    Whole(Box<ChatReply>),
    /// A stream whose first event has arrived, or that is empty.
    Events(Box<Reading>),
}

/// A reply that is being read.
pub(super) struct Reading {
    answer: Answer,
    events: Events,
    reply: Streamed,
    ready: VecDeque<ChatEvent>,
    /// When to stop reading, after the model has given a finish reason.
    until: Option<Instant>,
    is_over: bool,
}

impl Begun {
    /// Reads up to the first event, so that an earlier failure can be tried again.
    pub(super) async fn read(mut answer: Answer) -> Result<Self, BackendError> {
        let mut begun = Vec::new();
        let first = loop {
            let chunk = answer.chunk().await.map_err(broken_off)?;
            let bytes = chunk.as_deref().unwrap_or_default();
            begun.extend_from_slice(bytes);
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
            if first.is_some() || chunk.is_none() {
                break first;
            }
        };
        // No event begins like this, but JSON and a gateway's page do. Content types are less
        // reliable.
        if matches!(first, Some(b'{' | b'[' | b'<')) {
            return answer.reply(begun).await.map(|reply| Self::Whole(Box::new(reply)));
        }
        let events = Events::new(begun);
        let reply = Streamed::default();
        let mut reading = Reading { answer, events, reply, ready: VecDeque::new(), until: None, is_over: false };
        reading.fill().await?;
        Ok(Self::Events(Box::new(reading)))
    }
}

impl Reading {
    /// The events, as long as they arrive within the limits.
    pub(super) fn events(self: Box<Self>, mut attempts: Vec<Attempt>, limits: Limits) -> EventStream {
        let begun = Instant::now();
        let first = attempts.last().map(|attempt| attempt.elapsed).unwrap_or_default();
        let mut attempts = move || {
            if let Some(last) = attempts.last_mut() {
                last.elapsed = first + begun.elapsed();
            }
            std::mem::take(&mut attempts)
        };
        let events = futures_util::stream::unfold(Some(self), move |reading| async move {
            let mut reading = reading?;
            let item = match reading.next(limits).await {
                Ok(Some(event)) => return Some((Ok(event), Some(reading))),
                Ok(None) => reading.finish().await,
                Err(error) => Err(error),
            };
            Some((item, None))
        });
        let enter = move |item: Result<ChatEvent, BackendError>| match item {
            Ok(ChatEvent::Finished(reply)) => {
                Ok(ChatEvent::Finished(Box::new(ChatReply { attempts: attempts(), ..*reply })))
            }
            Ok(event) => Ok(event),
            Err(error) => Err(error.with_attempts(attempts())),
        };
        Box::pin(events.map(enter).fuse())
    }

    /// The next event; `None` at the end.
    async fn next(&mut self, limits: Limits) -> Result<Option<ChatEvent>, BackendError> {
        // If all events have arrived already, reading them would otherwise never yield.
        tokio::task::consume_budget().await;
        if let Some(event) = self.ready.pop_front() {
            return Ok(Some(event));
        }
        let left = limits.whole.map_or(Duration::MAX, |(_, end)| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return self.cut(limits).map(|()| None);
        }
        match timeout(limits.event.min(left), self.fill()).await {
            Ok(filled) => filled?,
            Err(_) if left <= limits.event => self.cut(limits)?,
            Err(_) => {
                let late = format!("no further event within {} seconds", limits.event.as_secs_f32());
                return Err(BackendError::timeout(late));
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Ends the stream if its time is over: the reply is complete if the model has given a finish
    /// reason.
    fn cut(&mut self, limits: Limits) -> Result<(), BackendError> {
        self.end().map_err(|_| {
            let time = limits.whole.map_or(Duration::ZERO, |(time, _)| time);
            BackendError::timeout(format!("the streamed reply was not complete within {} seconds", time.as_secs_f32()))
        })
    }

    /// Reads until there is an event, or the end.
    async fn fill(&mut self) -> Result<(), BackendError> {
        while self.ready.is_empty() && !self.is_over {
            match self.events.next() {
                Some(event) => self.take(event).await?,
                None => self.read().await?,
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), BackendError> {
        let chunk = match self.until {
            // The reply is complete, so a broken connection does not matter.
            Some(until) if until <= Instant::now() => None,
            Some(until) => timeout_at(until, self.answer.chunk()).await.ok().and_then(Result::ok).flatten(),
            None => self.answer.chunk().await.map_err(broken_off)?,
        };
        if let Some(bytes) = chunk {
            self.events.push(&bytes);
            return Ok(());
        }
        // The last event counts without its closing line if it is complete.
        if let Some(event) = self.events.rest().filter(Event::is_whole) {
            self.take(event).await?;
        }
        self.end()
    }

    async fn take(&mut self, event: Event) -> Result<(), BackendError> {
        let mut reply = std::mem::take(&mut self.reply);
        let mut ready = std::mem::take(&mut self.ready);
        let length = event.data.len();
        let take = move || {
            let taken = reply.take_event(&event, &mut ready);
            (reply, ready, taken)
        };
        let taken;
        (self.reply, self.ready, taken) = beside(length, take).await?;
        if self.reply.is_finished() {
            // Some servers report the end too early: if more has arrived, more may follow.
            let is_more = !self.ready.is_empty();
            let wait = if self.reply.has_usage() && !is_more { FOR_THE_END } else { FOR_THE_BILL };
            let until = Instant::now() + wait;
            self.until = Some(self.until.filter(|_| !is_more).map_or(until, |known| known.min(until)));
        }
        match taken {
            Ok(Taken::Last) => self.end(),
            Ok(Taken::More) => Ok(()),
            Err(_) if self.until.is_some() => self.end(),
            Err(error) => Err(error),
        }
    }

    /// Handles the end of the stream.
    fn end(&mut self) -> Result<(), BackendError> {
        self.is_over = true;
        self.ready.extend(self.reply.rest());
        if self.reply.is_finished() {
            Ok(())
        } else {
            Err(BackendError::interrupted("the stream ended without a finish reason"))
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<ChatEvent, BackendError> {
        let reply = std::mem::take(&mut self.reply);
        let reply = beside(self.answer.len(), move || reply.whole()).await??;
        tokio::spawn(async move { self.answer.end().await });
        Ok(ChatEvent::Finished(Box::new(reply)))
    }
}

fn broken_off(unread: Unread) -> BackendError {
    match unread {
        // The address may contain a key.
        Unread::Broken(error) if !error.is_timeout() => {
            BackendError::interrupted("the connection broke before the reply was complete")
                .with_source(error.without_url())
        }
        other => other.into(),
    }
}
