//! The endpoint that commands ask, its model, and the file `.env` that may name them.

use turnwise::Transcript;
use turnwise::backend::openai::OpenAi;

use crate::args::Command;
use crate::failure::{Failure, Result, tell};
use crate::settings::variable;

/// Whether a command uses a key or the address of an endpoint, or shows what they are.
pub(crate) fn is_used(command: &Command) -> bool {
    match command {
        Command::Chat(_)
        | Command::Config(_)
        | Command::Doctor(_)
        | Command::Pull(_)
        | Command::Push(_)
        | Command::Serve(_) => true,
        Command::Replay(replay) => replay.live,
        _ => false,
    }
}

/// Takes variables from `.env` in the working folder or one above it, where the environment has none.
/// What is wrong with the file is reported without its text, which may be a key.
pub(crate) fn read_env_file() {
    match dotenvy::dotenv() {
        Ok(_) => {}
        Err(error) if error.not_found() => {}
        Err(dotenvy::Error::LineParse(..)) => {
            tell("`.env` is read up to a line that is not NAME=VALUE; what follows there is not used");
        }
        Err(error) => tell(format_args!("`.env` cannot be read: {error}")),
    }
}

/// The endpoint of an option, of `OPENAI_BASE_URL`, or OpenAI's.
pub(crate) fn backend(base_url: Option<&str>) -> OpenAi {
    match base_url {
        Some(url) => OpenAi::at(url, variable("OPENAI_API_KEY").unwrap_or_default().trim()),
        None => OpenAi::from_env(),
    }
}

/// The model of an option or setting, of the conversation, or of `OPENAI_MODEL`.
///
/// # Errors
/// If none of them names one.
pub(crate) fn model(asked: Option<&str>, conversation: Option<&Transcript>) -> Result<String> {
    let of_conversation = || conversation.and_then(|conversation| conversation.model.clone());
    let model = asked.map(str::to_owned).or_else(of_conversation).or_else(|| variable("OPENAI_MODEL"));
    model.ok_or_else(|| Failure::usage("no model: pass --model NAME or set OPENAI_MODEL"))
}
