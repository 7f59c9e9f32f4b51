#!/usr/bin/env bash
# Runs the official Python client's own contract tests of conversations and items against crates/server. They come with the
# client's source distribution from the Python package index; `contract.py` says what they need.
#
#   contract.sh DIR [PORT]   set up in DIR if needed, and run
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$1
port=${2:-18098}
version=3.57.0
mkdir -p "$dir"
if [ ! -e "$dir/.done" ]; then
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" install --quiet --disable-pip-version-check "openai==$version" pytest pytest-asyncio pytest-xdist respx dirty-equals \
    nest_asyncio time-machine rich inline-snapshot httpx-aiohttp aiohttp >&2
  "$dir/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary openai --dest "$dir" "openai==$version" >&2
  tar xzf "$dir/openai-$version.tar.gz" -C "$dir"
  : > "$dir/.done"
fi
cargo build --locked --quiet -p turnwise-server --example serve
folder=$(mktemp -d)
"${CARGO_TARGET_DIR:-target}/debug/examples/serve" "$folder" "127.0.0.1:$port" > "$dir/serve.log" 2>&1 &
server=$!
trap 'kill "$server"; rm -rf "$folder" "$folder.seal"' EXIT
for _ in $(seq 50); do grep -qs http "$dir/serve.log" && break; sleep 0.1; done
plugins=$(cd .ci && pwd)
cd "$dir/openai-$version"
CONTRACT_FOLDER=$folder PYTHONPATH=$plugins TEST_API_BASE_URL=http://127.0.0.1:$port/v1 "$dir/venv/bin/python" -m pytest -q -p contract \
  -p no:cacheprovider -o addopts= -o filterwarnings= --asyncio-mode=auto tests/api_resources/test_conversations.py tests/api_resources/conversations/test_items.py
