//! The URL of a database.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use turnwise::{Error, ErrorKind, Result};

/// How long a connection may take, and how long the system waits for a server that does not answer.
const CONNECT: Duration = Duration::from_secs(5);
const UNANSWERED: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(60);

/// Where a database is, and how connections to it are made.
pub(super) struct Place {
    pub(super) config: Config,
    pub(super) trust: Trust,
    /// Without the password.
    pub(super) shown: String,
}

/// Whose certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any: what is sent is encrypted, and somebody between could pretend to be the server.
    Anybody,
    /// Those that the system trusts.
    System,
    /// Those that certificates in a file have signed.
    File(PathBuf),
}

impl Place {
    /// The longest that making a connection may take: for each host as long as the URL allows for reaching
    /// it, and as long again for TLS and the password, of which a host that hangs answers nothing.
    pub(super) fn most_time(&self) -> Duration {
        let hosts = self.config.get_hosts().len().max(self.config.get_hostaddrs().len()).max(1);
        let each = self.config.get_connect_timeout().copied().unwrap_or(CONNECT);
        each.saturating_mul(2).saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX))
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(invalid("write postgres://USER:PASSWORD@HOST:PORT/DATABASE"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut mode = None;
        let mut root = None;
        let mut others = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => root = Some(decoded(value)),
                _ => others.push(pair),
            }
        }
        let rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        // What tokio-postgres says of a URL names its part, and never the password.
        let mut config: Config = rest.parse().map_err(|error| invalid(&causes(&error)))?;
        let (ssl_mode, trust) = security(mode, root)?;
        config.ssl_mode(ssl_mode);
        with_defaults(&mut config);
        Ok(Self { shown: shown(&config), config, trust })
    }
}

/// As libpq: `require` encrypts and does not check who the server is, unless there is a root
/// certificate; `verify-ca` is as strict here as `verify-full`.
fn security(mode: Option<&str>, root: Option<String>) -> Result<(SslMode, Trust)> {
    let by_root = root.map(|file| if file == "system" { Trust::System } else { Trust::File(file.into()) });
    match mode {
        Some("disable") => Ok((SslMode::Disable, Trust::Anybody)),
        None | Some("prefer") => Ok((SslMode::Prefer, Trust::Anybody)),
        Some("require") => Ok((SslMode::Require, by_root.unwrap_or(Trust::Anybody))),
        Some("verify-ca" | "verify-full") => Ok((SslMode::Require, by_root.unwrap_or(Trust::System))),
        Some(mode) => {
            Err(invalid(&format!("sslmode={mode}: write disable, prefer, require, verify-ca or verify-full")))
        }
    }
}

fn with_defaults(config: &mut Config) {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host("localhost");
    }
    if config.get_password().is_none()
        && let Ok(password) = std::env::var("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_application_name().is_none() {
        config.application_name("turnwise");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNANSWERED);
    }
    config.keepalives_idle(IDLE);
}

pub(super) fn is_direct(config: &Config) -> bool {
    config.get_ssl_negotiation() == SslNegotiation::Direct
}

fn shown(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(host) => host.clone(),
        #[cfg(unix)]
        Host::Unix(folder) => folder.display().to_string(),
    });
    let addresses = config.get_hostaddrs().iter().map(ToString::to_string);
    let hosts: Vec<String> = if config.get_hosts().is_empty() { addresses.collect() } else { hosts.collect() };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{}:{port}/{database}", hosts.join(","))
}

/// `%41` as `A`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        if let Some(code) = code.filter(|_| byte == b'%') {
            bytes.push(code);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn invalid(found: &str) -> Error {
    Error::new(ErrorKind::Io, format!("the URL of a PostgreSQL database is not valid: {found}"))
}

/// An error and its causes in one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Place {
        url.parse().unwrap()
    }

    #[test]
    fn a_url_says_where_and_its_password_is_never_shown() {
        let full = place("postgres://ann:pass%20word@db.example:6432/chats?connect_timeout=3");
        assert_eq!(full.shown, "postgres://db.example:6432/chats");
        assert_eq!(full.config.get_password(), Some(&b"pass word"[..]));
        assert_eq!(full.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(place("postgresql:///chats").shown, "postgres://localhost:5432/chats");
    }

    #[test]
    fn a_mode_says_who_is_trusted() {
        let trust = |query: &str| {
            let place = place(&format!("postgres://h/d?{query}"));
            (place.config.get_ssl_mode(), place.trust)
        };
        assert_eq!(trust(""), (SslMode::Prefer, Trust::Anybody));
        assert_eq!(trust("sslmode=disable"), (SslMode::Disable, Trust::Anybody));
        assert_eq!(trust("sslmode=require"), (SslMode::Require, Trust::Anybody));
        assert_eq!(trust("sslmode=verify-full"), (SslMode::Require, Trust::System));
        let file = Trust::File("/etc/my ca.pem".into());
        assert_eq!(trust("sslmode=require&sslrootcert=/etc/my%20ca.pem"), (SslMode::Require, file.clone()));
        assert_eq!(trust("sslrootcert=/etc/my%20ca.pem&sslmode=verify-full"), (SslMode::Require, file));
    }

    #[test]
    fn what_is_not_valid_is_refused_without_its_password() {
        for url in [
            "mysql://h/d",
            "postgres://ann:secret@h:x/d",
            "postgres://ann:secret@h/d?sslmode=maybe",
            "postgres://ann:secret@h/d?nonsense=1",
        ] {
            let refused = url.parse::<Place>().err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::Io);
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }
}
