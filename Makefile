# The one entry for people and for CI. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
DEMO_FLAGS ?=
TEST_FLAGS ?=
BENCH_FLAGS ?=
BASE ?= debian:12-slim
CARGO_DENY_VERSION := 0.20.2

# Tools that the project builds for itself live under target/, so that nothing is put into the user's home.
TOOLS := $(CURDIR)/target/tools
export PATH := $(TOOLS)/bin:$(HOME)/.cargo/bin:$(PATH)
RELEASE := target/release/doorward target/release/doorward-pam
# Units and whose manager they are for.
UNITS := $(patsubst %,%:system,$(wildcard packaging/systemd/*.service)) \
    $(patsubst %,%:user,$(wildcard packaging/systemd/user/*.service))
# Where each shell looks for completions, below share/.
COMPLETIONS := bash:bash-completion/completions/doorward zsh:zsh/site-functions/_doorward \
    fish:fish/vendor_completions.d/doorward.fish
DENY_CHECKS := bans licenses sources

.PHONY: help run build test check fmt deny tools bench image install uninstall clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | sort | \
	    while IFS=$$'\t' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

run: ## Install what is missing, build, and start a demo gateway (see README)
	@scripts/install-deps.sh run
	$(CARGO) build --release --locked
	@scripts/prepare-host.sh
	./target/release/doorward demo $(DEMO_FLAGS)

build: ## Build both binaries, optimised
	@scripts/install-deps.sh build
	$(CARGO) build --release --locked

test: ## Run every test: unit, integration, end to end, documentation examples
	@scripts/install-deps.sh test
	@scripts/prepare-host.sh
	$(CARGO) test --locked --no-fail-fast $(TEST_FLAGS)

check: fmt deny ## Check formatting, lints, documentation and dependencies; change nothing
	@scripts/install-deps.sh build
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet

fmt: ## Check formatting only
	$(CARGO) fmt --all --check

deny: ## Check licences, sources and banned or doubled crates, if cargo-deny is there
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    echo "$(CARGO) deny --locked check $(DENY_CHECKS)"; \
	    $(CARGO) deny --locked check $(DENY_CHECKS); \
	else \
	    echo "skipped: cargo-deny is not installed ('make tools' builds it)"; \
	fi

tools: ## Build the tools that `make check` uses (cargo-deny) into target/tools
	@$(CARGO) deny --version >/dev/null 2>&1 || \
	    $(CARGO) install cargo-deny --version $(CARGO_DENY_VERSION) --locked --debug --quiet --root $(TOOLS)

bench: ## Measure against nginx, HAProxy and Caddy on this machine
	@scripts/install-deps.sh bench
	$(CARGO) build --release --locked
	python3 benches/run.py $(BENCH_FLAGS)

image: ## Build the container image doorward:latest
	@scripts/install-deps.sh image
	$(CARGO) build --release --locked
	@docker image inspect $(BASE) >/dev/null 2>&1 || docker pull --quiet $(BASE) || scripts/base-images.sh --debian
	BASE=$(BASE) docker/build.sh target/release

install: ## Install what `make build` built; honours DESTDIR and PREFIX
	@for file in $(RELEASE); do \
	    [ -x "$$file" ] || { echo "$$file is not there: run 'make build' first" >&2; exit 1; }; \
	done
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system \
	    $(DESTDIR)$(PREFIX)/lib/systemd/user
	install -d $(DESTDIR)$(SYSCONFDIR)/pam.d $(DESTDIR)$(SYSCONFDIR)/doorward
	install -m 0755 $(RELEASE) $(DESTDIR)$(PREFIX)/bin/
	target/release/doorward man --out $(DESTDIR)$(PREFIX)/share/man
	@for pair in $(COMPLETIONS); do \
	    target=$(DESTDIR)$(PREFIX)/share/$${pair#*:}; \
	    echo "install $$target"; \
	    target/release/doorward completions "$${pair%%:*}" | install -D -m 0644 /dev/stdin "$$target"; \
	done
	@for unit in $(UNITS); do \
	    target=$(DESTDIR)$(PREFIX)/lib/systemd/$${unit#*:}/$$(basename "$${unit%%:*}"); \
	    unit=$${unit%%:*}; \
	    echo "install $$unit $$target"; \
	    sed 's|/usr/bin/|$(PREFIX)/bin/|g' "$$unit" | install -m 0644 /dev/stdin "$$target"; \
	done
	@for pair in pam.d/doorward:pam.d/doorward pam.d/doorward-account:pam.d/doorward-account \
	        packaging/doorward.toml:doorward/doorward.toml; do \
	    target=$(DESTDIR)$(SYSCONFDIR)/$${pair#*:}; \
	    if [ -e "$$target" ]; then echo "kept $$target"; else \
	        echo "install $${pair%:*} $$target"; install -m 0644 "$${pair%:*}" "$$target"; fi; \
	done

uninstall: ## Remove what `make install` put there, but not settings and state
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(notdir $(RELEASE)))
	@for unit in $(UNITS); do \
	    rm -fv "$(DESTDIR)$(PREFIX)/lib/systemd/$${unit#*:}/$$(basename "$${unit%%:*}")"; done
	@for pair in $(COMPLETIONS); do rm -fv "$(DESTDIR)$(PREFIX)/share/$${pair#*:}"; done
	@for section in 1 5 8; do \
	    rm -fv "$(DESTDIR)$(PREFIX)/share/man/man$$section/"doorward{,-*,.toml}."$$section"; done

clean: ## Remove everything that was built, except the tools
	$(CARGO) clean --profile dev
	$(CARGO) clean --profile release
	$(CARGO) clean --doc
