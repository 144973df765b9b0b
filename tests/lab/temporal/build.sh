#!/usr/bin/env bash
# build.sh VERSION: Temporal's server and schema tools of VERSION, from the Go module, into
# ${XDG_CACHE_HOME:-~/.cache}/refit-lab/temporal/VERSION: bin/temporal-server, bin/temporal-sql-tool, bin/temporal-cassandra-tool,
# and schema, a link to the module's schema folder. Prints that folder. Does nothing where it is built. Exit 77: no Go here.
set -euo pipefail
version=${1:?usage: build.sh VERSION}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "build.sh: '$version' is no version" >&2; exit 1; }
dir=${XDG_CACHE_HOME:-$HOME/.cache}/refit-lab/temporal/$version
schema() { [[ -d $dir/schema/postgresql/v12/temporal/versioned && -d $dir/schema/postgresql/v12/visibility/versioned ]]; }
if [[ -x $dir/bin/temporal-server && -x $dir/bin/temporal-sql-tool && -x $dir/bin/temporal-cassandra-tool ]] && schema; then echo "$dir"; exit; fi
command -v go >/dev/null || { echo "build.sh: cannot run here: no Go, which builds Temporal's server (1.26 or newer)" >&2; exit 77; }
began=$SECONDS
echo "build.sh: building temporal-server $version (minutes where Go's caches are empty)" >&2
mkdir -p "$dir/bin"
# every build into a folder of its own, named into place at the end: a killed build leaves nothing that looks whole
part=$(mktemp -d "$dir/build.XXXXXX"); trap 'rm -rf "$part"' EXIT
# a release may need a newer Go than the one here, which then fetches it as a module (since 1.30.9: Go 1.26.10)
export GOTOOLCHAIN=auto GOBIN=$part CGO_ENABLED=0 GOFLAGS="-buildvcs=false -trimpath -tags=disable_grpc_modules -ldflags=-s"
# 1.31.3 to 1.31.5 name a version of this module that Go's proxy does not serve ("not available"); the one that 1.31.2 names
# stands in for it, in a copy of the release's own go.mod (and the Go that builds the others)
stand_in=go.temporal.io/auto-scaled-workers@v0.0.0-20260407181057-edd947d743d2
server() {
  case $version in 1.31.[345]) ;; *) go install "go.temporal.io/server/cmd/server@v$version"; return ;; esac
  local source; source=$(go mod download -json "go.temporal.io/server@v$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  cp "$source/go.mod" "$part/release.mod"; cp "$source/go.sum" "$part/release.sum"; chmod u+w "$part"/release.*
  (cd "$source" && go mod edit -replace "${stand_in%@*}=$stand_in" "$part/release.mod" && GOTOOLCHAIN=go1.26.11 go build -mod=mod -modfile="$part/release.mod" -o "$part/server" ./cmd/server)
}
server
go install "go.temporal.io/server/cmd/tools/sql@v$version"
go install "go.temporal.io/server/cmd/tools/cassandra@v$version"
ln -sfn "$(go env GOMODCACHE)/go.temporal.io/server@v$version/schema" "$dir/schema"
schema || { echo "build.sh: no PostgreSQL schema in Go's module folder" >&2; exit 1; }
mv "$part/sql" "$dir/bin/temporal-sql-tool"
mv "$part/cassandra" "$dir/bin/temporal-cassandra-tool"
mv "$part/server" "$dir/bin/temporal-server"
for tool in server sql-tool cassandra-tool; do
  "$dir/bin/temporal-$tool" --version | grep -qF "$version" || { echo "build.sh: temporal-$tool does not call itself $version" >&2; exit 1; }
done
echo "build.sh: temporal-server $version built in $((SECONDS - began)) s" >&2
echo "$dir"
