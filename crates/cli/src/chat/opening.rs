//! The first message: from the standard input, a template, and the command line.

use std::fs;
use std::io::{Read, stdin};
use std::path::Path;

use super::input::{Input, Next, decoded};
use crate::args::Chat;
use crate::failure::{Failure, INTERRUPTED, Result};

/// The message that the options ask for, if they do: the standard input, the filled template and
/// `--query`, with a blank line between them.
pub(super) async fn opening(args: &Chat, input: &mut Input, is_person: bool) -> Result<Option<String>> {
    let mut parts = Vec::new();
    if args.once {
        parts.push(standard_input()?);
    }
    if let Some(file) = &args.template {
        let asks = is_person && !args.once;
        let filled = template(file, &args.set, asks.then_some(input)).await;
        parts.push(filled.map_err(|failure| failure.within(file.display()))?);
    }
    parts.extend(args.query.clone());
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).filter(|part| !part.is_empty()).collect();
    match (parts.is_empty(), args.once || args.query.is_some()) {
        (false, _) => Ok(Some(parts.join("\n\n"))),
        (true, false) => Ok(None),
        (true, true) => Err(Failure::usage("there is no text to send: the standard input and --query are empty")),
    }
}

fn standard_input() -> Result<String> {
    let mut bytes = Vec::new();
    stdin().read_to_end(&mut bytes).map_err(|e| Failure::Failed(format!("reading the input: {e}")))?;
    decoded(bytes, "the standard input")
}

/// The text of a template with its names filled in. Those without a text are asked for at `input`;
/// without it they are an error.
async fn template(file: &Path, given: &[String], mut input: Option<&mut Input>) -> Result<String> {
    let text = fs::read_to_string(file).map_err(|e| Failure::Failed(e.to_string()))?;
    let names = names(&text);
    let mut values = given.iter().map(|given| setting(given, &names)).collect::<Result<Vec<_>>>()?;
    for &name in &names {
        if values.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let Some(input) = &mut input else {
            let known: Vec<&str> = values.iter().map(|(known, _)| *known).collect();
            let missing: Vec<&str> = names.iter().copied().filter(|name| !known.contains(name)).collect();
            return Err(Failure::usage(format!(
                "the template needs {}; give each a text with --set {}=TEXT",
                missing.join(", "),
                missing[0]
            )));
        };
        match input.next(&format!("{name}: ")).await? {
            Next::Line(line) => values.push((name, line.trim().to_owned())),
            Next::Refused(failure) => return Err(failure),
            Next::End | Next::CtrlC => return Err(Failure::Said(INTERRUPTED)),
        }
    }
    Ok(filled(&text, &values))
}

/// Splits `NAME=TEXT`, and checks that the template has the name.
fn setting<'a>(given: &'a str, names: &[&str]) -> Result<(&'a str, String)> {
    let invalid = |why: &str| Failure::usage(format!("--set {given}: {why}"));
    let (name, text) = given.split_once('=').ok_or_else(|| invalid("`=` is missing; write NAME=TEXT"))?;
    if !names.contains(&name) {
        let there = if names.is_empty() { "no names in braces".to_owned() } else { names.join(", ") };
        return Err(invalid(&format!("the template has no {{{name}}}; it has {there}")));
    }
    Ok((name, text.to_owned()))
}

/// The names in braces, each once. Other braces are text.
fn names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (_, name) in parts(text) {
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    names
}

/// What is filled in is not looked at again.
fn filled(text: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::new();
    for (before, name) in parts(text) {
        filled.push_str(before);
        let value = name.and_then(|name| values.iter().find(|(known, _)| *known == name));
        filled.push_str(value.map_or("", |(_, value)| value));
    }
    filled
}

/// The text before each name in braces with the name, and the rest.
fn parts(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        for (at, _) in text.match_indices('{') {
            let Some((name, after)) = text[at + 1..].split_once('}') else { break };
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            if !name.is_empty() && name.chars().all(is_name) {
                rest = Some(after);
                return Some((&text[..at], Some(name)));
            }
        }
        Some((text, None))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_filled_and_other_braces_stay() {
        let text = "{who} and {who} in {a place}: {\"json\": {where}} {} {";
        assert_eq!(names(text), ["who", "where"]);
        let values = [("who", "{where}".to_owned()), ("where", "Rome".to_owned())];
        assert_eq!(filled(text, &values), "{where} and {where} in {a place}: {\"json\": Rome} {} {");
    }
}
