# What the service kind does on a host. Set before: releases (the folder of all releases), name, enabled (yes, no or
# empty), limit (seconds). With manager commands the texts are in REFIT_START, REFIT_STOP, REFIT_STATUS, REFIT_PID.
nl='
'
die() { printf '%s\n' "$*" >&2; exit 1; }
nap() { sleep 0.2 2>/dev/null || sleep 1; }
late() { [ "$(date +%s)" -ge "$end" ]; }
begin() { end=$(($(date +%s) + limit)); }

# A process that was started anew must not run an executable that was replaced.
check_exe() {
  [ -n "$1" ] && [ "$1" != 0 ] || return 0
  exe=$(readlink "/proc/$1/exe" 2>/dev/null) || { note="executable not compared: /proc/$1/exe cannot be read"; return 0; }
  case $exe in
    *' (deleted)') die "$name still runs the old executable: process $1 runs ${exe% (deleted)}, which was replaced" ;;
  esac
  real=$(cd -P -- "$releases" 2>/dev/null && pwd -P) || return 0
  case $exe in "$real"/*/*/*) ;; *) return 0 ;; esac
  rest=${exe#"$real"/} of=${rest%%/*} rest=${rest#*/}
  now=$(readlink -- "$real/$of/current") || now=none
  [ "${rest%%/*}" = "$now" ] ||
    die "$name still runs the old executable: process $1 runs release ${rest%%/*} of $of, and $now is current"
}

show() {
  load= active= sub= unit= inv= pid= type= restarts=0 fragment= dropins= stale=
  props=$(systemctl show -p LoadState -p ActiveState -p SubState -p UnitFileState -p InvocationID -p MainPID -p Type \
    -p NRestarts -p ExecMainStartTimestampMonotonic -p FragmentPath -p DropInPaths -p NeedDaemonReload -- "$name" 2>&1) ||
    die "systemctl show: $props"
  while IFS='=' read -r key value <&3; do
    case $key in
      LoadState) load=$value ;;
      ActiveState) active=$value ;;
      SubState) sub=$value ;;
      UnitFileState) unit=$value ;;
      InvocationID | ExecMainStartTimestampMonotonic) inv="$inv $value" ;;
      MainPID) pid=$value ;;
      Type) type=$value ;;
      NRestarts) restarts=$value ;;
      FragmentPath) fragment=$value ;;
      DropInPaths) dropins=$value ;;
      NeedDaemonReload) [ "$value" != yes ] || stale=1 ;;
    esac
  done 3<<EOF
$props
EOF
}

sick() {
  systemctl status --no-pager -l -n 0 -- "$name" >&2 </dev/null
  journalctl -u "$name" -n 20 --no-pager -o cat 2>/dev/null </dev/null | tail -n 20 >&2
  die "service $name: $*"
}

ctl() {
  verb=$1
  o=$(systemctl "$verb" -- "$name" 2>&1 </dev/null) || { printf '%s\n' "$o" >&2; sick "systemctl $verb failed"; }
}

# Before systemd acts on a unit. It knows a changed file by a newer time alone, and behind a link there may be an older
# one now.
reread() {
  for file in "$fragment" $dropins; do [ -L "$file" ] && stale=1; done
  [ -n "$stale" ] || return 0
  o=$(systemctl daemon-reload 2>&1 </dev/null) || die "systemctl daemon-reload failed: $o"
  show
}

# Active, in another invocation than `$1`, and still so a moment later.
await_active() {
  begin
  while :; do
    show
    if [ "$inv" != "$1" ]; then
      case $active in
        active | reloading | refreshing) break ;;
        inactive) [ "$type" = oneshot ] && return 0 ;;
      esac
    fi
    [ "$active" = failed ] && sick "it failed"
    late && sick "not active after $limit s ($active, $sub)"
    nap
  done
  first=$inv count=$restarts
  sleep 1
  show
  case $active in
    active | reloading | refreshing) ;;
    inactive) [ "$type" = oneshot ] || sick "it ended at once" ;;
    *) sick "it did not stay active ($active, $sub)" ;;
  esac
  [ "$inv" = "$first" ] && [ "$restarts" = "$count" ] || sick "it was started again within a second: it does not stay up"
}

look_systemd() {
  command -v systemctl >/dev/null || { echo nosystemd; exit 0; }
  show
  printf 'load %s\nactive %s\nunit %s\npid %s\nstale %s\n' "$load" "$active" "$unit" "$pid" "$stale"
}

enable_systemd() {
  case $enabled/$unit in
    yes/enabled | yes/static | yes/alias | yes/indirect | yes/generated | yes/transient) ;;
    yes/*) reread; ctl enable; did=1 ;;
    no/enabled | no/enabled-runtime) ctl disable; did=1 ;;
  esac
}

apply_systemd() {
  command -v systemctl >/dev/null || die "there is no systemctl on this host; give manager: commands"
  did=0 note=
  show
  [ "$load" = not-found ] && die "there is no unit $name on this host"
  if [ "$load" = masked ] && [ "$1" != stopped ]; then die "unit $name is masked"; fi
  [ -z "$stale" ] || { did=1; reread; }
  enable_systemd
  case $1 in
    started)
      case $active in
        active | reloading | refreshing) ;;
        *) did=1 before=$inv; reread; ctl start; await_active "$before"; check_exe "$pid" ;;
      esac ;;
    stopped)
      case $active in inactive | failed) ;; *)
        did=1
        ctl stop
        begin
        while show; case $active in inactive | failed) false ;; esac; do
          late && sick "not stopped after $limit s ($active, $sub)"
          nap
        done ;;
      esac ;;
    restarted) did=1 before=$inv; reread; ctl restart; await_active "$before"; check_exe "$pid" ;;
    reloaded)
      did=1
      reread
      case $active in
        active | reloading | refreshing) ctl reload; await_active '' ;;
        *) before=$inv; ctl start; await_active "$before"; check_exe "$pid" ;;
      esac ;;
  esac
  printf 'did %s\npid %s\nnote %s\n' "$did" "$pid" "$note"
}

# Runs one of the texts; it and what it starts know nothing of Refit and hold none of its descriptors.
plain='t=$REFIT_TEXT
unset REFIT_TEXT REFIT_START REFIT_STOP REFIT_STATUS REFIT_PID REFIT_STATE REFIT_UPLOADS REFIT_JOB
eval "$t"'
text() { REFIT_TEXT=$1 /bin/sh -c "$plain" </dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; }

find_pid() {
  pid=
  [ -n "$REFIT_PID" ] || return 0
  pid=$(text "$REFIT_PID" 2>/dev/null)
  case $pid in '' | *[!0-9]*) pid= ;; esac
}

alive() { [ -n "$1" ] && [ -d "/proc/$1" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

# By its status; and a main process that ended and that nobody has buried, which `kill -0` finds, does not run.
running() {
  said=$(text "$REFIT_STATUS" 2>&1) || return 1
  find_pid
  [ -z "$pid" ] || alive "$pid"
}

look_commands() {
  if running; then echo 'active active'; else echo 'active inactive'; pid=; fi
  printf 'pid %s\n' "$pid"
}

unwell() {
  [ ! -s "$log" ] || tail -n 20 -- "$log" >&2
  [ -z "$said" ] || printf 'status said: %s\n' "$said" | tail -n 5 >&2
  die "service $name: $*"
}

open_log() {
  log=$REFIT_STATE/services/$name.log
  mkdir -p -- "$REFIT_STATE/services" && (umask 077 && printf '' >"$log") && rm -f -- "$log.rc" || die "cannot write $log"
}

start_commands() {
  open_log
  before=$1
  # In the background: a text that does not return is no reason to hang. Its end is told by a file, for nothing else
  # tells an ended child of this shell from a living one without waiting for it.
  {
    REFIT_TEXT=$REFIT_START setsid /bin/sh -c "$plain" </dev/null >>"$log" 2>&1
    printf '%s\n' $? >"$log.rc"
  } </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
  begin
  # A pid file is written in two steps: empty, it is not the new one yet.
  while ! running || { [ -n "$REFIT_PID" ] && [ -z "$pid" ]; }; do
    if [ -s "$log.rc" ] && read -r rc <"$log.rc" && [ "$rc" != 0 ]; then unwell "start ended with exit status $rc"; fi
    late && unwell "not running after $limit s${REFIT_PID:+ (pid printed ${pid:-no process})}"
    nap
  done
  [ -z "$pid" ] || [ "$pid" != "$before" ] || unwell "process $pid is still the old one"
  first=$pid
  sleep 1
  running || unwell "it ended at once"
  [ "$pid" = "$first" ] || unwell "process $first became $pid within a second: it does not stay up"
  rm -f -- "$log.rc"
  check_exe "$pid"
}

stop_commands() {
  open_log
  old=$pid
  text "$REFIT_STOP" >>"$log" 2>&1
  rc=$?
  begin
  while running || alive "$old"; do
    late && unwell "not stopped after $limit s (stop ended with exit status $rc)"
    nap
  done
}

apply_commands() {
  umask 022
  did=0 note= pid=
  case $1 in
    started) running || { did=1; start_commands ''; } ;;
    stopped)
      if running; then did=1; stop_commands; fi
      pid= ;;
    restarted)
      did=1 old=
      if running; then stop_commands; fi
      start_commands "$old" ;;
  esac
  printf 'did %s\npid %s\nnote %s\n' "$did" "$pid" "$note"
}
