#!/bin/bash
# Test hosts for Refit: Debian machines that boot systemd in systemd-nspawn, on an overlay of one cached base, each with
# its own address, sshd, sudo users, units and reboot. They sit on a bridge in a network namespace of their own that has
# no link to the machine's network, so nothing leaves. Needs root; exits 77 where it cannot run.
#
# hosts.sh base                      build the base image, unless it is there; print its folder
# hosts.sh up N [PREFIX]             start hosts PREFIX1..PREFIXN (h1..hN), wait for sshd; keeps those that run
# hosts.sh run CMD ARG...            run CMD in the controller's network namespace, the only place that reaches the hosts
# hosts.sh ssh-config                print an ssh_config and an INI inventory (also written to $REFIT_LAB)
# hosts.sh exec HOST CMD             run a shell line as root in HOST, not over the network
# hosts.sh install HOST PKG...       apt packages into a running host, from this machine's apt sources
# hosts.sh reboot HOST               orderly reboot; wait for the next boot and its sshd
# hosts.sh kill HOST                 power cut: the network goes silent, then everything is killed; the disk stays
# hosts.sh start HOST                power on after kill or poweroff; wait for sshd
# hosts.sh pause|resume HOST         freeze every process (the host's kernel still answers TCP), and thaw
# hosts.sh fault HOST KIND [PORT]    KIND: drop (blackhole), reset (RST to both sides), loss PCT (lose PCT % of the packets
#                                    each way) or none; PORT: only that TCP port of HOST. A new fault replaces the old one
# hosts.sh down [HOST...]            remove hosts, disks and namespaces (the base stays)
# hosts.sh status
#
# Environment: REFIT_LAB (/var/tmp/refit-lab) state; REFIT_LAB_NS (refit-lab) names the namespaces and the cgroup;
# REFIT_LAB_NET (198.18.77) first three bytes of the addresses; REFIT_LAB_PACKAGES more packages in the base (one base for
# each set); REFIT_LAB_BASES ($REFIT_LAB/bases) bases, may be shared; REFIT_LAB_DARK (0) seconds that a reboot stays dark;
# REFIT_LAB_BIND a folder of this machine that new hosts see at the same path, read-only;
# REFIT_LAB_OWNER a process whose end takes the lab down, however it ends.
# Users, all with the key $REFIT_LAB/key: root; deploy (sudo without password); ops (sudo, password ops-secret); plain.
# shellcheck disable=SC1091,SC2016,SC2086
set -euo pipefail

lab=${REFIT_LAB:-/var/tmp/refit-lab} ns=${REFIT_LAB_NS:-refit-lab} net=${REFIT_LAB_NET:-198.18.77}
self=$(readlink -f "$0")
include=systemd,systemd-sysv,libpam-systemd,dbus,openssh-server,sudo,iproute2,procps
for p in ${REFIT_LAB_PACKAGES:-}; do include+=,$p; done
bases=${REFIT_LAB_BASES:-$lab/bases}
base=$bases/$(printf '%s 1' "$include" | sha256sum | cut -c1-12)

die() { echo "hosts.sh: $*" >&2; exit 1; }
skip() { echo "hosts.sh: cannot run here: $*" >&2; exit 77; }
names() { [ ! -d "$lab/hosts" ] || ls "$lab/hosts"; }
name_ok() { [[ $1 =~ ^[a-z][a-z0-9-]{0,11}$ ]] || die "'$1' is no host name (a-z 0-9 -, 12 at most)"; }
host() { name_ok "${1:-}"; [ -d "$lab/hosts/$1" ] || die "no host '$1'; there are: $(names | xargs)"; }
ip_of() { cat "$lab/hosts/$1/ip"; }

need() {
  local c miss=
  for c in mmdebstrap systemd-nspawn nft ip ssh ssh-keygen nsenter flock; do command -v $c >/dev/null || miss+=" $c"; done
  if [ -n "$miss" ]; then
    echo "hosts.sh: installing what gives:$miss" >&2
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends mmdebstrap \
      systemd-container nftables iproute2 openssh-client util-linux; } >/dev/null 2>&1 || skip "apt-get cannot install:$miss"
  fi
  mkdir -p "$lab/cg" "$lab/hosts"
  unshare --mount --net sh -c 'ip link add v0 type veth peer name v1 && ip link add b0 type bridge && cd "$0" &&
    mkdir -p l u w m && mount -t overlay none -o lowerdir=l,upperdir=u,workdir=w m' "$(mktemp -d -p "$lab" probe.XXXX)" \
    2>/dev/null || { rm -rf "$lab"/probe.*; skip "no mount or network namespace, veth, bridge or overlayfs"; }
  rm -rf "$lab"/probe.*
  cg true 2>/dev/null || skip "cannot mount cgroup2"
}

# A shell line in the cgroup v2 tree, through a private mount: wherever, if at all, this machine has that tree.
cg() { unshare --mount sh -c "mount -t cgroup2 none '$lab/cg' && cd '$lab/cg' && $1"; }
leader() { # the pid, seen from here, of a running host's init; checked, lest a stale number name a stranger
  local p
  p=$(cat "$lab/hosts/$1/nspawn.pid" 2>/dev/null) && p=$(cat "/proc/$p/task/$p/children" 2>/dev/null) || return 1
  p=${p%% *}
  grep -qs "/$ns/$1/vm" "/proc/$p/cgroup" && [ -e "/proc/$p/root/run/systemd/private" ] && echo "$p"
}
enter() { # "-m -i ..." HOST CMD ARG...
  local how=$1 p; p=$(leader "$2") || die "$2 is not running"; shift 2
  nsenter -t "$p" $how -- env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin "$@"
}
inside() { enter "-m -u -i -n -p" "$@"; }

base() {
  [ -f "$lab/key" ] || ssh-keygen -q -t ed25519 -N '' -C refit-lab -f "$lab/key"
  mkdir -p "$bases"; exec 8>"$bases/lock"; flock 8
  if [ ! -f "$base.ok" ]; then
    echo "hosts.sh: building the base image (about a minute)" >&2
    local t=$base.tmp src u; rm -rf "$base" "$t"
    mapfile -t src < <(grep -lsE '^(deb |URIs:)' /etc/apt/sources.list /etc/apt/sources.list.d/{debian,ubuntu}.sources)
    mmdebstrap --quiet --mode=root --variant=minbase --include="$include" --aptopt='Acquire::Check-Valid-Until "false"' \
      --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
      "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$t" "${src[@]}" >"$base.log" 2>&1 ||
      { tail -5 "$base.log" >&2; die "mmdebstrap failed, see $base.log"; }
    rm -f "$t"/etc/ssh/ssh_host_*; : >"$t/etc/machine-id"; : >"$t/etc/resolv.conf"
    for u in deploy ops plain; do chroot "$t" useradd -m -s /bin/bash "$u"; done
    echo ops:ops-secret | chroot "$t" chpasswd
    printf 'deploy ALL=(ALL:ALL) NOPASSWD:ALL\nops ALL=(ALL:ALL) ALL\n' >"$t/etc/sudoers.d/lab"
    printf 'LogLevel VERBOSE\nAuthorizedKeysFile .ssh/authorized_keys /etc/ssh/lab_keys\n' \
      >"$t/etc/ssh/sshd_config.d/lab.conf"
    chroot "$t" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer \
      dpkg-db-backup.timer console-getty.service
    mv "$t" "$base"; touch "$base.ok"
  fi
  exec 8>&-
}

create() {
  local name=$1 h=$lab/hosts/$1 i=11
  if [ ! -f "$h/ip" ]; then
    rm -rf "$h"; mkdir -p "$h"/{up/etc/ssh,work,root}
    while grep -qsx "$net.$i" "$lab"/hosts/*/ip; do i=$((i + 1)); done
    echo "$base" >"$h/base"; echo "${REFIT_LAB_BIND:-}" >"$h/bind"; echo 0 >"$h/boots"; echo "$name" >"$h/up/etc/hostname"
    ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$h/up/etc/ssh/ssh_host_ed25519_key"
    install -m 644 "$lab/key.pub" "$h/up/etc/ssh/lab_keys"; echo "$net.$i" >"$h/ip"
  fi
  if [ ! -e "/run/netns/$ns-$name" ]; then
    ip netns add "$ns-$name"; ip -n "$ns-$name" link set lo up
    ip -n "$ns-$name" link add host0 type veth peer name "v-$name" netns "$ns"
    ip -n "$ns" link set "v-$name" master br0 up
    ip -n "$ns-$name" addr add "$(ip_of "$name")/24" dev host0
  fi
}

start() {
  if cg "grep -qs . '$ns/$1/run/cgroup.procs'"; then return; fi
  setsid unshare --mount --propagation private nsenter --net="/run/netns/$ns-$1" "$self" _supervise "$1" \
    </dev/null >>"$lab/hosts/$1/console" 2>&1 9>&- &
}

# The one process that owns a host. In its own mount namespace and the host's network namespace, it runs nspawn, and
# again at each reboot. All that it mounts goes with it.
supervise() {
  local h=$lab/hosts/$1 c=/sys/fs/cgroup/$ns/$1 rc=133 bind
  bind=$(cat "$h/bind" 2>/dev/null) || true
  mount -t cgroup2 none /sys/fs/cgroup || true; mkdir -p "$c/run" "$c/vm"; echo $$ >"$c/run/cgroup.procs"
  mount -t overlay none -o "lowerdir=$(cat "$h/base"),upperdir=$h/up,workdir=$h/work" "$h/root"
  mkdir -p /run/systemd; mount -t tmpfs -o mode=755 none /run/systemd # nspawn's traces stay in here
  while [ $rc = 133 ]; do # nspawn's word for: the host asked for a reboot
    ip link set host0 up
    echo $(($(cat "$h/boots") + 1)) >"$h/boots"
    rc=0; sh -c 'echo $$ >"$1/vm/cgroup.procs"; echo $$ >"$2"; shift 2; exec "$@"' - "$c" "$h/nspawn.pid" \
      systemd-nspawn -qb -D "$h/root" -M "$1" --register=no --keep-unit --console=pipe --capability=cap_net_admin \
      --network-namespace-path=/proc/$$/ns/net --resolv-conf=off --timezone=off --link-journal=no ${bind:+--bind-ro=$bind} || rc=$?
    ip link set host0 down; rm -f "$h/nspawn.pid"
    [ $rc != 133 ] || sleep "${REFIT_LAB_DARK:-0}"
  done
}

# `up` with an owner leaves this behind.
watch() { # PID
  while [ -d "/proc/$1" ] && [ -d "$lab/hosts" ]; do sleep 1; done
  [ ! -d "$lab/hosts" ] || "$self" down
}

wait_ssh() { # HOST [BOOTS]: until sshd greets, in a later boot than number BOOTS
  for _ in $(seq 600); do
    if [ "$(cat "$lab/hosts/$1/boots")" -gt "${2:-0}" ] && nsenter --net="/run/netns/$ns" timeout 1 \
      bash -c 'exec 3<>"/dev/tcp/$0/22" && read -r x <&3 && [[ $x = SSH-* ]]' "$(ip_of "$1")" 2>/dev/null; then return; fi
    sleep 0.1
  done
  die "$1: no sshd after a minute; see $lab/hosts/$1/console"
}

write_config() { # known_hosts, ssh_config, inventory.ini, and each host's /etc/hosts
  local n all; all=$(names)
  : >"$lab/known_hosts"; echo '[lab]' >"$lab/inventory.ini"; echo '127.0.0.1 localhost' >"$lab/etc-hosts"
  printf 'Host *\n  User deploy\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n' "$lab/key" \
    "$lab/known_hosts" >"$lab/ssh_config"
  printf '  StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 5\n' >>"$lab/ssh_config"
  for n in $all; do
    echo "$n,$(ip_of "$n") $(cut -d' ' -f1,2 "$lab/hosts/$n/up/etc/ssh/ssh_host_ed25519_key.pub")" >>"$lab/known_hosts"
    printf 'Host %s\n  HostName %s\n' "$n" "$(ip_of "$n")" >>"$lab/ssh_config"
    echo "$n ansible_host=$(ip_of "$n")" >>"$lab/inventory.ini"
    echo "$(ip_of "$n") $n" >>"$lab/etc-hosts"
  done
  printf "\n[lab:vars]\nansible_user=deploy\nansible_ssh_private_key_file=%s\nansible_ssh_common_args='-F %s'\n" "$lab/key" \
    "$lab/ssh_config" >>"$lab/inventory.ini"
  for n in $all; do
    if leader "$n" >/dev/null; then inside "$n" tee /etc/hosts <"$lab/etc-hosts" >/dev/null
    else cp "$lab/etc-hosts" "$lab/hosts/$n/up/etc/hosts"; fi
  done
}

cut_power() {
  ip -n "$ns-$1" link set host0 down 2>/dev/null || true
  cg "[ ! -d '$ns/$1' ] || { echo 0 >'$ns/$1/cgroup.freeze'; echo 1 >'$ns/$1/cgroup.kill'
    for t in \$(seq 100); do find '$ns/$1' -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.1; done; }"
  rm -f "$lab/hosts/$1/nspawn.pid"
}

fault() { # HOST KIND [PCT] [PORT]: rules in the host's own network namespace, so that every peer meets them
  local n="ip netns exec $ns-$1 nft" kind=$2 act=drop in out; shift 2
  if [ "$kind" = loss ]; then
    [[ ${1:-} =~ ^[0-9]{1,2}$ ]] || die "loss needs a per cent"; act="numgen random mod 100 < $1 drop"; shift
  fi
  in=${1:+tcp dport $1} out=${1:+tcp sport $1}
  $n 'table netdev lab; delete table netdev lab; table inet lab; delete table inet lab'
  case $kind in
  none) ;;
  drop | loss) $n "table netdev lab {
      chain in { type filter hook ingress device host0 priority 0; ${in:-meta protocol ip} $act; };
      chain out { type filter hook egress device host0 priority 0; ${out:-meta protocol ip} $act; }; }" ;;
  reset) out="tcp flags & (syn|ack) == syn ${out:-meta l4proto tcp}"
    $n "table inet lab {
      chain in { type filter hook input priority -10; iif != lo tcp flags & rst == 0 $in reject with tcp reset; };
      chain out { type filter hook output priority -10; oif != lo $out reject with tcp reset; }; }" ;;
  *) die "fault '$kind'? drop, reset, loss PCT or none" ;;
  esac
}

cmd=${1:-help}; [ $# = 0 ] || shift
case $cmd in help | -h | --help) sed -n '2,/^# shell/{/^# shell/d;s/^# \{0,1\}//p}' "$self"; exit ;; esac
[ "$(id -u)" = 0 ] || skip "not root"
case $cmd in
base | up | start | down) need; exec 9>"$lab/lock"; flock -w 300 9 || die "$lab/lock is held" ;;
exec | install | reboot | kill | pause | resume | fault) host "${1:-}"; n=$1; shift ;;
esac
case $cmd in
_supervise) supervise "$1" ;;
_watch) watch "$1" ;;
base) base; echo "$base" ;;
up)
  if ! [[ ${1:-} =~ ^[1-9][0-9]?$ ]]; then die "up N: N is 1 to 99"; fi
  name_ok "${2:-h}$1"; base
  if [ ! -e "/run/netns/$ns" ]; then
    ip netns add "$ns"; ip -n "$ns" link set lo up; ip -n "$ns" link add br0 type bridge
    ip -n "$ns" addr add "$net.1/24" dev br0; ip -n "$ns" link set br0 up
  fi
  if [ -n "${REFIT_LAB_OWNER:-}" ] && [ -z "$(names)" ]; then
    setsid "$self" _watch "$REFIT_LAB_OWNER" </dev/null >/dev/null 2>&1 9>&- &
  fi
  for i in $(seq "$1"); do create "${2:-h}$i"; done
  write_config
  for i in $(seq "$1"); do start "${2:-h}$i"; done
  for i in $(seq "$1"); do wait_ssh "${2:-h}$i"; done ;;
run) [ -e "/run/netns/$ns" ] || die "no lab is up"; exec nsenter --net="/run/netns/$ns" -- "$@" ;;
ssh-config) for f in ssh_config inventory.ini; do echo "# $lab/$f"; cat "$lab/$f" 2>/dev/null || die "no lab is up"; done ;;
exec) inside "$n" sh -c "$*" ;;
install) # in the host's file system and init, but on the machine's network, where the apt mirror is
  p=$(leader "$n") || die "$n is not running"; etc=/proc/$p/root/etc
  { apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' || true
    echo 'Acquire::https::CAInfo "/etc/apt/lab-ca.crt";'; } >"$etc/apt/apt.conf.d/90lab"
  cp /etc/ssl/certs/ca-certificates.crt "$etc/apt/lab-ca.crt" 2>/dev/null || true
  cat /etc/resolv.conf >"$etc/resolv.conf"; rc=0
  enter "-m -u -i -p" "$n" env http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" DEBIAN_FRONTEND=noninteractive \
    sh -c 'apt-get update -qq && apt-get install -yqq --no-install-recommends "$@"' - "$@" >/dev/null || rc=$?
  : >"$etc/resolv.conf"; rm -rf "${etc%/etc}"/var/lib/apt/lists/*; inside "$n" apt-get clean; exit $rc ;;
reboot) b=$(cat "$lab/hosts/$n/boots"); inside "$n" systemctl reboot 2>/dev/null || true; wait_ssh "$n" "$b" ;;
kill) cut_power "$n" ;;
start) host "${1:-}"; create "$1"; start "$1"; wait_ssh "$1" ;;
pause) cg "echo 1 >'$ns/$n/cgroup.freeze'" ;;
resume) cg "echo 0 >'$ns/$n/cgroup.freeze'" ;;
fault) [ $# -ge 1 ] || die "fault HOST KIND"; fault "$n" "$@" ;;
down)
  [ $# -gt 0 ] || { mapfile -t all < <(names); set -- "${all[@]}"; }
  for n; do
    host "$n"; cut_power "$n"; ip netns del "$ns-$n" 2>/dev/null || true
    rm -rf "${lab:?}/hosts/$n"
  done
  if [ -z "$(names)" ]; then
    ip netns del "$ns" 2>/dev/null || true; cg "rmdir '$ns' 2>/dev/null || true"; rmdir "$lab/cg" "$lab/hosts"
    rm -f "$lab"/{known_hosts,ssh_config,inventory.ini,etc-hosts,lock}
  else write_config; fi ;;
status)
  for n in $(names); do
    s=off; ! leader "$n" >/dev/null || s=running
    [ "$(cg "cat '$ns/$n/cgroup.freeze'" 2>/dev/null)" != 1 ] || s=paused
    f=$(ip netns exec "$ns-$n" nft list tables 2>/dev/null | grep -c ' lab$' || true)
    echo "$n $(ip_of "$n") $s boots=$(cat "$lab/hosts/$n/boots") faults=$f disk=$(du -sm "$lab/hosts/$n/up" | cut -f1)M"
  done ;;
*) die "no command '$cmd'; see hosts.sh help" ;;
esac
