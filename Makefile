# `make help` lists the targets. Every target sets up what it needs by itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The project's own Node 24 (a devDependency) comes first, whatever the machine has.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
# Tests, demo and benchmarks run the built program, as a node does.
export SHOAL_ENTRY := $(CURDIR)/dist/cli/main.js

ADDON := build/Release/shoal.node

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## Install npm and Debian packages that are missing
	@scripts/setup

.PHONY: native
native: setup
	@$(MAKE) --no-print-directory $(ADDON)

$(ADDON): binding.gyp $(wildcard native/*.cc native/*.h native/glibc/*)
	scripts/build-native

.PHONY: build
build: native ## Build the addon and dist/
	rm -rf dist
	tsc -p tsconfig.build.json
	mkdir dist/man
	node dist/cli/main.js man >dist/man/shoal.8

.PHONY: lint
lint: setup ## Types, style and the rooms' rule
	tsc --noEmit
	biome check --error-on-warnings .

.PHONY: test
test: package ## Every test: unit, integration, end to end
	vitest run

.PHONY: package
package: build ## shoal-<version>-linux-<arch>.tar.gz: all that a node needs, in build/package
	node scripts/package/main.ts

.PHONY: image
image: package ## The chart's image shoal:<version>, with buildah; BASE=<image> picks another base than debian:12-slim
	version=$$(node -p 'require("./package.json").version'); \
	buildah bud --file deploy/image/Dockerfile $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg VERSION=$$version \
	  --build-arg ARCH=$$(dpkg --print-architecture) --tag shoal:$$version build/package

.PHONY: e2e
e2e: package ## The end-to-end tests; CONTAINERD=<binary> picks another containerd
	SHOAL_CONTAINERD=$(CONTAINERD) vitest run --project e2e

.PHONY: screenshots
screenshots: build ## Take the pictures of the status page in the docs anew
	SCREENSHOTS=1 vitest run --project e2e test/e2e/status-page.test.ts

.PHONY: sanitize
sanitize: setup ## The addon's tests under ASan, UBSan and TSan
	scripts/sanitize-native

.PHONY: demo
demo: build ## Three nodes pull an image at once: who gets what from whom
	node bench/demo.ts

.PHONY: demo-packaged
demo-packaged: package ## The same with the package, unpacked in a Debian 12 that has nothing else
	node bench/demo.ts --packaged

.PHONY: bench-pull
bench-pull: build ## A whole PullImage through Shoal against one without it; ARGS="--memory-mib 64 --disk-mib 4096": from the disk tier
	node bench/pull.ts $(ARGS)

.PHONY: bench-mirror
bench-mirror: build ## The mirror against nginx; ARGS="--memory-mib 256 --disk-mib 4096": from the disk tier
	node bench/mirror.ts $(ARGS)

.PHONY: bench-store
bench-store: build ## The block device against fio, and the whole store against the device
	node bench/store.ts

.PHONY: bench-transfer
bench-transfer: build ## One peer to another, plain and with TLS, against iperf3
	node bench/transfer.ts

.PHONY: bench-traces
bench-traces: native ## What tracing costs a pull, on and off
	node bench/traces.ts

.PHONY: bench-directory
bench-directory: ## What a shard's streams cost it, plain and with TLS
	node bench/directory.ts

.PHONY: bench-swarm
bench-swarm: build ## Eight nodes that pull at once; ARGS="--zones 2", see bench/swarm.ts
	node bench/swarm.ts $(ARGS)

.PHONY: bench-install
bench-install: package ## Install and upgrade on a Debian 12 of its own with systemd, containerd and a kubelet's calls
	node bench/install.ts

.PHONY: simulate
simulate: setup ## The swarm's directory with up to 10,000 nodes in a modelled network
	node --max-old-space-size=17000 bench/simulate.ts --plot docs/images/simulate.svg

.PHONY: clean
clean: ## Remove what was built
	rm -rf build dist coverage
