#!/usr/bin/env bash
# cassandra-test.sh [FILTER]: Temporal's own tool and `nodetool snapshot` on real Cassandra, one node and two: some minutes, Java 17,
# Maven and Go, and 2 GB of memory. Exit 77: cannot run here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) lab=${REFIT_LAB:-/var/tmp/refit-lab}
skip() { echo "cassandra-test.sh: cannot run here: $*" >&2; exit 77; }
"$here/cassandra.sh" install
"$here/temporal/build.sh" 1.29.7 >/dev/null
# cqlsh looks at what the tool did; it is no part of what Refit needs
if [[ ! -x $lab/cqlsh/bin/cqlsh ]]; then
  python3 -m venv "$lab/cqlsh" 2>/dev/null || skip "python3-venv is missing"
  "$lab/cqlsh/bin/pip" install -q cqlsh==6.2.2 || { rm -rf "$lab/cqlsh"; skip "pip cannot install cqlsh"; }
fi
export REFIT_TEST_TEMPORAL=1 REFIT_TEST_CQLSH=$lab/cqlsh/bin/cqlsh REFIT_LAB=$lab
exec cargo test --locked --manifest-path "$here/../../Cargo.toml" --test refit "tool::cassandra${1:+::$1}" -- --ignored --test-threads 1
