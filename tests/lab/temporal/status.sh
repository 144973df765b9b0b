#!/usr/bin/env bash
# status.sh        a real Temporal cluster (lab.sh) beside what `refit temporal status` and the kind `temporal` say of it: versions,
#                  rings, shards, schemas and heartbeats are compared with metrics and SQL; then it is made sick: a node stopped,
#                  the database stopped, a node that starts into a ring of its own. Each must turn a wait red, and SERVING alone stays green.
# status.sh down   stops and removes the cluster
# $REFIT is the program to use (else it is built), $VERSION the release (1.29.7). Exit 77: cannot run here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) top=$(cd "$(dirname "$0")/../../.." && pwd) cluster=$here/lab.sh version=${VERSION:-1.29.7}
net=198.18.77
fail() { echo "status.sh: $*" >&2; exit 1; }
[[ ${1:-} != down ]] || { exec "$cluster" down; }
command -v jq >/dev/null || { echo "status.sh: cannot run here: jq is missing" >&2; exit 77; }
if [[ -z ${REFIT:-} ]]; then (cd "$top" && cargo build --locked --bin refit); REFIT=${CARGO_TARGET_DIR:-$top/target}/debug/refit; fi
"$cluster" down; "$cluster" up "$version"
known=$("$cluster" env); eval "$known"
query() { "$BIN/psql" -qXtA -h "$SOCKET_DIR" -p "$PORT" -U postgres "$@"; }
refit() { "$cluster" run "$REFIT" "$@"; }
fetch() { "$cluster" run curl -sf --max-time 2 "$@"; }
on() { "$cluster" exec "$@"; }

sources=(-i "$top/inventories/lab" -i "$dir/inventory.ini")
cat >"$dir/status.yml" <<END
name: Look
hosts: temporal
become: true
databases:
  main: &database
    engine: postgres
    host: $HOST
    port: $PORT
    name: temporal
    user: temporal
    password: { env: TEMPORAL_DB_PASSWORD }
    tls: { verify: full, ca: $CA }
  visibility:
    engine: postgres
    host: $HOST
    port: $PORT
    name: temporal_visibility
    user: temporal
    password: { env: TEMPORAL_DB_PASSWORD }
    tls: { verify: full, ca: $CA }
probes:
  - temporal:
      databases: [main, visibility]
      address: "{{ node_ip }}"
      config: /etc/temporal/cluster.yaml
      program: /opt/temporal/bin/temporal-server
      to: "{{ to }}"
    run_once: true
    register: cluster
stages: [{ name: Nothing, steps: [{ debug: { msg: "{{ cluster.version }}" } }] }]
END
sed -i 's/ &database//' "$dir/status.yml"
wait_for() { # FILE PARAMETERS: a playbook of one wait
  printf 'name: Wait\nhosts: temporal\nstages:\n  - name: Wait\n    run_once: true\n    steps:\n      - %s\n' "$2" >"$dir/$1.yml"
  refit run "$dir/$1.yml" "${sources[@]}" --output json >"$dir/$1.out" 2>"$dir/$1.err" || return
}
message() { jq -r 'select(.event == "unit_ended") | .message' "$dir/$1.out"; }
result() { jq -c 'select(.event == "unit_ended") | .result' "$dir/$1.out"; }
look() { refit temporal status "$dir/status.yml" "${sources[@]}" --output json "$@" >"$dir/look.out"; jq -c 'select(.event == "unit_ended") | .result' "$dir/look.out"; }
same() { [[ $2 = "$3" ]] || fail "$1: refit says '$2', the thing itself '$3'"; echo "ok  $1: $2"; }
metric() { fetch "http://$net.1$1:8000/metrics" | awk '/^numshards_gauge\{/ {print int($2); exit}'; }
wait='temporal: { address: "{{ node_ip }}", within: 10s,'

echo "── the numbers, as the things themselves say them"
seen=$(look)
for n in 1 2 3; do
  told=$(fetch "http://$net.1$n:7243/api/v1/system-info" | jq -r .serverVersion)
  same "t$n frontend" "$(jq -r ".versions.t$n.frontend" <<<"$seen")" "$told"
  pid=$(on t$n 'systemctl show -P MainPID temporal')
  same "t$n process" "$(jq -r ".versions.t$n.processes | map(.pid) | join(\" \")" <<<"$seen")" "$pid"
  same "t$n running" "$(jq -r ".versions.t$n.running" <<<"$seen")" "$(on t$n "/proc/$pid/exe --version" | awk '{print $NF}')"
  same "t$n on disk" "$(jq -r ".versions.t$n.disk" <<<"$seen")" "$(on t$n '/opt/temporal/bin/temporal-server --version' | awk '{print $NF}')"
  same "t$n shards" "$(jq -r ".shards.hosts[\"$net.1$n:7234\"]" <<<"$seen")" "$(metric $n)"
  for role in frontend:7233 history:7234 matching:7235 worker:7239; do
    same "t$n sees ${role%:*}" "$(jq -r ".rings.t$n.${role%:*} | join(\" \")" <<<"$seen")" "$net.11:${role#*:} $net.12:${role#*:} $net.13:${role#*:}"
  done
done
same "shards configured" "$(jq -r .shards.configured <<<"$seen")" "$(query -d temporal -c 'select count(*) from shards')"
same "default schema" "$(jq -r .schema.main.version <<<"$seen")" "$(query -d temporal -c 'select curr_version from schema_version')"
same "visibility schema" "$(jq -r .schema.visibility.version <<<"$seen")" "$(query -d temporal_visibility -c 'select curr_version from schema_version')"
for role in 1:frontend 2:history 3:matching 4:worker; do
  same "heartbeats ${role#*:}" "$(jq -r ".heartbeats.${role#*:} | join(\" \")" <<<"$seen")" \
    "$(query -d temporal -c "select string_agg(distinct rpc_address, ' ' order by rpc_address) from cluster_membership where role = ${role%:*} and last_heartbeat > (now() at time zone 'utc') - interval '20 s'")"
done
same "stores" "$(jq -r '.stores | .default + " " + .visibility' <<<"$seen")" "postgres12 postgres12"
same "databases of the configuration" "$(jq -r '.stores.configured.t2 | .default.database + " " + .visibility.database' <<<"$seen")" "temporal temporal_visibility"
same "notes" "$(jq -r '.warnings | join("; ")' <<<"$seen")" ""
refit temporal status "$dir/status.yml" "${sources[@]}" -e to=1.32 | sed -n '/cluster/,/path/p'

echo "── well: a wait with a canary"
fetch -X POST "http://$net.11:7243/api/v1/namespaces" -d '{"namespace":"canary","workflowExecutionRetentionPeriod":"86400s"}' >/dev/null && sleep 12 # until every frontend knows it

wait_for well "$wait rings: complete, shards: complete, version: \"$version\", canary: canary, stable_for: 2s }" || fail "a healthy cluster is not well: $(message well) $(<"$dir/well.err")"
message well
canaries=$(fetch "http://$net.12:7243/api/v1/namespaces/canary/workflow-count?query=WorkflowType%3D%22refit-canary%22%20AND%20ExecutionStatus%3D%22Completed%22" | jq -r .count)
[[ $canaries -ge 3 ]] || fail "Temporal itself counts $canaries completed canaries, not one for each frontend"
echo "ok  Temporal counts $canaries completed canaries"
if wait_for wrong "$wait version: \"1.30.6\" }"; then fail "the wrong version is well"; fi; message wrong
if wait_for nowhere "$wait canary: nowhere }"; then fail "a canary in no namespace is well"; fi; message nowhere

echo "── sick: a node is stopped"
on t3 'systemctl stop temporal'
if wait_for stopped "$wait rings: complete }"; then fail "a ring without t3 is complete"; fi; message stopped
seen=$(look); jq -r '.warnings[]' <<<"$seen"
same "t3 running" "$(jq -r .versions.t3.running <<<"$seen")" null # though the other nodes' processes are to be seen from t3, too
on t3 'systemctl start temporal'
wait_for back 'temporal: { address: "{{ node_ip }}", rings: complete, shards: complete, within: 1m }' || fail "it does not come back: $(message back)"

echo "── sick: the database is stopped; SERVING alone stays green"
"$cluster" database stop
wait_for serving "health: { grpc: \"$net.11:7233\", service: temporal.api.workflowservice.v1.WorkflowService, version: \"$version\", within: 5s }" || fail "gRPC health is not SERVING without the database: $(message serving)"
echo "health: $(message serving)"
if wait_for outage "$wait version: \"$version\" }"; then fail "a cluster without its database is well"; fi; message outage
look | jq -r '.warnings[]' | head -n 4

echo "── sick: a node starts the moment the database is back, every heartbeat being too old"
on t3 'systemctl stop temporal'
sleep 24
"$cluster" database start
on t3 'systemctl start temporal'
split= i=
for ((i = 0; i < 5; i++)); do
  wait_for split 'temporal: { address: "{{ node_ip }}", rings: complete, within: 1s }' || split=$(result split | jq -r '.alone | join(" ")')
  [[ -z $split ]] || { message split; echo "ok  alone: $split"; break; }
done
[[ -n $split ]] || echo "note: $version did not split this time"
wait_for heals 'temporal: { address: "{{ node_ip }}", rings: complete, shards: complete, stable_for: 5s, within: 2m }' || fail "it did not heal: $(message heals)"
message heals
echo "status.sh: all numbers are right, and every sickness is seen"
