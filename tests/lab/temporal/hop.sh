#!/usr/bin/env bash
# A real Temporal cluster on machines that boot systemd is upgraded by Refit while a load runs; then the lab looks for itself:
# versions, programs, rings, schemas, what the load lost. On PostgreSQL where nothing else is said.
#
# hop.sh [hop]     1.29.7 to 1.30.9; a second run changes nothing
# hop.sh killed    the same; Refit is killed in the schema stage, while its statement waits in the database, and again while the first
#                  server is down; `refit resume` goes on each time
# hop.sh by-hand   the same hop typed as shell commands, for comparison
# hop.sh path      1.29.7 to 1.32.2 in one run of three hops; the last changes no schema, and says so
# hop.sh mysql     1.29.7 to 1.31.5 on MySQL, and a second run
# hop.sh split     one hop with the roles on six machines
# hop.sh servers-down    one hop with upgrade-down.yml, no load; then backup.yml, rollback.yml to 1.29.7 and preflight.yml
# hop.sh faults    one hop, disturbed: every connection cut and the database restarted in the schema stage, a server's machine
#                  rebooted in the swap stage; its schema is dumped and compared with that of an undisturbed update (so is `killed`'s)
# hop.sh down      stops and removes the cluster, which stays up after the others
# $REFIT is the program to use (else it is built). $SOAK (20s) between hops, $SETTLE (5s) after each batch. Exit 77: cannot run here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); cd "$here/../../.."
lab=$here/lab.sh builds=${XDG_CACHE_HOME:-$HOME/.cache}/refit-lab/temporal venv=${XDG_CACHE_HOME:-$HOME/.cache}/refit-lab/venv
from=1.29.7 to=1.30.9 store=postgres times=() load='' dir='' locked='' arguments=() inventory=inventories/lab
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
  [[ $EUID = 0 ]] || skip "not root, which machines that boot systemd need"
  command -v go >/dev/null || [[ -x $builds/$to/bin/temporal-server ]] || skip "no Go, which builds Temporal's server"
  command -v python3 >/dev/null || skip "no Python 3, which runs the load"
  if ! "$venv/bin/python" -c 'import temporalio, grpc_reflection' 2>/dev/null; then
    if ! "$venv/bin/pip" --version >/dev/null 2>&1; then
      rm -rf "$venv"
      python3 -m venv "$venv" 2>/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq python3-venv >/dev/null; rm -rf "$venv"; python3 -m venv "$venv"; }
    fi
    "$venv/bin/pip" install -q 'temporalio>=1.30,<2' grpcio grpcio-reflection || skip "pip cannot install temporalio and grpcio-reflection"
  fi
  if [[ -z ${REFIT:-} ]]; then cargo build --locked --bin refit; REFIT=${CARGO_TARGET_DIR:-$PWD/target}/debug/refit; fi
}
releases() { # those on the way
  case $to in 1.30.9) echo $from 1.30.9 ;; 1.31.5) echo $from 1.30.9 1.31.5 ;; *) echo $from 1.30.9 1.31.5 1.32.2 ;; esac
}
build() { local version; for version in $(releases); do "$here/build.sh" "$version"; done; }
fresh() { # LAYOUT…
  "$lab" down; "$lab" up --store $store "$@" $from
  local known; known=$("$lab" env); eval "$known"
  "$lab" status
}

load_begin() {
  local targets='' host; for host in $frontends; do targets+=,$(ip "$host"):7233; done
  "$lab" run "$venv/bin/python" "$here/load.py" --register --frontends "${targets#,}" --rate 2 --seconds 1800 --until "$dir/load.stop" --long 5 >"$dir/load.out" 2>"$dir/load.err" </dev/null &
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
  [[ $line =~ started=([0-9]+)\ completed=([0-9]+)\ failed=0\ lost=0\ open=0\  ]] || { cp "$dir"/load.{out,err} target/ 2>/dev/null || true; fail "the load lost something, left it open, or gave no verdict (target/load.out, load.err): $(tail -n 2 "$dir/load.err")"; }
  [[ ${BASH_REMATCH[1]} = "${BASH_REMATCH[2]}" && ${BASH_REMATCH[1]} -gt 5 ]] || fail "not every started workflow was completed"
}

ip() { "$lab" exec "$1" 'hostname -I' | awk '{print $1}'; }
on() { "$lab" exec "$@"; }
sql() { "$lab" sql "$@"; }
pid() { on "$1" 'systemctl show -P MainPID temporal'; }
count() { wc -w <<<"$1"; }
look() { look_at_servers; look_at_databases; }
look_at_servers() { # what the things themselves say
  "$lab" status
  local host version ips='' all
  for host in $servers; do
    on "$host" 'cmp -s - /proc/$(systemctl show -P MainPID temporal)/exe' <"$builds/$to/bin/temporal-server" || fail "$host: what runs is not the program of $to"
    on "$host" "grep -qF '# Temporal $to on ' /etc/temporal/cluster.yaml && grep -qF 'Description=Temporal Server $to' /etc/systemd/system/temporal.service && [ \"\$(systemctl show -P NeedDaemonReload temporal)\" = no ] && systemctl -q is-enabled temporal" ||
      fail "$host: configuration or unit is not that of $to"
  done
  for host in $frontends; do
    ips+=" $(ip "$host")"
    version=$("$lab" run curl -sf --max-time 3 "http://$(ip "$host"):7243/api/v1/system-info" | sed -n 's/.*"serverVersion": *"\([^"]*\)".*/\1/p')
    [[ $version = "$to" ]] || fail "$host says '$version', not $to"
  done
  all="frontend=$(count "$frontends"),history=$(count "$histories")"
  if [[ $(count "$servers") = 6 ]]; then all+=",matching=1,worker=1"; else all+=",matching=3,worker=3"; fi
  # shellcheck disable=SC2086
  "$lab" run "$venv/bin/python" "$here/rings.py" "$all" $ips || fail "a ring is not complete"
}
look_at_databases() { # each at the version that the release's own source names
  local side name wants dialect=postgresql/v12 constant dump
  [[ $store != mysql ]] || dialect=mysql/v8
  for side in temporal visibility; do
    name=temporal constant=Version; [[ $side = temporal ]] || { name=temporal_visibility; constant=VisibilityVersion; }
    wants=$(sed -n "s/^const $constant = \"\(.*\)\"/\1/p" "$builds/$to/schema/$dialect/version.go")
    [[ -n $wants && $(sql $name 'select curr_version from schema_version') = "$wants" ]] || fail "$name is not at $wants"
    if [[ $store = mysql ]]; then
      dump=$(on db1 "cat /var/backups/temporal/*.sql" | grep -c "^-- Host: .*Database: $name\$" || true)
    else
      [[ -z $(sql $name 'select indexrelid::regclass from pg_index where not indisvalid') ]] || fail "an index of $name is invalid"
      dump=$(on db1 "for f in /var/backups/temporal/*; do case \$f in *.partial) ;; *) pg_restore --list \$f 2>/dev/null ;; esac; done" | grep -c "dbname: $name\$" || true)
    fi
    [[ $dump -ge 1 ]] || fail "no readable backup of $name on db1"
  done
}

refit_arguments() { # a name that no line of the playbook reads is refused: the soak stands in the upgrades alone
  arguments=(-i "$inventory" -i "$dir/inventory.ini" -e "to=$to" -e "settle=${SETTLE:-5s}")
  [[ $* != *upgrade* ]] || arguments+=(-e "soak=${SOAK:-20s}")
}
refit() { # VERB PLAYBOOK…
  refit_arguments "$@"
  echo "\$ refit $* ${arguments[*]}"; "$lab" run "$REFIT" "$@" "${arguments[@]}"
}
backup() { "$lab" run "$REFIT" run playbooks/temporal/backup.yml -i "$inventory" -i "$dir/inventory.ini"; }
resume() { "$lab" run "$REFIT" resume; }
upgrade() { refit run playbooks/temporal/upgrade.yml; }
again() { # changes nothing: the same processes run, and nothing was written
  local before='' after='' host
  for host in $servers; do before+=" $(pid "$host")"; on "$host" 'touch /run/mark'; done
  upgrade
  for host in $servers; do
    after+=" $(pid "$host")"
    [[ -z $(on "$host" 'find /opt /etc/temporal /etc/systemd/system -newer /run/mark') ]] || fail "the second run wrote something on $host"
  done
  [[ $before = "$after" ]] || fail "the second run restarted something:$before, now$after"
}

# a command of Refit that is killed as soon as CONDITION holds; that it ended by itself before is a failure of the test
killed_when() { # CONDITION COMMAND…
  local condition=$1 pid i; shift
  "$lab" run "$@" & pid=$!
  wait_for "$condition" $pid
  kill -9 "$pid"; wait "$pid" 2>/dev/null || true
  echo "killed refit ($condition)"
}
wait_for() { # CONDITION PID
  local i
  for ((i = 0; i < 3000; i++)); do
    if "$1" 2>/dev/null; then return 0; fi
    kill -0 "$2" 2>/dev/null || { wait "$2" || true; fail "refit ended before $1"; }
    sleep .04
  done
  kill -9 "$2"; fail "never: $1"
}
statement_waits() { [[ -n $(psql_here postgres "select 1 from pg_stat_activity where datname = 'temporal_visibility' and application_name like 'refit:%' and wait_event_type = 'Lock'") ]]; }
psql_here() { "$BIN/psql" -qXtA -h "$SOCKET_DIR" -p "$PORT" -U postgres -d "$1" -c "$2"; }
first_is_down() { [[ $(on t1 'systemctl show -P ActiveState temporal') != active ]]; }
lock() { # a reader's lock: the load goes on, an ALTER TABLE waits
  { echo "begin; lock table executions_visibility in access share mode;"; sleep 300; } | "$BIN/psql" -qXtA -h "$SOCKET_DIR" -p "$PORT" -U postgres -d temporal_visibility >/dev/null 2>&1 & locked=$!
}
unlock() {
  psql_here postgres "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'temporal_visibility' and query like '%access share mode%' and pid <> pg_backend_pid()" >/dev/null
  kill "$locked" 2>/dev/null || true
}
killed_in_schema() { refit_arguments upgrade; lock; killed_when statement_waits "$REFIT" run playbooks/temporal/upgrade.yml "${arguments[@]}"; unlock; }
killed_in_swap() { killed_when first_is_down "$REFIT" resume; }

cut() { local host; for host in $servers db1; do on "$host" 'pkill -x sshd -P $(systemctl show -P MainPID ssh) || true'; done; } # every connection
database_restarts() { "$lab" database stop; sleep 3; "$lab" database start; }
running='' # a refit in the background
go_on() { "$lab" run "$REFIT" resume & running=$!; }
# waits until CONDITION holds; a refit that ended with an error meanwhile is resumed, up to three times
reach() { # CONDITION
  local tries=0 rc i
  for ((i = 0; i < 6000; i++)); do
    if "$1" 2>/dev/null; then return 0; fi
    if ! kill -0 "$running" 2>/dev/null; then
      rc=0; wait "$running" || rc=$?
      [[ $rc != 0 && $((tries += 1)) -le 3 ]] || fail "refit ended with $rc before $1"
      echo "(that refit ended with $rc)"; go_on
    fi
    sleep .04
  done
  fail "never: $1"
}
faults_in_schema() { # (the controller's end in this stage: `hop.sh killed`)
  lock; "$lab" run "$REFIT" run playbooks/temporal/upgrade.yml "${arguments[@]}" & running=$!
  reach statement_waits
  echo "(every connection is cut)"; cut; sleep 3
  statement_waits || fail "the statement did not outlast the connections"
  echo "(the database restarts)"; database_restarts; kill "$locked" 2>/dev/null || true
  reach first_is_down
}
fault_in_swap() {
  echo "(t1 reboots)"; "$lab" machine reboot t1
  local rc tries
  for tries in 1 2 3; do
    rc=0; wait "$running" || rc=$?
    [[ $rc != 0 ]] || return 0
    echo "(refit ended with $rc)"; sleep 5; go_on
  done
  fail "refit does not come to an end after $tries resumes"
}
dump() { "$BIN/pg_dump" -s -h "$SOCKET_DIR" -p "$PORT" -U postgres "$1" | grep -vE '^\\(un)?restrict '; }
undisturbed() { # STORE NAME: the schema that upstream's own tool makes
  local tool="$builds/$to/bin/temporal-sql-tool"
  psql_here postgres "drop database if exists undisturbed" >/dev/null 2>&1; psql_here postgres "create database undisturbed owner temporal" >/dev/null
  { "$lab" run env SQL_PASSWORD="$PASSWORD" "$tool" --ep "$HOST" -p "$PORT" -u temporal --pl postgres12 --tls --tls-ca-file "$CA" --tls-server-name "$HOST" --db undisturbed setup-schema -v 0.0 &&
    "$lab" run env SQL_PASSWORD="$PASSWORD" "$tool" --ep "$HOST" -p "$PORT" -u temporal --pl postgres12 --tls --tls-ca-file "$CA" --tls-server-name "$HOST" --db undisturbed update-schema -s "postgresql/v12/$1"; } >"$dir/undisturbed.log" 2>&1 || { tail -n 3 "$dir/undisturbed.log" >&2; fail "upstream's tool cannot make the schema to compare with"; }
}
same_schema() {
  local store name
  for store in temporal visibility; do
    name=temporal; [[ $store = temporal ]] || name=temporal_visibility
    undisturbed $store
    diff <(dump $name) <(dump undisturbed) || fail "the schema of $name is not what an undisturbed update makes"
  done
  psql_here postgres "drop database undisturbed" >/dev/null
  echo "schemas are those of an undisturbed update"
}

by_hand_backup() {
  local name; for name in temporal temporal_visibility; do
    on db1 "umask 077; mkdir -p /var/backups/temporal && cat >/run/ca.pem" <"$CA"
    "$lab" run ssh -F "$dir/machines/ssh_config" -l root db1 "umask 077; cd /var/backups/temporal && IFS= read -r PGPASSWORD && export PGPASSWORD && PGSSLMODE=verify-full PGSSLROOTCERT=/run/ca.pem pg_dump -Fc -h $HOST -p $PORT -U temporal -f $name.partial $name && pg_restore --list $name.partial >/dev/null && mv $name.partial $name.dump" <<<"$PASSWORD"
  done
}
by_hand_schema() {
  local store name=temporal; for store in temporal visibility; do
    "$lab" run env SQL_PASSWORD="$PASSWORD" "$builds/$to/bin/temporal-sql-tool" --ep "$HOST" -p "$PORT" -u temporal --pl postgres12 --tls --tls-ca-file "$CA" --tls-server-name "$HOST" \
      --db $name update-schema -d "$builds/$to/schema/postgresql/v12/$store/versioned" >"$dir/hand-$store.log" 2>&1 || { tail -n 3 "$dir/hand-$store.log" >&2; return 1; }
    name=temporal_visibility
  done
}
by_hand_swap() { # HOST
  local ssh="$dir/machines/ssh_config"
  "$lab" run scp -q -F "$ssh" -o User=root "$builds/$to/bin/temporal-server" "$1:/opt/temporal/bin/temporal-server.new"
  "$lab" config "$1" $to | "$lab" run ssh -F "$ssh" -l root "$1" 'umask 077; cat >/etc/temporal/cluster.new; chown temporal: /etc/temporal/cluster.new'
  "$lab" run ssh -F "$ssh" -l root "$1" "systemctl stop temporal && cd /opt/temporal/bin && mv temporal-server.new temporal-server && mv /etc/temporal/cluster.new /etc/temporal/cluster.yaml && sed -i 's/$from/$to/' /etc/systemd/system/temporal.service && systemctl daemon-reload && systemctl start temporal"
  "$lab" run "$venv/bin/python" "$here/health.py" 300 "$(ip "$1")" $to
  sleep "${SETTLE:-5}" # `settle` of the playbook's variables
  "$lab" run "$venv/bin/python" "$here/health.py" 10 "$(ip "$1")" $to
}

begin() { # LAYOUT…
  trap ended EXIT
  part "tools" tools
  part "builds" build
  part "cluster at $from" fresh "$@"
  part "load begins" load_begin
}
finish() {
  part "load ends" load_verdict
  part "what the cluster says" look
  echo; echo "hop: $from to $to, nothing lost; the cluster stays up until \`make lab-down\`"
}

case ${1:-hop} in
  hop)
    begin
    part "refit preflight" refit preflight playbooks/temporal/upgrade.yml
    part "refit run" upgrade
    part "refit run again" again
    finish ;;
  killed)
    begin
    part "refit run, killed in the schema stage" killed_in_schema
    part "refit resume, killed in the swap stage" killed_in_swap
    part "refit resume" resume
    part "schemas compared" same_schema
    finish ;;
  by-hand)
    begin
    part "backup" by_hand_backup
    part "schema" by_hand_schema
    for host in $servers; do part "swap $host" by_hand_swap "$host"; done
    finish ;;
  path)
    to=1.32.2
    begin
    part "refit plan" refit plan playbooks/temporal/upgrade.yml
    part "refit run" upgrade
    part "refit run again" again
    finish ;;
  mysql)
    store=mysql to=1.31.5
    begin
    part "refit run" upgrade
    part "refit run again" again
    finish ;;
  servers-down)
    trap ended EXIT
    part "tools" tools
    part "builds" build
    part "cluster at $from" fresh
    part "refit run upgrade-down" refit run playbooks/temporal/upgrade-down.yml
    part "what the cluster says" look
    part "refit run backup" backup
    to=$from
    part "refit run rollback" refit run playbooks/temporal/rollback.yml
    part "what the cluster says" look_at_servers
    to=1.30.9
    part "refit run preflight" refit run playbooks/temporal/preflight.yml ;;
  split)
    inventory=inventories/lab-split
    begin --split
    part "refit run" upgrade
    part "refit run again" again
    finish ;;
  faults)
    begin
    refit_arguments upgrade
    part "schema stage: connections cut, database restarted" faults_in_schema
    part "swap stage: the first server's machine reboots" fault_in_swap
    part "schemas compared" same_schema
    finish ;;
  down) "$lab" down ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 1 ;;
esac
