//! `turnwise replay`: one line of JSON for each request, and the comparison with a saved replay.

mod difference;
mod file;

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use turnwise::replay::{Totals, replay_with};
use turnwise::strategy::parse;
use turnwise::{Models, Strategy};

use crate::args;
use crate::failure::{Failure, Result};
use crate::input::{self, Loaded, Outcome};
use crate::interrupt;
use crate::output::{Named, json_line, stdout};
use crate::parallel;
use crate::progress::Planning;

use difference::Difference;
use file::ReplayFile;

/// The last line of the output.
#[derive(Serialize)]
struct Last<'a> {
    summary: Summary<'a>,
}

#[derive(Serialize)]
struct Summary<'a> {
    strategy: &'a str,
    #[serde(flatten)]
    totals: Totals,
    prefix_share: Option<f64>,
}

/// What was done so far.
#[derive(Clone, Copy, Default, Deserialize, Serialize)]
struct Done {
    /// How many conversations were read, also those that failed.
    conversations: usize,
    failures: usize,
    totals: Totals,
}

/// Where the lines go.
enum Target {
    Stdout(Box<dyn Write>),
    File(ReplayFile),
    Difference(Difference),
}

/// One conversation: its lines, and their sums.
struct Replayed {
    lines: Vec<u8>,
    totals: Totals,
}

/// Runs the command. `models_file` is where models come from that are not built in.
pub(crate) fn run(args: &args::Replay, models: &Models, models_file: Option<&Path>) -> Result<()> {
    #[cfg(feature = "openai")]
    if args.live {
        return crate::live::run(args, models);
    }
    let strategy = parse(&args.strategy)?;
    input::check(&args.files)?;
    let mut done = Done::default();
    let mut target = match (&args.diff, &args.output) {
        (Some(old), _) => Target::Difference(Difference::from(old)?),
        (None, Some(file)) if file.to_str() != Some("-") => match ReplayFile::open(file, args, models_file)? {
            Some((file, before)) => {
                done = before;
                Target::File(file)
            }
            // An earlier run has completed it.
            None => return Ok(()),
        },
        (None, _) => Target::Stdout(stdout(true)),
    };
    let ended = write(args, models, &*strategy, &mut done, &mut target);
    target.end(&done, ended)
}

/// Writes the lines of all conversations after the first `done`, and the summary.
fn write(
    args: &args::Replay,
    models: &Models,
    strategy: &dyn Strategy,
    done: &mut Done,
    target: &mut Target,
) -> Result<()> {
    let mut outcome = Outcome::new(&args.files);
    let mut planning = Planning::of(&args.files, matches!(target, Target::Stdout(_)));
    let conversations = input::chosen(&args.files, &args.input).skip(done.conversations);
    let replay =
        |(file, loaded): (usize, Result<Loaded>)| (file, loaded.map(|loaded| replayed(loaded, args, models, strategy)));
    parallel::in_order(parallel::threads(args.threads), conversations, replay, |(file, replayed)| {
        let mut now = *done;
        now.conversations += 1;
        let written = match replayed {
            Ok(Ok(replayed)) => {
                target.write(&replayed.lines)?;
                planning.add(replayed.totals.requests);
                now.totals.add(&replayed.totals);
                Ok(Ok(()))
            }
            // The options cannot be used: no other conversation would do better.
            Ok(Err(failure @ Failure::Usage(_))) => return Err(failure),
            Ok(Err(failure)) => {
                now.failures += 1;
                Ok(Err(failure))
            }
            Err(failure) => {
                now.failures += 1;
                Err(failure)
            }
        };
        // Only what was written is done: a run that is resumed does the rest.
        *done = now;
        outcome.add(file, written)?;
        target.keep(done)
    })?;
    drop(planning);
    if done.totals.conversations > 0 || done.failures == 0 {
        let summary =
            Summary { strategy: &strategy.spec(), totals: done.totals, prefix_share: done.totals.prefix_share() };
        let mut line = Vec::new();
        json_line(&mut line, &Last { summary })?;
        target.write(&line)?;
    }
    outcome.end()?;
    // Those of an earlier run were reported by it.
    if done.failures > 0 { Err(Failure::Said(1)) } else { Ok(()) }
}

fn replayed(loaded: Loaded, args: &args::Replay, models: &Models, strategy: &dyn Strategy) -> Result<Replayed> {
    let Loaded { name, mut file, .. } = loaded;
    let planner =
        input::planner(models, &args.budget, &args.dialect, &file).map_err(|failure| failure.within(&name))?;
    let extras = input::extras(&file);
    let replay = replay_with(&file.conversation, &mut file.ledger, &planner, strategy, &extras)
        .map_err(|e| Failure::from(e).within(&name))?;
    let mut lines = Vec::new();
    for request in &replay.requests {
        json_line(&mut lines, &Named { conversation: &name, value: request })?;
    }
    Ok(Replayed { lines, totals: replay.totals })
}

impl Target {
    fn write(&mut self, lines: &[u8]) -> Result<()> {
        match self {
            Self::Stdout(out) => Ok(out.write_all(lines)?),
            Self::File(file) => file.write(lines),
            Self::Difference(difference) => difference.check(lines),
        }
    }

    /// Keeps what is needed to go on, and ends the run if the program was told to stop.
    fn keep(&mut self, done: &Done) -> Result<()> {
        let Self::File(file) = self else { return Ok(()) };
        if interrupt::is_stopped() {
            return Err(Failure::Interrupted(file.stopped(done)));
        }
        file.keep_now_and_then(done)
    }

    /// Completes the output. `ended` is how the run has ended.
    fn end(self, done: &Done, ended: Result<()>) -> Result<()> {
        let is_over = matches!(ended, Ok(()) | Err(Failure::Said(_)));
        match self {
            Self::File(file) if is_over => file.complete(done)?,
            Self::File(mut file) => file.keep(done)?,
            Self::Difference(mut difference) if ended.is_ok() => difference.end()?,
            Self::Stdout(mut out) if is_over => out.flush()?,
            Self::Difference(_) | Self::Stdout(_) => {}
        }
        ended
    }
}
