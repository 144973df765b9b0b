#!/usr/bin/env bash
# Many real sshd on one machine: one for each loopback address, hosts h1 … hN, every host with a home, a host key and a state
# folder of its own. Runs as root and as an ordinary user. The account's own ~/.ssh is neither read nor written.
#
# fleet.sh up DIR N [--base-port P]  start h1 … hN (127.0.1.1 …, one port; without P a free one); keeps hosts that run
# fleet.sh stop DIR HOST [--cut]     the host's sshd goes; with --cut its open sessions too
# fleet.sh start DIR HOST            the host's sshd comes back
# fleet.sh kill DIR HOST             power cut: sshd, sessions and whatever was started over them
# fleet.sh noisy DIR HOST            the home of HOST gets a .bashrc that prints
# fleet.sh down DIR                  as kill for all hosts, then DIR is removed
# fleet.sh users [fish] [csh]        root: accounts refit-deploy (sudo without password), refit-ops (sudo, password ops-secret),
#                                    refit-plain (no sudo), with /bin/sh; fish, csh: also refit-fish, refit-csh. Before `up`.
# fleet.sh users-down                removes them
# fleet.sh need PROGRAM…             sshd sudo sqlite3 fish csh: installs what is missing (root: apt; else unpacks into a cache)
#
# DIR gets inventory.ini, ssh_config, known_hosts, key, key.pub; hosts/HOST is what a playbook may write to (`host_root`:
# home, var; `refit_state_dir` is var/refit, not there at first); sshd/HOST holds what belongs to the lab (config, log, pid).
# All hosts share the machine's users, processes, ports and /tmp. Other accounts than the caller's must be able to reach DIR.
# Exit 77: cannot run here.
set -euo pipefail
lab_users="refit-deploy refit-ops refit-plain refit-fish refit-csh"
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/refit-lab/root # programs of an ordinary user
PATH=$PATH:/usr/sbin:/sbin:$cache/usr/sbin:$cache/usr/bin

die() { echo "fleet.sh: $*" >&2; exit 1; }
skip() { echo "fleet.sh: cannot run here: $*" >&2; exit 77; }
root() { [[ $EUID = 0 ]]; }

need() {
  local program miss=()
  for program; do
    command -v "$program" >/dev/null && continue
    case $program in
      sshd) miss+=(openssh-server openssh-client openssh-sftp-server) ;;
      sudo | sqlite3 | fish | csh) miss+=("$program") ;;
      *) die "need '$program'? sshd, sudo, sqlite3, fish or csh" ;;
    esac
  done
  ((${#miss[@]})) || return 0
  command -v apt-get >/dev/null || skip "missing: ${miss[*]}, and no apt-get here"
  echo "fleet.sh: installing ${miss[*]}" >&2
  if root; then
    apt-get update -qq >/dev/null 2>&1 || true
    # an sshd of the machine's own is not wanted: policy-rc.d keeps the package from starting one
    local policy=/usr/sbin/policy-rc.d ours=
    [[ -e $policy ]] || { ours=1; printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; }
    local rc=0
    DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${miss[@]}" >/dev/null 2>&1 || rc=1
    [[ -z $ours ]] || rm -f $policy
    [[ $rc = 0 ]] || skip "apt-get cannot install ${miss[*]}"
  else
    local into; into=$(mktemp -d)
    (cd "$into" && apt-get download -qq "${miss[@]}" >/dev/null 2>&1) || { rm -rf "$into"; skip "apt-get cannot fetch ${miss[*]}; as root: apt-get install ${miss[*]}"; }
    mkdir -p "$cache"
    for program in "$into"/*.deb; do dpkg -x "$program" "$cache"; done
    rm -rf "$into"
  fi
  hash -r
  for program; do command -v "$program" >/dev/null || skip "$program is still missing"; done
}

# ---- one host -------------------------------------------------------------------------------------------------------------

address() { reply="127.0.$((1 + ($1 - 1) / 250)).$((1 + ($1 - 1) % 250))"; }
known() { [[ $1 =~ ^h[1-9][0-9]*$ && -d $dir/sshd/$1 ]] || die "no host '$1' in $dir"; }

# the listener's pid, if it is alive and this host's: a stale number may name a stranger
listener() {
  [[ -s $dir/sshd/$1/pid ]] || return 1
  { reply=$(<"$dir/sshd/$1/pid"); } 2>/dev/null || return 1 # an sshd that ends removes it
  [[ $reply =~ ^[0-9]+$ && -r /proc/$reply/cmdline ]] && grep -qsF -- "$dir/sshd/$1/config" "/proc/$reply/cmdline"
}
born() { local stat; stat=$(<"/proc/$1/stat") 2>/dev/null || return 1; stat=${stat##*) }; set -- $stat; reply=${20}; }

launch() {
  listener "$1" && return
  "$sshd" -f "$dir/sshd/$1/config" -E "$dir/sshd/$1/log" || die "$1: sshd does not start: $(tail -n 2 "$dir/sshd/$1/log")"
}

# the sshd processes that serve open sessions of a host, as "pid born", before and after its listener has gone
sessions() {
  local file=$dir/sshd/$1/sessions pid was
  if listener "$1"; then
    for pid in $(cat "/proc/$reply/task/$reply/children" 2>/dev/null); do born "$pid" && echo "$pid $reply"; done >>"$file"
  fi
  [[ -s $file ]] || return 0
  while read -r pid was; do born "$pid" 2>/dev/null && [[ $reply = "$was" ]] && echo "$pid"; done <"$file" | sort -u
}

stop() { # HOST [--cut]
  local pids; pids=$(sessions "$1")
  if listener "$1"; then
    local pid=$reply i
    kill "$pid" 2>/dev/null || true
    for ((i = 0; i < 200; i++)); do listener "$1" || break; sleep .02; done
  fi
  if [[ ${2:-} = --cut && -n $pids ]]; then
    # with privilege separation the process that holds the socket may be a child of the one that the listener knows
    local pid more; for pid in $pids; do more=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
      for more in $more; do if [[ $(cat "/proc/$more/comm" 2>/dev/null) = sshd* ]]; then kill -9 "$more" 2>/dev/null || true; fi; done
      kill -9 "$pid" 2>/dev/null || true
    done
    rm -f "$dir/sshd/$1/sessions"
  fi
}

# what runs on hosts: known by the variable that sshd sets for its sessions, or (sudo drops it) by a path below the host's folder
tenants() { # FOLDER
  local file pid mine=" $BASHPID "
  pid=$$; while [[ $pid -gt 1 ]]; do mine+="$pid "; pid=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status"); done # never who called
  { grep -lsaF -- "REFIT_LAB_HOST=$1/" /proc/[0-9]*/environ || true; grep -lsaF -- "$1/" /proc/[0-9]*/cmdline || true; } 2>/dev/null |
    while read -r file; do pid=${file#/proc/}; pid=${pid%%/*}; [[ $mine = *" $pid "* || ! -d /proc/$pid ]] || echo "$pid"; done | sort -u
}
clear_out() { # FOLDER: until nothing of it is left; what is killed may have started something a moment before
  local pids i
  for ((i = 0; i < 50; i++)); do
    pids=$(tenants "$1"); [[ -n $pids ]] || return 0
    # shellcheck disable=SC2086
    kill -9 $pids 2>/dev/null || true; sleep .02
  done
}

# ---- the fleet ------------------------------------------------------------------------------------------------------------

free() { # PORT N: nothing listens there on the first, the last or any address
  local host
  for host in 127.0.0.1 127.0.1.1 "$2"; do if (exec 3<>"/dev/tcp/$host/$1") 2>/dev/null; then return 1; fi; done
}

configure() { # HOST ADDRESS: keys, folders, config; nothing that is there is made again
  local host=$1 at=$2 own=$dir/sshd/$1 home=$dir/hosts/$1/home user
  [[ -s $own/config ]] && return
  mkdir -p "$own" "$home" "$dir/hosts/$host/var"
  chmod 1777 "$dir/hosts/$host/var" # as /var/lib would be to root: any lab account may make its state folder here
  [[ -s $own/hostkey ]] || ssh-keygen -q -t ed25519 -N '' -C "$host" -f "$own/hostkey"
  # the login shell of fish and csh does not know sh's syntax: no ForceCommand for them
  local force="cd \"\$HOME\" && exec sh -c \"\${SSH_ORIGINAL_COMMAND:-exec sh -l}\""
  {
    printf '%s\n' "ListenAddress $at:$port" "HostKey $own/hostkey" "PidFile $own/pid" "AuthorizedKeysFile $dir/key.pub" \
      "UsePAM no" "StrictModes no" "PasswordAuthentication no" "KbdInteractiveAuthentication no" "PermitRootLogin prohibit-password" \
      "MaxStartups 100" "MaxSessions 100" "UseDNS no" "PrintMotd no" "LogLevel VERBOSE" "Subsystem sftp $sftp" \
      "SetEnv HOME=$home PATH=$host_path REFIT_LAB_HOST=$dir/hosts/$host/" "ForceCommand $force"
    printf '%b' "$penalties"
    for user in $users; do
      printf '%s\n' "Match User $user" "  SetEnv HOME=$home-$user PATH=$host_path REFIT_LAB_HOST=$dir/hosts/$host/"
      case $user in refit-fish | refit-csh) echo "  ForceCommand none" ;; esac
    done
  } >"$own/config"
  for user in $users; do install -d -m 755 -o "$user" "$home-$user"; done
}

up() {
  local n=$1 i reply host last
  [[ $n =~ ^[1-9][0-9]*$ && $n -le 1000 ]] || die "up DIR N: N is 1 to 1000"
  need sshd
  sshd=$(command -v sshd); [[ $sshd = /* ]] || die "no absolute path of sshd"
  sftp=/usr/lib/openssh/sftp-server; [[ -e $sftp ]] || sftp=$cache$sftp
  host_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  root || host_path+=:$cache/usr/bin:$cache/usr/sbin
  penalties= users=
  if root; then
    mkdir -p /run/sshd; chmod 755 /run/sshd
    local user; for user in $lab_users; do if id -u "$user" >/dev/null 2>&1; then users+=" $user"; fi; done
  fi
  # from 9.8 on sshd shuts out an address that fails often, and here every client has the same
  [[ $(ssh -V 2>&1) =~ OpenSSH_([0-9]+)\.([0-9]+) ]] && ((BASH_REMATCH[1] * 100 + BASH_REMATCH[2] >= 908)) && penalties='PerSourcePenalties no\n'
  mkdir -p "$dir/hosts" "$dir/sshd"; chmod 755 "$dir" "$dir/hosts"
  [[ -s $dir/key ]] || ssh-keygen -q -t ed25519 -N '' -C refit-lab -f "$dir/key"
  if [[ -s $dir/port ]]; then
    [[ -z $port || $port = "$(<"$dir/port")" ]] || die "$dir is up on port $(<"$dir/port")"
    port=$(<"$dir/port")
  else
    address "$n"; last=$reply
    if [[ -z $port ]]; then
      for ((i = 0; i < 100; i++)); do port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000)); free "$port" "$last" && break; done
    fi
    free "$port" "$last" || die "port $port is taken"
    echo "$port" >"$dir/port"
  fi
  for ((i = 1; i <= n; i++)); do address "$i"; configure "h$i" "$reply" & ((i % 16)) || wait; done; wait
  for ((i = 1; i <= n; i++)); do launch "h$i" & ((i % 8)) || wait; done; wait
  write_files
  for ((i = 1; i <= n; i++)); do
    address "$i"; local tries=0
    until (exec 3<>"/dev/tcp/$reply/$port") 2>/dev/null; do ((tries++ < 100)) || die "h$i does not answer: $(tail -n 2 "$dir/sshd/h$i/log")"; sleep .05; done
  done
  for user in $users; do
    setpriv --reuid="$user" --clear-groups test -r "$dir/key.pub" || { echo "fleet.sh: note: the lab's accounts cannot reach $dir (a parent folder is closed to them)" >&2; break; }
  done
}

write_files() {
  local i host type key reply
  exec 4>"$dir/known_hosts" 5>"$dir/ssh_config" 6>"$dir/inventory.ini"
  printf '[fleet]\n' >&6
  for ((i = 1; ; i++)); do
    host=h$i; [[ -d $dir/sshd/$host ]] || break
    address "$i"; read -r type key _ <"$dir/sshd/$host/hostkey.pub"
    printf '[%s]:%s %s %s\n' "$reply" "$port" "$type" "$key" >&4
    printf 'Host %s\n  HostName %s\n' "$host" "$reply" >&5
    printf '%s ansible_host=%s host_root=%s refit_state_dir=%s\n' "$host" "$reply" "$dir/hosts/$host" "$dir/hosts/$host/var/refit" >&6
  done
  printf '%s\n' "Host *" "  Port $port" "  User $(id -un)" "  IdentityFile $dir/key" "  IdentitiesOnly yes" "  UserKnownHostsFile $dir/known_hosts" \
    "  GlobalKnownHostsFile none" "  StrictHostKeyChecking yes" "  BatchMode yes" "  ConnectTimeout 5" >&5
  printf '%s\n' "" "[fleet:vars]" "ansible_port=$port" "ansible_user=$(id -un)" "ansible_ssh_private_key_file=$dir/key" "ansible_ssh_common_args='-F $dir/ssh_config'" >&6
  exec 4>&- 5>&- 6>&-
}

down() {
  [[ -d $dir ]] || return 0
  [[ -d $dir/sshd && -d $dir/hosts ]] || die "$dir is no fleet's folder"
  local host pid reply all=() pids
  # all at once: one host after the other would take a second for each twenty
  for host in "$dir"/sshd/*/; do host=${host%/}; host=${host##*/}
    mapfile -t pids < <(sessions "$host"); all+=("${pids[@]}")
    listener "$host" && all+=("$reply")
  done
  ((${#all[@]} == 0)) || kill -9 "${all[@]}" 2>/dev/null || true
  clear_out "$dir/hosts"
  for pid in "${all[@]}"; do while [[ -d /proc/$pid ]] && ! grep -qs '^State:.Z' "/proc/$pid/status"; do sleep .01; done; done
  rm -rf "$dir"
}

users() {
  root || skip "only root can make accounts"
  local user shells=("$@"); need sudo "${shells[@]}"
  for user in refit-deploy refit-ops refit-plain "${shells[@]/#/refit-}"; do
    id -u "$user" >/dev/null 2>&1 && continue
    local shell=/bin/sh; case $user in refit-fish) shell=$(command -v fish) ;; refit-csh) shell=$(command -v csh) ;; esac
    # without PAM sshd refuses a locked account (!); * is no password, and not locked
    useradd --no-create-home --home-dir / --shell "$shell" --password '*' "$user"
  done
  echo refit-ops:ops-secret | chpasswd
  printf '%s\n' 'refit-deploy ALL=(ALL:ALL) NOPASSWD: ALL' 'refit-ops ALL=(ALL:ALL) ALL' >/etc/sudoers.d/refit-lab.new
  chmod 440 /etc/sudoers.d/refit-lab.new; mv /etc/sudoers.d/refit-lab.new /etc/sudoers.d/refit-lab # sudo reads no name with a dot
}
users_down() {
  root || skip "only root can remove accounts"
  local user; rm -f /etc/sudoers.d/refit-lab
  for user in $lab_users; do if id -u "$user" >/dev/null 2>&1; then userdel "$user" >/dev/null; fi; done
}

verb=${1:-help}; shift || true
case $verb in
  up | down | stop | start | kill | noisy)
    dir=${1:-}; [[ -n $dir ]] || die "$verb DIR"; shift
    [[ $verb != up ]] || mkdir -p "$dir"
    if [[ -d $dir ]]; then dir=$(cd "$dir" && pwd -P); fi
    [[ $dir != *[[:space:]\"\'%]* ]] || die "$dir: a folder's name without spaces, quotes and per cent signs, please" ;;
esac
case $verb in
  up)
    [[ $# -ge 1 ]] || die "up DIR N"; n=$1 port=; shift
    while (($#)); do case $1 in --base-port) port=${2:?--base-port P}; shift 2 ;; *) die "up: '$1'?" ;; esac; done
    up "$n" ;;
  down) down ;;
  stop) known "${1:-}"; stop "$@" ;;
  start) known "${1:-}"; sshd=$(command -v sshd) || skip "no sshd"; launch "$1" ;;
  kill) known "${1:-}"; stop "$1" --cut; clear_out "$dir/hosts/$1" ;;
  noisy) known "${1:-}"; printf 'echo "Welcome to %s"\necho "be careful" >&2\n' "$1" >"$dir/hosts/$1/home/.bashrc" ;;
  users) users "$@" ;;
  users-down) users_down ;;
  need) need "$@" ;;
  help | -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" ;;
  *) die "'$verb'? see fleet.sh help" ;;
esac
