//! Against a real sshd of our own on loopback.

mod faults;
mod jobs;
mod lab;
mod locks;
mod probes;
mod reach;
