//! The shell text that runs on hosts: POSIX, for dash, bash, busybox and ksh.

/// What a host is; printed before the first marker of the frame, a key and a value a line. Sets `um` (the login's
/// umask), `boot` and `clock` for later frames.
pub(crate) const FACTS: &str = r#"um=$(umask); umask 077; cd /
boot=; { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
clock=$(date +%s)
printf 'boot %s\nhome %s\nxdg %s\nid %s\nuname %s\nclock %s\n' "$boot" "$HOME" "$XDG_STATE_HOME" "$(id)" "$(uname -srm)" "$clock"
[ -d /run/systemd/system ] && echo 'systemd yes'
for p in flock setsid timeout sha256sum sync stat df tar gzip zstd curl wget openssl sqlite3 psql pg_dump pg_restore mysql mysqldump systemctl readlink mktemp base64 cmp diff od nc; do
  command -v "$p" >/dev/null 2>&1 && echo "program $p"
done
[ -r /etc/os-release ] && while IFS='=' read -r k v; do case $k in ID|VERSION_ID) printf '%s %s\n' "$k" "$v";; esac; done </etc/os-release
"#;

/// Reads everything that preflight wants about the state folder `$S` and changes nothing. Sections: place, parents,
/// df, mounts, id, owner, live, fence.
pub(crate) const LOOK: &str = r#"d=$S; rest=
while [ ! -d "$d" ]; do rest=/${d##*/}$rest; d=${d%/*}; [ -n "$d" ] || d=/; done
machine=; { read -r machine </etc/machine-id; } 2>/dev/null
printf '%s\n%s\n%s\n%s\n%s' "$(cd -P "$d" 2>/dev/null && pwd -P)" "$rest" "$machine" "$boot" "$S"; mark place
a=$d; list=; while :; do list="$list $a"; [ "$a" = / ] && break; a=${a%/*}; [ -n "$a" ] || a=/; done
ls -ldn $list 2>&1; mark parents
df -Pk "$d" 2>&1; mark df
cat /proc/self/mounts 2>/dev/null || cat /etc/mtab 2>/dev/null; mark mounts
[ -w "$d" ] || printf no; mark writable
[ -e "$S/id" ] && lines "$S/id"; mark id
[ -e "$S/owner" ] && lines "$S/owner"; mark owner
if [ -e "$S/owner" ] && owner_read && alive "$opid" "$ostart" "$oboot"; then printf yes; else printf no; fi; mark live
[ -e "$S/fence" ] && lines "$S/fence"; mark fence
"#;

/// Functions that every later frame may use. `N` is the frame's nonce.
pub(crate) const FUNCTIONS: &str = r#"mark() { printf '\n\036%s %s\n' "$N" "$*"; }
lines() { # file of a few lines: without a process
  while IFS= read -r line; do printf '%s\n' "$line"; done <"$1"; printf %s "$line"
}
owner_read() { # owner: run epoch since pid pgid start boot instance end, then the controller
  orun= oep= osince= opid= opg= ostart= oboot= oinst= oend= octl=
  { { read -r orun oep osince opid opg ostart oboot oinst oend; read -r octl; } <"$S/owner"; } 2>/dev/null
  [ "$oend" = end ]
}
stat_of() { # pid: sets pst (state), ppg (process group), pstart (start time)
  pst= ppg= pstart=
  { read -r pline <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${pline##*) }
  pst=$1 ppg=$3 pstart=${20}
}
alive() { # pid start boot
  [ "$3" = "$boot" ] && stat_of "$1" && [ "$pstart" = "$2" ] && [ "$pst" != Z ]
}
"#;

/// The host lock, for the account that holds it. Sections: words `lock ok`, `lock held`, `lock stale FENCE` or
/// `lock bad`, the body of which is the trouble or the owner.
/// Variables: S run ep inst ctl take newid others (uids).
pub(crate) const LOCK: &str = r#"release() { { exec 9>&-; } 2>/dev/null; }
put() { # file, text: whole or not at all
  printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"
}
fenced() { # true when this epoch may not go on; the answer is printed
  fence=0 fend=end
  if [ -e "$S/fence" ]; then fence= fend=; { read -r fence fend <"$S/fence"; } 2>/dev/null; fi
  case $fence in ''|*[!0-9]*) fend=; esac
  if [ "$fend" != end ]; then release; echo "the fence $S/fence cannot be read"; mark lock bad
  elif [ "$ep" -lt "$fence" ]; then release; mark lock stale "$fence"
  else return 1; fi
}
take_lock() {
  locked=
  case $boot in '') echo "cannot read /proc/sys/kernel/random/boot_id"; mark lock bad; return;; esac
  FLOCK=$(command -v flock) && SETSID=$(command -v setsid) || { echo "the host lacks flock or setsid (util-linux)"; mark lock bad; return; }
  if [ -d "$S" ]; then chmod 0711 "$S" 2>&1; else (umask 022; mkdir -p -m 0711 "$S") 2>&1; fi || { mark lock bad; return; }
  { [ -d "$S/jobs" ] && [ -d "$S/uploads" ] || mkdir -p "$S/jobs" "$S/uploads" 2>&1; } && { printf '' >>"$S/run.lock"; } 2>&1 || { mark lock bad; return; }
  exec 9>>"$S/run.lock"
  fenced && return
  got=; i=0
  if "$FLOCK" -n 9 9>&9; then got=1; else
    # Who takes it writes its name a moment later.
    until owner_read; do
      if "$FLOCK" -n 9 9>&9; then got=1; break; fi
      i=$((i+1)); [ $i -lt 20 ] || { release; echo "the lock $S/run.lock is held, and no owner is written"; mark lock bad; return; }; sleep 0.1
    done
  fi
  if [ -z "$got" ]; then
    if [ "$take" = 1 ] || { [ "$orun" = "$run" ] && { [ "$oinst" = "$inst" ] || [ "$ep" -gt "$oep" ]; }; }; then
      # Its shell ends, and with it what it was about to start; jobs are in sessions of their own and live on.
      if alive "$opid" "$ostart" "$oboot" && [ "$ppg" = "$opg" ]; then kill -s TERM -- "-$opg"; fi
      i=0; until "$FLOCK" -n 9 9>&9; do i=$((i+1)); [ $i -lt 40 ] || { lines "$S/owner"; release; mark lock held; return; }; sleep 0.1; done
    else lines "$S/owner"; release; mark lock held; return; fi
  fi
  fenced && return
  was=none
  if [ -e "$S/owner" ]; then
    owner_read || { [ "$take" = 1 ] || { release; echo "the owner in $S/owner cannot be read; --takeover replaces it"; mark lock bad; return; }; }
    if [ "$orun" != "$run" ]; then
      [ "$take" = 1 ] || { lines "$S/owner"; release; mark lock held; return; }
      was=other
    fi
  fi
  [ $was = none ] || lines "$S/owner"
  mark lock was
  stat_of $$
  { if [ "$ep" -gt "$fence" ]; then printf '%s end\n' "$ep" >"$S/fence.new" && sync "$S/fence.new" && mv -f "$S/fence.new" "$S/fence"; fi &&
    put "$S/owner" "$run $ep $clock $$ $ppg $pstart $boot $inst end
$ctl" &&
    { if [ -s "$S/id" ] && [ -s "$S/jobs/.id" ]; then :; else printf '%s\n' "$newid" >"$S/id" && printf '%s\n' "$newid" >"$S/jobs/.id"; fi; } &&
    bad= && for u in $others; do
      { [ -d "$S/u-$u" ] || mkdir "$S/u-$u"; } && chown "$u" "$S/u-$u" && chmod 0700 "$S/u-$u" &&
      printf '%s end\n' "$ep" >"$S/fence-$u.new" && chown "$u" "$S/fence-$u.new" && mv -f "$S/fence-$u.new" "$S/fence-$u" || { bad=1; break; }
    done && [ -z "$bad" ]; } 2>&1 || { release; mark lock bad; return; }
  A=$S FENCE=$S/fence locked=1
  lines "$S/id"; mark lock ok
}
take_lock
"#;

/// Gives the lock back, if it is still ours.
pub(crate) const UNLOCK: &str = r#"if owner_read && [ "$orun" = "$run" ] && [ "$oinst" = "$inst" ]; then rm -f "$S/owner" 2>&1; fi
{ exec 9>&-; } 2>/dev/null; locked=
mark unlocked
"#;

/// What an account other than the holder does once per shell. Variables: A (its folder), FENCE, ep.
pub(crate) const JOIN: &str = r#"join() {
  locked=
  FLOCK=$(command -v flock) && SETSID=$(command -v setsid) || { echo "the host lacks flock or setsid (util-linux)"; mark lock bad; return; }
  mkdir -p "$A/jobs" "$A/uploads" 2>&1 || { mark lock bad; return; }
  fence= fend=; { read -r fence fend <"$FENCE"; } 2>/dev/null
  [ "$fend" = end ] || { echo "the fence $FENCE cannot be read"; mark lock bad; return; }
  [ "$fence" = "$ep" ] || { mark lock stale "$fence"; return; }
  locked=1; mark lock ok
}
join
"#;

/// Jobs: `relay`, `status`, `report`, `ack`. Variables: A, FENCE, ep, boot, FLOCK, SETSID, um.
pub(crate) const JOBS: &str = r#"TIMEOUT=$(command -v timeout)
done_() { rc= rboot= rlate= rend=; { read -r rc rboot rlate rend <"$J.result"; } 2>/dev/null && [ "$rend" = end ]; }
status() { # job id: sets st
  J=$A/jobs/$1 sboot= spid= sstart= sep= send=
  if done_; then st="DONE $rc $rlate"; return; fi
  if [ ! -e "$J.started" ] && [ ! -e "$J.result" ]; then
    if [ ! -d "$A/jobs" ] || [ ! -x "$A/jobs" ]; then st="CORRUPT the folder $A/jobs is gone or cannot be read"; return; fi
    st=NONE; return
  fi
  [ -r "$J.started" ] || { st="CORRUPT $J.started cannot be read"; return; }
  { read -r sboot spid sstart sep send <"$J.started"; } 2>/dev/null
  held=
  if [ -e "$J.lock" ]; then
    "$FLOCK" -n -s "$J.lock" true 2>/dev/null; case $? in 0) ;; 1) held=1;; *) st="CORRUPT $J.lock cannot be opened"; return;; esac
  fi
  if done_; then st="DONE $rc $rlate"; return; fi
  if [ -n "$held" ]; then
    if [ "$send" != end ] || alive "$spid" "$sstart" "$sboot"; then st=RUNNING
    elif done_; then st="DONE $rc $rlate"; else st=ORPHAN; fi
    return
  fi
  if [ "$send" != end ]; then
    { read -r sboot spid sstart sep send <"$J.started"; } 2>/dev/null
    [ "$send" = end ] || { st="CORRUPT the claim $J.started is unfinished (full disk?)"; return; }
  fi
  if [ -e "$J.result" ]; then st="CORRUPT the result $J.result is unfinished (full disk?)"
  elif [ "$sboot" = "$boot" ]; then st=INTERRUPTED; else st="INTERRUPTED reboot"; fi
}
report() { # index, job id, brief; the state is in st
  case $st in DONE*)
    [ -s "$J.out" ] && show "$J.out" "$3"; mark out
    [ -s "$J.err" ] && show "$J.err"; mark err;;
  esac
  mark job "$1" "$st"
}
show() { # file, brief: what our own scripts print is a few lines, which cost no process
  [ -n "$2" ] || { head -c "$CAP" "$1" 2>/dev/null; return; }
  lines "$1"
}
relay() { # index of the first job, then id and brief of each: what the supervisor says of them. False: no more is started
  n=$1; shift
  read -r code go || { st="REFUSED no process can be started"; mark job "$n" "$st"; return 1; }
  while [ $# -gt 0 ]; do
    code= go=; read -r code go
    status "$1"
    # Who was killed lets go of the pipe before it is seen to be dead.
    i=0; while [ -z "$go$code" ] && [ "$st" = RUNNING ] && [ $i -lt 20 ]; do sleep 0.1; status "$1"; i=$((i+1)); done
    [ "$st" != NONE ] || refused "$code"
    report "$n" "$1" "${2#-}"
    [ "$go" = go ] || return 1
    n=$((n+1)); shift 2
  done
}
refused() { # why the supervisor did not begin
  case $code in
    75) st="REFUSED no space, a read-only file system, or no right to write: $A/jobs";;
    73) st="REFUSED the lock of the job is held by something else";;
    74) st="REFUSED the host lacks timeout (coreutils), which a time limit needs";;
    76) st=FENCED;;
    *) st="CORRUPT the record of the job has vanished";;
  esac
}
"#;

/// The supervisor of a frame: a shell in a session of its own that reads this, then a `job` a line, and says `CODE go` or
/// `CODE stop` of each. It dies of the first word that nobody hears, so that nothing begins after the connection has gone.
///
/// For each job it takes the job's lock, claims it by making `started`, runs the script, writes `result`. Whoever makes
/// `started` runs the script, and nobody makes it twice. It opens the outputs before it claims, so that a full disk
/// refuses before anything ran. The payload inherits the lock: result missing + lock held + supervisor gone = orphan.
/// (`7>&7`: ksh hides descriptors above 2 from what it starts unless they are named.)
/// Arguments: state folder, boot id, epoch, fence, flock, timeout, umask, a word for the scripts' names.
pub(crate) const SUPERVISOR: &str = r#"_A=$1 _b=$2 _e=$3 _f=$4 _F=$5 _T=$6 _u=$7 _g=$8
umask 077; cd /
{ read -r _w <"/proc/$$/stat"; } 2>/dev/null || exit
set -- ${_w##*) }; _st=${20}
say() { printf "%s\n" "$*" 2>/dev/null || exit 1; [ "$2" = go ] || exit 0; }
accept() { # exit code, those that go on
  case " $2 " in "  "|*" $1 "*) say 0 go;; *) say 0 stop;; esac
}
claimed() { # by an earlier frame
  [ -e "$_J.started" ] || return 1
  _rc= _w=; { read -r _rc _w <"$_J.result"; } 2>/dev/null
  case $_w in *end) accept "$_rc" "$1";; *) say 0 stop;; esac
}
file() { # upload, its text
  { printf %s "$2" >"$_A/uploads/$1"; } 2>/dev/null || say 75 stop
}
job() { # id, exit codes that go on, time limit, brief, exports, script
  _J=$_A/jobs/$1 _s=$_A/jobs/$1.script-$_g
  claimed "$2" && return
  [ -z "$3" ] || [ -n "$_T" ] || say 74 stop
  { printf "" >>"$_J.lock" && printf %s "$6" >"$_s"; } 2>/dev/null || { rm -f "$_s"; say 75 stop; }
  exec 7>>"$_J.lock"
  _i=0; until "$_F" -n 7 7>&7 2>/dev/null; do claimed "$2" && return; _i=$((_i+1)); [ $_i -lt 30 ] || say 73 stop; sleep 0.1; done
  claimed "$2" && return
  _x=; { read -r _x _w <"$_f"; } 2>/dev/null; [ "$_x" = "$_e" ] || say 76 stop
  { printf "" >"$_J.out" && printf "" >"$_J.err"; } 2>/dev/null || say 75 stop
  exec 5>"$_J.out" 6>"$_J.err"
  set -C
  { printf "%s %s %s %s end\n" "$_b" $$ "$_st" "$_e" >"$_J.started"; } 2>/dev/null || { rm -f "$_J.started"; say 75 stop; }
  set +C
  _late=- _x=$3
  if [ -n "$3" ]; then
    read -r _t0 _w </proc/uptime
    ( set -- "$5" "$_T" -k 5 "$3" /bin/sh "$_s"; umask "$_u"; eval "$1"; shift; exec "$@" 7>&7 ) </dev/null >&5 2>&6 5>&- 6>&- 7>&7; _rc=$?
    read -r _t1 _w </proc/uptime
    case $_rc in 124|137) [ $((${_t1%.*}-${_t0%.*}+1)) -ge "$_x" ] && _late=late _rc=124;; esac
  elif [ -n "$4" ]; then
    ( set -- "$5" "$6"; umask "$_u"; eval "$1"; eval "$2" ) </dev/null >&5 2>&6 5>&- 6>&- 7>&7; _rc=$?
  else
    ( set -- "$5" /bin/sh "$_s"; umask "$_u"; eval "$1"; shift; exec "$@" 7>&7 ) </dev/null >&5 2>&6 5>&- 6>&- 7>&7; _rc=$?
  fi
  put || { rm -f "$_s"; put; } || say 0 stop
  exec 5>&- 6>&- 7>&-
  accept "$_rc" "$2"
}
put() { { printf "%s %s %s end\n" $_rc "$_b" "$_late" >"$_J.result"; } 2>/dev/null; }
say 0 go
"#;

/// Frees what is known to the journal; the claim and the result stay, so that nothing runs again. One job's files join
/// the list `$@`; `FREE` removes them.
pub(crate) const ACK: &str = r#"done_ && set -- "$@" "$J.out" "$J.err" "$J.lock" "$J".script-*"#;
pub(crate) const FREE: &str = r#"[ $# = 0 ] || rm -f -- "$@"; set --"#;

/// Waits for the end of a job, some seconds at most, with pauses that grow. `$1` job, `$2` seconds.
pub(crate) const WAIT: &str = r#"wait_for() {
  J=$A/jobs/$1
  i=0; while [ $i -lt "$2" ]; do
    done_ && break
    if [ -e "$J.lock" ] && ! "$FLOCK" -n -s "$J.lock" true; then :; else break; fi
    case $i in 0) sleep 0.2; i=1;; 1) sleep 0.8; i=2;; *) sleep 1; i=$((i+1));; esac
  done
  status "$1"
}
"#;
