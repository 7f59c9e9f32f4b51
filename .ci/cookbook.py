"""Builds the programs of docs/cookbook.md in a package of their own, checks their format, runs them and compares what they
print with the text below each.  Usage: cookbook.py FOLDER (where the package is made)"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MANIFEST = """
[package]
name = "cookbook"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
turnwise = {{ path = "{root}", features = ["schemars"] }}
tokio = {{ version = "1", features = ["macros", "rt-multi-thread", "net"] }}
axum = {{ version = "0.8", default-features = false, features = ["http1", "tokio", "json"] }}
futures-util = "0.3"
schemars = "1"
serde = {{ version = "1", features = ["derive"] }}
serde_json = "1"
tempfile = "3"
"""
PROGRAM = re.compile(r"^## (?P<title>[^\n]+)\n(?:(?!^## ).)*?^```rust(?P<no_run>,no_run)?\n(?P<code>.*?)^```\n"
                     r"(?:\n```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def main(folder):
    programs = list(PROGRAM.finditer((ROOT / "docs/cookbook.md").read_text()))
    blocks = (ROOT / "docs/cookbook.md").read_text().count("\n```rust")
    assert len(programs) == blocks, f"{blocks} programs, but {len(programs)} have a heading of their own"
    bins = folder / "src/bin"
    bins.mkdir(parents=True, exist_ok=True)
    for old in bins.glob("*.rs"):
        old.unlink()
    (folder / "Cargo.toml").write_text(MANIFEST.format(root=ROOT))
    (folder / "Cargo.lock").write_bytes((ROOT / "Cargo.lock").read_bytes())
    names = [re.sub(r"\W+", "-", program["title"].lower()).strip("-") for program in programs]
    for name, program in zip(names, programs):
        (bins / f"{name}.rs").write_text(program["code"])
    cargo = lambda *words: ["cargo", *words, "--manifest-path", folder / "Cargo.toml"]
    subprocess.run(cargo("fmt", "--check"), check=True)
    subprocess.run(cargo("build", "--target-dir", ROOT / "target"), check=True)
    wrong = 0
    for name, program in zip(names, programs):
        if program["no_run"] or program["printed"] is None:
            print(f"{name}: compiled")
            continue
        ran = subprocess.run([ROOT / "target/debug" / name], capture_output=True, text=True, cwd=folder, timeout=60)
        same = ran.returncode == 0 and ran.stdout == program["printed"]
        print(f"{name}: {'as printed' if same else 'DIFFERENT'}")
        if not same:
            wrong += 1
            print(f"the page has\n{program['printed']}\nit printed\n{ran.stdout}\n{ran.stderr}")
    sys.exit(1 if wrong else 0)


main(pathlib.Path(sys.argv[1]))
