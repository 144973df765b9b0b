//! What the frontends are asked, all at the same time.

use std::time::Duration;

use futures_util::future::join_all;

use super::members::{Member, Members};
use crate::temporal::{ClusterInfo, Peer, Seen, Shards, shards, view};

/// Connects to a member's frontend.
pub(super) async fn connect(member: &Member, limit: Duration) -> Result<Peer, String> {
    match tokio::time::timeout(limit, Peer::connect(&member.address, limit)).await {
        Ok(Ok(peer)) => Ok(peer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// Every frontend, in the order of the inventory, and a connection to those that answered.
pub(super) async fn frontends(members: &Members, limit: Duration) -> (Vec<Seen>, Vec<(String, Peer)>) {
    let asked = members.frontends().map(|member| async move {
        match connect(member, limit).await {
            Ok(mut peer) => {
                let view = view(&mut peer).await;
                (member, Ok(view), Some(peer))
            }
            Err(why) => (member, Err(why), None),
        }
    });
    let (mut seen, mut peers) = (Vec::new(), Vec::new());
    for (member, view, peer) in join_all(asked).await {
        peers.extend(peer.map(|peer| (member.name.clone(), peer)));
        seen.push(Seen {
            host: member.name.clone(),
            view,
        });
    }
    (seen, peers)
}

/// Shards and stores by the first frontend that can tell; Err: what the last one said.
pub(super) async fn cluster(seen: &[Seen], peers: &mut [(String, Peer)]) -> Result<(Shards, ClusterInfo), String> {
    let mut last = "no frontend answers".to_owned();
    for (_, peer) in peers {
        match shards(peer, seen).await {
            Ok(found) => return Ok(found),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// Other clusters that this one is connected with.
pub(super) async fn others(peers: &mut [(String, Peer)]) -> Result<Vec<String>, String> {
    let mut last = "no frontend answers".to_owned();
    for (_, peer) in peers {
        let own = match peer.cluster_info().await {
            Ok(info) => info.cluster_name,
            Err(error) => {
                last = error.to_string();
                continue;
            }
        };
        match peer.clusters().await {
            Ok(list) => {
                let others = list.clusters.into_iter().map(|cluster| cluster.cluster_name);
                return Ok(others.filter(|name| *name != own).collect());
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}
