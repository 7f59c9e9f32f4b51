#!/usr/bin/env python3
"""Compares the table of models with the facts that the Python package litellm collects.

    pip install litellm            # or: pip download litellm --no-deps, and unzip
    python3 tools/refresh-models.py                     # shows what differs, and changes nothing
    python3 tools/refresh-models.py --accept gpt-6-sol  # takes the differences of these models over

Options: --facts FILE names litellm's model_prices_and_context_window_backup.json where the package is not installed;
--new lists chat models of known providers that the table lacks. What is shown is for a person to judge: litellm's
max_input_tokens is the window for some models and the longest prompt for others, and docs/models.md says where the table
is set otherwise on purpose. Only --accept writes, and `cargo test --lib models` checks what was written.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

TABLE = Path(__file__).resolve().parent.parent / "src/tokens/models/models.json"
FACTS = "model_prices_and_context_window_backup.json"
PROVIDERS = ("openai", "anthropic", "gemini", "mistral", "deepseek", "xai", "cohere", "dashscope", "moonshot", "zai")
DATE = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


def installed():
    """The facts of the installed package, found without importing it."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        sys.exit("litellm is not installed; install it, or name its file with --facts")
    return Path(spec.origin).parent / FACTS


def version(path):
    """The package's version, from its installation or from the name of a folder above the file."""
    try:
        return importlib.metadata.version("litellm")
    except importlib.metadata.PackageNotFoundError:
        found = re.search(r"litellm-(\d[\w.]*)", str(path))
        return found.group(1) if found else "of unknown version"


def dollars(per_token):
    """Dollars for a million tokens, as the table writes them."""
    text = format((Decimal(str(per_token)) * 1_000_000).quantize(Decimal("0.000001")), "f")
    return text.rstrip("0").rstrip(".")


def stated(fact):
    """What litellm states of a model, as members of the table."""
    found = {}
    if fact.get("max_input_tokens"):
        found["longest"] = fact["max_input_tokens"]
    if fact.get("max_output_tokens"):
        found["max_output"] = fact["max_output_tokens"]
    if fact.get("input_cost_per_token") and fact.get("output_cost_per_token"):
        price = {"input": dollars(fact["input_cost_per_token"])}
        if fact.get("cache_read_input_token_cost"):
            price["cached"] = dollars(fact["cache_read_input_token_cost"])
        found["price"] = price | {"output": dollars(fact["output_cost_per_token"])}
    return found


def by_name(facts):
    """The facts of chat models of known providers, by the names that the table would give them."""
    named = {}
    for key, fact in facts.items():
        if fact.get("litellm_provider") not in PROVIDERS or fact.get("mode") not in ("chat", "responses", "realtime"):
            continue
        name = key.rsplit("/", 1)[-1].lower()
        for name, is_exact in ((name, True), (DATE.sub("", name), False)):
            if is_exact or name not in named:
                named[name] = (key, stated(fact))
    return named


def differences(row, facts):
    """What a row has otherwise than litellm: member, old and new value."""
    for member, new in facts.items():
        if member == "longest":
            # litellm does not tell a window from a longest prompt; either may be meant.
            if new not in (row.get("window"), row.get("max_input")):
                yield "max_input" if "max_input" in row else "window", row.get("max_input", row.get("window")), new
        elif row.get(member) != new:
            yield member, row.get(member), new


def main():
    """Shows differences, and writes those that are accepted."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--facts", type=Path, help=f"litellm's {FACTS}")
    arguments.add_argument("--accept", nargs="+", metavar="MODEL", default=[], help="models whose differences are taken over")
    arguments.add_argument("--new", action="store_true", help="list models that the table lacks")
    options = arguments.parse_args()
    path = options.facts or installed()
    facts = by_name(json.loads(path.read_text()))
    lines = TABLE.read_text().split("\n")
    names = set()
    unknown = set(options.accept)
    for index, line in enumerate(lines):
        if not line.startswith('    {"name"'):
            continue
        row = json.loads(line.rstrip(","))
        names.add(row["name"])
        if "like" in row or row["name"] not in facts:
            continue
        key, fact = facts[row["name"]]
        changes = list(differences(row, fact))
        for member, old, new in changes:
            print(f"{row['name']}: {member} is {json.dumps(old)}, litellm ({key}) has {json.dumps(new)}")
        if row["name"] in options.accept:
            unknown.discard(row["name"])
            row.update({member: new for member, _, new in changes})
            row["source"] = f"litellm {version(path)}"
            lines[index] = "    " + json.dumps(row, ensure_ascii=False) + ("," if line.endswith(",") else "")
    if options.new:
        for name in sorted(set(facts) - names):
            print(f"{name}: not in the table; litellm has {json.dumps(facts[name][1])}")
    if unknown:
        sys.exit(f"nothing is known to accept for: {', '.join(sorted(unknown))}")
    if options.accept:
        TABLE.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
