//! `turnwise doctor`: whether the key, the endpoint, the model and the certificates work, and what to
//! do where they do not.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use turnwise::Models;
use turnwise::backend::openai::OpenAi;
use turnwise::backend::openai::reqwest::{Response, Url};

use crate::args::Doctor;
use crate::failure::{Failure, Result};
use crate::output::{BOLD, json_line, stdout};
use crate::sanitize::clean;
use crate::settings::{Settings, variable};
use crate::text::{counted, thousands, wrapped};

const OPENAI: &str = "https://api.openai.com/v1";
const KEY: &str = "OPENAI_API_KEY";
const TIME: Duration = Duration::from_secs(15);
/// The width of the text behind the name of a check.
const WIDTH: usize = 78;

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Works, with something to know.
    Note,
    Problem,
}

/// What was looked at, what was found, and what to do.
#[derive(Serialize)]
struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

fn good(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, state: State::Ok, found: found.into(), todo: None }
}

fn note(name: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Check {
    Check { name, state: State::Note, found: found.into(), todo: Some(todo.into()) }
}

fn problem(name: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Check {
    Check { name, state: State::Problem, found: found.into(), todo: Some(todo.into()) }
}

pub(crate) fn run(args: &Doctor, settings: &Settings, models: &Models) -> Result<()> {
    let mut checks = vec![program(), file(settings)];
    let base = args.base_url.clone().or_else(|| variable("OPENAI_BASE_URL")).unwrap_or_else(|| OPENAI.to_owned());
    let key = variable(KEY).unwrap_or_default();
    checks.push(checked_key(&key, &base));
    let mut offered = None;
    match Url::parse(&base).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()) {
        Some(url) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            offered = runtime.block_on(endpoint(&url, &base, &key, &mut checks));
            runtime.shutdown_background();
        }
        None => checks.push(problem(
            "endpoint",
            format!("`{base}` is no address"),
            "set OPENAI_BASE_URL to one such as http://127.0.0.1:11434/v1, or unset it for OpenAI's",
        )),
    }
    let model = args.model.clone().or_else(|| variable("OPENAI_MODEL"));
    checks.push(checked_model(model.as_deref(), offered.as_deref(), models));
    let mut out = stdout(args.json);
    for check in &checks {
        if args.json {
            json_line(&mut out, check)?;
        } else {
            print(&mut out, check)?;
        }
    }
    out.flush()?;
    let problems = checks.iter().filter(|check| check.state == State::Problem).count();
    if problems == 0 { Ok(()) } else { Err(Failure::Failed(format!("{} found", counted(problems, "problem")))) }
}

fn print(out: &mut impl Write, check: &Check) -> Result<()> {
    let state = match check.state {
        State::Ok => "ok",
        State::Note => "note",
        State::Problem => "PROBLEM",
    };
    let indent = " ".repeat(9);
    let text = wrapped(&format!("{}: {}", check.name, clean(&check.found)), WIDTH, &indent);
    // Styled after the lines were broken, because styles have no width.
    let text = text.replacen(check.name, &format!("{BOLD}{}{BOLD:#}", check.name), 1);
    writeln!(out, "{state:<9}{text}")?;
    if let Some(todo) = &check.todo {
        writeln!(out, "{indent}{}", wrapped(&clean(todo), WIDTH, &indent))?;
    }
    Ok(())
}

fn program() -> Check {
    let features = [
        (cfg!(feature = "chat"), "chat"),
        (cfg!(feature = "encryption"), "encryption"),
        (cfg!(feature = "fast-tokens"), "fast-tokens"),
        (cfg!(feature = "postgres"), "postgres"),
        (cfg!(feature = "report"), "report"),
        (cfg!(feature = "serve"), "serve"),
        (cfg!(feature = "shell"), "shell"),
        (cfg!(feature = "sqlite"), "sqlite"),
    ];
    let (there, missing): (Vec<_>, Vec<_>) = features.into_iter().partition(|(is_there, _)| *is_there);
    let names = |all: Vec<(bool, &'static str)>| all.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ");
    let version = format!("turnwise {}", env!("CARGO_PKG_VERSION"));
    let with = if there.is_empty() { "the default features alone".to_owned() } else { names(there) };
    let found = format!("{version}, built with {with}");
    // It changes how fast tokens are counted, and nothing that the program can do.
    if missing.iter().all(|(_, name)| *name == "fast-tokens") {
        return good("program", found);
    }
    note(
        "program",
        format!("{found}; without {}", names(missing)),
        "in a checkout, `cargo install --path crates/cli --features full` installs what is missing",
    )
}

fn file(settings: &Settings) -> Check {
    match settings.file() {
        Some(file) => good("settings", format!("{}; `turnwise config` shows them", file.display())),
        None => good("settings", "no file, so each option has its default"),
    }
}

fn checked_key(key: &str, base: &str) -> Check {
    if key.is_empty() {
        return if base.starts_with(OPENAI) {
            problem("key", format!("{KEY} is not set"), "set it in the environment or in `.env`; OpenAI needs one")
        } else {
            note("key", format!("{KEY} is not set"), "a server of your own needs none; others do")
        };
    }
    if key.trim() != key || key.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'".contains(c)) {
        let found = format!("{KEY} has spaces, quotes or line breaks in it");
        return problem("key", found, "write the key alone");
    }
    good("key", format!("{KEY} is set, {} long", counted(key.chars().count(), "character")))
}

/// Asks an endpoint for its models. Returns their names, if it lists them.
async fn endpoint(url: &Url, base: &str, key: &str, checks: &mut Vec<Check>) -> Option<Vec<String>> {
    let shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    let shown = url.port().map_or_else(|| shown.clone(), |port| format!("{shown}:{port}"));
    let client = match OpenAi::client_builder() {
        Ok(builder) => builder.connect_timeout(TIME).timeout(TIME).build(),
        Err(error) => {
            checks.push(problem("certificates", error.detail(), CERTIFICATES));
            return None;
        }
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            checks.push(problem("endpoint", format!("no HTTP client: {}", causes(&error)), "report this as a fault"));
            return None;
        }
    };
    let request = client.get(format!("{}/models", base.trim_end_matches('/')));
    let request = if key.is_empty() { request } else { request.bearer_auth(key) };
    let began = Instant::now();
    match request.send().await {
        Ok(answer) => {
            if url.scheme() == "https" {
                checks.push(good("certificates", "the system trusts the server's"));
            }
            answered(answer, &shown, began.elapsed(), checks).await
        }
        Err(error) => {
            checks.push(unreachable(&causes(&error.without_url()), &shown));
            None
        }
    }
}

const CERTIFICATES: &str = "install your system's certificates (the package `ca-certificates` on Linux); behind a proxy that \
                            replaces certificates add its own to the system's, or name a file with SSL_CERT_FILE";

fn unreachable(cause: &str, shown: &str) -> Check {
    let lower = cause.to_lowercase();
    if lower.contains("certificate") {
        return problem("certificates", format!("{shown}: {cause}"), CERTIFICATES);
    }
    let todo = if lower.contains("refused") {
        "nothing listens there: start the server, or correct the port in OPENAI_BASE_URL"
    } else if lower.contains("dns") || lower.contains("lookup") {
        "the name is not known: correct OPENAI_BASE_URL, or look at your network"
    } else if lower.contains("timed out") {
        "nothing answers: look at your network, at a firewall, or at HTTPS_PROXY"
    } else {
        "correct OPENAI_BASE_URL; a server without TLS has an address that begins with http://"
    };
    problem("endpoint", format!("{shown} cannot be reached: {cause}"), todo)
}

async fn answered(answer: Response, shown: &str, time: Duration, checks: &mut Vec<Check>) -> Option<Vec<String>> {
    let status = answer.status().as_u16();
    let time = format!("{} ms", thousands(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
    let body = answer.bytes().await.ok();
    let names = body.and_then(|body| names(&serde_json::from_slice(&body).ok()?));
    checks.push(match (status, &names) {
        (200, Some(names)) => {
            good("endpoint", format!("{shown} answers in {time} and offers {}", counted(names.len(), "model")))
        }
        (200, None) => note(
            "endpoint",
            format!("{shown} answers in {time}, but lists no models"),
            "if chats fail, look at the path: OPENAI_BASE_URL often ends in /v1",
        ),
        (401 | 403, _) => problem(
            "key",
            format!("{shown} refuses it (status {status})"),
            format!("set {KEY} to a key of this server"),
        ),
        (404, _) => note(
            "endpoint",
            format!("{shown} answers, but has no list of models at this path (status 404)"),
            "OPENAI_BASE_URL often ends in /v1; some servers have no list, and chats work",
        ),
        (429, _) => {
            note("endpoint", format!("{shown} answers: too many requests (status 429)"), "wait, or look at your quota")
        }
        _ => problem(
            "endpoint",
            format!("{shown} answers with status {status}"),
            "look at the server's own log, and at the path of OPENAI_BASE_URL",
        ),
    });
    names
}

fn names(list: &Value) -> Option<Vec<String>> {
    let models = list["data"].as_array()?.iter();
    Some(models.filter_map(|model| model["id"].as_str().map(str::to_owned)).collect())
}

fn checked_model(model: Option<&str>, offered: Option<&[String]>, models: &Models) -> Check {
    let example = offered.and_then(|offered| offered.first()).map_or("gpt-4o-mini", String::as_str);
    let Some(name) = model else {
        return note(
            "model",
            "none is named",
            format!("pass --model NAME or set OPENAI_MODEL, for example to {example}"),
        );
    };
    if let Some(offered) = offered.filter(|offered| !offered.is_empty() && !offered.iter().any(|one| one == name)) {
        let nearest = offered.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
        let nearest = nearest.map_or("", String::as_str);
        return problem(
            "model",
            format!("the endpoint does not offer `{name}`"),
            format!("the nearest that it offers is `{nearest}`"),
        );
    }
    let known = models.find(name);
    match (known.window, known.encoding) {
        (Some(window), Some(encoding)) => {
            good("model", format!("{name}: window {} tokens, counted with {encoding}", thousands(window)))
        }
        (Some(window), None) => note(
            "model",
            format!("{name}: window {} tokens; its encoding is not known", thousands(window)),
            "counts are estimates and marked with ~",
        ),
        (None, _) => note(
            "model",
            format!("the window of {name} is not known"),
            "pass --budget TOKENS, or describe it in a file for --models",
        ),
    }
}

/// An error with what has caused it: `reqwest` says only that a request failed.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_advice() {
        let todo = |cause: &str| unreachable(cause, "https://a").todo.unwrap();
        assert!(todo("invalid peer certificate: UnknownIssuer").contains("SSL_CERT_FILE"));
        assert!(todo("Connection refused (os error 111)").contains("start the server"));
        assert!(todo("dns error: failed to lookup address").contains("the name is not known"));
        assert!(todo("operation timed out").contains("firewall"));
        assert!(todo("received corrupt message").contains("http://"));
    }

    #[test]
    fn each_feature_is_told_as_built_in_or_missing() {
        let found = program().found;
        for feature in ["chat", "encryption", "postgres", "report", "serve", "shell", "sqlite"] {
            assert_eq!(found.matches(feature).count(), 1, "{feature}: {found}");
        }
        // Where nothing else is missing, it is not spoken of.
        let is_told = cfg!(feature = "fast-tokens") || found.contains("; without ");
        assert_eq!(found.contains("fast-tokens"), is_told, "{found}");
    }

    #[test]
    fn a_key_is_looked_at_without_being_shown() {
        let key = checked_key("sk-secret", OPENAI);
        assert!(key.state == State::Ok && !key.found.contains("secret"));
        assert!(checked_key("\"sk-secret\"", OPENAI).state == State::Problem);
        assert!(checked_key("", OPENAI).state == State::Problem);
        assert!(checked_key("", "http://127.0.0.1:1/v1").state == State::Note);
    }

    #[test]
    fn a_model_that_is_not_offered_is_named_beside_the_nearest() {
        let offered = ["qwen3:8b".to_owned(), "smollm2".to_owned()];
        let check = checked_model(Some("smolm2"), Some(&offered), Models::builtin());
        assert!(check.state == State::Problem && check.todo.unwrap().contains("`smollm2`"));
        assert!(checked_model(Some("gpt-4o"), None, Models::builtin()).found.contains("128,000"));
        assert!(checked_model(None, None, Models::builtin()).state == State::Note);
    }
}
