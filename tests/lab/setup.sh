#!/usr/bin/env bash
# setup.sh: what `make test` needs beside Rust: sshd, sudo, sqlite3, PostgreSQL's server and client programs, pgbouncer, busybox, curl,
# MySQL and MariaDB (unpacked below the lab's folder, nothing installed). As root it
# installs what is missing by apt, and starts no service of the machine; else it says the line. Quick where all is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin
miss=()
need() { command -v "$1" >/dev/null || miss+=("${@:2}"); }
need sshd openssh-server openssh-sftp-server
need ssh openssh-client
need sudo sudo
need sqlite3 sqlite3
need curl curl
need openssl openssl
need ps procps
need pgbouncer pgbouncer
need busybox busybox
"$here/postgres.sh" has || miss+=(postgresql postgresql-contrib postgresql-client)
# the machines that boot systemd: their base is built here, once, and not within a test's time
machines() {
  local rc=0; REFIT_LAB=/var/tmp/refit-lab "$here/hosts.sh" base >/dev/null || rc=$?
  [[ $rc = 0 || ($rc = 77 && ${CI:-} != true) ]]
}
# genuine MySQL 8.0 and MariaDB: fetched here, once, and not within a test's time
mysql() {
  local flavor rc
  for flavor in mysql8 mariadb; do
    rc=0; MYSQL_FLAVOR=$flavor "$here/mysql.sh" install || rc=$?
    [[ $rc = 0 || ($rc = 77 && ${CI:-} != true) ]] || return 1
  done
}
((${#miss[@]})) || { machines; mysql; exit; }
if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "setup.sh: missing here; as root: apt-get install ${miss[*]}" >&2
  # tests that need one of these skip with its name on a person's machine; in CI nothing may be missing
  [[ ${CI:-} != true ]] || exit 1
  mysql
  exit 0
fi
echo "setup.sh: installing ${miss[*]}" >&2
mkdir -p /etc/postgresql-common/createcluster.d # no cluster of Debian's beside the tests' own
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/lab.conf
policy=/usr/sbin/policy-rc.d ours=
[[ -e $policy ]] || { ours=1; printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; }
trap '[[ -z $ours ]] || rm -f $policy' EXIT
log=$(mktemp)
{ apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${miss[@]}"; } >"$log" 2>&1 ||
  { tail -n 5 "$log" >&2; rm -f "$log"; echo "setup.sh: apt-get cannot install ${miss[*]}" >&2; exit 1; }
rm -f "$log"
machines
mysql
