count=0 any=0 temporary='' cut=$(umask)
trap 'status=$?; [ -z "$temporary" ] || rm -f -- "$temporary"; sent; exit $status' 0
trap 'exit 129' 1
trap 'exit 130' 2
trap 'exit 143' 15
# put SHA256 DEST MODE OWNER GROUP FORCE NEW: NEW is the mode of a new file, by default what the umask leaves
put() {
  changed=0 count=$((count + 1))
  look "$2"
  case $kind in
  directory) die "$2 is a folder" ;;
  other) die "$2 is no plain file" ;;
  link) [ ! -d "$2" ] || die "$2 is a link to a folder" ;;
  esac
  if [ "$kind" != absent ] && [ "$6" = no ]; then
    return 0
  fi
  sum=
  [ "$kind" != file ] || sum "$2"
  if [ "$sum" = "$1" ]; then
    attributes "$2" "$3" "$4" "$5"
  else
    folder_of "$2"
    [ -d "$folder" ] || die "the folder $folder is not there"
    if [ "$kind" = file ]; then
      new=$mode keep_owner=$uid keep_group=$gid
    else
      new=${7:-$(printf '%o' $((0666 & ~cut)))} keep_owner='' keep_group=''
    fi
    temporary=${folder%/}/.refit-${REFIT_JOB:-$$}-$count
    (umask 077 && set -C && cat <"$REFIT_UPLOADS/$1" >"$temporary") || die "cannot write to the folder $folder"
    sum "$temporary"
    [ "$sum" = "$1" ] || die "$2 arrived with another checksum: $sum"
    look "$temporary"
    own "$temporary" "$4" "$5" || die "cannot change the owner of $2"
    [ -n "$4" ] || own "$temporary" "$keep_owner" '' 2>/dev/null
    [ -n "$5" ] || own "$temporary" '' "$keep_group" 2>/dev/null
    chmod -- "${3:-$new}" "$temporary" || die "cannot change the mode of $2"
    validate "$temporary"
    rename "$temporary" "$2" || die "cannot rename to $2"
    temporary='' changed=1
  fi
  [ "$changed" = 0 ] || any=1
}
# folder PATH MODE
folder() {
  [ -d "$1" ] && return 0
  mkdir -p -- "$1" || die "cannot make the folder $1"
  [ -z "$2" ] || chmod -- "$2" "$1" || die "cannot change the mode of $1"
  any=1
}
