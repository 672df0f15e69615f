# macloom. `make help` lists the targets.

SHELL      := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

GOLANGCI   ?= github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME   ?= 20s
BENCHTIME  ?= 1s
KERNELTESTS ?= ^Test(TenantsReachTheirOwnNetworksOnly|ARuleOpensAndCloses|ABoundPortSpeaksOnlyAsItself|TCPCarriesALoad|ParallelLinks|Queues|ClientsStay|ClientsThatSay|NewClients)
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# TestQueues… need what only the kernel's datapath has: test leaves them out, test-kernel runs them.
QUEUETESTS := ^TestQueues

# Tests below test/ make network namespaces, so their binaries run as root. They
# wait more than they compute, so more of them run at once than there are cores.
ifneq ($(shell id -u),0)
AS_ROOT := -exec 'sudo -E'
endif

.DEFAULT_GOAL := help
.PHONY: help run test test-kernel picture bench build lint fuzz deps clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Install what is missing, build, and start the controller (ARGS="--http …" for its flags)
	@test/deps.sh run
	@$(MAKE) --no-print-directory build
	@exec bin/macloom serve $(ARGS)

build: ## Build bin/macloom
	@command -v go >/dev/null || { echo "make: Go 1.26 or later is needed to build: see https://go.dev/dl" >&2; exit 1; }
	go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/macloom ./cmd/macloom

# With -trimpath, as in what users get, these compile the packages that they have in common once.
test: ## Install what is missing and run every test, on real PostgreSQL and Open vSwitch
	@test/deps.sh test
	@unformatted=$$(gofmt -l cmd controller migrations northbound southbound test); \
		test -z "$$unformatted" || { echo "not formatted with gofmt:" $$unformatted >&2; exit 1; }
	go vet -trimpath ./...
	go test -race -timeout 15m ./cmd/... ./controller/... ./migrations/... ./northbound/... ./southbound/... ./test
	@$(MAKE) --no-print-directory build
	MACLOOM_TEST_BINARY=$(CURDIR)/bin/macloom test/again -trimpath -count=1 -parallel 4 -skip '$(QUEUETESTS)' $(AS_ROOT) -timeout 20m $$(go list ./test/... | grep -v '/test$$')

# The machine is emulated in software where it must be: what fails there is tried
# once more.
test-kernel: ## Run the tests of the data plane on the kernel's datapath, in a virtual machine
	@test/deps.sh kernel
	@$(MAKE) --no-print-directory build
	go test -trimpath -c -o bin/e2e.test ./test/e2e
	cd test/e2e && MACLOOM_TEST_BINARY=$(CURDIR)/bin/macloom ../kernellab/again $(CURDIR)/bin/e2e.test '$(KERNELTESTS)' -test.parallel 2 -test.timeout 15m

# In the virtual machine nothing stays that is written, so what was measured comes on its output.
picture: ## Measure latency with and without priority, and draw docs/qos-latency.svg
	@test/deps.sh kernel
	@$(MAKE) --no-print-directory build
	go test -c -o bin/e2e.test ./test/e2e
	cd test/e2e && ../kernellab/kernellab env MACLOOM_TEST_DATAPATH=system MACLOOM_TEST_BINARY=$(CURDIR)/bin/macloom MACLOOM_TEST_SAMPLES=1 \
		$(CURDIR)/bin/e2e.test -test.v -test.run '^TestQueuesKeepVoice' | tee $(CURDIR)/bin/qos-latency.log
	{ echo "# $$(date -u +%F), load average of the host $$(cut -d ' ' -f 1-3 /proc/loadavg)"; sed -n 's/^sample,//p' bin/qos-latency.log; } >docs/qos-latency.csv
	go run ./test/kernellab/picture <docs/qos-latency.csv >docs/qos-latency.svg

bench: ## Run the benchmarks (BENCHTIME=1s each)
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) \
		$$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n 1 dirname | sort -u)

# The go command sometimes takes the end of the time for a failure: it then says
# no more than "context deadline exceeded", and has written no failing input.
fuzz: ## Fuzz every target for FUZZTIME (20s)
	@grep -rH --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file func; do \
		echo "$$(dirname "$$file") $${func#func }"; \
		if ! said=$$(go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" 2>&1); then \
			case "$$said" in *"Failing input"*) ;; *"context deadline exceeded"*) echo "ended late"; continue;; esac; \
			echo "$$said"; exit 1; \
		fi; \
		echo "$$said" | tail -n 1; \
	done

lint: ## Run golangci-lint (built on first use) with the rules of .golangci.yml
	go run $(GOLANGCI) run ./...

deps: ## Install the Debian packages that run and test need
	@test/deps.sh test

clean: ## Remove what was built
	rm -rf bin
