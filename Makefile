# Lattice. `make up` and `make test` are all a newcomer needs; each installs by
# itself what it needs beside Go, git, make and root.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PREFIX  ?= /usr/local
LDFLAGS := -s -w -X lattice/cli.version=$(VERSION)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

include cells/containerd/bundle/bundle.mk

# The image of the sample app, which is in the binary.
HELLO := internal/node/bundle/hello.tar

$(HELLO): go.sum $(wildcard examples/hello/*.go examples/hello/image/*.go)
	@mkdir -p $(@D)
	$(GO) run ./examples/hello/image -o $@

.PHONY: build
build: bundle $(HELLO) ## build bin/lattice and the symlink bin/ltc
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -tags bundle -ldflags '$(LDFLAGS)' -o bin/lattice .
	@ln -sf lattice bin/ltc

.PHONY: up
up: build ## start brain and cell on this machine, with a sample app
	bin/lattice up --detach --sample

.PHONY: down
down: ## stop everything that `make up` made; apps' data stay
	bin/lattice down

.PHONY: clean-data
clean-data: ## like down, and delete all data
	bin/lattice down --delete-data

.PHONY: install
install: build ## copy the binary, man pages and completions to $(PREFIX)
	install -D -m 0755 bin/lattice $(DESTDIR)$(PREFIX)/bin/lattice
	ln -sf lattice $(DESTDIR)$(PREFIX)/bin/ltc
	bin/ltc docs --man $(DESTDIR)$(PREFIX)/share/man/man1
	@for name in ltc lattice; do \
	  mkdir -p $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d && \
	  bin/$$name completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$name && \
	  bin/$$name completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$name && \
	  bin/$$name completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$name.fish || exit 1; done

.PHONY: docs
docs: ## write the reference of the commands to docs/reference
	@rm -rf build/reference
	$(GO) run . docs --markdown build/reference
	@rm -rf docs/reference && mv build/reference docs/reference

# What the tests need from Debian: a registry, nft to look at rules, a browser,
# OpenSSH, and an image with a shell.
TEST_PACKAGES := docker-registry nftables iproute2 curl chromium nghttp2-client openssh-client busybox-static redis-server redis-tools skopeo

# The same for the Vagrantfile, and for machines with systemd as init, whose
# files are made once.
TEST_PACKAGES += debootstrap systemd-container shellcheck vagrant vagrant-libvirt
MACHINE := build/machine/tree

$(MACHINE)/usr/sbin/sshd:
	rm -rf $(MACHINE) && mkdir -p $(MACHINE)
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,nftables,iproute2,procps,openssh-server,openssh-client,curl,ca-certificates bookworm $(MACHINE) >build/machine/log || { tail build/machine/log; rm -rf $(MACHINE); exit 1; }

# The lifecycle of buildpacks, for the tests. It is built in its own module, and
# is not distributed with lattice.
LIFECYCLE := build/lifecycle/lifecycle

$(LIFECYCLE):
	@mkdir -p $(@D)
	CGO_ENABLED=0 $(GO) build -C $$(GOFLAGS=-mod=mod $(GO) mod download -json github.com/buildpacks/lifecycle@v0.20.3 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p') \
	  -trimpath -ldflags "-s -w -X github.com/buildpacks/lifecycle/cmd.Version=0.20.3" -o $(CURDIR)/$(@D)/ ./cmd/lifecycle ./cmd/launcher

# The checker of accessibility, from npm. It is not distributed with lattice.
AXE := build/axe/package/axe.min.js

$(AXE):
	@command -v npm >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm; }
	@mkdir -p build/axe && cd build/axe && tar xzf "$$(npm pack --silent axe-core@4.14.1)" && touch package/axe.min.js

.PHONY: test-deps
test-deps: build-deps $(AXE) $(LIFECYCLE)
	@missing=; for p in $(TEST_PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	 if [ -n "$$missing" ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi
	@$(MAKE) --no-print-directory $(MACHINE)/usr/sbin/sshd

.PHONY: test
test: test-deps build lint ## run everything: lint, unit and end-to-end tests, with real containers
	$(GO) test -race -timeout 30m $$($(GO) list ./... | grep -v /internal/e2e)
	$(GO) test -race -timeout 60m ./internal/e2e

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, and the client half for other systems
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GOOS=darwin CGO_ENABLED=0 $(GO) build -o /dev/null .
	GOOS=windows CGO_ENABLED=0 $(GO) build -o /dev/null .

.PHONY: vulncheck
vulncheck: ## look the dependencies up in Go's vulnerability database (needs internet)
	$(GO) tool govulncheck ./...

.PHONY: bench
bench: bench-start bench-images bench-router bench-scheduler bench-scale ## run all benchmarks

.PHONY: bench-start
bench-start: build ## time from create to the first answer, beside ctr
	$(GO) run ./internal/bench/start

.PHONY: bench-images
bench-images: build ## time to pull an image, beside ctr, on one cell and on three at once
	$(GO) run ./internal/bench/images

.PHONY: bench-scheduler
bench-scheduler: ## placements beside Diego's, and on large clusters, on one core
	$(GO) run ./internal/bench/scheduler

.PHONY: bench-scale
bench-scale: bundle $(HELLO) ## one brain with 1,000 simulated cells and 50,000 instances, then more
	$(GO) run -tags bundle ./internal/bench/scale

# The router's peers. Debian starts what it installs: that is undone, because
# they want port 80.
PEERS := nginx-light haproxy caddy

.PHONY: bench-router
bench-router: ## the router beside nginx, HAProxy, Caddy and httputil.ReverseProxy
	@command -v wrk >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends wrk; }
	@for p in $(PEERS); do dpkg -s $$p >/dev/null 2>&1 && continue; \
	  apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$p || exit 1; \
	  systemctl disable --now $${p%-light} >/dev/null 2>&1 || true; done
	$(GO) run ./internal/bench/router

.PHONY: screenshots
screenshots: test-deps build ## pictures of the dashboard's pages, into docs/screenshots
	@mkdir -p docs/screenshots
	SCREENSHOTS=$(CURDIR)/docs/screenshots $(GO) test -count=1 -run '^TestDashboard$$' ./internal/e2e

# Debian starts what it installs: the test starts a libvirtd of its own where
# none runs, and ends it.
VAGRANT_PACKAGES := libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base openssh-client

.PHONY: vagrant-test
vagrant-test: test-deps build ## vagrant up on real virtual machines, without KVM; takes a quarter of an hour
	@for p in $(VAGRANT_PACKAGES); do dpkg -s $$p >/dev/null 2>&1 && continue; \
	  apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(VAGRANT_PACKAGES) || exit 1; break; done
	vagrant/test.sh $(CURDIR)/build/vagrant

MINUTES ?= 10

.PHONY: chaos
chaos: test-deps build ## random faults on 1 brain and 3 cells for MINUTES (default 10); SEED repeats a run
	@mkdir -p build; rm -f build/chaos.txt
	CHAOS_MINUTES=$(MINUTES) CHAOS_SEED=$(SEED) CHAOS_OUT=$(CURDIR)/build/chaos.txt \
	  $(GO) test -count=1 -timeout 0 -run '^TestChaos$$' -v ./internal/e2e; code=$$?; cat build/chaos.txt; exit $$code

.PHONY: fuzz
fuzz: ## fuzz every parser of outside input for FUZZTIME (default 30s) each
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg 2>/dev/null | grep '^Fuzz'); do \
	    $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $${FUZZTIME:-30s} $$pkg || exit 1; done; done

.PHONY: clean
clean: ## delete what was built
	rm -rf bin build cells/containerd/bundle/out internal/node/bundle
