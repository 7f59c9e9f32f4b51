//! `Family` and `ImageRule`: how families of models frame messages and bill images.

use serde::{Deserialize, Serialize};

/// How a family of models frames messages.
///
/// # Examples
/// ```
/// use turnwise::tokens::{CounterFn, Family};
/// use turnwise::{ChatCost, Message};
///
/// let words = || CounterFn::new("words/1", |text| text.split_whitespace().count() as u64);
/// let cost = |family| ChatCost::new(words()).family(family).messages(&[Message::user("Hello there")]).total().tokens;
/// assert!(cost(Family::Search) < cost(Family::Chat));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// GPT-3.5, GPT-4, GPT-4o, GPT-4.1 and similar models.
    #[default]
    Chat,
    /// GPT-5 and later, and the o-series, which reason before they answer.
    Reasoning,
    /// o3-mini, which thinks before it answers and frames messages and tools as
    /// [`Chat`](Self::Chat) does, but for the tokens that open the reply.
    #[serde(rename = "o3-mini")]
    O3Mini,
    /// The search-preview models, which bill the texts of messages and nothing around them.
    Search,
}

/// How a model bills an image.
///
/// # Examples
/// ```
/// use turnwise::tokens::{CounterFn, ImageRule};
/// use turnwise::{ChatCost, Message};
///
/// let words = CounterFn::new("words/1", |text| text.split_whitespace().count() as u64);
/// let cost = ChatCost::new(words).images(ImageRule::Tiles { base: 85, tile: 170 });
/// let asked = Message::user("What is this?").image_url("https://example.com/cat.png");
/// assert!(cost.messages(&[asked]).total().tokens > 85);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ImageRule {
    /// A base cost, which is the whole cost at low detail, plus a fixed cost per tile of 512 by 512
    /// pixels.
    Tiles {
        /// Tokens for any image.
        base: u64,
        /// Tokens per tile.
        tile: u64,
    },
    /// A cost per patch of 32 by 32 pixels.
    Patches {
        /// Thousandths of a token per patch.
        per_thousand: u64,
        /// The most patches per image; larger images are scaled down.
        most: u64,
    },
}

/// How the results of parallel calls, which a server writes as one JSON list, show text outside
/// ASCII.
///
/// # Examples
/// ```
/// use turnwise::Model;
/// use turnwise::tokens::NonAscii;
///
/// assert_eq!(Model::find("gpt-4o-mini").non_ascii, Some(NonAscii::Escaped));
/// assert_eq!(Model::find("gpt-4o").non_ascii, Some(NonAscii::Plain));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NonAscii {
    /// As escapes, such as `\u00e9`.
    Escaped,
    /// As it is.
    Plain,
}

/// How a model bills tools whose layout is not known: the section of tools as `OpenAI` lays it out,
/// times a factor, and a constant for the instructions that a vendor adds once a request has tools.
/// Every such figure is an estimate.
///
/// # Examples
/// ```
/// use turnwise::tokens::ToolRule;
/// use turnwise::{ChatCost, ChatRequest, Message, Tool};
///
/// let mut request = ChatRequest::new([Message::user("What time is it?")]);
/// let parameters = serde_json::json!({"type": "object", "properties": {}});
/// request.tools.push(Tool::function("now", "The time", parameters));
/// let cost = ChatCost::for_model("gpt-4o");
/// let at_a_gateway = cost.clone().tools(ToolRule::LIKE_OPENAI);
/// let [direct, estimated] = [cost, at_a_gateway].map(|cost| cost.request(&request).total());
/// assert!(direct.exact && !estimated.exact && direct.tokens == estimated.tokens);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ToolRule {
    /// Tokens for any request with tools.
    pub base: u64,
    /// What the definitions cost, in hundredths of what they cost at `OpenAI`.
    pub percent: u64,
}

impl ToolRule {
    /// As at `OpenAI`, but as an estimate: for hosts that may change the request before the model
    /// reads it.
    pub const LIKE_OPENAI: Self = Self { base: 0, percent: 100 };
}
