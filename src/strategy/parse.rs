//! Strategies by their names on the command line.

use serde::Serialize;

use super::{ClearTools, DropReasoning, Everything, HeadTail, Ladder, Recall, SlidingWindow, Summarize};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Strategy;
use crate::tokens::nearest;

/// A strategy that the command line knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// Its options.
    pub takes: &'static str,
    /// What it sends.
    pub about: &'static str,
    /// What it costs beside the request.
    pub price: &'static str,
}

const FREE: &str = "free";
const TOOLS: &str = "keep=N, named=TOOL+TOOL, least=TOKENS";

/// All strategies that [`parse`] knows, with their options.
pub const STRATEGIES: &[Listed] = &[
    listed("everything", "no options", "all of it, or nothing when that is too long", FREE),
    listed("window", "messages=N or turns=N, start=user", "the newest messages that fit", FREE),
    listed("head-tail", "first=N", "the first messages, and the newest that fit beside them", FREE),
    listed(
        "recall",
        "tail=PERCENT, excerpts=PERCENT or no, stem=none",
        "the newest messages, and older ones that share words with the question",
        FREE,
    ),
    listed("tools", TOOLS, "how long old tool results were in their place, then as window", FREE),
    listed("clear-tools", TOOLS, "a step of a ladder: old tool results cleared, nothing left out", FREE),
    listed("drop-reasoning", "no options", "a step of a ladder: earlier thoughts dropped, nothing left out", FREE),
    listed(
        "summarize",
        "tokens=N, chunk=N, role=NAME",
        "a summary of what is old, and the newest messages",
        "1 call now and then",
    ),
    listed(
        "ladder",
        "steps with `/` between them",
        "clear-tools, drop-reasoning, summarize, or steps of yours, as far as needed",
        "that of its steps",
    ),
];

const fn listed(name: &'static str, takes: &'static str, about: &'static str, price: &'static str) -> Listed {
    Listed { name, takes, about, price }
}

/// Reads a strategy as it is written on the command line: `name` or `name:key=value,key=value`.
///
/// | name | options |
/// | --- | --- |
/// | `everything` | |
/// | `window` | `messages=N` or `turns=N`, `start=user` |
/// | `head-tail` | `first=N` (messages, default 2) |
/// | `recall` | `tail=PERCENT` (default 26), `excerpts=PERCENT` (default 10) or `excerpts=no`, `stem=none` |
/// | `tools` | `keep=N` (groups of calls, default 3), `named=a+b` (tools), `least=N` (tokens): then `window` |
/// | `clear-tools`, `drop-reasoning` | steps of a ladder; the first as `tools` |
/// | `summarize` | `tokens=N` (of the summary, default 400), `chunk=N` (tokens a call, default 4,000), `role=user` |
/// | `ladder` | `ladder:clear-tools/drop-reasoning/window`, steps with their options; alone the default one |
///
/// # Errors
/// [`ErrorKind::InvalidStrategy`] with the nearest name, or with what the option takes.
///
/// # Examples
/// ```
/// let strategy = turnwise::strategy::parse("window:turns=5,start=user")?;
/// assert_eq!(strategy.spec(), "window:turns=5,start=user");
/// assert!(turnwise::strategy::parse("windw").unwrap_err().to_string().contains("did you mean `window`?"));
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn parse(spec: &str) -> Result<Box<dyn Strategy>> {
    let (name, options) = spec.split_once(':').unwrap_or((spec, ""));
    if name == "ladder" {
        return Ok(Box::new(ladder(options)?));
    }
    let mut options = Options { name, left: pairs(name, options)? };
    let strategy: Box<dyn Strategy> = match name {
        "everything" => Box::new(Everything),
        "window" => Box::new(window(&mut options)?),
        "head-tail" => Box::new(options.number("first")?.map_or_else(HeadTail::default, HeadTail::messages)),
        "recall" => Box::new(recall(&mut options)?),
        "clear-tools" => Box::new(clear_tools(&mut options)?),
        "tools" => {
            let clear = clear_tools(&mut options)?;
            let name = clear.spec().replacen("clear-tools", "tools", 1);
            Box::new(Ladder::new().step(clear).step(SlidingWindow::tokens()).named(name))
        }
        "drop-reasoning" => Box::new(DropReasoning),
        "summarize" => Box::new(summarize(&mut options)?),
        _ => return Err(unknown(name)),
    };
    options.finish()?;
    Ok(strategy)
}

fn window(options: &mut Options<'_>) -> Result<SlidingWindow> {
    let window = match (options.number("messages")?, options.number("turns")?) {
        (None, None) => SlidingWindow::tokens(),
        (Some(count), None) => SlidingWindow::messages(count),
        (None, Some(count)) => SlidingWindow::turns(count),
        (Some(_), Some(_)) => return Err(invalid("`window` takes `messages` or `turns`, not both")),
    };
    match options.take("start") {
        None => Ok(window),
        Some("user") => Ok(window.start_on_user()),
        Some(other) => Err(invalid(format!("`window` has `start={other}`; `start=user` is allowed"))),
    }
}

fn recall(options: &mut Options<'_>) -> Result<Recall> {
    let mut recall = options.percent("tail")?.map_or_else(Recall::new, |percent| Recall::new().tail(percent));
    let is_off = options.left.contains(&("excerpts", "no"));
    let excerpts = match is_off {
        true => options.take("excerpts").map(|_| 0),
        false => options
            .percent("excerpts")
            .map_err(|error| invalid(format!("{}, or `no`", error.detail())).because(error))?,
    };
    if let Some(percent) = excerpts {
        recall = recall.excerpts(percent);
    }
    match options.take("stem") {
        None | Some("english") => Ok(recall),
        Some("none") => Ok(recall.without_stemming()),
        Some(other) => Err(invalid(format!(
            "`recall` has `stem={other}`; `stem=english` (the default) and `stem=none` are allowed"
        ))),
    }
}

fn clear_tools(options: &mut Options<'_>) -> Result<ClearTools> {
    let mut clear = ClearTools::default();
    if let Some(groups) = options.number("keep")? {
        clear = clear.keep(groups);
    }
    if let Some(names) = options.take("named") {
        clear = clear.keep_tools(names.split('+'));
    }
    if let Some(tokens) = options.number("least")? {
        clear = clear.at_least(tokens as u64);
    }
    Ok(clear)
}

fn summarize(options: &mut Options<'_>) -> Result<Summarize> {
    let mut summarize = Summarize::rolling();
    if let Some(tokens) = options.number("tokens")? {
        summarize = summarize.tokens(tokens as u64);
    }
    if let Some(tokens) = options.number("chunk")? {
        summarize = summarize.chunk(tokens as u64);
    }
    if let Some(role) = options.take("role") {
        summarize = summarize.role(role);
    }
    Ok(summarize)
}

fn ladder(steps: &str) -> Result<Ladder> {
    if steps.is_empty() {
        return Ok(Ladder::default());
    }
    steps.split('/').try_fold(Ladder::new(), |ladder, step| Ok(ladder.step(parse(step)?)))
}

struct Options<'a> {
    name: &'a str,
    left: Vec<(&'a str, &'a str)>,
}

impl<'a> Options<'a> {
    fn take(&mut self, key: &str) -> Option<&'a str> {
        let index = self.left.iter().position(|(known, _)| *known == key)?;
        Some(self.left.remove(index).1)
    }

    fn number(&mut self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.parse().map_err(|e| {
            invalid(format!("`{}` has `{key}={value}`, and a whole number is needed", self.name)).because(e)
        })?;
        Ok(Some(number))
    }

    fn percent(&mut self, key: &str) -> Result<Option<u8>> {
        let Some(percent) = self.number(key)? else { return Ok(None) };
        let part = u8::try_from(percent).ok().filter(|&percent| percent <= 100);
        let wrong = || invalid(format!("`{}` has `{key}={percent}`; 0 to 100 (percent) is allowed", self.name));
        part.ok_or_else(wrong).map(Some)
    }

    fn finish(self) -> Result<()> {
        let Some((key, _)) = self.left.first() else { return Ok(()) };
        let takes = STRATEGIES.iter().find(|one| one.name == self.name).map_or("", |one| one.takes);
        Err(invalid(format!("`{}` does not take `{key}`; it takes {takes}", self.name)))
    }
}

fn pairs<'a>(name: &str, options: &'a str) -> Result<Vec<(&'a str, &'a str)>> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option
            .split_once('=')
            .ok_or_else(|| invalid(format!("`{name}` has the option `{option}`; write `key=value`")))?;
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(invalid(format!("`{name}` has `{key}` twice")));
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

fn unknown(name: &str) -> Error {
    let names = STRATEGIES.iter().map(|one| one.name);
    let near = match nearest(name, names.clone(), 1).first() {
        Some(near) => format!("did you mean `{near}`? "),
        None => String::new(),
    };
    invalid(format!("no strategy is called `{name}`; {near}there are {}", names.collect::<Vec<_>>().join(", ")))
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidStrategy, detail)
}
