use std::collections::HashMap;
use std::env::VarError;

use super::super::options::OpenAiOptions;
use super::*;

fn of(variables: &[(&str, &str)]) -> Result<Endpoint, Refusal> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Endpoint::of_variables(|name| variables.get(name).map(|value| (*value).to_owned()).ok_or(VarError::NotPresent))
}

fn refusal(variables: &[(&str, &str)]) -> String {
    of(variables).err().unwrap().to_string()
}

fn header(endpoint: &Endpoint, name: &str) -> Option<String> {
    Some(endpoint.config.headers().get(name)?.to_str().unwrap().to_owned())
}

const LOCAL: (&str, &str) = ("OPENAI_BASE_URL", " http://127.0.0.1:8080/v1/ ");

#[test]
fn an_administrators_key_is_never_sent() {
    let endpoint = of(&[LOCAL, ("OPENAI_ADMIN_KEY", "sk-admin")]).unwrap();
    assert_eq!(header(&endpoint, "authorization"), None);
    assert_eq!(endpoint.config.api_base(), "http://127.0.0.1:8080/v1");
}

#[test]
fn organization_and_project_go_to_openai_alone() {
    let account = [("OPENAI_API_KEY", " sk-x\n"), ("OPENAI_ORG_ID", " org-1\n"), ("OPENAI_PROJECT_ID", "p")];
    let openai = of(&account).unwrap();
    assert_eq!(header(&openai, "openai-organization").as_deref(), Some("org-1"));
    assert_eq!(header(&openai, "openai-project").as_deref(), Some("p"));
    assert_eq!(header(&openai, "authorization").as_deref(), Some("Bearer sk-x"));
    let local = of(&[&account[..], &[LOCAL]].concat()).unwrap();
    assert_eq!((header(&local, "openai-organization"), header(&local, "openai-project")), (None, None));
}

#[test]
fn what_cannot_be_sent_is_refused_by_the_name_of_its_variable() {
    for name in ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID"] {
        let refused = refusal(&[(name, "secret\u{7f}\nx")]);
        assert!(refused.contains(name) && !refused.contains("secret"), "{refused}");
    }
}

#[test]
fn a_key_is_needed_for_openai_alone() {
    assert!(of(&[]).unwrap().check_key().unwrap_err().contains("OPENAI_API_KEY"));
    of(&[LOCAL]).unwrap().check_key().unwrap();
    of(&[("OPENAI_API_KEY", "sk-x")]).unwrap().check_key().unwrap();
    let own_header = OpenAiOptions::default().header("Authorization", "Basic x");
    own_header.endpoint().unwrap().check_key().unwrap();
}

#[test]
fn a_base_url_that_is_none_is_shown_without_secrets() {
    for (base, shown) in [
        ("", "OPENAI_BASE_URL is empty"),
        (" ", "OPENAI_BASE_URL is empty"),
        ("localhost:8080/secret", "`localhost:8080…`, without http:// or https://"),
        ("user:secret@host.example/secret?secret", "`host.example…`"),
        ("ftp://host.example/secret", "`ftp://host.example…`"),
        ("sk-secret", "9 characters"),
    ] {
        let refused = refusal(&[("OPENAI_BASE_URL", base)]);
        assert!(refused.contains(shown) && refused.contains("OPENAI_BASE_URL"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}

#[test]
fn a_missing_key_names_the_variable_for_a_server_of_ones_own_too() {
    let refused = of(&[]).unwrap().check_key().unwrap_err();
    assert!(refused.contains("OPENAI_API_KEY") && refused.contains("OPENAI_BASE_URL"), "{refused}");
}

#[test]
fn no_key_of_a_configuration_is_shown() {
    let base = "https://me:password1@gate.example/v1?key=from-the-query";
    let options = OpenAiOptions::new(base).key("from-the-key").header("x-api-key", "from-the-header");
    assert!(!format!("{options:?}").contains("from-the"), "{options:?}");
    let endpoint = options.endpoint().unwrap();
    assert_eq!(&*endpoint.shown, "https://gate.example/v1");
    let echoed = "password1 from-the-query from-the-key from-the-header; and words";
    let told = crate::backend::secrets::shown(echoed, &endpoint.clients().unwrap().secrets).unwrap();
    assert_eq!(told, "[key] [key] [key] [key]; and words");
}

#[test]
fn azure_has_its_own_address_header_and_version() {
    let options = OpenAiOptions::azure("https://example.openai.azure.com/", "gpt-4o-eu", "2024-10-21").key(" k1 ");
    let endpoint = options.endpoint().unwrap();
    assert_eq!(
        endpoint.config.url("/chat/completions"),
        "https://example.openai.azure.com/openai/deployments/gpt-4o-eu/chat/completions"
    );
    assert_eq!((header(&endpoint, "api-key").as_deref(), header(&endpoint, "authorization")), (Some("k1"), None));
    assert_eq!(endpoint.config.query(), [("api-version", "2024-10-21")]);
}

#[test]
fn the_last_header_of_a_name_counts_and_what_cannot_be_sent_is_refused_without_showing_it() {
    let options = OpenAiOptions::new("http://127.0.0.1:1/v1").key("k").header("X-A", "1").header("x-a", "2");
    let endpoint = options.clone().header("authorization", "Basic x").endpoint().unwrap();
    assert_eq!(header(&endpoint, "x-a").as_deref(), Some("2"));
    assert_eq!(header(&endpoint, "authorization").as_deref(), Some("Basic x"));
    for (refused, says) in [
        (options.clone().header("x-b", "secret\n"), "`x-b` holds characters"),
        (options.clone().header("secret key", "1"), "the name of a header"),
        (options.key("secret\u{7f}x"), "the key holds characters"),
        (OpenAiOptions::new("127.0.0.1:8080/secret"), "without http://"),
    ] {
        let refused = refused.endpoint().err().unwrap();
        assert!(refused.contains(says) && !refused.contains("secret"), "{refused}");
    }
}

#[test]
fn a_query_of_the_base_url_is_sent_as_a_query() {
    let options = OpenAiOptions::new("http://127.0.0.1:1/v1/?a=1&b=x%20y").query("c", "3");
    let endpoint = options.endpoint().unwrap();
    assert_eq!(endpoint.config.url("/chat/completions"), "http://127.0.0.1:1/v1/chat/completions");
    assert_eq!(endpoint.config.query(), [("a", "1"), ("b", "x y"), ("c", "3")]);
    let refused = OpenAiOptions::new("http://127.0.0.1:1/v1#secret").endpoint().err().unwrap();
    assert!(refused.contains('#') && !refused.contains("secret"), "{refused}");
}

#[test]
fn a_key_in_a_header_is_marked_as_sensitive() {
    for options in [OpenAiOptions::new("http://127.0.0.1:1"), OpenAiOptions::azure("http://127.0.0.1:1", "d", "v")] {
        let headers = options.key("secret-1").endpoint().unwrap().config.headers();
        assert!(!format!("{headers:?}").contains("secret-1"), "{headers:?}");
    }
}
