//! Finds token numbers in the text of an error answer.

/// The text before and after the tokens of a prompt that was too long. The order matters, because
/// some answers state the whole request first. From recorded answers of llama.cpp, `OpenAI` and
/// Azure, vLLM, `OpenRouter`, Anthropic and Gemini.
const PROMPTS: &[(&str, &str)] = &[
    ("\"n_prompt_tokens\":", ""),
    ("tokens (", " in the messages"),
    ("tokens (", " of text input"),
    ("tokens (", " in your prompt"),
    ("resulted in ", " tokens"),
    ("your request has ", " input tokens"),
    ("your prompt contains at least ", " input tokens"),
    ("you passed ", " input tokens"),
    ("request (", " tokens"),
    ("prompt is too long: ", " tokens"),
    ("input token count (", ")"),
];

/// The text directly before the window in an answer to a request that is too long. If an answer
/// also states prompt and reply, the phrase for the window is earlier in this list.
const BEFORE_THE_WINDOW: &[&str] = &[
    "maximum context length is ",
    "maximum context length of ",
    "maximum prompt length is ",
    "maximum model length of ",
    "model's context length (",
    "available context size (",
    "context length of only ",
    "configured context size is ",
    "n_ctx: ",
    "too large for model with ",
    "maximum number of tokens allowed (",
    "maximum number of tokens allowed ",
    "only supports up to ",
    "configured limit of ",
    "exceeded model token limit: ",
    "exceeds the limit of ",
    "exceeds budget (",
    "input length should be [1, ",
    "`max_new_tokens` must be <= ",
    "must have less than ",
    "cannot exceed ",
    "maximum is ",
    " > ",
];

/// The tokens of the prompt, if the answer states them.
pub(super) fn prompt_tokens(answer: &str) -> Option<u64> {
    let answer = answer.to_ascii_lowercase();
    PROMPTS.iter().find_map(|(before, behind)| {
        let starts = answer.match_indices(before).map(|(start, _)| answer[start + before.len()..].trim_start());
        let mut numbers = starts.map(number).filter(|(_, rest)| rest.starts_with(behind));
        numbers.find_map(|(number, _)| number)
    })
}

/// The window that the answer states.
pub(super) fn window(words: &str) -> Option<u64> {
    let words = words.to_lowercase();
    BEFORE_THE_WINDOW.iter().find_map(|before| number(&words[words.find(before)? + before.len()..]).0)
}

/// The limit of tokens per minute or day, if this request alone exceeds it: `tokens per min (TPM):
/// Limit 1000, Requested 1569`. `None` if other requests have used part of it.
pub(super) fn too_low_for_one(words: &str) -> Option<u64> {
    let words = words.to_lowercase();
    let (_, rate) = words.split_once("tokens per ")?;
    let stated = |name: &str| number(rate.split_once(name)?.1.trim_start_matches([':', ' '])).0;
    let limit = stated("limit")?;
    let requested = stated("requested")?;
    let is_shared = stated("used").or_else(|| stated("current")).is_some();
    (!is_shared && limit > 0 && requested > limit).then_some(limit)
}

/// The number at the start of a text, and the rest of the text.
fn number(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.replace(',', "").parse().ok(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_one_request_exceeds_is_told_from_one_that_is_used_up() {
        for (words, limit) in [
            (
                "Request too large for gpt-4o on tokens per min (TPM): Limit 1000, Requested 1569. Shorten it.",
                Some(1_000),
            ),
            ("on tokens per minute (TPM): Limit 6,000, Requested 10,000, please reduce your message size", Some(6_000)),
            ("on input tokens per day (TPD): Limit: 6000, Requested: 6001", Some(6_000)),
            ("on tokens per min (TPM): Limit 1000, Requested 1000.", None),
            ("on tokens per min (TPM): Limit 1000, Used 10, Requested 1569.", None),
            ("on tokens per min. Limit: 1000 / min. Current: 900 / min. Requested: 1569 / min.", None),
            ("on requests per min (RPM): Limit 3, Requested 4.", None),
            ("on tokens per min (TPM): Limit 0, Requested 4.", None),
            ("on tokens per min (TPM): Limit 1000", None),
        ] {
            assert_eq!(too_low_for_one(words), limit, "{words}");
        }
    }

    #[test]
    fn the_prompt_is_told_from_reply_and_window() {
        for (answer, tokens) in [
            (
                r#"{"error":{"message":"request (10031 tokens) exceeds the available context size (2048 tokens)","n_prompt_tokens":10031}}"#,
                10_031,
            ),
            ("request (600 tokens) exceeds the available context size (512 tokens), try increasing it", 600),
            (
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9,001 tokens.",
                9_001,
            ),
            (
                "maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion).",
                4_000,
            ),
            (
                "This endpoint's maximum context length is 131072 tokens. However, you requested about 140001 tokens (130001 of text input, 10000 in the output).",
                130_001,
            ),
            ("This model's maximum context length is 4096 tokens and your request has 5000 input tokens", 5_000),
            ("You passed 4097 input tokens and requested 16 output tokens.", 4_097),
            ("prompt is too long: 210000 tokens > 200000 maximum", 210_000),
            ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", 1_200_000),
        ] {
            assert_eq!(prompt_tokens(answer), Some(tokens), "{answer}");
        }
        for answer in [
            "",
            "Rate limit reached: 30000 tokens per min",
            "request (big tokens)",
            "resulted in 99999999999999999999 tokens",
        ] {
            assert_eq!(prompt_tokens(answer), None, "{answer}");
        }
    }
}
