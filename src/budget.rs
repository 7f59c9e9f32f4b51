//! `TokenBudget`: how many tokens a request may cost; and `ResolvedBudget`, the same in plain
//! integers.

mod ways;
mod written;

use std::fmt;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::text::thousands;
use crate::tokens::{Anchor, Learned, Model};

/// How many tokens may be sent: either a limit for the prompt, or a model's window minus what is
/// kept free in it.
///
/// A strategy trims only a request that exceeds the high mark (default: the limit itself), and then
/// down to the low mark. The room between the two lets most requests begin like the previous one,
/// so that a prompt cache can reuse them. The default of the low mark is 0.7 of the limit in a
/// manager and a [`Planner`](crate::Planner); in [`trim`](crate::trim()), which remembers nothing
/// between calls, it is the whole limit.
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
    /// The model that the window belongs to; its longest reply bounds the default reserve.
    model: Option<Model>,
    reply_reserve: Option<u64>,
    tools: u64,
    margin: u64,
    /// The window that a server reported.
    within: Option<u64>,
    high: f64,
    /// `None` is the default, which is never above the high mark.
    low: Option<f64>,
}

const DEFAULT_LOW: f64 = 0.7;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    Limit(u64),
    Window(u64),
}

/// A [`TokenBudget`] in plain integers, in tokens. Every plan contains it, and `Display` prints the
/// arithmetic.
///
/// # Examples
/// ```
/// use turnwise::TokenBudget;
///
/// let budget = TokenBudget::window(8_000).reply_reserve(1_000).resolve()?;
/// assert_eq!((budget.limit, budget.high, budget.low), (7_000, 7_000, 4_900));
/// assert_eq!(
///     budget.to_string(),
///     "window 8,000 - 1,000 for the reply = 7,000 tokens; high mark 7,000, low mark 4,900"
/// );
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResolvedBudget {
    /// The most tokens that a request may cost.
    pub limit: u64,
    /// Requests of up to this many tokens are not trimmed.
    pub high: u64,
    /// Longer ones are trimmed down to this many tokens.
    pub low: u64,
    /// The model's window, if the budget was made from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// Tokens kept free for the reply.
    pub reply_reserve: u64,
    /// Tokens kept free for tool definitions that the planner does not know.
    pub tools: u64,
    /// Tokens kept free in case counts are too low.
    pub margin: u64,
    /// The marks as fractions of the limit, in millionths.
    #[serde(skip)]
    parts: Parts,
    /// What is kept free for the reply at least, because prompts must be shorter than the window.
    #[serde(skip)]
    least_reserve: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    high: u32,
    low: u32,
}

impl TokenBudget {
    /// A limit of `tokens` for the whole prompt, including head, tools and priming. Nothing is kept
    /// free for a reply.
    ///
    /// Use it to spend less than the window allows, or if the window is not known:
    /// `TokenBudget::limit(4_000)`.
    pub fn limit(tokens: u64) -> Self {
        Self::of(Size::Limit(tokens), None)
    }

    /// A window of `tokens` that prompt and reply share. A quarter is kept free for the reply,
    /// unless [`reply_reserve`](Self::reply_reserve) says otherwise.
    pub fn window(tokens: u64) -> Self {
        Self::of(Size::Window(tokens), None)
    }

    /// The window of a model, given by name (looked up as by [`Model::find`]) or as a [`Model`]. If
    /// the model accepts only prompts shorter than its window, at least the difference is kept free
    /// for the reply.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`] if the window of the model is not known.
    pub fn for_model(model: impl Into<Model>) -> Result<Self> {
        let model = model.into();
        Ok(Self::of(Size::Window(model.known_window()?), Some(model)))
    }

    fn of(size: Size, model: Option<Model>) -> Self {
        Self { size, model, reply_reserve: None, tools: 0, margin: 0, within: None, high: 1.0, low: None }
    }

    /// Keeps this many tokens free for the reply.
    ///
    /// Default: none under a [`limit`](Self::limit); in a window, the model's longest reply, but at
    /// most a quarter of the window. Raise it if replies are cut off, or lower it if replies are
    /// short and the history is worth more: `TokenBudget::window(128_000).reply_reserve(2_000)`.
    pub fn reply_reserve(mut self, tokens: u64) -> Self {
        self.reply_reserve = Some(tokens);
        self
    }

    /// Keeps this many tokens free for tool definitions that are sent without the planner knowing
    /// them. Default 0.
    ///
    /// Tools that the planner or the manager is given are counted and need no room here. Use it if
    /// a proxy or a framework adds definitions after planning.
    pub fn tools(mut self, tokens: u64) -> Self {
        self.tools = tokens;
        self
    }

    /// Keeps this many tokens free in case counts are too low. Default 0.
    ///
    /// Use it for a model whose encoding is not known, such as
    /// `TokenBudget::window(8_192).margin(400)`. A manager raises it on its own if bills show that
    /// counts are too low.
    pub fn margin(mut self, tokens: u64) -> Self {
        self.margin = tokens;
        self
    }

    /// The same budget in a window of at most `tokens`, as a server has
    /// [said](crate::tokens::Learned::limit) that it is. A [`limit`](Self::limit) that leaves room
    /// for a reply in it stays as it is; a larger one becomes that window.
    pub fn within(mut self, tokens: u64) -> Self {
        self.within = Some(self.within.map_or(tokens, |known| known.min(tokens)));
        self
    }

    /// Does not trim requests of up to this part of the limit, from 0 to 1. Default 1.
    ///
    /// Lower it to start trimming before the window is full, because long prompts are slow or
    /// expensive: with `high_mark(0.5)`, a limit of 100,000 tokens trims requests above 50,000.
    pub fn high_mark(mut self, part: f64) -> Self {
        self.high = part;
        self
    }

    /// Trims down to this part of the limit, from 0 to 1. Default: 0.7 in a manager and a
    /// [`Planner`](crate::Planner), 1 in [`trim`](crate::trim()), which remembers nothing between
    /// calls; the high mark if that is lower. With `low_mark(0.7)`, `trim` plans what a manager
    /// sends when it trims for the first time.
    ///
    /// A lower mark trims more at once and less often, so that more requests begin like the
    /// previous one and providers bill them at the price of cached tokens. With 1, as much is kept
    /// as fits, and the start of nearly every request changes.
    pub fn low_mark(mut self, part: f64) -> Self {
        self.low = Some(part);
        self
    }

    /// The model that the budget was made for.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// The window in which at most `tokens` may be sent.
    pub(crate) fn window_for(&self, tokens: u64) -> u64 {
        let longest = self.model.as_ref().and_then(|model| model.max_output).unwrap_or(u64::MAX);
        // A quarter of the window is a third of the rest of it.
        let reserve = self.reply_reserve.unwrap_or_else(|| longest.min(tokens / 3));
        tokens.saturating_add(reserve).saturating_add(self.tools).saturating_add(self.margin)
    }

    /// The tokens to keep free for the reply, if they were set.
    pub(crate) fn stated_reserve(&self) -> Option<u64> {
        self.reply_reserve
    }

    /// The same budget for replies of at most `longest` tokens: in a window, that many tokens are
    /// kept free for them, unless more were set.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] if fewer were set.
    pub(crate) fn for_replies_up_to(self, longest: u64) -> Result<Self> {
        match (self.reply_reserve, self.size) {
            (Some(reserve), _) if reserve < longest => {
                let detail = format!(
                    "a longest reply of {} tokens exceeds the reply reserve of {}; set only one of them",
                    thousands(longest),
                    thousands(reserve)
                );
                Err(Error::new(ErrorKind::InvalidBudget, detail))
            }
            (None, Size::Window(_)) => Ok(self.reply_reserve(longest)),
            _ => Ok(self),
        }
    }

    /// Whether a low mark was set.
    pub(crate) fn sets_low_mark(&self) -> bool {
        self.low.is_some()
    }

    /// The budget in integers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] if nothing is left for the prompt, if a mark is not between 0
    /// and 1, or if the low mark is above the high one.
    pub fn resolve(&self) -> Result<ResolvedBudget> {
        let (window, size, reserve) = self.parts();
        let taken = reserve.saturating_add(self.tools).saturating_add(self.margin);
        let limit = size.saturating_sub(taken);
        if limit == 0 {
            let detail = match taken {
                0 => "a budget of 0 tokens leaves nothing to send; allow at least 1".to_owned(),
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
        let least_reserve = window.map_or(0, |window| self.least_reserve(window));
        Ok(ResolvedBudget { limit, high, low, window, reply_reserve: reserve, tools, margin, parts, least_reserve })
    }

    /// The window, if there is one; the tokens that prompt and reserve share; the reserve for the
    /// reply.
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
        (Some(window), window, self.reply_reserve.unwrap_or(default).max(self.least_reserve(window)))
    }

    /// What is free for the reply alone, because the model's longest prompt is shorter than the
    /// window.
    fn least_reserve(&self, window: u64) -> u64 {
        let prompt = self.model.as_ref().and_then(|model| model.max_input).unwrap_or(window);
        window.saturating_sub(prompt)
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
    /// The same budget with a margin of at least `tokens`, kept free in case counts are too low. A
    /// larger margin that was set is kept. At least one token remains to send.
    #[must_use]
    pub fn with_margin(&self, tokens: u64) -> Self {
        let room = self.limit.saturating_add(self.margin);
        let margin = tokens.max(self.margin).min(room.saturating_sub(1));
        Self { margin, ..*self }.at(room - margin)
    }

    /// The same budget with its low mark at the high one.
    pub(crate) fn trimming_as_little_as_possible(self) -> Self {
        Self { low: self.high, parts: Parts { low: self.parts.high, ..self.parts }, ..self }
    }

    /// The same budget with the margin that billed requests call for: a request that fits by our
    /// count also fits by the server's, error bar included. Before the first bill nothing changes.
    ///
    /// The margin moves in steps, up at once, and down only when two steps less are enough, so that
    /// the limit, and with it the cut, does not move every turn. A step is a hundredth of the
    /// window (or of the limit, if there is no window); below that, the margin is a power of two.
    /// At least an eighth of the room always remains: no tokenizer costs more than eight times our
    /// count, so a bill that says so is about something else.
    ///
    /// The tokens that the server adds to every request ([`Learned::offset`]) take room in a
    /// window. They take none of a limit, which is about what is sent.
    ///
    /// `exact` says whether our counts are the model's own, `anchor` is the conversation's last
    /// bill, and `last` is the [`margin`](Self::margin) that its request was planned with, 0 at
    /// first.
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

    /// The same budget with another limit; the marks move with it.
    pub(crate) fn at(&self, limit: u64) -> Self {
        Self { limit, high: part_of(limit, self.parts.high), low: part_of(limit, self.parts.low), ..*self }
    }

    /// The same budget with another high mark, and a low mark that is not above it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] if `part` is not between 0 and 1.
    pub(crate) fn trimming_above(&self, part: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&part) {
            let detail = format!("a high mark of {part}: it must be a part of the limit, from 0 to 1");
            return Err(Error::new(ErrorKind::InvalidBudget, detail));
        }
        let high = millionths(part);
        let parts = Parts { high, low: self.parts.low.min(high) };
        Ok(Self { parts, ..*self }.at(self.limit))
    }

    /// The tokens kept free beside the prompt.
    pub(crate) fn kept_free(&self) -> u64 {
        self.reply_reserve.saturating_add(self.tools).saturating_add(self.margin)
    }

    /// The smallest limit under which a request of `tokens` is not trimmed.
    pub(crate) fn limit_for(&self, tokens: u64) -> u64 {
        let exact = (u128::from(tokens) * STEPS).div_ceil(u128::from(self.parts.high.max(1)));
        u64::try_from(exact).unwrap_or(u64::MAX)
    }
}

/// The possible margins: powers of two below a hundredth of the window, and whole hundredths.
struct Steps {
    hundredth: u64,
}

impl Steps {
    /// The smallest possible margin of at least `needed`.
    fn up(&self, needed: u64) -> u64 {
        match needed.checked_next_power_of_two() {
            _ if needed == 0 => 0,
            Some(power) if power < self.hundredth => power,
            _ => needed.div_ceil(self.hundredth.max(1)).saturating_mul(self.hundredth.max(1)),
        }
    }
}

const STEPS: u128 = 1_000_000;

/// A part between 0 and 1 in millionths, so that every machine computes the same marks.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part is between 0 and 1")]
fn millionths(part: f64) -> u32 {
    (part * 1e6).round() as u32
}

/// A part of `tokens`, in whole tokens.
fn part_of(tokens: u64, millionths: u32) -> u64 {
    u64::try_from(u128::from(tokens) * u128::from(millionths) / STEPS).unwrap_or(tokens)
}

impl fmt::Display for ResolvedBudget {
    /// The arithmetic, and the marks where they are not the limit itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arithmetic())?;
        if self.high == self.limit && self.low == self.limit {
            return Ok(());
        }
        write!(f, "; high mark {}, low mark {}", thousands(self.high), thousands(self.low))
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
            "window 128,000 - 16,384 for the reply = 111,616 tokens; high mark 111,616, low mark 78,131"
        );
        let prompt = TokenBudget::for_model("gpt-5").unwrap();
        for budget in [prompt.clone(), prompt.clone().reply_reserve(1_000)] {
            let arithmetic = budget.resolve().unwrap().to_string();
            assert!(arithmetic.starts_with("window 400,000 - 128,000 for the reply = 272,000 tokens"), "{arithmetic}");
        }
        assert_eq!(prompt.reply_reserve(150_000).resolve().unwrap().limit, 250_000);
        let limit = TokenBudget::limit(4_000).low_mark(1.0).resolve().unwrap();
        assert_eq!(limit.to_string(), "limit 4,000 tokens");
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
