#!/usr/bin/env bash
# postgres.sh has | install | start [DIR] [PORT] | stop [DIR]      has: whether a complete server is installed
# A PostgreSQL of its own under DIR: unix socket in DIR (no password), $REFIT_LAB_ADDRESS (127.0.0.1):PORT with TLS only: user
# temporal by password (SCRAM), user "certonly" by the client certificate. As root it runs as user postgres. BIN holds psql, pg_dump, pg_restore.
# Start prints KEY=VALUE lines. Exit 77: cannot run here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) dir=${2:-${REFIT_LAB:-/var/tmp/refit-lab}/postgres} port=${3:-5532} name=db1.lab.internal
address=${REFIT_LAB_ADDRESS:-127.0.0.1}
for v in "${!PG@}"; do unset "$v"; done # a caller's client settings
skip() { echo "postgres.sh: cannot run here: $*" >&2; exit 77; }
die() { echo "postgres.sh: $*" >&2; exit 1; }
bins() { # the newest complete server
  local b
  for b in "$(dirname "$(command -v pg_ctl || echo /)")" $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
    [[ -x $b/initdb && -x $b/pg_ctl && -x $b/postgres && -x $b/psql ]] && { echo "$b"; return; }
  done
  return 1
}
contrib() { [[ -e $("$1/pg_config" --sharedir 2>/dev/null || echo "/usr/share/postgresql/$(basename "$(dirname "$1")")")/extension/btree_gin.control ]]; } # for Temporal's visibility
install() {
  if bin=$(bins) && contrib "$bin"; then return; fi
  [[ $(id -u) = 0 ]] || skip "no complete PostgreSQL, and only root can install it: apt-get install postgresql postgresql-contrib"
  mkdir -p /etc/postgresql-common/createcluster.d # no cluster and no service of Debian's beside ours
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/lab.conf
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql postgresql-contrib; } >/dev/null 2>&1 || skip "apt-get cannot install postgresql"
  bin=$(bins) || skip "the installed PostgreSQL is not complete"
}
as() { if [[ $(id -u) = 0 ]]; then (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"); else "$@"; fi; } # not from a folder that postgres cannot enter
alive() { [[ -s $dir/data/postmaster.pid ]] && grep -qsaF -- "$dir/data" "/proc/$(head -n 1 "$dir/data/postmaster.pid")/cmdline"; } # a zombie has none
taken() { # ADDRESS PORT: still, after 5 s: a killed server needs a moment to let go
  local i; for ((i = 0; i < 50; i++)); do (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null || return 1; sleep .1; done
}
start() {
  install; mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
  if alive; then port=$(sed -n 4p "$dir/data/postmaster.pid") address=$(sed -n 6p "$dir/data/postmaster.pid"); else launch; fi
  printf '%s\n' ENGINE=postgres "VERSION=$("$bin/postgres" --version | awk '{print $3}')" "HOST=$address" "TLS_NAME=$name" "PORT=$port" "SOCKET_DIR=$dir" \
    USER=temporal PASSWORD=secret CERT_USER=certonly "CA=$dir/tls/ca.pem" "CLIENT_CERT=$dir/tls/client.pem" "CLIENT_KEY=$dir/tls/client.key" "BIN=$bin" "PID=$(head -n 1 "$dir/data/postmaster.pid")"
}
launch() {
  [[ ${#dir} -le 85 ]] || die "$dir is too long a path for a unix socket"
  ! taken "$address" "$port" || die "$address:$port is taken"
  "$here/certs.sh" "$dir/tls" $name "$address"
  mkdir -p "$dir/server"; cp "$dir"/tls/{ca,server}.pem "$dir/tls/server.key" "$dir/server"; chmod 600 "$dir/server/server.key"
  if [[ $(id -u) = 0 ]]; then chown postgres: "$dir" "$dir/server" "$dir/server"/*; fi
  as test -w "$dir" || die "user postgres cannot reach $dir"
  if [[ ! -s $dir/data/.made ]]; then
    rm -rf "$dir/data"
    as "$bin/initdb" -D "$dir/data" -U postgres --auth=trust -E UTF8 --no-locale >/dev/null
    cat >>"$dir/data/postgresql.conf" <<C
unix_socket_directories = '$dir'
ssl = on
ssl_ca_file = '$dir/server/ca.pem'
ssl_cert_file = '$dir/server/server.pem'
ssl_key_file = '$dir/server/server.key'
shared_buffers = 64MB
max_connections = 300
C
    cat >"$dir/data/pg_hba.conf" <<C
local all all trust
hostssl all certonly all cert map=lab
hostssl all all all scram-sha-256
C
    echo "lab temporal certonly" >"$dir/data/pg_ident.conf" # the certificate's CN, the user
  fi
  # a killed server that nobody has waited for yet still has its number, and the next one would take it for alive
  local i; for ((i = 0; i < 100; i++)); do kill -0 "$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null)" 2>/dev/null || break; sleep .1; done
  # not this script's standard output: the server would keep a caller's pipe open
  as "$bin/pg_ctl" -D "$dir/data" -o "-p $port -h $address" -l "$dir/log" -w -t 60 start >/dev/null || die "$(tail -n 5 "$dir/log")"
  [[ -s $dir/data/.made ]] || as "$bin/psql" -qXw -v ON_ERROR_STOP=1 -h "$dir" -p "$port" -U postgres -c "create role temporal login superuser password 'secret'" -c "create role certonly login superuser"
  as touch "$dir/data/.made"; echo 1 >"$dir/data/.made"
}
stop() {
  dir=$(cd "$dir" 2>/dev/null && pwd) || return 0
  bin=$(bins) || return 0
  if alive; then as "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null; fi
}
case ${1:-} in has) bin=$(bins) && contrib "$bin" ;; install) install ;; start) start ;; stop) stop ;; *) sed -n 2,5p "$0"; exit 2 ;; esac
