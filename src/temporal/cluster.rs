//! A cluster as each of its frontends sees it: rings, shards, versions, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::grpc::Peer;
use super::messages::{ClusterInfo, Status};

/// What a server does, in the order in which a process starts and a table shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    Frontend,
    InternalFrontend,
    History,
    Matching,
    Worker,
}

impl Role {
    pub(crate) const ALL: [Role; 5] = [
        Role::Frontend,
        Role::InternalFrontend,
        Role::History,
        Role::Matching,
        Role::Worker,
    ];

    /// As rings, configuration and `--service` spell it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Role::Frontend => "frontend",
            Role::InternalFrontend => "internal-frontend",
            Role::History => "history",
            Role::Matching => "matching",
            Role::Worker => "worker",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.word() == word)
    }

    /// The number that stands in `cluster_membership`.
    pub(crate) fn of_number(number: i64) -> Option<Role> {
        match number {
            1 => Some(Role::Frontend),
            2 => Some(Role::History),
            3 => Some(Role::Matching),
            4 => Some(Role::Worker),
            5 => Some(Role::InternalFrontend),
            _ => None,
        }
    }

    /// What a process does that names no service.
    pub(crate) fn default_for_a_process() -> BTreeSet<Role> {
        [Role::Frontend, Role::History, Role::Matching, Role::Worker].into()
    }
}

/// Members by role, each `IP:PORT` of its gRPC.
pub(crate) type Rings = BTreeMap<Role, BTreeSet<String>>;

/// What one frontend says. A part that it could not give holds why.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Compiled into this very process; answered from memory.
    pub(crate) version: Result<String, String>,
    /// gRPC health of WorkflowService; from memory too.
    pub(crate) serving: Result<Status, String>,
    /// Not to be had without the database.
    pub(crate) rings: Result<Rings, String>,
}

/// A frontend and what it says; Err: it cannot be reached.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The host's name in the inventory.
    pub(crate) host: String,
    pub(crate) view: Result<View, String>,
}

const FRONTEND_SERVICE: &str = "temporal.api.workflowservice.v1.WorkflowService";

/// Asks one frontend all that it knows of itself and of the rings.
pub(crate) async fn view(peer: &mut Peer) -> View {
    let version = peer.temporal_version().await.map_err(|error| error.to_string());
    let serving = peer.health(FRONTEND_SERVICE).await.map_err(|error| error.to_string());
    let rings = match peer.describe_cluster().await {
        Ok(described) => {
            let rings = described.membership_info.unwrap_or_default().rings;
            Ok(rings
                .into_iter()
                .filter_map(|ring| {
                    let members = ring.members.into_iter().map(|member| member.identity).collect();
                    Some((Role::parse(&ring.role)?, members))
                })
                .collect())
        }
        Err(error) => Err(error.to_string()),
    };
    View {
        version,
        serving,
        rings,
    }
}

/// Something that is waited for, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) well: bool,
    /// In a person's words.
    pub(crate) seen: String,
}

impl Judged {
    fn new(well: bool, seen: impl Into<String>) -> Judged {
        let seen = seen.into();
        Judged { well, seen }
    }

    pub(crate) fn bad(seen: impl Into<String>) -> Judged {
        Judged::new(false, seen)
    }
}

/// `h1, h2: text; h3: other text`: hosts that say the same stand together.
fn by_answer<'a>(answers: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (host, answer) in answers {
        match groups.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, hosts)) => hosts.push(host),
            None => groups.push((answer, vec![host])),
        }
    }
    let groups = groups
        .iter()
        .map(|(answer, hosts)| format!("{}: {answer}", hosts.join(", ")));
    groups.collect::<Vec<_>>().join("; ")
}

/// Does every frontend answer, serve, and reach its database? SERVING and a version come from memory; only the rings say
/// that the database is there.
pub(crate) fn frontends(seen: &[Seen]) -> Judged {
    let bad: Vec<(&str, String)> = seen
        .iter()
        .filter_map(|one| {
            let why = match &one.view {
                Err(why) => why.clone(),
                Ok(View { rings: Err(why), .. }) => format!("DescribeCluster {why}"),
                Ok(View { serving: Err(why), .. }) => format!("health {why}"),
                Ok(View {
                    serving: Ok(status), ..
                }) if *status != Status::Serving => status.word().to_owned(),
                Ok(_) => return None,
            };
            Some((one.host.as_str(), why))
        })
        .collect();
    match bad.is_empty() {
        true => Judged::new(true, "every frontend serves"),
        false => Judged::new(false, by_answer(bad)),
    }
}

/// Does every frontend see as many members of each role as there should be, and all of them the same ones?
pub(crate) fn rings_complete(seen: &[Seen], expected: &BTreeMap<Role, usize>) -> Judged {
    let known: Vec<Option<&Rings>> = seen
        .iter()
        .map(|one| one.view.as_ref().ok()?.rings.as_ref().ok())
        .collect();
    let full = |rings: &Rings| {
        expected
            .iter()
            .all(|(role, wanted)| rings.get(role).map_or(0, BTreeSet::len) == *wanted)
    };
    let Some(first) = known.iter().copied().flatten().next() else {
        return Judged::bad("rings: no answer");
    };
    if known.iter().all(|rings| *rings == Some(first) && full(first)) {
        let counts: Vec<String> = expected
            .iter()
            .map(|(role, n)| format!("{} {n}", role.word()))
            .collect();
        return Judged::new(true, format!("rings complete: {}", counts.join(", ")));
    }
    let answers = seen.iter().zip(known).map(|(one, rings)| {
        let text = match rings {
            None => "no answer".to_owned(),
            Some(rings) => {
                let parts: Vec<String> = expected
                    .iter()
                    .map(|(role, wanted)| {
                        let members = rings.get(role).map_or(0, BTreeSet::len);
                        format!("{} {members} of {wanted}", role.word())
                    })
                    .collect();
                let others = match rings != first && text_counts(rings) == text_counts(first) {
                    true => " (other members)",
                    false => "",
                };
                format!("{}{others}", parts.join(", "))
            }
        };
        (one.host.as_str(), text)
    });
    Judged::bad(format!("rings: {}", by_answer(answers)))
}

fn text_counts(rings: &Rings) -> Vec<(Role, usize)> {
    rings.iter().map(|(role, members)| (*role, members.len())).collect()
}

/// Hosts whose frontend sees nobody but itself in some ring where others should be.
pub(crate) fn alone(seen: &[Seen], expected: &BTreeMap<Role, usize>) -> Vec<String> {
    let lonely = |view: &View| {
        let Ok(rings) = &view.rings else { return false };
        expected
            .iter()
            .any(|(role, wanted)| *wanted > 1 && rings.get(role).is_some_and(|members| members.len() == 1))
    };
    seen.iter()
        .filter(|one| one.view.as_ref().is_ok_and(lonely))
        .map(|one| one.host.clone())
        .collect()
}

/// Does every frontend report a version that `fits`?
pub(crate) fn versions(seen: &[Seen], fits: impl Fn(&str) -> bool) -> Judged {
    let mut well = !seen.is_empty();
    let mut answers = Vec::new();
    for one in seen {
        let text = match &one.view {
            Ok(View {
                version: Ok(version), ..
            }) => {
                well &= fits(version);
                version.clone()
            }
            Ok(View { version: Err(why), .. }) | Err(why) => {
                well = false;
                why.clone()
            }
        };
        answers.push((one.host.as_str(), text));
    }
    if well {
        return Judged::new(true, format!("version {}", answers[0].1));
    }
    Judged::bad(format!("versions: {}", by_answer(answers)))
}

/// Who owns which shards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shards {
    /// How many there are: fixed when the cluster was made.
    pub(crate) configured: usize,
    /// By the address of a history host; Err: it did not answer.
    pub(crate) owned: BTreeMap<String, Result<Vec<i32>, String>>,
}

impl Shards {
    /// Owned by anybody, each as often as it is owned.
    pub(crate) fn sum(&self) -> usize {
        self.owned.values().flatten().map(Vec::len).sum()
    }

    pub(crate) fn judge(&self) -> Judged {
        let lost: Vec<(&str, String)> = self
            .owned
            .iter()
            .filter_map(|(host, owned)| Some((host.as_str(), owned.as_ref().err()?.clone())))
            .collect();
        let mut owners: BTreeMap<i32, usize> = BTreeMap::new();
        for shard in self.owned.values().flatten().flatten() {
            *owners.entry(*shard).or_default() += 1;
        }
        let known = i32::try_from(self.configured).unwrap_or(i32::MAX);
        let missing: Vec<i32> = (1..=known).filter(|shard| !owners.contains_key(shard)).collect();
        let twice: Vec<i32> = owners
            .iter()
            .filter(|(_, n)| **n > 1)
            .map(|(shard, _)| *shard)
            .collect();
        let strange = owners.keys().filter(|shard| !(1..=known).contains(*shard)).count();
        let mut text = format!("shards: {} of {} owned", self.sum(), self.configured);
        for (shards, what) in [(&missing, "owned by nobody"), (&twice, "owned twice")] {
            if !shards.is_empty() {
                let _ = write!(text, ", {what}: {}", few(shards));
            }
        }
        if !lost.is_empty() {
            let _ = write!(
                text,
                ", {}",
                by_answer(lost.iter().map(|(host, why)| (*host, why.clone())))
            );
        }
        let well = self.configured > 0 && missing.is_empty() && twice.is_empty() && strange == 0 && lost.is_empty();
        Judged::new(well, text)
    }
}

/// `1, 2, 3, 4, 5 and 27 more`.
fn few(numbers: &[i32]) -> String {
    let shown: Vec<String> = numbers.iter().take(5).map(i32::to_string).collect();
    match numbers.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Asks each history host, through one frontend, which shards it owns: all hosts that any frontend sees, so that a host
/// in a ring of its own is asked as well.
pub(crate) async fn shards(peer: &mut Peer, seen: &[Seen]) -> Result<(Shards, ClusterInfo), String> {
    let info = peer.cluster_info().await.map_err(|error| error.to_string())?;
    let views = seen.iter().filter_map(|one| one.view.as_ref().ok());
    let history: BTreeSet<String> = views
        .filter_map(|view| view.rings.as_ref().ok()?.get(&Role::History))
        .flatten()
        .cloned()
        .collect();
    let mut shards = Shards {
        configured: usize::try_from(info.history_shard_count).unwrap_or(0),
        owned: BTreeMap::new(),
    };
    for host in history {
        let owned = peer.shards_of(&host).await.map_err(|error| error.to_string());
        shards.owned.insert(host, owned);
    }
    Ok((shards, info))
}

/// For one call.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);
