use super::*;

#[test]
fn answers_are_sorted_as_their_servers_mean_them() {
    use ErrorKind::{Auth, Overflow, Quota, RateLimited, Rejected, Unavailable};
    let cases: &[(u16, &str, ErrorKind, Option<u64>)] = &[
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 130011 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            Overflow,
            Some(128_000),
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"request (10031 tokens) exceeds the available context size (2048 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":10031,"n_ctx":2048}}"#,
            Overflow,
            Some(2_048),
        ),
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}"#,
            Overflow,
            Some(4_096),
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
            Overflow,
            Some(200_000),
        ),
        (400, r#"{"error":"input length and `max_tokens` exceed context limit"}"#, Overflow, None),
        (413, r#"{"error":{"message":"Request too large for model","code":"x"}}"#, Overflow, None),
        (
            429,
            r#"{"error":{"message":"Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Requested 4000. maximum context length","type":"tokens","code":"rate_limit_exceeded"}}"#,
            RateLimited,
            None,
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            Quota,
            None,
        ),
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            Auth,
            None,
        ),
        (500, "<html>oops</html>", Unavailable, None),
        (503, "", Unavailable, None),
        (400, r#"{"error":{"message":"Unknown parameter: 'sto'","code":"unknown_parameter"}}"#, Rejected, None),
        (404, r#"{"detail":"Not Found"}"#, Rejected, None),
        (
            400,
            r#"[{"error":{"code":400,"message":"The input token count (33000) exceeds the maximum number of tokens allowed (32768).","status":"INVALID_ARGUMENT"}}]"#,
            Overflow,
            Some(32_768),
        ),
    ];
    for (status, body, kind, limit) in cases {
        let answer = classify(*status, body);
        assert_eq!((answer.kind, answer.limit), (*kind, *limit), "{body}");
    }
}

/// Server, source of the recorded answer, status, what it says, and the window in it.
type Row = (&'static str, u16, &'static str, Option<u64>);

/// A repository and number are those of the issue on GitHub that quotes the answer; a file is the
/// one that writes it.
#[rustfmt::skip]
const OVERFLOWS: &[Row] = &[
    ("OpenAI, chathub-dev/chathub#126", 400, r#"{"error":{"message":"This model's maximum context length is 4097 tokens. However, your messages resulted in 4294 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, Some(4_097)),
    ("OpenAI, jabrena/spring-boot-user-beans#136", 400, r#"{"error":{"message":"This model's maximum context length is 4097 tokens, however you requested 4130 tokens (130 in your prompt; 4000 for the completion). Please reduce your prompt; or completion length.","type":"invalid_request_error","param":null,"code":null}}"#, Some(4_097)),
    ("OpenAI, newer, earendil-works/pi overflow.ts", 400, r#"{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error","code":null}}"#, None),
    ("OpenAI, newer, letta error_utils.py", 400, r#"{"error":{"message":"Input tokens exceed the configured limit of 272,000 tokens. Your messages resulted in 300,000 tokens.","type":"invalid_request_error"}}"#, Some(272_000)),
    ("Azure, FoundationAgents/OpenManus#62", 400, r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, you requested 8213 tokens (6683 in the messages, 730 in the functions, and 800 in the completion). Please reduce the length of the messages, functions, or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, Some(8_192)),
    ("vLLM 0.9, vllm-project/vllm#20409", 400, r#"{"object":"error","message":"This model's maximum context length is 16384 tokens. However, you requested 122946 tokens (112946 in the messages, 10000 in the completion). Please reduce the length of the messages or completion.","type":"BadRequestError","param":null,"code":400}"#, Some(16_384)),
    ("vLLM, vllm/entrypoints/openai/serving_engine.py", 400, r#"{"error":{"message":"'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your request has 20 input tokens (5000 > 4096 - 20).","type":"BadRequestError","code":400}}"#, Some(4_096)),
    ("vLLM 0.20, vllm-project/vllm#42474", 400, r#"{"error":{"message":"This model's maximum context length is 128000 tokens. However, you requested 65535 output tokens and your prompt contains at least 62466 input tokens, for a total of at least 128001 tokens.","type":"BadRequestError","code":400}}"#, Some(128_000)),
    ("vLLM 1, vllm/v1/engine/processor.py", 400, r#"{"error":{"message":"The decoder prompt (length 2613) is longer than the maximum model length of 2048. Make sure that `max_model_len` is no smaller than the number of text tokens.","code":400}}"#, Some(2_048)),
    ("SGLang, sgl-project/sglang#8096", 400, r#"{"object":"error","message":"The input (85050 tokens) is longer than the model's context length (32768 tokens).","type":"BadRequestError","code":400}"#, Some(32_768)),
    ("llama.cpp, recorded with b10434", 400, r#"{"error":{"code":400,"message":"request (10031 tokens) exceeds the available context size (2048 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":10031,"n_ctx":2048}}"#, Some(2_048)),
    ("llama.cpp and LM Studio, in the middle of a reply", 500, r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#, None),
    ("Ollama, earendil-works/pi overflow.ts", 400, r#"{"error":{"message":"prompt too long; exceeded max context length by 512 tokens","type":"api_error"}}"#, None),
    ("Ollama, openclaw/openclaw docs of memory-lancedb", 400, r#"{"error":"the input length exceeds the context length"}"#, None),
    ("LM Studio, cline/cline#3664", 400, r#"{"error":"Trying to keep the first 10136 tokens when context the overflows. However, the model is loaded with context length of only 7866 tokens, which is not enough."}"#, Some(7_866)),
    ("LM Studio, Gitlawb/openclaude#353", 400, r#"{"error":"The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 13055>= n_ctx: 4096). Try to load the model with a larger context length."}"#, Some(4_096)),
    ("OpenRouter, earendil-works/pi#6378", 400, r#"{"error":{"message":"This endpoint's maximum context length is 262000 tokens. However, you requested about 263390 tokens (658 of text input, 732 of tool input, 262000 in the output).","code":400,"metadata":{"provider_name":null}}}"#, Some(262_000)),
    ("OpenRouter, cline/cline#13194", 400, r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"This model's maximum context length is 262144 tokens. However, your messages resulted in 262897 tokens.\",\"code\":400}}","provider_name":"Nvidia"}}}"#, Some(262_144)),
    ("OpenRouter, ai-christianson/RA.Aid#41", 200, r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"provider_name":"DeepInfra","raw":{"error_type":"validation_error","error_message":"This model's maximum context length is 16000 tokens. However, you requested 17165 tokens"}}}}"#, Some(16_000)),
    ("Groq, OpenHands/OpenHands#1902", 400, r#"{"error":{"message":"Please reduce the length of the messages or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, None),
    ("Mistral, earendil-works/pi overflow.ts", 400, r#"{"object":"error","message":"Prompt contains 40006 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","param":null,"code":"3051"}"#, Some(32_768)),
    ("Anthropic, anthropics/claude-code#11281", 400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 201130 tokens > 200000 maximum"},"request_id":"r"}"#, Some(200_000)),
    ("Anthropic, RooCodeInc/Roo-Code#3713", 400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 196395 + 64000 > 204698, decrease input length or `max_tokens` and try again"}}"#, Some(204_698)),
    ("Gemini, google-gemini/gemini-cli#6678", 400, r#"[{"error":{"code":400,"message":"The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}]"#, Some(1_048_576)),
    ("Gemini, without brackets", 400, r#"{"error":{"code":400,"message":"The input token count exceeds the maximum number of tokens allowed 1048576.","status":"INVALID_ARGUMENT"}}"#, Some(1_048_576)),
    ("xAI, earendil-works/pi overflow.ts", 400, r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}"#, Some(131_072)),
    ("xAI, newer, UKGovernmentBEIS/inspect_ai#5208", 400, r#"{"code":"invalid-argument","error":"Failed to start sampling: [input_too_large] Current message (1149677 tokens) exceeds budget (975424 tokens)"}"#, Some(975_424)),
    ("DeepSeek, bytedance/deer-flow#66", 400, r#"{"error":{"message":"This model's maximum context length is 65536 tokens. However, you requested 87731 tokens (87731 in the messages, 0 in the completion). Please reduce the length of the messages or completion.","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#, Some(65_536)),
    ("Together, bytedance/UI-TARS-desktop#626", 422, r#"{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 65537. Given: 79993 `inputs` tokens and 1024 `max_new_tokens`","type":"invalid_request_error","param":null,"code":null}}"#, Some(65_537)),
    ("Hugging Face TGI, meta-llama/llama#1103", 422, r#"{"error":"Input validation error: `inputs` must have less than 4096 tokens. Given: 4545","error_type":"validation"}"#, Some(4_096)),
    ("Cohere, cohere-ai/sandbox-topically#4", 400, r#"{"message":"too many tokens: total number of tokens (prompt and prediction) cannot exceed 2048 - received 6354. Try using a shorter prompt or a smaller max_tokens value."}"#, Some(2_048)),
    ("Bedrock, earendil-works/pi overflow.ts", 400, r#"{"message":"Input is too long for requested model."}"#, None),
    ("Copilot, earendil-works/pi overflow.ts", 400, r#"{"error":{"message":"prompt token count of 150000 exceeds the limit of 128000","code":"model_max_prompt_tokens_exceeded"}}"#, Some(128_000)),
    ("Kimi, earendil-works/pi overflow.ts", 400, r#"{"error":{"message":"Your request exceeded model token limit: 262144 (requested: 291351)","type":"invalid_request_error"}}"#, Some(262_144)),
    ("MiniMax, earendil-works/pi overflow.ts", 400, r#"{"error":{"message":"invalid params, context window exceeds limit","type":"bad_request_error"}}"#, None),
    ("Zhipu, tashfeenahmed/freellmapi#873", 400, r#"{"error":{"code":"1261","message":"Prompt exceeds max length"}}"#, None),
    ("Qwen, QwenLM/qwen-code#98", 400, r#"{"error":{"message":"<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 204800]","type":"invalid_request_error"}}"#, Some(204_800)),
    ("ds4, earendil-works/pi overflow.ts", 400, r#"{"error":{"message":"Prompt has 300,000 tokens, but the configured context size is 131,072 tokens"}}"#, Some(131_072)),
    ("Z.ai, earendil-works/pi overflow.ts", 400, r#"{"error":{"code":"1210","message":"model_context_window_exceeded"}}"#, None),
    ("mlx-serve, ddalcu/mlx-serve#66", 400, r#"{"error":{"message":"Prompt exceeds maximum context length"}}"#, None),
];

#[test]
fn an_overflow_is_one_on_every_server() {
    for (server, status, body, limit) in OVERFLOWS {
        let answer = classify(*status, body);
        assert_eq!((answer.kind, answer.limit), (ErrorKind::Overflow, *limit), "{server}");
    }
}

#[test]
fn throttling_is_no_overflow_and_neither_is_another_limit() {
    use ErrorKind::{RateLimited, Rejected};
    #[rustfmt::skip]
    let rows: &[(&str, u16, &str, ErrorKind)] = &[
        ("OpenAI", 429, r#"{"error":{"message":"Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 4000. Please try again in 2s.","type":"tokens","code":"rate_limit_exceeded"}}"#, RateLimited),
        ("OpenAI, as much as the limit", 429, r#"{"error":{"message":"Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Requested 30000.","type":"tokens","code":"rate_limit_exceeded"}}"#, RateLimited),
        ("Groq", 413, r#"{"error":{"message":"Rate limit reached on tokens per minute (TPM): Limit 6000, Used 100, Requested 10000, please try again in 9s.","type":"tokens","code":"rate_limit_exceeded"}}"#, RateLimited),
        ("Bedrock, anthropics/claude-code#1466", 429, r#"{"message":"Too many tokens, please wait before trying again."}"#, RateLimited),
        ("a relay of Bedrock", 400, r#"{"error":{"message":"ThrottlingException: Too many tokens, please wait before trying again.","type":"invalid_request_error"}}"#, Rejected),
        ("a relay of Bedrock", 200, r#"{"error":{"message":"Too many tokens, please wait before trying again.","code":429}}"#, RateLimited),
        ("Gemini", 429, r#"{"error":{"code":429,"message":"You exceeded your current quota, input token count limit: 250000","status":"RESOURCE_EXHAUSTED"}}"#, RateLimited),
        ("OpenAI, the reply alone", 400, r#"{"error":{"message":"max_tokens is too large: 65536. This model supports at most 16384 completion tokens","type":"invalid_request_error","code":"invalid_value"}}"#, Rejected),
        ("Groq, the reply alone", 400, r#"{"error":{"message":"`max_completion_tokens` must be less than or equal to `16384`, the maximum value for `max_completion_tokens` is less than the `context_window` for this model","type":"invalid_request_error"}}"#, Rejected),
        ("Bedrock, the reply alone", 400, r#"{"message":"The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower than 4096."}"#, Rejected),
        ("Hugging Face, the reply alone", 422, r#"{"error":"Input validation error: `max_new_tokens` must be <= 192. Given: 200"}"#, Rejected),
    ];
    for (server, status, body, kind) in rows {
        let answer = classify(*status, body);
        assert_eq!((answer.kind, answer.limit), (*kind, None), "{server}: {body}");
    }
}

#[test]
fn a_request_that_no_minute_allows_is_an_overflow() {
    let tokens = |requested: &str| {
        format!(
            r#"{{"error":{{"message":"Request too large for gpt-4o in organization o on tokens per min (TPM): Limit 1000, {requested}. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}}}"#
        )
    };
    for status in [200, 400, 413, 429] {
        let answer = classify(status, &tokens("Requested 1569"));
        assert_eq!((answer.kind, answer.limit), (ErrorKind::Overflow, Some(1_000)), "{status}");
        for waits in ["Used 900, Requested 1569", "Requested 1000"] {
            let answer = classify(status, &tokens(waits));
            assert_eq!((answer.kind, answer.limit), (ErrorKind::RateLimited, None), "{status}: {waits}");
        }
    }
    let groq = r#"{"error":{"message":"Request too large for model `llama-3.1-8b-instant` on tokens per minute (TPM): Limit 6000, Requested 10000, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#;
    assert_eq!((classify(413, groq).kind, classify(413, groq).limit), (ErrorKind::Overflow, Some(6_000)));
}

#[test]
fn what_a_model_wrote_instead_of_a_call_is_shown_and_sorts_nothing() {
    let body = r#"{"error":{"message":"Failed to call a function. See 'failed_generation' for more details.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"<function=look>\nprompt is too long; multiple system messages are not supported sk-abcdefghijklmnopqrstuvwxyz0123456789"}}"#;
    for status in [400, 200] {
        let error = crate::backend::BackendError::status(status, body);
        assert_eq!((error.kind(), error.advice()), (ErrorKind::Rejected, None), "{error}");
        let reason = error.reason().unwrap();
        let begins = "Failed to call a function. See 'failed_generation' for more details. failed_generation: <function=look> prompt is too long;";
        assert!(reason.starts_with(begins) && !reason.contains("0123456"), "{reason}");
        assert!(!format!("{error:?}").contains("look"), "logs hold no word of it");
    }
    let long = body.replace("<function=look>", &"x".repeat(1_000));
    let reason = crate::backend::BackendError::status(400, &long).reason().unwrap();
    assert!(reason.chars().count() <= 301 && reason.ends_with('…'), "{reason}");
    for (written, shown) in
        [(r#""""#, "no"), ("null", "no"), (r#"{"name":"f"}"#, r#"no failed_generation: {"name":"f"}"#)]
    {
        let body = format!(r#"{{"error":{{"message":"no","failed_generation":{written}}}}}"#);
        assert_eq!(crate::backend::BackendError::status(400, &body).reason().as_deref(), Some(shown));
    }
}

#[test]
fn one_odd_member_hides_no_other() {
    let odd = r#"{"error":{"message":["x"],"code":"context_length_exceeded","n_ctx":"many"}}"#;
    assert_eq!((classify(400, odd).kind, classify(400, odd).limit), (ErrorKind::Overflow, None));
    let odd = r#"{"error":{"message":"prompt is too long","code":{},"type":7,"n_ctx":512}}"#;
    assert_eq!((classify(400, odd).kind, classify(400, odd).limit), (ErrorKind::Overflow, Some(512)));
}

#[test]
fn an_error_with_the_status_of_a_success_is_what_its_code_or_type_says() {
    use ErrorKind::{Auth, Overflow, Quota, RateLimited, Rejected, Unavailable};
    for (body, kind) in [
        (r#"{"error":{"message":"slow down","code":429}}"#, RateLimited),
        (r#"{"error":{"message":"slow down","code":"503"}}"#, Unavailable),
        (r#"{"error":{"message":"?","code":7}}"#, Unavailable),
        (r#"{"error":"upstream failed"}"#, Unavailable),
        (r#"{"error":{"code":"invalid_api_key"}}"#, Auth),
        (r#"{"type":"error","error":{"type":"authentication_error","message":"x"}}"#, Auth),
        (r#"{"error":{"code":"rate_limit_exceeded","type":"requests"}}"#, RateLimited),
        (r#"{"error":{"code":"insufficient_quota"}}"#, Quota),
        (r#"{"error":{"code":"context_length_exceeded"}}"#, Overflow),
        (r#"{"error":{"type":"invalid_request_error","code":null}}"#, Rejected),
        (r#"{"error":{"code":429},"choices":[]}"#, RateLimited),
    ] {
        assert!(is_error(body), "{body}");
        assert_eq!(classify(200, body).kind, kind, "{body}");
    }
    for body in [r#"{"error":null,"choices":[]}"#, r#"{"choices":[]}"#, "<html>"] {
        assert!(!is_error(body), "{body}");
    }
}

#[test]
fn codes_are_text_whether_they_come_as_text_or_number() {
    assert_eq!(classify(400, r#"{"error":{"code":400,"message":"x"}}"#).code.as_deref(), Some("400"));
    assert_eq!(classify(400, r#"{"error":{"code":"bad","message":"x"}}"#).code.as_deref(), Some("bad"));
    assert_eq!(classify(400, r#"{"error":{"code":null,"type":"t","message":"x"}}"#).code.as_deref(), Some("t"));
}
