# Slipring. GNU make 4; everything is built under $(O).
#
#   make            build/slipring
#   make demo       a table's changes on your terminal, in a minute
#   make check      everything CI proves
#   make help       the other targets
#
# To be overridden: CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR O V=1 SAN=address,undefined WERROR=1

VERSION    := 0.1.0
PREFIX     ?= /usr/local
O          ?= build
CC         := $(if $(filter default,$(origin CC)),gcc,$(CC))
CFLAGS     ?= -O2 -g
SAN        ?=
WERROR     ?=
V          ?=

ROOMS      := base record streams filters sinks checkpoint pipeline daemon
PKGS       := libevent libcurl jansson sqlite3 yaml-0.1 libcrypto zlib rdkafka libpq lua5.4
# Asked when first needed, and once: setup may have to install them first.
PKG_CFLAGS  = $(eval PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS    = $(eval PKG_LIBS := $(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wvla -Wformat=2 -Wundef -Wcast-qual -Wpointer-arith \
	-Wwrite-strings -Wconversion -Wimplicit-fallthrough
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
ifeq ($(IS_CLANG),)
WARN += -Wlogical-op -Wduplicated-cond
HARDEN_CC := -fstack-clash-protection -ftrivial-auto-var-init=zero
else
# clang counts __int128 and GNU statement forms as extensions; gcc does not.
WARN += -Wno-gnu
HARDEN_CC := -fstack-clash-protection
endif
# _FORTIFY_SOURCE wants optimisation, and the sanitizers want it gone.
HARDEN := -fPIE -fstack-protector-strong -fcf-protection=full $(HARDEN_CC) \
	$(if $(SAN),,$(if $(filter -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3))
HARDEN_LD := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed
SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)

ALL_CFLAGS  = -std=c17 -D_GNU_SOURCE -DSLIPRING_VERSION='"$(VERSION)"' -I. -MMD -MP -pthread \
	$(WARN) $(if $(WERROR),-Werror) $(HARDEN) $(SAN_FLAGS) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pthread $(HARDEN_LD) $(SAN_FLAGS) $(LDFLAGS)
Q := $(if $(V),,@)
SAY = $(if $(V),@:,@echo)

LIB_SRCS   := $(filter-out daemon/main.c,$(sort $(foreach r,$(ROOMS),$(wildcard $(r)/*.c))))
LIB_OBJS   := $(LIB_SRCS:%.c=$(O)/%.o)
LIB        := $(O)/libslipring.a
UNIT_SRCS  := $(sort $(wildcard tests/unit/*_test.c))
UNIT_BINS  := $(UNIT_SRCS:%.c=$(O)/%)
SIM_OBJS   := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard tests/sim/*.c)))
EMU_OBJS   := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard tests/emulator/*.c)))
BENCH_SRCS := $(sort $(wildcard bench/*_bench.c))
BENCH_BINS := $(BENCH_SRCS:%.c=$(O)/%)
FUZZ_SRCS  := $(sort $(wildcard tests/fuzz/*_fuzz.c))
TOOL_BINS  := $(patsubst %.c,$(O)/%,$(sort $(wildcard tests/tools/*.c)))
SIM        := $(O)/tests/sim/sim
EMULATOR   := $(O)/tests/emulator/emulator

all: $(O)/slipring

$(O)/slipring: $(O)/daemon/main.o $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

# An archive, so that the simulator can bring its own loop, API and store: the
# linker takes ours only where nobody else has defined the symbols.
$(LIB): $(LIB_OBJS)
	$(SAY) '  AR   $@'
	$(Q)rm -f $@ && ar crs $@ $^

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(SAY) '  CC   $<'
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

# Rebuild everything when compiler or flags change.
$(O)/flags: FORCE
	@pkg-config --exists --print-errors $(PKGS) || \
	    { echo 'libraries are missing: tests/tools/setup.sh build installs them' >&2; exit 1; }
	@mkdir -p $(@D)
	@echo '$(CC) $(subst ','\'',$(ALL_CFLAGS) $(ALL_LDFLAGS))' | cmp -s - $@ || \
	    echo '$(CC) $(subst ','\'',$(ALL_CFLAGS) $(ALL_LDFLAGS))' > $@

# Objects before the archive: these tests bring their own loop and API, on
# virtual time.
FAKED := backoff rate lineage reader
$(FAKED:%=$(O)/tests/unit/%_test): $(O)/tests/unit/fake_loop.o $(O)/tests/unit/fake_api.o
$(addprefix $(O)/tests/unit/,lane_test sieve_test dead_letter_test): $(O)/tests/unit/fake_loop.o

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(PKG_LIBS) -lm

# What benches share is in bench/*.c that are none themselves.
BENCH_OBJS := $(patsubst %.c,$(O)/%.o,$(filter-out $(BENCH_SRCS),$(sort $(wildcard bench/*.c))))
$(O)/bench/%: $(O)/bench/%.o $(BENCH_OBJS) $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(SIM): $(SIM_OBJS) $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(EMULATOR): $(EMU_OBJS) $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -levent_openssl -lssl -lm

# Small programs that test scripts drive.
$(O)/tests/tools/%: $(O)/tests/tools/%.o $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

# --- tests ---
# The targets with a long way to go are in tests/tools/check.py; it counts, too.

CHECK := /usr/bin/python3 tests/tools/check.py
SUBMAKE = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
units: $(UNIT_BINS)
benches: $(BENCH_BINS)
tests: units $(SIM) $(EMULATOR) $(TOOL_BINS)

check:
	@tests/tools/setup.sh check
	@$(CHECK) all --build $(O) $(if $(SEEDS),--seeds $(SEEDS))

check-fast: all tests
	@$(CHECK) fast --build $(O) $(if $(SEEDS),--seeds $(SEEDS))

check-unit: units $(EMULATOR)
	@$(CHECK) unit --build $(O)

check-sim: $(SIM)
	@$(CHECK) sim --build $(O) $(if $(SEEDS),--seeds $(SEEDS))

check-system: all tests
	@tests/tools/setup.sh check
	@$(CHECK) system --build $(O)

check-asan:
	@$(CHECK) asan --build $(O)

check-tsan:
	@$(CHECK) tsan --build $(O)

check-mutants:
	@/usr/bin/python3 tests/tools/mutants.py $(MUTANTS)
	@$(if $(MUTANTS),:,/usr/bin/python3 tests/sim/mutants.py)

services:
	@tests/tools/setup.sh check
	@exec /usr/bin/python3 tests/system/services.py $(SERVICES)

demo:
	@tests/tools/setup.sh demo
	@$(SUBMAKE) all $(EMULATOR)
	@/usr/bin/python3 tests/system/demo.py

# make fuzz TARGET=scan SECONDS=60; what it finds it leaves in build/fuzz.
SECONDS_ = $(if $(filter-out 0,$(SECONDS)),$(SECONDS),60)
fuzz:
	@test -f 'tests/fuzz/$(TARGET)_fuzz.c' || { echo 'usage: make fuzz TARGET=NAME' \
	    'SECONDS=60, NAME one of: $(FUZZ_SRCS:tests/fuzz/%_fuzz.c=%)' >&2; exit 64; }
	@$(SUBMAKE) CC=clang-14 O=$(O)/fuzz SAN=address,undefined,fuzzer-no-link \
	    $(O)/fuzz/tests/fuzz/$(TARGET)_fuzz
	@mkdir -p $(O)/fuzz/corpus/$(TARGET)
	@$(O)/fuzz/tests/fuzz/$(TARGET)_fuzz -max_total_time=$(SECONDS_) -timeout=10 -rss_limit_mb=1024 \
	    -print_final_stats=1 -artifact_prefix=$(O)/fuzz/$(TARGET)- $(O)/fuzz/corpus/$(TARGET) \
	    $(wildcard tests/fuzz/corpus/$(TARGET))

$(O)/tests/fuzz/%_fuzz: $(O)/tests/fuzz/%_fuzz.o $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS) -lm

bench: all $(BENCH_BINS) $(EMULATOR)
	@tests/tools/setup.sh check
	@/usr/bin/python3 bench/run.py $(O) $(BENCH)

format:
	@clang-format-14 -i $(wildcard $(addsuffix /*.[ch],$(ROOMS) bench tests/unit tests/sim \
	    tests/emulator tests/tools tests/fuzz))

# --- installation ---

BINDIR     ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERS   ?= $(PREFIX)/lib/sysusers.d
DOCDIR     ?= $(PREFIX)/share/doc/slipring
MANDIR     ?= $(PREFIX)/share/man
DOCS       := LICENSE CHANGELOG.md CONTRIBUTING.md $(wildcard docs/*.md)
MANUALS    := $(wildcard docs/man/*.[1578])
CONFIG     := $(DESTDIR)$(SYSCONFDIR)/slipring/slipring.yaml
man_to      = $(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $(1)))/$(notdir $(1))

install: all
	install -D -m 755 $(O)/slipring $(DESTDIR)$(BINDIR)/slipring
	install -D -m 644 filters/plugin.h $(DESTDIR)$(INCLUDEDIR)/slipring/plugin.h
	install -d $(DESTDIR)$(UNITDIR)
	sed -e 's|^ExecStart=[^ ]*/slipring|ExecStart=$(BINDIR)/slipring|' \
	    -e 's|^Documentation=file://.*/|Documentation=file://$(DOCDIR)/|' systemd/slipring.service \
	    > $(DESTDIR)$(UNITDIR)/slipring.service
	chmod 644 $(DESTDIR)$(UNITDIR)/slipring.service
	install -D -m 644 systemd/slipring.sysusers $(DESTDIR)$(SYSUSERS)/slipring.conf
	install -d $(DESTDIR)$(DOCDIR)
	install -m 644 $(DOCS) $(DESTDIR)$(DOCDIR)
	@# All in one folder: what README.md links to is beside it there.
	sed -e 's|](docs/|](|g' -e 's|](conf/|](|g' README.md > $(DESTDIR)$(DOCDIR)/README.md
	chmod 644 $(DESTDIR)$(DOCDIR)/README.md
	install -D -m 644 conf/slipring.yaml $(DESTDIR)$(DOCDIR)/slipring.yaml
	install -d $(DESTDIR)$(DOCDIR)/examples
	install -m 644 conf/examples/*.yaml $(DESTDIR)$(DOCDIR)/examples
	$(foreach m,$(MANUALS),install -D -m 644 $(m) $(call man_to,$(m)) &&) true
	@# The operator's own is kept; the sample beside the documents is always new.
	test -e $(CONFIG) || install -D -m 644 conf/slipring.yaml $(CONFIG)

# Configuration and state stay.
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/slipring $(DESTDIR)$(UNITDIR)/slipring.service \
	    $(DESTDIR)$(SYSUSERS)/slipring.conf $(foreach m,$(MANUALS),$(call man_to,$(m)))
	rm -rf $(DESTDIR)$(DOCDIR) $(DESTDIR)$(INCLUDEDIR)/slipring

clean:
	rm -rf $(O)

define HELP
make              build/slipring
make demo         a table's changes on your terminal, in a minute
make check        everything CI proves; SKIP_SERVICES=1 without real services
make check-fast   under a minute: style, layers, banned words, unit tests, some seeds
make check-unit   unit tests
make check-sim    the simulator; SEEDS=1..20000
make check-system against real services and the emulator
make check-asan   unit tests, emulator and simulator under ASan and UBSan
make check-tsan   what has threads under TSan
make check-mutants  plants known faults; each must be found. MUTANTS="a b": only those
make services     starts the real services, prints their addresses; ^C. SERVICES="kafka postgres": those
make fuzz         TARGET=NAME SECONDS=60
make bench        the speed table, against the real services (BENCH="record sqlite ...": only those)
make format       clang-format over the tree
make install      DESTDIR= PREFIX=/usr/local; and uninstall
make clean
Variables: CC CFLAGS CPPFLAGS LDFLAGS O=build V=1 SAN=address,undefined WERROR=1
endef
help:
	$(info $(HELP))
	@:

FORCE:
.PHONY: all clean FORCE units benches tests check check-fast check-unit check-sim check-system check-asan \
	check-tsan check-mutants services demo fuzz bench format install uninstall help
.SECONDARY:
-include $(wildcard $(addprefix $(O)/,$(addsuffix /*.d,$(ROOMS) bench tests/unit tests/sim tests/emulator tests/tools tests/fuzz)))
