#!/usr/bin/env bash
# demo.sh            three sshd hosts with ledger 1.0.0 each; Refit upgrades them to 1.1.0, then runs again and changes nothing
# demo.sh broken     the same from 1.0.0 with a 1.1.0 that never becomes healthy: exit 3, and 1.0.0 serves everywhere
# demo.sh up         only the hosts, with ledger 1.0.0, and the line that runs the playbook
# demo.sh down       stops everything and removes the hosts
# $REFIT is the program to use (else it is built), $REFIT_DEMO the folder of the hosts (target/demo). Exit 77: cannot run here.
set -euo pipefail
cd "$(dirname "$0")/../.."
top=$PWD dir=${REFIT_DEMO:-$PWD/target/demo} fleet=tests/lab/fleet.sh hosts="h1 h2 h3"
say() { printf '\n── %s\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }
on() { local host=$1; shift; ssh -F "$dir/ssh_config" "$host" "$@"; }

build() {
  $fleet need sshd sqlite3
  command -v curl >/dev/null || { [[ $EUID = 0 ]] && apt-get install -yqq curl >/dev/null; } || { echo "demo: cannot run here: curl is missing" >&2; exit 77; }
  if [[ -z ${REFIT:-} ]]; then
    say "building Refit and the example service"
    cargo build --locked --bin refit
    REFIT=${CARGO_TARGET_DIR:-$top/target}/debug/refit
  fi
  tests/lab/ledger/build.sh "${CARGO_TARGET_DIR:-$top/target}/ledger"
  binaries=${CARGO_TARGET_DIR:-$top/target}/ledger
}

up() {
  $fleet up "$dir" 3
  local port host; port=$(<"$dir/port")
  http=$((port + 1)) grpc=$((port + 2))
  mkdir -p "$dir/group_vars" "$dir/binaries"
  printf '%s\n' "ledger_http: $http" "ledger_grpc: $grpc" "ledger_binaries: $dir/binaries" >"$dir/group_vars/fleet.yml"
  cp "$binaries"/ledger-1.{0,1}.0 "$dir/binaries/"
  for host in $hosts; do
    [[ -e $dir/hosts/$host/ledger/ledger.db ]] || install_old "$host"
    curl -sf "$(url "$host")" >/dev/null || start "$host"
  done
}

address() { awk -v h="$1" '$1 == h {sub("ansible_host=", "", $2); print $2}' "$dir/inventory.ini"; }
url() { echo "http://$(address "$1"):$http/health"; }

# ledger 1.0.0 as somebody installed it years ago: plain files, a database at schema 1.0 with entries in it
install_old() {
  local home=$dir/hosts/$1/ledger
  mkdir -p "$home/bin"
  cp "$binaries/ledger-1.0.0" "$home/bin/ledger"
  printf '%s\n' "# ledger 1.0.0 on $1" "listen = $(address "$1"):$http" "grpc = $(address "$1"):$grpc" "database = $home/ledger.db" >"$home/ledger.conf"
  sqlite3 -bail "$home/ledger.db" "PRAGMA journal_mode = WAL;" >/dev/null
  sqlite3 -bail "$home/ledger.db" <<SQL
BEGIN;
CREATE TABLE schema_version(version_partition INT not null, db_name VARCHAR(255) not null, creation_time DATETIME(6), curr_version VARCHAR(64), min_compatible_version VARCHAR(64), PRIMARY KEY (version_partition, db_name));
CREATE TABLE schema_update_history(version_partition INT not null, year int not null, month int not null, update_time DATETIME(6) not null, description VARCHAR(255), manifest_md5 VARCHAR(64), new_version VARCHAR(64), old_version VARCHAR(64), PRIMARY KEY (version_partition, year, month, update_time));
.read schema/ledger/sqlite/versioned/v1.0/entries.sql
INSERT INTO schema_version VALUES (0, 'ledger', datetime('now'), '1.0', '1.0');
INSERT INTO schema_update_history VALUES (0, 2026, 1, datetime('now'), 'the entries', '$(md5sum <schema/ledger/sqlite/versioned/v1.0/manifest.json | cut -c1-32)', '1.0', '0.0');
INSERT INTO entries (text) VALUES ('written by 1.0.0 on $1');
COMMIT;
SQL
}
start() {
  on "$1" "cd $dir/hosts/$1/ledger && setsid bin/ledger --config \"\$PWD/ledger.conf\" --pid-file ledger.pid </dev/null >>ledger.log 2>&1 &"
  local i; for ((i = 0; i < 50; i++)); do if curl -sf "$(url "$1")" >/dev/null; then return; fi; sleep .1; done
  tail -n 3 "$dir/hosts/$1/ledger/ledger.log" >&2; fail "ledger does not start on $1"
}

# what the hosts themselves say, not Refit: version and schema served, the program that runs, the entry of 1.0.0 still there
check() { # VERSION SCHEMA
  local host answer home
  for host in $hosts; do
    home=$dir/hosts/$host/ledger
    answer=$(curl -sf --max-time 5 "$(url "$host")") || fail "$host: ledger does not answer"
    [[ $answer = *'"status":"serving","version":"'$1'"'* ]] || fail "$host: expected ledger $1, found $answer"
    cmp -s "/proc/$(<"$home/ledger.pid")/exe" "$binaries/ledger-$1" || fail "$host: what runs is not the program of $1"
    [[ $(sqlite3 -readonly "$home/ledger.db" "SELECT curr_version FROM schema_version") = "$2" ]] || fail "$host: the database is not at schema $2"
    [[ $(sqlite3 -readonly "$home/ledger.db" "SELECT text FROM entries WHERE id = 1") = "written by 1.0.0 on $host" ]] || fail "$host: an entry is lost"
    echo "$host $answer"
  done
}
pids() { local host; for host in $hosts; do cat "$dir/hosts/$host/ledger/ledger.pid"; done; }

run() { # EXPECTED-EXIT
  echo "\$ refit run playbooks/demo.yml -i $dir/inventory.ini -e to=1.1.0"
  local rc=0 began=$SECONDS
  REFIT_JOURNAL=$dir/journal.db "$REFIT" run playbooks/demo.yml -i "$dir/inventory.ini" -e to=1.1.0 || rc=$?
  echo "exit $rc after $((SECONDS - began)) s"
  [[ $rc = "$1" ]] || fail "expected exit $1"
}

case ${1:-run} in
  run)
    build; say "three hosts"; up; for host in $hosts; do curl -s "$(url "$host")"; done
    say "the upgrade"; run 0; check 1.1.0 1.2
    say "the same once more: nothing to change"
    before=$(pids); touch "$dir/mark"; sleep .01; run 0; check 1.1.0 1.2
    [[ $(pids) = "$before" ]] || fail "a second run restarted something"
    newer=$(find "$dir"/hosts/*/ledger -type f -newer "$dir/mark"); [[ -z $newer ]] || fail "a second run wrote: $newer"
    say "ledger 1.1.0 serves on three hosts; \`make demo-broken\` shows a bad release, \`make demo-down\` removes the hosts" ;;
  broken)
    build; $fleet down "$dir"; say "three fresh hosts with 1.0.0, and a 1.1.0 that never becomes healthy"; up
    cp "$binaries/ledger-1.1.0-sick" "$dir/binaries/ledger-1.1.0"; before=$(pids)
    say "the upgrade fails on its first host, which is rolled back"; run 3; check 1.0.0 1.2
    [[ $(pids | tail -n 2) = "$(tail -n 2 <<<"$before")" ]] || fail "a host after the first was touched"
    say "exit 3; ledger 1.0.0 serves everywhere; the hosts stay for a look until \`make demo-down\`" ;;
  up) build; up; echo "refit run playbooks/demo.yml -i $dir/inventory.ini -e to=1.1.0" ;;
  check) build; http=$(($(<"$dir/port") + 1)); check "$2" "$3" ;;
  down) $fleet down "$dir" ;;
  *) sed -n '2,/^# \$REFIT/s/^# \{0,1\}//p' "$0" >&2; exit 1 ;;
esac
