//! `Settings`: what the options, the environment and the configuration file say, and which of them.

use std::fmt::Display;
use std::io::Write;
use std::str::FromStr;

use crate::args::Serve;
use crate::failure::{Failure, Result};
use crate::output::{stdout, table, write_table};
use crate::sanitize::without_passwords;
use crate::settings::{dashed, variable};

/// A setting that there is.
struct Known {
    name: &'static str,
    /// A variable beside `TURNWISE_` and the name.
    variable: Option<&'static str>,
    default: Option<&'static str>,
}

const fn known(name: &'static str, variable: Option<&'static str>, default: Option<&'static str>) -> Known {
    Known { name, variable, default }
}

const KNOWN: &[Known] = &[
    known("listen", None, Some("127.0.0.1:8080")),
    known("store", None, None),
    known("upstream", Some("OPENAI_BASE_URL"), None),
    known("model", None, None),
    known("window", None, None),
    known("strategy", None, Some("window")),
    known("dialect", None, None),
    known("truncation", None, Some("auto")),
    known("keys_file", None, None),
    known("seal_keys_file", None, None),
    known("allow_host", None, None),
    known("max_body", None, Some("33554432")),
    known("max_running", None, Some("64")),
    known("per_minute", None, None),
    known("max_connections", None, Some("1024")),
    known("timeout", None, Some("600")),
    known("grace", None, Some("30")),
    known("log", None, Some("text")),
];

/// A setting that has a value, and where that comes from.
struct Set {
    name: &'static str,
    value: String,
    source: String,
}

/// The settings of a server.
pub(super) struct Settings(Vec<Set>);

impl Settings {
    /// Reads them: an option comes before the environment, and that before the file.
    pub(super) fn read(args: &Serve, shared: &crate::settings::Settings) -> Self {
        let set = KNOWN.iter().filter_map(|known| {
            let of_option = option(args, known.name).map(|value| (value, format!("--{}", dashed(known.name))));
            let of_shared = || shared.get("serve", known.name).map(|set| (set.value, set.source));
            let of_variable = || {
                let name = known.variable?;
                Some((variable(name)?, name.to_owned()))
            };
            let of_default = || Some((known.default?.to_owned(), "default".to_owned()));
            let (value, source) = of_option.or_else(of_shared).or_else(of_variable).or_else(of_default)?;
            Some(Set { name: known.name, value, source })
        });
        Self(set.collect())
    }

    fn get(&self, name: &str) -> Option<&Set> {
        self.0.iter().find(|set| set.name == name)
    }

    /// The value of a setting, if it has one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|set| set.value.as_str())
    }

    /// A value that is a number.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let read = |set: &Set| set.value.parse().map_err(|_| self.invalid(name, "write a whole number"));
        self.get(name).map(read).transpose()
    }

    /// The failure of a setting whose value cannot be used.
    pub(super) fn invalid(&self, name: &str, why: impl Display) -> Failure {
        let (value, source) = self.get(name).map_or(("", "default"), |set| (&set.value, &set.source));
        Failure::usage(format!("{} `{value}` (from {source}): {why}", dashed(name)))
    }

    /// Prints each setting, its value and where it comes from.
    pub(super) fn print(&self) -> Result<()> {
        let mut table = table(&["setting", "value", "from"], &[1, 2]);
        for known in KNOWN {
            let (value, source) = self.get(known.name).map_or(("-", "-"), |set| (&*set.value, &*set.source));
            table.add_row([dashed(known.name).as_str(), &without_passwords(value), source]);
        }
        let key = std::env::var("OPENAI_API_KEY").is_ok_and(|key| !key.is_empty());
        let (value, source) = if key { ("set, not shown", "OPENAI_API_KEY") } else { ("-", "-") };
        table.add_row(["upstream's key", value, source]);
        let mut out = stdout(false);
        write_table(&mut out, &table)?;
        out.flush()?;
        Ok(())
    }
}

/// What the command line says of a setting.
fn option(args: &Serve, name: &str) -> Option<String> {
    match name {
        "listen" => &args.listen,
        "store" => &args.store,
        "upstream" => &args.upstream,
        "model" => &args.model,
        "window" => &args.window,
        "strategy" => &args.strategy,
        "dialect" => &args.dialect,
        "truncation" => &args.truncation,
        "keys_file" => &args.keys_file,
        "seal_keys_file" => &args.seal_keys_file,
        "allow_host" => &args.allow_host,
        "max_body" => &args.max_body,
        "max_running" => &args.max_running,
        "per_minute" => &args.per_minute,
        "max_connections" => &args.max_connections,
        "timeout" => &args.timeout,
        "grace" => &args.grace,
        "log" => &args.log,
        _ => &None,
    }
    .clone()
}
