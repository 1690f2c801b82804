#include "control_status.h"

#include <stdint.h>
#include <string.h>

#include "dump.h"
#include "live.h"
#include "losses.h"
#include "metrics_socket.h"
#include "modules.h"
#include "os_linux.h"
#include "recorder.h"
#include "sampler.h"
#include "say.h"
#include "snapshot_name.h"
#include "stacks.h"
#include "start.h"
#include "state.h"
#include "threads.h"
#include "totals.h"
#include "units.h"

struct text {
	char *to;
	size_t size;
};

static void put(const struct text *t, const char *word)
{
	say_append(t->to, t->size, word);
}

static void number(const struct text *t, uint64_t value)
{
	char digits[24];

	put(t, say_number(digits, value));
}

/* A line's name, in a column of its own. */
static void name(const struct text *t, const char *word)
{
	static const char blanks[] = "            ";
	size_t len = strlen(word);

	put(t, word);
	put(t, blanks + (len < sizeof(blanks) - 2 ? len : sizeof(blanks) - 2));
}

static void seconds(const struct text *t, uint64_t ns)
{
	uint64_t ms = ns / NS_PER_MS;
	const char zeros[] = { (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), '\0' };

	number(t, ms / 1000);
	put(t, ".");
	put(t, zeros);
	put(t, " s");
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

static void put_engines(const struct text *t, const struct config *config)
{
	const struct snapshot_about about = dump_about("");
	const struct totals sum = totals_count();

	name(t, "cpu");
	put(t, about.engine_cpu);
	if (*about.engine_cpu_why) {
		put(t, " (");
		put(t, about.engine_cpu_why);
		put(t, ")");
	}
	if (about.period_ns) {
		put(t, ", ");
		number(t, config->cpu_hz);
		put(t, " Hz: ");
		number(t, sum.samples);
		put(t, " samples");
	}
	put(t, "\n");
	name(t, "heap");
	put(t, about.engine_heap);
	if (recorder_mode != HEAP_OFF) {
		put(t, ": ");
		number(t, sum.live_bytes);
		put(t, " bytes live in ");
		number(t, sum.live_count);
		put(t, " blocks, ");
		number(t, sum.alloc_bytes);
		put(t, " allocated in ");
		number(t, sum.alloc_count);
	}
	put(t, "\n");
	name(t, "stacks");
	put(t, "by ");
	put(t, about.engine_unwind);
	put(t, "; ");
	number(t, stacks_count());
	put(t, " nodes, ");
	number(t, threads_record_count());
	put(t, " threads, ");
	number(t, modules_count());
	put(t, " modules\n");
}

static void put_files(const struct text *t)
{
	name(t, "directory");
	put(t, dump_dir());
	put(t, "\n");
	name(t, "profiles");
	number(t, dump_count());
	put(t, " written");
	put(t, live_is_open() ? "; live file kept\n" : "; no live file\n");
}

static void put_cost(const struct text *t, uint64_t requests)
{
	name(t, "cost");
	seconds(t, os_thread_cpu_ns(os_tid()));
	put(t, " of CPU time in our own thread since it began; ");
	number(t, os_mapped_bytes());
	put(t, " bytes of memory and ");
	number(t, live_bytes());
	put(t, " of live file set aside, used as they are needed\n");
	name(t, "control");
	number(t, requests);
	put(t, " requests\n");
	name(t, "metrics");
	put(t, metrics_socket_where());
	put(t, "\n");
}

static void put_losses(const struct text *t)
{
	bool any = false;

	name(t, "lost");
	for (unsigned i = 0; i < LOSS_COUNT; i++) {
		uint64_t n = load_relaxed(&losses_count[i]);

		if (!n)
			continue;
		put(t, any ? ", " : "");
		put(t, loss_name((enum loss)i));
		put(t, " ");
		number(t, n);
		any = true;
	}
	put(t, any ? "\n" : "nothing\n");
}

static void put_options(const struct text *t, const struct config *config)
{
	static const char *const sources[] = { "default", "environment", "set at run time" };

	for (unsigned i = 0; i < CONFIG_COUNT; i++) {
		put(t, "PERFPROBE_");
		put(t, config_name((enum config_index)i));
		put(t, "=");
		put(t, config->text[i]);
		put(t, " (");
		put(t, sources[config->source[i]]);
		put(t, ")\n");
	}
}

void control_status(char *to, size_t size, uint64_t requests)
{
	const struct text text = { to, size }, *t = &text;
	const struct config *config = start_config();
	char comm[32];

	snapshot_name_comm(comm, sizeof(comm));
	name(t, "process");
	number(t, (uint64_t)os_pid());
	put(t, " ");
	put(t, comm);
	put(t, "\n");
	name(t, "version");
	put(t, PERFPROBE_VERSION "\n");
	name(t, "state");
	put(t, state_get() == STATE_RUNNING ? "recording for " : "stopped, ");
	seconds(t, os_now_ns() - dump_about("").start_ns);
	put(t, state_get() == STATE_RUNNING ? "\n" : " after the start\n");
	put_engines(t, config);
	put_files(t);
	put_cost(t, requests);
	put_losses(t);
	put_options(t, config);
}
