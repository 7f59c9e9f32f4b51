//! `turnwise chat`: a conversation with a model at the terminal.

mod changes;
mod commands;
mod input;
mod open;
mod printing;
mod session;
mod views;

use turnwise::Models;

use crate::args::Chat;
use crate::failure::Result;

use input::Input;
use session::Session;

pub(crate) fn run(args: &Chat, models: &Models) -> Result<()> {
    // A missing `.env` is fine. One that cannot be read shows later as a missing key.
    let _ = dotenvy::dotenv();
    let mut session = Session::new(open::open(args, models)?, args);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(session.run(&mut Input::start()?));
    // A pending address look-up of a cancelled request must not delay the end.
    runtime.shutdown_background();
    ended
}
