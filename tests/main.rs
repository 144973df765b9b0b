//! Tests on hosts: the built program against real sshd; what they look at is what stands on the hosts.

mod fleet;

mod barrier;
mod interrupt;
mod kill;
mod lock;
mod rollback;
mod unknown;

mod arrows;
mod mistakes;
