//! A plan in words and columns.

use std::fmt;

use super::plan::{Fate, Plan};
use crate::words::{counted, thousands};

pub(super) struct Explain<'a>(pub(super) &'a Plan);

impl fmt::Display for Explain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let (head, path) = (plan.head_len(), plan.record().path());
        let (total, evicted) = (head + path.len(), plan.evicted());
        let about = if plan.tokens().estimated { "about " } else { "" };
        writeln!(
            f,
            "{}: sends {} of {}, {about}{} of {} tokens",
            plan.strategy(),
            total - evicted,
            counted(total, "message"),
            thousands(plan.tokens().total()),
            thousands(plan.budget().limit),
        )?;
        writeln!(f, "  {}", plan.budget())?;
        let width = total.to_string().len();
        if head > 0 {
            line(f, Fate::Kept, 0..head, width, plan.tokens().head, &"always sent first")?;
        }
        for run in plan.runs() {
            let messages = run.positions.start + head..run.positions.end + head;
            line(f, run.fate, messages, width, run.tokens, &run.reason)?;
        }
        let tokens = plan.tokens();
        write!(
            f,
            "  {} head + {} tools + {} history + {} to open the reply = {about}{}",
            thousands(tokens.head),
            thousands(tokens.tools),
            thousands(tokens.history),
            thousands(tokens.overhead),
            thousands(tokens.total())
        )
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    fate: Fate,
    messages: std::ops::Range<usize>,
    width: usize,
    tokens: u64,
    why: &dyn fmt::Display,
) -> fmt::Result {
    let (sign, word) = match fate {
        Fate::Kept => ('+', "sent"),
        Fate::Evicted => ('-', "left out"),
    };
    let span = match messages.len() {
        1 => format!("{:>width$}{:>pad$}", messages.start, "", pad = width + 1),
        _ => format!("{:>width$}-{:<width$}", messages.start, messages.end - 1),
    };
    let count = counted(messages.len(), "message");
    writeln!(f, "  {sign} {span}  {word:<8}  {count:>13} {:>9} tokens  {why}", thousands(tokens))
}
