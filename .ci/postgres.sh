#!/usr/bin/env bash
# A PostgreSQL server of its own on loopback, for the tests and benchmarks of the store over PostgreSQL; if asked for,
# with PgBouncer before it. It uses the newest PostgreSQL that is installed; Debian has it as `postgresql`, and
# PgBouncer as `pgbouncer`.
#
#   postgres.sh install DIR                 install what is missing of both, where this is Debian and we are root; exit 1 if that fails
#   postgres.sh start   DIR [PORT]          make a server in DIR if needed, start it, wait, print its URL
#   postgres.sh stop    DIR [PORT]          stop it, and what stands before it
#   postgres.sh crash   DIR [PORT]          stop it as a crash does (connections break, nothing is written), start it again
#   postgres.sh bouncer DIR [PORT] [PORT]   start PgBouncer on the second port, in transaction mode, and print its URL
#   postgres.sh status  DIR [PORT]          print the URL and exit 0 when it answers, else exit 1
#   postgres.sh log     DIR [PORT]          print the server's log
#   postgres.sh data    DIR [PORT]          print the folder of its files
#
# The ports are 18432 and 18433 unless given. Running start twice is harmless. Standard output carries only the URL;
# everything else goes to standard error. The server wants a password (it is in the URL) and speaks TLS, with the
# certificate of crates/cli/tests/tls. As root it runs as `nobody`, because PostgreSQL refuses root.
# POSTGRES_ARGS="-c NAME=VALUE …" more settings
set -euo pipefail

say() { printf '%s\n' "postgres: $*" >&2; }
die() { say "$*"; exit 1; }
usage() { sed -n '2,19p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }

cmd=${1:-}; dir=${2:-}; port=${3:-18432}; bouncer_port=${4:-18433}
[ -n "$cmd" ] && [ -n "$dir" ] || usage
case $port$bouncer_port in (*[!0-9]*|'') usage ;; esac
if [ "$cmd" = install ]; then
  missing=()
  ls /usr/lib/postgresql/*/bin/postgres > /dev/null 2>&1 || command -v postgres > /dev/null || missing+=(postgresql)
  command -v pgbouncer > /dev/null || missing+=(pgbouncer)
  [ ${#missing[@]} = 0 ] && exit 0
  say "installing ${missing[*]}"
  command -v apt-get > /dev/null && [ "$(id -u)" = 0 ] || die "install ${missing[*]} first"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends "${missing[@]}"; } > /dev/null || die "could not install ${missing[*]}"
  exit 0
fi
[ "$cmd" = start ] || [ -d "$dir" ] || die "no such folder: $dir"
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
tls=$(cd "$(dirname "$0")/../crates/cli/tests/tls" && pwd)
home=$dir/postgres.$port
data=$home/data
logfile=$home/log
# The newest version comes last.
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
[ -n "$bin" ] || bin=$(dirname "$(command -v postgres || true)")
[ -x "$bin/postgres" ] || die "PostgreSQL is not installed (Debian: apt-get install postgresql)"
# Programs of PostgreSQL complain about a folder that they may not enter.
cd /

as_server() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups -- "$@"
  else
    "$@"
  fi
}

url() { printf 'postgres://turnwise:%s@127.0.0.1:%s/postgres\n' "$(cat "$home/password")" "$1"; }

answers() { # PORT
  PGPASSWORD=$(cat "$home/password" 2>/dev/null) PGCONNECT_TIMEOUT=2 \
    "$bin/psql" -h 127.0.0.1 -p "$1" -U turnwise -d postgres -qAtc 'SELECT 1' >/dev/null 2>&1
}

setup() {
  [ -e "$home/ready" ] && return 0
  say "making a server in $home"
  rm -rf "$home"; mkdir -p "$home"
  (umask 077; od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > "$home/password")
  cp "$tls/localhost.pem" "$tls/localhost.key" "$home/"
  chmod 600 "$home/localhost.key"
  [ "$(id -u)" != 0 ] || chown -R nobody "$home"
  as_server "$bin/initdb" --pgdata="$data" --username=turnwise --pwfile="$home/password" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 >/dev/null || die "initdb failed"
  : > "$home/ready"
}

launch() {
  # shellcheck disable=SC2086
  as_server "$bin/pg_ctl" start --pgdata="$data" --log="$logfile" --wait --timeout=300 --silent --options="\
    -c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='' -c max_connections=200 -c ssl=on \
    -c ssl_cert_file=$home/localhost.pem -c ssl_key_file=$home/localhost.key ${POSTGRES_ARGS:-}" >&2 9>&- ||
    { tail -n 20 "$logfile" >&2; die "the server did not start"; }
}

start() {
  exec 9>"$dir/.lock.$port"
  flock 9
  setup
  if as_server "$bin/pg_ctl" status --pgdata="$data" >/dev/null 2>&1; then say "already running"; else launch; fi
  answers "$port" || die "it does not answer on port $port"
  url "$port"
}

bouncer() {
  command -v pgbouncer >/dev/null || die "PgBouncer is not installed (Debian: apt-get install pgbouncer)"
  answers "$port" || die "there is no server on port $port; start it first"
  answers "$bouncer_port" && { url "$bouncer_port"; return; }
  printf '"turnwise" "%s"\n' "$(cat "$home/password")" > "$home/users"
  cat > "$home/pgbouncer.ini" <<INI
[databases]
* = host=127.0.0.1 port=$port
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $bouncer_port
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $home/users
pool_mode = transaction
max_client_conn = 400
default_pool_size = 8
server_login_retry = 1
logfile = $home/pgbouncer.log
pidfile = $home/pgbouncer.pid
INI
  [ "$(id -u)" != 0 ] || chown nobody "$home/users" "$home/pgbouncer.ini"
  chmod 600 "$home/users"
  as_server pgbouncer --quiet --daemon "$home/pgbouncer.ini" >&2 || die "PgBouncer did not start"
  for _ in $(seq 50); do answers "$bouncer_port" && { url "$bouncer_port"; return; }; sleep 0.1; done
  tail -n 20 "$home/pgbouncer.log" >&2
  die "PgBouncer does not answer on port $bouncer_port"
}

# The process of that number, if it is really ours (numbers are reused).
bouncer_pid() {
  local pid
  pid=$(cat "$home/pgbouncer.pid" 2>/dev/null) || return 1
  [ -r "/proc/$pid/cmdline" ] || return 1
  tr '\0' '\n' < "/proc/$pid/cmdline" | grep -qxF -- "$home/pgbouncer.ini" || return 1
  printf '%s' "$pid"
}

stop() {
  local pid
  if pid=$(bouncer_pid); then kill "$pid" 2>/dev/null || true; fi
  if as_server "$bin/pg_ctl" stop --pgdata="$data" --mode=fast --silent >&2; then say "stopped"; else say "not running"; fi
}

crash() {
  as_server "$bin/pg_ctl" stop --pgdata="$data" --mode=immediate --silent >&2
  launch
}

case $cmd in
  start) start ;;
  stop) stop ;;
  crash) crash ;;
  bouncer) bouncer ;;
  status) answers "$port" && url "$port" ;;
  log) cat "$logfile" ;;
  data) printf '%s\n' "$data" ;;
  *) usage ;;
esac
