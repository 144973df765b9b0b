use std::path::PathBuf;

use clap::Args;

use super::common::{Here, show};
use crate::id::HostName;
use crate::inventory::Inventory;
use crate::yaml::Diagnostic;

/// Show an inventory as `ansible-inventory` would
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["list", "host", "hosts"]))]
pub(super) struct InventoryVerb {
    /// An inventory: a file, a folder, or `a,b,`
    #[arg(short = 'i', long = "inventory", value_name = "SRC")]
    inventory: Vec<String>,
    /// The folder whose group_vars and host_vars count as the playbook's
    #[arg(long, value_name = "DIR")]
    playbook_dir: Option<PathBuf>,
    /// Everything, as JSON
    #[arg(long)]
    list: bool,
    /// The variables of one host, as JSON
    #[arg(long, value_name = "H")]
    host: Option<String>,
    /// The hosts of a pattern, one a line
    #[arg(long, value_name = "PATTERN")]
    hosts: Option<String>,
}

pub(super) fn inventory(verb: InventoryVerb) -> u8 {
    let here = match Here::find() {
        Ok(here) => here,
        Err(code) => return code,
    };
    let sources = match here.sources(&verb.inventory) {
        Ok(sources) => sources,
        Err(code) => return code,
    };
    let inventory = match Inventory::load(&sources, &here.folder, verb.playbook_dir.as_deref()) {
        Ok((inventory, notes)) => {
            show(&notes, None);
            inventory
        }
        Err(e) => {
            show(&e, None);
            return 1;
        }
    };
    if let Some(pattern) = &verb.hosts {
        return match inventory.select(pattern) {
            Ok(hosts) => {
                hosts.iter().for_each(|host| super::say(host.as_str()));
                0
            }
            Err(e) => {
                show(&crate::plan::pattern_error("--hosts", pattern, &e).into(), None);
                1
            }
        };
    }
    if let Some(name) = &verb.host {
        let known: Option<HostName> = inventory.hosts().find(|host| host.as_str() == name).cloned();
        let Some(host) = known else {
            let mut error = Diagnostic::general(format!("no host `{}` in this inventory", name.escape_debug()));
            let names: Vec<&str> = inventory.hosts().map(HostName::as_str).collect();
            if let Some(near) = crate::yaml::did_you_mean(name, names) {
                error = error.help(format!("did you mean `{near}`?"));
            }
            show(&error.into(), None);
            return 1;
        };
        super::say(&pretty(&inventory.host_json(&host)));
        return 0;
    }
    super::say(&pretty(&inventory.list_json()));
    0
}

/// Four blanks a level, as Ansible prints it.
fn pretty(value: &serde_json::Value) -> String {
    use serde::Serialize;
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => value.to_string(),
    }
}
