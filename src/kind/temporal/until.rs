//! The wait: until the cluster is as it should be, and stays so.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::ask;
use super::members::Members;
use crate::kind::wait::{Looks, Seen};
use crate::kind::{BoxFuture, Reading};
use crate::temporal::catalog::Catalog;
use crate::temporal::release::Release;
use crate::temporal::{Judged, alone, frontends, rings_complete, versions};

/// One that came through counts this long: a wait of many samples does not start a workflow for each.
const CANARY_COUNTS: Duration = Duration::from_secs(10);

pub(super) struct Until {
    pub(super) members: Members,
    pub(super) rings: bool,
    pub(super) shards: bool,
    /// What was asked for, and what its binary says of itself.
    pub(super) version: Option<(String, String)>,
    /// A namespace.
    pub(super) canary: Option<String>,
    /// Hosts whose frontend was alone at the last look.
    pub(super) alone: Mutex<Vec<String>>,
    pub(super) sang: Mutex<Option<Instant>>,
}

/// What the binary of a version says of itself.
pub(super) fn reported(catalog: &Catalog, version: &str) -> String {
    match Release::parse(version) {
        Some(release) => catalog.reported(release).to_string(),
        None => version.trim().trim_start_matches('v').to_owned(),
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Vec::new();
        all.extend(
            self.version
                .as_ref()
                .map(|(wanted, says)| match wanted.trim_start_matches('v') == says {
                    true => format!("version {says}"),
                    false => format!("version {wanted} (which says {says})"),
                }),
        );
        all.extend(self.rings.then(|| "complete rings".to_owned()));
        all.extend(self.shards.then(|| "all shards owned once".to_owned()));
        all.extend(
            self.canary
                .as_ref()
                .map(|namespace| format!("a workflow through `{namespace}`")),
        );
        write!(f, "temporal: {}", all.join(", "))
    }
}

impl Until {
    async fn judge(&self, host: &dyn Reading, limit: Duration) -> Judged {
        let (seen, mut peers) = ask::frontends(&self.members, host, limit).await;
        *self.alone.lock().unwrap_or_else(PoisonError::into_inner) = alone(&seen, &self.members.expected);
        let mut all = vec![frontends(&seen)];
        if let Some((_, says)) = &self.version {
            all.push(versions(&seen, |version| version == says));
        }
        if self.rings {
            all.push(rings_complete(&seen, &self.members.expected));
        }
        if self.shards {
            all.push(match ask::cluster(&seen, &mut peers).await {
                Ok((shards, _)) => shards.judge(),
                Err(why) => Judged::bad(format!("shards: {why}")),
            });
        }
        if let Some(namespace) = &self.canary {
            all.push(match all.iter().all(|one| one.well) {
                true => self.canary(namespace, &mut peers, limit).await,
                false => Judged::bad("canary: not sent yet"),
            });
        }
        let well = all.iter().all(|one| one.well);
        // What is well is left out while something else is not.
        let texts = all.into_iter().filter(|one| well || !one.well).map(|one| one.seen);
        Judged {
            well,
            seen: texts.collect::<Vec<_>>().join("; "),
        }
    }

    /// Through every frontend in turn, so that each is proved.
    async fn canary(&self, namespace: &str, peers: &mut [ask::Connected], limit: Duration) -> Judged {
        let last = *self.sang.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= CANARY_COUNTS) {
            for ask::Connected { host, peer, .. } in peers {
                if let Err(error) = peer.canary(namespace, limit).await {
                    *self.sang.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return Judged::bad(format!("canary through {host}: {error}"));
                }
            }
            *self.sang.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        Judged {
            well: true,
            seen: format!("a workflow in `{namespace}` was started and finished"),
        }
    }
}

impl Looks for Until {
    fn look<'a>(&'a self, host: &'a dyn Reading, limit: Duration) -> BoxFuture<'a, Seen> {
        Box::pin(async move {
            let judged = self.judge(host, limit).await;
            match judged.well {
                true => Seen::Well(judged.seen),
                false => Seen::Bad(judged.seen),
            }
        })
    }

    fn fields(&self) -> Map<String, Value> {
        let alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Map::from_iter([("alone".to_owned(), json!(alone))])
    }
}
