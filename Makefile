# `make help` lists the targets. Everything that they need beyond Rust, Go and git is named or installed by `make needs`.

SHELL := /bin/sh
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/provost
DEBUG := $(or $(CARGO_TARGET_DIR),target)/debug

# Needs Rust 1.88 or newer.
DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny

# One feature set for all commands (--workspace), or cargo builds kube and its dependencies once per set.
ALL := --workspace --locked

.PHONY: help needs build manifests fmt fmt-check lint unit deny test programs cluster demo soak bench bench-webhook bench-policy bench-sync

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

needs: ## Check for what Cargo cannot bring: a C compiler, pkg-config, OpenSSL's headers, curl (installed if root on Debian)
	@missing=; wanted=; \
	command -v cc >/dev/null || missing="$$missing gcc libc6-dev"; \
	command -v git >/dev/null || missing="$$missing git"; \
	command -v curl >/dev/null || missing="$$missing curl ca-certificates"; \
	command -v pkg-config >/dev/null || missing="$$missing pkg-config"; \
	pkg-config --exists openssl 2>/dev/null || missing="$$missing libssl-dev"; \
	command -v gpg >/dev/null || wanted="$$wanted gnupg"; \
	command -v /usr/sbin/sshd >/dev/null || wanted="$$wanted openssh-server"; \
	if [ -n "$$wanted" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then missing="$$missing$$wanted"; \
		else echo "Some tests will be skipped; for them install the Debian packages:$$wanted" >&2; fi; \
	fi; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	else \
		echo "Debian packages are missing; install them with: sudo apt-get install$$missing" >&2; exit 1; \
	fi

build: needs ## Build the release binary, target/release/provost
	cargo build --locked --release

# Of each list the chart names one member, which becomes a loop; the namespace is the release's, which Helm makes.
manifests: needs ## Make deploy/kustomize and deploy/helm from what `provost install` prints
	cargo build $(ALL) --bins
	$(DEBUG)/provost install --no-crds > deploy/kustomize/provost.yaml
	$(DEBUG)/provost install --no-crds --namespace chart-namespace --image chart-image --replicas 31 \
		--exempt-namespace chart-list --exception-namespace chart-list --control-namespace chart-list \
	| awk 'BEGIN { RS = "---\n"; ORS = "" } NR > 1 && !/\nkind: Namespace\n/ { print "---\n" $$0 }' \
	| sed -E -e 's/^( *)(- --exempt-namespace=)chart-list$$/\1{{- range .Values.exemptNamespaces }}\n\1\2{{ . }}\n\1{{- end }}/' \
		-e 's/^( *)(- --exception-namespace=)chart-list$$/\1{{- range .Values.exceptionNamespaces }}\n\1\2{{ . }}\n\1{{- end }}/' \
		-e 's/^( *)(- --control-namespace=)chart-list$$/\1{{- range .Values.controlNamespaces }}\n\1\2{{ . }}\n\1{{- end }}/' \
		-e 's/chart-namespace/{{ .Release.Namespace }}/' \
		-e 's/^( *image: )chart-image$$/\1{{ .Values.image | quote }}/' \
		-e 's/^( *replicas: )31$$/\1{{ .Values.replicas }}/' \
		-e 's/(--failure-policy=)fail$$/\1{{ .Values.failurePolicy }}/' > deploy/helm/templates/provost.yaml

fmt: ## Format the source
	cargo fmt --all

fmt-check:
	cargo fmt --all --check

lint: needs ## Clippy over everything, warnings denied
	cargo clippy $(ALL) --all-targets -- -D warnings

unit: needs ## The unit tests, which need nothing but Rust
	cargo test $(ALL) --lib --bins

deny: $(DENY) ## Licences, sources and duplicate versions; known vulnerabilities where their list can be fetched
	$(DENY) --locked check licenses bans sources
	@if $(DENY) fetch db 2>/dev/null; then \
		$(DENY) --locked check --disable-fetch advisories; \
	else \
		echo "warning: the list of known vulnerabilities cannot be fetched here; not checked"; \
	fi

$(DENY):
	cargo install cargo-deny --locked --version $(DENY_VERSION) --root $(CACHE)/cargo-deny-$(DENY_VERSION)

test: fmt-check lint unit deny programs ## Format, lints, unit tests, dependencies, cluster tests (skipped loudly without Go)
	cargo test $(ALL) --test '*'
	cargo test $(ALL) --doc

# Ahead of the tests, so that progress can be seen. Where it fails the tests say what that means for them.
programs: needs
	cargo test $(ALL) --test '*' --no-run
	-$(DEBUG)/local-cluster --build-only

cluster: needs ## Bring up a local control plane and hold it until Ctrl-C
	cargo build $(ALL) --bins
	@$(DEBUG)/local-cluster

demo: needs ## The main job in a minute: a denial, a synced commit, a healed edit, the evidence
	cargo build $(ALL) --bins
	@$(DEBUG)/demo

# Ten minutes, if nothing else is said; a seed of its own each time, which is printed.
SECONDS ?= 600
# How often each fault of a sync is tried: kills, frozen leaders, outages, broken repositories, denials, full disks.
ROUNDS ?= 100

soak: needs ## Hostile input for SECONDS=600 (failures stay in tests/soak/corpus), then a ledger tampered with 10,000 times, 1,000 random edits and each fault of a sync ROUNDS=100 times
	cargo test --locked --release --package provost --test soak -- --seconds $(SECONDS) --seed $$(date +%s)
	PROVOST_SOAK_ROUNDS=$(ROUNDS) cargo test $(ALL) --test it -- --ignored soak --nocapture

bench: bench-webhook bench-policy bench-sync ## All benchmarks; each writes target/bench/PART.json

bench-webhook: needs ## Admission throughput, latency and memory beside a server that always says yes; writes lost in restarts and rotations; what the ledger costs, and a million records verified
	cargo bench --locked --package provost --bench webhook
	cargo bench --locked --package provost --bench availability
	cargo bench --locked --package provost --bench ledger

bench-policy: needs ## What judging costs: in process, end to end with 3 to 300 policies, and on the command line
	cargo bench --locked --package provost --bench policy

bench-sync: needs ## Syncing 1,000 Applications beside kubectl, one commit of them, passes that find nothing, 5,000 objects
	cargo bench --locked --package provost --bench sync
