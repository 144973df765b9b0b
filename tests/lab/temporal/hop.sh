#!/usr/bin/env bash
# hop.sh           a Temporal cluster at 1.29.7 on real sshd hosts is upgraded to 1.30.6 by Refit while a load runs; then the
#                  lab looks for itself: versions, schemas, what the load lost
# hop.sh killed    as the first, but Refit is killed in the schema stage, while its statement waits in the database, and again while
#                  the first node is down; `refit resume` goes on each time
# hop.sh by-hand   the same cluster and load, upgraded by shell commands, for comparison
# hop.sh down      stops and removes the cluster
# $REFIT is the program to use (else it is built). Exit 77: cannot run here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); cd "$here/../../.."
from=1.29.7 to=1.30.6 cluster=$here/cluster.sh
export REFIT_HOP_BUILDS=${XDG_CACHE_HOME:-$HOME/.cache}/refit-lab/temporal
venv=${XDG_CACHE_HOME:-$HOME/.cache}/refit-lab/venv
times=() load='' dir=''
fail() { echo "hop: $*" >&2; exit 1; }
skip() { echo "hop: cannot run here: $*" >&2; exit 77; }
part() { # NAME COMMAND…
  local name=$1 began=${EPOCHREALTIME/./}; shift
  printf '\n── %s\n' "$name"
  "$@"
  times+=("$(awk -v t=$((${EPOCHREALTIME/./} - began)) -v n="$name" 'BEGIN {printf "%7.1f s  %s", t / 1e6, n}')")
}
ended() {
  local rc=$?
  if [[ -n $load ]] && kill -0 "$load" 2>/dev/null; then kill "$load" 2>/dev/null || true; fi
  printf '\n── wall time\n'; printf '%s\n' "${times[@]}"
  exit "$rc"
}

tools() {
  command -v go >/dev/null || [[ -x $REFIT_HOP_BUILDS/$to/bin/temporal-server ]] || skip "no Go, which builds Temporal's server"
  command -v python3 >/dev/null || skip "no Python 3, which runs the load"
  if ! "$venv/bin/python" -c 'import temporalio' 2>/dev/null; then
    rm -rf "$venv"
    if ! python3 -m venv "$venv" 2>/dev/null; then
      [[ $EUID = 0 ]] || skip "no venv for Python: apt-get install python3-venv"
      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq python3-venv >/dev/null; rm -rf "$venv"; python3 -m venv "$venv"
    fi
    "$venv/bin/pip" install -q 'temporalio>=1.30,<2' || skip "pip cannot install temporalio"
  fi
  [[ -n $1 ]] || return 0
  if [[ -z ${REFIT:-} ]]; then cargo build --locked --bin refit; REFIT=${CARGO_TARGET_DIR:-$PWD/target}/debug/refit; fi
}
builds() { "$here/build.sh" $from && "$here/build.sh" $to; }
fresh() {
  "$cluster" down; "$cluster" up $from
  local line known; known=$("$cluster" env); while IFS= read -r line; do declare -g "$line"; done <<<"$known"
  export REFIT_HOP=$dir TEMPORAL_DB_PASSWORD=$PASSWORD REFIT_JOURNAL=$dir/journal.db
  "$cluster" status
}

load_begin() {
  "$venv/bin/python" "$here/load.py" --register --frontends 127.0.0.11:7233,127.0.0.12:7233,127.0.0.13:7233 --rate 2 --seconds 900 \
    --until "$dir/load.stop" --long 5 >"$dir/load.out" 2>"$dir/load.err" </dev/null &
  load=$!
  local i; for ((i = 0; i < 300; i++)); do
    if grep -q '5 workflows run' "$dir/load.out"; then return; fi
    kill -0 "$load" 2>/dev/null || { tail -n 5 "$dir/load.err" >&2; fail "the load does not begin"; }
    sleep .2
  done
  fail "the load does not begin: $(tail -n 2 "$dir/load.err")"
}
load_verdict() {
  touch "$dir/load.stop"
  wait "$load" || true # its own exit code also counts starts that were refused; what is asked here is what was lost
  load=
  local line; line=$(tail -n 1 "$dir/load.out"); echo "$line"
  [[ $line =~ started=([0-9]+)\ completed=([0-9]+)\ failed=0\ lost=0\  ]] || fail "the load lost something, or gave no verdict: $(tail -n 2 "$dir/load.err")"
  [[ ${BASH_REMATCH[1]} = "${BASH_REMATCH[2]}" && ${BASH_REMATCH[1]} -gt 5 ]] || fail "not every started workflow was completed"
}

query() { "$BIN/psql" -qXtA -h "$SOCKET_DIR" -p "$PORT" -U postgres "$@"; }
schema() { query -d "$1" -c 'select curr_version from schema_version'; }
look() { # what the things themselves say
  "$cluster" status
  local n version home
  for n in 1 2 3; do
    version=$(curl -sf --max-time 3 "http://127.0.0.1$n:7243/api/v1/system-info" | sed -n 's/.*"serverVersion": *"\([^"]*\)".*/\1/p')
    [[ $version = "$to" ]] || fail "node $n says '$version', not $to"
    home=$dir/fleet/hosts/h$n/temporal
    cmp -s "/proc/$(<"$home/temporal.pid")/exe" "$REFIT_HOP_BUILDS/$to/bin/temporal-server" || fail "node $n: what runs is not the program of $to"
    grep -qF "# Temporal $to on 127.0.0.1$n" "$home/config/lab.yaml" || fail "node $n: its configuration is not that of $to"
  done
  [[ $(schema temporal) = 1.18 && $(schema temporal_visibility) = 1.13 ]] || fail "schemas are $(schema temporal) and $(schema temporal_visibility), not 1.18 and 1.13"
  [[ -z $(query -d temporal_visibility -c 'select indexrelid::regclass from pg_index where not indisvalid') ]] || fail "an index is invalid"
  local store dump
  for store in temporal temporal_visibility; do
    dump=$(find "$dir/fleet/hosts/h4/backups" -type f ! -name '*.partial' -exec "$BIN/pg_restore" --list {} \; 2>/dev/null | grep -c "dbname: $store\$" || true)
    [[ $dump -ge 1 ]] || fail "no readable backup of $store on h4"
  done
}

refit() { echo "\$ refit $* -i inventories/lab -i $dir/fleet/inventory.ini -e to=$to"; "$REFIT" "$@" -i inventories/lab -i "$dir/fleet/inventory.ini" -e "to=$to"; }

# a command of Refit that is killed as soon as CONDITION holds; that it ended by itself before is a failure of the test
killed_when() { # CONDITION COMMAND…
  local condition=$1 pid i; shift
  "$@" & pid=$!
  for ((i = 0; i < 6000; i++)); do
    if "$condition" 2>/dev/null; then break; fi
    kill -0 "$pid" 2>/dev/null || { wait "$pid" || true; fail "refit ended before it could be killed ($condition)"; }
    sleep .02
  done
  ((i < 6000)) || { kill -9 "$pid"; fail "nothing to kill it in: $condition"; }
  kill -9 "$pid"; wait "$pid" 2>/dev/null || true
  echo "killed refit ($condition)"
}
statement_waits() { [[ -n $(query -d postgres -c "select 1 from pg_stat_activity where datname = 'temporal_visibility' and application_name like 'refit:%' and wait_event_type = 'Lock'") ]]; }
# a zombie has no command line; `kill -0` would call it alive
node_is_down() { ! grep -qs . "/proc/$(<"$dir/fleet/hosts/h1/temporal/temporal.pid")/cmdline"; }
killed_in_schema() {
  # a reader's lock: the load goes on, an ALTER TABLE waits
  { echo "begin; lock table executions_visibility in access share mode;"; sleep 300; } | query -d temporal_visibility >/dev/null 2>&1 & local lock=$!
  killed_when statement_waits "$REFIT" run playbooks/temporal/upgrade.yml -i inventories/lab -i "$dir/fleet/inventory.ini" -e "to=$to"
  query -d postgres -c "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'temporal_visibility' and query like '%access share mode%' and pid <> pg_backend_pid()" >/dev/null
  kill "$lock" 2>/dev/null || true
}
killed_in_swap() { killed_when node_is_down "$REFIT" resume; }

on() { local host=$1; shift; ssh -F "$dir/fleet/ssh_config" "$host" "$@"; }
hand_backup() {
  local name; for name in temporal temporal_visibility; do
    on h4 "umask 077; mkdir -p $dir/fleet/hosts/h4/backups && cd $dir/fleet/hosts/h4/backups && IFS= read -r PGPASSWORD && export PGPASSWORD && PGSSLMODE=verify-full PGSSLROOTCERT=$CA pg_dump -Fc -h $HOST -p $PORT -U temporal -f $name.partial $name && pg_restore --list $name.partial >/dev/null && mv $name.partial $name.dump" <<<"$PASSWORD"
  done
}
hand_schema() {
  local store name=temporal; for store in temporal visibility; do
    SQL_PASSWORD=$PASSWORD "$REFIT_HOP_BUILDS/$to/bin/temporal-sql-tool" --ep "$HOST" -p "$PORT" -u temporal --pl postgres12 --tls --tls-ca-file "$CA" --tls-server-name "$HOST" \
      --db $name update-schema -d "$REFIT_HOP_BUILDS/$to/schema/postgresql/v12/$store/versioned" >"$dir/hand-$store.log" 2>&1 || { tail -n 3 "$dir/hand-$store.log" >&2; return 1; }
    name=temporal_visibility
  done
}
hand_swap() { # NODE
  local host=h$1 home=$dir/fleet/hosts/h$1/temporal
  scp -q -F "$dir/fleet/ssh_config" "$REFIT_HOP_BUILDS/$to/bin/temporal-server" "$host:$home/bin/temporal-server.new"
  "$cluster" config "$host" $to | on "$host" "umask 077; cat >$home/config/lab.new"
  "$cluster" node-stop "$host"
  on "$host" "cd $home && mv bin/temporal-server.new bin/temporal-server && mv config/lab.new config/lab.yaml"
  "$cluster" node-start "$host"
  "$venv/bin/python" "$here/health.py" 300 "127.0.0.1$1" $to
  sleep 5 # `settle` of the playbook's variables
  "$venv/bin/python" "$here/health.py" 10 "127.0.0.1$1" $to
}

case ${1:-run} in
  run | killed | by-hand)
    trap ended EXIT
    refit_wanted=1; [[ ${1:-run} != by-hand ]] || refit_wanted=
    part "tools" tools "$refit_wanted"
    part "builds" builds
    part "cluster at $from" fresh
    part "load begins" load_begin
    if [[ ${1:-run} = killed ]]; then
      part "refit run, killed in the schema stage" killed_in_schema
      part "refit resume, killed in the swap stage" killed_in_swap
      part "refit resume" "$REFIT" resume
    elif [[ -n $refit_wanted ]]; then
      part "refit preflight" refit preflight playbooks/temporal/upgrade.yml
      part "refit run" refit run playbooks/temporal/upgrade.yml
    else
      part "backup" hand_backup
      part "schema" hand_schema
      for n in 1 2 3; do part "swap node $n" hand_swap $n; done
    fi
    part "load ends" load_verdict
    part "what the cluster says" look
    echo; echo "hop: $from to $to, nothing lost; the cluster stays up until \`make hop-down\`" ;;
  down) "$cluster" down ;;
  *) sed -n '2,/^# \$REFIT/s/^# \{0,1\}//p' "$0" >&2; exit 1 ;;
esac
