//! Opens the conversation that the command line names.

use std::io::ErrorKind;
use std::path::Path;

use turnwise::backend::ChatBackend;
use turnwise::message::RawJson;
use turnwise::store::wait;
use turnwise::strategy::parse;
use turnwise::{Builder, ConversationManager, Models, TokenBudget, Transcript};

use crate::args::{Chat, InStore};
use crate::blobs;
use crate::dialects::dialect_to_save;
use crate::endpoint;
use crate::failure::{self, Failure, Result};
use crate::input;
use crate::stores::Place;

/// The conversation of the file, or a new one. The session saves it, also after commands.
pub(super) fn open(args: &Chat, models: &Models) -> Result<ConversationManager> {
    let Some(name) = &args.file else {
        let setup = setup(args, models, None, None)?;
        if args.kept.is_asked_for() {
            return in_store(setup, args);
        }
        return Ok(setup.build()?);
    };
    let within = |failure: Failure| failure.within(name.display());
    let file = load(name).map_err(within)?;
    let setup = setup(args, models, file.as_ref(), Some(name))?;
    let chat = match file {
        Some(file) => setup.open(file),
        None => setup.build(),
    };
    let chat = chat.map_err(|e| within(e.into()))?;
    // Fail now, before paying for a reply that could not be saved.
    chat.check_save(name).map_err(|e| within(e.into()))?;
    Ok(chat)
}

/// The conversation of an open chat under other settings. It must be saved in `file`, if that
/// exists, so that it can be read from there and saved there again.
pub(super) fn reopen(
    args: &Chat,
    models: &Models,
    chat: &ConversationManager,
    file: Option<&Path>,
) -> Result<ConversationManager> {
    let transcript = match file.filter(|file| file.exists()) {
        Some(file) => Transcript::load(file)?,
        None => chat.transcript(),
    };
    let setup = setup(args, models, Some(&transcript), file)?;
    if file.is_none() && args.kept.is_asked_for() {
        let id = chat.id().to_owned();
        return in_store(
            setup,
            &Chat { kept: InStore { conversation: Some(id), ..args.kept.clone() }, ..args.clone() },
        );
    }
    Ok(setup.open(transcript)?)
}

/// A copy of an open chat that is saved nowhere.
pub(super) fn copy(args: &Chat, models: &Models, chat: &ConversationManager) -> Result<ConversationManager> {
    let transcript = chat.transcript();
    Ok(setup(args, models, Some(&transcript), None)?.open(transcript)?)
}

/// The settings that the command line asks for, and those of the conversation where it does not.
fn setup(args: &Chat, models: &Models, conversation: Option<&Transcript>, file: Option<&Path>) -> Result<Builder> {
    let model = endpoint::model(args.model.as_deref(), conversation)?;
    let backend = endpoint::backend(args.base_url.as_deref());
    let dialect = dialect_to_save(backend.server(), &args.dialect, conversation)
        .map_err(|failure| file.iter().map(|file| file.display()).fold(failure, Failure::within))?;
    let setup = with_options(ConversationManager::builder(models.find(&model)).backend(backend), args)?;
    let setup = match dialect {
        Some(dialect) => setup.dialect(dialect),
        None => setup,
    };
    Ok(match file {
        Some(file) => setup.blobs(blobs::folder(file)),
        None => setup,
    })
}

/// A conversation of a store, where it is saved by itself.
fn in_store(setup: Builder, args: &Chat) -> Result<ConversationManager> {
    let url = args.kept.store.as_deref();
    let place = Place::open(url)?;
    let name = url.unwrap_or("the store");
    let id = match &args.kept.conversation {
        Some(id) => Some(id.clone()),
        None if args.kept.last => {
            let none = || {
                Failure::usage(format!(
                    "{name} has no conversation to continue; `--conversation NAME` begins one that is kept there"
                ))
            };
            Some(place.newest()?.ok_or_else(none)?)
        }
        None => None,
    };
    let sessions = match place {
        Place::Folder(store) => setup.sessions_over(store),
        #[cfg(feature = "sqlite")]
        Place::Sqlite(store) => setup.sessions_over(store),
        #[cfg(feature = "postgres")]
        Place::Postgres(store) => setup.sessions_over(store),
    }?;
    let chat = match id {
        Some(id) => wait(sessions.open(&id)),
        None => wait(sessions.create()),
    };
    chat.map_err(|e| Failure::from(e).within(name))
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
        Ok(found) if found.len() > 0 => {
            let file = input::to_change(name)?;
            if let Err(missing) = file.check_blobs(blobs::folder(name)) {
                failure::warn(&name.display().to_string(), missing);
            }
            Ok(Some(file))
        }
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
