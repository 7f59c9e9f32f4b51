//! Options of the commands about the program itself: `config`, `doctor`, `completions`, `man`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub(crate) struct Config {
    /// List also what is not set
    #[arg(long, conflicts_with = "json")]
    pub(crate) all: bool,
    /// Print JSON, one line for each setting
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "openai")]
#[derive(Args)]
pub(crate) struct Doctor {
    /// The model to look for [default: `OPENAI_MODEL`]
    #[arg(long, short)]
    pub(crate) model: Option<String>,
    /// The endpoint to ask [default: `OPENAI_BASE_URL`, or OpenAI's]
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Print JSON, one line for each check
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "shell")]
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Options that a program without completions does not know.
#[cfg(not(feature = "shell"))]
#[derive(Args)]
pub(crate) struct Completions {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) _rest: Vec<String>,
}

#[cfg(feature = "shell")]
#[derive(Args)]
pub(crate) struct Man {
    /// The command whose page is printed [default: the page of the program]
    pub(crate) command: Option<String>,
    /// Write the pages of all commands to this folder instead
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    pub(crate) to: Option<PathBuf>,
}

/// Options that a program without man pages does not know.
#[cfg(not(feature = "shell"))]
#[derive(Args)]
pub(crate) struct Man {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) _rest: Vec<PathBuf>,
}
