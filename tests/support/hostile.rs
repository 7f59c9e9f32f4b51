//! Answers of servers that mean harm, or are broken: what a body can be made of so that reading it would take more than
//! its size is worth. Each shape comes in any size.
#![allow(dead_code, reason = "no user of it needs all")]

/// A body by its name, and how it is written for `count` of what it has many of.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    write: fn(usize) -> String,
    /// What comes of it.
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A reply whose text ends with `hi`.
    Reply,
    /// An error.
    Error,
}

impl Shape {
    /// The body with `count` of what it has many of.
    pub(crate) fn with(&self, count: usize) -> Vec<u8> {
        (self.write)(count).into_bytes()
    }

    /// The body with some `bytes` bytes.
    pub(crate) fn sized(&self, bytes: usize) -> Vec<u8> {
        let (few, more) = (self.with(100).len(), self.with(200).len());
        self.with((bytes * 100 / (more - few)).max(1))
    }
}

const END: &str = concat!(
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n"
);

fn chunk(members: &str) -> String {
    format!("data: {{{members}}}\n\n")
}

fn choice(members: &str) -> String {
    chunk(&format!(r#""choices":[{{"index":0,{members}}}]"#))
}

fn delta(members: &str) -> String {
    choice(&format!(r#""delta":{{{members}}}"#))
}

fn calls(list: &str) -> String {
    delta(&format!(r#""tool_calls":[{list}]"#))
}

fn call(number: usize) -> String {
    format!(r#"{{"index":{number},"id":"c{number}","function":{{"name":"f","arguments":"{{}}"}}}}"#)
}

fn ended(events: &str) -> String {
    events.to_owned() + END
}

fn objects(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

fn lists(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn thoughts(depth: usize) -> String {
    format!("{}\"x\"{}", r#"[{"type":"thinking","thinking":"#.repeat(depth), "}]".repeat(depth))
}

/// A list's items, or an object's members, with commas between.
fn many(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

fn members(count: usize) -> String {
    many(count, |number| format!(r#""k{number}":1"#))
}

fn repeated(count: usize, event: impl Fn(usize) -> String) -> String {
    (0..count).map(event).collect()
}

const fn reply(name: &'static str, write: fn(usize) -> String) -> Shape {
    Shape { name, write, outcome: Outcome::Reply }
}

const fn error(name: &'static str, write: fn(usize) -> String) -> Shape {
    Shape { name, write, outcome: Outcome::Error }
}

/// Streams of lines and events.
const LINES: &[Shape] = &[
    reply("blank lines before the first event", |n| ended(&"\n".repeat(n))),
    reply("returns before the first event", |n| ended(&"\r".repeat(n))),
    reply("returns and newlines before the first event", |n| ended(&"\r\n".repeat(n))),
    reply("one line of spaces", |n| ended(&(" ".repeat(n) + "\n"))),
    reply("comments", |n| ended(&(delta(r#""content":"a""#) + &": c\n".repeat(n) + "\n"))),
    reply("comments with blank lines", |n| ended(&":\n\n".repeat(n))),
    reply("one long comment", |n| ended(&(":".repeat(n) + "\n\n"))),
    reply("ids and names of events", |n| ended(&"id: 1\nevent: chunk\n\n".repeat(n))),
    reply("events without data", |n| ended(&"data:\n\n".repeat(n))),
    reply("an event of many lines", |n| ended(&format!("data: {{\"choices\":\n{}data: []}}\n\n", "data:\n".repeat(n)))),
    reply("tiny chunks", |n| ended(&"data: {}\n\n".repeat(n))),
    reply("tiny chunks after the finish", |n| {
        ended("").replace("data: [DONE]", &("data: {}\n\n".repeat(n) + "data: [DONE]"))
    }),
    reply("tokens", |n| ended(&repeated(n, |_| delta(r#""content":"a""#)))),
    reply("one long line", |n| ended(&delta(&format!(r#""content":"{}""#, "a ".repeat(n))))),
    reply("one long line of escapes", |n| ended(&delta(&format!(r#""content":"{}""#, r"\u00e9".repeat(n))))),
];

/// Streams with values in values.
const NESTED: &[Shape] = &[
    reply("nested in a chunk", |n| ended(&chunk(&format!(r#""x":{}"#, objects(n))))),
    reply("nested in a choice", |n| ended(&choice(&format!(r#""x":{}"#, objects(n))))),
    reply("nested in a delta", |n| ended(&delta(&format!(r#""x":{}"#, objects(n))))),
    reply("nested in a delta, twice", |n| ended(&delta(&format!(r#""x":{}"#, objects(n))).repeat(2))),
    reply("nested lists in a delta, twice", |n| ended(&delta(&format!(r#""x":{}"#, lists(n))).repeat(2))),
    reply("nested beside an escape", |n| ended(&delta(&format!(r#""content":"\u00e9","x":{}"#, objects(n))))),
    reply("nested in a call, twice", |n| {
        let call = format!(r#"{{"index":0,"id":"c","x":{},"function":{{"name":"f","arguments":"{{}}"}}}}"#, objects(n));
        ended(&(calls(&call) + &calls(&format!(r#"{{"index":0,"x":{}}}"#, objects(n)))))
    }),
    reply("nested in a function, twice", |n| {
        let more = format!(r#"{{"index":0,"function":{{"x":{}}}}}"#, objects(n));
        ended(&(calls(&call(0)) + &calls(&more).repeat(2)))
    }),
    reply("nested as arguments", |n| {
        ended(&calls(&format!(r#"{{"index":0,"id":"c","function":{{"name":"f","arguments":{}}}}}"#, objects(n))))
    }),
    reply("nested in the old function call, twice", |n| {
        ended(&delta(&format!(r#""function_call":{{"name":"f","arguments":"","x":{}}}"#, objects(n))).repeat(2))
    }),
    reply("nested in log probabilities, twice", |n| {
        ended(&choice(&format!(r#""logprobs":{{"content":[],"x":{}}}"#, objects(n))).repeat(2))
    }),
    reply("nested in the bill", |n| {
        ended(&chunk(&format!(r#""choices":[],"usage":{{"prompt_tokens":1,"x":{}}}"#, objects(n))))
    }),
    reply("nested as the bill", |n| ended(&chunk(&format!(r#""choices":[],"usage":{}"#, objects(n))))),
    reply("nested as the finish", |n| ended("").replace(r#""stop""#, &objects(n))),
    reply("nested in a part", |n| ended(&delta(&format!(r#""content":[{{"type":"x","x":{}}}]"#, objects(n))))),
    reply("nested in a part of text, twice", |n| {
        ended(&delta(&format!(r#""content":[{{"type":"text","text":"a","x":{}}}]"#, objects(n))).repeat(2))
    }),
    reply("nested lists as parts", |n| ended(&delta(&format!(r#""content":{}"#, lists(n))))),
    reply("nested thoughts", |n| ended(&delta(&format!(r#""content":{}"#, thoughts(n))))),
    reply("nested thoughts, twice", |n| ended(&delta(&format!(r#""content":{}"#, thoughts(n))).repeat(2))),
    error("nested in an error", |n| chunk(&format!(r#""error":{{"message":"x","x":{}}}"#, objects(n)))),
    error("nested as an error", |n| chunk(&format!(r#""error":{}"#, objects(n)))),
    error("nested and torn", |n| format!("data: {}\n\n", r#"{"a":"#.repeat(n))),
];

/// Streams with many of something.
const MANY: &[Shape] = &[
    reply("members of a chunk", |n| ended(&chunk(&members(n)))),
    reply("members of a choice", |n| ended(&choice(&members(n)))),
    reply("members of a delta", |n| ended(&delta(&members(n)))),
    reply("members of a delta, each in a chunk", |n| ended(&repeated(n, |number| delta(&format!(r#""k{number}":1"#))))),
    reply("members of a member of a delta, twice", |n| ended(&delta(&format!(r#""x":{{{}}}"#, members(n))).repeat(2))),
    reply("the same member", |n| ended(&delta(&many(n, |_| r#""x":"a""#.to_owned())))),
    reply("the same member, an object", |n| ended(&delta(&many(n, |_| r#""x":{"a":{"b":1}}"#.to_owned())))),
    reply("members of a call", |n| {
        ended(&calls(&format!(r#"{{"index":0,{},"function":{{"name":"f"}}}}"#, members(n))))
    }),
    reply("members of a function", |n| {
        ended(&calls(&format!(r#"{{"index":0,"function":{{"name":"f",{}}}}}"#, members(n))))
    }),
    reply("members of the bill", |n| {
        ended(&chunk(&format!(r#""choices":[],"usage":{{"prompt_tokens":1,{}}}"#, members(n))))
    }),
    reply("bills", |n| ended(&repeated(n, |number| chunk(&format!(r#""usage":{{"prompt_tokens":{number}}}"#))))),
    reply("calls in a delta", |n| ended(&calls(&many(n, call)))),
    reply("calls, each in a chunk", |n| ended(&repeated(n, |number| calls(&call(number))))),
    reply("calls without an index", |n| {
        ended(&calls(&many(n, |number| call(number).replacen(r#""index":"#, r#""x":"#, 1))))
    }),
    reply("calls with the same index", |n| {
        ended(&calls(&many(n, |number| call(number).replacen(&format!(r#""index":{number}"#), r#""index":0"#, 1))))
    }),
    reply("fragments of a call", |n| {
        ended(&(calls(&call(0)) + &calls(r#"{"index":0,"function":{"arguments":" "}}"#).repeat(n)))
    }),
    reply("fragments of all calls in turn", |n| {
        let more = |number| calls(&format!(r#"{{"index":{number},"function":{{"arguments":" "}}}}"#));
        ended(&(calls(&many(n, call)) + &repeated(n, more)))
    }),
    reply("choices", |n| {
        ended(&chunk(&format!(r#""choices":[{}]"#, many(n, |_| r#"{"delta":{"content":"a"}}"#.to_owned()))))
    }),
    reply("other choices", |n| ended(&chunk(&format!(r#""choices":[{}]"#, many(n, |_| r#"{"index":1}"#.to_owned()))))),
    reply("parts of text", |n| {
        ended(&delta(&format!(r#""content":[{}]"#, many(n, |_| r#"{"type":"text","text":"a"}"#.to_owned()))))
    }),
    reply("parts of two kinds", |n| {
        let two = r#"{"type":"text","text":"a"},{"type":"thinking","thinking":"a"}"#;
        ended(&delta(&format!(r#""content":[{}]"#, many(n, |_| two.to_owned()))))
    }),
    reply("parts, each in a chunk", |n| ended(&delta(r#""content":[{"type":"x"}]"#).repeat(n))),
    reply("thoughts, each in a chunk", |n| {
        ended(&delta(r#""content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]}]"#).repeat(n))
    }),
    reply("log probabilities", |n| {
        ended(&choice(r#""logprobs":{"content":[{"token":"a","logprob":-1.5}]}"#).repeat(n))
    }),
    reply("items of a list", |n| ended(&delta(&format!(r#""x":[{}]"#, many(n, |_| "1".to_owned()))))),
    error("members of an error", |n| chunk(&format!(r#""error":{{"message":"x",{}}}"#, members(n)))),
    error("a long error", |n| chunk(&format!(r#""error":{{"message":"{}"}}"#, "no ".repeat(n)))),
];

fn completion(message: &str, beside: &str) -> String {
    format!(r#"{{"choices":[{{"message":{{"role":"assistant",{message}}},"finish_reason":"stop"}}]{beside}}}"#)
}

/// Answers in one.
const WHOLE: &[Shape] = &[
    reply("blank lines before an answer", |n| "\n".repeat(n) + &completion(r#""content":"hi""#, "")),
    reply("an answer with nested members", |n| {
        completion(
            &format!(r#""content":"hi","x":{}"#, objects(n)),
            &format!(r#","x":{},"usage":{}"#, lists(n), lists(n)),
        )
    }),
    reply("an answer with a nested part", |n| {
        completion(&format!(r#""content":[{{"type":"x","x":{}}},{{"type":"text","text":"hi"}}]"#, objects(n)), "")
    }),
    reply("an answer with nested thoughts", |n| {
        let part = format!(r#"{{"type":"thinking","thinking":{}}}"#, thoughts(n));
        completion(&format!(r#""content":[{part},{{"type":"text","text":"hi"}}]"#), "")
    }),
    reply("an answer with a nested call", |n| {
        let call = format!(r#"{{"id":"c","x":{},"function":{{"name":"f","arguments":{}}}}}"#, objects(n), objects(n));
        completion(&format!(r#""content":"hi","tool_calls":[{call}]"#), "")
    }),
    reply("an answer with many members", |n| completion(&format!(r#""content":"hi",{}"#, members(n)), "")),
    reply("an answer with many calls", |n| {
        completion(&format!(r#""content":"hi","tool_calls":[{}]"#, many(n, call)), "")
    }),
    reply("an answer with a long text", |n| completion(&format!(r#""content":"{}hi""#, "a ".repeat(n)), "")),
    error("a nested error in one", |n| format!(r#"{{"error":{}}}"#, objects(n))),
    error("a long error in one", |n| format!(r#"{{"error":{{"message":"{}"}}}}"#, "no ".repeat(n))),
    error("members of an error in one", |n| format!(r#"{{"error":{{"message":"x",{}}}}}"#, members(n))),
    error("no JSON", |n| format!("<html>{}", "<b>".repeat(n))),
    error("a nested text that is torn", |n| r#"{"choices":["#.repeat(n)),
];

/// All answers that are streams.
pub(crate) fn streams() -> impl Iterator<Item = &'static Shape> {
    [LINES, NESTED, MANY].into_iter().flatten()
}

/// All answers in one.
pub(crate) fn answers() -> impl Iterator<Item = &'static Shape> {
    WHOLE.iter()
}
