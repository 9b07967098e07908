# make help lists what there is.

COMPOSE   ?= docker compose
FUZZTIME  ?= 30s
BENCH     ?= .
COUNT     ?= 6
PROFILES  ?= profiles
# where profile-run-v1 and -v2 serve /debug/pprof/, and how long a CPU profile takes
PPROF_ADDR_v1 ?= $(or $(PPROF_ADDR_V1),localhost:6062)
PPROF_ADDR_v2 ?= $(or $(PPROF_ADDR_V2),localhost:6063)
PPROF_SECONDS ?= 30

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT    ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
# of the commit, not of the build: the same source gives the same binary
DATE      ?= $(shell TZ=UTC git show -s --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ HEAD 2>/dev/null)
LDFLAGS    = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# Tools, pinned, built by the Go toolchain into .tools/VERSION.
GOLANGCI  := .tools/v2.15.0/golangci-lint
BENCHSTAT := .tools/v0.0.0-20260908200009-22c9c6c9d4da/benchstat
K6        := .tools/v1.8.1/k6
VICTORIALOGS := .tools/v1.52.1/victoria-logs
NFPM      := .tools/v2.45.2/nfpm
CYCLONEDX := .tools/v1.9.0/cyclonedx-gomod
VERSITYGW := .tools/v1.8.0/versitygw
DUCKDB    := .tools/duckdb-2.0.1/bin/python
install    = GOBIN=$(CURDIR)/$(@D) go install

# Everything but the tools is a command and no file.
.PHONY: $(shell awk -F ':' '/^[a-z][^=]*:( |$$)/ {print $$1}' $(firstword $(MAKEFILE_LIST)))

help: ## this list
	@awk -F ':.*## ' '/^[a-z].*:.*## / {printf length($$1) < 28 ? "%-28s %s\n" : "%s\n%-28s %s\n", $$1, length($$1) < 28 ? $$2 : "", $$2}' $(MAKEFILE_LIST)

build: ## bin/server
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/server ./cmd/server

run: build ## build and run pipeline 1: :8082, ./logs, ./analytics
	bin/server

run-v1 run-v2: run-v%: build ## with the example configuration of that version
	bin/server -config config/examples/config.v$*.local.yaml

release: $(NFPM) $(CYCLONEDX) ## dist/: static binaries, deb and rpm for amd64 and arm64, SBOM, checksums
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' DATE='$(DATE)' NFPM=$(NFPM) CYCLONEDX=$(CYCLONEDX) config/deploy/packaging/release.sh

# --- checks

test: ## every test; what had to be left out is said at the end
	@rm -f .kafka/left-out
	go test -timeout 20m ./... && go test -tags poison ./codec ./server ./sink/hourly && \
	go test -tags crashpoints -run ChaosACrash ./sink/kafka ./sink/hourly; code=$$?; \
	if [ -s .kafka/left-out ]; then echo; cat .kafka/left-out; fi; exit $$code

test-shippers: ## real log shippers, each with 10,000 real lines and what docs/shippers.md says (installs them)
	bench/shippers/install.sh
	go test -tags shippers -count 1 -timeout 30m ./bench/shippers

test-page: build ## the dashboard in a real Chromium (Node.js, npm; chromium is installed for root)
	server/dashboard/e2e/run.sh

test-deploy: ## compose file, image, alert rules, Grafana queries: real linters, a real Prometheus
	config/deploy/check.sh

race: ## every test with the race detector and poisoned buffers
	go test -race -tags poison ./...

lint: $(GOLANGCI) ## format, go mod tidy, vet, golangci-lint
	go mod tidy -diff
	@unformatted=$$(git ls-files --cached --others --exclude-standard '*.go' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags poison,crashpoints ./...
	$(GOLANGCI) run --allow-parallel-runners

check: lint race ## what a commit has to pass

chaos: ## the long tests with kills, faults and rebalances; they print their seed
	go test -tags crashpoints ./sink/kafka -run 'Chaos|Cluster' -count 1 -v -timeout 2h -chaos.long
	go test ./bench/proof -run Instances -count 1 -v -timeout 20m -cluster
	go test ./bench/proof -run Archive -count 1 -v -timeout 3h -archive.kills 300
	go test ./bench/proof -run Killed -count 1 -v -timeout 1h -kills 200
	go test ./bench/hostile -run Memory -count 1 -v -timeout 1h -hostile.long

fuzz: ## every fuzz target for FUZZTIME
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

# --- measurements

bench: ## go benchmarks: BENCH=regexp COUNT=runs; says beforehand how long it takes
	@mkdir -p .bench
	@n=$$(git ls-files '*_test.go' | xargs grep -h '^func Benchmark' | grep -cE '$(or $(filter-out .,$(BENCH)),.)'); \
	echo "About $$n benchmarks, $(COUNT) runs each, with about ten cases in each: roughly $$((n * $(COUNT) * 25 / 60 + 1)) minutes on an idle machine. BENCH=regexp and COUNT=1 make it shorter."
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... | tee .bench/latest.txt

bench-compare: $(BENCHSTAT) ## pipeline 1 beside pipeline 2; with AGAINST=commit, this tree beside that one
	@mkdir -p .bench
ifdef AGAINST
	rm -rf .bench/tree && git worktree prune && git worktree add -f --detach .bench/tree $(AGAINST)
	cd .bench/tree && go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... > ../before.txt
	git worktree remove --force .bench/tree
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... > .bench/after.txt
	$(BENCHSTAT) .bench/before.txt .bench/after.txt
else
	go test -run '^$$' -bench Ingest -benchmem -count $(COUNT) ./bench | tee .bench/modes.txt
	$(BENCHSTAT) -col /mode,/ack -row /format,/batch .bench/modes.txt
endif

bench-shippers: $(VICTORIALOGS) ## what shippers send, by records per CPU-second, with VictoriaLogs beside it; COMPARE=flags
	go run ./bench/compare -servers in-canonical,in-combined,in-fluentbit,in-apache,in-bulk,in-otlp,in-otlp-json,in-loki,in-loki-json,vl-bulk,vl-otlp,vl-loki,vl-loki-json -batches 1000 $(COMPARE)

bench-servers: ## this server beside its baselines, by records per CPU-second
	go run ./bench/compare

loadtest: $(K6) build ## k6 against both, with a table; SCENARIO, FORMAT, BATCH, ACK, RATE as in bench/k6/run.sh
	K6=$(K6) bench/k6/run.sh v1 v2

loadtest-v1 loadtest-v2: loadtest-v%: $(K6) build ## a smoke test with k6 against :8082 or :8083, or a server of its own where none answers
	K6=$(K6) bench/k6/run.sh v$*

# --- profiles (cmd/server/profile.go)

capture-profile-v1 capture-profile-v2: capture-profile-v%: build ## a whole run into profiles/{cpu,heap,goroutine}_v1.prof (_v2)
	PROFILE_CAPTURE=1 PROFILE_NAME=v$* PROFILE_DIR=$(PROFILES) bin/server -config config/examples/config.v$*.local.yaml

profile-run-v1 profile-run-v2: profile-run-v%: build ## run with /debug/pprof/ on localhost:6062 (v1) or :6063 (v2); PPROF_ADDR_V1, PPROF_ADDR_V2
	PROFILE_ENABLED=1 PROFILE_ADDR=$(PPROF_ADDR_v$*) bin/server -config config/examples/config.v$*.local.yaml

# The stem is cpu-v1.
kind   = $(word 1,$(subst -, ,$*))
v      = $(word 2,$(subst -, ,$*))
fetch  = $(if $(filter cpu,$(kind)),profile?seconds=$(PPROF_SECONDS),$(kind))
latest = $(lastword $(sort $(wildcard $(PROFILES)/$(kind)_$(1)*.prof)))
have   = $(or $(call latest,$(1)),$(error $(PROFILES) holds no $(kind)_$(1)*.prof: make capture-profile-$(1) or profile-$(kind)-$(1)))

profile-cpu-v1 profile-heap-v1 profile-goroutine-v1 profile-cpu-v2 profile-heap-v2 profile-goroutine-v2: profile-%: ## fetch one from profile-run, and its top
	@mkdir -p $(PROFILES)
	@file=$(PROFILES)/$(kind)_$(v)_$$(date +%Y%m%d%H%M%S).prof; \
	go tool pprof -proto -output $$file 'http://$(PPROF_ADDR_$(v))/debug/pprof/$(fetch)' && go tool pprof -top $$file

profile-ui-cpu-v1 profile-ui-heap-v1 profile-ui-goroutine-v1 profile-ui-cpu-v2 profile-ui-heap-v2 profile-ui-goroutine-v2: profile-ui-%: ## the latest in a browser, port 8085 (v1) or 8086 (v2)
	go tool pprof -http localhost:$(if $(filter v1,$(v)),8085,8086) $(call have,$(v))

profile-ui-cpu-compare profile-ui-heap-compare profile-ui-goroutine-compare: profile-ui-%-compare: ## pipeline 2 with pipeline 1 as the base, port 8087, 8088 or 8089
	go tool pprof -http localhost:$(if $(filter cpu,$*),8087,$(if $(filter heap,$*),8088,8089)) -diff_base $(call have,v1) $(call have,v2)

# -trimpath and a directory of no name keep this machine's paths out of it.
pgo: ## cmd/server/default.pgo, which builds of bin/server are guided by, from the ingest benchmark (make kafka-up)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	go test ./bench -trimpath -run '^$$' -bench Ingest -benchtime 1s -o "$$dir/bench.test" -cpuprofile "$$dir/cpu.pgo" && \
	mv "$$dir/cpu.pgo" cmd/server/default.pgo

# --- Kafka, Prometheus

kafka-up kafka-down kafka-status: kafka-%: ## Apache Kafka on localhost:19092 without Docker (Java, Maven)
	sink/kafka/kafkatest/broker/broker.sh $*

s3-up s3-down s3-status: s3-%: ## an S3 server on localhost:7070 without Docker, with the bucket logforge
	sink/archive/archivetest/s3.sh $*

postgres-up postgres-down postgres-status: postgres-%: ## PostgreSQL on localhost:15432 without Docker (Debian's postgresql)
	sink/archive/archivetest/postgres.sh $*

archive-tools: $(VERSITYGW) $(DUCKDB) ## what the tests of the archive need besides PostgreSQL

kafka-topic: build ## the topic logs, if it is not there
	bin/server topic -config config/examples/config.v2.local.yaml

stack-up: ## Docker: Kafka, Prometheus, Grafana, app-v1 (:8082), app-v2 (:8083); ARCHIVE=1: S3 (:7070), PostgreSQL (:15432)
	ARCHIVE=$(ARCHIVE) VERSION=$(VERSION) COMMIT=$(COMMIT) BUILD_DATE=$(DATE) COMPOSE_PROFILES=$(if $(ARCHIVE),archive) $(COMPOSE) up -d --build
	@echo "app-v1 :8082, app-v2 :8083, Prometheus :9090, Grafana :3000"

infra-up: ## Docker: Kafka and Prometheus only; the app runs outside
	PROMETHEUS_TARGETS=host $(COMPOSE) up -d --wait kafka prometheus
	$(MAKE) kafka-topic

stack-down: ## and its volumes
	COMPOSE_PROFILES=archive $(COMPOSE) down -v

infra-down:
	$(COMPOSE) stop kafka prometheus

vendor-assets: ## the dashboard's chart library, as published, with its licence
	server/dashboard/vendor.sh

clean: ## what was built; never logs
	rm -rf bin .bench

$(GOLANGCI):
	$(install) github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(notdir $(@D))
$(BENCHSTAT):
	$(install) golang.org/x/perf/cmd/benchstat@$(notdir $(@D))
$(NFPM):
	$(install) github.com/goreleaser/nfpm/v2/cmd/nfpm@$(notdir $(@D))
$(CYCLONEDX):
	$(install) github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(notdir $(@D))
$(VICTORIALOGS):
	$(install) github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@$(notdir $(@D))
$(K6):
	$(install) go.k6.io/k6@$(notdir $(@D))
$(VERSITYGW):
	$(install) github.com/versity/versitygw/cmd/versitygw@$(notdir $(@D))
$(DUCKDB):
	python3 -m venv $(dir $(@D)) && $(@D)/pip install -q --disable-pip-version-check duckdb==$(patsubst duckdb-%,%,$(notdir $(patsubst %/bin,%,$(@D))))
