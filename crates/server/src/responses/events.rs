//! The events of a streamed response.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use turnwise::backend::{ChatEvent, ToolCallDelta};
use turnwise::manager::ReplyStream;
use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise_conversations::ApiError;

use super::Responses;
use super::exchange::{Begun, Run, is_end};
use super::refused::refusal;
use super::request::Request;
use crate::client_stream::{ClientStream, Events, Piece};
use crate::completions::summary;
use crate::request_id;
use crate::serve::Ending;

/// What is said of the plan of a request that has none.
pub(super) const NO_PLAN: &str = "none";

impl Responses {
    /// Begins a streamed response to a request without a key.
    pub(super) async fn stream(self: &Arc<Self>, request: Request) -> Result<Events, ApiError> {
        if request.is_compaction {
            return self.stream_compaction(request).await;
        }
        match self.begin_recorded(request, None).await? {
            Begun::Recorded(recorded) => Ok(self.replay(recorded)),
            Begun::Run(run) => Ok(run.events().await?.0),
        }
    }

    /// Begins a streamed response whose only output is a compaction item.
    pub(super) async fn stream_compaction(self: &Arc<Self>, request: Request) -> Result<Events, ApiError> {
        let run = self.begin(request).await?;
        let (mut out, events) = Out::new(self.rules.read_time);
        self.ending.spawn(async move { out.compact(&run).await });
        Ok(events)
    }
}

impl Run {
    /// Begins a streamed response; also what its plan has done. What is refused before the model
    /// answers is an error; what fails later ends the stream with `response.failed`. A client that
    /// goes away ends the response, and nothing is recorded.
    pub(super) async fn events(mut self: Box<Self>) -> Result<(Events, String), ApiError> {
        self.compact_if_full().await?;
        let reply = self.stream().await?;
        let plan = reply.plan().map_or_else(|| NO_PLAN.to_owned(), summary);
        let (mut out, events) = Out::new(self.service.rules.read_time);
        let ending = self.service.ending.clone();
        let follow = ending.clone();
        ending.spawn(async move { out.follow(&mut self, reply, &follow).await });
        Ok((events, plan))
    }
}

/// What is sent.
pub(super) struct Out {
    stream: ClientStream,
    number: u64,
    /// The items whose parts are arriving: one, or calls whose arguments arrive in turns.
    open: Vec<Open>,
    /// The indexes of the calls that have begun.
    calls: HashSet<usize>,
    /// The place of the next item in the output.
    next: usize,
    /// How many items come before those of the reply.
    first: usize,
    /// Reasoning that is not shown yet.
    reasoning: String,
}

/// An item whose parts are arriving. Several calls may arrive in turns; that of a custom tool is closed at the
/// end, because where its text ends cannot be seen before.
struct Open {
    id: String,
    kind: OpenKind,
    /// Its text, its refusal or its arguments.
    text: String,
    place: usize,
    /// Of a call.
    name: String,
    call_id: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OpenKind {
    Text,
    Refusal,
    /// With its index among the calls.
    Call(usize),
    /// Of a custom tool, which takes any text.
    Custom(usize),
}

impl Out {
    pub(super) fn new(read_time: Duration) -> (Self, Events) {
        let (stream, events) = ClientStream::new(read_time);
        let out = Self {
            stream,
            number: 0,
            open: Vec::new(),
            calls: HashSet::new(),
            next: 0,
            first: 0,
            reasoning: String::new(),
        };
        (out, events)
    }

    /// Shows a reply while it arrives, and records it. `None` if the client is gone.
    async fn follow(&mut self, run: &mut Run, mut reply: ReplyStream, ending: &Ending) -> Option<()> {
        self.begin(run).await?;
        for item in run.made.clone() {
            self.whole(item).await?;
        }
        loop {
            let event = tokio::select! {
                event = reply.next() => event,
                // The conversation is let go as soon as nobody listens.
                () = self.stream.closed() => return None,
                () = ending.begun() => {
                    let error = ApiError::invalid_request("The server is shutting down. Please retry.".to_owned());
                    return self.fail(run, &error).await;
                }
            };
            match event {
                None => break,
                Some(Ok(event)) if is_end(&event) => break,
                Some(Ok(event)) => self.show(run, event).await?,
                Some(Err(error)) => return self.fail(run, &refusal(&error)).await,
            }
        }
        self.reasoned(run).await?;
        let ended = match reply.finish().await {
            Ok(reply) => run.record(reply).await,
            Err(error) => Err(refusal(&error)),
        };
        match ended {
            Ok(response) => self.end(&response).await,
            Err(error) => self.fail(run, &error).await,
        }
    }

    async fn compact(&mut self, run: &Run) -> Option<()> {
        self.begin(run).await?;
        let made = tokio::select! {
            made = run.compact() => made,
            () = self.stream.closed() => return None,
        };
        let made = match made {
            Ok(made) => made,
            Err(error) => return self.fail(run, &error).await,
        };
        for item in made.output.clone() {
            self.whole(item).await?;
        }
        let response = run.answer.compacted(&made.output, made.usage);
        self.send("response.completed", vec![("response", response)]).await
    }

    async fn send(&mut self, kind: &str, members: Vec<(&str, RawJson)>) -> Option<()> {
        let event = event(kind, self.number, members);
        let late = self.number;
        self.number += 1;
        self.stream.send(event, |error| event_of_error(error, late)).await
    }

    async fn begin(&mut self, run: &Run) -> Option<()> {
        self.created(&run.answer.in_progress()).await
    }

    pub(super) async fn created(&mut self, response: &RawJson) -> Option<()> {
        self.send("response.created", vec![("response", response.clone())]).await?;
        self.send("response.in_progress", vec![("response", response.clone())]).await
    }

    /// An item that comes before the reply and is there at once.
    pub(super) async fn whole(&mut self, item: RawJson) -> Option<()> {
        self.added(&item).await?;
        self.done(item).await?;
        self.first = self.next;
        Some(())
    }

    /// The next item of the output begins.
    pub(super) async fn added(&mut self, item: &RawJson) -> Option<()> {
        self.event_of_item("response.output_item.added", [("item", item.clone())]).await
    }

    /// The item that has begun is there.
    pub(super) async fn done(&mut self, item: RawJson) -> Option<()> {
        self.event_of_item("response.output_item.done", [("item", item)]).await?;
        self.next += 1;
        Some(())
    }

    /// An event of the next item of the output.
    pub(super) async fn event_of_item<'a>(
        &mut self,
        name: &str,
        members: impl IntoIterator<Item = (&'a str, RawJson)>,
    ) -> Option<()> {
        let place = [("output_index", self.next.into())];
        self.send(name, place.into_iter().chain(members).collect()).await
    }

    /// The reasoning before the reply is all there.
    async fn reasoned(&mut self, run: &mut Run) -> Option<()> {
        let text = std::mem::take(&mut self.reasoning);
        if text.is_empty() || self.next > self.first {
            return Some(());
        }
        match run.add_reasoning(&text) {
            Ok(Some(item)) => self.whole(item).await,
            _ => Some(()),
        }
    }

    async fn show(&mut self, run: &mut Run, event: ChatEvent) -> Option<()> {
        if let ChatEvent::Text(_) | ChatEvent::Refusal(_) | ChatEvent::ToolCall(_) = &event {
            self.reasoned(run).await?;
        }
        match event {
            ChatEvent::Text(text) => self.say(run, OpenKind::Text, text).await,
            ChatEvent::Refusal(text) => self.say(run, OpenKind::Refusal, text).await,
            ChatEvent::ToolCall(delta) => self.call(run, delta).await,
            // It is shown only as a sealed item, when it is all there.
            ChatEvent::Reasoning(text) => {
                self.reasoning.push_str(&text);
                Some(())
            }
            _ => Some(()),
        }
    }

    /// More of a message.
    async fn say(&mut self, run: &mut Run, kind: OpenKind, text: String) -> Option<()> {
        if self.opened(kind).is_none() {
            let id = run.item_id("message", 0);
            let place = self.add(id.clone(), kind, String::new(), String::new()).await?;
            self.send("response.content_part.added", of_part(&id, place, vec![("part", part(kind, ""))])).await?;
        }
        let (name, logprobs) = match kind {
            OpenKind::Refusal => ("response.refusal.delta", None),
            _ => ("response.output_text.delta", Some(("logprobs", Vec::<RawJson>::new().into()))),
        };
        let open = self.opened(kind)?;
        open.text.push_str(&text);
        let mut members = of_part(&open.id, open.place, vec![("delta", text.into())]);
        members.extend(logprobs);
        self.send(name, members).await
    }

    /// More of a call. The calls of a reply may arrive in turns, a piece of each.
    async fn call(&mut self, run: &mut Run, delta: ToolCallDelta) -> Option<()> {
        let index = delta.index;
        if self.calls.insert(index) {
            let name = delta.name.unwrap_or_default();
            let kind = if run.request.chat.is_custom(&name) { OpenKind::Custom(index) } else { OpenKind::Call(index) };
            let id = run.item_id(kind.of_call().item, self.next - self.first);
            self.add(id, kind, name, delta.id.unwrap_or_default()).await?;
        }
        // What comes after arguments that were whole is in the response, and too late for a delta.
        let of_call = |open: &&mut Open| [OpenKind::Call(index), OpenKind::Custom(index)].contains(&open.kind);
        let open = self.open.iter_mut().find(of_call).filter(|_| !delta.arguments.is_empty());
        let Some(open) = open else { return Some(()) };
        open.text.push_str(&delta.arguments);
        let name = format!("{}.delta", open.kind.of_call().event);
        let members = of_item(&open.id, open.place, vec![("delta", delta.arguments.into())]);
        self.send(&name, members).await
    }

    fn opened(&mut self, kind: OpenKind) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.kind == kind)
    }

    /// Closes the items that are whole, and opens one.
    async fn add(&mut self, id: String, kind: OpenKind, name: String, call_id: String) -> Option<usize> {
        let (whole, rest) = std::mem::take(&mut self.open).into_iter().partition(Open::is_whole);
        self.open = rest;
        self.close(whole, "completed").await?;
        let place = self.next;
        self.next += 1;
        let open = Open { id, kind, text: String::new(), place, name, call_id };
        let item = open.item("in_progress");
        self.send("response.output_item.added", vec![("output_index", place.into()), ("item", item)]).await?;
        self.open.push(open);
        Some(place)
    }

    /// The parts of these items are all there.
    async fn close(&mut self, items: Vec<Open>, status: &str) -> Option<()> {
        for open in items {
            self.close_one(&open, status).await?;
        }
        Some(())
    }

    async fn close_one(&mut self, open: &Open, status: &str) -> Option<()> {
        let text = RawJson::from(&*open.text);
        let (id, place) = (&*open.id, open.place);
        match open.kind {
            OpenKind::Call(_) | OpenKind::Custom(_) => {
                let names = open.kind.of_call();
                let name = ("name", RawJson::from(&*open.name));
                let name = matches!(open.kind, OpenKind::Call(_)).then_some(name);
                let members = name.into_iter().chain([(names.text, text)]).collect();
                self.send(&format!("{}.done", names.event), of_item(id, place, members)).await?;
            }
            OpenKind::Refusal => {
                self.send("response.refusal.done", of_part(id, place, vec![("refusal", text)])).await?;
            }
            OpenKind::Text => {
                let logprobs = ("logprobs", Vec::<RawJson>::new().into());
                self.send("response.output_text.done", of_part(id, place, vec![("text", text), logprobs])).await?;
            }
        }
        if matches!(open.kind, OpenKind::Text | OpenKind::Refusal) {
            let part = part(open.kind, &open.text);
            self.send("response.content_part.done", of_part(id, place, vec![("part", part)])).await?;
        }
        let item = open.item(status);
        self.send("response.output_item.done", vec![("output_index", place.into()), ("item", item)]).await
    }

    /// The response is recorded.
    pub(super) async fn end(&mut self, response: &RawJson) -> Option<()> {
        let object: Object<'_> = response.parse().ok()?;
        let is_cut = object.is_one_of("status", &["incomplete"]);
        let (name, status) =
            if is_cut { ("response.incomplete", "incomplete") } else { ("response.completed", "completed") };
        let last = std::mem::take(&mut self.open);
        self.close(last, status).await?;
        self.send(name, vec![("response", response.clone())]).await
    }

    async fn fail(&mut self, run: &Run, error: &ApiError) -> Option<()> {
        let error = request_id::shown(error.clone());
        self.send("response.failed", vec![("response", run.answer.failed(&error))]).await
    }
}

/// What a call and its events are named.
pub(super) struct OfCall {
    pub(super) item: &'static str,
    pub(super) event: &'static str,
    pub(super) text: &'static str,
}

impl OfCall {
    pub(super) const FUNCTION: Self =
        Self { item: "function_call", event: "response.function_call_arguments", text: "arguments" };
    pub(super) const CUSTOM: Self =
        Self { item: "custom_tool_call", event: "response.custom_tool_call_input", text: "input" };
}

impl OpenKind {
    fn of_call(self) -> OfCall {
        match self {
            Self::Custom(_) => OfCall::CUSTOM,
            _ => OfCall::FUNCTION,
        }
    }
}

impl Open {
    /// Whether nothing of it can follow. The arguments of a function are one object; where any text ends
    /// cannot be seen.
    fn is_whole(&self) -> bool {
        match self.kind {
            OpenKind::Text | OpenKind::Refusal => true,
            OpenKind::Call(_) => serde_json::from_str::<serde::de::IgnoredAny>(&self.text).is_ok(),
            OpenKind::Custom(_) => false,
        }
    }

    fn item(&self, status: &str) -> RawJson {
        if let OpenKind::Call(_) | OpenKind::Custom(_) = self.kind {
            let names = self.kind.of_call();
            let members = [
                ("type", names.item.into()),
                ("id", self.id.as_str().into()),
                ("call_id", self.call_id.as_str().into()),
                ("name", self.name.as_str().into()),
                (names.text, self.text.as_str().into()),
                ("status", status.into()),
            ];
            return RawJson::object(members);
        }
        let is_done = status != "in_progress";
        let content: Vec<RawJson> = is_done.then(|| part(self.kind, &self.text)).into_iter().collect();
        RawJson::object([
            ("type", "message".into()),
            ("id", self.id.as_str().into()),
            ("status", status.into()),
            ("role", "assistant".into()),
            ("content", content.into()),
        ])
    }
}

fn event(kind: &str, number: u64, members: Vec<(&str, RawJson)>) -> Piece {
    let own = [("type", RawJson::from(kind)), ("sequence_number", number.into())];
    let data = RawJson::object(own.into_iter().chain(members));
    Piece { name: kind.to_owned(), data: data.as_str().to_owned() }
}

/// The event that ends a stream without its response.
fn event_of_error(error: &ApiError, number: u64) -> Piece {
    let code = error.code.unwrap_or(error.kind);
    let null = serde_json::Value::Null.into();
    event("error", number, vec![("code", code.into()), ("message", error.message.as_str().into()), ("param", null)])
}

fn of_item<'a>(id: &str, place: usize, members: Vec<(&'a str, RawJson)>) -> Vec<(&'a str, RawJson)> {
    let own = [("item_id", id.into()), ("output_index", place.into())];
    own.into_iter().chain(members).collect()
}

fn of_part<'a>(id: &str, place: usize, members: Vec<(&'a str, RawJson)>) -> Vec<(&'a str, RawJson)> {
    of_item(id, place, std::iter::once(("content_index", 0.into())).chain(members).collect())
}

fn part(kind: OpenKind, text: &str) -> RawJson {
    if kind == OpenKind::Refusal {
        return RawJson::object([("type", "refusal".into()), ("refusal", text.into())]);
    }
    RawJson::object([
        ("type", "output_text".into()),
        ("text", text.into()),
        ("annotations", Vec::<RawJson>::new().into()),
        ("logprobs", Vec::<RawJson>::new().into()),
    ])
}
