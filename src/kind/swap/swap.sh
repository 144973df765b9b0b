# What the swap kind does on a host. Set before: releases (the folder of all releases), name, run, stage; for a release
# that is known X (its folder's name) and want (its manifest). A manifest line: sha256 mode owner group kind destination;
# `-` for an owner or a group that is not given; kind is `link` or `unit`.
N=$releases/$name
nl='
'
die() { printf '%s\n' "$*" >&2; exit 1; }

# sha256 of a file into s
sum() { s=$(sha256sum <"$1" 2>/dev/null) && s=${s%% *}; }

# Is there a regular file of this owner, mode and content?
fits() {
  [ -f "$1" ] && [ ! -L "$1" ] || return 1
  set -- "$1" $(stat -c '%a %U %u %G %g' -- "$1")
  [ "$2" = "$mode" ] || return 1
  case $owner in -|"$3"|"$4") ;; *) return 1 ;; esac
  case $group in -|"$5"|"$6") ;; *) return 1 ;; esac
  sum "$1" && [ "$s" = "$sha" ]
}

# A symbolic link put in place by one rename: a reader sees the old one or the new one, and never none.
put_link() {
  rm -rf -- "$1.refit-new"
  ln -s -- "$2" "$1.refit-new" && mv -Tf -- "$1.refit-new" "$1" || {
    rm -f -- "$1.refit-new"
    die "cannot put the link $1 in place (mv needs -T here)"
  }
}

# The same for a copy of a file, with its owner and mode.
put_copy() {
  rm -rf -- "$2.refit-new"
  cp -pL -- "$1" "$2.refit-new" && cmp -s -- "$1" "$2.refit-new" && mv -Tf -- "$2.refit-new" "$2" || {
    rm -f -- "$2.refit-new"
    die "cannot write $2"
  }
}

put_text() {
  rm -f -- "$1.refit-new"
  (umask 077 && printf '%s\n' "$2" >"$1.refit-new") && mv -Tf -- "$1.refit-new" "$1" || die "cannot write $1"
}

is_current() { [ "$(readlink -- "$1" 2>/dev/null)" = "$N/current$1" ]; }

current() { cur=$(readlink -- "$N/current" 2>/dev/null) || cur=; }

# The manifest of a release into m; fails where the release is not complete.
manifest() { [ -f "$N/$1/.manifest" ] && m=$(cat -- "$N/$1/.manifest"); }

# What was staged under a version: its folder's name into X, its manifest into want.
find_staged() {
  X=$(cat -- "$N/staged.$1" 2>/dev/null) && manifest "$X" && want=$m
}

list_staged() {
  l=
  for f in "$N"/staged.*; do
    [ -f "$f" ] && l="$l${l:+, }${f#"$N"/staged.}"
  done
  printf %s "${l:-nothing}"
}

# The destinations of a manifest, one a line, into d.
dests() {
  d=$nl
  while read -r sha mode owner group kind dest <&3; do d=$d$dest$nl; done 3<<EOF
$1
EOF
}

# What this stage of this run replaced: from, to and state (`flipped` or `back`) into rf, rt, rs.
find_record() {
  rf= rt= rs=
  [ -f "$N/replaced" ] || return 1
  while read -r a b f t st <&3; do
    [ "$a $b" = "$run $stage" ] && rf=$f rt=$t rs=$st
  done 3<"$N/replaced"
  [ -n "$rf" ]
}

put_record() {
  r=
  if [ -f "$N/replaced" ]; then
    while read -r a rest <&3; do
      case $a\ $rest in "$run $stage "*) ;; *) r=$r$a\ $rest$nl ;; esac
    done 3<"$N/replaced"
  fi
  put_text "$N/replaced" "$(printf '%s' "$r$run $stage $1 $2 $3" | tail -n 100)"
}

# The nearest existing folder of a path, without symbolic links, into e.
existing() {
  e=$1
  while [ ! -d "$e" ]; do e=${e%/*} e=${e:-/}; done
  e=$(cd -P -- "$e" && pwd -P)
}

# The options of the file system that holds the folder e, into opts, and where it is mounted, into mp.
mounted() {
  mp= opts=
  while read -r _ at _ o _ <&3; do
    case ${e%/}/ in "${at%/}"/*) [ "${#at}" -ge "${#mp}" ] && mp=$at opts=$o ;; esac
  done 3</proc/self/mounts
}

noexec() {
  existing "$releases" && mounted
  case ,$opts, in *,noexec,*) return 0 ;; *) return 1 ;; esac
}

# May this user search this folder? By its mode alone.
searches() {
  set -- "$1" "$2" $(stat -c '%a %u %g' -- "$2")
  bits=000$3 bits=${bits#"${bits%???}"}
  if [ "$4" = "$uid" ]; then bits=${bits%??}
  else case $gids in *" $5 "*) bits=${bits#?} bits=${bits%?} ;; *) bits=${bits#??} ;; esac; fi
  case $bits in [1357]) return 0 ;; *) return 1 ;; esac
}

# Prints every user that the service is known to run as and that cannot reach the releases.
blocked() {
  known=$users
  if [ -d /run/systemd/system ]; then
    u=$(systemctl show -p User -- "$name" 2>/dev/null) && known="$known ${u#User=}"
  fi
  dests "$want"
  for p in /proc/[0-9]*; do
    while read -r dest <&3; do
      [ -n "$dest" ] && [ "$p/exe" -ef "$dest" ] && known="$known $(stat -c %U -- "$p" 2>/dev/null)"
    done 3<<EOF
$d
EOF
  done 2>/dev/null
  existing "$releases"
  me=$(id -u) seen=' '
  for u in $known; do
    case $seen in *" $u "*) continue ;; esac
    seen="$seen$u "
    uid=$(id -u -- "$u" 2>/dev/null) || continue
    [ "$uid" != 0 ] && [ "$uid" != "$me" ] || continue
    gids=" $(id -G -- "$u") " p= rest=${e#/}/
    searches "$u" / || printf 'blocked %s %s\n' "$u" /
    while [ -n "$rest" ]; do
      p=$p/${rest%%/*} rest=${rest#*/}
      [ "$p" = / ] || searches "$u" "$p" || { printf 'blocked %s %s\n' "$u" "$p"; break; }
    done
  done
}

# Prints the files of release X that are not on the host as its manifest says.
unstaged() {
  while read -r sha mode owner group kind dest <&3; do
    fits "$N/$X$dest" || printf 'file %s\n' "$dest"
  done 3<<EOF
$want
EOF
  [ -f "$N/$X/.manifest" ] || printf 'file .manifest\n'
}

# Prints the destinations that do not show release X.
unlinked() {
  while read -r sha mode owner group kind dest <&3; do
    if [ -d "$dest" ]; then printf 'folder %s\n' "$dest"
    elif [ "$kind" = unit ]; then
      if [ -L "$dest" ] || ! fits "$dest"; then printf 'dest %s\n' "$dest"; fi
    else is_current "$dest" || printf 'dest %s\n' "$dest"; fi
  done 3<<EOF
$want
EOF
}

# Runs the text in REFIT_VALIDATE inside release X; what it prints into out, its end into rc.
validate() {
  out=$(cd -- "$N/$X" && REFIT_RELEASE=$N/$X && export REFIT_RELEASE REFIT_VALIDATE &&
    exec /bin/sh -c 'eval "$REFIT_VALIDATE"' </dev/null 2>&1)
  rc=$?
}

must_validate() {
  [ -n "$REFIT_VALIDATE" ] || return 0
  validate
  [ "$rc" = 0 ] && return
  printf '%s\n' "$out" | tail -n 40 >&2
  die "validate: $X does not pass (exit status $rc); nothing was flipped"
}

look_host() {
  printf 'machine %s\n' "$(uname -m)"
  noexec && printf 'noexec %s\n' "$mp"
  df -Pk -- "$e" 2>/dev/null | { read -r _; read -r _ _ _ free _ && printf 'free %s\n' "$free"; }
  blocked
  current
  [ -z "$cur" ] || printf 'current %s\n' "$cur"
}

look_validate() {
  [ -n "$REFIT_VALIDATE" ] || return 0
  validate
  printf 'validate %s\n' "$rc"
  printf '%s\n' "$out" | tail -n 40 | sed 's/^/|/'
}

# The old text of a destination, for a diff.
look_text() {
  [ -f "$1" ] && [ "$(wc -c <"$1")" -le 65536 ] || return 0
  printf 'text %s\n' "$1"
  sed 's/^/|/' <"$1"
  echo
}

folders() {
  umask 022
  mkdir -p -- "$N" && chmod 0755 "$releases" "$N" || die "cannot make $N"
}

# Puts release X on the host, file by file, from the uploads.
stage() {
  folders
  while read -r sha mode owner group kind dest <&3; do
    f=$N/$X$dest
    fits "$f" && continue
    up=$REFIT_UPLOADS/$sha
    [ -f "$up" ] || die "the upload for $dest is not there"
    sum "$up" && [ "$s" = "$sha" ] || die "the upload for $dest has sha256 ${s:-unknown}, not $sha"
    mkdir -p -- "${f%/*}" && rm -rf -- "$f.refit-new" && (umask 077 && cp -- "$up" "$f.refit-new") || die "cannot write $f"
    if [ "$owner" != - ]; then chown -- "$owner" "$f.refit-new" || die "cannot give $dest to user $owner"; fi
    if [ "$group" != - ]; then chgrp -- "$group" "$f.refit-new" || die "cannot give $dest to group $group"; fi
    chmod "$mode" "$f.refit-new" || die "cannot set the mode of $dest"
    sum "$f.refit-new" && [ "$s" = "$sha" ] || die "$f.refit-new was written wrongly (sha256 ${s:-unknown}, not $sha)"
    sync -- "$f.refit-new" 2>/dev/null
    mv -Tf -- "$f.refit-new" "$f" || die "cannot write $f"
    did=1
  done 3<<EOF
$want
EOF
  manifest "$X" && [ "$m" = "$want" ] || { put_text "$N/$X/.manifest" "$want"; did=1; }
  while read -r sha mode owner group kind dest <&3; do rm -f -- "$REFIT_UPLOADS/$sha"; done 3<<EOF
$want
EOF
}

note_staged() {
  [ "$(cat -- "$N/staged.$1" 2>/dev/null)" = "$X" ] || { put_text "$N/staged.$1" "$X"; did=1; }
}

must_be_whole() {
  u=$(unstaged)
  [ -z "$u" ] || die "release $X is not whole on the host any more:$nl$u"
}

# What stands at a destination of X and is not behind `current` becomes a release of its own, together with what is.
adopt() {
  need=$nl
  while read -r sha mode owner group kind dest <&3; do
    [ -d "$dest" ] && die "$dest is a folder"
    [ -e "$dest" ] || continue
    [ -f "$dest" ] || die "$dest is not a regular file (a masked unit, a device)"
    if [ "$kind" = unit ]; then cmp -s -- "$N/current$dest" "$dest" && continue
    else is_current "$dest" && continue; fi
    need=$need$kind\ $dest$nl
  done 3<<EOF
$want
EOF
  [ "$need" != "$nl" ] || return 0
  T=$N/.adopting made=
  rm -rf -- "$T" && mkdir -- "$T" && chmod 0755 "$T" || die "cannot make $T"
  if [ -n "$cur" ] && manifest "$cur"; then
    while read -r sha mode owner group kind dest <&3; do
      case $need in *"$nl$kind $dest$nl"*) continue ;; esac
      mkdir -p -- "$T${dest%/*}" && cp -p -- "$N/$cur$dest" "$T$dest" || die "cannot copy $N/$cur$dest"
      made="$made$sha $mode $owner $group $kind $dest$nl"
    done 3<<EOF
$m
EOF
  fi
  while read -r kind dest <&3; do
    [ -n "$dest" ] || continue
    mkdir -p -- "$T${dest%/*}" && cp -pL -- "$dest" "$T$dest" && sum "$T$dest" || die "cannot copy $dest"
    sync -- "$T$dest" 2>/dev/null
    made="$made$s $(stat -c '%a %u %g' -- "$T$dest") $kind $dest$nl"
  done 3<<EOF
$need
EOF
  put_text "$T/.manifest" "${made%"$nl"}"
  sum "$T/.manifest"
  A=adopted-${s%"${s#????????????}"}
  if [ -d "$N/$A" ]; then rm -rf -- "$T"; else mv -T -- "$T" "$N/$A" || die "cannot make $N/$A"; fi
  put_link "$N/current" "$A"
  cur=$A did=1
  while read -r kind dest <&3; do
    [ "$kind" = link ] || continue
    cmp -s -- "$dest" "$N/$A$dest" || die "$dest changed while it was adopted; nothing was flipped"
    put_link "$dest" "$N/current$dest"
  done 3<<EOF
$need
EOF
}

reload() {
  [ -d /run/systemd/system ] || return 0
  case $1 in */systemd/user/*) systemctl --user daemon-reload ;; *) systemctl daemon-reload ;; esac ||
    die "systemctl daemon-reload failed"
}

# Makes X what the destinations show. `$1` is forward or back: forward, a destination that X does not have any more
# stays as a plain file; back, one that the old release did not have goes away.
activate() {
  folders
  current
  [ "$1" = back ] || adopt
  from=$cur
  dests "$want" && have=$d
  left=
  if [ -n "$cur" ] && [ "$cur" != "$X" ] && manifest "$cur"; then
    while read -r sha mode owner group kind dest <&3; do
      case $have in *"$nl$dest$nl"*) continue ;; esac
      left=$left$kind\ $dest$nl
      [ "$1" = forward ] && [ "$kind" = link ] && is_current "$dest" && [ -f "$dest" ] && {
        put_copy "$dest" "$dest"
        did=1
      }
    done 3<<EOF
$m
EOF
  fi
  if [ "$1" = forward ] && [ -n "$from" ] && [ "$from" != "$X" ]; then
    if find_record && [ "$rs" = flipped ] && [ "$rt" = "$from" ]; then put_record "$rf" "$X" flipped
    else put_record "$from" "$X" flipped; fi
  fi
  [ "$cur" = "$X" ] || { put_link "$N/current" "$X"; did=1; }
  units=
  while read -r sha mode owner group kind dest <&3; do
    [ -d "${dest%/*}/" ] || mkdir -p -- "${dest%/*}" || die "cannot make ${dest%/*}"
    if [ "$kind" = link ]; then
      is_current "$dest" || { put_link "$dest" "$N/current$dest"; did=1; }
      [ "$dest" -ef "$N/$X$dest" ] || die "$dest does not lead to $N/$X$dest"
    elif [ -L "$dest" ] || ! fits "$dest"; then
      put_copy "$N/$X$dest" "$dest"
      fits "$dest" || die "$dest was written wrongly"
      did=1 units=$dest
    fi
  done 3<<EOF
$want
EOF
  if [ "$1" = back ]; then
    while read -r kind dest <&3; do
      [ -n "$dest" ] || continue
      if [ "$kind" = unit ]; then rm -f -- "$dest" && units=$dest
      elif is_current "$dest"; then rm -f -- "$dest"; fi
      did=1
    done 3<<EOF
$left
EOF
  fi
  [ -z "$units" ] || reload "$units"
}

report() { printf 'from %s\nto %s\ndid %s\n' "$from" "$1" "$did"; }
