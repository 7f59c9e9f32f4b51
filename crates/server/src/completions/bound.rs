//! Requests that continue a stored conversation: their messages come after its own, and are
//! recorded with the reply.

use std::sync::Arc;

use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use turnwise::backend::{ToolCallDelta, Usage};
use turnwise::conversation::Timestamp;
use turnwise::manager::ReplyStream;
use turnwise::message::RawJson;
use turnwise::store::Revision;
use turnwise::transcript::formats::Object;
use turnwise::{ChatEvent, ConversationManager, Message, Reply, Transcript};
use turnwise_conversations::ApiError;

use super::forward::{self, PLAN, messages, tools};
use super::{replay, stored, summary};
use crate::answer::json;
use crate::body::Body;
use crate::client_stream::{ClientStream, Piece};
use crate::once::{self, Held, Once, replayed};
use crate::request_id;
use crate::responses::{Left, Lock, Locked, Responses, Scanned, is_end, refusal, replaced, sse, with_sent};
use crate::routes::Answer;
use crate::serve::Ending;

/// Members that are not parameters of the model.
const OWN: &[&str] = &["model", "messages", "tools", "stream", "stream_options", "metadata", "store"];

/// A request that is planned and not recorded yet. Dropping it leaves no trace.
struct Turn {
    service: Arc<Responses>,
    id: String,
    before: Transcript,
    scanned: Scanned,
    revision: Revision,
    chat: ConversationManager,
    /// The conversation with what the client said.
    asked: Transcript,
    once: Option<(Once, Held)>,
    /// What is stored of the completion by itself.
    kept: Option<stored::Request>,
    /// The id of the completion, if it is stored.
    completion: String,
    _lock: Lock,
}

pub(super) async fn create(service: &Arc<Responses>, id: &str, body: &Body, once: Option<Once>) -> Answer {
    let asked = Asked::read(body)?;
    let held = match &once {
        Some(once) => Some(service.requests().hold(once).await),
        None => None,
    };
    let lock = service.lock(id, once.as_ref())?;
    let (left, revision) = service.load_for_turn(id).await?;
    if let Some(once) = &once
        && let Some(recorded) = replay::recorded(&left.file, once)?
    {
        if let Some(request) = stored::Request::read(body, Some(once))? {
            stored::save_missing(service, &request, &recorded).await?;
        }
        let chunks = body.is_true("stream")?.then(|| replay::chunks(service, &recorded, has_usage(body)));
        return Ok(replayed(chunks.unwrap_or_else(|| json(&recorded))));
    }
    let lock = lock.ok_or_else(ApiError::conversation_locked)?;
    let turn = begin(service, id, body, asked, Locked { lock, left, revision }, once.zip(held))?;
    if body.is_true("stream")? {
        return Ok(turn.stream(body.need_text("model")?, has_usage(body)).await?);
    }
    let reply = turn.chat.reply().await.map_err(|error| refusal(&error))?;
    let plan = HeaderValue::from_str(&summary(&reply.report.plan)).ok();
    let mut answer = reply.raw.clone().unwrap_or_else(|| completion(&reply, turn.chat.model().name.as_str()));
    if turn.kept.is_some() {
        answer = stored::renamed(&answer, &turn.completion);
    }
    // Recorded as a whole, even if the client goes away now.
    service.metrics().planned(&reply.report.plan);
    if let Some(usage) = &reply.usage {
        service.metrics().used(usage);
    }
    let told = answer.clone();
    let recorded = service.ending().spawn(async move { turn.record(&reply, &told).await }).await;
    recorded.unwrap_or_else(|error| Err(failed(&error)))?;
    let mut response = json(&answer);
    response.headers_mut().extend(plan.map(|plan| (PLAN, plan)));
    Ok(response)
}

/// Whether a stream ends with the usage.
fn has_usage(body: &Body) -> bool {
    let options = body.get("stream_options");
    let options: Option<Object<'_>> = options.as_ref().and_then(|options| options.parse().ok());
    options.and_then(|options| options.get("include_usage").map(|value| value.get() == "true")).unwrap_or_default()
}

fn failed(error: &tokio::task::JoinError) -> ApiError {
    let mut refused = ApiError::invalid_request(format!("Recording the reply failed: {error}"));
    (refused.status, refused.kind) = (500, "server_error");
    refused
}

/// What a client asks for.
struct Asked {
    model: String,
    messages: Vec<Message>,
}

impl Asked {
    fn read(body: &Body) -> Result<Self, ApiError> {
        let model = body.need_text("model")?;
        Ok(Self { model, messages: forward::read(&messages(body)?)? })
    }
}

fn begin(
    service: &Arc<Responses>,
    id: &str,
    body: &Body,
    Asked { model, messages }: Asked,
    locked: Locked,
    once: Option<(Once, Held)>,
) -> Result<Turn, ApiError> {
    let Locked { lock, left: Left { file: before, scanned }, revision } = locked;
    let mut asked = before.clone();
    let is_instruction = |message: &&Message| message.role().is_instruction();
    // Instructions in front rule this request, and are not recorded, as those of a response.
    let head: Vec<String> =
        messages.iter().take_while(is_instruction).map(|message| message.text().into_owned()).collect();
    for message in messages.into_iter().skip(head.len()) {
        asked.conversation.push(message);
    }
    let mut builder = service.builder(&model).tools(tools(body));
    if !head.is_empty() {
        builder = builder.system(head.join("\n\n"));
    }
    for (name, value) in body.members().into_iter().filter(|(name, _)| !OWN.contains(&&**name)) {
        builder = builder.param(&name, value);
    }
    if service.rules().refuses_long {
        builder = builder.strategy(turnwise::Everything);
    }
    let chat = builder.open(asked.clone()).map_err(|error| refusal(&error))?;
    Ok(Turn {
        service: Arc::clone(service),
        id: id.to_owned(),
        before,
        scanned,
        revision,
        chat,
        asked,
        kept: stored::Request::read(body, once.as_ref().map(|(once, _)| once))?,
        once,
        completion: stored::new_id(),
        _lock: lock,
    })
}

impl Turn {
    /// Records what was said and the reply, both or nothing.
    async fn record(&self, reply: &Reply, answer: &RawJson) -> Result<(), ApiError> {
        let mut done = self.chat.transcript();
        done.conversation = self.asked.conversation.clone();
        let mut message = with_sent(reply, &self.chat.model().name);
        if self.once.is_some() {
            message = once::with_answer(message, replay::without_message(answer));
        }
        let place = done.conversation.push(message);
        done.extra.clone_from(&self.asked.extra);
        done.tools.clone_from(&self.before.tools);
        if let Some((once, _)) = &self.once {
            once.put(&mut done, once::Turn::new(place.index().into()));
        }
        let left = Left { file: done, scanned: self.scanned.clone() };
        self.service.append_turn(&self.id, &self.before, left, &self.revision).await?;
        let Some(request) = &self.kept else { return Ok(()) };
        let stored = stored::save(&self.service, request, answer).await;
        Responses::after_a_turn(stored, self.once.is_some()).map(drop)
    }

    /// Answers while the reply arrives. What fails after the answer has begun ends it with an error.
    async fn stream(self, model: String, has_usage: bool) -> Result<Response, ApiError> {
        let reply = self.chat.reply().stream().await.map_err(|error| refusal(&error))?;
        let plan = reply.plan().and_then(|plan| HeaderValue::from_str(&summary(plan)).ok());
        let (stream, events) = ClientStream::new(self.service.rules().read_time);
        let ending = self.service.ending().clone();
        let id = if self.kept.is_some() { self.completion.clone() } else { new_id() };
        let mut chunks = Chunks { stream, id, created: now(), model, has_usage };
        let follow = ending.clone();
        ending.spawn(async move { chunks.follow(&self, reply, &follow).await });
        let mut response = sse(events).into_response();
        response.headers_mut().extend(plan.map(|plan| (PLAN, plan)));
        Ok(response)
    }
}

/// The chunks of a streamed completion.
pub(super) struct Chunks {
    stream: ClientStream,
    id: String,
    created: i64,
    model: String,
    has_usage: bool,
}

impl Chunks {
    /// The chunks of a completion that exists.
    pub(super) fn of(stream: ClientStream, id: String, created: i64, model: String) -> Self {
        Self { stream, id, created, model, has_usage: true }
    }

    async fn follow(&mut self, turn: &Turn, mut reply: ReplyStream, ending: &Ending) -> Option<()> {
        self.delta([("role", "assistant".into()), ("content", "".into())], None).await?;
        loop {
            let event = tokio::select! {
                event = reply.next() => event,
                () = self.stream.closed() => return None,
                () = ending.begun() => {
                    return self.fail(&ApiError::invalid_request("The server is shutting down. Please retry.".to_owned())).await;
                }
            };
            match event {
                None => break,
                Some(Ok(event)) if is_end(&event) => break,
                Some(Ok(event)) => self.show(event).await?,
                Some(Err(error)) => return self.fail(&refusal(&error)).await,
            }
        }
        let reply = match reply.finish().await {
            Ok(reply) => reply,
            Err(error) => return self.fail(&refusal(&error)).await,
        };
        turn.service.metrics().planned(&reply.report.plan);
        if let Some(usage) = &reply.usage {
            turn.service.metrics().used(usage);
        }
        let answer = self.answer(&reply);
        if let Err(error) = turn.record(&reply, &answer).await {
            return self.fail(&error).await;
        }
        let finish = serde_json::to_value(&reply.finish).ok().map(RawJson::from);
        self.delta([], finish).await?;
        if let Some(usage) = reply.usage.as_ref().filter(|_| self.has_usage) {
            self.chunk(Vec::new(), Some(usage_of(usage))).await?;
        }
        self.send("[DONE]").await
    }

    /// The completion that the chunks are of.
    fn answer(&self, reply: &Reply) -> RawJson {
        let own = [("id", RawJson::from(&*self.id)), ("created", self.created.into())];
        replaced(&completion(reply, &self.model), &own)
    }

    async fn show(&mut self, event: ChatEvent) -> Option<()> {
        match event {
            ChatEvent::Text(text) => self.delta([("content", text.into())], None).await,
            ChatEvent::Reasoning(text) => self.delta([("reasoning_content", text.into())], None).await,
            ChatEvent::Refusal(text) => self.delta([("refusal", text.into())], None).await,
            ChatEvent::ToolCall(delta) => self.delta([("tool_calls", vec![call(delta)].into())], None).await,
            _ => Some(()),
        }
    }

    pub(super) async fn delta<'a>(
        &mut self,
        members: impl IntoIterator<Item = (&'a str, RawJson)>,
        finish: Option<RawJson>,
    ) -> Option<()> {
        let choice = RawJson::object([
            ("index", 0.into()),
            ("delta", RawJson::object(members)),
            ("finish_reason", finish.unwrap_or_else(|| serde_json::Value::Null.into())),
        ]);
        self.chunk(vec![choice], None).await
    }

    pub(super) async fn chunk(&mut self, choices: Vec<RawJson>, usage: Option<RawJson>) -> Option<()> {
        let own = [
            ("id", RawJson::from(&*self.id)),
            ("object", "chat.completion.chunk".into()),
            ("created", self.created.into()),
            ("model", self.model.as_str().into()),
            ("choices", choices.into()),
        ];
        let usage = usage.map(|usage| ("usage", usage));
        self.send(RawJson::object(own.into_iter().chain(usage)).as_str()).await
    }

    async fn fail(&mut self, error: &ApiError) -> Option<()> {
        let error = request_id::shown(error.clone());
        self.stream.send(piece_of_error(&error), piece_of_error).await
    }

    pub(super) async fn send(&mut self, data: &str) -> Option<()> {
        self.stream.send(Piece { name: String::new(), data: data.to_owned() }, piece_of_error).await
    }
}

fn piece_of_error(error: &ApiError) -> Piece {
    Piece { name: String::new(), data: serde_json::to_string(error).unwrap_or_default() }
}

fn call(delta: ToolCallDelta) -> RawJson {
    let name = delta.name.map(|name| ("name", RawJson::from(name)));
    let function = RawJson::object(name.into_iter().chain([("arguments", delta.arguments.into())]));
    let id = delta.id.map(|id| [("id", RawJson::from(id)), ("type", "function".into())]);
    let own = [("index", RawJson::from(delta.index)), ("function", function)];
    RawJson::object(id.into_iter().flatten().chain(own))
}

/// A completion, for a backend that does not show its own.
fn completion(reply: &Reply, model: &str) -> RawJson {
    let finish = serde_json::to_value(&reply.finish).map(RawJson::from);
    let null = || RawJson::from(serde_json::Value::Null);
    let choice = RawJson::object([
        ("index", 0.into()),
        ("message", replay::told(&reply.message)),
        ("logprobs", null()),
        ("finish_reason", finish.unwrap_or_else(|_| null())),
    ]);
    let usage = reply.usage.as_ref().map(|usage| ("usage", usage_of(usage)));
    let own = [
        ("id", RawJson::from(new_id())),
        ("object", "chat.completion".into()),
        ("created", now().into()),
        ("model", model.into()),
        ("choices", vec![choice].into()),
    ];
    RawJson::object(own.into_iter().chain(usage))
}

fn usage_of(usage: &Usage) -> RawJson {
    RawJson::object([
        ("prompt_tokens", usage.prompt_tokens.into()),
        ("completion_tokens", usage.completion_tokens.into()),
        ("total_tokens", (usage.prompt_tokens + usage.completion_tokens).into()),
        ("prompt_tokens_details", RawJson::object([("cached_tokens", usage.cached_tokens.into())])),
        ("completion_tokens_details", RawJson::object([("reasoning_tokens", usage.reasoning_tokens.into())])),
    ])
}

fn new_id() -> String {
    format!("chatcmpl-{:032x}", fastrand::u128(..))
}

fn now() -> i64 {
    Timestamp::now().as_millis() / 1_000
}
