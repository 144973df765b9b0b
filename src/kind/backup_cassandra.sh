# snapshot KEYSPACE [DATA…]: $partial lists the files of a snapshot of this node
snapshot() {
  keyspace=$1
  shift
  tag=refit-$label-$REFIT_JOB
  said=$(nodetool snapshot -t "$tag" -- "$keyspace" 2>&1 </dev/null) || die "nodetool snapshot failed: $(last "$said")"
  case $said in
  *"$tag"*) ;;
  *) die "nodetool made no snapshot: $(last "$said")" ;;
  esac
  listed=$(nodetool listsnapshots 2>&1 </dev/null) || unfit "nodetool listsnapshots failed: $(last "$listed")"
  tables "$@"
  printf '# snapshot %s\n# keyspace %s\n' "$tag" "$keyspace" >"$partial" || unfit "cannot write $partial"
  total=0 count=0
  while IFS="$tab" read -r table paths; do
    [ -n "$table" ] || continue
    count=$((count + 1))
    table_files
  done <<EOF
$all
EOF
  [ "$count" -gt 0 ] || unfit "the keyspace $keyspace has no table here"
}
# unfit WORDS: what is of no use is not kept
unfit() {
  nodetool clearsnapshot -t "$tag" -- "$keyspace" >/dev/null 2>&1 </dev/null
  die "$1; the snapshot was removed"
}
last() { printf '%s\n' "$1" | grep -v -e '^[[:space:]]*$' -e "^See 'nodetool help" | tail -n 1; }
tab=$(printf '\t') nl='
'
# tables [DATA…]: $all, a line for each table: its name, a tab, its folders with tabs between them
tables() {
  all='' table='' on=''
  if [ $# = 0 ] && found=$(nodetool datapaths -- "$keyspace" 2>/dev/null </dev/null) && [ -n "$found" ]; then
    while IFS= read -r line; do
      text=${line#"${line%%[!"$tab" ]*}"}
      case $text in
      'Table: '*.*) on='' ;; # an index lives in its table's folder
      'Table: '*) table=${text#Table: } on=1 all=$all$nl$table ;;
      /*) [ -z "$on" ] || all=$all$tab$text ;;
      esac
    done <<EOF
$found
EOF
    return 0
  fi
  found=$(nodetool tablestats -- "$keyspace" 2>&1 </dev/null) || unfit "nodetool tablestats failed: $(last "$found")"
  [ $# -gt 0 ] || set -- /var/lib/cassandra/data
  for table in $(printf '%s\n' "$found" | sed -n 's/^[[:space:]]*Table: \([A-Za-z0-9_]*\)$/\1/p'); do
    all=$all$nl$table
    for data; do
      for folder in "${data%/}/$keyspace/$table"-*; do
        [ ! -d "$folder" ] || all=$all$tab$folder
      done
    done
  done
}
# table_files: appends the files of $table, whose folders are $paths; each file that the snapshot's manifest names is there
table_files() {
  whole='' rest=$paths
  while [ -n "$rest" ]; do
    folder=${rest%%"$tab"*}
    case $rest in
    *"$tab"*) rest=${rest#*"$tab"} ;;
    *) rest='' ;;
    esac
    place=$folder/snapshots/$tag
    [ -d "$place" ] || continue
    [ -r "$place" ] || unfit "this account cannot read $place"
    if [ -s "$place/schema.cql" ]; then whole=1; fi
    if [ -f "$place/manifest.json" ]; then
      for file in $(tr ',"[]{}' '\n' <"$place/manifest.json" | grep -e '-Data.db$'); do
        [ -s "$place/$file" ] || unfit "table $table: $file is missing from the snapshot $tag"
      done
    fi
    for file in "$place"/*; do
      [ -f "$file" ] || continue
      size=$(wc -c <"$file") || unfit "cannot read $file"
      total=$((total + size))
      printf '%s %s\n' "$((size))" "$file" >>"$partial" || unfit "cannot write $partial"
    done
  done
  [ -n "$whole" ] || unfit "table $table has no schema.cql in the snapshot $tag (looked in:$tab${paths:-no folder}); name the node's data folders in \`data\`"
  case $listed in
  *"$tag"*" $table "*) ;;
  *) unfit "nodetool listsnapshots does not show table $table in the snapshot $tag" ;;
  esac
}
# clear N KEYSPACE: older snapshots of this name
clear() {
  left=$1 keyspace=$2
  cut -d ' ' -f 2- "$to/$name" | grep '^/' | sed 's|/snapshots/[^/]*/[^/]*$|/snapshots|' | sort -u | while IFS= read -r folder; do
    for one in "$folder/refit-$label"-????????-????-????-????-????????????.????????????????.*; do
      [ ! -d "$one" ] || printf '%s\n' "${one##*/}"
    done
  done | sort -u >"$to/$name.partial"
  # a run's name begins with its time, and so do its snapshots
  old=$(($(wc -l <"$to/$name.partial") - left))
  if [ "$old" -gt 0 ]; then
    head -n "$old" "$to/$name.partial" | while IFS= read -r one; do
      nodetool clearsnapshot -t "$one" -- "$keyspace" >/dev/null 2>&1 </dev/null || printf 'cannot clear the snapshot %s\n' "$one" >&2
    done
  fi
  rm -f -- "$to/$name.partial"
}
