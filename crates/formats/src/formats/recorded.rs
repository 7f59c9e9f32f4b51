//! Conversations inside something else: lines of the Batch API, logs of requests and answers, cases
//! of evaluations, answers alone, and data to train with (preferences, prompts and completions).

use serde_json::value::RawValue;
use turnwise::message::RawJson;
use turnwise::transcript::formats::{Object, elements};
use turnwise::{Error, ErrorKind, Message, Transcript};

use super::{invalid, members};
use crate::draft::{Draft, Import};
use crate::format::Format;
use crate::members::{Members, Rest, object, readable, string};
use crate::origin;
use crate::registry::find_recognised;
use crate::report::{Fate, Report};

const NAME: &str = "recorded";

/// Where a request, or its messages, may be.
const REQUESTS: &[&str] =
    &["body", "request", "input", "prompt", "conversation", "conversations", "chat", "data", "payload", "item"];

/// Where the answer to it may be.
const ANSWERS: &[&str] = &["response", "completion", "output", "answer", "ideal"];

/// Recorded requests and answers.
#[derive(Debug)]
pub(crate) struct Recorded;

impl Format for Recorded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "recorded requests and answers"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl", "json"]
    }

    fn needs(&self) -> &'static str {
        "messages inside `body`, `request`, `input` or the like, or an answer with `choices`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["request", "response", "body", "input", "prompt", "completion"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["completion", "batch-output", "envelope", "preferences", "instructions"]
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let whole = members(text, "a record")?;
        let (mut import, mut taken) = request(&whole)?.unwrap_or_else(|| (Draft::default().finish(NAME), Vec::new()));
        let answered = answer(&whole, &mut import);
        taken.extend(&answered);
        taken.extend(pairs(&whole, &mut import.transcript));
        if taken.is_empty() {
            return Err(invalid("there is neither a request with messages nor an answer"));
        }
        let mut rest: Rest = whole.rest().into_iter().filter(|(key, _)| !taken.contains(&&**key)).collect();
        rest.extend(answered.iter().filter_map(|key| beside_choices(&whole, key)));
        let id = ["custom_id", "id", "request_id"].into_iter().find_map(|key| whole.peek().text(key));
        import.id = id.map(std::borrow::Cow::into_owned);
        origin::set(&mut import.transcript, NAME, import.id.as_deref(), rest);
        out.push(import);
        Ok(())
    }
}

/// The request that a record holds, and the member that holds it.
fn request(whole: &Members<'_>) -> Result<Option<(Import, Vec<&'static str>)>, Error> {
    for key in REQUESTS {
        let Some(inside) = whole.peek().get(key) else { continue };
        let is_body =
            Object::of(inside).is_some_and(|body| body.is_list("messages") || body.has_any(&["contents", "input"]));
        let first = elements(inside).first().and_then(|first| Object::of(first));
        if is_body || first.is_some_and(|first| first.has("role")) {
            return Ok(Some((body(inside)?, vec![*key])));
        }
    }
    Ok(None)
}

/// A request, of chat completions or in another format.
fn body(inside: &RawValue) -> Result<Import, Error> {
    match Transcript::from_json(inside.get()) {
        Ok(mut transcript) => {
            // What a request's body says beside the messages are parameters. `id` would be taken for
            // the conversation's.
            transcript.extra.retain(|(key, _)| key != "id");
            Ok(Import { transcript, report: Report::default(), id: None })
        }
        Err(error) if error.kind() == ErrorKind::ForeignFormat => {
            let format = find_recognised(inside.get()).ok_or_else(|| invalid(error.detail()))?;
            let mut read = Vec::new();
            format.read(inside.get(), &mut read)?;
            read.into_iter().next().ok_or_else(|| invalid("the request is empty"))
        }
        Err(error) => Err(error),
    }
}

/// Adds the answer of the model. Further choices become branches.
fn answer(whole: &Members<'_>, import: &mut Import) -> Vec<&'static str> {
    let own = whole.peek().objects("choices").next().map(|_| ("choices", choices(whole.peek())));
    let nested = || {
        ANSWERS.iter().find_map(|key| {
            let answer = whole.peek().object(key)?;
            let body = answer.object("body").unwrap_or(answer);
            body.is_list("choices").then(|| (*key, choices(&body)))
        })
    };
    let message = || {
        ANSWERS.iter().find_map(|key| {
            let value = whole.peek().get(key)?;
            let message = Object::of(value).filter(|message| message.has("role"));
            let one = message.and_then(|_| Message::from_json(value.get()).ok());
            let list = || elements(value).into_iter().filter_map(|m| Message::from_json(m.get()).ok()).collect();
            let all: Vec<Message> = one.map_or_else(list, |one| vec![one]);
            (!all.is_empty()).then_some((*key, all))
        })
    };
    if let Some((key, choices)) = own.or_else(nested) {
        branches(&mut import.transcript, choices.into_iter().map(|choice| vec![choice]));
        return vec![key];
    }
    if let Some((key, messages)) = message() {
        for message in messages {
            import.transcript.conversation.push(message);
        }
        return vec![key];
    }
    // A text beside recorded messages is the answer, or what an evaluation expects.
    let has_messages = import.transcript.conversation.messages().next().is_some();
    let text = ANSWERS.iter().find_map(|key| Some((*key, whole.peek().text(key)?)));
    match text.filter(|_| has_messages) {
        Some((key, text)) => {
            if key == "ideal" {
                import.report.add(Fate::Changed, "expected answer (it becomes the model's)", "the end");
            }
            import.transcript.conversation.push(Message::assistant(&*text));
            vec![key]
        }
        None => Vec::new(),
    }
}

/// What an answer says beside its messages: usage, reasons to stop, its id.
fn beside_choices(whole: &Members<'_>, key: &str) -> Option<(String, RawJson)> {
    let of_choice = |choice: &RawValue| {
        let mut choice = Members::of(choice)?;
        choice.skip("message");
        Some(object(choice.rest()))
    };
    let of_body = |mut body: Members<'_>| {
        let choices = body.list("choices").unwrap_or_default();
        let choices: Vec<RawJson> = choices.into_iter().filter_map(of_choice).collect();
        let rest = body.rest().into_iter().filter(|(key, _)| key != "body");
        rest.chain([("choices".to_owned(), choices.into())]).collect::<Rest>()
    };
    if key == "choices" {
        let choices: Vec<RawJson> = whole.peek().list(key).into_iter().filter_map(of_choice).collect();
        return Some((key.to_owned(), choices.into()));
    }
    let mut answer = whole.peek().get(key).and_then(Members::of)?;
    let body = answer.object("body");
    let inner = body.map(|body| ("body".to_owned(), object(of_body(body))));
    let rest = match inner {
        Some(inner) => answer.rest().into_iter().chain([inner]).collect(),
        None if answer.peek().is_list("choices") => of_body(answer),
        None => return None,
    };
    Some((key.to_owned(), object(rest)))
}

fn choices(answer: &Object<'_>) -> Vec<Message> {
    let message = |choice: Object<'_>| {
        let message = choice.get("message").or_else(|| choice.get("delta"))?;
        Message::from_json(message.get()).ok().or_else(|| Some(Message::assistant(&*choice.text("text")?)))
    };
    answer.objects("choices").filter_map(message).collect()
}

/// Adds continuations of one conversation; the first one is the path.
fn branches(transcript: &mut Transcript, all: impl Iterator<Item = Vec<Message>>) {
    let conversation = &mut transcript.conversation;
    let start = conversation.leaf();
    let mut first = None;
    for (index, messages) in all.enumerate() {
        match start {
            _ if index == 0 => {}
            // The leaf is an item of this conversation.
            Some(start) => drop(conversation.switch(start)),
            None => conversation.clear(),
        }
        for message in messages {
            conversation.push(message);
        }
        if index == 0 {
            first = conversation.leaf();
        }
    }
    if let Some(first) = first {
        let _ = conversation.switch(first);
    }
}

/// Pairs of a prompt and an answer, or of two answers.
fn pairs(whole: &Members<'_>, transcript: &mut Transcript) -> Vec<&'static str> {
    let object = whole.peek();
    let list = |key: &str| -> Vec<Message> {
        let value = object.get(key);
        let text = value.and_then(string).map(Message::assistant);
        let messages = value.map(elements).unwrap_or_default();
        let messages = messages.into_iter().filter_map(|message| Message::from_json(message.get()).ok());
        text.into_iter().chain(messages).collect()
    };
    for (good, bad) in [("preferred_output", "non_preferred_output"), ("chosen", "rejected")] {
        if object.has(good) {
            let mut taken = vec![good, bad];
            let (good, bad) = (list(good), list(bad));
            let is_empty = transcript.conversation.path().is_empty();
            if let Some(prompt) = object.text("prompt").filter(|_| is_empty) {
                // Whole conversations begin with it.
                if good.iter().all(|message| message.text() != *prompt) {
                    transcript.conversation.push(Message::user(&*prompt));
                }
                taken.push("prompt");
            }
            let shared = good.iter().zip(&bad).take_while(|(one, other)| one == other).count();
            let start = good.iter().take(shared).cloned();
            if transcript.conversation.messages().next().is_none() {
                transcript.conversation = turnwise::Conversation::from_messages(start);
            } else {
                for message in start {
                    transcript.conversation.push(message);
                }
            }
            let [good, bad] = [good, bad].map(|all| all[shared.min(all.len())..].to_vec());
            branches(transcript, [good, bad].into_iter().filter(|branch| !branch.is_empty()));
            return taken;
        }
    }
    let ask = |key: &str| object.get(key).map(readable).filter(|text| !text.is_empty());
    for (prompt, more, answer) in [("instruction", "input", "output"), ("prompt", "", "completion")] {
        let is_pair = object.is_text(prompt) && object.is_text(answer) && transcript.conversation.path().is_empty();
        if let (true, Some(prompt_text)) = (is_pair, ask(prompt)) {
            if let Some(system) = ask("system") {
                transcript.conversation.set_system(system);
            }
            let text = ask(more).map_or(prompt_text.clone(), |more| format!("{prompt_text}\n\n{more}"));
            transcript.conversation.push(Message::user(text));
            transcript.conversation.push(Message::assistant(ask(answer).unwrap_or_default()));
            return vec![prompt, more, answer, "system"];
        }
    }
    Vec::new()
}
