//! What the manifest promises: the minimum Rust version, and a core without what its users did not ask for.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::process::Command;

use serde_json::Value;

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap_or(0))
}

#[test]
fn no_dependency_needs_a_newer_rust_than_the_manifest_says() {
    let own = version(env!("CARGO_PKG_RUST_VERSION"));
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--locked"])).unwrap();
    let used = cargo(&["tree", "--locked", "--edges=normal,build", "--target=all", "--prefix=none", "--format={p}"]);
    let packages = metadata["packages"].as_array().unwrap();
    let mut checked = 0;
    for package in packages {
        let (name, number) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let Some(needs) = package["rust_version"].as_str() else { continue };
        if used.lines().any(|line| line.starts_with(&format!("{name} v{number}"))) {
            assert!(version(needs) <= own, "{name} {number} needs Rust {needs}");
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} packages name a version");
}

#[test]
fn the_core_pays_for_no_client_no_command_line_and_no_runtime() {
    let tree = cargo(&["tree", "--locked", "--no-default-features", "--edges=normal", "--prefix=none", "--format={p}"]);
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains(&"tiktoken-rs"));
    for unwanted in
        ["tiktoken", "clap", "anstream", "comfy-table", "dotenvy", "reqwest", "hyper", "async-openai", "rusqlite"]
    {
        assert!(!crates.contains(&unwanted), "{unwanted} is in the core");
    }
    let features = cargo(&["tree", "--locked", "--no-default-features", "--edges=normal,features", "--prefix=none"]);
    let of_tokio = features.lines().filter_map(|line| line.strip_prefix("tokio feature "));
    let of_tokio: std::collections::BTreeSet<&str> = of_tokio.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(of_tokio.iter().all(|feature| *feature == "sync"), "the core needs no runtime: {of_tokio:?}");
}
