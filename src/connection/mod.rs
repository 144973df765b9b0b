//! How one host is reached: OpenSSH's master, one shell per account and its frames, uploads, tunnels, diagnosis;
//! `local`.

mod arguments;
mod config;
mod error;
mod hub;
mod jobs;
mod link;
mod lock;
mod master;
mod shell;
mod target;
#[cfg(test)]
mod tests;
mod tunnel;
mod upload;

pub(crate) use crate::job::{Part, Start};
pub(crate) use error::{ConnectError, Holder, LockError, UploadError};
pub(crate) use hub::Hub;
pub(crate) use link::{Account, Link};
pub(crate) use lock::{Held, Identity, Look};
pub(crate) use target::{Jump, Kind, Sudo, Target, Var, good_become_user};
pub(crate) use upload::{TOGETHER, in_frame};
