//! The shell text that runs on hosts: POSIX, for dash, bash, busybox and ksh.

/// What a host is; printed before the first marker of the frame, a key and a value a line. Sets `um` (the login's
/// umask) and `boot` for later frames.
pub(crate) const FACTS: &str = r#"um=$(umask); umask 077; cd /
boot=; { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
printf 'boot %s\nhome %s\nxdg %s\nid %s\nuname %s\nclock %s\n' "$boot" "$HOME" "$XDG_STATE_HOME" "$(id)" "$(uname -srm)" "$(date +%s)"
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
[ -e "$S/id" ] && cat "$S/id"; mark id
[ -e "$S/owner" ] && cat "$S/owner"; mark owner
if [ -e "$S/owner" ] && owner_read && alive "$opid" "$ostart" "$oboot"; then printf yes; else printf no; fi; mark live
[ -e "$S/fence" ] && cat "$S/fence"; mark fence
"#;

/// Functions that every later frame may use. `N` is the frame's nonce.
pub(crate) const FUNCTIONS: &str = r#"mark() { printf '\n\036%s %s\n' "$N" "$*"; }
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
  [ -d "$S" ] || (umask 022; mkdir -p "$S") 2>&1 || { mark lock bad; return; }
  chmod 0711 "$S" 2>&1 && mkdir -p "$S/jobs" "$S/uploads" 2>&1 && { printf '' >>"$S/run.lock"; } 2>&1 || { mark lock bad; return; }
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
      i=0; until "$FLOCK" -n 9 9>&9; do i=$((i+1)); [ $i -lt 40 ] || { cat "$S/owner"; release; mark lock held; return; }; sleep 0.1; done
    else cat "$S/owner"; release; mark lock held; return; fi
  fi
  fenced && return
  was=none
  if [ -e "$S/owner" ]; then
    owner_read || { [ "$take" = 1 ] || { release; echo "the owner in $S/owner cannot be read; --takeover replaces it"; mark lock bad; return; }; }
    if [ "$orun" != "$run" ]; then
      [ "$take" = 1 ] || { cat "$S/owner"; release; mark lock held; return; }
      was=other
    fi
  fi
  [ $was = none ] || cat "$S/owner"
  mark lock was
  stat_of $$
  { if [ "$ep" -gt "$fence" ]; then printf '%s end\n' "$ep" >"$S/fence.new" && sync "$S/fence.new" && mv -f "$S/fence.new" "$S/fence"; fi &&
    put "$S/owner" "$run $ep $(date +%s) $$ $ppg $pstart $boot $inst end
$ctl" &&
    { if [ -s "$S/id" ] && [ -s "$S/jobs/.id" ]; then :; else put "$S/id" "$newid" && put "$S/jobs/.id" "$newid"; fi; } &&
    bad= && for u in $others; do
      { [ -d "$S/u-$u" ] || mkdir "$S/u-$u"; } && chown "$u" "$S/u-$u" && chmod 0700 "$S/u-$u" &&
      printf '%s end\n' "$ep" >"$S/fence-$u.new" && chown "$u" "$S/fence-$u.new" && mv -f "$S/fence-$u.new" "$S/fence-$u" || { bad=1; break; }
    done && [ -z "$bad" ]; } 2>&1 || { release; mark lock bad; return; }
  A=$S FENCE=$S/fence locked=1
  cat "$S/id"; mark lock ok
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

/// Jobs: `start`, `status`, `report`, `ack`. Variables: A, FENCE, ep, boot, FLOCK, SETSID, um.
///
/// The supervisor takes the job's lock, claims it by making `started`, runs the script, writes `result`. Whoever makes
/// `started` runs the script, and nobody makes it twice. It opens the outputs before it claims, so that a full disk
/// refuses before anything ran. The payload inherits the lock: result missing + lock held + supervisor gone = orphan.
/// (`7>&7`: ksh hides descriptors above 2 from what it starts unless they are named.)
pub(crate) const JOBS: &str = r#"TIMEOUT=$(command -v timeout)
sup='_J=$1 _b=$2 _e=$3 _F=$4 _f=$5 _u=$6 _s=$7 _l=$8 _T=$9
umask 077
exec 7>>"$_J.lock" || exit 74
_i=0; until "$_F" -n 7 7>&7; do [ -e "$_J.started" ] && exit 0; _i=$((_i+1)); [ $_i -lt 30 ] || exit 73; sleep 0.1; done
[ -e "$_J.started" ] && exit 0
_x=; { read -r _x _w <"$_f"; } 2>/dev/null; [ "$_x" = "$_e" ] || exit 76
{ read -r _w <"/proc/$$/stat"; } 2>/dev/null || exit 74
set -- ${_w##*) }; _st=${20}
exec 5>"$_J.out" 6>"$_J.err" || exit 75
set -C
{ printf "%s %s %s %s end\n" "$_b" $$ "$_st" "$_e" >"$_J.started"; } 2>/dev/null || { rm -f "$_J.started"; exit 75; }
set +C
cd /; umask "$_u"; _late=-
if [ -n "$_l" ]; then
  read -r _t0 _w </proc/uptime
  "$_T" -k 5 "$_l" /bin/sh "$_s" </dev/null >&5 2>&6 5>&- 6>&- 7>&7; _rc=$?
  read -r _t1 _w </proc/uptime
  case $_rc in 124|137) [ $((${_t1%.*}-${_t0%.*}+1)) -ge "$_l" ] && _late=late _rc=124;; esac
else
  /bin/sh "$_s" </dev/null >&5 2>&6 5>&- 6>&- 7>&7; _rc=$?
fi
umask 077
put() { { printf "%s %s %s end\n" $_rc "$_b" "$_late" >"$_J.result"; } 2>/dev/null; }
put || { rm -f "$_s"; put; }
exit 0'
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
report() { # index, job id; the state is in st
  case $st in DONE*)
    [ -s "$J.out" ] && head -c "$CAP" "$J.out" 2>/dev/null; mark out
    [ -s "$J.err" ] && head -c "$CAP" "$J.err" 2>/dev/null; mark err;;
  esac
  mark job "$1" "$st"
}
fresh() { # job id: true when it may be started
  st=; [ -n "$locked" ] || { st="REFUSED the lock is not held"; return 1; }
  J=$A/jobs/$1; [ -e "$J.started" ] && { status "$1"; return 1; }
  f= e=; { read -r f e <"$FENCE"; } 2>/dev/null; [ "$f" = "$ep" ] || { st="FENCED $f"; return 1; }
}
ran() { # exit code of the supervisor, job id
  status "$2"; [ "$st" = NONE ] || return 0
  case $1 in
    1|2|74|75|126|127) st="REFUSED no space, a read-only file system, or no right to write: $A/jobs";;
    73) st="REFUSED the lock of the job is held by something else";;
    76) st=FENCED;;
    *) st="CORRUPT the record of the job has vanished (exit $1)";;
  esac
}
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
