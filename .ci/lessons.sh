#!/usr/bin/env bash
# Runs lessons.py and lessons.mjs with the official Python and Node clients against crates/server. Where there is no npm, it says
# that the Node client is not tried.
#
#   lessons.sh DIR [PORT]   set up in DIR if needed, and run
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$1
port=${2:-18099}
mkdir -p "$dir"
if [ ! -e "$dir/venv/.done" ]; then
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: openai==3.57.0 jsonschema==4.26.0 >&2
  : > "$dir/venv/.done"
fi
cargo build --locked --quiet -p turnwise-server --example serve
folder=$(mktemp -d)
"${CARGO_TARGET_DIR:-target}/debug/examples/serve" "$folder" "127.0.0.1:$port" "${LESSONS_UPSTREAM:-echo}" > "$dir/serve.log" 2>&1 &
server=$!
trap 'kill "$server"; rm -rf "$folder" "$folder.seal"' EXIT
for _ in $(seq 50); do grep -qs http "$dir/serve.log" && break; sleep 0.1; done
"$dir/venv/bin/python" .ci/lessons.py "http://127.0.0.1:$port/v1" fixtures/openai/conversations.schema.json
if ! command -v npm > /dev/null; then echo "there is no npm here: the Node client is not tried" >&2; exit 0; fi
if [ ! -e "$dir/node/.done" ]; then
  mkdir -p "$dir/node"
  npm install --prefix "$dir/node" --no-audit --no-fund --silent openai@6.49.0 >&2
  : > "$dir/node/.done"
fi
cp .ci/lessons.mjs "$dir/node/"
node "$dir/node/lessons.mjs" "http://127.0.0.1:$port/v1"
