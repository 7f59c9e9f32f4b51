//! Reads a reply that is streamed.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{Answer, Unread};
use super::sse::{Event, Events};
use super::streamed::Streamed;
use crate::backend::stream::EventStream;
use crate::backend::{Attempt, BackendError, ChatEvent, ChatReply};
use crate::encoding::Encoding;

/// How long is waited for the bill once the model has said that it is done.
const FOR_THE_BILL: Duration = Duration::from_secs(5);
/// How long is waited for the end of the stream once the bill is there.
const FOR_THE_END: Duration = Duration::from_secs(1);

/// The beginning of an answer to a request for a stream.
pub(super) enum Begun {
    /// From servers that do not stream.
    Whole(Box<ChatReply>),
    /// The first event is there, or the end.
    Events(Box<Reading>),
}

/// A reply that is being read.
pub(super) struct Reading {
    answer: Answer,
    events: Events,
    reply: Streamed,
    ready: VecDeque<ChatEvent>,
    /// When to stop once the model has said that it is done.
    until: Option<Instant>,
    is_over: bool,
}

impl Begun {
    /// Reads up to the first event, so that what fails before it can be tried again.
    pub(super) async fn read(mut answer: Answer) -> Result<Self, BackendError> {
        let mut begun = Vec::new();
        let first = loop {
            let chunk = answer.chunk().await.map_err(broken_off)?;
            begun.extend_from_slice(chunk.as_deref().unwrap_or_default());
            let first = begun.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
            if first.is_some() || chunk.is_none() {
                break first;
            }
        };
        // No event begins like that, but JSON does, and a gateway's page. Content types are less sure.
        if matches!(first, Some(b'{' | b'[' | b'<')) {
            return answer.reply(begun).await.map(|reply| Self::Whole(Box::new(reply)));
        }
        let (events, reply) = (Events::default(), Streamed::default());
        let mut reading = Reading { answer, events, reply, ready: VecDeque::new(), until: None, is_over: false };
        reading.events.push(&begun);
        reading.fill().await?;
        Ok(Self::Events(Box::new(reading)))
    }
}

impl Reading {
    /// The events. None of them may come later than `patience` after the one before.
    pub(super) fn events(self: Box<Self>, mut attempts: Vec<Attempt>, patience: Duration) -> EventStream {
        let (begun, first) = (Instant::now(), attempts.last().map(|attempt| attempt.elapsed).unwrap_or_default());
        let mut attempts = move || {
            if let Some(last) = attempts.last_mut() {
                last.elapsed = first + begun.elapsed();
            }
            std::mem::take(&mut attempts)
        };
        let events = futures_util::stream::unfold(Some(self), move |reading| async move {
            let mut reading = reading?;
            let filled = timeout(patience, reading.fill()).await;
            let late = || BackendError::timeout(format!("no further event within {} seconds", patience.as_secs_f32()));
            let item = match (filled.unwrap_or_else(|_| Err(late())), reading.ready.pop_front()) {
                (Err(error), _) => Err(error),
                (Ok(()), Some(event)) => return Some((Ok(event), Some(reading))),
                (Ok(()), None) => reading.finish(),
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

    /// Reads until there is an event, or the end.
    async fn fill(&mut self) -> Result<(), BackendError> {
        while self.ready.is_empty() && !self.is_over {
            match self.events.next() {
                Some(event) => self.take(&event)?,
                None => self.read().await?,
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), BackendError> {
        let chunk = match self.until {
            // The reply is whole, whatever becomes of the connection.
            Some(until) => timeout_at(until, self.answer.chunk()).await.ok().and_then(Result::ok).flatten(),
            None => self.answer.chunk().await.map_err(broken_off)?,
        };
        if let Some(bytes) = chunk {
            self.events.push(&bytes);
            return Ok(());
        }
        // A last event whose end was not written counts if it is whole.
        if let Some(event) = self.events.rest().filter(Event::is_whole) {
            self.take(&event)?;
        }
        self.end()
    }

    fn take(&mut self, event: &Event) -> Result<(), BackendError> {
        let decoded = Encoding::Utf8.decode(&event.data).map_err(|_| {
            let body = String::from_utf8_lossy(&event.data);
            BackendError::malformed("a chunk is not UTF-8").with_body(body)
        })?;
        let text = &*decoded.text;
        let taken = match text.trim() {
            "" => Ok(()),
            "[DONE]" => return self.end(),
            _ if event.is_error => Err(BackendError::status(200, text)),
            text => self.reply.take(text, &mut self.ready),
        };
        if self.reply.is_finished() {
            // Some servers say so too early: where more has come, more may follow.
            let is_more = !self.ready.is_empty();
            let wait = if self.reply.has_usage() && !is_more { FOR_THE_END } else { FOR_THE_BILL };
            let until = Instant::now() + wait;
            self.until = Some(self.until.filter(|_| !is_more).map_or(until, |known| known.min(until)));
        }
        match taken {
            Err(_) if self.until.is_some() => self.end(),
            taken => taken,
        }
    }

    /// Nothing more comes.
    fn end(&mut self) -> Result<(), BackendError> {
        self.is_over = true;
        self.ready.extend(self.reply.rest());
        match self.reply.is_finished() {
            true => Ok(()),
            false => Err(BackendError::interrupted("the stream ended before the model said that it was done")),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<ChatEvent, BackendError> {
        let reply = std::mem::take(&mut self.reply).whole()?;
        tokio::spawn(async move { self.answer.end().await });
        Ok(ChatEvent::Finished(Box::new(reply)))
    }
}

fn broken_off(unread: Unread) -> BackendError {
    match unread {
        // The address may hold a key.
        Unread::Broken(error) if !error.is_timeout() => {
            BackendError::interrupted("the connection broke before the reply was whole")
                .with_source(error.without_url())
        }
        other => other.into(),
    }
}
