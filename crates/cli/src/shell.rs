//! `turnwise completions` and `turnwise man`: what a shell and `man` know about the commands.

#[cfg(feature = "shell")]
use std::io::Write;

#[cfg(feature = "shell")]
use clap::CommandFactory;

#[cfg(feature = "shell")]
use crate::args::Cli;
use crate::args::{Completions, Man};
use crate::failure::{Failure, Result};
#[cfg(feature = "shell")]
use crate::output::stdout;

#[cfg(feature = "shell")]
pub(crate) fn completions(args: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "turnwise", &mut script);
    let mut out = stdout(true);
    out.write_all(&script)?;
    out.flush()?;
    Ok(())
}

#[cfg(feature = "shell")]
pub(crate) fn man(args: &Man) -> Result<()> {
    let mut cli = Cli::command();
    cli.build();
    if let Some(folder) = &args.to {
        let failed = |e| Failure::Failed(format!("writing to {}: {e}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        return clap_mangen::generate_to(cli, folder).map_err(failed);
    }
    let page = match &args.command {
        None => cli,
        Some(name) => cli.find_subcommand(name).cloned().ok_or_else(|| {
            let names: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
            Failure::usage(format!("there is no command `{name}`; the commands are {}", names.join(", ")))
        })?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    let mut out = stdout(true);
    out.write_all(&text)?;
    out.flush()?;
    Ok(())
}

#[cfg(not(feature = "shell"))]
pub(crate) fn completions(_: &Completions) -> Result<()> {
    Err(missing("completions"))
}

#[cfg(not(feature = "shell"))]
pub(crate) fn man(_: &Man) -> Result<()> {
    Err(missing("man"))
}

#[cfg(not(feature = "shell"))]
fn missing(command: &str) -> Failure {
    Failure::usage(format!(
        "this program was built without completions and man pages; in a checkout, install one that has all with `cargo install --path crates/cli --features full`, \
         or run one with `cargo run --release --features turnwise-cli/shell -- {command} …`"
    ))
}
