//! Opens the conversation that the command line names.

use std::io::ErrorKind;
use std::path::Path;

use turnwise::backend::ChatBackend;
use turnwise::backend::openai::OpenAi;
use turnwise::message::RawJson;
use turnwise::strategy::parse;
use turnwise::{Builder, ConversationManager, Models, TokenBudget, Transcript};

use crate::args::Chat;
use crate::dialects::dialect_to_save;
use crate::failure::{Failure, Result};
use crate::input;

/// The conversation of the file, or a new one. The session saves it, also after commands.
pub(super) fn open(args: &Chat, models: &Models) -> Result<ConversationManager> {
    let file = match &args.file {
        Some(name) => load(name).map_err(|failure| failure.within(name.display()))?,
        None => None,
    };
    let of_file = || file.as_ref().and_then(|file| file.model.clone());
    let model = args.model.clone().or_else(of_file).or_else(|| std::env::var("OPENAI_MODEL").ok());
    let model = model.ok_or_else(|| Failure::usage("no model: pass --model NAME or set OPENAI_MODEL"))?;
    let backend = OpenAi::from_env();
    let inside = |failure| args.file.iter().map(|file| file.display()).fold(failure, Failure::within);
    let within = |e| inside(Failure::from(e));
    let dialect = dialect_to_save(backend.server(), &args.dialect, file.as_ref()).map_err(inside)?;
    let setup = with_options(ConversationManager::builder(models.find(&model)).backend(backend), args)?;
    let setup = match dialect {
        Some(dialect) => setup.dialect(dialect),
        None => setup,
    };
    let chat = match file {
        Some(file) => setup.open(file),
        None => setup.build(),
    };
    let chat = chat.map_err(within)?;
    if let Some(name) = &args.file {
        // Fail now, before paying for a reply that could not be saved.
        chat.check_save(name).map_err(within)?;
    }
    Ok(chat)
}

fn with_options(setup: Builder, args: &Chat) -> Result<Builder> {
    let mut setup = setup.strategy(parse(&args.strategy)?);
    if args.start_on_user {
        setup = setup.start_on_user();
    }
    if let Some(tokens) = args.budget {
        setup = setup.budget(TokenBudget::limit(tokens));
    }
    if let Some(system) = &args.system {
        setup = setup.system(system);
    }
    if let Some(tokens) = args.max_reply {
        setup = setup.max_completion_tokens(tokens);
    }
    for param in &args.param {
        let invalid =
            |why: &str| Failure::usage(format!("--param {param}: {why}; write NAME=JSON, such as temperature=0"));
        let (name, value) = param.split_once('=').ok_or_else(|| invalid("`=` is missing"))?;
        setup = setup.param(name, RawJson::new(value).map_err(|e| invalid(e.detail()))?);
    }
    Ok(setup)
}

/// The conversation of an existing file; `None` if the file is missing or empty.
fn load(name: &Path) -> Result<Option<Transcript>> {
    if name == Path::new("-") {
        return Err(Failure::usage(
            "`-` cannot be a chat's file: the messages are read from the standard input; name a file",
        ));
    }
    match std::fs::metadata(name) {
        Ok(found) if !found.is_file() => {
            Err(Failure::Failed("not a regular file, and a chat can only be saved to one".into()))
        }
        Ok(found) if found.len() > 0 => input::to_change(name).map(Some),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == ErrorKind::NotFound => match missing_folder(name) {
            Some(missing) => {
                Err(Failure::Failed(format!("the folder {} does not exist; create it first", missing.display())))
            }
            None => Ok(None),
        },
        Err(e) => Err(Failure::Failed(e.to_string())),
    }
}

/// The folder of a file, if it does not exist.
fn missing_folder(name: &Path) -> Option<&Path> {
    let folder = name.parent()?;
    (!folder.as_os_str().is_empty() && !folder.is_dir()).then_some(folder)
}
