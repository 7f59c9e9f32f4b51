#!/usr/bin/env bash
# Drives `turnwise chat` at a pseudo-terminal (chat.py): with answers of its own, and where TURNWISE_CHAT_MODEL names the
# base URL of a server with a real model, with that too.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --quiet -p turnwise-cli --features full
program=${CARGO_TARGET_DIR:-target}/debug/turnwise
python3 .ci/chat.py "$program"
if [ -n "${TURNWISE_CHAT_MODEL:-}" ]; then
  python3 .ci/chat.py "$program" "$TURNWISE_CHAT_MODEL" smollm2
fi
