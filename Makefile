# Gureum: one makefile for everything, `make help` lists what it can do.
#
#   make                   the programs, in build/release/
#   make MODE=asan unit    unit tests with AddressSanitizer and UndefinedBehaviorSanitizer
#   make test              installs what is missing, builds and runs every test
#
# Sources are found by wildcard: a new file in a known folder needs no edit here. Which folder goes into which
# library, and which libraries a program may link, is the second half of DESIGN section 1: libcore.a links with
# nothing but libc, and the unit tests of the pure folders and kvsim prove it by linking without libuv and RocksDB.

MODE  ?= release
BUILD ?= build
OUT   := $(BUILD)/$(MODE)
OBJ   := $(OUT)/obj
GEN   := $(OUT)/gen

PREFIX  ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
TIDY_CHECKS  ?= clang-analyzer-*,bugprone-*,performance-*,-bugprone-easily-swappable-parameters,-bugprone-assignment-in-if-condition,-bugprone-reserved-identifier,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling

ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(MODE)),clang,gcc)
endif
ifeq ($(CI),true)
WERROR := 1
endif
WERROR ?= 1
Q := $(if $(V),,@)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# ---- where the libraries are ----------------------------------------------------------------------------------
# Installed ones come from pkg-config, or are guessed when it is not there yet (deps.sh may be about to install
# it). `scripts/deps.sh --user` unpacks packages under .deps/ instead; those are searched first. RPATH rather than
# RUNPATH, because only RPATH is searched for the libraries of a library (RocksDB needs snappy).

ifneq ($(wildcard .deps/usr),)
DEPS     := $(abspath .deps)
DEPS_LIB := $(patsubst %/,%,$(wildcard $(DEPS)/usr/lib/*-linux-gnu*/)) $(DEPS)/usr/lib
export PATH := $(DEPS)/run:$(PATH)
DEPS_CPPFLAGS := $(addprefix -idirafter ,$(patsubst %/,%,$(wildcard $(DEPS)/usr/include/*-linux-gnu*/)) \
                 $(DEPS)/usr/include $(DEPS)/usr/include/editline)
DEPS_LDFLAGS  := $(foreach d,$(DEPS_LIB),-B$(d) -L$(d) -Wl,-rpath,$(d)) -Wl,--disable-new-dtags
endif

# $(call pkg-cflags,NAME) and $(call pkg-libs,NAME,FALLBACK)
pkg-cflags = $(shell pkg-config --cflags $(1) 2>/dev/null)
pkg-libs   = $(shell pkg-config --libs $(1) 2>/dev/null || echo '$(2)')

UV_LIBS      := $(call pkg-libs,libuv,-luv -lpthread -ldl -lrt)
ROCKSDB_LIBS := $(call pkg-libs,rocksdb,-lrocksdb)
WIRE_LIBS    := $(call pkg-libs,libprotobuf-c liblz4,-lprotobuf-c -llz4)
CLI_LIBS     := $(call pkg-libs,jansson libedit,-ljansson -ledit)
CONFUSE_LIBS := $(call pkg-libs,libconfuse,-lconfuse)
CMOCKA_LIBS  := $(call pkg-libs,cmocka,-lcmocka)
JEMALLOC_LIBS := $(call pkg-libs,jemalloc,-ljemalloc)

# ---- flags ----------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wconversion $(if $(filter 1,$(WERROR)),-Werror)
CPPFLAGS += -D_GNU_SOURCE -Isrc -Iinclude -Itests $(DEPS_CPPFLAGS) $(sort $(call pkg-cflags,libuv libprotobuf-c liblz4))
EDIT_CPPFLAGS := $(call pkg-cflags,libedit)
BASE_CFLAGS := -std=gnu11 -fvisibility=hidden -fno-omit-frame-pointer -fno-optimize-sibling-calls

# A backtrace has functions and lines in every build; a debugger sees variables in a debug build, which takes longer.
BASE_CFLAGS += $(if $(filter debug,$(MODE)),-g,-g1)

ifeq ($(MODE),release)
BASE_CFLAGS += -O2 -fstack-protector-strong
CPPFLAGS    += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
KVD_MALLOC  := $(JEMALLOC_LIBS)
else ifeq ($(MODE),debug)
BASE_CFLAGS += -O0
KVD_MALLOC  := $(JEMALLOC_LIBS)
else ifeq ($(MODE),mutants)
BASE_CFLAGS += -O2 -DMUTANTS
else ifeq ($(MODE),asan)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
BASE_CFLAGS += -O1
else ifeq ($(MODE),tsan)
SANITIZE := -fsanitize=thread
BASE_CFLAGS += -O1
else ifeq ($(MODE),fuzz)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
BASE_CFLAGS += -O1 -fsanitize=fuzzer-no-link
else
$(error MODE is one of debug, release, asan, tsan (fuzz and mutants are for their targets), not '$(MODE)')
endif
BASE_CFLAGS += $(SANITIZE)
LDFLAGS += $(SANITIZE) $(DEPS_LDFLAGS)

# ---- sources and libraries ------------------------------------------------------------------------------------

PURE_DIRS := base model ring swim hub paxos coord repair node
src-of = $(foreach d,$(1),$(sort $(wildcard src/$(d)/*.c)))
obj-of = $(addprefix $(OBJ)/,$(1:.c=.o))

CORE_SRC   := $(call src-of,$(PURE_DIRS))
WIRE_SRC   := $(call src-of,wire)
STORE_SRC  := $(call src-of,store)
UV_SRC     := $(call src-of,uv)
SIM_SRC    := $(call src-of,sim)
CLIENT_SRC := $(call src-of,client)
CMD_SRC    := $(call src-of,cmd)
CHECK_SRC  := $(sort $(wildcard src/sim/check_*.c src/sim/history*.c))
CLIENT_PURE_SRC := $(filter-out src/client/uv% src/client/blocking%,$(CLIENT_SRC))
PROTO      := $(sort $(wildcard proto/*.proto))
GEN_SRC    := $(PROTO:proto/%.proto=$(GEN)/%.pb-c.c)
GEN_HDR    := $(GEN_SRC:.c=.h)
GEN_OBJ    := $(GEN_SRC:.c=.o)

# A program is built once its main file exists: src/cmd/NAME.c or src/cmd/NAME_main.c.
PROGRAM_NAMES := kvd kvcli kvbench kvsim
MAIN_SRC := $(filter $(foreach p,$(PROGRAM_NAMES),src/cmd/$(p).c src/cmd/$(p)_main.c),$(CMD_SRC))
PROGRAMS := $(foreach p,$(PROGRAM_NAMES),$(if $(filter src/cmd/$(p).c src/cmd/$(p)_main.c,$(MAIN_SRC)),$(OUT)/$(p)))
main-obj = $(call obj-of,$(filter src/cmd/$(1).c src/cmd/$(1)_main.c,$(MAIN_SRC)))

LIBCORE  := $(OUT)/libcore.a
LIBWIRE  := $(OUT)/libwire.a
LIBSTORE := $(OUT)/libstore.a
LIBUV    := $(OUT)/libuvshell.a
LIBSIM   := $(OUT)/libsim.a
LIBKV    := $(OUT)/libkv.a
LIBPURE  := $(OUT)/libclientpure.a
LIBCMD   := $(OUT)/libcmd.a

$(LIBCORE):  $(call obj-of,$(CORE_SRC))
$(LIBWIRE):  $(call obj-of,$(WIRE_SRC)) $(GEN_OBJ)
$(LIBSTORE): $(call obj-of,$(STORE_SRC))
$(LIBUV):    $(call obj-of,$(UV_SRC))
$(LIBSIM):   $(call obj-of,$(SIM_SRC))
$(LIBPURE):  $(call obj-of,$(CLIENT_PURE_SRC))
$(LIBCMD):   $(call obj-of,$(filter-out $(MAIN_SRC),$(CMD_SRC)))
# What applications link is whole: only libuv, protobuf-c and lz4 remain.
$(LIBKV):    $(call obj-of,$(CLIENT_SRC) $(call src-of,base model ring) $(WIRE_SRC)) $(GEN_OBJ)

ALL_LIBS := $(LIBCORE) $(LIBWIRE) $(LIBSTORE) $(LIBUV) $(LIBSIM) $(LIBPURE) $(LIBCMD) $(LIBKV)

# ---- what links what ------------------------------------------------------------------------------------------
# The other files of src/cmd/ are an archive: each program takes from it what its main file calls for, no more.

$(OUT)/kvd:     $(call main-obj,kvd) $(LIBCMD) $(LIBUV) $(LIBSTORE) $(LIBWIRE) $(LIBCORE)
$(OUT)/kvd:     LDLIBS := $(ROCKSDB_LIBS) $(UV_LIBS) $(WIRE_LIBS) $(CONFUSE_LIBS) $(KVD_MALLOC)
$(OUT)/kvcli:   $(call main-obj,kvcli) $(LIBCMD) $(LIBKV) $(LIBWIRE) $(LIBCORE)
$(OUT)/kvcli:   LDLIBS := $(UV_LIBS) $(WIRE_LIBS) $(CLI_LIBS)
# kvbench judges what it recorded by the simulator's checkers.
$(OUT)/kvbench: $(call main-obj,kvbench) $(call obj-of,$(CHECK_SRC)) $(LIBCMD) $(LIBKV) $(LIBWIRE) $(LIBCORE)
$(OUT)/kvbench: LDLIBS := $(UV_LIBS) $(WIRE_LIBS) $(CLI_LIBS)
$(OUT)/kvsim:   $(call main-obj,kvsim) $(LIBCMD) $(LIBSIM) $(LIBPURE) $(LIBWIRE) $(LIBCORE)
$(OUT)/kvsim:   LDLIBS := $(WIRE_LIBS)

# Unit tests link by the folder their name begins with. tests/unit/FOLDER_support.c, where there is one, is linked
# with each of its folder's tests.
TEST_DIR := $(OUT)/tests/unit
TESTS    := $(patsubst tests/unit/%.c,$(TEST_DIR)/%,$(sort $(wildcard tests/unit/*_test.c)))
tests-of = $(filter $(addprefix $(TEST_DIR)/,$(addsuffix _%,$(1))),$(TESTS))

PURE_TESTS   := $(call tests-of,$(PURE_DIRS))
WIRE_TESTS   := $(call tests-of,wire)
STORE_TESTS  := $(call tests-of,store)
SIM_TESTS    := $(call tests-of,sim)
CLIENT_TESTS := $(call tests-of,client)
SHELL_TESTS  := $(filter-out $(PURE_TESTS) $(WIRE_TESTS) $(STORE_TESTS) $(SIM_TESTS) $(CLIENT_TESTS),$(TESTS))

$(PURE_TESTS):   $(LIBCORE)
$(WIRE_TESTS):   $(LIBWIRE) $(LIBCORE)
$(WIRE_TESTS):   LDLIBS := $(WIRE_LIBS)
# Repair has a bound on bytes sent: its tests count them in frames.
$(call tests-of,repair): $(LIBWIRE)
$(call tests-of,repair): LDLIBS := $(WIRE_LIBS)
$(STORE_TESTS):  $(LIBSTORE) $(LIBCORE)
$(STORE_TESTS):  LDLIBS := $(ROCKSDB_LIBS) -lpthread
$(SIM_TESTS):    $(LIBSIM) $(LIBPURE) $(LIBWIRE) $(LIBCORE)
$(SIM_TESTS):    LDLIBS := $(WIRE_LIBS)
$(CLIENT_TESTS): $(LIBKV) $(LIBWIRE) $(LIBCORE)
$(CLIENT_TESTS): LDLIBS := $(UV_LIBS) $(WIRE_LIBS)
$(SHELL_TESTS):  $(call obj-of,$(CHECK_SRC)) $(LIBCMD) $(LIBUV) $(LIBSTORE) $(LIBKV) $(LIBWIRE) $(LIBCORE)
$(SHELL_TESTS):  LDLIBS := $(ROCKSDB_LIBS) $(UV_LIBS) $(WIRE_LIBS) $(CONFUSE_LIBS) $(CLI_LIBS)
# A test named *_oom_test has the allocator in between: tests/unit/oom.h makes the n-th allocation fail.
$(filter %_oom_test,$(TESTS)): LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(foreach s,$(wildcard tests/unit/*_support.c),$(eval \
  $(call tests-of,$(patsubst %_support.c,%,$(notdir $(s)))): $(OBJ)/$(s:.c=.o)))

# Those that draw their runs at random: a build without sanitizers goes all the rounds (tests/unit/rounds.h).
ROUND_TESTS := $(patsubst tests/unit/%.c,$(TEST_DIR)/%,$(sort $(shell grep -l unit/rounds.h tests/unit/*_test.c)))

# Programs that tests of real clusters use: tests/cluster/NAME.c.
TOOLS := $(patsubst %.c,$(OUT)/%,$(sort $(wildcard tests/cluster/*.c)))
$(TOOLS): $(LIBWIRE) $(LIBCORE)
$(TOOLS): LDLIBS := $(WIRE_LIBS)
$(OUT)/tests/cluster/rows: $(LIBSTORE)
$(OUT)/tests/cluster/rows: LDLIBS := $(ROCKSDB_LIBS) $(WIRE_LIBS) -lpthread
FUZZ_DIR := $(OUT)/tests/fuzz
FUZZERS  := $(patsubst tests/fuzz/%.c,$(FUZZ_DIR)/%,$(sort $(wildcard tests/fuzz/*.c)))
$(FUZZERS): $(LIBPURE) $(LIBWIRE) $(LIBCORE)
$(FUZZERS): LDLIBS := $(WIRE_LIBS)

# ---- rules ----------------------------------------------------------------------------------------------------

say = @printf '  %-5s %s\n' $(1) $(2)
# Prerequisites to link: objects first, then archives as one group (wire and client need core, core needs nothing).
link = $(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(1) $(LDLIBS) -lm

# Only src/wire/*.c sees the generated headers; a use anywhere else does not compile.
$(call obj-of,$(WIRE_SRC)): CPPFLAGS += -I$(GEN)
$(call obj-of,$(WIRE_SRC)): | $(GEN_HDR)
$(call obj-of,$(CMD_SRC)): CPPFLAGS += $(EDIT_CPPFLAGS)

$(OBJ)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) $(WARNINGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(GEN)/%.o: $(GEN)/%.c
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) $(CPPFLAGS) -I$(GEN) $(CFLAGS) -w -MMD -MP -c -o $@ $<

$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h &: proto/%.proto
	@mkdir -p $(@D)
	$(call say,PROTO,$<)
	$(Q)protoc-c --proto_path=proto --c_out=$(GEN) $<

# A fresh archive each time (`q` never replaces, so two folders may have files of one name); made anew too when a
# source file was removed, which no timestamp tells.
$(ALL_LIBS): $(OUT)/sources.list
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) qcsD $@ $(filter %.o,$^)

ALL_SRC := $(sort $(CORE_SRC) $(WIRE_SRC) $(STORE_SRC) $(UV_SRC) $(SIM_SRC) $(CLIENT_SRC) $(CMD_SRC) $(PROTO))
$(OUT)/sources.list: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(ALL_SRC) | cmp -s - $@ || printf '%s\n' $(ALL_SRC) > $@

$(PROGRAMS):
	$(call say,LD,$@)
	$(Q)$(call link)

$(TESTS): $(TEST_DIR)/%: $(OBJ)/tests/unit/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(call link,$(CMOCKA_LIBS))

$(TOOLS): $(OUT)/%: $(OBJ)/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(call link)

$(FUZZERS): $(FUZZ_DIR)/%: $(OBJ)/tests/fuzz/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(call link,-fsanitize=fuzzer)

# ---- targets --------------------------------------------------------------------------------------------------

C_FILES = $(sort $(shell find src include tests -name '*.[ch]'))
CLANG_FORMAT := $(or $(shell command -v clang-format-14),clang-format)

.PHONY: all libs tests release-tests test test-long unit cluster-test sim soak mutants fuzz fuzzers bench bench-peers tidy fmt fmt-check deps install dist tsan-test clean help FORCE

all: libs $(PROGRAMS) ## build the programs and libkv.a into build/MODE/ (MODE=release, debug, asan or tsan)

libs: $(ALL_LIBS)

tests: $(TESTS) $(TOOLS)

release-tests: $(ROUND_TESTS) $(TOOLS)

test: ## install what is missing, build, run every check and test: unit tests with sanitizers, those of random runs in release too
	@scripts/deps.sh --test
	@scripts/run-tests.sh --build $(BUILD) all

test-long: all $(TOOLS) ## what takes hours: hostile input by the hundred thousand, purging, the ring that grows under load, fuzzers for ten minutes each, long simulations, all rounds under a sanitizer
	@for t in hostile purge grow; do KV_LONG=1 KV_HOSTILE=100000 scripts/run-tests.sh --build $(BUILD) --match $$t cluster || exit; done
	@KV_LONG=1 scripts/run-tests.sh --build $(BUILD) sim
	@$(MAKE) MODE=release unit
	@$(MAKE) MODE=asan all tests
	@scripts/run-tests.sh --build $(BUILD) --mode asan --match cli cluster
	@KV_LONG=1 scripts/run-tests.sh --build $(BUILD) --mode asan unit
	@FUZZ_SECONDS=600 scripts/run-tests.sh --build $(BUILD) fuzz

unit: $(foreach t,$(TESTS),$(if $(T),$(if $(findstring $(T),$(notdir $(t))),$(t)),$(t))) ## build and run the unit tests in MODE; T=WORD picks some
	@scripts/run-tests.sh --build $(BUILD) --mode $(MODE) --match '$(T)' unit

cluster-test: all $(TOOLS) ## run the tests that start real nodes; T=WORD picks some
	@scripts/run-tests.sh --build $(BUILD) --mode $(MODE) --match '$(T)' cluster

sim: $(OUT)/kvsim ## a thousand simulated clusters, each from its seed; SIM="--seeds 50 --nodes 9" says otherwise
	@$(OUT)/kvsim $(or $(SIM),--seeds 1000 --nodes 0 --quiet)

soak: $(OUT)/kvsim ## simulated clusters until one fails or you stop it
	@$(OUT)/kvsim --seed $(or $(SEED),$(shell date +%s)000) --forever --nodes 0 --seconds 62 --quiet $(SIM)

mutants: ## plant bugs, one after the other, and count the seeds until the simulator finds each
	@$(MAKE) MODE=mutants $(BUILD)/mutants/kvsim
	@$(BUILD)/mutants/kvsim mutants

tsan-test: ## unit tests of uv/ and store/, and a small cluster under load, with ThreadSanitizer
	@$(MAKE) MODE=tsan all $(patsubst $(OUT)/%,$(BUILD)/tsan/%,$(filter $(TEST_DIR)/uv_% $(TEST_DIR)/store_%,$(TESTS)))
	@scripts/run-tests.sh --build $(BUILD) --mode tsan --match uv_ unit
	@scripts/run-tests.sh --build $(BUILD) --mode tsan --match store_ unit
	@scripts/run-tests.sh --build $(BUILD) --mode tsan --match tsan cluster

fuzz: ## build the fuzzers with clang and run each for FUZZ_SECONDS (60), four at a time; T=WORD picks some
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/run-tests.sh --build $(BUILD) --match '$(T)' fuzz

fuzzers: $(FUZZERS)

bench: all ## measure five nodes of their own; ARGS=--help lists what else, as '--rounds 3 --million'
	@scripts/bench.sh $(OUT) $(ARGS)

bench-peers: all ## the same load on Redis, Redis Cluster and etcd, where installed; ARGS as well
	@scripts/bench-peers.sh $(OUT) $(ARGS)

# One file a run: clang-tidy 14 carries state from file to file and then sees va_lists uninitialised.
tidy: $(GEN_HDR) ## clang-tidy over all sources
	@printf '%s\n' $(filter %.c,$(ALL_SRC)) | xargs -I{} -P 2 clang-tidy --quiet --warnings-as-errors='*' \
	    --checks='-*,$(TIDY_CHECKS)' {} -- -std=gnu11 $(CPPFLAGS) -I$(GEN) $(EDIT_CPPFLAGS)

fmt: ## format all sources (clang-format 14)
	@$(CLANG_FORMAT) -i $(C_FILES)

fmt-check: ## fail when a source is not formatted
	@$(CLANG_FORMAT) --dry-run --Werror $(C_FILES)

deps: ## install the packages that building needs
	@scripts/deps.sh

VERSION := $(shell sed -n 's/^\#define GUREUM_VERSION  *"\(.*\)"/\1/p' src/cmd/version.h)
DOCDIR  := $(DESTDIR)$(PREFIX)/share/doc/gureum
UNITDIR := $(DESTDIR)$(PREFIX)/lib/systemd/system

install: all ## copy programs, libkv.a, headers, systemd unit, README and LICENSE below DESTDIR/PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/include $(DOCDIR) $(UNITDIR)
	$(if $(strip $(PROGRAMS)),install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin)
	install -m 644 $(LIBKV) $(DESTDIR)$(PREFIX)/lib
	install -m 644 $(wildcard include/*.h) $(DESTDIR)$(PREFIX)/include
	install -m 644 README.md LICENSE $(DOCDIR)
	sed 's|@BINDIR@|$(PREFIX)/bin|' scripts/gureum@.service > $(UNITDIR)/gureum@.service
	chmod 644 $(UNITDIR)/gureum@.service

# The same bytes from the same sources: order, owner and time say nothing of who made it.
DIST := $(BUILD)/gureum-$(VERSION).tar.gz
dist: ## a tarball of the sources, which builds without network where the packages are
	@mkdir -p $(BUILD)
	@{ git ls-files 2>/dev/null || find $(TOP_FILES) -type f; } | LC_ALL=C sort | \
	    tar -cf - -T - --transform 's|^|gureum-$(VERSION)/|' --owner=0 --group=0 --numeric-owner --mtime=@0 | gzip -9n > $(DIST)
	@echo $(DIST)
TOP_FILES := src include proto tests scripts Makefile README.md LICENSE .ci .clang-format .dockerignore .gitignore

clean: ## remove everything built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
