# What people type here. `make` alone lists it.
.DEFAULT_GOAL := help
# rustfmt does not see the files that the macro `kinds!` names
KINDS = $(shell find src/kind -name '*.rs')
.PHONY: help demo demo-broken demo-down test fmt format-check lint bench lab lab-split lab-down hop hop-killed hop-by-hand hop-down test-temporal

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

demo: ## three sshd hosts on loopback; Refit upgrades a small service on them, then changes nothing
	@tests/lab/demo.sh

demo-broken: ## the same with a release that never becomes healthy: rolled back, exit 3
	@tests/lab/demo.sh broken

demo-down: ## stops and removes the demo's hosts
	@tests/lab/demo.sh down

test: ## all tests; installs what they need (as root) or says what is missing
	@tests/lab/setup.sh
	@if cargo nextest --version >/dev/null 2>&1; then exec cargo nextest run --locked --config-file tests/nextest.toml; else exec cargo test --locked; fi

fmt: ## formats everything
	cargo fmt
	rustfmt --edition 2024 $(KINDS)

format-check:
	cargo fmt --check
	rustfmt --edition 2024 --check $(KINDS)

lint: format-check ## format and clippy, as CI does
	cargo clippy --locked --all-targets -- -D warnings

bench: ## what Refit costs beside a plain loop of `ssh host sh` on 10 hosts (a release build the first time)
	@tests/lab/bench.sh

lab: ## a Temporal cluster on machines that boot systemd, to play with (root, Go); lab-split: its roles on six machines
	@tests/lab/temporal/lab.sh up
	@tests/lab/temporal/lab.sh status

lab-split:
	@tests/lab/temporal/lab.sh up --split
	@tests/lab/temporal/lab.sh status

lab-down: ## removes every trace of it
	@tests/lab/temporal/lab.sh down

hop: ## that cluster from 1.29.7 to 1.30.9 under load (needs root and Go; minutes the first time)
	@tests/lab/temporal/hop.sh

hop-killed: ## the same, with Refit killed in the schema stage and in the swap stage, and resumed
	@tests/lab/temporal/hop.sh killed

hop-by-hand: ## the same hop typed as shell commands, for comparison
	@tests/lab/temporal/hop.sh by-hand

hop-down: lab-down

test-temporal: ## every way from release to release that the lab has, disturbed and undisturbed (an hour); says what is missing
	@tests/lab/temporal/acceptance.sh
