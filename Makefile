# make help lists the targets.

# Builds are kept outside the checkout, so that a fresh clone of the same path starts warm.
CACHE ?= $(or $(SKALA_CACHE),$(HOME)/.cache/skala)
KEY := $(shell pwd | sha256sum | cut -c1-12)
SCRATCH ?= $(shell mkdir -p $(CACHE)/$(KEY) 2>/dev/null && echo $(CACHE)/$(KEY) || echo .build)
SWIFT_BUILD = swift build --scratch-path

.PHONY: help
help: ## Shows this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: dependencies
dependencies: ## Installs the Debian packages that are needed (as root)
	@scripts/install-dependencies.sh

.PHONY: test
test: dependencies lint ## Builds everything and runs all tests (as root)
	swift build --scratch-path $(SCRATCH)/debug --build-tests
	scripts/test.sh $(SCRATCH)/debug

.PHONY: fuzz
fuzz: dependencies ## Feeds mutated input to every decoder, SECONDS=300 each; SEED=N runs one round again (as root)
	swift build --scratch-path $(SCRATCH)/debug --build-tests
	SKALA_FUZZ_SECONDS=$(or $(SECONDS),300) $(if $(SEED),SKALA_FUZZ_SEED=$(SEED)) \
	    swift test --scratch-path $(SCRATCH)/debug --skip-build --filter FuzzTests || { scripts/fuzz-seeds.sh; exit 1; }

.PHONY: soak
soak: dependencies ## Kills daemon and warden 200 times, fails their kernel calls, fills their disk, kills VMs, disturbs services (as root); SEED=N repeats
	swift build --scratch-path $(SCRATCH)/debug
	scripts/soak/soak.py kill --programs $(SCRATCH)/debug/debug $(if $(SEED),--seed $(SEED))
	scripts/soak/soak.py faults --programs $(SCRATCH)/debug/debug $(if $(SEED),--seed $(SEED))
	scripts/soak/soak.py disk --programs $(SCRATCH)/debug/debug
	scripts/soak/soak.py machines --programs $(SCRATCH)/debug/debug $(if $(SEED),--seed $(SEED))
	scripts/soak/soak.py services --minutes 30 --programs $(SCRATCH)/debug/debug $(if $(SEED),--seed $(SEED))

.PHONY: demo
demo: ## Runs applications and services under load on a Skala of its own, proves and times them (as root)
	@scripts/demo.sh

.PHONY: kernel
kernel: ## Builds a small kernel for VMs from the distribution's source, for `skala kernel add`; never needed (as root)
	@scripts/kernel/build.sh

.PHONY: images
images: ## Makes the demo's images of Debian packages (as root)
	@scripts/install-dependencies.sh demo
	@scripts/images/build.sh

.PHONY: conformance
conformance: dependencies ## Runs crun's own test suite against skala-runtime, with crun as control (as root)
	swift build --scratch-path $(SCRATCH)/debug --product skala-warden
	ln -sf skala-warden $(SCRATCH)/debug/debug/skala-runtime
	scripts/conformance.py --runtime $(SCRATCH)/debug/debug/skala-runtime

.PHONY: release
release: ## Builds the programs as they are installed, and prints their folder
	@scripts/build-release.sh

.PHONY: install
install: ## Installs them below DESTDIR and PREFIX (default /usr/local), with unit and completions
	@scripts/install.sh "$$(scripts/build-release.sh)"

.PHONY: deb
deb: ## Makes a Debian package in the folder DEB (default: that of the builds)
	@scripts/make-deb.sh "$$(scripts/build-release.sh)" "$(or $(DEB),$(SCRATCH)/deb)"

.PHONY: bench
bench: ## Measures Skala beside its peers (as root, on an otherwise idle machine)
	Benchmarks/run engine

.PHONY: print-scratch
print-scratch:
	@echo $(SCRATCH)

.PHONY: lint
lint: ## Checks the format of all Swift files
	swift format lint --strict --recursive --parallel Sources Tests Package.swift

.PHONY: format
format: ## Formats all Swift files
	swift format --in-place --recursive --parallel Sources Tests Package.swift

.PHONY: clean
clean: ## Removes what builds made
	rm -rf .build $(CACHE)/$(KEY)

.PHONY: docs
docs: ## Writes the documents that are made from the code
	SKALA_WRITE_DOCS=1 swift test --scratch-path $(SCRATCH)/debug --filter 'RepositoryTests.CoverageTests|EngineTests.SpecTests'
