#!/usr/bin/env bash
# Checks the answers of crates/conversations against the API's published schema and with the classes of the official
# Python client, which come from the Python package index.
#
#   conversations.sh DIR   set up in DIR if needed, and check
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$1
if [ ! -e "$dir/venv/.done" ]; then
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: openai==3.57.0 jsonschema==4.26.0 >&2
  : > "$dir/venv/.done"
fi
cargo run --locked --quiet -p turnwise-conversations --example answers |
  "$dir/venv/bin/python" .ci/conversations.py fixtures/openai/conversations.schema.json
