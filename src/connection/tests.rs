//! Against a real sshd of our own on loopback.

mod accounts;
mod faults;
mod jobs;
mod lab;
mod locks;
mod probes;
mod reach;
mod targets;
mod tunnels;
