//! The strategies: each decides which groups of a conversation are sent. There is one per file.
//!
//! They see what any strategy sees, a [`View`](crate::View), and answer with a
//! [`Draft`](crate::Draft); a program can write any of them outside this crate. How a plan is made
//! of the answer: [`plan`](mod@crate::plan).
//!
//! [`SlidingWindow`], [`HeadTail`], [`Recall`] and [`Everything`] decide what is left out.
//! [`Summarize`] asks for a summary of it. [`ClearTools`] and [`DropReasoning`] make messages
//! smaller, and are steps of a [`Ladder`]. [`parse`] reads a strategy by its name, and
//! [`STRATEGIES`] lists the names with their options.

mod clear_tools;
mod drop_reasoning;
mod everything;
mod head_tail;
mod ladder;
mod listed;
mod options;
mod recall;
mod summarize;
mod sweep;
mod tools;
mod window;

pub use clear_tools::ClearTools;
pub use drop_reasoning::DropReasoning;
pub use everything::Everything;
pub use head_tail::HeadTail;
pub use ladder::Ladder;
pub use listed::{STRATEGIES, parse};
pub use options::Listed;
pub use recall::Recall;
pub use summarize::Summarize;
pub use window::SlidingWindow;

#[cfg(test)]
#[path = "strategy_tests.rs"]
mod tests;
