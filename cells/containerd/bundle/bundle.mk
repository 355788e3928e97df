# Included from the top Makefile. "go build -tags bundle" needs what bundle
# makes: runc, its shim, lattice-logger, lattice-helper and lattice-builder, built from the modules that go.mod
# pins, compressed.

BUNDLE     := cells/containerd/bundle/out/programs.txt
BUNDLE_BIN := build/bundle

.PHONY: bundle
bundle: build-deps $(BUNDLE)

.PHONY: build-deps
build-deps: # runc is C in part
	@missing=; for p in gcc libc6-dev libseccomp-dev zstd; do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	 if [ -n "$$missing" ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi

$(BUNDLE): $(BUNDLE_BIN)/runc $(BUNDLE_BIN)/containerd-shim-runc-v2 $(BUNDLE_BIN)/lattice-logger $(BUNDLE_BIN)/lattice-helper $(BUNDLE_BIN)/lattice-builder $(wildcard cells/containerd/bundle/*.go)
	go run ./cells/containerd/bundle $(@D) $(filter $(BUNDLE_BIN)/%,$^)

# Static, so that it runs everywhere; without libpathrs, which is Rust.
$(BUNDLE_BIN)/runc: go.sum | build-deps
	CGO_ENABLED=1 go build -trimpath -tags "seccomp netgo osusergo runc_nocriu" -ldflags "-s -w -extldflags -static" -o $@ github.com/opencontainers/runc

# As containerd builds it itself: without gRPC it is half as large.
$(BUNDLE_BIN)/containerd-shim-runc-v2: go.sum
	CGO_ENABLED=0 go build -trimpath -tags no_grpc -ldflags "-s -w" -o $@ github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2

$(BUNDLE_BIN)/lattice-logger: go.sum $(wildcard app/*.go cells/logfile/*.go cells/logpipe/*.go)
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $@ ./cells/logpipe

$(BUNDLE_BIN)/lattice-helper: go.sum $(wildcard app/*.go cells/helper/*.go cells/source/*.go internal/tarball/*.go)
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $@ ./cells/helper

$(BUNDLE_BIN)/lattice-builder: go.sum $(wildcard app/*.go cells/builder/*.go cells/source/*.go internal/tarball/*.go)
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $@ ./cells/builder
