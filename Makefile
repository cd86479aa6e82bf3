# make run      a GraphQL API over a demo database of two tenants, on this machine
# make test     everything that must hold before a change goes in
# make check    formatting, lints, licences, layers: the fast part of `make test`
# make bench    requests per second against hand-written SQL
# make bench-live  live queries: from commit to push, and what idling costs
# make console  the page at /console
# make clients  the clients of applications that tests/clients.rs drives
# make docs     pages that are generated from the code

CARGO ?= cargo
TOOLS := target/tools
DENY := $(TOOLS)/bin/cargo-deny

.PHONY: run test check bench bench-live console clients docs
.DEFAULT_GOAL := run

run:
	scripts/need run
	@[ -e console/dist/index.html.gz ] || ! command -v npm >/dev/null || $(MAKE) console
	$(CARGO) run -- dev

# What is missing is asked for first and at once.
test:
	scripts/need test
	$(MAKE) check console clients
	$(CARGO) test --no-fail-fast

check: $(DENY)
	scripts/need check
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(DENY) check bans licenses sources
	$(CARGO) test --quiet --test layers

bench:
	scripts/need bench
	benches/run

bench-live:
	scripts/need bench
	scripts/need clients
	benches/live

# The page is built where npm is there, and by `make test` always.
console:
	scripts/need console
	cd console && npm ci --no-audit --no-fund && npm run check && npm run build

clients:
	scripts/need clients
	cd tests/clients && npm ci --no-audit --no-fund

docs:
	UPDATE_DOCS=1 $(CARGO) test --quiet --lib documentation_is_current

$(DENY):
	scripts/need check
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-deny --version '^0.20'
