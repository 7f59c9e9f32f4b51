use super::*;

#[test]
fn every_server_has_a_form_of_its_own_for_its_reason() {
    #[rustfmt::skip]
    let bodies: &[(&str, &str)] = &[
        // OpenAI, and a null beside it.
        (r#"{"error":{"message":"why","type":"invalid_request_error","param":null,"code":"x"}}"#, "why"),
        // Google.
        (r#"[{"error":{"code":400,"message":"why","status":"INVALID_ARGUMENT"}}]"#, "why"),
        // Ollama.
        (r#"{"error":"why"}"#, "why"),
        // Text Generation Inference.
        (r#"{"error":"why","error_type":"validation"}"#, "why"),
        // FastAPI, by hand and by pydantic.
        (r#"{"detail":"why"}"#, "why"),
        (r#"{"detail":[{"type":"missing","loc":["body","messages",0,"role"],"msg":"why","input":{"content":"secret"}}]}"#, "body.messages.0.role: why"),
        (r#"{"detail":{"error":{"message":"why"}}}"#, "why"),
        // Mistral.
        (r#"{"object":"error","message":{"detail":[{"loc":["body","name"],"msg":"why"}]},"type":"invalid_request_error"}"#, "body.name: why"),
        (r#"{"object":"error","message":"{\"detail\":[{\"loc\":[\"body\",\"name\"],\"msg\":\"why\"}]}","type":"x"}"#, "body.name: why"),
        // vLLM.
        (r#"{"object":"error","message":"why","type":"BadRequestError","param":null,"code":400}"#, "why"),
        (r#"{"message":"why"}"#, "why"),
        (r#"{"errors":[{"code":7003,"message":"why"},{"message":"and why"}],"success":false}"#, "why; and why"),
        (r#"{"errors":["why"]}"#, "why"),
        (r#"{"errors":{"name":["no"]},"title":"why","status":400}"#, "why"),
        // Problem details.
        (r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"why"}"#, "Bad Request: why"),
        // Anthropic.
        (r#"{"type":"error","error":{"type":"not_found_error","message":"why"},"request_id":"req_1"}"#, "why"),
        // Cohere, AWS.
        (r#"{"Message":"why"}"#, "why"),
        (r#"{"__type":"AccessDenied","message":"why"}"#, "why"),
        // NestJS, OAuth.
        (r#"{"statusCode":401,"error":"Unauthorized","message":"why"}"#, "Unauthorized: why"),
        (r#"{"error":"invalid_grant","error_description":"why"}"#, "invalid_grant: why"),
        (r#"{"error":true,"message":"why"}"#, "why"),
        // MiniMax.
        (r#"{"base_resp":{"status_code":1004,"status_msg":"why"}}"#, "why"),
        // OpenRouter, with the answer of its upstream server.
        (r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"why\"}}","provider_name":"X"}}}"#, "Provider returned error: why"),
        (r#"{"error":{"message":"Provider returned error","metadata":{"raw":"why"}}}"#, "Provider returned error: why"),
        // An answer in an answer.
        (r#"{"error":{"message":"{\"error\":{\"code\":400,\"message\":\"why\"}}"}}"#, "why"),
        // None of these, but JSON.
        (r#""why""#, "why"),
        (r#"{"code":7}"#, r#"{"code":7}"#),
        (r#"{"error":{"message":null,"code":"x"}}"#, r#"{"error":{"code":"x","message":null}}"#),
        // No JSON.
        ("why", "why"),
        (" why\n", "why"),
        (r#"{"error":{"message":"wh"#, r#"{"error":{"message":"wh"#),
    ];
    for (body, why) in bodies {
        assert_eq!(words(body).as_deref(), Some(*why), "{body}");
    }
}

#[test]
fn a_page_is_told_without_its_tags() {
    for (page, text) in [
        (
            "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center><hr>nginx</body></html>",
            "502 Bad Gateway nginx",
        ),
        (
            "<!DOCTYPE html><title>Error</title><pre>Cannot POST /chat/completions</pre>",
            "Error: Cannot POST /chat/completions",
        ),
        ("<html><head><title>Only a title</title></head><body></body></html>", "Only a title"),
        (
            "<html><style>p{}</style><script>if (a < b) { alert('<p>') }</script><!-- <p>no</p> --><p>a &lt; b &amp;\n c</p></html>",
            "a < b & c",
        ),
        ("<Error><Code>AccessDenied</Code><Message>why</Message></Error>", "AccessDenied why"),
        ("<p>an open <b", "an open"),
    ] {
        assert_eq!(words(page).as_deref(), Some(text), "{page}");
    }
}

#[test]
fn what_says_nothing_is_nothing() {
    for body in [
        "",
        " \n",
        "{}",
        "{",
        "}",
        "[]",
        "[{}]",
        "null",
        "\"\"",
        "{\"error\":null}",
        "{\"error\":{}}",
        "<html></html>",
        "---",
    ] {
        assert_eq!(words(body), None, "{body}");
    }
}

#[test]
fn depth_is_no_way_to_the_end_of_the_stack() {
    let deep = |depth: usize| format!("{}\"why\"{}", r#"{"error":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(words(&deep(10)).as_deref(), Some("why"));
    assert!(words(&deep(100_000)).is_some());
    let nested = (0..12).fold("why".to_owned(), |text, _| serde_json::json!({ "error": text }).to_string());
    assert!(words(&nested).is_some());
}

#[test]
fn nothing_of_a_reply_is_taken_for_an_error() {
    for body in [
        r#"{"choices":[{"message":{"role":"assistant","content":"lantern"}}]}"#,
        r#"{"choices":[{"delta":{"content":"lan"#,
        r#"["lantern""#,
    ] {
        assert_eq!(words_beside_a_reply(body), None, "{body}");
    }
    for (body, why) in [
        ("<title>Welcome</title>", "Welcome"),
        ("no such route", "no such route"),
        (r#"{"detail":"Not Found"}"#, "Not Found"),
        (r#"{"choices":null,"base_resp":{"status_msg":"login fail"}}"#, "login fail"),
    ] {
        assert_eq!(words_beside_a_reply(body).as_deref(), Some(why), "{body}");
    }
}
