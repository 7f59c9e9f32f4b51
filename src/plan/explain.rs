//! `Plan::explain`: a plan as text for a person. It reads the plan and its record and no clock, so
//! the same plan gives the same text.

use std::fmt;
use std::ops::Range;

use super::draft::Fate;
use super::plan::{Moved, Plan, RequestTokens};
use super::refuse::messages;
use super::runs::Run;
use crate::dialect::Dialect;
use crate::text::{counted, thousands};

impl Plan {
    /// A text for people: what is sent, what is not, why, and the arithmetic.
    pub fn explain(&self) -> impl fmt::Display + '_ {
        Explain(self)
    }
}

struct Explain<'a>(&'a Plan);

impl fmt::Display for Explain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let total: usize = plan.runs().iter().map(Run::messages).sum();
        let figure = |tokens: u64| marked(tokens, plan.tokens().estimated);
        writeln!(
            f,
            "{}: sends {} of {}, {} of {} tokens",
            plan.strategy(),
            total - plan.evicted(),
            counted(total, "message"),
            figure(plan.tokens().total()),
            thousands(plan.budget().limit),
        )?;
        writeln!(f, "  {}", plan.budget())?;
        if *plan.dialect() != Dialect::default() {
            writeln!(f, "  dialect {}", plan.dialect())?;
        }
        steps(f, plan)?;
        let width = total.to_string().len();
        for run in plan.runs() {
            let mut why = run.reason.to_string();
            if run.saved > 0 {
                why = format!("{why}, {} saved", figure(run.saved));
            }
            if !run.apart.is_empty() {
                why = format!("{why}; with {}", messages(&run.apart));
            }
            line(f, run, width, &marked(run.tokens, is_estimated(plan, run)), &why)?;
        }
        moved(f, plan)?;
        sum(f, plan.tokens())?;
        for warning in plan.warnings().iter().chain(&plan.assumed_images()) {
            write!(f, "\n  ! {warning}")?;
        }
        match plan.summary_request() {
            Some(request) => write!(
                f,
                "\n  worth a summary: {} tokens of messages in at most {}",
                thousands(request.tokens),
                thousands(request.most)
            ),
            None => Ok(()),
        }
    }
}

/// What the parts of the request cost together.
fn sum(f: &mut fmt::Formatter<'_>, tokens: &RequestTokens) -> fmt::Result {
    let figure = |part: u64| marked(part, tokens.estimated);
    let optional = |part: u64, what: &str| if part > 0 { format!(" + {} {what}", figure(part)) } else { String::new() };
    write!(
        f,
        "  {} for the head + {} for tools + {} for history{}{} + {} to open the reply = {} tokens",
        figure(tokens.head),
        figure(tokens.tools),
        figure(tokens.history),
        optional(tokens.summary, "for the summary"),
        optional(tokens.context, "for context"),
        tokens.overhead,
        figure(tokens.total())
    )
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
                let price = match step.price {
                    0 => "free".to_owned(),
                    price => format!("{} tokens to summarize", thousands(price)),
                };
                writeln!(f, "{:>9} {tokens}  {price}", thousands(saved))?;
            }
            None => writeln!(f, "not needed")?,
        }
    }
    Ok(())
}

/// Which results are sent before messages that precede them in the record.
fn moved(f: &mut fmt::Formatter<'_>, plan: &Plan) -> fmt::Result {
    let moved: Vec<Moved> = plan.moved().collect();
    for same in moved.chunk_by(|one, next| one.calls == next.calls) {
        let results: Vec<usize> = same.iter().map(|moved| moved.message).collect();
        let verb = if results.len() == 1 { "is" } else { "are" };
        writeln!(f, "  > {} {verb} sent directly after the call in message {}", messages(&results), same[0].calls)?;
    }
    Ok(())
}

/// Whether the tokens of a run are an estimate. The plan's own mark covers only what is sent.
fn is_estimated(plan: &Plan, run: &Run) -> bool {
    plan.tokens().estimated || run.groups.clone().any(|group| !plan.sums.group(group).exact)
}

fn marked(tokens: u64, is_estimated: bool) -> String {
    format!("{}{}", if is_estimated { "~" } else { "" }, thousands(tokens))
}

fn line(f: &mut fmt::Formatter<'_>, run: &Run, width: usize, tokens: &str, why: &str) -> fmt::Result {
    let (sign, word) = match run.fate {
        Fate::Kept => ('+', "sent"),
        Fate::Shrunk => ('~', "shorter"),
        Fate::Summarized => ('=', "summary"),
        Fate::Evicted => ('-', "left out"),
    };
    let Range { start, end } = run.indexes;
    let span = match end - start {
        1 => format!("{start:>width$}{:>pad$}", "", pad = width + 1),
        _ => format!("{start:>width$}-{:<width$}", end - 1),
    };
    let count = counted(run.messages(), "message");
    writeln!(f, "  {sign} {span}  {word:<8}  {count:>13} {tokens:>9} tokens  {why}")
}
