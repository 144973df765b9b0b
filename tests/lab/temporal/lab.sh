#!/usr/bin/env bash
# A real Temporal cluster on machines that boot systemd (hosts.sh), on a network of their own that has no way out:
#
# lab.sh up [--split] [--store S] [VERSION]
#                                 the databases (TLS, password) on the bridge's address, which stands in their certificate; db1, the
#                                 machine that makes backups; and at VERSION (1.29.7) three servers t1 … t3 with all roles, or with
#                                 --split six: t1 matching, t2 t3 history, t4 t5 frontend, t6 worker. As somebody might have set them
#                                 up by hand: plain files, a unit of systemd, an account `temporal`. Ends when all is well. S: postgres
#                                 (default) or mysql
# lab.sh status                   versions, shards and schemas, as the things themselves say
# lab.sh run CMD…                 runs CMD where the machines can be reached, with what the playbooks read from the environment
# lab.sh sql DATABASE SQL | tool VERSION STORE ARG… | exec HOST LINE | machine ARG… (hosts.sh) | config HOST VERSION | database stop|start | env
# lab.sh down                     removes every trace (what was built stays in its cache)
#
# $REFIT_TEMPORAL_LAB (/var/tmp/refit-lab/temporal) is its folder, $REFIT_TEMPORAL_NS (refit-temporal) its network and cgroup: two
# labs with different ones do not see each other. Exit 77: cannot run here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) lab=$(cd "$(dirname "$0")/.." && pwd) top=$(cd "$(dirname "$0")/../../.." && pwd)
dir=${REFIT_TEMPORAL_LAB:-/var/tmp/refit-lab/temporal}
export REFIT_LAB=$dir/machines REFIT_LAB_NS=${REFIT_TEMPORAL_NS:-refit-temporal} REFIT_LAB_BASES=/var/tmp/refit-lab/bases REFIT_LAB_ADDRESS=198.18.77.1
builds=${XDG_CACHE_HOME:-$HOME/.cache}/refit-lab/temporal
shards=32
die() { echo "lab.sh: $*" >&2; exit 1; }
skip() { echo "lab.sh: cannot run here: $*" >&2; exit 77; }
machine() { "$lab/hosts.sh" "$@"; }
inside() { machine run "$@"; }
exec_on() { machine exec "$@"; }
query() { "$BIN/psql" -qXtA -h "$SOCKET_DIR" -p "$PORT" -U postgres -d "$1" -c "$2"; }

layout() { cat "$dir/layout" 2>/dev/null || echo all; }
servers() { if [[ $(layout) = split ]]; then echo t1 t2 t3 t4 t5 t6; else echo t1 t2 t3; fi; }
roles() { # HOST
  if [[ $(layout) != split ]]; then echo "matching history frontend worker"; return; fi
  case $1 in t1) echo matching ;; t2 | t3) echo history ;; t4 | t5) echo frontend ;; *) echo worker ;; esac
}
with() { # ROLE: its hosts
  local host; for host in $(servers); do [[ " $(roles "$host") " != *" $1 "* ]] || echo "$host"; done
}
ip() { cat "$REFIT_LAB/hosts/$1/ip"; }

store() { cat "$dir/store" 2>/dev/null || echo postgres; }
server() { # KIND PORT: its KEY=VALUE lines become variables. What is unpacked once is shared with other labs
  local line; while IFS= read -r line; do declare -g "$line"; done < <(REFIT_LAB=/var/tmp/refit-lab nsenter --net="/run/netns/$REFIT_LAB_NS" -- "$lab/$1.sh" start "$dir/$1" "$2" || echo FAILED=1)
  [[ -z ${FAILED:-} ]] || exit 77
}
databases_start() {
  case $(store) in
    postgres) server postgres 5432 ;;
    mysql) server mysql 3306 ;;
  esac
}
databases_stop() { REFIT_LAB=/var/tmp/refit-lab "$lab/$(store).sh" stop "$dir/$(store)"; }
query() { # DATABASE SQL
  case $(store) in
    mysql) "$BIN/mysql" --no-defaults -uroot -S "$SOCKET" -N -B -e "$2" "$1" ;;
    *) "$BIN/psql" -qXtA -h "$SOCKET_DIR" -p "$PORT" -U postgres -d "$1" -c "$2" ;;
  esac
}
tool() { # VERSION STORE(temporal, visibility) ARG…: upstream's own, with what reaches that database
  local at=$builds/$1/bin name=temporal plugin=postgres12; [[ $2 = temporal ]] || name=temporal_visibility
  [[ $(store) != mysql ]] || plugin=mysql8
  shift 2
  inside env SQL_PASSWORD="$PASSWORD" "$at/temporal-sql-tool" --ep "$HOST" -p "$PORT" -u "$USER" --pl $plugin --tls --tls-ca-file "$CA" --tls-server-name "$HOST" --db $name "$@"
}
schema_of() { if [[ $(store) = mysql ]]; then echo "mysql/v8/$1"; else echo "postgresql/v12/$1"; fi; } # as upstream's embedded schemas are called
databases() { # VERSION
  local side; [[ ! -e $dir/databases ]] || return 0
  for side in temporal visibility; do
    { tool "$1" $side create-database && tool "$1" $side setup-schema -v 0.0 && tool "$1" $side update-schema -s "$(schema_of $side)"; } >"$dir/schema-$side.log" 2>&1 ||
      { tail -n 3 "$dir/schema-$side.log" >&2; die "the schema of $side cannot be set up"; }
  done
  touch "$dir/databases"
}

fill() { # HOST VERSION FILE: the playbooks' own template, its plain names filled in
  local services='' role
  if [[ $(layout) = split ]]; then for role in $(roles "$1"); do services+=" --service $role"; done; fi
  sed -e "s/{{ version }}/$2/; s/{{ node_ip }}/$(ip "$1")/g; s/{{ history_shards }}/$shards/; s/{{ database_host }}/$HOST/g; s/{{ database_port }}/$PORT/g" \
    -e "s/{{ sql_plugin }}/$([[ $(store) = mysql ]] && echo mysql8 || echo postgres12)/; s/{{ database_user }}/$USER/; s/{{ database_password }}/$PASSWORD/; s|{{ database_ca_path }}|/etc/temporal/ca.pem|; s/{{ rpc_address }}/$(rpc_address)/" \
    -e "s/{{ services }}/$services/" "$top/playbooks/temporal/$3" >"$dir/filled"
  if grep -F '{{' "$dir/filled" >&2; then die "$3 has names that the lab does not know"; fi
  cat "$dir/filled"
}
rpc_address() { echo "$(ip "$(with frontend | head -n 1)"):7233"; }
install_server() { # HOST VERSION
  exec_on "$1" 'id temporal >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin temporal; mkdir -p /opt/temporal/bin /etc/temporal'
  exec_on "$1" 'cat >/opt/temporal/bin/temporal-server && chmod 755 /opt/temporal/bin/temporal-server' <"$builds/$2/bin/temporal-server"
  exec_on "$1" 'cat >/etc/temporal/ca.pem' <"$CA"
  fill "$1" "$2" server.yaml.j2 | exec_on "$1" 'umask 077; cat >/etc/temporal/cluster.yaml; chown temporal: /etc/temporal/cluster.yaml'
  fill "$1" "$2" temporal.service.j2 | exec_on "$1" 'cat >/etc/systemd/system/temporal.service; systemctl daemon-reload; systemctl enable -q temporal'
}
inventory() { # what the lab alone knows; the rest stands in inventories/lab and inventories/lab-split
  cp "$REFIT_LAB/inventory.ini" "$dir/inventory.ini"; mkdir -p "$dir/group_vars"
  { printf '%s\n' "database_host: $HOST" "database_port: $PORT" "database_user: $USER" "database_ca: $CA" "history_shards: $shards" "rpc_address: '$(rpc_address)'"
    if [[ $(store) = mysql ]]; then printf '%s\n' 'database_engine: mysql' 'sql_plugin: mysql8' "backup_program: $BIN/mysqldump"; fi
  } >"$dir/group_vars/all.yml"
}

version_of() { inside curl -sf --max-time 2 "http://$(ip "$1"):7243/api/v1/system-info" | sed -n 's/.*"serverVersion": *"\([^"]*\)".*/\1/p'; }
shards_of() { inside curl -sf --max-time 2 "http://$(ip "$1"):8000/metrics" | awk '/^numshards_gauge\{/ {print int($2); exit}'; }
well() { # every frontend answers, and the history hosts own all shards, none of them nothing
  local host i sum idle
  for ((i = 0; i < 300; i++)); do
    sum=0 idle=
    for host in $(with history); do n=$(shards_of "$host" || true); sum=$((sum + ${n:-0})); [[ ${n:-0} != 0 ]] || idle+=" $host"; done
    for host in $(with frontend); do [[ -n $(version_of "$host" || true) ]] || idle+=" $host"; done
    [[ $sum != "$shards" || -n $idle ]] || return 0; sleep .2
  done
  die "the history hosts own $sum of $shards shards; not well:${idle:- no host}"
}

db_sees() { [[ $(store) != mysql ]] || echo /var/tmp/refit-lab/mysql8-server; } # where its clients are
up() {
  local version=1.29.7 wanted=all store=postgres host
  while (($#)); do case $1 in --split) wanted=split ;; --store) store=$2; shift ;; *) version=$1 ;; esac; shift; done
  [[ $EUID = 0 ]] || skip "not root"
  "$here/build.sh" "$version" >/dev/null
  command -v curl >/dev/null || skip "no curl"
  if [[ -d $REFIT_LAB/hosts && $(layout)/$(store) != "$wanted/$store" ]]; then die "a lab with another layout is up; lab.sh down"; fi
  mkdir -p "$dir"; chmod 755 "$dir"; echo "$wanted" >"$dir/layout"; echo "$store" >"$dir/store"
  REFIT_LAB=/var/tmp/refit-lab "$lab/$store.sh" install # inside there is no way to a mirror
  machine up "$(servers | wc -w)" t
  REFIT_LAB_PACKAGES=postgresql-client REFIT_LAB_BIND=$(db_sees) machine up 1 db
  databases_start; databases "$version"; inventory
  for host in $(servers); do
    exec_on "$host" 'test -e /opt/temporal/bin/temporal-server' || install_server "$host" "$version"
  done
  for host in $(servers); do # one by one: the first start on an empty database races
    exec_on "$host" 'systemctl start temporal'
    [[ " $(roles "$host") " != *" frontend "* ]] || until_version "$host"
  done
  well
  # what the playbooks' canary goes through; that it is there already is an error of the call, and fine. Every frontend knows it after 10 s
  inside curl -s -o "$dir/namespace" --max-time 5 -X POST "http://$(rpc_address | sed 's/7233/7243/')/api/v1/namespaces" -d '{"namespace":"default","workflowExecutionRetentionPeriod":"86400s"}'
  grep -qE '^\{\}|already' "$dir/namespace" || die "no namespace: $(cat "$dir/namespace")"
}
until_version() { local i; for ((i = 0; i < 300; i++)); do [[ -z $(version_of "$1" || true) ]] || return 0; sleep .2; done; exec_on "$1" 'journalctl -u temporal -n 3 -o cat' >&2; die "Temporal does not answer on $1"; }

status() {
  [[ -d $REFIT_LAB/hosts ]] || { echo "no cluster in $dir"; return; }
  local host name; databases_start
  for host in $(servers); do
    echo "$host $(ip "$host") roles=$(roles "$host" | tr ' ' ,) unit=$(exec_on "$host" 'systemctl is-active temporal' || true) disk=$(exec_on "$host" '/opt/temporal/bin/temporal-server --version' | awk '{print $NF}')$(
      [[ " $(roles "$host") " != *" frontend "* ]] || echo " version=$(version_of "$host" || true)")$([[ " $(roles "$host") " != *" history "* ]] || echo " shards=$(shards_of "$host" || true)")"
  done
  for name in temporal temporal_visibility; do
    echo "$name schema=$(query "$name" 'select curr_version from schema_version')"
  done
}
down() {
  [[ -d $dir ]] || return 0
  databases_stop
  [[ ! -d $REFIT_LAB ]] || machine down
  rm -rf "$dir"
}

case ${1:-} in
  up) shift; up "$@" ;;
  status) status ;;
  down) down ;;
  machine) shift; machine "$@" ;;
  exec) shift; exec_on "$@" ;;
  sql) databases_start; query "$2" "$3" ;;
  tool) databases_start; shift; tool "$@" ;;
  database) "databases_$2" ;;
  config) databases_start; fill "$2" "$3" server.yaml.j2 ;;
  run) databases_start; shift; exec nsenter --net="/run/netns/$REFIT_LAB_NS" -- env TEMPORAL_DB_PASSWORD="$PASSWORD" REFIT_TEMPORAL_BUILDS="$builds" REFIT_JOURNAL="$dir/journal.db" "$@" ;;
  env) databases_start; printf '%s\n' "dir=$dir" "builds=$builds" "BIN=$BIN" "SOCKET_DIR=${SOCKET_DIR:-}" "SOCKET=${SOCKET:-}" "PORT=$PORT" "PASSWORD=$PASSWORD" "CA=$CA" "HOST=$HOST" \
    "servers=\"$(servers)\"" "frontends=\"$(with frontend | xargs)\"" "histories=\"$(with history | xargs)\"" ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 1 ;;
esac
