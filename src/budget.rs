//! How much may be sent.

mod written;

use std::fmt;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::text::thousands;
use crate::tokens::{Anchor, Learned, Model};

/// What may be sent, in tokens: either a limit for the prompt, or a model's window less what is kept free in it.
///
/// Strategies trim only when a request would pass the high mark (default: the limit itself), and then down to the low
/// mark (default: 0.7 of the limit), so that most requests repeat the last one and add to it.
///
/// # Examples
/// ```
/// use turnwise::TokenBudget;
///
/// let budget = TokenBudget::window(128_000).reply_reserve(4_000).margin(500).resolve()?;
/// assert_eq!((budget.limit, budget.high, budget.low), (123_500, 123_500, 86_450));
/// println!("{budget}");
/// # Ok::<(), turnwise::Error>(())
/// ```
///
/// It can stand in a configuration file, with one of `limit`, `window` and `model`:
///
/// ```
/// use turnwise::TokenBudget;
///
/// let budget: TokenBudget = serde_json::from_str(r#"{"model": "gpt-4o", "reply_reserve": 2000}"#)?;
/// assert_eq!(budget.resolve().unwrap().reply_reserve, 2_000);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct TokenBudget {
    size: Size,
    /// The model whose window it is; its longest reply bounds the default reserve.
    model: Option<Model>,
    reply_reserve: Option<u64>,
    tools: u64,
    margin: u64,
    /// The window that a server was found to have.
    within: Option<u64>,
    high: f64,
    /// `None`: the default, which follows a lower high mark.
    low: Option<f64>,
}

const DEFAULT_LOW: f64 = 0.7;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    Limit(u64),
    Window(u64),
}

/// A [`TokenBudget`] as plain integers, in tokens; written into every plan. `Display` prints the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResolvedBudget {
    /// The most that a request may cost.
    pub limit: u64,
    /// Nothing is trimmed up to here.
    pub high: u64,
    /// What is trimmed is trimmed down to here.
    pub low: u64,
    /// The model's window, if the budget was made from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// Kept free for the reply.
    pub reply_reserve: u64,
    /// Kept free for tool definitions that the planner is not given.
    pub tools: u64,
    /// Kept free against counts that are too low.
    pub margin: u64,
    /// The marks as parts of the limit, in millionths.
    #[serde(skip)]
    parts: Parts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    high: u32,
    low: u32,
}

impl TokenBudget {
    /// At most `tokens` may be sent: the whole prompt with head, tools and priming. Nothing is kept free for a reply.
    pub fn limit(tokens: u64) -> Self {
        Self::of(Size::Limit(tokens), None)
    }

    /// Prompt and reply share a window of `tokens`.
    pub fn window(tokens: u64) -> Self {
        Self::of(Size::Window(tokens), None)
    }

    /// The window of a model, by name (looked up as [`Model::find`] does) or as it is [known](Model). Where the model takes
    /// shorter prompts than its window, at least the difference is kept free for the reply.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`] when its window is not known.
    pub fn for_model(model: impl Into<Model>) -> Result<Self> {
        let model = model.into();
        Ok(Self::of(Size::Window(model.known_window()?), Some(model)))
    }

    fn of(size: Size, model: Option<Model>) -> Self {
        Self { size, model, reply_reserve: None, tools: 0, margin: 0, within: None, high: 1.0, low: None }
    }

    /// Keeps tokens free for the reply. Default: none under a [`limit`](Self::limit); in a window the model's longest
    /// reply, but at most a quarter of the window.
    pub fn reply_reserve(mut self, tokens: u64) -> Self {
        self.reply_reserve = Some(tokens);
        self
    }

    /// Keeps tokens free for tool definitions that are sent without the planner knowing them. Default 0.
    pub fn tools(mut self, tokens: u64) -> Self {
        self.tools = tokens;
        self
    }

    /// Keeps tokens free against counts that are too low. Default 0.
    pub fn margin(mut self, tokens: u64) -> Self {
        self.margin = tokens;
        self
    }

    /// The same budget in a window of at most `tokens`, as a server has [said](crate::Learned::limit) that it is. A
    /// [`limit`](Self::limit) that leaves room for a reply in it stays as it is; a larger one becomes that window.
    pub fn within(mut self, tokens: u64) -> Self {
        self.within = Some(self.within.map_or(tokens, |known| known.min(tokens)));
        self
    }

    /// Trims nothing up to this part of the limit, from 0 to 1. Default 1.
    pub fn high_mark(mut self, part: f64) -> Self {
        self.high = part;
        self
    }

    /// Trims down to this part of the limit, from 0 to 1. Default 0.7, or the high mark where that is lower. With 1 as
    /// much is kept as fits, and the start of nearly every request changes.
    pub fn low_mark(mut self, part: f64) -> Self {
        self.low = Some(part);
        self
    }

    /// The model that it was made for.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// The window in which at most `tokens` may be sent.
    pub(crate) fn window_for(&self, tokens: u64) -> u64 {
        let longest = self.model.as_ref().and_then(|model| model.max_output).unwrap_or(u64::MAX);
        // A quarter of the window is a third of what is left of it.
        let reserve = self.reply_reserve.unwrap_or_else(|| longest.min(tokens / 3));
        tokens.saturating_add(reserve).saturating_add(self.tools).saturating_add(self.margin)
    }

    /// What is kept free for the reply, where that was stated.
    pub(crate) fn stated_reserve(&self) -> Option<u64> {
        self.reply_reserve
    }

    /// The same budget for replies of at most `longest` tokens: in a window as much is kept free for them, unless more was
    /// stated.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] when less was stated.
    pub(crate) fn for_replies_up_to(self, longest: u64) -> Result<Self> {
        match (self.reply_reserve, self.size) {
            (Some(reserve), _) if reserve < longest => {
                let detail = format!(
                    "a reply of up to {} tokens and {} kept free for it: state one of the two, the other follows",
                    thousands(longest),
                    thousands(reserve)
                );
                Err(Error::new(ErrorKind::InvalidBudget, detail))
            }
            (None, Size::Window(_)) => Ok(self.reply_reserve(longest)),
            _ => Ok(self),
        }
    }

    /// The same budget, trimming down to `part` where no low mark was set.
    pub(crate) fn low_mark_or(mut self, part: f64) -> Self {
        self.low = Some(self.low.unwrap_or(part.min(self.high)));
        self
    }

    /// The budget in integers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] when nothing is left for the prompt, or a mark is not between 0 and 1, or the low
    /// mark is set above the high one.
    pub fn resolve(&self) -> Result<ResolvedBudget> {
        let (window, size, reserve) = self.parts();
        let taken = reserve.saturating_add(self.tools).saturating_add(self.margin);
        let limit = size.saturating_sub(taken);
        if limit == 0 {
            let detail = match taken {
                0 => "a budget of 0 tokens leaves nothing to send".to_owned(),
                _ => format!(
                    "{} tokens{} less {} for the reply, {} for tools and {} of margin leave nothing to send",
                    thousands(size),
                    if self.within == window && window.is_some() { ", the window of the server," } else { "" },
                    thousands(reserve),
                    thousands(self.tools),
                    thousands(self.margin)
                ),
            };
            return Err(Error::new(ErrorKind::InvalidBudget, detail));
        }
        let parts = self.marks()?;
        let (tools, margin) = (self.tools, self.margin);
        let (high, low) = (part_of(limit, parts.high), part_of(limit, parts.low));
        Ok(ResolvedBudget { limit, high, low, window, reply_reserve: reserve, tools, margin, parts })
    }

    /// The window, if there is one; what prompt and reserve share; the reserve for the reply.
    fn parts(&self) -> (Option<u64>, u64, u64) {
        let limit = match (self.size, self.within) {
            (Size::Window(window), within) => return self.in_window(within.map_or(window, |known| known.min(window))),
            (Size::Limit(limit), None) => limit,
            (Size::Limit(limit), Some(within)) => {
                let (window, size, reserve) = self.in_window(within);
                if limit > size.saturating_sub(reserve) {
                    return (window, size, reserve);
                }
                limit
            }
        };
        (None, limit, self.reply_reserve.unwrap_or(0))
    }

    fn in_window(&self, window: u64) -> (Option<u64>, u64, u64) {
        let quarter = window / 4;
        let longest = self.model.as_ref().and_then(|model| model.max_output);
        let default = longest.map_or(quarter, |most| most.min(quarter));
        let prompt = self.model.as_ref().and_then(|model| model.max_input).unwrap_or(window);
        (Some(window), window, self.reply_reserve.unwrap_or(default).max(window.saturating_sub(prompt)))
    }

    fn marks(&self) -> Result<Parts> {
        let is_part = |part: f64| (0.0..=1.0).contains(&part);
        let low = self.low.unwrap_or_else(|| self.high.min(DEFAULT_LOW));
        if !is_part(self.high) || !is_part(low) || low > self.high {
            let detail = format!(
                "a high mark of {} and a low mark of {}: both are parts of the limit from 0 to 1, the low one not above the high one",
                self.high, low
            );
            return Err(Error::new(ErrorKind::InvalidBudget, detail));
        }
        Ok(Parts { high: millionths(self.high), low: millionths(low) })
    }
}

impl ResolvedBudget {
    /// The same budget with at least so many tokens kept free against counts that are too low; what it states itself stays.
    /// Something is always left to send.
    #[must_use]
    pub fn with_margin(&self, tokens: u64) -> Self {
        let room = self.limit.saturating_add(self.margin);
        let margin = tokens.max(self.margin).min(room.saturating_sub(1));
        Self { margin, ..*self }.at(room - margin)
    }

    /// The same budget with the margin that bills have taught: requests that fit into it by our count fit by the server's,
    /// error bar included. The margin moves in steps, up at once and down only when two steps less are enough, so that the
    /// limit, and with it the cut, does not move at every turn: a step is one part in a hundred of the window (of the limit,
    /// where there is no window), and below that the margin is a power of two. Before the first bill nothing changes. An
    /// eighth of the room is always left: no tokenizer costs more than eight times our count, so a bill that says so is of
    /// something else.
    ///
    /// What the server adds to every request ([`Learned::offset`]) takes room in a window. It takes none of a limit that
    /// was stated: that is about what is sent.
    ///
    /// `exact` says whether our counts are the model's own, `anchor` is the conversation's last bill, and `last` the
    /// [`margin`](Self::margin) that its request was planned with, 0 at first.
    #[must_use]
    pub fn calibrated(&self, learned: &Learned, exact: bool, anchor: Option<&Anchor>, last: u64) -> Self {
        if learned.bills() == 0 {
            return *self;
        }
        let room = self.limit.saturating_add(self.margin);
        let beside = if self.window.is_some() { 0 } else { learned.offset() };
        let needed = room - learned.fitting(room.saturating_add(beside), exact, anchor).min(room);
        let whole = self.window.unwrap_or(self.limit.saturating_add(self.kept_free()));
        let steps = Steps { hundredth: whole.div_ceil(100) };
        let (wanted, most) = (steps.up(needed), room - room.div_ceil(8));
        let is_step = steps.up(last) == last && last <= most;
        let is_kept = is_step && wanted <= last && last <= steps.up(wanted.saturating_add(1));
        self.with_margin(if is_kept { last } else { wanted.min(most) })
    }

    /// The same budget with another limit: the marks move with it.
    pub(crate) fn at(&self, limit: u64) -> Self {
        Self { limit, high: part_of(limit, self.parts.high), low: part_of(limit, self.parts.low), ..*self }
    }

    /// The same budget with another high mark, and the low one no higher.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] when `part` is not between 0 and 1.
    pub(crate) fn trimming_above(&self, part: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&part) {
            let detail = format!("a high mark of {part}: it is a part of the limit from 0 to 1");
            return Err(Error::new(ErrorKind::InvalidBudget, detail));
        }
        let high = millionths(part);
        let parts = Parts { high, low: self.parts.low.min(high) };
        Ok(Self { parts, ..*self }.at(self.limit))
    }

    /// What is kept free beside the prompt.
    pub(crate) fn kept_free(&self) -> u64 {
        self.reply_reserve.saturating_add(self.tools).saturating_add(self.margin)
    }

    /// The smallest limit whose high mark leaves a request of `tokens` untrimmed.
    pub(crate) fn limit_for(&self, tokens: u64) -> u64 {
        let exact = (u128::from(tokens) * STEPS).div_ceil(u128::from(self.parts.high.max(1)));
        u64::try_from(exact).unwrap_or(u64::MAX)
    }
}

/// The margins that there are: powers of two below a hundredth of the window, and whole hundredths.
struct Steps {
    hundredth: u64,
}

impl Steps {
    /// The smallest of them that is at least `needed`.
    fn up(&self, needed: u64) -> u64 {
        match needed.checked_next_power_of_two() {
            _ if needed == 0 => 0,
            Some(power) if power < self.hundredth => power,
            _ => needed.div_ceil(self.hundredth.max(1)).saturating_mul(self.hundredth.max(1)),
        }
    }
}

const STEPS: u128 = 1_000_000;

/// A part between 0 and 1 in steps of a millionth, so that every machine agrees on what follows from it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part is between 0 and 1")]
fn millionths(part: f64) -> u32 {
    (part * 1e6).round() as u32
}

/// A part of `tokens`, in whole tokens.
fn part_of(tokens: u64, millionths: u32) -> u64 {
    u64::try_from(u128::from(tokens) * u128::from(millionths) / STEPS).unwrap_or(tokens)
}

/// The arithmetic of a budget without its marks.
pub(crate) struct Limit<'a>(pub(crate) &'a ResolvedBudget);

impl fmt::Display for Limit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(budget) = self;
        let free = [("the reply", budget.reply_reserve), ("tools", budget.tools), ("margin", budget.margin)];
        if let Some(window) = budget.window {
            write!(f, "window {}", thousands(window))?;
        } else {
            write!(f, "limit {}", thousands(budget.limit.saturating_add(budget.kept_free())))?;
        }
        for (what, tokens) in free.iter().filter(|(_, tokens)| *tokens > 0) {
            write!(f, " - {} for {what}", thousands(*tokens))?;
        }
        if budget.window.is_some() || free.iter().any(|(_, tokens)| *tokens > 0) {
            write!(f, " = {}", thousands(budget.limit))?;
        }
        f.write_str(" tokens")
    }
}

impl fmt::Display for ResolvedBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; trims above {} down to {}", Limit(self), thousands(self.high), thousands(self.low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_was_learned_is_named_where_it_leaves_nothing() {
        let budget = TokenBudget::window(8_000).reply_reserve(4_000);
        let says = |budget: &TokenBudget| budget.resolve().unwrap_err().to_string();
        assert!(says(&budget.clone().within(3_000)).contains("3,000 tokens, the window of the server, less 4,000"));
        assert!(says(&budget.within(9_000).reply_reserve(8_000)).contains(": 8,000 tokens less 8,000"));
    }

    #[test]
    fn the_arithmetic_is_printed() {
        let window = TokenBudget::for_model("gpt-4o").unwrap().resolve().unwrap();
        assert_eq!(
            window.to_string(),
            "window 128,000 - 16,384 for the reply = 111,616 tokens; trims above 111,616 down to 78,131"
        );
        let prompt = TokenBudget::for_model("gpt-5").unwrap();
        for budget in [prompt.clone(), prompt.clone().reply_reserve(1_000)] {
            let arithmetic = budget.resolve().unwrap().to_string();
            assert!(arithmetic.starts_with("window 400,000 - 128,000 for the reply = 272,000 tokens"), "{arithmetic}");
        }
        assert_eq!(prompt.reply_reserve(150_000).resolve().unwrap().limit, 250_000);
        let limit = TokenBudget::limit(4_000).low_mark(1.0).resolve().unwrap();
        assert_eq!(limit.to_string(), "limit 4,000 tokens; trims above 4,000 down to 4,000");
    }

    #[test]
    fn a_budget_that_contradicts_itself_is_refused_with_numbers() {
        for budget in [
            TokenBudget::limit(0),
            TokenBudget::window(1_000).reply_reserve(900).margin(100),
            TokenBudget::limit(10).high_mark(1.5),
            TokenBudget::limit(10).low_mark(f64::NAN),
            TokenBudget::limit(10).high_mark(0.5).low_mark(0.8),
        ] {
            assert_eq!(budget.resolve().unwrap_err().kind(), ErrorKind::InvalidBudget, "{budget:?}");
        }
        let error = TokenBudget::window(1_000).reply_reserve(1_000).resolve().unwrap_err();
        assert!(error.to_string().contains("1,000 tokens less 1,000 for the reply"), "{error}");
    }

    #[test]
    fn the_default_low_mark_follows_a_lower_high_mark() {
        let budget = TokenBudget::limit(1_000).high_mark(0.5).resolve().unwrap();
        assert_eq!((budget.high, budget.low), (500, 500));
    }

    #[test]
    fn a_window_that_was_learned_replaces_a_larger_one() {
        let large = TokenBudget::window(128_000).within(8_192).resolve().unwrap();
        assert_eq!((large.window, large.reply_reserve, large.limit), (Some(8_192), 2_048, 6_144));
        let small = TokenBudget::window(4_096);
        assert_eq!(small.clone().within(8_192).resolve().unwrap(), small.resolve().unwrap());
        assert_eq!(TokenBudget::window(9_000).within(512).within(8_192).resolve().unwrap().window, Some(512));
        let stated = TokenBudget::window(128_000).reply_reserve(4_000).within(512);
        assert_eq!(stated.resolve().unwrap_err().kind(), ErrorKind::InvalidBudget);
    }

    #[test]
    fn a_limit_that_leaves_room_for_a_reply_stays() {
        let fits = TokenBudget::limit(300);
        assert_eq!(fits.clone().within(512).resolve().unwrap(), fits.resolve().unwrap());
        let large = TokenBudget::limit(1_000_000).within(512).resolve().unwrap();
        assert_eq!((large.window, large.reply_reserve, large.limit), (Some(512), 128, 384));
        let reserve = TokenBudget::limit(1_000_000).reply_reserve(32).within(512).resolve().unwrap();
        assert_eq!((reserve.window, reserve.limit), (Some(512), 480));
    }

    #[test]
    fn a_margin_moves_limit_and_marks() {
        let budget = TokenBudget::window(1_000).reply_reserve(200).margin(50).resolve().unwrap();
        let more = budget.with_margin(100);
        assert_eq!((more.margin, more.limit, more.high, more.low), (100, 700, 700, 490));
        assert_eq!(budget.with_margin(10), budget);
        assert_eq!(budget.with_margin(u64::MAX).limit, 1);
    }
}
