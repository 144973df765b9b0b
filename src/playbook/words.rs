//! Keys that are not Refit's, or not yet, and what to write instead.

use super::load::Level;

/// Keys of Refit's own format that are refused as "known, not built yet".
pub(super) fn later(level: Level) -> &'static [&'static str] {
    match level {
        Level::Playbook => &["handlers"],
        Level::Stage => &["order", "between", "estimate", "no_way_back"],
        Level::Step => &["notify", "include"],
    }
}

/// Where else a key stands, for "belongs to a stage".
pub(super) const LEVELS: [Level; 3] = [Level::Playbook, Level::Stage, Level::Step];

pub(super) const PLAYBOOK: &[&str] = &[
    "name",
    "hosts",
    "vars",
    "vars_files",
    "secrets",
    "databases",
    "environment",
    "requires_environment",
    "become",
    "become_user",
    "become_method",
    "probes",
    "stages",
    "steps",
    "finally",
];

pub(super) const STAGE: &[&str] = &[
    "name",
    "hosts",
    "steps",
    "stages",
    "vars",
    "when",
    "serial",
    "forks",
    "max_fail",
    "become",
    "become_user",
    "become_method",
    "tags",
    "run_once",
    "for_each",
    "as",
    "timeout",
    "rollback",
    "rollback_scope",
    "prepares",
    "lockstep",
    "guard",
    "environment",
];

pub(super) const STEP: &[&str] = &[
    "id",
    "name",
    "when",
    "register",
    "loop",
    "until",
    "retries",
    "delay",
    "timeout",
    "become",
    "become_user",
    "become_method",
    "delegate_to",
    "run_once",
    "tags",
    "reads",
    "changed_when",
    "failed_when",
    "ignore_errors",
    "environment",
    "no_log",
    "vars",
    "verify",
    "idempotent",
    "undo",
];

pub(super) fn known(level: Level) -> &'static [&'static str] {
    match level {
        Level::Playbook => PLAYBOOK,
        Level::Stage => STAGE,
        Level::Step => STEP,
    }
}

/// What to write for a word of Ansible's.
pub(super) fn ansible(level: Level, word: &str) -> Option<String> {
    let word = word.strip_prefix("ansible.builtin.").unwrap_or(word);
    if let Some(source) = word.strip_prefix("with_") {
        let write = match (level, source) {
            (Level::Stage, _) => "write `for_each: \"{{ list }}\"`; the item is `item`, or `as: NAME`",
            (_, "dict") => "write `loop: \"{{ mapping | dict2items }}\"`; the item has `key` and `value`",
            (_, "fileglob") => "write `loop:` with the list of files",
            (_, "nested" | "cartesian") => "write `loop: \"{{ one | product(other) | list }}\"`",
            (_, "sequence") => "write `loop: \"{{ range(1, 6) | list }}\"`",
            (_, "subelements") => "write `loop: \"{{ list | subelements('key') }}\"`",
            (_, "together") => "write `loop: \"{{ one | zip(other) | list }}\"`",
            _ => "write `loop: [a, b]` or `loop: \"{{ list }}\"`",
        };
        return Some(write.to_owned());
    }
    let steps_here = match level {
        Level::Playbook => "write `steps:` (one stage), or `stages:` with `steps:` in each",
        _ => "write `steps:`",
    };
    let write = match (level, word) {
        (Level::Playbook | Level::Stage, "tasks") => steps_here,
        (Level::Playbook | Level::Stage, "pre_tasks") => "write these steps as the first of the `stages:`",
        (Level::Playbook | Level::Stage, "post_tasks") => {
            "write these steps as the last of the `stages:`, or as `finally:` if they must always run"
        }
        (_, "roles" | "import_role" | "include_role") => {
            "Refit has no roles: write the role's tasks as `steps:` and its variables as `vars:` or `vars_files:`"
        }
        (_, "block") => {
            "write a stage: `- name: …` with `steps:`; `when`, `become` and `vars` of a stage hold for its steps"
        }
        (_, "rescue") => "write `rollback:` in the stage: what a host runs that failed",
        (_, "always") => "write `finally:` in the playbook: it runs on success and on failure",
        (_, "gather_facts" | "gather_subset" | "gather_timeout" | "fact_path") => {
            "remove it: Refit runs no fact modules; read what you need by a step with `register:`"
        }
        (_, "max_fail_percentage") => {
            "write `max_fail: 30%` in the stage (it counts unreachable hosts, over the stage)"
        }
        (_, "any_errors_fatal") => "remove it: `max_fail: 0` is the default, and no later stage begins after a failure",
        (_, "ignore_unreachable") => "write `max_fail:` in the stage: an unreachable host counts as failed",
        (_, "strategy") => {
            "remove it: hosts of a stage go at their own pace; `lockstep: true` in the stage makes every step a barrier"
        }
        (_, "throttle") => "write `forks: N` in the stage",
        (Level::Playbook, "vars_prompt") => {
            "write `secrets: { NAME: { prompt: \"Text\" } }` for a secret; give other values by `-e NAME=VALUE`"
        }
        (_, "include_vars") => "write `vars_files: [FILE]` in the playbook",
        (_, "import_playbook") => "run the playbooks one after the other, or write their stages into one",
        (_, "import_tasks" | "include_tasks") => "write the steps here: `include: FILE` is known, not built yet",
        (_, "remote_user") => "write `ansible_user` in the inventory, or `become_user:` here",
        (_, "connection") => "write `ansible_connection` in the inventory",
        (_, "port") => "write `ansible_port` in the inventory",
        (_, "become_flags" | "become_exe") => "write `ansible_become_flags` or `ansible_become_exe` in the inventory",
        (_, "collections" | "module_defaults" | "debugger" | "no_target_syslog") => {
            "remove it: Refit has nothing like it"
        }
        (_, "check_mode") => {
            "remove it: `refit run --check` is for the whole playbook; a step that only reads has `reads: true`"
        }
        (_, "diff") => "remove it: `refit run --diff` is for the whole playbook",
        (_, "force_handlers") => "remove it: a failure loses no handlers, and they are known, not built yet",
        (Level::Stage, "loop") => "write `for_each: \"{{ list }}\"`; the item is `item`, or `as: NAME`",
        (Level::Step, "loop_control") => "remove it: the item is `item`; a stage with `for_each:` names it by `as:`",
        (Level::Step, "listen") => "handlers are known, not built yet",
        (Level::Step, "args") => "write the parameters below the kind: `command: { cmd: …, chdir: … }`",
        (Level::Step, "action") => "write the kind as the key: `copy: { … }`",
        (Level::Step, "local_action") => "write the kind as the key, and `delegate_to: localhost`",
        (Level::Step, "async" | "poll") => {
            "remove it: every step that changes something outlives its connection; `timeout:` limits it"
        }
        (Level::Step, "delegate_facts") => "remove it: a register belongs to the host of the step",
        (Level::Step, "setup") => "remove it: Refit runs no fact modules",
        (Level::Step, "meta") => "remove it: a stage's end is the barrier; to stop, write `fail:` with `when:`",
        (Level::Step, "add_host" | "group_by") => {
            "write the hosts in the inventory: a run's hosts are known before it begins"
        }
        (Level::Step, "raw") => "write `shell:`: Refit needs no Python on the host",
        _ => return None,
    };
    Some(write.to_owned())
}

/// Names that no variable, register or secret may take.
pub(super) const RESERVED: &[&str] = &[
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "lookup",
    "omit",
    "playbook_dir",
    "query",
    "range",
    "run",
    "vars",
];

/// Words of the template language.
const LANGUAGE: &[&str] = &[
    "and",
    "else",
    "elif",
    "false",
    "False",
    "for",
    "if",
    "import",
    "in",
    "include",
    "is",
    "loop",
    "macro",
    "none",
    "None",
    "not",
    "or",
    "recursive",
    "self",
    "set",
    "super",
    "true",
    "True",
];

/// Why a name cannot be that of a variable; None where it can.
pub(super) fn bad_name(name: &str) -> Option<String> {
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Some("a variable's name has letters, digits and `_`, and does not begin with a digit".to_owned());
    }
    if LANGUAGE.contains(&name) {
        return Some(format!("`{name}` is a word of the template language"));
    }
    if RESERVED.contains(&name) {
        return Some(format!("`{name}` is a variable of Refit's own"));
    }
    None
}
