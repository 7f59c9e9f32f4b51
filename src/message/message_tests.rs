use super::*;

fn round_trip(text: &str) {
    let message = Message::from_json(text).unwrap();
    assert_eq!(serde_json::to_string(&message).unwrap(), text);
}

#[test]
fn every_shape_of_the_api_comes_back_out() {
    for text in [
        r#"{"role":"user","content":"hi"}"#,
        r#"{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{\"a\": 1}","name":"f"},"id":"c","type":"function","index":0}]}"#,
        r#"{"role":"assistant","tool_calls":null,"refusal":null,"annotations":[]}"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"custom","custom":{"name":"sh","input":"ls"}}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"image_url","image_url":{"url":"u","detail":"low"}},{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]}"#,
        r#"{"role":"critic","content":"x","weight":1.50,"big":123456789012345678901234567890.10e-5}"#,
        r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}"#,
        r#"{"role":"assistant","audio":{"id":"audio_1"},"content":null}"#,
        r#"{"role":"tool","tool_call_id":"c","name":"f","content":[{"type":"text","text":"r"}]}"#,
        r#"{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"as":"json"}}}]}"#,
    ] {
        round_trip(text);
    }
}

#[test]
fn invariant_9_unknown_fields_and_roles_stay_in_their_place() {
    let text = r#"{ "z": {"b": 1.0, "a": 0.10}, "role": "observer", "a": [ ] }"#;
    let message = Message::from_json(text).unwrap();
    assert_eq!(serde_json::to_string(&message).unwrap(), r#"{"z":{"b":1.0,"a":0.10},"role":"observer","a":[]}"#);
    assert_eq!(message.get("a").unwrap().as_str(), "[]");
}

#[test]
fn bad_messages_say_what_was_expected() {
    for (text, expected) in [
        ("{}", "a message has no `role`"),
        ("[]", "expected a message (a JSON object)"),
        (r#"{"role":"user","content":5}"#, "expected a content: a string, a list of parts or null"),
        (r#"{"role":"user","content":[{"text":"x"}]}"#, "a content part has no `type`"),
        (r#"{"role":"user","role":"user"}"#, "a message has the key `role` twice"),
        (r#"{"role":7}"#, "expected a string"),
    ] {
        let error = Message::from_json(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}

#[test]
fn constructors_read_well_and_write_the_apis_json() {
    let json = |message: &Message| serde_json::to_string(message).unwrap();
    assert_eq!(json(&"hi".into()), r#"{"role":"user","content":"hi"}"#);
    assert_eq!(
        json(&Message::user("see").image_url("u")),
        r#"{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"u"}}]}"#
    );
    assert_eq!(
        json(&Message::calls([ToolCall::function("c1", "f", "{}")])),
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}"#
    );
    assert_eq!(json(&Message::tool("c1", "ok")), r#"{"role":"tool","tool_call_id":"c1","content":"ok"}"#);
    let extra = Message::user("x").with_field("seen", RawJson::new("[1.0]").unwrap()).unwrap();
    assert_eq!(json(&extra), r#"{"role":"user","content":"x","seen":[1.0]}"#);
    assert_eq!(Message::user("x").with_field("name", RawJson::new("\"Ann\"").unwrap()).unwrap().name(), Some("Ann"));
    assert!(Message::user("x").with_field("name", RawJson::new("5").unwrap()).is_err());
}

#[test]
fn invariant_10_debug_prints_lengths_and_no_text() {
    let message = Message::calls([ToolCall::function("c", "lookup", r#"{"q":"secret"}"#)])
        .with_content("secret")
        .with_name("secret")
        .with_field("vendor", RawJson::new("\"secret\"").unwrap())
        .unwrap();
    let printed = format!("{message:?}");
    assert!(!printed.contains("secret"), "{printed}");
    assert!(printed.contains("6 bytes"), "{printed}");
}

#[test]
fn a_role_of_the_specification_is_that_role_however_it_was_made() {
    let message = Message::new(Role::Other("tool".into()), "x");
    assert_eq!(*message.role(), Role::Tool);
}

#[test]
fn a_member_of_a_message_takes_three_words() {
    assert_eq!(size_of::<Member<MessageMember>>(), 24);
}

#[test]
fn no_audio_is_no_audio_where_a_server_writes_null() {
    let message = Message::from_json(r#"{"role":"assistant","content":"","audio":null}"#).unwrap();
    assert_eq!(message.audio(), None);
    assert_eq!(serde_json::to_string(&message).unwrap(), r#"{"role":"assistant","content":"","audio":null}"#);
}
