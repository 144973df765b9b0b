//! Tests on hosts: the built program against real sshd; what they look at is what stands on the hosts.

mod fleet;

mod barrier;
mod r#become;
mod foresee;
mod hands;
mod hops;
mod interrupt;
mod kill;
mod lock;
mod resume;
mod rollback;
mod take_back;
mod tool;
mod tunnel;
mod undo;
mod unknown;
mod unreachable;

mod arrows;
mod cli;
mod mistakes;
mod samples;
mod secrets;
mod shells;
mod systemd;
