//! How this process comes to a database: directly, or through a tunnel of the host that `via` names.

use std::path::Path;
use std::sync::Arc;

use super::{Database, DatabaseError};
use crate::job::Reading;

impl Database {
    /// The same database with an open tunnel where it has a `via`: what a session must be opened with. The tunnel is a
    /// new one each time, so that a way that was lost is found again; it stays as long as the value, its clones and the
    /// sessions that were opened with it.
    pub(crate) async fn reached(&self, host: &dyn Reading) -> Result<Database, DatabaseError> {
        let mut reached = self.clone();
        if let Some(via) = &self.via {
            let tunnel = host.tunnel(Some(via), &self.host, self.port).await;
            reached.tunnel = Some(Arc::new(tunnel.map_err(|failure| DatabaseError::Unreachable {
                label: self.label.clone(),
                host: self.place(),
                words: failure.message,
            })?));
        }
        Ok(reached)
    }

    /// What to dial in place of HOST:PORT: a unix socket, `.s.PGSQL.PORT` in a folder of its own. TLS verifies `host`
    /// all the same.
    pub(crate) fn socket(&self) -> Option<&Path> {
        debug_assert!(
            self.via.is_none() || self.tunnel.is_some(),
            "`reached` opens the tunnel"
        );
        self.tunnel.as_ref()?.socket()
    }

    /// Why a connection through the tunnel failed, if the tunnel is to blame.
    pub(super) fn trouble(&self) -> Option<String> {
        self.tunnel.as_ref()?.trouble()
    }
}
