//! The server from its settings to its end.

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use turnwise::backend::ChatBackend;
use turnwise::backend::openai::OpenAi;
use turnwise::strategy::parse;
use turnwise::{ConversationManager, Dialect, ErrorKind, Models, Strategy, TokenBudget};
use turnwise_server::{Keys, Limits, PlainText, SealKeys, Server};

use super::settings::Settings;
use super::upstream::Forwarder;
use super::{keys, log};
use crate::args::{Serve, ServeDoing};
use crate::failure::{Failure, Result};
use crate::stores::Place;

pub(crate) fn run(args: &Serve, shared: &crate::settings::Settings, models: &Models) -> Result<()> {
    let settings = Settings::read(args, shared);
    if let Some(ServeDoing::Keys { doing }) = &args.doing {
        return keys::run(doing, &settings);
    }
    if args.print_config {
        return settings.print();
    }
    log::begin(settings.text("log").unwrap_or("text"))?;
    let place = Place::open(settings.text("store"))?;
    check_sealed(&place)?;
    let keys = keys::file(&settings, &place)?.map(Keys::at);
    if let Some(keys) = keys.as_ref().filter(|keys| keys.were_made() && !keys.path().exists()) {
        return Err(gone(keys));
    }
    let keys = keys.filter(|keys| keys.path().exists());
    let is_keyed = keys.is_some();
    if !is_keyed && settings.text("keys_file").is_some() {
        return Err(settings.invalid("keys_file", "there is no such file; `turnwise serve keys add NAME` makes it"));
    }
    let server = server(&settings, &place, models)?;
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    let server = {
        let place = place.clone();
        server.catalog(move |tenant| match tenant {
            Some(tenant) => Ok(place.tenant(tenant)?.catalog()),
            None => Ok(place.catalog()),
        })
    };
    let server = match keys {
        Some(keys) => with_keys(server, keys, place),
        None => server,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(server, &settings, is_keyed))
}

/// Refuses a store of which this process cannot open what is sealed: it could answer nothing, and
/// without keys it would write in plain text beside it.
fn check_sealed(place: &Place) -> Result<()> {
    match place.check_keys() {
        Err(error) if error.kind() == ErrorKind::Auth => {
            let message = "the server is not started, because it cannot read the store";
            Err(Failure::usage(format!("{message}: {}; TURNWISE_STORE_KEYS has the keys", error.detail())))
        }
        // What else is wrong with one conversation is no reason not to serve the others.
        _ => Ok(()),
    }
}

/// The failure of a server whose keys were there once: it must not be open to everybody because of
/// that.
fn gone(keys: &Keys) -> Failure {
    Failure::usage(format!(
        "{}: the file with the keys is gone, and without keys anybody who reaches the server could read all \
         conversations; put it back, make a key with `turnwise serve keys add NAME`, or remove {} to serve without keys",
        keys.path().display(),
        keys.lock_file().display()
    ))
}

async fn serve(server: Server, settings: &Settings, is_keyed: bool) -> Result<()> {
    let address = settings.text("listen").unwrap_or_default();
    let listener = TcpListener::bind(address).await.map_err(|error| settings.invalid("listen", error))?;
    let bound = listener.local_addr()?;
    if !is_keyed && !bound.ip().is_loopback() {
        let why = "without keys anybody who reaches this address could read all conversations; make a key with \
                   `turnwise serve keys add NAME`, or listen at 127.0.0.1";
        return Err(settings.invalid("listen", why));
    }
    let stop = stopped()?;
    let who = if is_keyed { "for holders of a key" } else { "for programs on this machine, without keys" };
    let mut out = std::io::stdout();
    writeln!(out, "serving http://{bound}/v1 {who}; Ctrl-C stops")?;
    out.flush()?;
    Ok(server.serve(listener, stop).await?)
}

/// Ready when the program is told to stop. A second time ends it at once.
fn stopped() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut signal = async move || {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        signal().await;
        let _ = sender.send(());
        signal().await;
        std::process::exit(1);
    });
    Ok(async move { drop(receiver.await) })
}

fn server(settings: &Settings, place: &Place, models: &Models) -> Result<Server> {
    let upstream = settings.text("upstream");
    let key = std::env::var("OPENAI_API_KEY").unwrap_or_default();
    let backend = upstream.map_or_else(OpenAi::from_env, |url| OpenAi::at(url, &key));
    let dialect = match settings.text("dialect") {
        Some(dialect) => dialect.parse().map_err(|error| settings.invalid("dialect", error))?,
        None => Dialect::for_server(backend.server()).unwrap_or_default(),
    };
    let strategy = parse(settings.text("strategy").unwrap_or("window"));
    let strategy: Arc<dyn Strategy> = strategy.map_err(|error| settings.invalid("strategy", error))?.into();
    let window = settings.number("window")?.map(TokenBudget::window);
    let model = settings.text("model").map(str::to_owned);
    if let (Some(name), None) = (&model, &window) {
        let known = models.find(name).known_window();
        known.map_err(|error| settings.invalid("model", format!("{}; or pass --window TOKENS", error.detail())))?;
    }
    let models = models.clone();
    let server = Server::new(place.shared()).limits(limits(settings)?).upstream(Forwarder::new(upstream, &key)?);
    let server = match settings.text("seal_keys_file") {
        Some(file) => server.seal(SealKeys::open(file).map_err(|error| settings.invalid("seal_keys_file", error))?),
        None => server,
    };
    let server = model.iter().fold(server, |server, name| server.model(name));
    let server = server.responses(move |name| {
        let builder = ConversationManager::builder(models.find(name)).backend(PlainText(backend.clone()));
        let builder = builder.strategy(Arc::clone(&strategy)).dialect(dialect.clone());
        match &window {
            Some(window) => builder.budget(window.clone()),
            None => builder,
        }
    });
    let hosts = settings.text("allow_host").unwrap_or_default().split(',').map(str::trim);
    let server = hosts.filter(|host| !host.is_empty()).fold(server, Server::allow_host);
    match settings.text("truncation") {
        Some("disabled") => Ok(server.refuse_long()),
        Some("auto") | None => Ok(server),
        Some(_) => Err(settings.invalid("truncation", "write auto or disabled")),
    }
}

fn limits(settings: &Settings) -> Result<Limits> {
    let mut limits = Limits::default();
    limits.body = settings.number("max_body")?.unwrap_or(limits.body);
    limits.running = settings.number("max_running")?.unwrap_or(limits.running);
    limits.requests_per_minute = settings.number("per_minute")?;
    limits.connections = settings.number("max_connections")?.unwrap_or(limits.connections);
    limits.answer_time = settings.number("timeout")?.map_or(limits.answer_time, Duration::from_secs);
    limits.grace = settings.number("grace")?.map_or(limits.grace, Duration::from_secs);
    for (name, value) in [("max_running", limits.running), ("max_connections", limits.connections)] {
        if value == 0 {
            return Err(settings.invalid(name, "0 would answer nobody"));
        }
    }
    if limits.requests_per_minute == Some(0) {
        return Err(settings.invalid("per_minute", "0 would answer nobody"));
    }
    Ok(limits)
}

fn with_keys(server: Server, keys: Keys, place: Place) -> Server {
    server.keys(keys, move |tenant| Ok(place.tenant(tenant)?.shared()))
}
