//! `turnwise chat`: a conversation with a model at the terminal.

mod changes;
mod commands;
#[cfg(feature = "chat")]
mod editor;
mod input;
#[cfg(feature = "chat")]
mod markdown;
mod open;
mod opening;
mod printing;
mod quoted;
mod session;
mod settings;
mod status;
mod views;
mod wrap;

use turnwise::Models;

use crate::args::Chat;
use crate::failure::Result;

use session::Session;

pub(crate) fn run(args: &Chat, models: &Models) -> Result<()> {
    let mut session = Session::start(args, models)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(session.run());
    // A pending address look-up of a cancelled request must not delay the end.
    runtime.shutdown_background();
    ended
}
