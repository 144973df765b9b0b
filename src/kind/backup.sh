partial='' secrets='' total=''
trap 'status=$?; [ -z "$partial" ] || rm -f -- "$partial"; [ -z "$secrets" ] || rm -rf -- "$secrets"; sent; exit $status' 0
trap 'exit 129' 1
trap 'exit 130' 2
trap 'exit 143' 15
# tls VARIABLE SHA256: a file of the database's TLS, for this job only
tls() {
  [ -n "$secrets" ] || secrets=$(mktemp -d "$REFIT_UPLOADS/tls.XXXXXX") || die "cannot make a folder for the TLS files"
  cp -- "$REFIT_UPLOADS/$2" "$secrets/$1" || die "the TLS files did not arrive"
  export "$1=$secrets/$1"
}
system_ca() {
  for PGSSLROOTCERT in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem \
    /etc/ssl/cert.pem; do
    if [ -f "$PGSSLROOTCERT" ]; then
      export PGSSLROOTCERT
      return 0
    fi
  done
  die "this host has no bundle of CAs to verify the database with: give \`ca\` in its \`tls\`"
}
# begin FOLDER LABEL EXTENSION
begin() {
  to=${1:-/} label=$2 extension=$3
  if [ ! -d "$to" ]; then
    folder_of "$to"
    [ ! -e "$to" ] || die "$to is no folder"
    [ -d "$folder" ] || die "the folder $folder is not there; only the last part of \`to\` is made"
    mkdir -m 0700 -- "$to" || die "cannot make the folder $to"
  fi
  cd -- "$to" || die "cannot enter the folder $to"
  to=$(pwd -P)
  [ -w . ] || die "this account may not write to $to"
  # what an interrupted job of another day left
  find . -maxdepth 1 -name "$label-*.$extension.partial" -mtime +0 -exec rm -f -- {} + 2>/dev/null
  name=$label-$REFIT_JOB.$extension
  partial=${to%/}/$name.partial
}
# room KILOBYTES
room() {
  set -- "$1" $(df -Pk . | tail -n 1)
  case $5 in
  '' | *[!0-9]*) return 0 ;;
  esac
  [ "$5" -gt "$1" ] || die "$to has $5 kB free, and the copy may need $1 kB"
}
postgres() {
  if bytes=$(ask "$@" -XAtq -c 'select pg_database_size(current_database())' 2>/dev/null); then
    case $bytes in
    '' | *[!0-9]*) ;;
    *) room $((bytes / 2048)) ;;
    esac
  fi
  room 1024
  dump -Fc "$@" >"$partial" || die "pg_dump failed, and the copy was removed"
  restore -l <"$partial" >/dev/null || die "pg_restore cannot list the copy: it was removed"
}
sqlite() {
  [ -f "$1" ] || die "there is no database $1"
  bytes=$(wc -c <"$1") || die "cannot read $1"
  room $((bytes / 1024 + 1024))
  # by a name that needs no quotes
  ask -batch -bail -cmd '.timeout 60000' "$1" "VACUUM INTO '$name.partial'" || die "sqlite3 failed, and the copy was removed"
  check=$(ask -batch -bail "$name.partial" 'PRAGMA integrity_check') || die "sqlite3 cannot read the copy: it was removed"
  [ "$check" = ok ] || die "the copy is damaged and was removed: $check"
}
files() {
  need=0
  for path; do
    [ -e "$path" ] || [ -h "$path" ] || die "$path is not there"
    # the folder itself would be copied into itself
    case ${to%/}/ in
    "$(cd -- "$path" 2>/dev/null && pwd -P)"/*) [ ! -d "$path" ] || die "$to lies in $path" ;;
    esac
    set -- "$@" "${path#/}"
    shift
    size=$(du -sk -- "$path" | cut -f1)
    need=$((need + ${size:-0}))
  done
  room $((need + 1024))
  pack -czf "$name.partial" -C / -- "$@" || die "tar failed, and the copy was removed"
  pack -tzf "$name.partial" >/dev/null || die "tar cannot list the copy: it was removed"
}
finish() {
  [ -s "$partial" ] || die "the copy is empty and was removed"
  sum "$partial"
  [ -n "$sum" ] || die "cannot sum the copy"
  size=${total:-$(($(wc -c <"$partial")))}
  sync -- "$partial" 2>/dev/null
  rename "$partial" "${to%/}/$name" || die "cannot rename the copy"
  partial=''
  printf '%s=%s\n' path "${to%/}/$name" size "$size" sha256 "$sum"
}
# keep N: a job's name is a run's, 16 digits and an attempt
keep() {
  run='????????-????-????-????-????????????' left=$1
  ls -t -- "$label"-$run.????????????????.*."$extension" 2>/dev/null | while IFS= read -r old; do
    left=$((left - 1))
    [ "$left" -ge 0 ] || rm -f -- "$old"
  done
}
