//! Files in, with what they are to be planned with.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};

use turnwise::{ChatCost, Planner, TokenBudget, Transcript, Transcripts};

use crate::args;
use crate::failure::{Failure, Result};

/// A conversation of a file, with a name for people.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) file: Transcript,
}

/// The conversations of a file one after the other, those that `--only` asks for.
pub(crate) fn conversations(file: &str, input: &args::Input) -> Result<impl Iterator<Item = Result<Loaded>>> {
    let reader: Box<dyn BufRead> = match file {
        "-" => Box::new(stdin().lock()),
        path => Box::new(BufReader::new(File::open(path).map_err(|e| Failure::Failed(format!("{path}: {e}")))?)),
    };
    let (path, only) = (file.to_owned(), input.only.clone());
    let mut found = false;
    let mut all = Transcripts::new(reader).enumerate();
    Ok(std::iter::from_fn(move || {
        for (index, read) in all.by_ref() {
            let number = index + 1;
            let file = match read {
                Ok(file) => file,
                Err(error) => return Some(Err(Failure::from(error).within(&path))),
            };
            let id = id(&file);
            if only.as_ref().is_none_or(|only| *only == number.to_string() || Some(only) == id.as_ref()) {
                found = true;
                let name = id.unwrap_or_else(|| format!("{path}, conversation {number}"));
                return Some(Ok(Loaded { name, file }));
            }
        }
        let missing = only.as_ref().filter(|_| !std::mem::replace(&mut found, true))?;
        Some(Err(Failure::usage(format!("{path} has no conversation with the number or id `{missing}`"))))
    }))
}

/// The conversations of several files.
pub(crate) fn all<'a>(files: &'a [String], input: &'a args::Input) -> impl Iterator<Item = Result<Loaded>> + use<'a> {
    files.iter().flat_map(|file| -> Box<dyn Iterator<Item = Result<Loaded>>> {
        match conversations(file, input) {
            Ok(loaded) => Box::new(loaded),
            Err(failure) => Box::new(std::iter::once(Err(failure))),
        }
    })
}

fn id(file: &Transcript) -> Option<String> {
    file.extra.iter().find(|(key, _)| key == "id").and_then(|(_, id)| id.parse().ok())
}

/// The model to count for: the one asked for, else the file's.
pub(crate) fn cost(asked: Option<&str>, file: &Transcript) -> ChatCost {
    ChatCost::for_model(asked.or(file.model.as_deref()).unwrap_or(""))
}

/// A planner for one conversation.
pub(crate) fn planner(asked: &args::Budget, file: &Transcript) -> Result<Planner> {
    let model = asked.model.as_deref().or(file.model.as_deref());
    let budget = match (asked.budget, model) {
        (Some(tokens), _) => TokenBudget::limit(tokens.saturating_add(asked.reserve.unwrap_or(0))),
        (None, Some(model)) => TokenBudget::for_model(model)?,
        (None, None) => {
            let message = "how much may be sent? the file names no model; give --budget TOKENS or --model NAME";
            return Err(Failure::usage(message));
        }
    };
    let budget = marks(budget, asked);
    let planner = Planner::new(cost(asked.model.as_deref(), file), &budget)?.tools(file.tools.clone());
    Ok(match model {
        Some(model) => planner.model(model),
        None => planner,
    })
}

fn marks(mut budget: TokenBudget, asked: &args::Budget) -> TokenBudget {
    if let Some(tokens) = asked.reserve {
        budget = budget.reply_reserve(tokens);
    }
    if let Some(part) = asked.high {
        budget = budget.high_mark(part);
    }
    if let Some(part) = asked.low {
        budget = budget.low_mark(part);
    }
    budget
}
