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

say() { printf '%s\n' "llmock: $*" >&2; }
die() { say "$*"; exit 1; }

cmd=${1:-}; dir=${2:-}; port=${3:-18096}
case $cmd-$port in start-*[!0-9]*|stop-*[!0-9]*) die "PORT is a number" ;; start-*|stop-*) ;; *) die "start or stop, and a folder" ;; esac
[ -n "$dir" ] || die "start or stop, and a folder"
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
pidfile=$dir/llmock.$port.pid
address=http://127.0.0.1:$port

ready() {
  python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "$address/_llmock/scenario" 2>/dev/null
}

# The process of that number, if it is really ours (numbers are reused).
our_pid() {
  local pid
  pid=$(cat "$pidfile" 2>/dev/null) || return 1
  [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || return 1
  tr '\0' '\n' < "/proc/$pid/cmdline" | grep -qF -- "$dir/venv/bin/llmock" || return 1
  printf '%s' "$pid"
}

start() {
  if our_pid >/dev/null && ready; then say "already running"; printf '%s\n' "$address"; return; fi
  ready && die "port $port already answers, and not from here"
  if [ ! -x "$dir/venv/bin/llmock" ]; then
    say "installing $PACKAGE"
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check "$PACKAGE" >&2
  fi
  # Paced, so that it notices clients that stop reading.
  nohup setsid "$dir/venv/bin/llmock" serve --port "$port" --stream-chunk-delay-ms 50 > "$dir/llmock.$port.log" 2>&1 < /dev/null &
  printf '%s\n' "$!" > "$pidfile"
  local end=$((SECONDS + 60))
  until ready; do
    [ $SECONDS -lt "$end" ] || { tail -n 20 "$dir/llmock.$port.log" >&2; stop; die "not ready in time"; }
    sleep 0.2
  done
  printf '%s\n' "$address"
}

stop() {
  local pid
  if pid=$(our_pid); then
    kill "$pid" 2>/dev/null || true
    say "stopped"
  else
    say "not running"
  fi
  rm -f "$pidfile"
}

"$cmd"
