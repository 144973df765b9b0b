#!/usr/bin/env bash
# Everything that the lab can show of an upgrade of Temporal, one after the other; at the end what was shown, in which time, and
# what could not be shown here, with the reason. A failure ends nothing but its own part. Exit 1 if a part failed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd); cd "$here/../../.."
logs=target/test-temporal; mkdir -p $logs
done=() failed=0
show() { # NAME COMMAND…
  local name=$1 began=$SECONDS rc=0 log; shift
  log=$logs/$(tr -cs 'a-z0-9\n' - <<<"$name").log
  echo "── $name (log: $log)"
  "$@" >"$log" 2>&1 || rc=$?
  case $rc in
    0) done+=("$(printf 'ok      %5d s  %s' $((SECONDS - began)) "$name")"); sed -n '/^── wall time/,$p' "$log" ;;
    77) done+=("$(printf 'missing          %s: %s' "$name" "$(grep 'cannot run here' "$log" | tail -n 1)")") ;;
    *) done+=("$(printf 'FAILED  %5d s  %s' $((SECONDS - began)) "$name")"); tail -n 15 "$log"; failed=1 ;;
  esac
}
show "postgresql: 1.29.7 to 1.32.2 under load" "$here/hop.sh" path
show "postgresql: one hop, disturbed in the schema and the swap stage" "$here/hop.sh" faults
show "postgresql: one hop, killed twice" "$here/hop.sh" killed
show "postgresql: one hop, roles split" "$here/hop.sh" split
show "postgresql: one hop with all servers down, backup, rollback, preflight" "$here/hop.sh" servers-down
show "mysql: 1.29.7 to 1.31.5 under load" "$here/hop.sh" mysql
show "what a look and a wait say of a cluster, well and sick" "$here/status.sh"
show "postgresql: one hop by hand" "$here/hop.sh" by-hand
show "cassandra: the schema by Temporal's own tool, snapshots, one node and two" "$here/../cassandra-test.sh"
"$here/hop.sh" down
printf '\n── all\n'; printf '%s\n' "${done[@]}"
exit $failed
