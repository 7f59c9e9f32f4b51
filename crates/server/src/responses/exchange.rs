//! `Run`: one response from its request to its record.

use std::sync::{Arc, PoisonError};

use turnwise::manager::ReplyStream;
use turnwise::message::RawJson;
use turnwise::spending::Tally;
use turnwise::store::Revision;
use turnwise::transcript::formats::Object;
use turnwise::{ChatEvent, ConversationManager, Everything, Message, Plan, Reply, Transcript};
use turnwise_conversations::{ApiError, InputItem, Record, read_items, tag_of};

use super::locks::{Lock, Locked};
use super::object::{self, Outcome, ResponseObject};
use super::referred;
use super::refused::refusal;
use super::replay::replaced;
use super::request::{Base, Request};
use super::sent::{SentPlan, with_sent};
use super::stored::{self, Recorded, StoredResponse};
use super::window::{self, Scanned};
use super::{Left, Responses};
use crate::completions::summary;
use crate::deleted;
use crate::once::{Held, Turn, with_answer};
use crate::seal::SealedKind;

/// A response that is planned and not recorded yet. Dropping it leaves no trace.
pub(super) struct Run {
    pub(super) service: Arc<Responses>,
    pub(super) request: Request,
    pub(super) answer: ResponseObject,
    /// What was there before, and its revision in the store.
    before: Transcript,
    revision: Option<Revision>,
    /// That, with the input.
    pub(super) work: Transcript,
    /// What of that is sent.
    pub(super) window: Transcript,
    /// The sealed items of the record, with the input.
    scanned: Scanned,
    /// The id from which the ids of items are made.
    owner: String,
    /// The ids of the input's items.
    input: Vec<String>,
    /// Items of the output that come before the reply.
    pub(super) made: Vec<RawJson>,
    /// What compaction has taken.
    pub(super) compacting: Tally,
    has_reasoned: bool,
    pub(super) chat: ConversationManager,
    _lock: Option<Lock>,
    _held: Option<Held>,
}

/// What begins with a request for a response.
pub(super) enum Begun {
    /// It was recorded before: the response.
    Recorded(RawJson),
    Run(Box<Run>),
}

impl Responses {
    /// Reads what a response is made from, and adds its input, where nothing will be recorded.
    pub(super) async fn begin(self: &Arc<Self>, request: Request) -> Result<Run, ApiError> {
        self.begin_with(request, None, None).await
    }

    /// As [`begin`](Self::begin), for a response that is recorded, unless it was before. While it
    /// runs, no other one runs on its conversation, and another request with the same key waits.
    pub(super) async fn begin_recorded(
        self: &Arc<Self>,
        request: Request,
        held: Option<Held>,
    ) -> Result<Begun, ApiError> {
        let lock = match &request.base {
            Base::Conversation(id) => self.lock(id, request.once.as_ref())?,
            Base::Previous(_) | Base::Nothing => None,
        };
        let is_deleted = match self.known_by_key(&request).await? {
            Some(Recorded::Stored(kept)) => return Ok(Begun::Recorded(kept.response)),
            Some(Recorded::Deleted(_)) => true,
            None => false,
        };
        let Base::Conversation(id) = &request.base else {
            if is_deleted {
                return Err(deleted::gone());
            }
            return Ok(Begun::Run(Box::new(self.begin_with(request, None, held).await?)));
        };
        let (left, revision) = self.load_for_turn(id).await?;
        if let Some(recorded) = self.recorded_in(id, &left.file, &request, is_deleted).await? {
            return Ok(Begun::Recorded(recorded));
        }
        let lock = lock.ok_or_else(ApiError::conversation_locked)?;
        let run = self.begin_with(request, Some(Locked { lock, left, revision }), held).await?;
        Ok(Begun::Run(Box::new(run)))
    }

    async fn begin_with(
        self: &Arc<Self>,
        request: Request,
        locked: Option<Locked>,
        held: Option<Held>,
    ) -> Result<Run, ApiError> {
        let mut scanned = Scanned::default();
        let mut lock = None;
        let (before, revision) = match (&request.base, locked) {
            (_, Some(locked)) => {
                (lock, scanned) = (Some(locked.lock), locked.left.scanned);
                (locked.left.file, Some(locked.revision))
            }
            (Base::Conversation(id), None) => {
                let (left, revision) = self.load_for_turn(id).await?;
                scanned = left.scanned;
                (left.file, Some(revision))
            }
            (Base::Previous(id), None) => match remembered(&request, id) {
                Some(known) => (known, None),
                None => (stored::previous(&*self.store, id).await?, None),
            },
            (Base::Nothing, None) => (Transcript::default(), None),
        };
        let conversation = match &request.base {
            Base::Conversation(id) => Some(id.as_str()),
            Base::Previous(_) | Base::Nothing => None,
        };
        let answer = ResponseObject::new(new_id(&request), &request, conversation);
        let mut work = before.clone();
        let owner = conversation.map_or_else(|| stored::owner_of(&answer.id), str::to_owned);
        let earlier = match &request.base {
            Base::Previous(id) if request.input.iter().any(InputItem::is_reference) => {
                stored::owners(&*self.store, id).await?
            }
            _ => Vec::new(),
        };
        let mut record = Record::of(&owner, &mut work).with_earlier(&earlier);
        let input = referred::resolved(&*self.store, &record, &request.input).await?;
        let added = record.add(&input)?;
        let window = window::of(&owner, &work, before.conversation.path().len(), &self.sealer, &mut scanned);
        let chat = self.manager(&request, &window).map_err(|error| refusal(&error))?;
        let run = Run {
            service: Arc::clone(self),
            request,
            answer,
            before,
            revision,
            work,
            window,
            scanned,
            owner,
            input: added.into_iter().map(|item| item.id).collect(),
            made: Vec::new(),
            compacting: Tally::default(),
            has_reasoned: false,
            chat,
            _lock: lock,
            _held: held,
        };
        Ok(run)
    }

    /// A manager of the conversation for this request alone.
    fn manager(&self, request: &Request, window: &Transcript) -> turnwise::Result<ConversationManager> {
        let mut builder = request.chat.apply(self.builder(&request.model));
        if let Some(instructions) = &request.instructions {
            builder = builder.system(instructions);
        }
        if request.refuses_long {
            builder = builder.strategy(Everything);
        }
        builder.open(window.clone())
    }
}

impl Run {
    /// The number of tokens that would be sent.
    pub(super) fn input_tokens(&self) -> Result<u64, ApiError> {
        let plan = self.chat.reply().plan().map_err(|error| refusal(&error))?;
        Ok(plan.tokens().total())
    }

    /// Sends something else than what the record has.
    pub(super) fn set_window(&mut self, window: Transcript) -> Result<(), ApiError> {
        self.chat = self.service.manager(&self.request, &window).map_err(|error| refusal(&error))?;
        self.window = window;
        Ok(())
    }

    /// Sends the request, records what came, and returns the response with what its plan has done.
    pub(super) async fn finish(mut self) -> Result<(RawJson, String), ApiError> {
        self.compact_if_full().await?;
        let reply = self.chat.reply().await.map_err(|error| refusal(&error))?;
        let plan = summary(&reply.report.plan);
        // Recorded as a whole, even if the client goes away now.
        let ending = self.service.ending.clone();
        let recorded = ending.spawn(async move { self.record(reply).await });
        Ok((recorded.await.unwrap_or_else(|error| Err(ended(&error)))?, plan))
    }

    pub(super) async fn stream(&self) -> Result<ReplyStream, ApiError> {
        self.chat.reply().stream().await.map_err(|error| refusal(&error))
    }

    /// The id that an item of the reply will have.
    pub(super) fn item_id(&mut self, kind: &str, index: usize) -> String {
        let owner = self.owner().to_owned();
        Record::of(&owner, &mut self.work).next_id(kind, index)
    }

    /// The id from which the ids of items are made.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// Records the input and the reply, both or nothing.
    pub(super) async fn record(&mut self, reply: Reply) -> Result<RawJson, ApiError> {
        let usage = reply.usage.as_ref().map(|usage| object::usage(usage, &self.compacting));
        let plan = self.request.has_plan.then(|| without_messages(&reply.report.plan));
        let answer = self.answer.ended(&Outcome { finish: reply.finish.clone(), usage, plan });
        let output = self.output(&self.kept(&reply, &answer))?;
        let answer = replaced(&answer, &[("output", output.clone().into())]);
        let mut done = self.chat.transcript();
        done.conversation = self.work.conversation.clone();
        done.extra.clone_from(&self.work.extra);
        done.tools.clone_from(&self.before.tools);
        self.service.metrics.planned(&reply.report.plan);
        if let Some(usage) = &reply.usage {
            self.service.metrics.used(usage);
        }
        if let (Some(once), Base::Conversation(_)) = (&self.request.once, &self.request.base) {
            let mut turn = Turn::new(ids(&output));
            turn.end = done.conversation.leaf();
            if self.request.is_stored {
                turn.input.clone_from(&self.input);
            }
            once.put(&mut done, turn);
        }
        if let (Base::Conversation(id), Some(revision)) = (&self.request.base, &self.revision) {
            let left = Left { file: done.clone(), scanned: self.scanned.clone() };
            self.service.append_turn(id, &self.before, left, revision).await?;
        }
        let newest = self.request.newest.clone().map(|newest| (newest, done.clone()));
        let mut answer = answer;
        if self.request.is_stored {
            let stored = self.store(&answer, done, SentPlan::of(&reply.report.plan)).await;
            let is_stored = match self.request.base {
                Base::Conversation(_) => Responses::after_a_turn(stored, self.request.once.is_some())?,
                Base::Previous(_) | Base::Nothing => stored.map(|()| true)?,
            };
            if !is_stored {
                answer = replaced(&answer, &[("store", false.into())]);
            }
        }
        if let Some((newest, done)) = newest {
            *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.answer.id.clone(), done));
        }
        Ok(answer)
    }

    /// The reply as it is recorded: in a conversation with what cannot be found elsewhere.
    fn kept(&self, reply: &Reply, answer: &RawJson) -> Message {
        let mut message = reply.message.clone();
        if matches!(self.request.base, Base::Conversation(_)) && !self.request.is_stored {
            message = with_sent(reply, &self.request.model);
        }
        if object::is_cut(&reply.finish) {
            message = message.clone().with_field("status", "incomplete").unwrap_or(message);
        }
        if !matches!(self.request.base, Base::Conversation(_)) {
            return message;
        }
        if self.request.once.is_some() { with_answer(message, object::beside_request(answer)) } else { message }
    }

    /// Stores the response by itself.
    async fn store(&self, answer: &RawJson, done: Transcript, sent: SentPlan) -> Result<(), ApiError> {
        let once = self.request.once.as_ref().map(|once| once.body.clone());
        let kept = StoredResponse {
            response: answer.clone(),
            input: self.input.clone(),
            of: self.owner().to_owned(),
            sent: Some(sent),
            once,
        };
        kept.save(&*self.service.store, &self.answer.id, &self.request.base, &self.before, done).await
    }

    /// Adds the reply, and returns its items.
    fn output(&mut self, reply: &Message) -> Result<Vec<RawJson>, ApiError> {
        if let Some(reasoning) = window::reasoning_of(reply) {
            self.add_reasoning(&reasoning)?;
        }
        let owner = self.owner().to_owned();
        self.work.conversation.push(reply.clone());
        let of_reply = Record::of(&owner, &mut self.work).of_last_message();
        Ok(self.made.iter().cloned().chain(of_reply.into_iter().map(|item| item.json)).collect())
    }

    /// Adds the reasoning of the reply to the output, sealed, once; returns the item. `None` if the
    /// client has not asked for it, or there is no key.
    pub(super) fn add_reasoning(&mut self, text: &str) -> Result<Option<RawJson>, ApiError> {
        if self.has_reasoned || !self.request.has_reasoning {
            return Ok(None);
        }
        let Some(content) = self.service.sealer.seal(SealedKind::Reasoning, text) else { return Ok(None) };
        self.has_reasoned = true;
        let item = RawJson::object([
            ("type", "reasoning".into()),
            ("summary", Vec::<RawJson>::new().into()),
            ("encrypted_content", content.into()),
        ]);
        let owner = self.owner().to_owned();
        let mut added = Record::of(&owner, &mut self.work).add(&read_items(&vec![item].into(), "output")?)?;
        let item = added.pop().map(|item| item.json);
        self.made.extend(item.clone());
        Ok(item)
    }
}

/// A plan without the messages that were sent, which may be long.
fn without_messages(plan: &Plan) -> RawJson {
    let mut plan = serde_json::to_value(plan).unwrap_or_default();
    if let Some(members) = plan.as_object_mut() {
        members.remove("messages");
    }
    plan.into()
}

/// The response that is continued, if its connection remembers it.
fn remembered(request: &Request, id: &str) -> Option<Transcript> {
    let newest = request.newest.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
    newest.as_ref().filter(|(known, _)| known == id).map(|(_, file)| file.clone())
}

/// The ids of items.
fn ids(items: &[RawJson]) -> RawJson {
    let id = |item: &RawJson| Some(item.parse::<Object<'_>>().ok()?.text("id")?.into_owned());
    items.iter().filter_map(id).map(RawJson::from).collect::<Vec<_>>().into()
}

/// `resp_` and 50 hexadecimal digits; the first 16 are those of the conversation's items. A request
/// with a key always has the same.
pub(super) fn new_id(request: &Request) -> String {
    let random = || format!("{:032x}{:016x}{:02x}", fastrand::u128(..), fastrand::u64(..), fastrand::u8(..));
    let digits = request.once.as_ref().map_or_else(random, |once| once.digits()[..50].to_owned());
    match &request.base {
        Base::Conversation(id) => format!("resp_{}{}", tag_of(id), &digits[16..]),
        Base::Previous(_) | Base::Nothing => format!("resp_{digits}"),
    }
}

fn ended(error: &tokio::task::JoinError) -> ApiError {
    let mut refused = ApiError::invalid_request(format!("Recording the response failed: {error}"));
    (refused.status, refused.kind) = (500, "server_error");
    refused
}

/// Whether an event of a stream is its end.
pub(crate) fn is_end(event: &ChatEvent) -> bool {
    matches!(event, ChatEvent::Finished(_))
}
