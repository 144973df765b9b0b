#!/usr/bin/env bash
# cluster.sh up [VERSION]    PostgreSQL on 127.0.0.10:5532 (TLS, password), four sshd hosts, and on h1 … h3 a Temporal node each at
#                            VERSION (1.29.7), on 127.0.0.11 … 13, with its databases at that release's schema
# cluster.sh status          versions, shards and schemas as the things themselves say
# cluster.sh node-start|node-stop HOST
# cluster.sh down            stops everything and removes it (the builds stay in their cache)
# $REFIT_HOP is its folder; $REFIT_HOP_NET (127.0.0) the network, for a second cluster on this machine. Exit 77: cannot run here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) lab=$(cd "$(dirname "$0")/.." && pwd) top=$(cd "$(dirname "$0")/../../.." && pwd)
# not below a checkout: as root PostgreSQL runs as its own user, who must be able to reach the folder
if [[ $EUID = 0 ]]; then default=/var/tmp/refit-lab/hop; else default=${XDG_CACHE_HOME:-$HOME/.cache}/refit-lab/hop; fi
dir=${REFIT_HOP:-$default} fleet=$lab/fleet.sh
nodes="h1 h2 h3" # h4 stands next to the database
net=${REFIT_HOP_NET:-127.0.0}
export REFIT_LAB_ADDRESS=$net.10
die() { echo "cluster.sh: $*" >&2; exit 1; }
ip() { echo "$net.1${1#h}"; }
on() { local host=$1; shift; ssh -F "$dir/fleet/ssh_config" "$host" "$@"; }
query() { "$BIN/psql" -qXtA -h "$SOCKET_DIR" -p "$PORT" -U postgres "$@"; }
postgres() { # its KEY=VALUE lines become variables
  local line; while IFS= read -r line; do declare -g "$line"; done < <("$lab/postgres.sh" start "$dir/postgres" 5532 || echo FAILED=1)
  [[ -z ${FAILED:-} ]] || exit 77
}

databases() { # VERSION
  local tool=(env SQL_PASSWORD="$PASSWORD" "$build/bin/temporal-sql-tool" --ep "$HOST" -p "$PORT" -u "$USER" --pl postgres12 --tls --tls-ca-file "$CA" --tls-server-name "$HOST") store name
  for store in temporal visibility; do
    name=temporal; [[ $store = temporal ]] || name=temporal_visibility
    [[ -z $(query -d postgres -c "select 1 from pg_database where datname = '$name'") ]] || continue
    { "${tool[@]}" --db "$name" create-database && "${tool[@]}" --db "$name" setup-schema -v 0.0 &&
      "${tool[@]}" --db "$name" update-schema -s "postgresql/v12/$store"; } >"$dir/schema-$store.log" 2>&1 || { tail -n 3 "$dir/schema-$store.log" >&2; die "the schema of $name cannot be set up"; }
  done
}

configuration() { # HOST VERSION: the playbook's own template, its plain names filled in
  sed -e "s/{{ to }}/$2/; s/{{ node_ip }}/$(ip "$1")/g; s/{{ history_shards }}/32/; s/{{ database_host }}/$HOST/g; s/{{ database_port }}/$PORT/g" \
    -e "s/{{ database_user }}/$USER/; s/{{ database_password }}/$PASSWORD/; s|{{ database_ca }}|$CA|; s/{{ rpc_address }}/$net.11:7233/" "$top/playbooks/temporal/node.yaml.j2"
}
install_node() { # HOST VERSION: plain files, as somebody put them there
  local home=$dir/fleet/hosts/$1/temporal
  [[ ! -e $home/bin/temporal-server ]] || return 0
  mkdir -p "$home/bin" "$home/config"
  cp "$build/bin/temporal-server" "$home/bin/"
  (umask 077; configuration "$1" "$2" >"$home/config/lab.yaml")
  if grep -F '{{' "$home/config/lab.yaml" >&2; then die "node.yaml.j2 has names that the lab does not know"; fi
}

version_of() { curl -sf --max-time 2 "http://$(ip "$1"):7243/api/v1/system-info" | sed -n 's/.*"serverVersion": *"\([^"]*\)".*/\1/p'; }
shards_of() { curl -sf --max-time 2 "http://$(ip "$1"):8000/metrics" | awk '/^numshards_gauge\{/ {print int($2); exit}'; }
node_start() {
  on "$1" "cd $dir/fleet/hosts/$1/temporal && { TEMPORAL_VERSION_CHECK_DISABLED=1 setsid bin/temporal-server -r / -c \"\$PWD/config\" -e lab --allow-no-auth start </dev/null >>temporal.log 2>&1 & echo \$! >temporal.pid; }"
  local i; for ((i = 0; i < 300; i++)); do
    if [[ -n $(version_of "$1" || true) ]]; then return; fi
    kill -0 "$(<"$dir/fleet/hosts/$1/temporal/temporal.pid")" 2>/dev/null || { tail -n 1 "$dir/fleet/hosts/$1/temporal/temporal.log" >&2; die "Temporal ends at once on $1"; }
    sleep .2
  done
  die "Temporal does not answer on $1 after a minute"
}
node_stop() {
  on "$1" "cd $dir/fleet/hosts/$1/temporal && pid=\$(cat temporal.pid) && kill \$pid && while grep -qs . /proc/\$pid/cmdline; do sleep 0.1; done"
}

up() {
  local version=${1:-1.29.7} host i sum=0 shards idle
  build=$("$here/build.sh" "$version")
  command -v curl >/dev/null || die "curl is missing"
  mkdir -p "$dir"; chmod 755 "$dir"
  "$fleet" up "$dir/fleet" 4
  postgres; databases
  for host in $nodes; do
    install_node "$host" "$version"
    [[ -n $(version_of "$host" || true) ]] || node_start "$host" # one by one: the first start on an empty database races
  done
  for ((i = 0; i < 150; i++)); do
    sum=0 idle=; for host in $nodes; do shards=$(shards_of "$host" || true); sum=$((sum + ${shards:-0})); [[ ${shards:-0} != 0 ]] || idle+=" $host"; done
    [[ $sum != 32 || -n $idle ]] || return 0; sleep .2
  done
  die "the nodes own $sum of 32 shards; none:${idle:- no node}"
}
status() {
  [[ -d $dir/fleet ]] || { echo "no cluster in $dir"; return; }
  local host name
  for host in $nodes; do echo "$host $(ip "$host") version=$(version_of "$host" || true) shards=$(shards_of "$host" || true)"; done
  postgres
  for name in temporal temporal_visibility; do echo "$name schema=$(query -d "$name" -c 'select curr_version from schema_version')"; done
}
down() {
  [[ -d $dir ]] || return 0
  "$fleet" down "$dir/fleet"
  "$lab/postgres.sh" stop "$dir/postgres"
  rm -rf "$dir"
}

case ${1:-} in
  up) up "${2:-}" ;;
  status) status ;;
  down) down ;;
  node-start) node_start "$2" ;;
  node-stop) node_stop "$2" ;;
  config) postgres; configuration "$2" "$3" ;;
  env) # what hop.sh needs to know of it
    postgres; printf '%s\n' "dir=$dir" "BIN=$BIN" "SOCKET_DIR=$SOCKET_DIR" "PORT=$PORT" "PASSWORD=$PASSWORD" "CA=$CA" "HOST=$HOST" ;;
  *) sed -n '2,/^# One/s/^# \{0,1\}//p' "$0" >&2; exit 1 ;;
esac
