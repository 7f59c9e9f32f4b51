//! `turnwise serve`: the server of `turnwise-server` with its settings, keys and log.

#[cfg(feature = "serve")]
mod keys;
#[cfg(feature = "serve")]
mod log;
#[cfg(feature = "serve")]
mod running;
#[cfg(feature = "serve")]
mod settings;
#[cfg(feature = "serve")]
mod upstream;

#[cfg(feature = "serve")]
pub(crate) use running::run;

/// Says how to get a program with the server.
#[cfg(not(feature = "serve"))]
pub(crate) fn run(
    _: &crate::args::Serve,
    _: &crate::settings::Settings,
    _: &turnwise::Models,
) -> crate::failure::Result<()> {
    Err(crate::failure::Failure::usage(
        "this program was built without the server; in a checkout, install one that has all with `cargo install --path crates/cli --features full`, or \
         run one with `cargo run --release --features turnwise-cli/serve -- serve`",
    ))
}
