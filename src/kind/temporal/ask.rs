//! What the frontends are asked, all at the same time.

use std::time::Duration;

use futures_util::future::join_all;

use super::members::{Member, Members};
use crate::id::HostName;
use crate::job::Tunnel;
use crate::kind::Reading;
use crate::kind::health::address;
use crate::temporal::{ClusterInfo, Peer, Seen, Shards, shards, view};

/// A connection to a frontend, and the tunnel that it stands on.
pub(super) struct Connected {
    pub(super) host: String,
    pub(super) peer: Peer,
    _tunnel: Option<Tunnel>,
}

/// From the controller, or through the ssh of the member's own host.
async fn connect(
    member: &Member,
    members: &Members,
    host: &dyn Reading,
    limit: Duration,
) -> Result<(Peer, Option<Tunnel>), String> {
    let tunnel = match members.from_hosts {
        false => None,
        true => {
            let (place, port) = address(&member.address.at)?;
            let way = HostName::new(&member.name).map_err(|error| error.to_string())?;
            let opened = host.tunnel(Some(&way), &place, port).await;
            Some(opened.map_err(|failure| failure.message)?)
        }
    };
    let through = tunnel.as_ref().and_then(Tunnel::socket);
    let trouble = |otherwise: String| tunnel.as_ref().and_then(Tunnel::trouble).unwrap_or(otherwise);
    match tokio::time::timeout(limit, Peer::connect(&member.address, through, limit)).await {
        Ok(Ok(peer)) => Ok((peer, tunnel)),
        Ok(Err(error)) => Err(trouble(error.to_string())),
        Err(_) => Err(trouble("no answer".to_owned())),
    }
}

/// Every frontend, in the order of the inventory, and a connection to those that answered.
pub(super) async fn frontends(members: &Members, host: &dyn Reading, limit: Duration) -> (Vec<Seen>, Vec<Connected>) {
    let asked = members.frontends().map(|member| async move {
        match connect(member, members, host, limit).await {
            Ok((mut peer, tunnel)) => {
                let view = view(&mut peer).await;
                (member, Ok(view), Some((peer, tunnel)))
            }
            Err(why) => (member, Err(why), None),
        }
    });
    let (mut seen, mut peers) = (Vec::new(), Vec::new());
    for (member, view, connected) in join_all(asked).await {
        peers.extend(connected.map(|(peer, tunnel)| Connected {
            host: member.name.clone(),
            peer,
            _tunnel: tunnel,
        }));
        seen.push(Seen {
            host: member.name.clone(),
            view,
        });
    }
    (seen, peers)
}

/// Shards and stores by the first frontend that can tell; Err: what the last one said.
pub(super) async fn cluster(seen: &[Seen], peers: &mut [Connected]) -> Result<(Shards, ClusterInfo), String> {
    let mut last = "no frontend answers".to_owned();
    for Connected { peer, .. } in peers {
        match shards(peer, seen).await {
            Ok(found) => return Ok(found),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// Other clusters that this one is connected with.
pub(super) async fn others(peers: &mut [Connected]) -> Result<Vec<String>, String> {
    let mut last = "no frontend answers".to_owned();
    for Connected { peer, .. } in peers {
        let own = match peer.cluster_info().await {
            Ok(info) => info.cluster_name,
            Err(error) => {
                last = error.to_string();
                continue;
            }
        };
        match peer.clusters().await {
            Ok(list) => {
                let connected = list
                    .clusters
                    .into_iter()
                    .filter(|cluster| cluster.is_connection_enabled);
                let names = connected.map(|cluster| cluster.cluster_name);
                return Ok(names.filter(|name| *name != own).collect());
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}
