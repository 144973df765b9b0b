#!/usr/bin/env bash
# bench.sh [ROUNDS]: what Refit costs beside a plain loop of `ssh host sh`, in one run, as ratios. Nothing passes or fails by a time.
#
# 10 sshd hosts on loopback. The floor sends, as one framed text a host and all hosts at once, the very scripts that Refit ran there (taken
# from its job records) with the files they need. Cold: processes, connections and all. Warm: the connection is there.
# Printed: the best of ROUNDS (5), and two ratios: of the best, and the median over the rounds, each against the floor of its own
# round, since what else the machine does changes between rounds. $REFIT is the program to use (else a release build), $REFIT_BENCH the folder (target/bench),
# $HOSTS how many hosts. Exit 77: cannot run here.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5} n=${HOSTS:-10} dir=${REFIT_BENCH:-$PWD/target/bench} fleet=$PWD/tests/lab/fleet.sh
$fleet need sshd
command -v jq >/dev/null || { echo "bench: cannot run here: jq is missing" >&2; exit 77; }
if [[ -z ${REFIT:-} ]]; then cargo build --locked --release --bin refit; REFIT=${CARGO_TARGET_DIR:-$PWD/target}/release/refit; fi
[[ $REFIT = /* ]] || REFIT=$PWD/$REFIT
$fleet down "$dir/fleet"; rm -rf "$dir"; mkdir -p "$dir/play"
dir=$(cd "$dir" && pwd -P)
trap '$fleet down "$dir/fleet"' EXIT
$fleet up "$dir/fleet" "$n"
export HOME=$dir/home XDG_STATE_HOME=$dir/state; mkdir -p "$HOME"
hosts=(); for ((i = 1; i <= n; i++)); do hosts+=("h$i"); done

# ---- twenty mixed steps ------------------------------------------------------------------------------------------------------

cd "$dir/play"
printf 'worker_threads = 4\nlisten = 0.0.0.0:8080\n' >app.conf
printf '# %s\n{%% for n in range(20) %%}\npeer.{{ n }} = {{ inventory_hostname }}-{{ n }}\n{%% endfor %%}\n' '{{ inventory_hostname }}' >peers.j2
printf 'host = {{ inventory_hostname }}\naddress = {{ ansible_host }}\n' >host.j2
steps() {
  cat <<'YAML'
name: Twenty mixed steps
hosts: fleet
vars: { d: "{{ host_root }}/bench" }
stages:
  - name: Mixed
    steps:
      - file: { path: "{{ d }}", state: directory, mode: "0755" }
      - file: { path: "{{ d }}/log", state: directory, mode: "0750" }
      - copy: { src: app.conf, dest: "{{ d }}/app.conf", mode: "0644" }
      - copy: { content: "motd of {{ inventory_hostname }}\n\n", dest: "{{ d }}/motd", mode: "0640" }
      - template: { src: peers.j2, dest: "{{ d }}/peers", mode: "0644" }
      - template: { src: host.j2, dest: "{{ d }}/host", mode: "0600" }
      - command: { cmd: "touch {{ d }}/c1", creates: "{{ d }}/c1" }
      - command: { argv: [cp, "{{ d }}/app.conf", "{{ d }}/c2"], creates: "{{ d }}/c2" }
      - shell: { cmd: "echo $HOME >{{ d }}/s1", creates: "{{ d }}/s1" }
      - shell: { cmd: "sort {{ d }}/peers | head -n 3 >{{ d }}/s2", creates: "{{ d }}/s2" }
      - debug: { msg: "half of it on {{ inventory_hostname }}" }
      - file: { path: "{{ d }}/current", state: link, src: "{{ d }}/app.conf" }
      - file: { path: "{{ d }}/c1", mode: "0600" }
      - stat: { path: "{{ d }}/app.conf" }
        register: conf
      - debug: { msg: "{{ conf.stat.size }} bytes" }
      - shell: { cmd: "wc -c <{{ d }}/app.conf >{{ d }}/s3", creates: "{{ d }}/s3" }
      - command: { cmd: "mkdir {{ d }}/c3", creates: "{{ d }}/c3" }
      - copy: { content: "size={{ conf.stat.size }}\n\n", dest: "{{ d }}/size" }
      - shell: { cmd: "date >{{ d }}/s4", creates: "{{ d }}/s4" }
      - file: { path: "{{ d }}/never", state: absent }
YAML
}
steps >mixed.yml
{ steps; printf '%s\n' '      - shell: cp -p "$REFIT_STATE"/jobs/*.script-* {{ d }}/scripts/' | sed '1i\      - file: { path: "{{ d }}/scripts", state: directory }'; } >record.yml

now() { local t=${EPOCHREALTIME/./}; reply=$((t / 1000)); }
refit() { "$REFIT" run -i "$dir/fleet/inventory.ini" "$@" </dev/null >"$dir/out" 2>&1 || { tail -n 30 "$dir/out" >&2; exit 1; }; }
clean() { local h; for h in "${hosts[@]}"; do rm -rf "$dir/fleet/hosts/$h"/bench "$dir/fleet/hosts/$h"/var/refit; done; }

# ---- the floor ---------------------------------------------------------------------------------------------------------------

frames() { # what Refit ran on each host, as one framed text
  local h f sum dest
  refit record.yml
  for h in "${hosts[@]}"; do
    local d=$dir/fleet/hosts/$h/bench frame=$dir/frame.$h index=0 list
    {
      echo "umask 077; export REFIT_STATE=$d/.state REFIT_UPLOADS=$d/.state/uploads; mkdir -p \"\$REFIT_UPLOADS\" $d/.state/jobs"
      for dest in app.conf motd peers host size; do
        sum=$(sha256sum <"$d/$dest"); sum=${sum%% *}
        printf "cat >\"\$REFIT_UPLOADS/%s\" <<'E%s'\n" "$sum" "$sum"; cat "$d/$dest"; echo "E$sum"
      done
      # The order in which they were written is that of the steps.
      list=$(ls -tr "$d"/scripts/*)
      for f in $list; do
        [[ $f != "$(tail -n 1 <<<"$list")" ]] || continue # the recording itself
        printf '( umask 022; cd /; eval %s ) </dev/null; printf "\\n\\036FRAME rc %s %%d\\n" $?\n' "$(quoted "$f")" "$index"; index=$((index + 1))
      done
      echo "stat -c '%a %u %g %s' $d/app.conf; echo 'END OF FRAME'"
    } >"$frame"
  done
}
quoted() { printf "'"; sed "s/'/'\\\\''/g" "$1"; printf "'"; }
bad() { if grep -al 'FRAME rc [0-9]* [1-9]' "$dir"/answer.* >/dev/null; then echo "bench: a step of the floor failed" >&2; grep -ah -B3 'FRAME rc [0-9]* [1-9]' "$dir"/answer.* | head >&2; exit 1; fi; }
floor_cold() {
  local h pids=()
  for h in "${hosts[@]}"; do ssh -F "$dir/fleet/ssh_config" "$h" sh <"$dir/frame.$h" >"$dir/answer.$h" 2>"$dir/errors.$h" & pids+=($!); done
  wait "${pids[@]}"
}
declare -A to from pid
floor_open() {
  local h fd line
  for h in "${hosts[@]}"; do
    mkfifo "$dir/in.$h" "$dir/back.$h"
    ssh -F "$dir/fleet/ssh_config" "$h" sh <"$dir/in.$h" >"$dir/back.$h" 2>/dev/null & pid[$h]=$!
    exec {fd}>"$dir/in.$h"; to[$h]=$fd
    exec {fd}<"$dir/back.$h"; from[$h]=$fd
    echo 'echo END OF FRAME' >&"${to[$h]}"; while read -r line <&"${from[$h]}"; do [[ $line != 'END OF FRAME' ]] || break; done
  done
}
floor_warm() {
  local h pids=()
  for h in "${hosts[@]}"; do cat "$dir/frame.$h" >&"${to[$h]}"; done
  for h in "${hosts[@]}"; do sed '/^END OF FRAME$/q' <&"${from[$h]}" >"$dir/answer.$h" & pids+=($!); done
  wait "${pids[@]}"
}
floor_close() { local h fd; for h in "${hosts[@]}"; do fd=${to[$h]}; exec {fd}>&-; fd=${from[$h]}; exec {fd}<&-; rm -f "$dir/in.$h" "$dir/back.$h"; done; wait; }

# ---- measuring ---------------------------------------------------------------------------------------------------------------

declare -A best all
keep() { all[$1]+=" $2"; [[ -n ${best[$1]:-} && ${best[$1]} -le $2 ]] || best[$1]=$2; }
timed() { local name=$1 begun; shift; now; begun=$reply; "$@"; now; keep "$name" $((reply - begun)); }
# the stage alone: from its beginning to its end in the events of a run
stage() { # NAME
  local ms; ms=$(jq -rs 'def ms: (sub("\\.[0-9]+Z$"; "Z") | fromdate) * 1000 + (capture("\\.(?<f>[0-9]+)Z$").f | .[0:3] | tonumber);
    (map(select(.event == "stage_ended"))[0].at | ms) - (map(select(.event == "stage_began"))[0].at | ms) | floor' "$dir/out")
  keep "$1" "$ms"
}
changed() { jq -rs 'map(select(.event == "unit_ended" and .outcome == "changed")) | length' "$dir/out"; }

clean; frames
for ((round = 0; round < rounds; round++)); do
  clean; timed floor_cold floor_cold; bad
  timed floor_cold_again floor_cold; bad
  clean; floor_open; timed floor_warm floor_warm; bad; timed floor_warm_again floor_warm; bad; floor_close
  clean; timed cold refit mixed.yml --output json; stage stage_cold; c=$(changed)
  timed second refit mixed.yml --output json; stage stage_second; s=$(changed)
  timed check refit mixed.yml --check --output json; stage stage_check
done
[[ $c -gt 0 && $s = 0 ]] || { echo "bench: the first run changed $c units, the second $s" >&2; exit 1; }

ratio() {
  awk -v a="${best[$1]}" -v b="${best[$2]}" -v as="${all[$1]}" -v bs="${all[$2]}" 'BEGIN {
    n = split(as, x, " "); split(bs, y, " ")
    for (i = 1; i <= n; i++) { r = x[i] / (y[i] ? y[i] : 1); for (j = i; j > 1 && z[j - 1] > r; j--) z[j] = z[j - 1]; z[j] = r }
    printf "%5.2f, median %5.2f", a / (b ? b : 1), n % 2 ? z[(n + 1) / 2] : (z[n / 2] + z[n / 2 + 1]) / 2 }'
}
row() { printf '  %-58s %6d ms' "$1" "${best[$2]}"; [[ -z ${3:-} ]] || printf '  %s  %s' "$(ratio "$2" "$3")" "$4"; echo; }
echo "20 mixed steps on $n hosts, $c changes; best of $rounds; load $(cut -d' ' -f1 /proc/loadavg) on $(nproc) cores"
row "floor, cold: ssh host sh, one frame" floor_cold
row "floor, warm" floor_warm
row "floor, cold, everything done already" floor_cold_again
row "floor, warm, everything done already" floor_warm_again
row "refit run, first: cold, with durability" cold floor_cold "of the floor, cold (target 1.5)"
row "  its stage: warm, with durability" stage_cold floor_warm "of the floor, warm (target 2)"
row "refit run, second: cold, no job, so without durability" second floor_cold_again "of the floor, cold, everything done (target 1.15)"
row "  its stage" stage_second floor_warm_again "of the floor, warm, everything done"
row "refit run --check, everything done" check floor_cold_again "of the floor, cold, everything done"
row "  its stage" stage_check
row "second run against check mode" second check "(target 1.2)"

# ---- many hosts --------------------------------------------------------------------------------------------------------------

many() { # HOSTS GROUPS
  local g i=0 per=$(($1 / $2))
  for ((g = 1; g <= $2; g++)); do
    printf '[group%d]\n' "$g"; for ((j = 0; j < per; j++, i++)); do printf 'node%05d ansible_host=10.%d.%d.%d rack=%d\n' "$i" $((i >> 16)) $(((i >> 8) & 255)) $((i & 255)) $((i % 40)); done
    printf '[group%d:vars]\nport=%d\nrole=app\n' "$g" $((8000 + g))
  done
  printf '[fleet:children]\n'; for ((g = 1; g <= $2; g++)); do echo "group$g"; done
  printf '[fleet:vars]\nhost_root=/srv/x\n'
}
many 10000 100 >ten-thousand.ini; many 1000 10 >thousand.ini
for ((round = 0; round < rounds; round++)); do
  timed list "$REFIT" inventory -i ten-thousand.ini --list >"$dir/list.json"
  timed lint "$REFIT" lint -i thousand.ini mixed.yml >"$dir/out"
done
[[ $(jq '._meta.hostvars | length' "$dir/list.json") = 10000 ]] || { echo "bench: not 10,000 hosts in the list" >&2; exit 1; }
row "refit inventory --list, 10,000 hosts in 100 groups" list
row "refit lint, 20 steps on 1,000 hosts" lint
