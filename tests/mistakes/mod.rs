//! Whatever is wrong in a file or on the command line: exit 1, every mistake with its place, and no host touched.

mod files;
mod hosts;
mod playbook;
mod together;
mod values;

use std::fs;

use crate::fleet::Fleet;

/// `refit run play.yml -i SOURCE …` over two hosts in a folder of its own; what stands on stderr.
#[track_caller]
fn refused(fleet: &Fleet, playbook: &str, files: &[(&str, &str)], source: &str, more: &[&str]) -> String {
    let folder = fleet.path("play");
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    for (name, text) in files
        .iter()
        .chain(&[("play.yml", playbook)])
        .filter(|(_, text)| !text.is_empty())
    {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.trim_start_matches('\n')).unwrap();
    }
    let mark = fleet.mark();
    let mut args = vec!["run", "play.yml", "-i", source];
    args.extend(more);
    let mut command = fleet.command(&args);
    let output = command.env("REFIT_TEST_TOKEN", "canary-7f3").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{said}");
    let touched = fleet.newer_than(&mark);
    assert!(touched.is_empty(), "touched: {touched:?}");
    assert!(!folder.join("pwned").exists());
    assert!(!said.contains("canary-7f3"));
    said
}

const FLEET: &str = "../lab/inventory.ini";
