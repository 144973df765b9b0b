//! A way to HOST:PORT as a host sees it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Ends with its drop; connections through it that stand then go on.
pub(crate) struct Tunnel {
    end: Option<(PathBuf, Box<dyn Passage>)>,
}

/// What holds a tunnel open.
pub(crate) trait Passage: Send + Sync {
    /// As [`Tunnel::trouble`].
    fn trouble(&self) -> Option<String>;
}

impl Tunnel {
    /// This machine is the host: HOST:PORT is dialled as it is.
    pub(crate) fn direct() -> Tunnel {
        Tunnel { end: None }
    }

    /// A unix socket whose connections lead to the other end. Its name is `.s.PGSQL.PORT`, in a folder of its own.
    pub(crate) fn new(socket: PathBuf, passage: impl Passage + 'static) -> Tunnel {
        Tunnel {
            end: Some((socket, Box::new(passage))),
        }
    }

    /// Where to dial instead of HOST:PORT; None: dial HOST:PORT.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.end.as_ref().map(|(socket, _)| socket.as_path())
    }

    /// Asked after a connection through it failed: why, as far as OpenSSH says, in its words and plain ones. A socket
    /// takes every connection, and closes it again where the other end cannot be reached. None: the way is open, and
    /// the other end is at fault.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.end.as_ref().and_then(|(_, passage)| passage.trouble())
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tunnel({:?})", self.socket())
    }
}
