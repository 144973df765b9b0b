# ensure_folder PATH MODE OWNER GROUP: and those above it that are not there
ensure_folder() {
  [ -d "$1" ] && return 0
  folder_of "$1"
  ensure_folder "$folder" "$2" "$3" "$4"
  [ ! -e "$1" ] && [ ! -h "$1" ] || die "$1 is there and is no folder"
  mkdir -- "$1" || die "cannot make the folder $1"
  changed=1
  look "$1"
  attributes "$1" "$2" "$3" "$4"
}
# differing PATH MODE OWNER GROUP: something at or below it has another owner or mode
differing() {
  [ -n "$2$3$4" ] || return 1
  found=$(
    set -- "$1" "$2" "$3" "$4" "$1" -name ''
    [ -z "$2" ] || set -- "$@" -o '(' '!' -type l '!' -perm "$2" ')'
    [ -z "$3" ] || set -- "$@" -o '!' -user "$3"
    [ -z "$4" ] || set -- "$@" -o '!' -group "$4"
    shift 4
    top=$1
    shift
    find "$top" '(' "$@" ')' -print 2>/dev/null | head -n 1
  )
  [ -n "$found" ]
}
# deep PATH MODE OWNER GROUP
deep() {
  differing "$@" || return 0
  [ -z "$3$4" ] || chown -hR -- "$3${4:+:$4}" "$1" || die "cannot change the owner below $1"
  [ -z "$2" ] || find "$1" '!' -type l -exec chmod -- "$2" '{}' + || die "cannot change the mode below $1"
  changed=1
}
# points PATH: target, where it is a link
points() {
  target=
  [ ! -h "$1" ] || target=$(readlink -- "$1")
}
# link TARGET PATH FORCE
link() {
  points "$2"
  look "$2"
  [ "$kind" != link ] || [ "$target" != "$1" ] || return 0
  folder_of "$2"
  [ -d "$folder" ] || die "the folder $folder is not there"
  case $kind in
  file) [ "$3" = yes ] || die "$2 is a file: not replaced by a link without force" ;;
  directory)
    [ "$3" = yes ] || die "$2 is a folder: not replaced by a link without force"
    rmdir -- "$2" || die "$2 is a folder that is not empty"
    ;;
  other) die "$2 is neither file nor folder nor link" ;;
  esac
  case $1 in
  /*) real=$1 ;;
  *) real=${folder%/}/$1 ;;
  esac
  [ "$3" = yes ] || [ -e "$real" ] || die "$1, which the link is to point at, is not there; force makes it all the same"
  temporary=${folder%/}/.refit-${REFIT_JOB:-$$}
  ln -s -- "$1" "$temporary" || die "cannot make a link in $folder"
  rename "$temporary" "$2" && changed=1 && return 0
  # Where `mv` knows no -T, a link to a folder has to go first.
  if [ -h "$2" ]; then rm -f -- "$2" && mv -- "$temporary" "$2" && changed=1 && return 0; fi
  rm -f -- "$temporary"
  die "cannot rename to $2"
}
# hard TARGET PATH FORCE
hard() {
  [ -f "$1" ] || die "$1, which the link is to be, is no file"
  one=$(stat -L -c '%d:%i' -- "$1")
  look "$2"
  two=
  [ "$kind" = absent ] || two=$(stat -c '%d:%i' -- "$2")
  [ "$one" != "$two" ] || return 0
  case $kind in
  file | link) [ "$3" = yes ] || die "$2 is there: not replaced by a hard link without force" ;;
  absent) ;;
  *) die "$2 is neither file nor link" ;;
  esac
  folder_of "$2"
  temporary=${folder%/}/.refit-${REFIT_JOB:-$$}
  ln -- "$1" "$temporary" || die "cannot make a hard link in $folder"
  rename "$temporary" "$2" || { rm -f -- "$temporary"; die "cannot rename to $2"; }
  changed=1
}
