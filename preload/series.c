/*
 * series.c - a point each interval; when there is no room for more, every other one goes and the interval doubles. So a recording of
 * any length has between 512 and 1024 of them, ten a second at first.
 *
 * One writer, the helper. `turn` is odd while it writes; a reader that finds it odd or changed copies again (a seqlock; Boehm, Can
 * seqlocks get along with programming language memory models?, 2012). The points are atomic words, so that what a reader may see
 * of a turn that it does not use is no race.
 */
#include "series.h"

#include <string.h>
#include <sys/auxv.h>

#include "atomic.h"
#include "os_linux.h"
#include "recorder.h"
#include "requests.h"
#include "units.h"

#define FIRST_INTERVAL_NS (100 * NS_PER_MS)

enum { WORDS = sizeof(struct series_point) / sizeof(uint64_t), TRIES = 8 };

static _Atomic uint64_t words[SERIES_POINTS][WORDS];
static _Atomic uint64_t interval_ns = FIRST_INTERVAL_NS;
static _Atomic uint32_t points, turn;
static uint64_t next_ns;

/* statm, proc_pid_statm(5): size and resident size in pages. Of this thread: the first one may have ended. */
uint64_t series_resident_bytes(void)
{
	char text[128];
	const char *c = text;
	uint64_t pages = 0;

	if (os_read_file("/proc/thread-self/statm", text, sizeof(text)) <= 0)
		return 0;
	c += strcspn(c, " ");
	for (c += *c == ' '; *c >= '0' && *c <= '9'; c++)
		pages = pages * 10 + (uint64_t)(*c - '0');
	return pages * getauxval(AT_PAGESZ);
}

static struct series_point point_of(uint64_t now_ns)
{
	return (struct series_point){ now_ns, os_cpu_ns(), series_resident_bytes(), recorder_live_bytes(),
		                      requests_totals().count };
}

static void store(uint32_t i, const struct series_point *p)
{
	uint64_t from[WORDS];

	memcpy(from, p, sizeof(from));
	for (unsigned k = 0; k < WORDS; k++)
		store_relaxed(&words[i][k], from[k]);
}

static void load(uint32_t i, struct series_point *p)
{
	uint64_t to[WORDS];

	for (unsigned k = 0; k < WORDS; k++)
		to[k] = load_relaxed(&words[i][k]);
	memcpy(p, to, sizeof(to));
}

static void thin(void)
{
	struct series_point p;

	for (uint32_t i = 0; i < SERIES_POINTS / 2; i++) {
		load(2 * i, &p);
		store(i, &p);
	}
	store_relaxed(&points, SERIES_POINTS / 2);
	store_relaxed(&interval_ns, 2 * load_relaxed(&interval_ns));
}

void series_tick(uint64_t now_ns)
{
	struct series_point p;
	uint32_t n;

	if (now_ns < next_ns)
		return;
	p = point_of(now_ns);
	store_relaxed(&turn, load_relaxed(&turn) + 1);
	atomic_thread_fence(
	        memory_order_release); /* the turn is odd before anything is changed; pairs with the fence below */
	if (load_relaxed(&points) == SERIES_POINTS)
		thin();
	n = load_relaxed(&points);
	store(n, &p);
	store_relaxed(&points, n + 1);
	store_release(&turn, load_relaxed(&turn) + 1); /* pairs with the acquire in series_get */
	next_ns = now_ns + load_relaxed(&interval_ns);
}

size_t series_get(struct series_point *to, uint64_t *ret_interval_ns)
{
	uint64_t now = os_now_ns();
	uint32_t n = 0;

	for (unsigned i = 0; i < TRIES; i++) {
		uint32_t before = load_acquire(&turn); /* pairs with the release in series_tick */

		*ret_interval_ns = load_relaxed(&interval_ns);
		n = load_relaxed(&points);
		for (uint32_t k = 0; k < n; k++)
			load(k, &to[k]);
		atomic_thread_fence(memory_order_acquire); /* pairs with the fence in series_tick */
		if (!(before & 1) && load_relaxed(&turn) == before)
			break;
		n = 0;
	}
	/* Clocks of two threads: the last point may be a moment later. */
	if (n && to[n - 1].time_ns > now)
		now = to[n - 1].time_ns;
	to[n] = point_of(now);
	if (n && to[n].cpu_ns < to[n - 1].cpu_ns)
		to[n].cpu_ns = to[n - 1].cpu_ns;
	if (n && to[n].requests < to[n - 1].requests)
		to[n].requests = to[n - 1].requests;
	return n + 1;
}

void series_fork_child(void)
{
	store_relaxed(&points, 0);
	store_relaxed(&turn, 0);
	store_relaxed(&interval_ns, FIRST_INTERVAL_NS);
	next_ns = 0;
}
