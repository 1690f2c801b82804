#include "triggers.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "dump.h"
#include "memory_limit.h"
#include "os_linux.h"
#include "recorder.h"
#include "say.h"
#include "trigger.h"
#include "units.h"

#define LIMIT_AGAIN_NS (10 * NS_PER_S) /* a control group's limit may be changed */

static struct trigger trigger;
static struct trigger_kept kept[TRIGGER_KINDS];
static uint64_t limit, limit_next_ns;
static bool said_no_limit;

/* /proc/self/statm, proc_pid_statm(5): size and resident size in pages. */
static uint64_t resident_bytes(void)
{
	char text[128];
	const char *c = text;
	uint64_t pages = 0;

	if (os_read_file("/proc/self/statm", text, sizeof(text)) <= 0)
		return 0;
	c += strcspn(c, " ");
	for (c += *c == ' '; *c >= '0' && *c <= '9'; c++)
		pages = pages * 10 + (uint64_t)(*c - '0');
	return pages * getauxval(AT_PAGESZ);
}

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

static void keep(enum trigger_kind kind, uint64_t most, uint64_t bad, const char *path)
{
	char gone[TRIGGER_PATH_BYTES];

	most = most < 1 ? 1 : most < TRIGGER_KEPT_MAX ? most : TRIGGER_KEPT_MAX - 1;
	trigger_keep(&kept[kind], bad, path);
	while (trigger_too_many(&kept[kind], most, gone))
		(void)os_call(SYS_unlinkat, AT_FDCWD, (long)gone, 0, 0, 0, 0); /* the user may have moved it */
}

void triggers_tick(const struct config *config, uint64_t now_ns)
{
	struct trigger_rules rules = { .growth_per_min = config->growth, .cooldown_ns = config->cooldown };
	char path[PATH_MAX];
	enum trigger_kind kind;
	uint64_t bad, resident, live;

	if (!config->memory && !config->growth)
		return;
	rules.memory_bytes = memory_rule(config, now_ns);
	resident = resident_bytes();
	live = recorder_live_bytes();
	if (!trigger_see(&trigger, &rules, now_ns, live > resident ? live : resident, &kind, &bad))
		return;
	os_follow_credentials();
	if (dump_write_named(trigger_name(kind), NS_PER_S, path, sizeof(path)) == 0)
		keep(kind, config->keep, bad, path);
}

void triggers_fork_child(void)
{
	memset(&trigger, 0, sizeof(trigger));
	memset(kept, 0, sizeof(kept)); /* the parent's files */
	limit_next_ns = 0;
}
