//! `OverBudget`: the numbers of a request that does not fit.

/// The numbers of a request that does not fit: the part that is too long, what it needs, and how
/// much room there was for it. Usually the planner refuses such a request, before it is sent. If a
/// server refuses it ([`ErrorKind::Overflow`](super::ErrorKind::Overflow)), the part is the whole
/// request, and the room is the limit that the server stated.
///
/// # Examples
/// ```
/// use turnwise::error::OverPart;
/// use turnwise::{Message, SlidingWindow, TokenBudget, trim};
///
/// let messages = [Message::system("Be brief. ".repeat(25)), Message::user("Name three rivers.")];
/// let error = trim(&messages, &TokenBudget::limit(60), &SlidingWindow::tokens()).unwrap_err();
/// let over = error.over_budget().unwrap();
/// assert_eq!(over.part, OverPart::Head); // the question is not to blame
/// println!("{} tokens are needed, and there is room for {}", over.tokens, over.room);
/// assert!(over.tokens > over.room);
///
/// let required = over.required.unwrap();
/// assert_eq!(over.tokens, required.head);
/// assert_eq!(over.room, required.limit - required.pending - required.opening);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OverBudget {
    /// What is too long: of several required parts that do not fit together, the largest. If any
    /// one of them could make the rest fit by being shorter, this one can.
    pub part: OverPart,
    /// The index of the group on the path, if messages to be answered are the cause: the largest of
    /// their groups.
    pub group: Option<usize>,
    /// The tokens that this part (or this group) needs as it is. Of [`OverPart::Request`], the
    /// server's count if it stated one, or else ours, which may be less than its limit.
    pub tokens: u64,
    /// The tokens that were available for it: what the others leave of the limit.
    pub room: u64,
    /// What each part of the request needs, if it was refused because the required parts do not fit
    /// together.
    pub required: Option<RequiredTokens>,
}

impl OverBudget {
    pub(crate) fn new(part: OverPart, tokens: u64, room: u64) -> Self {
        Self { part, group: None, tokens, room, required: None }
    }
}

/// The tokens of what a request must hold, part by part, and the limit that they exceed together.
///
/// # Examples
/// See [`OverBudget`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RequiredTokens {
    /// The leading system and developer messages, with standing constraints.
    pub head: u64,
    /// The tool definitions.
    pub tools: u64,
    /// The messages that are sent with this request only.
    pub context: u64,
    /// The pinned messages.
    pub pins: u64,
    /// The messages that the request must answer, as short as they can be made; as they are, if
    /// nothing may be shortened ([`never_cut`](crate::Planner::never_cut)).
    pub pending: u64,
    /// The opening of the reply.
    pub opening: u64,
    /// The most that the request may need: without what is kept free for the reply.
    pub limit: u64,
    /// The tokens that are kept free for the reply.
    pub reply_reserve: u64,
}

impl RequiredTokens {
    /// The tokens of all parts together.
    pub fn total(&self) -> u64 {
        let parts = [self.head, self.tools, self.context, self.pins, self.pending, self.opening];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// The tokens of a part; 0 for what is not a required part.
    pub fn of(&self, part: OverPart) -> u64 {
        match part {
            OverPart::Head => self.head,
            OverPart::Tools => self.tools,
            OverPart::Context => self.context,
            OverPart::Pins => self.pins,
            OverPart::Pending => self.pending,
            OverPart::Kept | OverPart::Request => 0,
        }
    }

    /// The largest part; of equal ones the last, which is the easiest to change.
    pub(crate) fn largest(&self) -> OverPart {
        use OverPart::{Context, Head, Pending, Pins, Tools};
        [Head, Tools, Context, Pins, Pending].into_iter().max_by_key(|part| self.of(*part)).unwrap_or(Pending)
    }

    /// The room for a part: what the others leave of the limit.
    pub(crate) fn room_for(&self, part: OverPart) -> u64 {
        self.limit.saturating_sub(self.total().saturating_sub(self.of(part)))
    }
}

/// The part of a request that is too long.
///
/// # Examples
/// ```
/// use turnwise::error::OverPart;
/// use turnwise::{Message, SlidingWindow, TokenBudget, trim};
///
/// let messages = [Message::system("Be brief. ".repeat(100)), Message::user("Hi")];
/// let error = trim(&messages, &TokenBudget::limit(50), &SlidingWindow::tokens()).unwrap_err();
/// assert_eq!(error.over_budget().unwrap().part, OverPart::Head);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverPart {
    /// The leading system and developer messages.
    Head,
    /// The tool definitions.
    Tools,
    /// The messages that are sent with this request only.
    Context,
    /// The pinned messages.
    Pins,
    /// The messages that the request must answer.
    Pending,
    /// What the strategy keeps, although it could leave some of it out.
    Kept,
    /// The whole request, which a server refused.
    Request,
}
