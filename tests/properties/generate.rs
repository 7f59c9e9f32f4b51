//! Random conversations, budgets and JSON, all from one seed.

use std::ops::RangeInclusive;

use fastrand::Rng;
use turnwise::message::{FunctionCall, Part, RawJson};
use turnwise::{Conversation, ItemId, Message, Tool, ToolCall};

/// A conversation as messages, and the positions on its path that are pinned.
pub(crate) struct Talk {
    pub(crate) messages: Vec<Message>,
    pub(crate) pins: Vec<usize>,
}

/// The random numbers of one case: any case can be made without those before it.
pub(crate) fn rng_of(seed: u64, case: u64) -> Rng {
    Rng::with_seed(seed.wrapping_add(case.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

/// True in `percent` of a hundred.
pub(crate) fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(0..100) < percent
}

pub(crate) fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}

const WORDS: [&str; 14] = [
    "the",
    "weather",
    "in",
    "Ústí",
    "is",
    "fine",
    "日本",
    "🙂",
    "refund",
    "order",
    "42",
    "line\nbreak",
    "\"quoted\"",
    "<|endoftext|>",
];

fn words(rng: &mut Rng, count: RangeInclusive<usize>) -> String {
    let words: Vec<&str> = (0..rng.usize(count)).map(|_| pick(rng, &WORDS)).collect();
    words.join(" ")
}

pub(crate) fn text(rng: &mut Rng) -> String {
    match rng.u8(0..100) {
        0..=4 => String::new(),
        5..=94 => words(rng, 1..=12),
        _ => words(rng, 20..=80),
    }
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "traits that have nothing to do with each other")]
struct Writer {
    messages: Vec<Message>,
    /// Percent of exchanges with calls, and of those with several at once.
    tools: u8,
    parallel: u8,
    /// Call ids come from a few, instead of being new each time.
    reuses_ids: bool,
    legacy: bool,
    /// Percent of groups that are damaged.
    broken: u8,
    /// Percentage of exchanges with a message before the results.
    interrupted: u8,
    /// Percent of messages that follow one of their own role.
    doubled: u8,
    instructs: bool,
    is_exotic: bool,
    next_id: usize,
}

pub(crate) fn talk(rng: &mut Rng) -> Talk {
    let has_tools = chance(rng, 60);
    let mut writer = Writer {
        tools: if has_tools { rng.u8(20..80) } else { 0 },
        parallel: if chance(rng, 60) { rng.u8(20..70) } else { 0 },
        reuses_ids: chance(rng, 50),
        legacy: chance(rng, 20),
        broken: if chance(rng, 40) { rng.u8(5..40) } else { 0 },
        interrupted: if chance(rng, 30) { rng.u8(10..80) } else { 0 },
        doubled: if chance(rng, 40) { rng.u8(10..50) } else { 0 },
        instructs: chance(rng, 20),
        is_exotic: chance(rng, 15),
        ..Writer::default()
    };
    writer.head(rng);
    let most = match rng.u8(0..10) {
        0 => rng.usize(0..3),
        1..=7 => rng.usize(2..20),
        _ => rng.usize(20..52),
    };
    while writer.messages.len() < most {
        writer.turn(rng);
    }
    if most > 0 {
        writer.ending(rng);
    }
    if chance(rng, 10) && most > 0 {
        let at = rng.usize(0..writer.messages.len());
        writer.messages[at] = writer.messages[at].clone().with_content(words(rng, 400..=1500));
    }
    let len = writer.messages.iter().skip_while(|message| message.role().is_instruction()).count();
    let pins = if chance(rng, 40) { (0..rng.usize(1..4)).map(|_| rng.usize(0..len.max(1))).collect() } else { vec![] };
    Talk { messages: writer.messages, pins: pins.into_iter().filter(|&pin| pin < len).collect() }
}

impl Writer {
    fn head(&mut self, rng: &mut Rng) {
        match rng.u8(0..10) {
            0..=2 => {}
            3..=7 => self.messages.push(Message::system(text(rng))),
            _ => {
                for _ in 0..rng.usize(2..4) {
                    let role = pick(rng, &["system", "developer"]);
                    self.messages.push(Message::new(role, text(rng)));
                }
            }
        }
    }

    fn turn(&mut self, rng: &mut Rng) {
        self.user(rng);
        if self.instructs && chance(rng, 25) {
            self.messages.push(Message::new(pick(rng, &["system", "developer"]), text(rng)));
        }
        for _ in 0..3 {
            if !chance(rng, self.tools) {
                break;
            }
            self.exchange(rng);
        }
        self.assistant(rng);
        if self.is_exotic && chance(rng, 20) {
            self.messages.push(Message::new("critic", text(rng)));
        }
    }

    fn user(&mut self, rng: &mut Rng) {
        loop {
            let message = Message::user(text(rng));
            let message = match rng.u8(0..40) {
                0 if self.is_exotic => message.image_url("https://example.com/x.png").and_text(" and "),
                1 if self.is_exotic => message.and_part(Part::new("file", RawJson::new(r#"{"file_id":"f"}"#).unwrap())),
                2..=5 if self.is_exotic => message.with_name("Ann"),
                6 => message.with_field("vendor", RawJson::new(&json(rng, 2).replace("1e999", "9")).unwrap()).unwrap(),
                _ => message,
            };
            self.messages.push(message);
            if !chance(rng, self.doubled) {
                return;
            }
        }
    }

    fn assistant(&mut self, rng: &mut Rng) {
        loop {
            let message = match rng.u8(0..20) {
                0 => Message::from_json(r#"{"role":"assistant","content":null}"#).unwrap(),
                1 => Message::from_json(r#"{"role":"assistant","refusal":"I will not.","tool_calls":[]}"#).unwrap(),
                2 if self.is_exotic => Message::from_json(r#"{"role":"assistant","audio":{"id":"a"}}"#).unwrap(),
                _ => Message::assistant(text(rng)),
            };
            self.messages.push(message);
            if !chance(rng, self.doubled) {
                return;
            }
        }
    }

    fn id(&mut self, rng: &mut Rng) -> String {
        if self.reuses_ids {
            return format!("call_{}", rng.u8(0..3));
        }
        self.next_id += 1;
        format!("call_{}", self.next_id)
    }

    fn exchange(&mut self, rng: &mut Rng) {
        if self.legacy && chance(rng, 30) {
            return self.function(rng);
        }
        let mut results = self.calls(rng);
        if chance(rng, 30) {
            rng.shuffle(&mut results);
        }
        if chance(rng, self.broken) {
            match rng.u8(0..5) {
                0 => drop(results.pop()),
                1 => drop(results.remove(0)),
                2 => results.push(Message::tool(&self.id(rng), text(rng))),
                3 => results.insert(0, Message::user(text(rng))),
                _ => self.messages.push(Message::tool("nobody", text(rng))),
            }
        }
        self.results(results, rng);
    }

    /// Adds results, with messages in between: mostly a user's, rarely a reply, after which no
    /// result counts.
    fn results(&mut self, mut results: Vec<Message>, rng: &mut Rng) {
        if chance(rng, self.interrupted) {
            for _ in 0..rng.usize(1..4) {
                let message = match rng.u8(0..20) {
                    0..=12 => Message::user(text(rng)),
                    13..=16 => Message::new(pick(rng, &["system", "developer"]), text(rng)),
                    17 => Message::tool("nobody", text(rng)),
                    18 => Message::new("critic", text(rng)),
                    _ => Message::assistant(text(rng)),
                };
                results.insert(rng.usize(0..=results.len()), message);
            }
        }
        self.messages.extend(results);
    }

    /// Adds calls, and gives their results.
    fn calls(&mut self, rng: &mut Rng) -> Vec<Message> {
        let count = if chance(rng, self.parallel) { rng.usize(2..5) } else { 1 };
        let calls: Vec<(String, String)> = (0..count).map(|n| (self.id(rng), format!("tool_{n}"))).collect();
        let call = |(id, name): &(String, String), rng: &mut Rng| match rng.u8(0..10) {
            0 => ToolCall::custom(id, name, &words(rng, 0..=4)),
            _ => ToolCall::function(id, name, &format!("{{\"q\": \"{}\"}}", rng.u32(..))),
        };
        let message = Message::calls(calls.iter().map(|one| call(one, rng)).collect::<Vec<_>>());
        self.messages.push(if chance(rng, 30) { message.with_content(text(rng)) } else { message });
        calls.iter().map(|(id, _)| Message::tool(id, text(rng))).collect()
    }

    fn function(&mut self, rng: &mut Rng) {
        let call = FunctionCall::new("lookup", "{}");
        let call = RawJson::new(&serde_json::to_string(&call).unwrap()).unwrap();
        let message = Message::assistant("").with_field("function_call", call).unwrap();
        self.messages.push(message);
        if !chance(rng, self.broken) {
            self.results(vec![Message::new("function", text(rng)).with_name("lookup")], rng);
        }
    }

    fn ending(&mut self, rng: &mut Rng) {
        match rng.u8(0..10) {
            0..=2 => self.user(rng),
            3 | 4 if self.tools > 0 => {
                let results = self.calls(rng);
                self.results(results, rng);
            }
            5 | 6 if self.tools > 0 => {
                let mut results = self.calls(rng);
                results.pop();
                self.results(results, rng);
            }
            7 if self.broken > 0 => self.messages.push(Message::tool("nobody", text(rng))),
            8 if self.instructs => self.messages.push(Message::system(text(rng))),
            _ => {}
        }
    }
}

impl Talk {
    pub(crate) fn conversation(&self) -> Conversation {
        let mut conversation = Conversation::from_messages(self.messages.iter().cloned());
        for &pin in &self.pins {
            conversation.pin(ItemId::from_index(pin)).unwrap();
        }
        conversation
    }
}

pub(crate) fn tools(rng: &mut Rng) -> Vec<Tool> {
    let tool = |rng: &mut Rng| {
        let definition = serde_json::json!({"type": "function", "function": {
            "name": "lookup",
            "description": format!("Looks up {}.", words(rng, 1..=5)),
            "parameters": {"type": "object", "properties": {
                "city": {"type": "string", "description": "Where."},
                "unit": {"type": "string", "enum": ["C", "F"]},
            }},
        }});
        Tool::from(definition)
    };
    (0..rng.usize(1..3)).map(|_| tool(rng)).collect()
}

/// From `least` to `most`, every doubling as likely as any other.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn log_uniform(rng: &mut Rng, least: u64, most: u64) -> u64 {
    let (low, high) = ((least as f64).ln(), (most.max(least) as f64).ln());
    ((low + (high - low) * rng.f64()).exp().round() as u64).clamp(least, most.max(least))
}

/// One JSON value as compact text, with digits and escapes that a parser would not write.
pub(crate) fn json(rng: &mut Rng, depth: u8) -> String {
    const LEAVES: [&str; 22] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.50",
        "-0.0",
        "1e5",
        "1E+05",
        "2.5e-300",
        "1e999",
        "123456789012345678901234567890.10",
        "18446744073709551616",
        r#""""#,
        r#""plain text""#,
        r#""a\/b""#,
        r#""\u00e9 é \ud83d\ude42""#,
        r#""tab\tand \"quotes\" and \\ ""#,
        r#""{ \"as\": \"text\" }""#,
        "[]",
        "{}",
        r#"{"b":1,"a":2,"b":3}"#,
    ];
    match rng.u8(0..10) {
        0 | 1 if depth > 0 => {
            let values: Vec<String> = (0..rng.usize(0..4)).map(|_| json(rng, depth - 1)).collect();
            format!("[{}]", values.join(","))
        }
        2..=4 if depth > 0 => {
            let values = (0..rng.usize(0..4))
                .map(|at| format!("\"{}{at}\":{}", pick(rng, &WORDS_OF_KEYS), json(rng, depth - 1)));
            format!("{{{}}}", values.collect::<Vec<_>>().join(","))
        }
        _ => pick(rng, &LEAVES).to_owned(),
    }
}

const WORDS_OF_KEYS: [&str; 6] = ["z", "a", "vendor_", "with space ", "größe", "$"];

/// A message as compact JSON text: known members in any order and shape, unknown ones anywhere.
pub(crate) fn message_json(rng: &mut Rng) -> String {
    let string = |rng: &mut Rng| serde_json::to_string(&text(rng)).unwrap();
    let mut members = Vec::new();
    let role = pick(rng, &["system", "developer", "user", "assistant", "tool", "function", "observer", "Größe"]);
    members.push(("role".to_owned(), format!("\"{role}\"")));
    if chance(rng, 80) {
        let content = match rng.u8(0..4) {
            0 => "null".to_owned(),
            1 => {
                let parts: Vec<String> = (0..rng.usize(0..4)).map(|_| part_json(rng)).collect();
                format!("[{}]", parts.join(","))
            }
            _ => string(rng),
        };
        members.push(("content".to_owned(), content));
    }
    for key in ["name", "tool_call_id", "refusal"] {
        if chance(rng, 20) {
            let value = if chance(rng, 30) { "null".to_owned() } else { string(rng) };
            members.push((key.to_owned(), value));
        }
    }
    if chance(rng, 20) {
        let calls: Vec<String> = (0..rng.usize(0..3)).map(|_| call_json(rng)).collect();
        members.push(("tool_calls".to_owned(), format!("[{}]", calls.join(","))));
    }
    if chance(rng, 10) {
        members.push(("function_call".to_owned(), function_json(rng, "arguments")));
    }
    if chance(rng, 10) {
        members.push(("audio".to_owned(), json(rng, 2)));
    }
    object(rng, members)
}

fn part_json(rng: &mut Rng) -> String {
    let string = |rng: &mut Rng| serde_json::to_string(&text(rng)).unwrap();
    let members = match rng.u8(0..5) {
        0 | 1 => vec![("type", "\"text\"".to_owned()), ("text", string(rng))],
        2 => vec![("type", "\"image_url\"".to_owned()), ("image_url", json(rng, 2))],
        3 => vec![("type", "\"refusal\"".to_owned()), ("refusal", string(rng))],
        _ => vec![("type", "\"hologram\"".to_owned()), ("hologram", json(rng, 2)), ("text", written(&json(rng, 1)))],
    };
    object(rng, members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn call_json(rng: &mut Rng) -> String {
    let id = if chance(rng, 80) { "\"call_1\"" } else { "null" };
    let (kind, body) = match rng.u8(0..4) {
        0 => ("custom", function_json(rng, "input")),
        _ => ("function", function_json(rng, "arguments")),
    };
    let members = vec![("id", id.to_owned()), ("type", format!("\"{kind}\"")), (kind, body)];
    object(rng, members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn function_json(rng: &mut Rng, key: &str) -> String {
    let arguments = match rng.u8(0..3) {
        0 => written(&json(rng, 2)),
        _ => serde_json::to_string(&json(rng, 2)).unwrap(),
    };
    object(rng, vec![("name".to_owned(), "\"lookup\"".to_owned()), (key.to_owned(), arguments)])
}

/// A text where a text is expected is read and written again: with the escapes that a writer needs.
fn written(json: &str) -> String {
    match serde_json::from_str::<String>(json) {
        Ok(text) => serde_json::to_string(&text).unwrap(),
        Err(_) => json.to_owned(),
    }
}

fn object(rng: &mut Rng, mut members: Vec<(String, String)>) -> String {
    for at in 0..rng.usize(0..3) {
        members.push((format!("{}_{at}", pick(rng, &WORDS_OF_KEYS)), json(rng, 3)));
    }
    rng.shuffle(&mut members);
    let members = members.iter().map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// The same JSON with white space between its tokens.
pub(crate) fn spaced(rng: &mut Rng, json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for letter in json.chars() {
        let is_token = !in_string && matches!(letter, '{' | '}' | '[' | ']' | ':' | ',');
        if is_token {
            out.push_str(pick(rng, &["", " ", "\n\t", "\r\n"]));
        }
        out.push(letter);
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if is_token => out.push_str(pick(rng, &["", "  ", "\n"])),
            _ => {}
        }
    }
    out
}
