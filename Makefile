# `make` prints what there is. Nothing here needs GOFLAGS; -buildvcs=false and
# -trimpath are given where they matter.

GO        ?= go
FUZZTIME  ?= 10s
SOAKTIME  ?= 10m
REPEATS   ?= 20
ROUNDS    ?= 5
DIST      ?= dist
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT    ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
DATE      ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)
GOBUILD   := CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags "$(LDFLAGS)"

export VERSION COMMIT DATE FUZZTIME SOAKTIME REPEATS PARTS

.DEFAULT_GOAL := help
.PHONY: help build run test check check-hosts accept bench bench-failover bench-scale bench-prober bench-dns bench-dns-failover bench-dns-flood bench-cluster test-cluster newcomer test-terraform terraform-docs terraform-schemas mutants fuzz fuzz-authority soak release deb test-packages clean toolchain

help: ## this list
	@echo 'Veer: DNS failover from one binary. Targets:'
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | \
	  awk -F'|' '{ printf "%-24s %s\n", $$1, $$2 }'
	@echo
	@echo 'Variables: GO, VERSION, FUZZTIME (10s), SOAKTIME (10m), REPEATS (20), ROUNDS (5), DIST (dist), PARTS (of accept),'
	@echo '  SCENARIO (of test-cluster), COREDNS (a binary that bench-dns compares too; "build" downloads and builds one).'

toolchain:
	@.ci/toolchain $(GO)

build: toolchain ## build bin/veer (static, no C compiler)
	$(GOBUILD) -o bin/veer ./cmd/veer

run: ## start the quickstart: three vantages and three toy backends on 127.0.0.x
	@echo 'Building Veer. A first build compiles etcd too and takes a few minutes; later ones take seconds.'
	@.ci/toolchain $(GO)
	@$(GOBUILD) -o bin/veer ./cmd/veer
	@$(GOBUILD) -o bin/quickstart ./cmd/quickstart
	@exec bin/quickstart

test: toolchain ## every test that needs only Go: no root, no apt, no C compiler
	CGO_ENABLED=0 $(GO) test -buildvcs=false -trimpath -timeout 20m ./...

newcomer: toolchain ## README, getting started and the tests, on a Debian with nothing but Go, make and git (root, debootstrap; 10 minutes)
	@.ci/newcomer $(GO)

check: ## all that CI runs, with -race and real Debian servers (root, 20 minutes)
	@.ci/check $(GO)

check-hosts: toolchain ## newcomer, test-packages and test-terraform at once: what needs a bare root or hosts that boot (root, 15 minutes)
	@.ci/hosts $(GO)

accept: ## every acceptance test in full; output goes to docs/benchmarks (root, hours)
	@.ci/accept $(GO)

bench: toolchain ## Go benchmarks
	CGO_ENABLED=0 $(GO) test -buildvcs=false -run '^$$' -bench . -benchmem ./...

bench-failover: toolchain ## time from kill to changed answer, beside gdnsd and PowerDNS (no root)
	@$(GOBUILD) -o bin/veer ./cmd/veer
	@$(GOBUILD) -o bin/benchfailover ./cmd/benchfailover
	@exec bin/benchfailover --repeats $(REPEATS)

bench-scale: toolchain ## 10,000 endpoints, 5 vantages: from the last needed vote to the new table, CPU and memory by role
	@$(GOBUILD) -o bin/veer ./cmd/veer
	@VEER=$(CURDIR)/bin/veer CGO_ENABLED=0 $(GO) test -buildvcs=false -count=1 -v -tags scale -run '^TestScale$$' ./cmd/veer/daemon

bench-prober: toolchain ## what 20,000 HTTP checks every 2 s cost, beside gdnsd (no root)
	@$(GOBUILD) -o bin/veer ./cmd/veer
	@$(GOBUILD) -o bin/benchprober ./cmd/benchprober
	@exec bin/benchprober --rounds $(ROUNDS)

bench-dns: toolchain ## what an answer of the authority costs, beside NSD, Knot, gdnsd and, with COREDNS, CoreDNS (no root, 15 minutes)
	@$(GOBUILD) -o bin/veer ./cmd/veer
	@$(GOBUILD) -o bin/benchdns ./cmd/benchdns
	@exec bin/benchdns --rounds $(ROUNDS) $(if $(COREDNS),$(if $(filter build,$(COREDNS)),--build-coredns,--coredns $(COREDNS)))

bench-dns-failover: toolchain ## REPEATS failovers of the authority at half load and at saturation: none lost or mixed, and how late (no root, 3 minutes)
	@$(GOBUILD) -o bin/veer ./cmd/veer
	@$(GOBUILD) -o bin/benchdns ./cmd/benchdns
	@exec bin/benchdns failover --repeats $(REPEATS)

bench-dns-flood: toolchain ## what honest clients of the authority see of floods, slow readers and 10,000 idle connections, with bounds (no root, 5 minutes)
	@$(GOBUILD) -o bin/veer ./cmd/veer
	@$(GOBUILD) -o bin/benchdns ./cmd/benchdns
	@exec bin/benchdns flood --rounds $(ROUNDS)

test-cluster: toolchain ## three regions 80 ms apart in network namespaces, cut and killed (root, 11 minutes)
	$(GO) test -buildvcs=false -count=1 -timeout 30m -v -tags netns $(if $(SCENARIO),-run '$(SCENARIO)') ./cmd/veer/clusterlab

bench-cluster: toolchain ## distributions of REPEATS failovers in three regions, with bounds (root, 40 minutes)
	VEER_BOUNDS=1 VEER_REPEATS=$(REPEATS) $(GO) test -buildvcs=false -count=1 -timeout 0 -v -tags netns \
		-run 'TestCluster/(backend|region_lost|controller)' ./cmd/veer/clusterlab

# What a release is made of, by a program in a Go module of its own.
RELEASE = cd cmd/veer/packaging && $(GO) run -buildvcs=false -trimpath ./release -go '$(GO)' -version '$(VERSION)' -date '$(DATE)' -ldflags '$(LDFLAGS)' -out '$(abspath $(DIST))'

release: toolchain ## binaries, packages, image, SBOM and checksums into dist (DIST); the same commit gives the same bytes
	@$(RELEASE)

deb: toolchain ## the Debian package alone, of this machine's architecture
	@$(RELEASE) -kinds deb -targets linux/$(shell $(GO) env GOARCH)

test-packages: toolchain ## packages on a host that boots, image, manifests, SBOM, two builds compared (root, systemd-nspawn, rpm; 2 minutes)
	@.ci/packaging $(GO)

test-terraform: build ## the Terraform modules and examples, without a cloud (root, terraform, systemd-nspawn, debootstrap; 3 minutes)
	@VEER=$(CURDIR)/bin/veer .ci/terraform $(GO)

terraform-docs: toolchain ## write the tables in the READMEs of the Terraform modules
	@cd terraform/internal && $(GO) run -buildvcs=false -trimpath ./readme ..

terraform-schemas: toolchain ## read the providers' schemas anew from the pinned npm packages (npm)
	@cd terraform/internal && $(GO) run -buildvcs=false -trimpath ./extract schemas

mutants: toolchain ## show that each property's test catches a broken twin, with the counter-example
	CGO_ENABLED=0 $(GO) test -buildvcs=false -count=1 -v -run 'Mutant' ./checks ./regions/... ./providers/...

fuzz: toolchain ## every fuzz target for FUZZTIME each
	@.ci/fuzz $(GO)

# 10m each unless the command line or the environment says otherwise.
fuzz-authority: FUZZTIME := $(if $(filter file,$(origin FUZZTIME)),10m,$(FUZZTIME))
fuzz-authority: toolchain ## the authority's fuzz targets for 10m each (FUZZTIME), with coverage
	@.ci/fuzz-authority $(GO)

soak: toolchain ## the property tests again and again for SOAKTIME, each time with a new seed
	@.ci/soak $(GO)

clean: ## remove bin, dist and what the quickstart left
	rm -rf bin dist .veer
