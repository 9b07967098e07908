# make help lists what there is.

COMPOSE   ?= docker compose
FUZZTIME  ?= 30s
BENCH     ?= .
COUNT     ?= 6
PROFILES  ?= profiles
# pprof of profile-run-v1 and -v2 listens on 6061 and 6062
PPROF      = localhost:606$*
SECONDS   ?= 30

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT    ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
# of the commit, not of the build: the same source gives the same binary
DATE      ?= $(shell TZ=UTC git show -s --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ HEAD 2>/dev/null)
LDFLAGS    = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# Tools, pinned, built by the Go toolchain into .tools/VERSION.
GOLANGCI  := .tools/v2.15.0/golangci-lint
BENCHSTAT := .tools/v0.0.0-20260908200009-22c9c6c9d4da/benchstat
K6        := .tools/v1.8.1/k6
install    = GOBIN=$(CURDIR)/$(@D) go install

.PHONY: help build run test race lint check fuzz chaos bench bench-compare bench-servers loadtest \
	stack-up stack-down infra-up infra-down kafka-up kafka-down kafka-status kafka-topic clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z%].*:.*## / {printf "%-28s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/server
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/server ./cmd/server

run: build ## build and run version 1: :8082, ./logs, ./analytics
	bin/server

run-v%: build ## run-v1, run-v2: with the example configuration of that version
	bin/server -config config/examples/config.v$*.local.yaml

# --- checks

test: ## every test; what had to be left out is said at the end
	@rm -f .kafka/left-out
	go test ./... && go test -tags poison ./codec ./server ./sink; code=$$?; \
	if [ -s .kafka/left-out ]; then echo; cat .kafka/left-out; fi; exit $$code

race: ## every test with the race detector and poisoned buffers
	go test -race -tags poison ./...

lint: $(GOLANGCI) ## format, vet, golangci-lint
	@unformatted=$$(git ls-files --cached --others --exclude-standard '*.go' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags poison,crashpoints ./...
	$(GOLANGCI) run

check: lint race ## what a commit has to pass

chaos: ## the long tests with kills, faults and rebalances; they print their seed
	go test ./sink/kafka -run Chaos -count 1 -v -timeout 2h -chaos.long
	go test ./bench/proof -run Killed -count 1 -v -timeout 1h -kills 200

fuzz: ## every fuzz target for FUZZTIME
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

# --- measurements

bench: ## go benchmarks: BENCH=regexp COUNT=runs
	@mkdir -p .bench
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... | tee .bench/latest.txt

bench-compare: $(BENCHSTAT) ## version 1 beside version 2; with AGAINST=commit, this tree beside that one
	@mkdir -p .bench
ifdef AGAINST
	rm -rf .bench/tree && git worktree prune && git worktree add -f --detach .bench/tree $(AGAINST)
	cd .bench/tree && go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... > ../before.txt
	git worktree remove --force .bench/tree
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... > .bench/after.txt
	$(BENCHSTAT) .bench/before.txt .bench/after.txt
else
	go test -run '^$$' -bench Ingest -benchmem -count $(COUNT) ./bench | tee .bench/modes.txt
	$(BENCHSTAT) -col /mode .bench/modes.txt
endif

bench-servers: ## this server beside the walls and the first design, by records per CPU-second
	go run ./bench/compare

loadtest: $(K6) build ## k6 against both, with a table; SCENARIO, FORMAT, BATCH, ACK, RATE as in bench/k6/run.sh
	K6=$(K6) bench/k6/run.sh v1 v2

loadtest-v%: $(K6) build ## loadtest-v1, loadtest-v2: k6 against :8082 or :8083
	K6=$(K6) bench/k6/run.sh v$*

# --- profiles (cmd/server/profile.go)

capture-profile-v%: build ## a whole run into profiles/{cpu,heap,goroutine}_v1.prof or _v2
	PROFILE_CAPTURE=1 PROFILE_NAME=v$* PROFILE_DIR=$(PROFILES) bin/server -config config/examples/config.v$*.local.yaml

profile-run-v%: build ## run with /debug/pprof/ on localhost:6061 (v1) or :6062 (v2)
	PROFILE_ENABLED=1 PROFILE_ADDR=$(PPROF) bin/server -config config/examples/config.v$*.local.yaml

profile-cpu-v%: path = profile?seconds=$(SECONDS)
profile-heap-v%: path = heap
profile-goroutine-v%: path = goroutine
profile-cpu-v% profile-heap-v% profile-goroutine-v%: ## fetch one from profile-run-v1 or -v2, and its top
	@mkdir -p $(PROFILES)
	@file=$(PROFILES)/$(word 2,$(subst -, ,$@))_v$*_$$(date +%Y%m%d%H%M%S).prof; \
	go tool pprof -proto -output $$file 'http://$(PPROF)/debug/pprof/$(path)' && go tool pprof -top $$file

latest = $(lastword $(sort $(wildcard $(PROFILES)/$(1)_$(2)*.prof)))
kind   = $(word 3,$(subst -, ,$@))
profile-ui-cpu-v% profile-ui-heap-v% profile-ui-goroutine-v%: ## the latest in a browser, on port 8085 or 8086
	$(if $(call latest,$(kind),v$*),,$(error no $(kind)_v$*.prof in $(PROFILES): make capture-profile-v$* or profile-$(kind)-v$*))
	go tool pprof -http localhost:$(if $(filter 1,$*),8085,8086) $(call latest,$(kind),v$*)

profile-ui-%-compare: ## cpu, heap or goroutine: version 2 with version 1 as the base, on port 8087
	$(if $(and $(call latest,$*,v1),$(call latest,$*,v2)),,$(error $(PROFILES) lacks a $* profile of one version: make capture-profile-v1 capture-profile-v2))
	go tool pprof -http localhost:8087 -diff_base $(call latest,$*,v1) $(call latest,$*,v2)

# --- Kafka, Prometheus

kafka-up kafka-down kafka-status: kafka-%: ## Apache Kafka on localhost:19092 without Docker (Java, Maven)
	sink/kafka/broker/broker.sh $*

kafka-topic: build ## the topic logs, if it is not there
	bin/server topic -config config/examples/config.v2.local.yaml

stack-up: ## Docker: Kafka, Prometheus, Grafana, app-v1 (:8082), app-v2 (:8083)
	VERSION=$(VERSION) COMMIT=$(COMMIT) BUILD_DATE=$(DATE) $(COMPOSE) up -d --build
	@echo "app-v1 :8082, app-v2 :8083, Prometheus :9090, Grafana :3000"

infra-up: ## Docker: Kafka and Prometheus only; the app runs outside
	PROMETHEUS_TARGETS=host $(COMPOSE) up -d --wait kafka prometheus
	$(MAKE) kafka-topic

stack-down: ## and its volumes
	$(COMPOSE) down -v

infra-down:
	$(COMPOSE) stop kafka prometheus

clean: ## what was built; never logs
	rm -rf bin .bench

$(GOLANGCI):
	$(install) github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(notdir $(@D))
$(BENCHSTAT):
	$(install) golang.org/x/perf/cmd/benchstat@$(notdir $(@D))
$(K6):
	$(install) go.k6.io/k6@$(notdir $(@D))
