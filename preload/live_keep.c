/*
 * live_keep.c - what a live file needs besides the tables that live in it.
 *
 * Frame      what the tables do not hold (info, options, losses, modules, threads) is written as a small snapshot when one of
 *            them changed, at most once a second. The old one is given up when the new one is complete.
 */
#include "live_keep.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "atomic.h"
#include "counters.h"
#include "dump.h"
#include "live.h"
#include "losses.h"
#include "modules.h"
#include "offcpu.h"
#include "os_linux.h"
#include "recorder.h"
#include "say.h"
#include "snapshot_name.h"
#include "snapshot_write.h"
#include "stacks.h"
#include "threads.h"
#include "units.h"

enum { NAME_BYTES = 96, MAX_NAMES = 9, FRAME_MAX = 64 << 20 };

static uint64_t frame_ns;    /* when the last frame was written */
static uint64_t frame_state; /* what it was made of */

/* COMM.PID.live, or COMM.PID.N.live where a killed process of the same number left one. */
static void make_name(char *name, unsigned n)
{
	static const char suffix[] = ".live";
	char digits[24];
	size_t used;

	snapshot_name_start(name, NAME_BYTES - 16);
	used = strlen(name);
	if (n > 1) {
		name[used++] = '.';
		say_number(digits, n);
		memcpy(name + used, digits, strlen(digits));
		used += strlen(digits);
	}
	memcpy(name + used, suffix, sizeof(suffix));
}

static void fill_header(const struct config *config)
{
	struct live_header *h = live_header();

	h->segment_nodes = stacks_segment_nodes();
	h->heap_mode = config->heap == HEAP_FULL      ? SNAP_HEAP_FULL
	               : config->heap == HEAP_SAMPLED ? SNAP_HEAP_SAMPLED
	                                              : SNAP_HEAP_OFF;
	h->heap_interval = config->heap == HEAP_SAMPLED ? config->heap_interval : 0;
	h->heap_detail = (uint32_t)recorder_detail(config);
	h->count_scale = config->heap == HEAP_SAMPLED ? RECORDER_COUNT_SCALE : 1;
}

/* 0, or why there is no file: `path` is where it was to be. */
static int make_file(char *path, size_t size, int (*open)(int dir_fd, const char *dir, const char *name))
{
	static char name[NAME_BYTES]; /* perhaps in a handler on a small stack, but one thread at a time */
	int fd = dump_open_dir(path, size), rc = fd;

	for (unsigned n = 1; fd >= 0 && n <= MAX_NAMES; n++) {
		make_name(name, n);
		rc = open(fd, path, name);
		if (rc != -EEXIST)
			break;
	}
	os_close(fd);
	return rc < 0 ? rc : 0;
}

static bool make(void)
{
	static char path[PATH_MAX];
	int rc = make_file(path, sizeof(path), live_open);

	if (rc < 0)
		say("no live file in ", path, " (", say_errno(rc), "): a recording that is killed is lost", NULL);
	return rc == 0;
}

void live_keep_init(const struct config *config)
{
	if (!config->live || (config->heap == HEAP_OFF && !config->cpu_hz))
		return;
	fill_header(config);
	live_want(make);
}

static uint64_t state_now_of_frame(void)
{
	uint64_t sum = (uint64_t)modules_count() << 32 ^ threads_record_count();

	for (unsigned i = 0; i < LOSS_COUNT; i++)
		sum += load_relaxed(&losses_count[i]) * (2 * (uint64_t)i + 3);
	sum += (uint64_t)offcpu_scope() << 60;
	return sum + config_changes() * UINT64_C(0x100000001b3) + 1;
}

static void write_frame(void)
{
	static size_t room = LIVE_FRAME_BYTES; /* grows with the numbers of threads and modules */
	struct snapshot_about about = dump_about("live");
	int rc = -ENOSPC;

	for (; rc == -ENOSPC && room <= FRAME_MAX; room *= 2) {
		uint64_t offset;
		int fd = live_frame_begin(room, &offset);

		if (fd < 0)
			return; /* the old frame stays */
		rc = snapshot_write_frame(&about, fd, offset, room);
		os_close(fd);
		live_frame_done(rc == 0);
		if (rc == 0)
			return;
	}
}

void live_keep_tick(uint64_t now_ns)
{
	struct live_header *h = live_header();
	struct recorder_totals totals;
	uint64_t state;

	live_make();
	if (!live_is_open())
		return;
	totals = recorder_totals();
	h->end_ns = now_ns;
	h->end_wall_ns = os_wall_ns();
	h->cpu_ns = os_cpu_ns();
	h->peak_bytes = totals.peak_bytes;
	h->peak_ns = totals.peak_ns;
	h->epoch = load_relaxed(&counters_epoch_now); /* relaxed: late by an event is within the stated error */
	state = state_now_of_frame();
	if (state == frame_state || (frame_ns && now_ns - frame_ns < NS_PER_S))
		return;
	write_frame();
	frame_state = state;
	frame_ns = now_ns;
}

bool live_keep_fork_child(void)
{
	frame_ns = frame_state = 0;
	return live_fork_child();
}

void live_keep_stay(void)
{
	static char path[PATH_MAX];

	if (live_is_pending() && stacks_own())
		(void)make_file(path, sizeof(path), live_open_late); /* without the file the recording goes on */
}
