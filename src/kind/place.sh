die() {
  printf '%s\n' "$1" >&2
  exit 1
}
# look PATH [-L]: kind mode uid gid size user group
look() {
  kind=absent mode='' uid='' gid='' size='' user='' group=''
  if [ -h "$1" ] && [ -z "${2-}" ]; then
    kind=link
  elif [ -f "$1" ]; then
    kind=file
  elif [ -d "$1" ]; then
    kind=directory
  elif [ -e "$1" ]; then
    kind=other
  else
    return 0
  fi
  seen=$(stat ${2-} -c '%a %u %g %s %U:%G' -- "$1") || die "cannot look at $1"
  mode=${seen%% *} seen=${seen#* }
  uid=${seen%% *} seen=${seen#* }
  gid=${seen%% *} seen=${seen#* }
  size=${seen%% *} seen=${seen#* }
  user=${seen%%:*} group=${seen#*:}
}
show() {
  printf '%s=%s\n' kind "$kind" mode "$mode" uid "$uid" gid "$gid" size "$size" user "$user" group "$group"
}
sum() {
  sum=$(sha256sum <"$1") || sum=
  sum=${sum%% *}
}
# own PATH OWNER GROUP, after look
own() {
  o='' g=''
  [ -z "$2" ] || [ "$2" = "$user" ] || [ "$2" = "$uid" ] || o=$2
  [ -z "$3" ] || [ "$3" = "$group" ] || [ "$3" = "$gid" ] || g=$3
  [ -n "$o$g" ] || return 0
  chown -h -- "$o${g:+:$g}" "$1" || return 1
  changed=1 owned=1
}
# attributes PATH MODE OWNER GROUP: of what is there
attributes() {
  owned=
  own "$1" "$3" "$4" || die "cannot change the owner of $1"
  [ -n "$2" ] && [ "$kind" != link ] || return 0
  if [ -n "$owned" ] || [ "$mode" != "$2" ]; then
    chmod -- "$2" "$1" || die "cannot change the mode of $1"
    changed=1
  fi
}
rename() {
  mv -fT -- "$1" "$2" 2>/dev/null && return 0
  [ ! -d "$2" ] && mv -f -- "$1" "$2"
}
folder_of() {
  folder=${1%/*}
  [ -n "$folder" ] || folder=/
}
# follow PATH: path, through a link
follow() {
  path=$1
  [ -h "$1" ] || return 0
  folder_of "$1"
  look "$folder" -L
  case $mode in
  1??[2367]) die "$1 is a link in a folder that everybody may write to: not followed" ;;
  esac
  path=$(readlink -f -- "$1") && [ -n "$path" ] || die "$1 is a link to nowhere"
}
