//! What the manifests promise: each package's minimum Rust version, and a library without what its users did not ask for.
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

/// The packages that `cargo tree` lists for the library or, with `-p`, for another package: one name and version a line.
fn tree(arguments: &str) -> String {
    let fixed = ["tree", "--locked", "--prefix=none", "--format={p}"];
    cargo(&fixed.into_iter().chain(arguments.split_whitespace()).collect::<Vec<_>>())
}

#[test]
fn no_dependency_needs_a_newer_rust_than_the_manifest_says() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--locked"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let members: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    assert!(members.len() >= 2, "the library and the program");
    for member in members {
        let name = member["name"].as_str().unwrap();
        let own = version(member["rust_version"].as_str().unwrap());
        let used = tree(&format!("-p {name} --edges=normal,build --target=all --all-features"));
        let mut checked = 0;
        for package in packages {
            let Some(needs) = package["rust_version"].as_str() else { continue };
            let start = format!("{} v{}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
            if used.lines().any(|line| line.split(" (").next() == Some(&start)) {
                assert!(version(needs) <= own, "{name}: {start} needs Rust {needs}");
                checked += 1;
            }
        }
        assert!(checked > 20, "{name}: only {checked} packages name a version");
    }
}

#[test]
fn the_library_pays_for_no_command_line() {
    let all = tree("-p turnwise --edges=normal --all-features");
    for unwanted in ["clap", "anstream", "comfy-table", "dotenvy"] {
        assert!(!all.lines().any(|line| line.starts_with(&format!("{unwanted} v"))), "{unwanted} is in the library");
    }
}

#[test]
fn without_features_the_library_pays_for_no_client_and_no_runtime() {
    let tree_of_core = tree("-p turnwise --no-default-features --edges=normal");
    let crates: Vec<&str> = tree_of_core.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains(&"tiktoken-rs"));
    for unwanted in ["tiktoken", "reqwest", "hyper", "rustls", "async-openai", "rusqlite"] {
        assert!(!crates.contains(&unwanted), "{unwanted} is in the core");
    }
    let features = cargo(&[
        "tree",
        "--locked",
        "-p",
        "turnwise",
        "--no-default-features",
        "--edges=normal,features",
        "--prefix=none",
    ]);
    let of_tokio = features.lines().filter_map(|line| line.strip_prefix("tokio feature "));
    let of_tokio: std::collections::BTreeSet<&str> = of_tokio.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(of_tokio.iter().all(|feature| *feature == "sync"), "the core needs no runtime: {of_tokio:?}");
}

#[test]
fn the_root_and_the_glossary_of_the_library_stay_small() {
    let lib = include_str!("../src/lib.rs");
    let uses = lib.split("\npub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let names: usize =
        uses.map(|path| path.split(',').filter(|name| !name.trim_matches([' ', '\n', '}']).is_empty()).count()).sum();
    assert!((20..=60).contains(&names), "{names} names: a name that no first program meets stays in its module");
    let glossary = lib.split_once("//! # Words\n").unwrap().1.split_once("\n//! # ").unwrap().0;
    let rows = glossary.lines().skip(2).filter_map(|line| line.split('|').nth(1));
    let words: usize = rows.map(|words| words.split(',').count()).sum();
    assert!((20..=35).contains(&words), "{words} words");
}
