//! How one host is reached: OpenSSH's master, one shell per account and its frames, uploads, diagnosis; `local`.

mod link;
mod target;

pub(crate) use link::{
    Account, Cause, ConnectError, Held, Holder, Hub, Identity, Link, LockError, Look, Lost, ProbeError, Start, StateDir,
    UploadError,
};
pub(crate) use target::{Jump, Kind, Sudo, Target, Var};
