#!/usr/bin/env bash
# build.sh DIR: the example service in DIR, in the versions that the lab uses: ledger-1.0.0, ledger-1.1.0, and
# ledger-1.1.0-sick, which starts, calls itself 1.1.0 and never becomes healthy. Does nothing where they are newer than their source.
set -euo pipefail
[[ $# = 1 ]] || { echo "usage: build.sh DIR" >&2; exit 1; }
mkdir -p "$1"; to=$(cd "$1" && pwd)
cd "$(dirname "$0")/../../.."
exec 9>"$to/.lock"; flock 9 # tests that run at once build it once
for name in 1.0.0 1.1.0 1.1.0-sick; do
  [[ $to/ledger-$name -nt tests/lab/ledger/main.rs && $to/ledger-$name -nt Cargo.lock ]] && continue
  unset LEDGER_SICK
  [[ $name != *-sick ]] || export LEDGER_SICK=1
  LEDGER_VERSION=${name%-sick} cargo build --quiet --locked --example ledger 9>&-
  # somebody else's build may share cargo's folder: what was copied must be what was asked for
  cp "${CARGO_TARGET_DIR:-target}/debug/examples/ledger" "$to/.ledger-$name"
  [[ $("$to/.ledger-$name" --version) = "ledger ${name%-sick}" ]] || { echo "build.sh: another build got in between; again, please" >&2; exit 1; }
  mv "$to/.ledger-$name" "$to/ledger-$name"
done
