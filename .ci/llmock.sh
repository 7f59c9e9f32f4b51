#!/usr/bin/env bash
# A faulty chat-completions server on loopback that also judges its clients: llmock of the Python package index.
#
#   llmock.sh start DIR [PORT]   set up in DIR if needed, start, wait, print its address
#   llmock.sh stop  DIR [PORT]   stop the server that was started from DIR on PORT
#
# PORT is 18096 unless given. Running start twice is harmless. Standard output carries only the address (without /v1);
# everything else goes to standard error.
set -euo pipefail

PACKAGE=llmock==0.2.2

name=llmock
. "$(dirname "$0")/server.sh"
take_arguments 18096 "$@"
pidfile=$dir/llmock.$port.pid
logfile=$dir/llmock.$port.log
mark=$dir/venv/bin/llmock
base=http://127.0.0.1:$port
probe=$base/_llmock/scenario

start() {
  if ! is_running; then
    if [ ! -x "$dir/venv/bin/llmock" ]; then
      say "installing $PACKAGE"
      python3 -m venv "$dir/venv"
      "$dir/venv/bin/pip" install --quiet --disable-pip-version-check "$PACKAGE" >&2
    fi
    # Paced, so that it notices clients that stop reading.
    serve 60 "$dir/venv/bin/llmock" serve --port "$port" --stream-chunk-delay-ms 50
  fi
  printf '%s\n' "$base"
}

"$cmd"
