//! Files in, with what they are to be planned with.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};

use turnwise::{ChatCost, Conversation, Models, Planner, Summary, TokenBudget, Transcript, Transcripts, Wire};

use crate::args;
use crate::dialects::wire;
use crate::failure::{Failure, Result};

/// A conversation of a file, with a name for people.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) file: Transcript,
}

/// The conversations of files one after the other, those that `--only` asks for.
pub(crate) fn conversations<'a>(
    files: &'a [String],
    input: &args::Input,
) -> impl Iterator<Item = Result<Loaded>> + use<'a> {
    let only = input.only.clone();
    let wanted = files.join(", ");
    let mut is_missing = only.is_some();
    let mut last = 0;
    let mut all = files.iter().flat_map(|file| of_file(file));
    std::iter::from_fn(move || {
        let Some(only) = &only else { return all.next().map(|(_, loaded)| loaded) };
        let chosen = all.find(|(number, loaded)| {
            last = last.max(*number);
            match loaded {
                Ok(loaded) => *only == number.to_string() || Some(only) == id(&loaded.file).as_ref(),
                // Line that cannot be read is somebody else's business, unless it is the one that is asked for.
                Err(_) => *only == number.to_string() || *number == 0,
            }
        });
        match chosen {
            Some((_, loaded)) => {
                is_missing = false;
                Some(loaded)
            }
            None if std::mem::take(&mut is_missing) => {
                let message =
                    format!("{wanted}: no conversation has the number or id `{only}`; the numbers go from 1 to {last}");
                Some(Err(Failure::usage(message)))
            }
            None => None,
        }
    })
}

/// The conversations of a file with their numbers; 0 for a file that cannot be opened.
fn of_file(path: &str) -> Box<dyn Iterator<Item = (usize, Result<Loaded>)>> {
    let reader: Box<dyn BufRead> = match path {
        "-" => Box::new(stdin().lock()),
        _ => match File::open(path) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(e) => return Box::new(std::iter::once((0, Err(Failure::Failed(format!("{path}: {e}")))))),
        },
    };
    let path = path.to_owned();
    Box::new((1..).zip(Transcripts::new(reader)).map(move |(number, read)| {
        let named = |file| {
            let name = id(&file).unwrap_or_else(|| format!("{path}, conversation {number}"));
            Loaded { name, file }
        };
        (number, read.map(named).map_err(|error| Failure::from(error).within(&path)))
    }))
}

/// A file as text; `-` is the standard input.
pub(crate) fn text(path: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let read = match path {
        "-" => stdin().lock().read_to_end(&mut bytes),
        _ => File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.map_err(|e| Failure::Failed(format!("{path}: {e}")))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Failure::Failed(format!("{path}: not UTF-8 from byte {at} on"))
    })
}

/// Does something with each conversation of the files. One that fails is said and does not keep the others from their turn.
pub(crate) fn for_each(files: &[String], input: &args::Input, mut act: impl FnMut(Loaded) -> Result<()>) -> Result<()> {
    let (mut code, mut is_any_done) = (None, false);
    for loaded in conversations(files, input) {
        match loaded.and_then(&mut act) {
            Ok(()) => is_any_done = true,
            Err(failure @ Failure::Failed(_)) => {
                failure.report();
                code = Some(1);
            }
            Err(failure @ Failure::Usage(_)) => {
                failure.report();
                code = code.or(Some(2));
            }
            Err(other) => return Err(other),
        }
    }
    match code {
        None => Ok(()),
        Some(_) if is_any_done => Err(Failure::Said(1)),
        Some(code) => Err(Failure::Said(code)),
    }
}

fn id(file: &Transcript) -> Option<String> {
    file.extra.iter().find(|(key, _)| key == "id").and_then(|(_, id)| id.parse().ok())
}

/// States the rules of the command line in a conversation.
pub(crate) fn constrain(file: &mut Transcript, rules: &args::Rules) -> Result<()> {
    for rule in &rules.constrain {
        if rule.trim().is_empty() {
            return Err(Failure::usage("--constrain needs a text, such as \"Answer in French.\""));
        }
        file.conversation.constrain(rule);
    }
    Ok(())
}

/// The summary with this number, of those that stand for messages of the path.
pub(crate) fn summary(conversation: &Conversation, number: usize) -> Result<&Summary> {
    conversation.summaries().find(|summary| summary.id.index() == number).ok_or_else(|| {
        let known: Vec<String> = conversation.summaries().map(|summary| summary.id.index().to_string()).collect();
        let there = match &*known {
            [] => "it has none".to_owned(),
            known => format!("it has {}", known.join(", ")),
        };
        Failure::usage(format!("no summary of this conversation has the number {number}; {there}"))
    })
}

/// The model to count for: the one asked for, else the file's.
pub(crate) fn cost(models: &Models, asked: Option<&str>, file: &Transcript) -> ChatCost {
    ChatCost::for_model(models.find(asked.or(file.model.as_deref()).unwrap_or("")))
}

/// A planner for one conversation.
pub(crate) fn planner(
    models: &Models,
    asked: &args::Budget,
    dialect: &args::Dialect,
    file: &Transcript,
) -> Result<Planner> {
    let model = asked.model.as_deref().or(file.model.as_deref());
    let budget = budget(models, asked, model)?;
    let cost = cost(models, asked.model.as_deref(), file);
    let planner = Planner::new(cost, &budget)?.tools(file.tools.clone());
    let mut planner = fitted(planner.params(file.costly_params()), &wire(dialect, Some(file))?);
    if asked.never_cut {
        planner = planner.never_cut();
    }
    if asked.start_on_user {
        planner = planner.start_on_user();
    }
    Ok(match model {
        Some(model) => planner.model(model),
        None => planner,
    })
}

/// The planner for requests that are fitted to a server.
pub(crate) fn fitted(planner: Planner, wire: &Wire) -> Planner {
    // The default one would only repeat what a planner does by itself.
    match *wire == Wire::default() {
        true => planner,
        false => planner.wire(wire.clone()),
    }
}

/// The budget that was asked for, or a model's.
pub(crate) fn budget(models: &Models, asked: &args::Budget, model: Option<&str>) -> Result<TokenBudget> {
    let mut budget = match (asked.budget, model) {
        (Some(tokens), _) => TokenBudget::limit(tokens),
        (None, Some(model)) => TokenBudget::for_model(models.find(model))?,
        (None, None) => {
            let message = "how much may be sent? the file names no model; give --budget TOKENS or --model NAME";
            return Err(Failure::usage(message));
        }
    };
    if let Some(tokens) = asked.reserve {
        budget = budget.reply_reserve(tokens);
    }
    if let Some(part) = asked.high {
        budget = budget.high_mark(part);
    }
    if let Some(part) = asked.low {
        budget = budget.low_mark(part);
    }
    Ok(budget)
}
