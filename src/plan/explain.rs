//! A plan in words and columns.

use std::fmt;

use super::draft::Fate;
use super::plan::{Moved, Plan};
use super::refuse::messages;
use super::step::TrimsTo;
use crate::budget::Limit;
use crate::text::{counted, thousands};

impl Plan {
    /// A text for a person: what was kept, what was not, why, and the arithmetic.
    pub fn explain(&self) -> impl fmt::Display + '_ {
        Explain(self)
    }
}

struct Explain<'a>(&'a Plan);

impl fmt::Display for Explain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let (head, path) = (plan.head_len(), plan.record().path());
        let (total, evicted) = (head + path.len(), plan.evicted());
        let figure = |tokens: u64| format!("{}{}", if plan.tokens().estimated { "~" } else { "" }, thousands(tokens));
        writeln!(
            f,
            "{}: sends {} of {}, {} of {} tokens",
            plan.strategy(),
            total - evicted,
            counted(total, "message"),
            figure(plan.tokens().total()),
            thousands(plan.budget().limit),
        )?;
        let budget = plan.budget();
        match plan.trims_to {
            TrimsTo::LowMark => writeln!(f, "  {budget}")?,
            TrimsTo::HighMark => writeln!(f, "  {}; trims above {}", Limit(budget), thousands(budget.high))?,
            TrimsTo::Nothing => writeln!(f, "  {}; refuses above {}", Limit(budget), thousands(budget.limit))?,
        }
        steps(f, plan)?;
        let width = total.to_string().len();
        if head > 0 {
            line(f, Fate::Kept, 0..head, head, width, &figure(plan.tokens().head), "always sent first")?;
        }
        for run in plan.runs() {
            let mut why = run.reason.to_string();
            if run.saved > 0 {
                why = format!("{why}, {} saved", figure(run.saved));
            }
            if !run.apart.is_empty() {
                let apart: Vec<usize> = run.apart.iter().map(|position| position + head).collect();
                why = format!("{why}; with {}", messages(&apart));
            }
            let span = run.positions.start + head..run.positions.end + head;
            line(f, run.fate, span, run.messages(), width, &figure(run.tokens), &why)?;
        }
        moved(f, plan)?;
        let tokens = plan.tokens();
        let summary = match tokens.summary {
            0 => String::new(),
            summary => format!(" + {} for the summary", figure(summary)),
        };
        let context = match tokens.context {
            0 => String::new(),
            context => format!(" + {} for context", figure(context)),
        };
        write!(
            f,
            "  {} for the head + {} for tools + {} for history{summary}{context} + {} to open the reply = {} tokens",
            figure(tokens.head),
            figure(tokens.tools),
            figure(tokens.history),
            tokens.overhead,
            figure(tokens.total())
        )?;
        for warning in plan.warnings().iter().chain(&plan.assumed_images()) {
            write!(f, "\n  ! {warning}")?;
        }
        match plan.summary_request() {
            Some(request) => write!(
                f,
                "\n  worth a summary of at most {} tokens: {} of about {} tokens",
                thousands(request.most),
                counted(usize::try_from(request.calls).unwrap_or(usize::MAX), "call"),
                thousands(request.tokens / request.calls.max(1))
            ),
            None => Ok(()),
        }
    }
}

/// The steps of a ladder, with what they saved and what they cost.
fn steps(f: &mut fmt::Formatter<'_>, plan: &Plan) -> fmt::Result {
    let [_, _, ..] = plan.steps() else { return Ok(()) };
    let width = plan.steps().iter().map(|step| step.strategy.chars().count()).max().unwrap_or(0);
    for (number, step) in (1..).zip(plan.steps()) {
        write!(f, "  {number}. {:<width$}  ", step.strategy)?;
        match step.saved {
            Some(saved) => {
                let tokens = if saved == 1 { "token saved " } else { "tokens saved" };
                writeln!(f, "{:>9} {tokens}  {}", thousands(saved), step.price)?;
            }
            None => writeln!(f, "not needed")?,
        }
    }
    Ok(())
}

/// Which results are sent before messages that stand before them.
fn moved(f: &mut fmt::Formatter<'_>, plan: &Plan) -> fmt::Result {
    let moved: Vec<Moved> = plan.moved().collect();
    for same in moved.chunk_by(|one, next| one.calls == next.calls) {
        let results: Vec<usize> = same.iter().map(|moved| moved.message).collect();
        let verb = if results.len() == 1 { "is" } else { "are" };
        writeln!(f, "  > {} {verb} sent directly after the call in message {}", messages(&results), same[0].calls)?;
    }
    Ok(())
}

fn line(
    f: &mut fmt::Formatter<'_>,
    fate: Fate,
    span: std::ops::Range<usize>,
    messages: usize,
    width: usize,
    tokens: &str,
    why: &str,
) -> fmt::Result {
    let (sign, word) = match fate {
        Fate::Kept => ('+', "sent"),
        Fate::Shrunk => ('~', "shorter"),
        Fate::Summarized => ('=', "summary"),
        Fate::Evicted => ('-', "left out"),
    };
    let span = match span.len() {
        1 => format!("{:>width$}{:>pad$}", span.start, "", pad = width + 1),
        _ => format!("{:>width$}-{:<width$}", span.start, span.end - 1),
    };
    let count = counted(messages, "message");
    writeln!(f, "  {sign} {span}  {word:<8}  {count:>13} {tokens:>9} tokens  {why}")
}
