work=''
trap 'status=$?; [ -z "$work" ] || rm -rf -- "$work"; exit $status' 0
trap 'exit 129' 1
trap 'exit 130' 2
trap 'exit 143' 15
die() {
  printf '%s\n' "$1" >&2
  exit 1
}
# Flags say all of it: what the account's environment says of another database must not count.
unset SQL_HOST SQL_PORT SQL_USER SQL_DATABASE SQL_PLUGIN SQL_CONNECT_ATTRIBUTES SQL_TLS SQL_TLS_CERT_FILE SQL_TLS_KEY_FILE \
  SQL_TLS_CA_FILE SQL_TLS_SERVER_NAME SQL_TLS_DISABLE_HOST_VERIFICATION CASSANDRA_HOST CASSANDRA_PORT CASSANDRA_USER \
  CASSANDRA_ALLOWED_AUTHENTICATORS CASSANDRA_TIMEOUT CASSANDRA_KEYSPACE CASSANDRA_DATACENTER CASSANDRA_ADDRESS_TRANSLATOR \
  CASSANDRA_ADDRESS_TRANSLATOR_OPTIONS_CLI CASSANDRA_DISABLE_INITIAL_HOST_LOOKUP CASSANDRA_ENABLE_TLS CASSANDRA_TLS_CERT \
  CASSANDRA_TLS_KEY CASSANDRA_TLS_CA CASSANDRA_TLS_SERVER_NAME CASSANDRA_TLS_DISABLE_HOST_VERIFICATION
# prepare: a folder for the files of TLS, and one whose only version is older than any, by which the tool tells what it finds
prepare() {
  work=$(umask 077; mktemp -d "${REFIT_UPLOADS:-${TMPDIR:-/tmp}}/refit-tool.XXXXXX") || die "cannot make a temporary folder"
  mkdir "$work/none" "$work/none/v0.0" || die "cannot make a temporary folder"
  (
    umask 077
    [ -z "${REFIT_TLS_CA-}" ] || printf '%s\n' "$REFIT_TLS_CA" >"$work/ca.pem"
    [ -z "${REFIT_TLS_CERT-}" ] || printf '%s\n' "$REFIT_TLS_CERT" >"$work/cert.pem"
    [ -z "${REFIT_TLS_KEY-}" ] || printf '%s\n' "$REFIT_TLS_KEY" >"$work/key.pem"
  ) || die "cannot write the TLS files"
  unset REFIT_TLS_CA REFIT_TLS_CERT REFIT_TLS_KEY
}
# ask: version, or ask_trouble. `update-schema` with nothing to do reads the version and changes nothing.
ask() {
  tool update-schema -d "$work/none" >"$work/asked" 2>&1 </dev/null
  version=$(sed -n 's/.*found zero updates from current version \([^[:space:]]*\).*/\1/p' "$work/asked" | tail -n 1)
  ask_trouble=''
  [ -n "$version" ] || ask_trouble=$(sed -n 's/.*"error": "\(.*\)", "logging-call-at.*/\1/p' "$work/asked" | tail -n 1)
  [ -n "$version$ask_trouble" ] || ask_trouble=$(grep -v '^[[:space:]]*$' "$work/asked" | head -n 1)
  [ -n "$version$ask_trouble" ] || ask_trouble='it said nothing'
}
# agreed: trouble, where Cassandra's nodes are not all there with one schema
agreed() {
  trouble='' on='' versions='' count=0 away=''
  if ! nodetool describecluster >"$work/cluster" 2>"$work/complaint" </dev/null; then
    trouble="nodetool describecluster failed: $(cat "$work/cluster" "$work/complaint" | grep -v -e '^[[:space:]]*$' -e "^See 'nodetool help" | tail -n 1)"
    return 1
  fi
  while IFS= read -r line; do
    case $line in
    *'Schema versions:'*) on=1 ;;
    *UNREACHABLE:*) [ -z "$on" ] || away="$away ${line##*UNREACHABLE: }" ;;
    *UNKNOWN:*) [ -z "$on" ] || away="$away ${line##*UNKNOWN: }" ;;
    *'Stats for all nodes'*) on='' ;;
    *': ['*) [ -z "$on" ] || { count=$((count + 1)) versions="$versions ${line##*: }"; } ;;
    esac
  done <"$work/cluster"
  if [ -n "$away" ]; then
    trouble="nodes of the cluster cannot be reached:$away (nodetool describecluster)"
  elif [ "$count" = 0 ]; then
    trouble="nodetool describecluster shows no schema version"
  elif [ "$count" != 1 ]; then
    trouble="the nodes do not agree on the schema:$versions (nodetool describecluster)"
  fi
  [ -z "$trouble" ]
}
# settled: agreed, within half a minute
settled() {
  tries=0
  until agreed; do
    tries=$((tries + 1))
    [ "$tries" -lt 15 ] || return 1
    sleep 2
  done
}
