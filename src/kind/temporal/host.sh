# What runs here, as the host itself says it: lines of KEY TAB VALUE, then the configuration.
# Variables from before: config, program, find (a command that prints pids, or empty).
say() { printf '%s\t%s\n' "$1" "$2"; }
version() { # the program is asked, not its name
  timeout=
  command -v timeout >/dev/null 2>&1 && timeout='timeout 5'
  $timeout "$1" --version 2>&1 </dev/null | head -n 1 | tr '\t' ' '
}
if [ -n "$find" ]; then
  pids=$(REFIT_PID=$find && unset find && eval "$REFIT_PID" 2>/dev/null </dev/null)
else
  name=${program##*/}
  name=${name:-temporal-server}
  pids=$(ls -l /proc/[0-9]*/exe 2>/dev/null | awk -v name="$name" '
    { sub(/ \(deleted\)$/, "") }
    $(NF - 1) == "->" { n = split($NF, path, "/"); if (path[n] == name) { split($(NF - 2), proc, "/"); print proc[3] } }')
fi
[ -n "$pids" ] || say none "$(id -un)"
for pid in $pids; do
  case $pid in *[!0-9]*) continue ;; esac
  [ -d "/proc/$pid" ] || continue
  say pid "$pid"
  if exe=$(readlink "/proc/$pid/exe" 2>/dev/null) && [ -n "$exe" ]; then
    say exe "$exe"
    # of the very file that runs, also where another has taken its name
    say version "$(version "/proc/$pid/exe")"
    program=${program:-${exe% (deleted)}}
  else
    say hidden "$(id -un)"
  fi
  say command "$(tr '\0\n\t' '   ' <"/proc/$pid/cmdline" 2>/dev/null)"
  # which configuration it reads: nothing else of its variables, which may hold passwords
  tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | awk '
    /^TEMPORAL_(ROOT|CONFIG_DIR|ENVIRONMENT|AVAILABILITY_ZONE|SERVER_CONFIG_FILE_PATH|SERVICES)=/ { print "variable\t" $0 }'
done
program=${program:-$(command -v temporal-server 2>/dev/null)}
if [ -n "$program" ]; then
  say program "$program"
  if [ -x "$program" ]; then say disk "$(version "$program")"; else say missing "$program"; fi
fi
if [ -n "$config" ]; then
  if text=$(cat -- "$config" 2>&1); then
    say config ''
    printf '%s\n' "$text"
  else
    say unread "$text"
  fi
fi
exit 0
