//! Judges a plan against the input with nothing of the crate but its JSON: own grouping, own pairing of calls, own
//! formula of costs, own idea of what must be sent.

use serde_json::Value;
use turnwise::error::{OverBudget, OverPart};
use turnwise::plan::{Decision, ResolvedBudget};
use turnwise::{Conversation, Error, ErrorKind, Fate, ItemId, Message, Plan, Reason, Tool};

pub(crate) type Counter = fn(&str) -> u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Open,
    Orphan,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// In the order in which they are sent: a late result comes after messages of other groups.
    pub(crate) positions: Vec<usize>,
    pub(crate) state: State,
    pub(crate) tokens: u64,
    pub(crate) is_user: bool,
    pub(crate) is_reply: bool,
    pub(crate) has_calls: bool,
}

/// A conversation as the judge sees it: the messages as they would be sent.
pub(crate) struct Input {
    pub(crate) head: Vec<String>,
    pub(crate) path: Vec<String>,
    pub(crate) groups: Vec<Group>,
    /// Head, tools and priming.
    pub(crate) before: u64,
    pub(crate) head_tokens: u64,
    pub(crate) tools_tokens: u64,
    /// Groups that must be sent for a pin alone, and because they are pending.
    pub(crate) pins: Vec<usize>,
    pub(crate) pending: Vec<usize>,
}

const PRIMING: u64 = 3;

pub(crate) fn json_of(message: &Message) -> String {
    serde_json::to_string(message).unwrap()
}

/// A message as JSON with its keys sorted, and as it is sent: without what the specification does not have, and without
/// an empty list of calls.
fn sorted(message: &str) -> String {
    serde_json::from_str::<Value>(message).unwrap().to_string()
}

fn as_sent(message: &str) -> String {
    const SENT: [&str; 8] =
        ["role", "content", "name", "tool_calls", "tool_call_id", "refusal", "function_call", "audio"];
    let mut message: Value = serde_json::from_str(message).unwrap();
    let has_calls = message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty());
    let members = message.as_object_mut().unwrap();
    members.retain(|key, _| SENT.contains(&&**key) && (key != "tool_calls" || has_calls));
    message.to_string()
}

/// A message without the ids of its calls, and of the call that it answers.
pub(crate) fn without_ids(text: &str) -> Value {
    let mut message: Value = serde_json::from_str(text).unwrap();
    let Some(members) = message.as_object_mut() else { return message };
    members.remove("tool_call_id");
    for call in members.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        call.as_object_mut().and_then(|call| call.remove("id"));
    }
    message
}

impl Input {
    pub(crate) fn new(messages: &[Message], pins: &[usize], tools: &[Tool], count: Counter) -> Self {
        let texts: Vec<String> = messages.iter().map(json_of).collect();
        let values: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let leads = |value: &Value| matches!(role(value), "system" | "developer");
        let head = values.iter().take_while(|value| leads(value)).count();
        let groups = groups(&values[head..], count);
        let head_tokens = group_cost(&values[..head], count);
        let tools_tokens = tools_cost(&values[..head], tools, count);
        let pending = pending(&groups);
        let pinned = |group: &usize| {
            let Group { positions, state, .. } = &groups[*group];
            *state == State::Ready && !pending.contains(group) && pins.iter().any(|pin| positions.contains(pin))
        };
        let pins = (0..groups.len()).filter(pinned).collect();
        Self {
            head: texts[..head].iter().map(|text| as_sent(text)).collect(),
            path: texts[head..].iter().map(|text| as_sent(text)).collect(),
            groups,
            before: head_tokens + tools_tokens + PRIMING,
            head_tokens,
            tools_tokens,
            pins,
            pending,
        }
    }

    pub(crate) fn sum(&self, groups: &[usize]) -> u64 {
        groups.iter().map(|&group| self.groups[group].tokens).sum()
    }

    /// The least that any plan costs.
    pub(crate) fn fixed(&self) -> u64 {
        self.before + self.sum(&self.pins) + self.sum(&self.pending)
    }

    /// What the plan costs that leaves out nothing that can be sent.
    pub(crate) fn whole(&self) -> u64 {
        let ready = self.groups.iter().filter(|group| group.state == State::Ready);
        self.before + ready.map(|group| group.tokens).sum::<u64>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.pending.is_empty()
    }

    fn is_optional(&self, group: usize) -> bool {
        self.groups[group].state == State::Ready && !self.pins.contains(&group) && !self.pending.contains(&group)
    }

    /// The user message of the turn that the request continues.
    fn asked(&self) -> Option<usize> {
        let newest = *self.pending.last()?;
        (0..=newest).rev().find(|&group| self.groups[group].is_user)
    }
}

fn role(message: &Value) -> &str {
    message["role"].as_str().unwrap()
}

fn is_result(message: &Value) -> bool {
    matches!(role(message), "tool" | "function")
}

/// What a message asks for: one entry a call, tools by id, the function by name.
fn asks(message: &Value) -> Vec<(bool, Option<&str>)> {
    let tools = message["tool_calls"].as_array().into_iter().flatten().map(|call| (true, call["id"].as_str()));
    let function = message["function_call"].as_object().map(|call| (false, call["name"].as_str()));
    tools.chain(function).collect()
}

/// What a result answers, as [`asks`] has it.
fn answers(result: &Value) -> (bool, Option<&str>) {
    match role(result) {
        "tool" => (true, result["tool_call_id"].as_str()),
        _ => (false, result["name"].as_str()),
    }
}

/// The message whose call a result answers: the last reply before it, if that has more calls of this name than results
/// came for since.
fn caller(path: &[Value], result: usize) -> Option<usize> {
    let answer = answers(&path[result]);
    let ends_stretch = |at: &Value| role(at) == "assistant" || (!is_result(at) && !asks(at).is_empty());
    let last = path[..result].iter().rposition(ends_stretch)?;
    let asked = asks(&path[last]).into_iter().filter(|call| *call == answer).count();
    let came = path[last + 1..result].iter().filter(|at| is_result(at) && answers(at) == answer).count();
    (came < asked).then_some(last)
}

fn groups(path: &[Value], count: Counter) -> Vec<Group> {
    let callers: Vec<Option<usize>> =
        (0..path.len()).map(|at| if is_result(&path[at]) { caller(path, at) } else { None }).collect();
    let first = (0..path.len()).filter(|&at| callers[at].is_none());
    let group = |first: usize| {
        let results = (0..path.len()).filter(|&at| callers[at] == Some(first));
        let positions: Vec<usize> = std::iter::once(first).chain(results).collect();
        let asked = if is_result(&path[first]) { 0 } else { asks(&path[first]).len() };
        let state = match (is_result(&path[first]), asked == positions.len() - 1) {
            (true, _) => State::Orphan,
            (false, false) => State::Open,
            (false, true) => State::Ready,
        };
        let messages: Vec<Value> = positions.iter().map(|&at| path[at].clone()).collect();
        Group {
            state,
            tokens: group_cost(&messages, count),
            is_user: role(&path[first]) == "user",
            is_reply: role(&path[first]) == "assistant",
            has_calls: asked > 0,
            positions,
        }
    };
    first.map(group).collect()
}

/// The newest group that can be sent and the one that the path ends in, and for those that are calls with their results
/// or an instruction, the user message before them.
fn pending(groups: &[Group]) -> Vec<usize> {
    let Some(newest) = groups.iter().rposition(|group| group.state == State::Ready) else { return vec![] };
    let last = groups.iter().flat_map(|group| &group.positions).max();
    let ends_in = groups.iter().position(|group| group.positions.last() == last).unwrap();
    let is_answer = |group: usize| group <= newest && groups[group].state == State::Ready;
    let mut pending: Vec<usize> = [newest].into_iter().chain(Some(ends_in).filter(|&group| is_answer(group))).collect();
    for group in pending.clone() {
        let speaks = groups[group].is_user || (groups[group].is_reply && !groups[group].has_calls);
        pending.extend(groups[..group].iter().rposition(|group| group.is_user).filter(|_| !speaks));
    }
    pending.sort_unstable();
    pending.dedup();
    pending
}

fn count_value(value: &Value, count: Counter) -> u64 {
    value.as_str().map_or(0, count)
}

fn group_cost(messages: &[Value], count: Counter) -> u64 {
    let calls: &[Value] = messages.first().and_then(|first| first["tool_calls"].as_array()).map_or(&[], Vec::as_slice);
    if calls.len() > 1 {
        return unit_cost(&messages[0], calls, &messages[1..], count);
    }
    let mut tokens = 0;
    for message in messages {
        tokens += message_cost(message, count);
        if role(message) == "tool" {
            let call = calls.iter().find(|call| call["id"] == message["tool_call_id"]);
            let name = call.map_or(&message["name"], |call| &body_of(call)["name"]);
            tokens += 2 + count_value(name, count);
        }
    }
    tokens
}

/// Parallel calls and their results, two texts of JSON.
fn unit_cost(message: &Value, calls: &[Value], results: &[Value], count: Counter) -> u64 {
    let uses: Vec<Option<String>> = calls
        .iter()
        .map(|call| {
            let arguments: Value = serde_json::from_str(&arguments_of(call)).ok()?;
            let name = ascii(&Value::from(format!("functions.{}", body_of(call)["name"].as_str()?)).to_string());
            Some(format!("{{\"recipient_name\":{name},\"parameters\":{}}}", ascii(&arguments.to_string())))
        })
        .collect();
    let uses: Option<Vec<String>> = uses.into_iter().collect();
    let uses = uses.unwrap_or_else(|| calls.iter().map(arguments_of).collect()).join(",");
    let results: Vec<String> = results
        .iter()
        .map(|result| {
            let text = text_of(result);
            ascii(&spaced(&serde_json::from_str(&text).unwrap_or(Value::from(text))))
        })
        .collect();
    let beside = message["content"].as_array().into_iter().flatten().map(other_part_cost).sum::<u64>();
    let texts = count(&format!("{{\"tool_uses\":[{uses}]}}")) + count(&format!("[{}]", results.join(", ")));
    20 + count(&text_of(message)) + beside + texts + name_cost(message, count) + count_value(&message["refusal"], count)
}

fn arguments_of(call: &Value) -> String {
    let key = if call["custom"].is_object() { "input" } else { "arguments" };
    body_of(call)[key].as_str().unwrap_or("").to_owned()
}

fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        text => text.as_str().unwrap_or("").to_owned(),
    }
}

fn ascii(json: &str) -> String {
    let escape = |unit: &u16| format!("\\u{unit:04x}");
    let escaped = |character: char| match character {
        ' '..='~' => character.to_string(),
        _ => character.encode_utf16(&mut [0; 2]).iter().map(escape).collect::<Vec<_>>().concat(),
    };
    json.chars().map(escaped).collect()
}

fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members =
                members.iter().map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), spaced(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

fn name_cost(message: &Value, count: Counter) -> u64 {
    match message["name"].as_str() {
        None | Some("") => 0,
        Some(name) if name == role(message) => 1,
        Some(name) => 1 + count(name),
    }
}

fn body_of(call: &Value) -> &Value {
    if call["custom"].is_object() { &call["custom"] } else { &call["function"] }
}

fn message_cost(message: &Value, count: Counter) -> u64 {
    let known = ["system", "developer", "user", "assistant", "tool", "function"].contains(&role(message));
    let mut tokens = 3 + if known { 1 } else { count(role(message)) };
    tokens = match role(message) {
        "tool" => tokens,
        "function" => tokens - 1 + count_value(&message["name"], count),
        _ => tokens + name_cost(message, count),
    };
    tokens += match &message["content"] {
        Value::Array(parts) => {
            let text: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            count(&text) + parts.iter().map(other_part_cost).sum::<u64>()
        }
        text => count_value(text, count),
    };
    tokens += count_value(&message["refusal"], count);
    tokens += if message["audio"].is_object() { 500 } else { 0 };
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let arguments = arguments_of(call);
        let arguments = serde_json::from_str(&arguments).map_or(arguments, |value: Value| value.to_string());
        let name = format!("functions.{}", body_of(call)["name"].as_str().unwrap_or(""));
        tokens += count(&name).saturating_sub(1) + count(&arguments) + 3;
    }
    if let Some(call) = message["function_call"].as_object() {
        tokens += 3 + count_value(&call["name"], count) + count_value(&call["arguments"], count);
    }
    tokens
}

fn other_part_cost(part: &Value) -> u64 {
    match part["type"].as_str() {
        Some("text") => 0,
        Some("image_url") => 1_105,
        _ => 500,
    }
}

/// What the definitions add to the first message of the head, or to one of their own.
fn tools_cost(head: &[Value], tools: &[Tool], count: Counter) -> u64 {
    if tools.is_empty() {
        return 0;
    }
    let definitions: String = tools.iter().map(definition).collect();
    let text = format!("# Tools\n\n## functions\n\nnamespace functions {{\n\n{definitions}}} // namespace functions");
    match head.first().map(text_of) {
        Some(first) => count(&format!("{first}\n\n{text}")).saturating_sub(count(&first) + 1),
        None => 4 + count(&text) - 1,
    }
}

/// A function with properties that are no objects.
fn definition(tool: &Tool) -> String {
    let tool: Value = serde_json::from_str(tool.json().as_str()).unwrap();
    let function = &tool["function"];
    let comment = |text: &Value| match text.as_str() {
        None | Some("") => String::new(),
        Some(text) => text.split('\n').map(|line| format!("// {line}\n")).collect::<Vec<_>>().concat(),
    };
    let parameters = &function["parameters"];
    let required: Vec<&str> =
        parameters["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let property = |(name, property): (&String, &Value)| {
        let choices: Vec<String> = property["enum"].as_array().into_iter().flatten().map(Value::to_string).collect();
        let kind = property["type"].as_str().unwrap().replace("integer", "number");
        let kind = if choices.is_empty() { kind } else { choices.join(" | ") };
        let optional = if required.contains(&&**name) { "" } else { "?" };
        (comment(&property["description"]), format!("{name}{optional}: {kind}"))
    };
    let properties: Vec<(String, String)> =
        parameters["properties"].as_object().unwrap().iter().map(property).collect();
    let properties = if properties.iter().all(|(above, _)| above.is_empty()) {
        let all: Vec<&str> = properties.iter().map(|(_, declaration)| &**declaration).collect();
        format!("{{ {} }}", all.join(", "))
    } else {
        let lines = properties.iter().map(|(above, declaration)| format!("{above}{declaration},\n"));
        format!("{{\n{}}}", lines.collect::<String>())
    };
    let name = function["name"].as_str().unwrap();
    format!("{}type {name} = (_: {properties}) => any;\n\n", comment(&function["description"]))
}

/// How many messages or turns a strategy under test keeps, restated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Everything,
    Tokens { on_user: bool },
    Messages { most: usize, on_user: bool },
    Turns { most: usize, on_user: bool },
    HeadTail { first: usize },
    Recall,
}

impl Kind {
    fn on_user(self) -> bool {
        match self {
            Self::Tokens { on_user } | Self::Messages { on_user, .. } | Self::Turns { on_user, .. } => on_user,
            Self::Everything | Self::HeadTail { .. } | Self::Recall => false,
        }
    }
}

/// What was broken: the invariant's number and how.
pub(crate) type Broken = Vec<(u8, String)>;

macro_rules! hold {
    ($broken:expr, $invariant:literal, $condition:expr, $($what:tt)+) => {
        if !$condition {
            $broken.push(($invariant, format!($($what)+)));
        }
    };
}

/// One case: what was asked.
pub(crate) struct Asked<'a> {
    pub(crate) input: &'a Input,
    pub(crate) conversation: &'a Conversation,
    pub(crate) kind: Kind,
    pub(crate) budget: ResolvedBudget,
    /// The record holds marks of earlier plans, so that the cut may be older than a fresh one.
    pub(crate) is_marked: bool,
}

impl Asked<'_> {
    pub(crate) fn is_feasible(&self) -> bool {
        self.input.fixed() <= self.budget.limit
    }

    pub(crate) fn judge(&self, answer: &Result<Plan, Error>) -> Broken {
        let mut broken = Broken::new();
        match answer {
            Ok(plan) => self.judge_plan(plan, &mut broken),
            Err(error) => self.judge_refusal(error, &mut broken),
        }
        broken
    }

    fn judge_refusal(&self, error: &Error, broken: &mut Broken) {
        let limit = self.budget.limit;
        if self.input.is_empty() {
            hold!(broken, 3, error.kind() == ErrorKind::InvalidMessage, "nothing to send, and {error}");
            return;
        }
        let Some(numbers) = error.over_budget() else {
            broken.push((3, format!("refused without numbers: {error}")));
            return;
        };
        hold!(broken, 3, numbers.tokens > numbers.room, "{} tokens fit into {}", numbers.tokens, numbers.room);
        let found = (error.kind(), numbers.group, numbers.tokens, numbers.room);
        let expected = if !self.is_feasible() {
            self.blamed(numbers, broken)
        } else if self.kind == Kind::Everything && self.input.whole() > limit {
            (ErrorKind::OverBudget, None, self.input.whole(), limit)
        } else {
            broken.push((3, format!("refused though {} fit into {limit}: {error}", self.input.fixed())));
            return;
        };
        hold!(broken, 3, found == expected, "refused with {found:?}, expected {expected:?}: {error}");
    }

    /// What a refusal must say: its part is the largest of those that are required, and has the room
    /// that the others leave.
    fn blamed(&self, numbers: &OverBudget, broken: &mut Broken) -> (ErrorKind, Option<usize>, u64, u64) {
        let input = self.input;
        let pins = input.sum(&input.pins);
        let pending = input.fixed() - input.before - pins;
        let parts = [
            (OverPart::Head, input.head_tokens),
            (OverPart::Tools, input.tools_tokens),
            (OverPart::Pins, pins),
            (OverPart::Pending, pending),
        ];
        let largest = parts.iter().map(|(_, tokens)| *tokens).max().unwrap_or(0);
        let tokens = parts.iter().find(|(part, _)| *part == numbers.part).map_or(0, |(_, tokens)| *tokens);
        hold!(broken, 3, tokens == largest, "{:?} is blamed, and is not the largest of {parts:?}", numbers.part);
        let required =
            numbers.required.map(|found| (found.head, found.tools, found.pins, found.pending, found.total()));
        let expected = Some((input.head_tokens, input.tools_tokens, pins, pending, input.fixed()));
        hold!(broken, 3, required == expected, "required are {required:?}, expected {expected:?}");
        let room = |tokens: u64| self.budget.limit.saturating_sub(input.fixed() - tokens);
        match numbers.part {
            OverPart::Pins => (ErrorKind::PinsOverBudget, None, pins, room(pins)),
            OverPart::Pending => {
                let group = numbers.group.filter(|group| input.pending.contains(group)).unwrap_or(usize::MAX);
                let tokens = input.groups.get(group).map_or(0, |group| group.tokens);
                (ErrorKind::OverBudget, Some(group), tokens, room(tokens))
            }
            _ => (ErrorKind::OverBudget, None, largest, room(largest)),
        }
    }

    fn judge_plan(&self, plan: &Plan, broken: &mut Broken) {
        let input = self.input;
        let whole = input.whole();
        hold!(broken, 3, self.is_feasible(), "sent though {} do not fit into {}", input.fixed(), self.budget.limit);
        hold!(broken, 3, !input.is_empty(), "sent though there is nothing to send");
        if self.kind == Kind::Everything {
            hold!(broken, 3, whole <= self.budget.limit, "everything is {whole}, the limit {}", self.budget.limit);
        }
        let before = broken.len();
        self.judge_decisions(plan, broken);
        if broken.len() > before {
            return;
        }
        let sent: Vec<bool> = self.judge_runs(plan, broken);
        if broken.len() > before {
            return;
        }
        let kept: Vec<usize> = (0..sent.len()).filter(|&group| sent[group]).collect();
        let total = input.before + input.sum(&kept);
        let said = plan.tokens();
        hold!(broken, 3, said.total() == total, "said {} tokens, sent {total}", said.total());
        let parts = (said.head, said.tools, said.history, said.overhead);
        let own = (input.head_tokens, input.tools_tokens, input.sum(&kept), PRIMING);
        hold!(broken, 3, parts == own, "said {parts:?}, sent {own:?}");
        hold!(broken, 3, total <= self.budget.limit, "{total} tokens, the limit is {}", self.budget.limit);
        for must in input.pins.iter().chain(&input.pending) {
            hold!(broken, 4, sent[*must], "group {must} must be sent");
        }
        self.judge_strategy(plan, &sent, total, broken);
    }

    /// What is sent is the head, then messages of the path, as the decisions say: in their order, but for results, which
    /// follow their calls.
    fn judge_decisions(&self, plan: &Plan, broken: &mut Broken) {
        let input = self.input;
        let head = input.head.len();
        let sent: Vec<String> = plan.messages().iter().map(|message| sorted(&json_of(message))).collect();
        hold!(broken, 4, sent.starts_with(&input.head), "the head is not first");
        let decisions: Vec<Decision<'_>> = plan.decisions().collect();
        hold!(broken, 2, decisions.len() == head + input.path.len(), "{} decisions", decisions.len());
        for (index, decision) in decisions.iter().enumerate() {
            let item = index.checked_sub(head).and_then(|position| self.conversation.path().item(position));
            hold!(broken, 2, decision.index == index, "decision {index} is about {}", decision.index);
            hold!(broken, 2, decision.item == item.map(turnwise::Item::id), "decision {index} has another item");
            let in_head = (decision.fate, decision.reason) == (Fate::Kept, &Reason::Head);
            hold!(broken, 4, in_head == (index < head), "decision {index} is {:?}", decision.reason);
        }
        let in_order = input.groups.iter().flat_map(|group| &group.positions);
        let is_kept = |position: &&usize| decisions.get(head + **position).is_some_and(|one| one.fate == Fate::Kept);
        let chosen = in_order.filter(is_kept).filter_map(|&position| input.path.get(position));
        let chosen: Vec<&String> = input.head.iter().chain(chosen).collect();
        // Calls of one message that share an id are sent with an id each.
        let is_same = |(chosen, sent): (&&String, &String)| {
            *chosen == sent || !plan.warnings().is_empty() && without_ids(chosen) == without_ids(sent)
        };
        let are_same = chosen.len() == sent.len() && chosen.iter().zip(&sent).all(is_same);
        hold!(broken, 2, are_same, "the decisions and the messages differ");
        let has_own_ids = |message: &Message| {
            let ids: Vec<_> = message.tool_calls().iter().map(turnwise::ToolCall::id).collect();
            (0..ids.len()).all(|at| ids[at].is_some() && !ids[..at].contains(&ids[at]))
        };
        hold!(broken, 2, plan.messages().iter().all(has_own_ids), "two calls of a message share an id, or have none");
        let all = head + input.path.len();
        hold!(broken, 2, plan.evicted() + sent.len() == all, "{} are said to be left out", plan.evicted());
        for group in &input.groups {
            let mut fates = group.positions.iter().filter_map(|position| decisions.get(head + position));
            let first = fates.next().map(|one| (one.fate, one.reason));
            hold!(broken, 2, fates.all(|one| Some((one.fate, one.reason)) == first), "a group is torn apart");
        }
        self.judge_moved(plan, broken);
        hold!(broken, 2, plan.head_len() == head, "a head of {}", plan.head_len());
        let legal = is_legal(&plan.messages()[head.min(sent.len())..]);
        hold!(broken, 2, legal, "the request is not legal");
    }

    /// The results reported as moved are those that come after other messages than their calls and
    /// results.
    fn judge_moved(&self, plan: &Plan, broken: &mut Broken) {
        let head = self.input.head.len();
        let sent = plan.runs().iter().filter(|run| run.fate == Fate::Kept).flat_map(|run| run.groups.clone());
        let mut expected = Vec::new();
        for group in sent.filter_map(|group| self.input.groups.get(group)) {
            let (calls, results) = group.positions.split_first().unwrap();
            let late = results.iter().zip(calls + 1..).filter(|(found, direct)| *found != direct);
            expected.extend(late.map(|(position, _)| (head + position, head + calls)));
        }
        let said: Vec<_> = plan.moved().map(|moved| (moved.message, moved.calls)).collect();
        hold!(broken, 2, said == expected, "said to be moved {said:?}, moved {expected:?}");
    }

    /// The runs partition the path, cost what their groups cost, and give the reason that the group's state asks for.
    fn judge_runs(&self, plan: &Plan, broken: &mut Broken) -> Vec<bool> {
        let groups = &self.input.groups;
        let mut sent = Vec::with_capacity(groups.len());
        let head = self.input.head.len();
        let (of_head, runs) = plan.runs().split_at(usize::from(head > 0));
        let is_head = of_head.iter().all(|run| run.reason == Reason::Head && run.indexes == (0..head));
        hold!(broken, 2, is_head, "the head's run is {of_head:?}");
        for run in runs {
            let expected = groups.get(run.groups.clone()).unwrap_or(&[]);
            hold!(broken, 2, run.groups.start == sent.len(), "a run starts with group {}", run.groups.start);
            hold!(broken, 2, !expected.is_empty(), "a run of groups {:?}", run.groups);
            if expected.is_empty() {
                return sent;
            }
            let mut positions: Vec<usize> = expected.iter().flat_map(|group| group.positions.clone()).collect();
            positions.sort_unstable();
            let own = run.indexes.clone().chain(run.apart.iter().copied());
            hold!(
                broken,
                2,
                own.eq(positions.iter().map(|at| head + at)),
                "a run of messages {:?} and {:?}",
                run.indexes,
                run.apart
            );
            let is_apart = run.apart.first().is_none_or(|apart| *apart > run.indexes.end);
            hold!(broken, 2, is_apart, "{:?} follow {:?} directly", run.apart, run.indexes);
            let tokens: u64 = expected.iter().map(|group| group.tokens).sum();
            hold!(broken, 2, run.tokens == tokens, "a run of {} tokens, not {tokens}", run.tokens);
            sent.extend(run.groups.clone().map(|_| run.fate == Fate::Kept));
        }
        hold!(broken, 2, sent.len() == groups.len(), "runs of {} groups, there are {}", sent.len(), groups.len());
        for pair in runs.windows(2) {
            let differ = pair[0].fate != pair[1].fate || pair[0].reason != pair[1].reason;
            let is_gap = pair[0].indexes.end < pair[1].indexes.start;
            hold!(broken, 2, differ || is_gap, "two runs side by side have the same reason");
        }
        for run in runs {
            for group in run.groups.clone().filter(|&group| group < groups.len()) {
                let expected = match groups[group].state {
                    State::Open => Some((Fate::Evicted, Reason::Unanswered)),
                    State::Orphan => Some((Fate::Evicted, Reason::Orphan)),
                    State::Ready if self.input.pending.contains(&group) => Some((Fate::Kept, Reason::Pending)),
                    State::Ready if self.input.pins.contains(&group) => Some((Fate::Kept, Reason::Pin)),
                    State::Ready => None,
                };
                let found = (run.fate, run.reason.clone());
                let free = [
                    (Fate::Kept, Reason::Fits),
                    (Fate::Kept, Reason::Recalled),
                    (Fate::Evicted, Reason::Budget),
                    (Fate::Evicted, Reason::Count),
                    (Fate::Evicted, Reason::Start),
                    (Fate::Evicted, Reason::Middle),
                    (Fate::Evicted, Reason::Unrelated),
                ];
                let is_right = expected.as_ref().map_or_else(|| free.contains(&found), |expected| *expected == found);
                let invariant = if matches!(expected, Some((Fate::Kept, _))) { 4 } else { 2 };
                if !is_right {
                    broken.push((invariant, format!("group {group} is {found:?}, expected {expected:?}")));
                }
            }
        }
        sent
    }

    /// What the strategies promise in their documentation.
    fn judge_strategy(&self, plan: &Plan, sent: &[bool], total: u64, broken: &mut Broken) {
        let input = self.input;
        let optional: Vec<usize> = (0..sent.len()).filter(|&group| input.is_optional(group)).collect();
        let left_out = |why: Reason| -> Vec<usize> {
            let runs = plan.runs().iter().filter(|run| run.reason == why);
            runs.flat_map(|run| run.groups.clone()).collect()
        };
        let kept: Vec<usize> = optional.iter().copied().filter(|&group| sent[group]).collect();
        let kind = self.kind;
        let allowed: &[Reason] = match kind {
            Kind::Everything => &[],
            Kind::Tokens { .. } => &[Reason::Budget, Reason::Start],
            Kind::Messages { .. } | Kind::Turns { .. } => &[Reason::Budget, Reason::Count, Reason::Start],
            Kind::HeadTail { .. } => &[Reason::Middle],
            Kind::Recall => &[Reason::Unrelated, Reason::Recalled],
        };
        for why in [Reason::Budget, Reason::Count, Reason::Start, Reason::Middle, Reason::Unrelated, Reason::Recalled] {
            let is_used = !left_out(why.clone()).is_empty();
            hold!(broken, 3, !is_used || allowed.contains(&why), "{kind:?} gives the reason {why:?}");
        }
        hold!(broken, 3, kind.on_user() || left_out(Reason::Start).is_empty(), "left out to start on a user");

        let cut = left_out(match kind {
            Kind::HeadTail { .. } => Reason::Middle,
            Kind::Recall => Reason::Unrelated,
            _ => Reason::Budget,
        });
        let aside = input.sum(&left_out(Reason::Start));
        let counted = input.sum(&left_out(Reason::Count));
        let within_count = input.whole() - counted;
        if let Some(newest) = cut.last() {
            hold!(broken, 3, within_count > self.budget.high, "trimmed at {within_count} <= {}", self.budget.high);
            let is_fresh = !self.is_marked || self.budget.low == self.budget.high;
            let most = if is_fresh && kind != Kind::Recall { self.budget.low } else { self.budget.high };
            hold!(broken, 3, total <= most.max(input.fixed()), "trimmed to {total}, not down to {most}");
            let with_next = total + aside + input.groups[*newest].tokens;
            hold!(broken, 3, !is_fresh || with_next > most, "group {newest} fits too: {with_next} <= {most}");
        } else {
            let most = if kind == Kind::Everything { self.budget.limit } else { self.budget.high };
            hold!(broken, 3, total + aside <= most.max(input.fixed()), "{total} tokens untrimmed, above {most}");
        }

        match kind {
            Kind::Everything => hold!(broken, 3, kept == optional, "not everything is sent"),
            Kind::HeadTail { first } => {
                let (start, end) = (cut.first().copied(), cut.last().copied());
                let is_hole = |group: &usize| Some(*group) >= start && Some(*group) <= end;
                hold!(broken, 3, optional.iter().filter(|group| is_hole(group)).eq(&cut), "the middle has holes");
                let beginning = kept.iter().filter(|&&group| start.is_some_and(|start| group < start));
                for group in beginning {
                    let messages: usize = input.groups[..=*group].iter().map(|group| group.positions.len()).sum();
                    hold!(broken, 3, messages <= first, "the beginning of {first} has {messages}");
                }
            }
            Kind::Recall => {
                let recalled = left_out(Reason::Recalled);
                let is_older = recalled.is_empty() || recalled.last() < cut.last();
                hold!(broken, 3, is_older, "group {:?} is said to be recalled, and in the tail", recalled.last());
            }
            _ => hold!(broken, 3, optional.ends_with(&kept), "what is sent is not the newest"),
        }
        self.judge_count(&optional, &kept, &left_out(Reason::Count), broken);
        if kind.on_user() {
            self.judge_start(&optional, &kept, &left_out(Reason::Start), broken);
        }
    }

    fn judge_count(&self, optional: &[usize], kept: &[usize], counted: &[usize], broken: &mut Broken) {
        let groups = &self.input.groups;
        let messages = |of: &[usize]| -> usize { of.iter().map(|&group| groups[group].positions.len()).sum::<usize>() };
        match self.kind {
            Kind::Messages { most, .. } => {
                hold!(broken, 3, messages(kept) <= most, "{} messages, at most {most}", messages(kept));
                if let Some(newest) = counted.last() {
                    let from = optional.partition_point(|group| group < newest);
                    let with_next = messages(&optional[from..]);
                    hold!(broken, 3, with_next > most, "group {newest} is within {most} messages: {with_next}");
                }
            }
            Kind::Turns { most, .. } => {
                // Turns count from 1; 0 is everything before the first user message.
                let turn = |group: usize| groups[..=group].iter().filter(|group| group.is_user).count();
                let asked = self.input.asked().map_or(0, turn);
                let is_within = |group: usize| match turn(group) {
                    0 => asked <= most,
                    turn => asked <= turn + most,
                };
                hold!(broken, 3, kept.iter().all(|group| is_within(*group)), "more than {most} turns");
                for group in counted {
                    hold!(broken, 3, !is_within(*group), "group {group} is within {most} turns");
                }
            }
            _ => {}
        }
    }

    fn judge_start(&self, optional: &[usize], kept: &[usize], started: &[usize], broken: &mut Broken) {
        let groups = &self.input.groups;
        for group in started {
            hold!(broken, 3, !groups[*group].is_user, "user message {group} is said to stand before the first one");
        }
        let (Some(first), Some(asked)) = (kept.first(), self.input.asked()) else { return };
        let index = optional.partition_point(|group| group < first);
        let after = index.checked_sub(1).map_or(0, |before| optional[before] + 1);
        let is_led = groups[after..=*first].iter().any(|group| group.is_user);
        hold!(broken, 3, is_led || after > asked, "group {first} is sent without a user message before it");
    }
}

/// Whether every call is answered once, directly after it, and there are no other results.
pub(crate) fn is_legal(messages: &[Message]) -> bool {
    let values: Vec<Value> = messages.iter().map(|message| serde_json::to_value(message).unwrap()).collect();
    let mut open: Vec<(bool, Option<&str>)> = Vec::new();
    for message in &values {
        if is_result(message) {
            let Some(call) = open.iter().position(|call| *call == answers(message)) else { return false };
            open.swap_remove(call);
        } else if open.is_empty() {
            open = asks(message);
        } else {
            return false;
        }
    }
    open.is_empty()
}

/// The pinned items of a conversation as positions on its path.
pub(crate) fn positions(conversation: &Conversation, ids: impl Iterator<Item = ItemId>) -> Vec<usize> {
    ids.filter_map(|id| conversation.path().position(id)).collect()
}
