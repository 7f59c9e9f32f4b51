//! The strategies: each decides which groups of a conversation are sent. There is one per file.
//!
//! They use the public interface only: a [`View`](crate::View) comes in, a [`Draft`](crate::Draft)
//! goes out. How a plan is made from the draft: [`plan`](crate::plan).

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
