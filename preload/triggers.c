#include "triggers.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "atomic.h"
#include "dump.h"
#include "memory_limit.h"
#include "os_linux.h"
#include "recorder.h"
#include "requests.h"
#include "say.h"
#include "series.h"
#include "trigger.h"
#include "trigger_slow.h"
#include "units.h"

#define LIMIT_AGAIN_NS (10 * NS_PER_S) /* a control group's limit may be changed */
#define MEMORY_NS      (100 * NS_PER_MS)
#define PRESSURE_NS    NS_PER_S
#define PATIENCE_NS    (5 * NS_PER_S) /* with a slow request that is still running */
#define LOOK_LEAST_NS  (10 * NS_PER_MS)
#define LOOK_MOST_NS   (100 * NS_PER_MS)

static struct trigger trigger;
static struct trigger_slow slow;
static uint64_t waited_for; /* the request that a profile waits for */
static struct trigger_kept kept[TRIGGER_KINDS];
static uint64_t limit, limit_next_ns, memory_next_ns, pressure_next_ns;
static bool said_no_limit, said_no_pressure;
static _Atomic uint32_t asked; /* by a signal */

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static uint64_t size_of(const char *path)
{
	struct stat st;
	int fd = os_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	uint64_t bytes = fd >= 0 && os_fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;

	os_close(fd);
	return bytes;
}

static void remove_file(const char *path)
{
	(void)os_call(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0); /* the user may have moved it */
}

static void keep(const struct config *config, enum trigger_kind kind, uint64_t bad, const char *path)
{
	uint64_t most = config->keep < 1 ? 1 : config->keep < TRIGGER_KEPT_MAX ? config->keep : TRIGGER_KEPT_MAX - 1;
	char gone[TRIGGER_PATH_BYTES];

	trigger_keep(&kept[kind], bad, size_of(path), path);
	while (trigger_too_many(&kept[kind], most, gone))
		remove_file(gone);
	while (trigger_too_large(kept, kind, config->disk, gone))
		remove_file(gone);
}

static void write_profile(const struct config *config, enum trigger_kind kind, uint64_t bad, const char *because)
{
	char path[PATH_MAX];

	os_follow_credentials();
	if (config->verbose)
		say("a profile is written because ", because, NULL);
	if (dump_write_because(trigger_name(kind), because, NS_PER_S, path, sizeof(path)) == 0)
		keep(config, kind, bad, path);
}

static const char *number_of(char *text, size_t size, uint64_t n, const char *unit)
{
	char digits[24];

	say_append(text, size, say_number(digits, n));
	say_append(text, size, unit);
	return text;
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

/* The least that the process's control groups and its own limits let it have; UINT64_MAX: there is none. */
static uint64_t least_limit(void)
{
	static const int own[] = { RLIMIT_AS, RLIMIT_DATA };
	uint64_t least = memory_limit_bytes();

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		struct rlimit r;

		if (os_call(SYS_prlimit64, 0, own[i], 0, (long)&r, 0, 0) == 0 && r.rlim_cur != RLIM_INFINITY &&
		    r.rlim_cur < least)
			least = r.rlim_cur;
	}
	return least;
}

/* Bytes; 0: off, or a share of nothing. */
static uint64_t memory_rule(const struct config *config, uint64_t now)
{
	if (!config->memory || !config->memory_is_percent)
		return config->memory;
	if (now >= limit_next_ns) {
		limit = least_limit();
		limit_next_ns = now + LIMIT_AGAIN_NS;
		if (limit == UINT64_MAX && !said_no_limit)
			say("PERFPROBE_MEMORY is a share of a limit, and this process has none: not armed", NULL);
		said_no_limit = limit == UINT64_MAX;
	}
	return limit == UINT64_MAX ? 0 : limit / 100 * config->memory;
}

static void see_memory(const struct config *config, uint64_t now)
{
	struct trigger_rules rules = { .growth_per_min = config->growth, .cooldown_ns = config->cooldown };
	char because[160] = "";
	enum trigger_kind kind;
	uint64_t bad, resident, live;

	if ((!config->memory && !config->growth) || now < memory_next_ns)
		return;
	memory_next_ns = now + MEMORY_NS / 2; /* each tick: they come no oftener but for a reason */
	rules.memory_bytes = memory_rule(config, now);
	resident = series_resident_bytes();
	live = recorder_live_bytes();
	if (!trigger_see(&trigger, &rules, now, live > resident ? live : resident, &kind, &bad))
		return;
	say_append(because, sizeof(because), kind == TRIGGER_GROWTH ? "memory grew by " : "memory is at ");
	number_of(because, sizeof(because), bad,
	          kind == TRIGGER_GROWTH ? " bytes in a minute (limit " : " bytes (limit ");
	number_of(because, sizeof(because), kind == TRIGGER_GROWTH ? config->growth : rules.memory_bytes, ")");
	write_profile(config, kind, bad, because);
}

static void see_pressure(const struct config *config, uint64_t now)
{
	struct trigger_rules rules = { .cooldown_ns = config->cooldown };
	char because[160] = "";
	uint64_t stalled_us, bad;

	if (!config->pressure || now < pressure_next_ns)
		return;
	pressure_next_ns = now + PRESSURE_NS;
	if (!memory_limit_stalled(&stalled_us)) {
		if (!said_no_pressure)
			say("PERFPROBE_PRESSURE: this kernel does not tell of pressure (/proc/pressure): not armed",
			    NULL);
		said_no_pressure = true;
	} else if (trigger_see_pressure(&trigger, &rules, config->pressure, now, stalled_us, &bad)) {
		number_of(because, sizeof(because), bad, "% of ten seconds went into waiting for memory (limit ");
		number_of(because, sizeof(because), config->pressure, "%)");
		write_profile(config, TRIGGER_PRESSURE, bad, because);
	}
}

/* ---- latency ------------------------------------------------------------------------------------------------------- */

static void write_slow(const struct config *config, uint64_t worst_ns)
{
	char because[160] = "a request took ";

	number_of(because, sizeof(because), worst_ns / NS_PER_MS, " ms (limit ");
	number_of(because, sizeof(because), config->latency / NS_PER_MS, " ms)");
	write_profile(config, TRIGGER_LATENCY, worst_ns, because);
}

/* How long until the next look: no longer than until the oldest request under way is slow. */
static uint64_t see_slow(const struct config *config, uint64_t now)
{
	struct trigger_slow_rules rules = { config->latency, config->cooldown, config->window, config->latency_count,
		                            PATIENCE_NS };
	struct requests_running running = requests_running(now);
	struct trigger_slow_seen seen = { .running = running.count, .running_worst_ns = running.worst_ns };
	uint64_t worst_ns, next = config->latency / 4;

	seen.answered = requests_slow_answered(&seen.answered_worst_ns);
	seen.waited_for = slow.waiting && requests_is_running(waited_for, now, &seen.waited_ns);
	switch (trigger_slow_see(&slow, &rules, now, &seen, &worst_ns)) {
	case TRIGGER_SLOW_WAIT:
		waited_for = running.id;
		requests_tell(now);
		if (config->verbose)
			say("a request is slower than PERFPROBE_LATENCY: a profile follows when it is answered, in 5 s "
			    "at the "
			    "latest",
			    NULL);
		break;
	case TRIGGER_SLOW_WRITE:
		requests_tell(now);
		write_slow(config, worst_ns);
		break;
	case TRIGGER_SLOW_NOTHING:
		break;
	}
	if (slow.waiting)
		return LOOK_LEAST_NS;
	next = next < LOOK_LEAST_NS ? LOOK_LEAST_NS : next > LOOK_MOST_NS ? LOOK_MOST_NS : next;
	return running.next_slow_ns > now && running.next_slow_ns - now < next ? running.next_slow_ns - now : next;
}

uint64_t triggers_tick(const struct config *config, uint64_t now_ns)
{
	uint64_t next = LOOK_MOST_NS;

	if (exchange_acq_rel(&asked, 0)) { /* pairs with the store in triggers_ask */
		os_follow_credentials();
		(void)dump_write("signal", NS_PER_S); /* a failure is said and counted there */
	}
	see_memory(config, now_ns);
	see_pressure(config, now_ns);
	if (config->http && (config->latency || slow.waiting))
		next = see_slow(config, now_ns);
	return next;
}

void triggers_ask(void)
{
	store_release(&asked, 1); /* pairs with the exchange in triggers_tick */
}

void triggers_fork_child(void)
{
	memset(&trigger, 0, sizeof(trigger));
	memset(&slow, 0, sizeof(slow));
	memset(kept, 0, sizeof(kept)); /* the parent's files */
	limit_next_ns = memory_next_ns = pressure_next_ns = 0;
	store_relaxed(&asked, 0);
}
