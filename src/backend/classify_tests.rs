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
            r#"{"error":{"message":"Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000. maximum context length","type":"tokens","code":"rate_limit_exceeded"}}"#,
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
