//! Refit upgrades stateful services on VMs and bare metal over SSH.
