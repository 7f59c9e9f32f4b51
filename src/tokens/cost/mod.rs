//! `ChatCost`: the cost of a chat request: the tokens of its texts and of the chat format.
//!
//! The constants are defined where they are used, each with its source. Most were fitted to
//! recorded answers of the API, which state how many tokens were billed; `benches/accuracy.rs`
//! checks them against such recordings. Where no recording exists, the count is the best
//! approximation and marked as an estimate. Members that this crate does not know are counted by
//! their text.

mod calls;
mod data;
mod definitions;
mod familiar;
mod foreign;
mod format;
mod frame;
mod image;
mod image_size;
mod json;
mod schema;
mod typescript;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use self::calls::Names;
use self::definitions::Sections;
use super::models::{Encoding, Model};
use super::rules::{Family, ImageRule, NonAscii, ToolRule};
use super::{Count, Tiktoken, TokenCounter};
use crate::json::RawJson;
use crate::message::{Message, Role};
use crate::request::{ChatRequest, Tool};

pub(crate) use calls::is_parallel;
#[cfg(feature = "blobs")]
pub(crate) use foreign::facts;

/// Part of the id under which costs are stored; to be raised whenever a constant or a rule here
/// changes.
const FORMULA: &str = "6";

/// Counts messages as one family of models bills them: a [`TokenCounter`] with the rules of the
/// chat format.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Message};
///
/// let cost = ChatCost::for_model("gpt-4o-mini");
/// let messages = [Message::system("Be brief."), Message::user("Hello!")];
/// assert_eq!(cost.messages(&messages).total().to_string(), "16");
/// ```
#[derive(Clone)]
pub struct ChatCost {
    counter: Arc<dyn TokenCounter>,
    family: Family,
    images: Option<ImageRule>,
    tools: Option<ToolRule>,
    non_ascii: Option<NonAscii>,
    /// Members of messages that are not in the specification and are sent all the same.
    fields: Arc<[String]>,
    /// Whether the encoding is the model's own.
    is_exact: bool,
    id: Arc<str>,
}

/// The cost of each part of a request.
///
/// # Examples
/// ```
/// use turnwise::{ChatRequest, Message, count_request};
///
/// let parts = count_request(&ChatRequest::new([Message::user("Name a river.")]));
/// println!("{parts:?}");
/// assert_eq!(parts.total().tokens, 11);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Breakdown {
    /// Each message, in order. Parallel calls and their results are billed as one unit; the cost of
    /// its results is divided among them by length.
    pub messages: Vec<Count>,
    /// The leading system and developer messages, which are also part of `messages`.
    pub head: Count,
    /// The tool definitions and `tool_choice`.
    pub tools: Count,
    /// The schema of the reply (`response_format`).
    pub format: Count,
    /// The tokens that open the reply.
    pub overhead: Count,
}

impl Breakdown {
    /// The whole request.
    pub fn total(&self) -> Count {
        self.messages.iter().copied().sum::<Count>() + self.tools + self.format + self.overhead
    }
}

impl Default for ChatCost {
    /// Counts with `o200k_base`, the encoding of `OpenAI`'s models since GPT-4o, by the rules of
    /// models that do not reason.
    fn default() -> Self {
        Self::new(Tiktoken::new(Encoding::O200kBase))
    }
}

impl ChatCost {
    /// The cost rules of a model, given by name or as a [`Model`]. If its encoding is not known, it
    /// is counted with `o200k_base`, and every figure is marked as an estimate; so are those of
    /// models whose hosts add text to requests.
    pub fn for_model(model: impl Into<Model>) -> Self {
        let Model { encoding, estimated, family, images, tools, non_ascii, .. } = model.into();
        let counter = Tiktoken::new(encoding.unwrap_or(Encoding::O200kBase));
        let is_exact = encoding.is_some() && !estimated;
        Self { family, images, tools, non_ascii, is_exact, ..Self::new(counter) }.identified()
    }

    /// The rules of [`Family::Chat`] with a custom counter, for models whose image billing is not
    /// known.
    pub fn new(counter: impl TokenCounter + 'static) -> Self {
        let cost = Self {
            counter: Arc::new(counter),
            family: Family::default(),
            images: None,
            tools: None,
            non_ascii: None,
            fields: Arc::from([]),
            is_exact: true,
            id: Arc::from(""),
        };
        cost.identified()
    }

    /// The same with the rules of another family of models. Default: [`Family::Chat`].
    #[must_use]
    pub fn family(self, family: Family) -> Self {
        Self { family, ..self }.identified()
    }

    /// The same with images billed by `rule`. Without one, images are billed as by GPT-4o and
    /// marked as estimates.
    #[must_use]
    pub fn images(self, rule: ImageRule) -> Self {
        Self { images: Some(rule), ..self }.identified()
    }

    /// The same with tools billed by `rule`, as an estimate.
    ///
    /// # Examples
    /// ```
    /// use turnwise::ChatCost;
    /// use turnwise::tokens::ToolRule;
    ///
    /// // For tools of OpenAI's models behind a host that may change them.
    /// let cost = ChatCost::for_model("gpt-4o").tools(ToolRule::LIKE_OPENAI);
    /// assert_eq!(cost.id(), "o200k_base/c/t85+170/x0+100/u/6");
    /// ```
    #[must_use]
    pub fn tools(self, rule: ToolRule) -> Self {
        Self { tools: Some(rule), ..self }.identified()
    }

    /// The same for a server that also receives these members of messages, such as
    /// `reasoning_content`: their texts are counted, as estimates. Other members outside the
    /// specification are not counted, because [`Dialect::default`](crate::backend::Dialect) does
    /// not send them. If your own client sends them, name them here.
    #[must_use]
    pub fn fields<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let fields = names.into_iter().map(str::to_owned).collect();
        Self { fields, ..self }.identified()
    }

    /// The same with the id that its parts make.
    fn identified(self) -> Self {
        let family = match self.family {
            Family::Chat => "c",
            Family::Reasoning => "r",
            Family::O3Mini => "o",
            Family::Search => "s",
        };
        let images = match self.images {
            None => String::new(),
            Some(ImageRule::Tiles { base, tile }) => format!("/t{base}+{tile}"),
            Some(ImageRule::Patches { per_thousand, most }) => format!("/p{per_thousand}x{most}"),
        };
        let tools = self.tools.map_or_else(String::new, |rule| format!("/x{}+{}", rule.base, rule.percent));
        let non_ascii = match self.non_ascii {
            None => "",
            Some(NonAscii::Escaped) => "/e",
            Some(NonAscii::Plain) => "/u",
        };
        // What is an estimate for a model whose encoding is not known may be exact for another.
        let guessed = if self.is_exact { "" } else { "?" };
        let fields = self.fields.iter().fold(String::new(), |id, name| id + "/" + name);
        let counter = self.counter.id();
        let id = format!("{counter}{guessed}/{family}{images}{tools}{non_ascii}{fields}/{FORMULA}").into();
        Self { id, ..self }
    }

    /// What costs are stored under, as `o200k_base/r/6`: the counter's id, the family (`c` for
    /// chat, `r` for reasoning, `o` for o3-mini, `s` for search), the rules for images, tools and
    /// text outside ASCII (`e` for escaped, `u` for unchanged) and the members that are sent beside the specification's if there are any, and the formula's
    /// version.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The counter.
    pub fn counter(&self) -> &dyn TokenCounter {
        &*self.counter
    }

    /// The counter, as a shared pointer.
    pub(crate) fn shared_counter(&self) -> Arc<dyn TokenCounter> {
        Arc::clone(&self.counter)
    }

    /// Whether figures can be exact, that is, whether the encoding is the model's own.
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// Counts a text on its own.
    pub fn text(&self, text: &str) -> Count {
        if text.is_empty() {
            return Count::ZERO;
        }
        let count = self.counter.count(text);
        Count { exact: count.exact && self.is_exact, ..count }
    }

    /// The tokens that open the reply, once per request.
    pub fn priming(&self) -> Count {
        Count::exact(self.family.priming())
    }

    /// The cost of a group: a single message, or calls and all their results. Parallel calls are
    /// one unit with their results, and do not cost the sum of the messages.
    pub fn group<'a>(&self, messages: impl IntoIterator<Item = &'a Message>) -> Count {
        let messages: Vec<&Message> = messages.into_iter().collect();
        self.each(&messages, |unit, out| out.push(unit.total())).into_iter().sum()
    }

    /// What `messages` add to a group that begins with `before`, which has at most one call.
    pub(crate) fn added<'a>(
        &self,
        before: Option<&'a Message>,
        messages: impl IntoIterator<Item = &'a Message>,
    ) -> Count {
        let names = before.map(calls::names).unwrap_or_default();
        messages.into_iter().map(|message| self.message(message, &names)).sum()
    }

    /// The cost of the head as one unit: the leading system and developer messages, the tool
    /// definitions, and the parameters that cost tokens (`response_format`, `tool_choice`, and the
    /// deprecated `functions` and `function_call`).
    pub fn head(&self, head: &[Message], tools: &[Tool], params: &[(String, RawJson)]) -> Count {
        let [messages, added] = self.head_and_sections(head, tools, params);
        messages + added
    }

    /// The cost of the head's messages alone, and what the rest of the unit adds to them.
    pub(crate) fn head_and_sections(
        &self,
        head: &[Message],
        tools: &[Tool],
        params: &[(String, RawJson)],
    ) -> [Count; 2] {
        let added = self.added_by(&Sections::of(self, tools, params), leading(head).first(), true);
        [self.group(head), added.tools + added.format]
    }

    /// The cost of a list of messages as a request without tools.
    pub fn messages(&self, messages: &[Message]) -> Breakdown {
        self.breakdown(messages, &[], &[])
    }

    /// The cost of a whole request.
    pub fn request(&self, request: &ChatRequest) -> Breakdown {
        self.breakdown(&request.messages, &request.tools, request.params.as_slice())
    }

    fn breakdown(&self, messages: &[Message], tools: &[Tool], params: &[(String, RawJson)]) -> Breakdown {
        let head = leading(messages);
        let all: Vec<&Message> = messages.iter().collect();
        let each = self.each(&all, |unit, out| out.extend(unit.each()));
        let sections = Sections::of(self, tools, params);
        let has_calls = messages.iter().any(Message::has_calls);
        let added = self.added_by(&sections, head.first(), has_calls);
        let per_reply = sections.format.as_ref().map_or(Count::ZERO, |format| self.per_reply(format));
        let replies = messages.iter().filter(|message| is_reply(message)).map(|_| per_reply).sum();
        Breakdown {
            head: each.iter().take(head.len()).copied().sum(),
            messages: each,
            tools: added.tools,
            format: added.format + replies,
            overhead: self.priming(),
        }
    }

    /// The costs of messages in order; `push_unit` adds those of a unit of parallel calls.
    fn each(&self, messages: &[&Message], push_unit: impl Fn(&calls::Unit, &mut Vec<Count>)) -> Vec<Count> {
        let mut counts = Vec::with_capacity(messages.len());
        let mut names = Names::default();
        let mut rest = messages;
        while let Some((message, behind)) = rest.split_first() {
            rest = behind;
            if is_parallel(message) {
                let results = rest.iter().take_while(|result| *result.role() == Role::Tool).count();
                let (results, behind) = rest.split_at(results);
                push_unit(&self.unit(message, results), &mut counts);
                rest = behind;
                continue;
            }
            if !message.is_result() {
                names = calls::names(message);
            }
            counts.push(self.message(message, &names));
        }
        counts
    }
}

/// Whether a message is what a model answered, and no call.
fn is_reply(message: &Message) -> bool {
    *message.role() == Role::Assistant && !message.has_calls()
}

/// The leading system and developer messages.
fn leading(messages: &[Message]) -> &[Message] {
    let head = messages.iter().take_while(|message| message.role().is_instruction()).count();
    &messages[..head]
}

impl fmt::Debug for ChatCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatCost({})", self.id)
    }
}

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;
