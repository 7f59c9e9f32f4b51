# What scripts share that run a Python program as a server on loopback. It is read by them, not run. They set:
#
#   name      the script's name, in front of what it says
#   pidfile   where the number of the process is kept
#   logfile   what the server prints
#   mark      an argument of the server's command line that no other process has
#   base      what `start` prints
#   probe     an address that answers when the server is ready

say() { printf '%s\n' "$name: $*" >&2; }
die() { say "$*"; exit 1; }

# Takes `start|stop DIR [PORT]`, of which the port may be left out, and sets cmd, dir and port.
take_arguments() {
  local default=$1; shift
  cmd=${1:-}; dir=${2:-}; port=${3:-$default}
  case $cmd-$port in start-*[!0-9]*|stop-*[!0-9]*) die "PORT is a number" ;; start-*|stop-*) ;; *) die "start or stop, and a folder" ;; esac
  [ -n "$dir" ] || die "start or stop, and a folder"
  mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
}

ready() {
  python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "$probe" 2>/dev/null
}

# The process of that number, if it is really ours (numbers are reused).
our_pid() {
  local pid
  pid=$(cat "$pidfile" 2>/dev/null) || return 1
  [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || return 1
  tr '\0' '\n' < "/proc/$pid/cmdline" | grep -qxF -- "$mark" || return 1
  printf '%s' "$pid"
}

# Whether it runs already. Fails if something else has the port.
is_running() {
  if our_pid >/dev/null && ready; then say "already running"; return 0; fi
  ready && die "port $port already answers, and not from here"
  return 1
}

# Runs a command as the server, and waits so many seconds until it is ready.
serve() {
  local wait=$1; shift
  nohup setsid "$@" > "$logfile" 2>&1 < /dev/null &
  printf '%s\n' "$!" > "$pidfile"
  local end=$((SECONDS + wait))
  until ready; do
    [ $SECONDS -lt "$end" ] || { tail -n 20 "$logfile" >&2; stop; die "not ready in time"; }
    sleep 0.2
  done
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
