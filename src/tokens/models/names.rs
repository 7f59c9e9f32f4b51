//! Parses model names: what precedes and follows the name that the table has.

/// A name to be looked up in the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    /// The text before the name: a provider, a region, `ft:`.
    pub(super) before: &'a str,
    /// The name, with text that may follow it.
    pub(super) name: &'a str,
}

impl Candidate<'_> {
    /// Whether the name means the model at this provider's own API, where it has its usual price:
    /// no other host comes before it, and no route, size or fine-tuning after a colon.
    pub(super) fn is_of(&self, provider: Option<&str>) -> bool {
        let mut hosts = self.before.split('/').filter(|host| !host.is_empty());
        hosts.all(|host| Some(host) == provider) && !self.name.contains(':')
    }
}

/// The spelling in which names are compared: lower case, with `claude-3.5` as `claude-3-5`.
pub(super) fn spelling(name: &str) -> String {
    name.trim().to_lowercase().replace(['.', '_'], "-")
}

/// The whole name; then the name without providers before slashes, without the `ft:` of a
/// fine-tuned model, and without the region and vendor of Amazon Bedrock.
pub(super) fn candidates(asked: &str) -> Vec<Candidate<'_>> {
    let asked = asked.trim();
    let at = |start: usize, end: usize| Candidate { before: &asked[..start], name: &asked[start..end] };
    let starts = asked.match_indices('/').map(|(slash, _)| slash + 1);
    let mut found: Vec<_> = std::iter::once(0).chain(starts).map(|start| at(start, asked.len())).collect();
    let base = asked.rfind('/').map_or(0, |slash| slash + 1);
    if let Some(tuned) = asked[base..].strip_prefix("ft:") {
        let start = asked.len() - tuned.len();
        found.push(at(start, start + tuned.find(':').unwrap_or(tuned.len())));
    }
    if let Some(rest) = without_vendor(&asked[base..]) {
        found.push(at(asked.len() - rest.len(), asked.len()));
    }
    found
}

const REGIONS: [&str; 10] = ["us", "us-gov", "eu", "apac", "global", "jp", "au", "ca", "in", "sa"];
const VENDORS: [&str; 14] = [
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "google",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "moonshotai",
    "openai",
    "qwen",
    "zai",
];

fn without_vendor(name: &str) -> Option<&str> {
    let (first, rest) = name.split_once('.')?;
    let (vendor, rest) = if REGIONS.contains(&first) { rest.split_once('.')? } else { (first, rest) };
    VENDORS.contains(&vendor).then_some(rest)
}

/// The places where a name may end and a date or a variant may begin, from the end to the start.
pub(super) fn cuts(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let whole = std::iter::once((name, ""));
    whole.chain(name.rmatch_indices(['-', '@', ':']).map(|(at, _)| name.split_at(at)))
}

/// Suffixes after a colon that mean the same model: variants of `OpenRouter`. A size (`:8b`) or a
/// window (`:28k`) does not.
const ROUTES: [&str; 7] = ["beta", "exacto", "floor", "free", "nitro", "online", "thinking"];
/// Words after a name that change neither its window nor its encoding.
const WORDS: [&str; 18] = [
    "awq",
    "bf16",
    "default",
    "exp",
    "experimental",
    "fp16",
    "fp4",
    "fp8",
    "gguf",
    "gptq",
    "hf",
    "instruct",
    "int4",
    "int8",
    "it",
    "latest",
    "nvfp4",
    "preview",
];

/// Whether the text after a name, in the spelling of the table, leaves it the same model: dates,
/// versions, sizes and a few words.
pub(super) fn is_variant(behind: &str) -> bool {
    let (behind, route) = behind.split_once(':').unwrap_or((behind, ""));
    let is_route = route.is_empty() || ROUTES.contains(&route) || is_number(route, &[1]);
    let parts: Vec<&str> = behind.split(['-', '@']).skip(1).collect();
    is_route && are_variants(&parts)
}

fn are_variants(mut parts: &[&str]) -> bool {
    // A loop and no recursion, because a name from a file may have any number of parts.
    loop {
        parts = match parts {
            [] => return true,
            [year, month, day, rest @ ..]
                if is_number(year, &[4]) && is_number(month, &[2]) && is_number(day, &[2]) =>
            {
                rest
            }
            [month, other, rest @ ..] if is_number(month, &[2]) && is_number(other, &[2, 4]) => rest,
            // `v0.1` is spelled `v0-1`.
            [version, minor, rest @ ..] if is_version(version) && is_number(minor, &[1]) => rest,
            [part, rest @ ..] if is_number(part, &[3, 4, 6, 8]) || is_version(part) || is_size(part) => rest,
            [part, rest @ ..] if WORDS.contains(part) => rest,
            _ => return false,
        };
    }
}

fn is_number(part: &str, lengths: &[usize]) -> bool {
    lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|number| is_number(number, &[1]))
}

/// `70b`, `8x7b`, `a3b`, `128e`: parameters in total or active, and experts.
fn is_size(part: &str) -> bool {
    let Some(number) = part.strip_suffix(['b', 'e']) else { return false };
    let number = number.strip_prefix('a').unwrap_or(number);
    number.split('x').all(|number| is_number(number, &[1, 2, 3]))
}

/// Whether a name, known or not, is that of one of `OpenAI`'s reasoning models: `gpt-5` and later
/// (`gpt-35` is Azure's 3.5), and the o-series.
pub(super) fn is_reasoning(name: &str) -> bool {
    let number = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    match (name.strip_prefix("gpt-"), name.strip_prefix('o')) {
        (Some(rest), _) => rest[..number(rest)].parse::<u32>().is_ok_and(|version| (5..35).contains(&version)),
        (None, Some(rest)) => number(rest) > 0 && matches!(rest.as_bytes().get(number(rest)), None | Some(b'-')),
        _ => false,
    }
}
