//! A recorded response, answered again: whole or as events.

use std::sync::Arc;

use turnwise::Transcript;
use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise_conversations::{ApiError, Record};

use super::Responses;
use super::events::{OfCall, Out};
use super::exchange;
use super::object::ResponseObject;
use super::request::{Base, Request};
use super::stored::{Recorded, StoredResponse};
use crate::client_stream::Events;
use crate::deleted;
use crate::once::{Turn, answer_of};
use crate::request_id;

impl Responses {
    /// What is stored by itself of a request with a key that was sent before.
    pub(super) async fn known_by_key(&self, request: &Request) -> Result<Option<Recorded>, ApiError> {
        let Some(once) = request.once.as_ref().filter(|_| request.is_stored) else { return Ok(None) };
        let known = Recorded::find(&*self.store, &exchange::new_id(request)).await?;
        if let Some(known) = &known {
            once.check(known.body())?;
        }
        Ok(known)
    }

    /// The response to this request, if it was recorded in its conversation before. One that was deleted is told
    /// again, and stays deleted.
    pub(super) async fn recorded_in(
        &self,
        id: &str,
        file: &Transcript,
        request: &Request,
        is_deleted: bool,
    ) -> Result<Option<RawJson>, ApiError> {
        let turn = request.once.as_ref().map(|once| once.find(file)).transpose()?.flatten();
        let Some(turn) = turn else { return if is_deleted { Err(deleted::gone()) } else { Ok(None) } };
        let mut file = file.clone();
        let ids: Vec<String> = turn.items.parse().unwrap_or_default();
        let record = Record::of(id, &mut file);
        // They are near the end.
        let mut output: Vec<RawJson> = record.with_ids(&ids, true).map(|item| item.json).collect();
        output.reverse();
        let said = turn.end.and_then(|end| file.conversation.get(end)).and_then(|reply| answer_of(reply.message()));
        let answer = ResponseObject::new(exchange::new_id(request), request, Some(id)).again(said);
        let told = replaced(&answer, &[("output", output.into())]);
        if is_deleted {
            return Ok(Some(replaced(&told, &[("store", false.into())])));
        }
        if request.is_stored {
            self.store_missing(request, turn, &told, file).await?;
        }
        Ok(Some(told))
    }

    /// Stores a response by itself whose turn was recorded, but which was not stored then.
    async fn store_missing(
        &self,
        request: &Request,
        turn: Turn,
        response: &RawJson,
        mut file: Transcript,
    ) -> Result<(), ApiError> {
        let (Base::Conversation(of), Some(end)) = (&request.base, turn.end) else { return Ok(()) };
        // What was removed since is not brought back.
        let Ok(()) = file.conversation.switch(end) else { return Ok(()) };
        let id = exchange::new_id(request);
        let once = request.once.as_ref().map(|once| once.body.clone());
        let response = response.clone();
        let kept = StoredResponse { response, input: turn.input, of: of.clone(), sent: None, once };
        kept.save(&*self.store, &id, &request.base, &Transcript::default(), file).await
    }

    /// The events of a response that was recorded before.
    pub(super) fn replay(self: &Arc<Self>, response: RawJson) -> Events {
        let (mut out, events) = Out::new(self.rules.read_time);
        request_id::spawn(async move { replay(&mut out, &response).await });
        events
    }
}

/// An object with other values for some members; a value of null stays in its place.
pub(crate) fn replaced(object: &RawJson, new: &[(&str, RawJson)]) -> RawJson {
    let read: Option<Object<'_>> = object.parse().ok();
    let members = read.iter().flat_map(Object::iter).map(|(key, value)| {
        let other = new.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone());
        (key, other.unwrap_or_else(|| value.into()))
    });
    RawJson::object(members)
}

async fn replay(out: &mut Out, response: &RawJson) -> Option<()> {
    let null = || RawJson::from(serde_json::Value::Null);
    let begun = [
        ("status", "in_progress".into()),
        ("output", Vec::<RawJson>::new().into()),
        ("completed_at", null()),
        ("incomplete_details", null()),
        ("usage", null()),
    ];
    out.created(&replaced(response, &begun)).await?;
    let object: Object<'_> = response.parse().ok()?;
    let output: Vec<RawJson> = object.get("output").and_then(|output| serde_json::from_str(output.get()).ok())?;
    for item in output {
        out.again(&item).await?;
    }
    out.end(response).await
}

impl Out {
    /// An item that is complete, as its events.
    async fn again(&mut self, item: &RawJson) -> Option<()> {
        let object: Object<'_> = item.parse().ok()?;
        let (kind, id) = (object.text("type")?, object.text("id")?);
        let begun = [
            ("status", RawJson::from("in_progress")),
            ("content", Vec::<RawJson>::new().into()),
            ("arguments", "".into()),
            ("input", "".into()),
        ];
        let begun = replaced(item, &begun);
        match &*kind {
            "message" => {
                self.added(&begun).await?;
                for (place, part) in object.objects("content").enumerate() {
                    self.part_again(&id, place, &part).await?;
                }
                self.done(item.clone()).await
            }
            "function_call" => {
                self.added(&begun).await?;
                self.call_again(OfCall::FUNCTION, &object, Some(object.text("name")?.into_owned())).await?;
                self.done(item.clone()).await
            }
            "custom_tool_call" => {
                self.added(&begun).await?;
                self.call_again(OfCall::CUSTOM, &object, None).await?;
                self.done(item.clone()).await
            }
            _ => self.whole(item.clone()).await,
        }
    }

    /// What a call is made with, as one delta. Only the last event of a function's has its name.
    async fn call_again(&mut self, names: OfCall, call: &Object<'_>, name: Option<String>) -> Option<()> {
        let (id, text) = (call.text("id")?, call.text(names.text)?);
        let delta = [("item_id", RawJson::from(&*id)), ("delta", (&*text).into())];
        self.event_of_item(&format!("{}.delta", names.event), delta).await?;
        let name = name.map(|name| ("name", RawJson::from(name)));
        let done = [("item_id", RawJson::from(&*id))].into_iter().chain(name).chain([(names.text, (&*text).into())]);
        self.event_of_item(&format!("{}.done", names.event), done).await
    }

    async fn part_again(&mut self, id: &str, place: usize, part: &Object<'_>) -> Option<()> {
        let is_refusal = part.is_one_of("type", &["refusal"]);
        let member = if is_refusal { "refusal" } else { "text" };
        let text = part.text(member)?;
        let part = RawJson::object(part.iter().map(|(key, value)| (key, RawJson::from(value))));
        let empty = replaced(&part, &[(member, "".into())]);
        let of_part = |members: Vec<(&'static str, RawJson)>| {
            [("item_id", RawJson::from(id)), ("content_index", place.into())].into_iter().chain(members)
        };
        let logprobs = || (!is_refusal).then(|| ("logprobs", Vec::<RawJson>::new().into()));
        let names = if is_refusal {
            ["response.refusal.delta", "response.refusal.done"]
        } else {
            ["response.output_text.delta", "response.output_text.done"]
        };
        self.event_of_item("response.content_part.added", of_part(vec![("part", empty)])).await?;
        let delta = of_part([("delta", RawJson::from(&*text))].into_iter().chain(logprobs()).collect());
        self.event_of_item(names[0], delta).await?;
        let done = of_part([(member, RawJson::from(&*text))].into_iter().chain(logprobs()).collect());
        self.event_of_item(names[1], done).await?;
        self.event_of_item("response.content_part.done", of_part(vec![("part", part)])).await
    }
}
