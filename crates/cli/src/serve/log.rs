//! The log on the standard error: a line for each request.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use crate::failure::{Failure, Result};

/// Begins the log in a form: `text`, `json` or `off`.
pub(super) fn begin(form: &str) -> Result<()> {
    let which =
        Targets::new().with_target("turnwise_server", LevelFilter::INFO).with_target("turnwise", LevelFilter::WARN);
    let begun = match form {
        "off" => return Ok(()),
        "text" => {
            let lines = fmt::layer().with_ansi(false).with_target(false).with_writer(std::io::stderr);
            registry().with(which).with(lines).try_init()
        }
        "json" => {
            let lines = fmt::layer().json().flatten_event(true).with_target(false).with_writer(std::io::stderr);
            registry().with(which).with(lines).try_init()
        }
        other => return Err(Failure::usage(format!("log `{other}`: write text, json or off"))),
    };
    begun.map_err(|error| Failure::Failed(format!("beginning the log: {error}")))
}
