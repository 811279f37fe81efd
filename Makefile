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

ROOMS      := base record streams sinks checkpoint pipeline daemon
PKGS       := libevent libcurl jansson sqlite3 yaml-0.1 libcrypto zlib
PKG_CFLAGS  = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS    = $(shell pkg-config --libs $(PKGS))

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
BENCH_SRCS := $(sort $(wildcard bench/*.c))
BENCH_BINS := $(BENCH_SRCS:%.c=$(O)/%)

all: $(O)/slipring

$(O)/slipring: $(O)/daemon/main.o $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

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
	@mkdir -p $(@D)
	@echo '$(CC) $(subst ','\'',$(ALL_CFLAGS) $(ALL_LDFLAGS))' | cmp -s - $@ || \
	    echo '$(CC) $(subst ','\'',$(ALL_CFLAGS) $(ALL_LDFLAGS))' > $@

# Objects before the archive: these tests bring their own loop and API, on
# virtual time.
FAKED := backoff rate lineage reader
$(FAKED:%=$(O)/tests/unit/%_test): $(O)/tests/unit/fake_loop.o $(O)/tests/unit/fake_api.o

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(PKG_LIBS) -lm

$(O)/bench/%: $(O)/bench/%.o $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(O)/tests/sim/sim: $(SIM_OBJS) $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(O)/tests/emulator/emulator: $(EMU_OBJS) $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

clean:
	rm -rf $(O)

FORCE:
.PHONY: all clean FORCE
.SECONDARY:
-include $(wildcard $(addprefix $(O)/,$(addsuffix /*.d,$(ROOMS) bench tests/unit tests/sim tests/emulator)))

# Small programs that test scripts drive.
$(O)/tests/tools/%: $(O)/tests/tools/%.o $(LIB)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

-include $(wildcard $(O)/tests/tools/*.d)
