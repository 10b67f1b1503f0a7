# Everything that is done often, in one word. `make help` lists the words.

CARGO  ?= cargo
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
LB_APP := $(TARGET)/release/lb-app
# Where make install puts things; DESTDIR goes before all of them, for those who make packages.
PREFIX ?= /usr/local
# The programs that it installs: those of make build.
BIN    ?= $(TARGET)/release
# What the demo and the stories run: Cargo.toml says what differs.
STORY  := $(TARGET)/story
STORIES = LB_APP=$(STORY)/lb-app CARGO=$(CARGO) tests/stories.sh
# What is asked for at run time lives in sbin, which is not on everybody's path.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

# Tables of the benchmarks on huge pages, as lb-app's own allocator puts them.
HUGE   := GLIBC_TUNABLES=glibc.malloc.hugetlb=1
# The documentation is for readers of the source: what is public may refer them to what is not.
RUSTDOC := -D warnings -A rustdoc::private_intra_doc_links
BENCH  := $(TARGET)/bench
PERF   := $(TARGET)/release

.PHONY: demo-ecmp demo-ecmp-deps help sim test-console test-floods test-host-speed test-methods test-offload test-rss test-uml build build-deps build-story install check check-dpdk clean demo demo-deps demo-stop deps test root
.PHONY: bench bench-build bench-control bench-deps bench-instructions bench-io bench-pipeline bench-ports bench-results
.PHONY: release test-release
.PHONY: deb package-deps test-deb container container-deps test-container test-dockerfile
.PHONY: image image-deps test-image
.NOTPARALLEL:

help:
	@echo "make demo          build, forward real HTTP through every method in a world of namespaces, show how it went"
	@echo "make demo KEEP=1   the same, but leave it running for a look around"
	@echo "make demo-stop     end a demo that was left running"
	@echo "make demo-ecmp     three directors behind a router: kill, drain and restart them under live connections; what broke (needs root)"
	@echo "make test          check, then every test: units, properties, stories in namespaces (needs root)"
	@echo "make test-console  the page in headless Chromium: states, filter, keyboard, dark, narrow, hostile names (needs root)"
	@echo "make sim SEEDS=N   random runs of whole clusters: deaths, drains, returns, reloads; a seed that fails says how to replay it"
	@echo "make test-floods   floods from forged sources through every method, while real clients are served (needs root)"
	@echo "make test-host-speed  how fast the host side of a port is, by iperf3 (needs root)"
	@echo "make test-methods  ten megabytes through every method and family, over narrow links as well, and FTP of 50 MB (needs root)"
	@echo "make test-offload  what emulated NICs (igb, virtio-net) compute is what workers do, on the wire (needs root)"
	@echo "make test-rss      NAT on emulated NICs (igb, virtio-net) with 2 and 4 queues: nothing is handed over (needs root)"
	@echo "make test-uml      kernels of their own (User-Mode Linux): servers behind real tunnels, SCTP's ends, a director of IPVS that hands over (needs root)"
	@echo "make check         formatting, lints, documentation, spelling, dependencies and their licences"
	@echo "make check-dpdk    the binding compiled and tested with the DPDK of Debian 12, 13 and sid, in chroots (needs root)"
	@echo "make bench         what a packet costs: in memory, on a port, in instructions; perf/README.md says more"
	@echo "make bench-ports   the same on AF_PACKET, AF_XDP and virtio ports; docs/deploying.md says more"
	@echo "make bench-control what clients of the control socket cost forwarding"
	@echo "make bench-results the same figures as tables and plots, in perf/results"
	@echo "make build         lb-app, lbctl and lb-sync, optimised, in $(dir $(LB_APP)); needs no package that only tests use"
	@echo "make install       them, their manual pages, completions and unit, below PREFIX ($(PREFIX)) and DESTDIR"
	@echo "make deb           packages for Debian 12 and 13, in $(TARGET)/deb (needs root)"
	@echo "make test-deb      install, start, reload, upgrade and purge them, under systemd in namespaces (needs root)"
	@echo "make container     an image in OCI format, in $(TARGET)/container (needs root, and no container engine)"
	@echo "make test-container run it with runc and crun, in namespaces (needs root)"
	@echo "make test-dockerfile build docker/Dockerfile with buildah, and run what comes of it (needs root)"
	@echo "make image         a disk for bare metal and virtual machines, in $(TARGET)/appliance (needs root)"
	@echo "make test-image    start it in qemu between a client and servers, and try it; takes a while (needs root)"
	@echo "make release       what is published of this commit, in $(TARGET)/dist: MINISIGN_KEY=FILE, GPG_KEY=ID or UNSIGNED=1"
	@echo "make test-release  make one of lbctl alone with throwaway keys, and look at it"
	@echo "make deps          install the Debian packages that tests need; the others install what they need"
	@echo "make clean         remove everything that was built"

root:
	@[ "$$(id -u)" = 0 ] || { echo "make $(MAKECMDGOALS) needs root, for network namespaces" >&2; exit 1; }

deps:
	@tests/deps.sh build world routing test uml

build-deps:
	@tests/deps.sh build

build: build-deps
	$(CARGO) build --locked --release -p lb-app -p lb-ctl -p lb-sync

# Compiles nothing, so that it may run as another user than make build did.
install:
	@docker/install $(BIN) $(PREFIX) $(DESTDIR)

# All in one call: crates that they share are compiled once, with the features that any of them asks for.
build-story: build-deps
	@[ -e $(STORY)/lb-app ] || echo "Compiling lb-app, lbctl and the demos, which takes two minutes the first time"
	$(CARGO) build --locked --profile story -p lb-app -p lb-ctl -p lb-sync -p lb-stories --bins

package-deps:
	@tests/deps.sh build package world

deb: root package-deps
	docker/debian/build

test-deb: root package-deps
	docker/debian/test

container-deps:
	@tests/deps.sh build package container world

container: root container-deps
	docker/container/build

test-container: root container-deps
	docker/container/test
	RUNTIME=crun docker/container/test

test-dockerfile: root container
	@tests/deps.sh dockerfile
	docker/container/test-dockerfile

demo-deps:
	@tests/deps.sh build world

demo: root demo-deps build-story
	@echo
	@KEEP=$(KEEP) LB_APP=$(STORY)/lb-app $(STORY)/demo

demo-ecmp-deps:
	@tests/deps.sh build world routing

demo-ecmp: root demo-ecmp-deps build-story
	@echo
	@LB_APP=$(STORY)/lb-app $(STORY)/demo-ecmp

demo-stop: root
	@if [ -x $(STORY)/demo ]; then $(STORY)/demo stop; else echo "No demo is running."; fi

check: build-deps
	$(CARGO) fmt --all --check
	@tests/check.sh
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="$(RUSTDOC)" $(CARGO) doc --quiet --locked --workspace --no-deps --document-private-items

# The stories are told with an optimised lb-app, because 100 MB take their time. They wait most of the time, and each
# for its turn: tests/src/turn.rs. So instructions are counted meanwhile, whose number is the same on a busy machine.
test: root deps check build-story
	RUST_TEST_THREADS=4 $(CARGO) test --locked --no-fail-fast --workspace --exclude lb-stories
	$(CARGO) build --locked --release -p lb-perf --bin instructions
	@mkdir -p $(BENCH); echo "Instructions are counted beside the stories"; \
	nice -n 19 $(MAKE) --no-print-directory bench-instructions >$(BENCH)/instructions.log 2>&1 & counting=$$!; \
	$(STORIES) -- --test-threads 8; told=$$?; \
	wait $$counting; counted=$$?; \
	if [ $$counted = 0 ]; then echo "Instructions are as perf/instructions.json has them: $(BENCH)/instructions.log"; else cat $(BENCH)/instructions.log; fi; \
	exit $$((told | counted))

test-console: root deps build-story
	@tests/deps.sh browser
	$(STORIES) --test stories -- console:: --include-ignored --nocapture

test-uml: root deps build-story
	@tests/deps.sh uml
	$(STORIES) --test stories -- guests:: ipvs:: sctp:: --include-ignored --nocapture

test-methods: root deps build-story
	$(STORIES) --test stories -- methods:: ftp:: --include-ignored --nocapture

test-offload: root build-story
	@tests/deps.sh build package world qemu
	LB_APP=$(STORY)/lb-app LBCTL=$(STORY)/lbctl tests/qemu/offload

test-rss: root build-story
	@tests/deps.sh build package world qemu
	LB_APP=$(STORY)/lb-app LBCTL=$(STORY)/lbctl tests/qemu/run

test-host-speed: root deps build-story
	@tests/deps.sh speed
	$(STORIES) --test stories -- host_speed:: --include-ignored --nocapture

sim: deps
	$(CARGO) test --locked -p lb-core --test cluster promised -- --nocapture

test-floods: root deps build-story
	$(STORIES) --test stories -- floods:: --include-ignored --nocapture

check-dpdk: root
	@tests/deps.sh build package
	@docker/check-dpdk $(RELEASES)

image-deps:
	@tests/deps.sh build world image

image: root image-deps
	@docker/appliance/build

test-image: image
	@python3 docker/appliance/test/setup.py
	@python3 docker/appliance/test/slot.py
	@docker/appliance/test/run

# PARTS="packages lbctl" makes these only; without, each that can be made here.
release:
	@docker/release $(PARTS)

test-release: build-deps
	@docker/test-release

bench-deps:
	@tests/deps.sh build world test bench

bench-build: build-deps
	$(CARGO) build --locked --release -p lb-perf --bins

bench-pipeline: bench-build
	$(HUGE) $(PERF)/pipeline --output $(BENCH)/pipeline.json

bench-io: root bench-deps build bench-build
	$(PERF)/io --lb-app $(LB_APP) --output $(BENCH)/io.json

bench-ports: root bench-deps build bench-build
	$(PERF)/ports --lb-app $(LB_APP) --output $(BENCH)/ports.json

# UPDATE=1 rewrites perf/instructions.json.
bench-instructions: deps
	$(CARGO) build --locked --release -p lb-perf --bin instructions
	$(PERF)/instructions --output $(BENCH)/instructions.json $(if $(UPDATE),--update)

# What clients of the control socket cost forwarding: about three minutes, and 5 GB of memory.
bench-control: root build bench-build
	$(PERF)/control --lb-app $(LB_APP) --folder $(BENCH)/control

bench: bench-pipeline bench-io bench-instructions
	@echo
	@$(PERF)/report table $(BENCH)/pipeline.json $(BENCH)/io.json $(BENCH)/instructions.json

bench-results: bench-build
	$(PERF)/report results --output perf/results $(BENCH)/pipeline.json $(BENCH)/io.json $(BENCH)/instructions.json

clean:
	@[ ! -e $(STORY)/demo.state ] || $(MAKE) --no-print-directory demo-stop
	$(CARGO) clean
