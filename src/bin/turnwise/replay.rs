//! `turnwise replay`

use std::io::Write;

use serde::Serialize;
use turnwise::replay;
use turnwise::replay::Totals;
use turnwise::strategy::parse;

use crate::args;
use crate::failure::{Failure, Result};
use crate::input::{self, Loaded};
use crate::output::{Named, json_line, stdout};

/// The last line.
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

pub(crate) fn run(args: &args::Replay) -> Result<()> {
    let strategy = parse(&args.strategy)?;
    let mut out = stdout(true);
    let mut totals = Totals::default();
    for loaded in input::conversations(&args.files, &args.input) {
        let Loaded { name, mut file } = loaded?;
        let planner = input::planner(&args.budget, &file).map_err(|failure| failure.within(&name))?;
        let replay = replay(&file.conversation, &mut file.ledger, &planner, &*strategy)
            .map_err(|e| Failure::from(e).within(&name))?;
        for request in &replay.requests {
            json_line(&mut out, &Named { conversation: &name, value: request })?;
        }
        totals.add(&replay.totals);
    }
    let summary = Summary { strategy: &strategy.spec(), totals, prefix_share: totals.prefix_share() };
    json_line(&mut out, &Last { summary })?;
    out.flush()?;
    Ok(())
}
