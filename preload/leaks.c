/*
 * leaks.c - one check from the question to the rows.
 *
 * leak_stop.c makes a copy of the process; what runs in the copy is mark(): blocks into leak_index.c, roots from leak_roots.c and
 * the threads' registers, leak_mark.c. What it finds comes back by shared memory, as rows per stack. The tables of the
 * recorder are read there as they were at that moment: a thread that was held while it changed them left a block that has no
 * size yet, or none.
 *
 * Twice      `confirmed` is what two checks saw. Who cannot be reached stays so: a pointer that was on its way between two
 *            threads in the first picture is not in the second.
 */
#include "leaks.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "allocs.h"
#include "arch.h"
#include "compiler.h"
#include "leak_index.h"
#include "leak_mark.h"
#include "leak_options.h"
#include "leak_roots.h"
#include "leak_stop.h"
#include "leak_unforked.h"
#include "lock.h"
#include "mappings.h"
#include "memory_limit.h"
#include "objects.h"
#include "os_linux.h"
#include "pools.h"
#include "real.h"
#include "recorder.h"
#include "say.h"
#include "sort.h"
#include "threads.h"
#include "units.h"

enum { ROWS_MAX = 1 << 17, KEYS_MAX = 1 << 20, ROOTS_MAX = 1024, IGNORED_MAX = 1 << 22, WORD = 8 };
enum { DESCRIPTOR_BYTES = 0x800, TOP_OF_STACK = 256 /* words */, MOVING_MAX = 16 << 20 /* bytes */ };
/* For the copy to search. As idle work it may have to wait long for a processor. */
#define PATIENCE_NS      (300 * NS_PER_S)
#define PATIENCE_EXIT_NS (100 * NS_PER_S)
/* For a lock: a thread may hold it that a signal has interrupted, and whose handler waits for us. */
#define HOLD_NS    (NS_PER_S / 2)
#define COMPACT_NS NS_PER_S

/* Why the copy could not do it. */
enum failure { FAILED_NOT, FAILED_MAPS, FAILED_MEMORY };

/* Written by the copy. */
struct findings {
	uint32_t done, failure;
	uint64_t blocks, block_bytes, root_bytes, unread_bytes, gone, cpu_ns, memory_bytes;
	uint64_t rows, rows_lost;
	uint64_t keys, keys_lost;
	struct leaks_row row[ROWS_MAX];
	uint64_t key[KEYS_MAX]; /* of unreachable blocks: key_of() */
};

static const struct config *config;
static struct leaks_result result;
static bool have_result;
static struct leaks_row *rows; /* of the result */
static size_t rows_room;
static struct sort_row *before; /* keys of the check before, sorted */
static size_t before_count, before_room;
static struct findings *found;
static struct leak_range own_data, libc_data; /* of our library, of libc */
static struct leak_waiter waiter;             /* the thread that asked for the check under way */

static struct lock registry_lock; /* rank: innermost */
static struct ignored {
	uint64_t address;
	uint64_t key; /* of the block that was there: another one is not meant */
} * ignored;
static uint32_t ignored_count, ignored_room;

const struct leaks_result *leaks_last(void)
{
	return have_result ? &result : NULL;
}

void leaks_set_waiter(pid_t tid, uint64_t sp)
{
	waiter = (struct leak_waiter){ tid, sp };
}

/* Where libc's descriptor of a thread, to which its thread pointer leads, has the thread's number: the kernel makes it 0 at the
 * thread's end, and pthread_join(3) -1 (glibc nptl). 0: not known. */
static size_t tid_offset;

/* The calling thread's descriptor has it: start-up. */
static void find_tid(void)
{
	const uint8_t *tp = __builtin_thread_pointer();
	int32_t own = os_tid(), seen;

	for (size_t at = 16; !ARCH_TLS_ABOVE && !tid_offset && at < DESCRIPTOR_BYTES; at += sizeof(seen)) {
		memcpy(&seen, tp + at, sizeof(seen));
		tid_offset = seen == own ? at : 0;
	}
}

void leaks_init(const struct config *with)
{
	uintptr_t start, end;

	config = with;
	leak_options_init(with);
	if (objects_own_data(&start, &end))
		own_data = (struct leak_range){ start, end };
	if (real_is_libc && objects_data_of((const void *)real.malloc, &start, &end))
		libc_data = (struct leak_range){ start, end };
	find_tid();
}

/* ---- what the program says ---------------------------------------------------------------------------------------- */

static struct leak_range root[ROOTS_MAX];
static uint32_t root_count;

bool leaks_root_add(const void *start, size_t bytes)
{
	bool stored;

	lock_enter(&registry_lock);
	stored = root_count < ROOTS_MAX;
	if (stored)
		root[root_count++] = (struct leak_range){ (uint64_t)start, (uint64_t)start + bytes };
	lock_leave(&registry_lock);
	return stored;
}

bool leaks_root_remove(const void *start, size_t bytes)
{
	bool found_it = false;

	lock_enter(&registry_lock);
	for (uint32_t i = 0; i < root_count && !found_it; i++) {
		if (root[i].start != (uint64_t)start || root[i].end != (uint64_t)start + bytes)
			continue;
		root[i] = root[--root_count];
		found_it = true;
	}
	lock_leave(&registry_lock);
	return found_it;
}

/* Tells a block from another that has its address later. */
static uint64_t key_of(uint64_t address, const struct block *b)
{
	return address | (uint64_t)(b->stack ^ b->stack >> 14 ^ (uint32_t)b->born) << 48;
}

/* Lock held. Those that were freed meanwhile are not told apart here, so it may grow. */
static bool grow_ignored(void)
{
	uint32_t room = ignored_room ? 2 * ignored_room : 1024;
	struct ignored *bigger = room <= IGNORED_MAX ? os_map(room * sizeof(*bigger)) : NULL;

	if (!bigger)
		return false;
	if (ignored)
		memcpy(bigger, ignored, ignored_count * sizeof(*ignored));
	os_unmap(ignored, ignored_room * sizeof(*ignored));
	ignored = bigger;
	ignored_room = room;
	return true;
}

bool leaks_ignore(const void *address)
{
	uint64_t at = (uint64_t)address;
	struct block b;
	bool stored;

	if (!allocs_find(address, &b) && !allocs_find_around(address, &b, &at))
		return true; /* no block that is known: nothing to do */
	lock_enter(&registry_lock);
	stored = ignored_count < ignored_room || grow_ignored();
	if (stored)
		ignored[ignored_count++] = (struct ignored){ at, key_of(at, &b) };
	lock_leave(&registry_lock);
	return stored;
}

/* ---- in the copy: roots ------------------------------------------------------------------------------------------- */

static bool index_failed, is_libc;

static void index_block(void *context, uint64_t address, const struct block *b)
{
	(void)context;
	found->block_bytes += b->bytes;
	if (!leak_index_add(address, b->bytes))
		index_failed = true;
	if (b->family != SNAP_FAMILY_POOL)
		leak_roots_block(address, is_libc);
}

static void note_programs(void *context, uintptr_t start, uintptr_t end)
{
	(void)context;
	leak_roots_programs(start, end);
}

static void exclude(void *context, uintptr_t start, uintptr_t end)
{
	(void)context;
	leak_roots_exclude(start, end);
}

static void exclude_ours(void)
{
	(void)os_own_each(exclude, NULL);
	leak_roots_exclude(own_data.start, own_data.end);
}

/* Does one of the held threads stand on this stack? Then from where. */
static uint64_t lowest_in(const struct leak_stop *s, uint64_t lo, uint64_t hi)
{
	uint64_t lowest = hi;

	for (uint32_t i = 0; i < s->count; i++)
		if (s->held[i].sp >= lo && s->held[i].sp < lowest)
			lowest = s->held[i].sp;
	return lowest;
}

static NO_SANITIZE void search_explicit(uint64_t start, uint64_t end)
{
	static uint64_t copy[4096];

	start = (start + WORD - 1) / WORD * WORD;
	for (uint64_t at = start; at < end; at += sizeof(copy)) {
		size_t bytes = end - at < sizeof(copy) ? end - at : sizeof(copy);

		if (os_read_memory((const void *)at, copy, bytes))
			leak_mark_words(copy, bytes);
		else
			found->unread_bytes += bytes;
	}
}

static void search_if_there(uint64_t start, uint64_t bytes)
{
	uint64_t unread = found->unread_bytes;

	search_explicit(start, start + bytes);
	found->unread_bytes = unread;
}

static void search_new_places(const uint64_t *words, size_t count, uint64_t bytes)
{
	for (size_t i = 0; i < count; i++)
		if (words[i] % 16 == 0 && leak_roots_is_heap(words[i]) && !leak_index_at(words[i]).page)
			search_if_there(words[i], bytes);
}

/* Of an ended thread's descriptor: its first words, of which one leads to its table of thread-local blocks, which the next thread gets
 * with the stack (tcbhead_t.dtv); all of it, with what the thread returned, if somebody may still ask for that. */
static void search_dead_stack(void *context, uintptr_t lo, uintptr_t tp, uintptr_t hi)
{
	int32_t tid = -1;

	(void)context;
	(void)lo;
	if (tid_offset && tp + tid_offset + sizeof(tid) <= hi)
		(void)os_read_memory((const void *)(tp + tid_offset), &tid, sizeof(tid));
	if (tp + 2 * WORD <= hi)
		search_if_there(tp, tid == 0 ? hi - tp : 2 * WORD); /* libc may have given the stack back */
}

static void exclude_dead_stack(void *context, uintptr_t lo, uintptr_t tp, uintptr_t hi)
{
	uint64_t live = lowest_in(context, lo, hi);

	(void)tp;
	leak_roots_exclude(lo, live < hi ? live - ARCH_RED_ZONE : hi);
}

static bool is_held(const struct leak_stop *s, pid_t tid)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->held[i].tid == tid)
			return true;
	return false;
}

/* Below each thread's stack pointer nothing lives; nor on the first thread's stack, if that ended before others: its end is not
 * told to us. */
static void exclude_stacks(const struct leak_stop *s)
{
	threads_each_dead_stack(exclude_dead_stack, (void *)(uintptr_t)s);
	for (const struct thread *th = threads_first(); th; th = th->next) {
		uint64_t live;

		if (load_relaxed(&th->use) != THREAD_LIVE || !th->stack_hi)
			continue;
		live = lowest_in(s, th->stack_lo, th->stack_hi);
		if (live < th->stack_hi)
			leak_roots_exclude(th->stack_lo, live - ARCH_RED_ZONE);
		else if (th->tid == s->process && !s->missed && !is_held(s, th->tid))
			leak_roots_exclude(th->stack_lo, th->stack_hi);
	}
}

/* The block's content is where it was, or where realloc() has put it, which then is in a register or at the top of the stack:
 * a place in the heap where no block is known. */
static NO_SANITIZE void search_moving(const struct leak_stop *s, const struct thread *th)
{
	uint64_t at = load_relaxed(&th->moving), bytes = load_relaxed(&th->moving_bytes);
	static uint64_t top[TOP_OF_STACK];

	bytes = bytes < MOVING_MAX ? bytes : MOVING_MAX;
	search_if_there(at, bytes);
	for (uint32_t i = 0; i < s->count; i++) {
		const struct leak_held *h = &s->held[i];

		if (h->tid != th->tid)
			continue;
		search_new_places((const uint64_t *)(s->regs + h->regs), h->bytes / WORD, bytes);
		if (os_read_memory((const void *)h->sp, top, sizeof(top)))
			search_new_places(top, TOP_OF_STACK, bytes);
	}
}

static void search_named(const struct leak_stop *s)
{
	const void *words;
	size_t bytes;

	for (uint32_t i = 0; i < s->count; i++)
		leak_mark_words(s->regs + s->held[i].regs, s->held[i].bytes);
	for (const struct thread *th = threads_first(); th; th = th->next)
		if (load_relaxed(&th->use) == THREAD_LIVE && load_relaxed(&th->moving))
			search_moving(s, th);
	for (uint32_t i = 0; i < root_count; i++)
		search_explicit(root[i].start, root[i].end);
	words = leak_unforked_kept(&bytes);
	leak_mark_words(words, bytes);
	threads_each_dead_stack(search_dead_stack, NULL);
	for (uint32_t i = 0; i < bootstrap_count(); i++) {
		words = bootstrap_region(i, &bytes);
		search_explicit((uint64_t)words, (uint64_t)words + bytes);
	}
	for (uint32_t i = 0; i < ignored_count; i++) {
		struct block b;

		if (allocs_find((const void *)ignored[i].address, &b) &&
		    key_of(ignored[i].address, &b) == ignored[i].key)
			leak_mark_reach(ignored[i].address);
	}
}

/* ---- in the copy: rows -------------------------------------------------------------------------------------------- */

enum { SLOTS = 1 << 18 };

static uint32_t *stack_of; /* by number of the block */
static uint32_t *slot_of;  /* hash: row + 1 */

static void note_stack(void *context, uint64_t address, const struct block *b)
{
	struct leak_at at = leak_index_at(address);

	(void)context;
	if (at.page)
		stack_of[leak_index_number(at)] = b->stack;
}

static struct leaks_row *row_of(uint32_t stack, uint32_t kind, uint32_t owner)
{
	uint64_t h = ((uint64_t)stack << 32 | owner) * 2 + kind;

	for (uint64_t i = h * UINT64_C(0x9e3779b97f4a7c15) >> 46;; i++) {
		uint32_t *slot = &slot_of[i % SLOTS];
		struct leaks_row *r;

		if (!*slot) {
			if (found->rows == ROWS_MAX)
				return NULL;
			r = &found->row[found->rows++];
			*r = (struct leaks_row){ .stack = stack, .kind = kind, .owner = owner, .first_ns = UINT64_MAX };
			*slot = (uint32_t)found->rows;
			return r;
		}
		r = &found->row[*slot - 1];
		if (r->stack == stack && r->kind == kind && r->owner == owner)
			return r;
	}
}

static bool was_there(uint64_t key)
{
	size_t lo = 0, hi = before_count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (before[mid].key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < before_count && before[lo].key == key;
}

static void add_block(void *context, uint64_t address, const struct block *b)
{
	struct leak_at at = leak_index_at(address);
	uint32_t number = at.page ? leak_index_number(at) : 0, head = at.page ? leak_mark_owner(number) : 0;
	struct recorder_share share = recorder_share_of(b);
	uint64_t born = recorder_born_ns(b), key = key_of(address, b);
	struct leaks_row *r;

	(void)context;
	if (!at.page)
		return;
	if (found->keys < KEYS_MAX)
		found->key[found->keys++] = key;
	else
		found->keys_lost++;
	r = head == number ? row_of(b->stack, 0, 0) : row_of(b->stack, 1, stack_of[head]);
	if (!r) {
		found->rows_lost++;
		return;
	}
	r->count += share.count;
	r->bytes += share.bytes;
	r->samples++;
	r->variance += share.variance;
	r->first_ns = born < r->first_ns ? born : r->first_ns;
	r->last_ns = born > r->last_ns ? born : r->last_ns;
	if (was_there(key)) {
		r->confirmed_count += share.count;
		r->confirmed_bytes += share.bytes;
	}
}

static bool make_rows(void)
{
	bool failed;
	uint32_t n = leak_mark_rest(&failed);

	stack_of = os_map((n + UINT64_C(1)) * sizeof(*stack_of));
	slot_of = os_map(SLOTS * sizeof(*slot_of));
	if (failed || !stack_of || !slot_of)
		return false;
	allocs_each(note_stack, NULL);
	pools_each(note_stack, NULL);
	allocs_each(add_block, NULL);
	pools_each(add_block, NULL);
	return true;
}

/* ---- the copy ----------------------------------------------------------------------------------------------------- */

static void note_cost(void)
{
	struct rusage used;

	memset(&used, 0, sizeof(used));
	(void)os_call(SYS_getrusage, RUSAGE_SELF, (long)&used, 0, 0, 0, 0);
	found->cpu_ns = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * NS_PER_S +
	                (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * NS_PER_US;
	/* What it has beyond the program's: pages that were written by either since. */
	found->memory_bytes = (uint64_t)used.ru_minflt * 4096;
}

static enum failure search(const struct leak_stop *s)
{
	bool full = recorder_mode == HEAP_FULL;
	const struct leak_range *readable;
	size_t count;

	if (!leak_roots_begin())
		return FAILED_MAPS;
	is_libc = real_is_libc;
	if (is_libc)
		(void)leak_roots_arena(libc_data.start, libc_data.end); /* without, a few leaks are not seen */
	else
		mappings_each(note_programs, NULL);
	allocs_each(index_block, NULL);
	pools_each(index_block, NULL);
	leak_index_whole();
	leak_index_ends_apart = pools_have_any() ? pools_know : NULL;
	found->blocks = leak_index_blocks();
	exclude_ours();
	exclude_stacks(s);
	readable = leak_roots_readable(&count);
	if (index_failed || !leak_mark_begin(readable, count, leak_options_step()))
		return FAILED_MEMORY;
	search_named(s);
	leak_roots_search(full ? leak_mark_roots : leak_mark_mentioned, !full);
	(void)leak_mark_follow();
	found->gone = leak_mark_gone();
	found->root_bytes = leak_roots_bytes();
	found->unread_bytes += leak_roots_unread();
	return make_rows() ? FAILED_NOT : FAILED_MEMORY;
}

static void mark(const struct leak_stop *s)
{
	found->failure = search(s);
	note_cost();
	found->done = 1;
}

/* ---- in the process: one check ------------------------------------------------------------------------------------ */

static void note(const char *text)
{
	if (result.note[0])
		say_append(result.note, sizeof(result.note), "; ");
	say_append(result.note, sizeof(result.note), text);
}

static void note_number(uint64_t n, const char *text)
{
	char digits[24];

	if (n == 0)
		return;
	note(say_number(digits, n));
	say_append(result.note, sizeof(result.note), text);
}

static struct findings *map_findings(void)
{
	long at = os_call(SYS_mmap, 0, sizeof(struct findings), PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at < 0 && at > -4096)
		return NULL;
	(void)os_own((void *)at, sizeof(struct findings));
	return (struct findings *)at;
}

/* Nobody is in the middle of a change that takes more than one store. */
static int take_picture(struct leak_stop *s, enum leak_stop_way way, bool hurry)
{
	int rc = -EBUSY;

	if (!allocs_hold(HOLD_NS))
		return rc;
	if (pools_hold(HOLD_NS)) {
		if (mappings_hold(HOLD_NS)) {
			rc = leak_stop(s, way, hurry, waiter, hurry ? PATIENCE_EXIT_NS : PATIENCE_NS,
			               leak_unforked_keep, mark);
			mappings_fork_done();
		}
		pools_fork_done();
	}
	allocs_fork_done();
	return rc;
}

static void failed(const char *why, const char *more)
{
	result.state = 1;
	result.method = "";
	result.note[0] = '\0';
	note(why);
	say_append(result.note, sizeof(result.note), more);
}

/* Sorted as the file wants them. */
static bool copy_rows(size_t n)
{
	struct sort_row *order = os_map((n + 1) * sizeof(*order));

	if (!order)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct leaks_row *r = &found->row[i];

		order[i] = (struct sort_row){ (uint64_t)r->stack << 32 | r->kind << 31 | r->owner, i };
	}
	sort_rows(order, n);
	for (size_t i = 0; i < n; i++)
		rows[i] = found->row[order[i].rest];
	os_unmap(order, (n + 1) * sizeof(*order));
	return true;
}

static bool keep_rows(void)
{
	size_t n = found->rows;

	if (n > rows_room) {
		os_unmap(rows, rows_room * sizeof(*rows));
		rows_room = n;
		rows = os_map(rows_room * sizeof(*rows));
		if (!rows) {
			rows_room = 0;
			return false;
		}
	}
	if (!copy_rows(n))
		return false;
	result.rows = rows;
	result.count = n;
	return true;
}

static void keep_keys(void)
{
	size_t n = found->keys;

	before_count = 0;
	if (n > before_room) {
		os_unmap(before, before_room * sizeof(*before));
		before_room = n;
		before = os_map(before_room * sizeof(*before));
		if (!before)
			before_room = 0;
	}
	if (!before)
		return;
	for (size_t i = 0; i < n; i++)
		before[i].key = found->key[i];
	sort_rows(before, n);
	before_count = n;
}

static void keep(const struct leak_stop *s)
{
	result.time_ns = s->taken_ns;
	result.pause_ns = s->pause_ns > result.pause_ns ? s->pause_ns : result.pause_ns;
	result.cpu_ns = found->cpu_ns;
	result.memory_bytes = found->memory_bytes;
	result.threads = s->standing;
	result.threads_missed = s->missed;
	result.blocks = found->blocks;
	result.block_bytes = found->block_bytes;
	result.root_bytes = found->root_bytes;
	result.unread_bytes = found->unread_bytes + leak_unforked_lost();
	result.note[0] = '\0';
	note_number(s->missed, " threads could not be held: what only they reach may be told as leaked");
	note_number(found->unread_bytes, " bytes of roots could not be read");
	note_number(leak_unforked_lost(),
	            " bytes that fork leaves out (MADV_DONTFORK) are beyond the limit and were not searched");
	note_number(found->rows_lost, " blocks are not in the rows, which are full");
	note_number(found->keys_lost, " blocks could not be compared with another check");
	note_number(found->gone, " blocks have no memory any more, and are left out");
	if (!keep_rows())
		failed("no memory for the result", "");
	keep_keys();
}

/* What became of the copy. */
static bool copy_did_it(const struct leak_stop *s)
{
	char digits[24];

	if (s->late) {
		failed("the search took too long, or other programs left it no time", "");
	} else if (!found->done) {
		failed("the process that searches was ended by signal ",
		       say_number(digits, (uint64_t)s->status & 0x7f));
	} else if (found->failure != FAILED_NOT) {
		failed(found->failure == FAILED_MAPS ? "/proc/self/maps cannot be read" : "no memory for the search",
		       "");
	} else {
		return true;
	}
	return false;
}

/* All that was found is sure: the program stands still. */
static void confirm_all(void)
{
	for (size_t i = 0; i < result.count; i++) {
		rows[i].confirmed_count = rows[i].count;
		rows[i].confirmed_bytes = rows[i].bytes;
	}
}

static struct checking {
	enum { CHECK_NONE, CHECK_PICTURE, CHECK_COPY, CHECK_GAP } phase;
	unsigned checks; /* that are wanted */
	uint64_t gap_ns, began_ns, next_ns;
	bool at_exit;
	enum leak_stop_way way;
	int refused; /* why the threads could not be traced */
	struct leak_stop s;
} now;

static void end_check(void)
{
	os_unmap(found, sizeof(*found));
	found = NULL;
	result.check_ns = os_now_ns() - now.began_ns;
	now.phase = CHECK_NONE;
}

/* Another way of holding threads may be left. */
static bool try_other_way(int rc)
{
	if (now.way != LEAK_STOP_PTRACE || rc == -ENOMEM || rc == -EAGAIN || rc == -EBUSY)
		return false;
	now.way = LEAK_STOP_SIGNALS;
	now.refused = rc;
	return true;
}

static void begin_picture(void)
{
	int rc;

	memset(found, 0, offsetof(struct findings, row));
	if (!now.at_exit)
		allocs_compact(os_now_ns() + COMPACT_NS);
	rc = take_picture(&now.s, now.way, now.at_exit);
	if (rc == 0) {
		now.phase = CHECK_COPY;
		return;
	}
	leak_stop_done(&now.s);
	if (try_other_way(rc))
		return;
	failed("no copy of the process could be made: ", say_errno(rc));
	end_check();
}

static void note_refused(void)
{
	char name[16];

	note("the threads could not be traced (");
	say_append(result.note, sizeof(result.note), say_errno(now.refused));
	if (now.refused == -EPERM && leak_stop_tracer(name, sizeof(name))) {
		say_append(result.note, sizeof(result.note), ": they are already, by ");
		say_append(result.note, sizeof(result.note), name[0] ? name : "another process");
	}
	say_append(result.note, sizeof(result.note), ")");
}

static void take_over(void)
{
	bool alone;

	if (copy_did_it(&now.s))
		keep(&now.s);
	alone = now.s.standing + now.s.missed == 1;
	if (result.state == 0) {
		result.method = now.way == LEAK_STOP_PTRACE ? "ptrace" : now.s.count ? "signals" : "scans";
		if (now.refused)
			note_refused();
		result.checks++;
	}
	leak_stop_done(&now.s);
	if (result.state == 0 && now.at_exit && alone) { /* nothing moves: a second look would see the same */
		result.checks = now.checks;
		result.method = "exit";
		confirm_all();
	}
	if (result.state != 0 || result.checks >= now.checks) {
		end_check();
	} else {
		now.phase = CHECK_GAP;
		now.next_ns = os_now_ns() + now.gap_ns;
	}
}

bool leaks_step(void)
{
	if (now.phase == CHECK_GAP && os_now_ns() >= now.next_ns)
		now.phase = CHECK_PICTURE;
	if (now.phase == CHECK_PICTURE)
		begin_picture();
	else if (now.phase == CHECK_COPY && leak_stop_ended())
		take_over();
	return now.phase == CHECK_NONE;
}

void leaks_cancel(void)
{
	if (now.phase == CHECK_NONE)
		return;
	if (now.phase == CHECK_COPY) {
		leak_stop_cancel();
		leak_stop_done(&now.s);
	}
	failed("the program changed its rights or namespaces meanwhile", "");
	end_check();
}

bool leaks_begin(unsigned checks, uint64_t gap_ns, bool at_exit)
{
	char why[LEAKS_NOTE_BYTES];

	if (now.phase != CHECK_NONE)
		return false;
	result = (struct leaks_result){ .state = 1, .method = "" };
	have_result = true;
	if (recorder_mode == HEAP_OFF)
		failed("the heap is not recorded", "");
	else if (!memory_limit_allows(recorder_live_bytes() / 8 + (16 << 20), why, sizeof(why)))
		failed(why, "");
	else if (!(found = map_findings()))
		failed("no memory for the result", "");
	else
		now = (struct checking){ .phase = CHECK_PICTURE,
			                 .checks = checks,
			                 .gap_ns = gap_ns,
			                 .at_exit = at_exit,
			                 .began_ns = os_now_ns() };
	if (now.phase == CHECK_PICTURE) {
		leak_unforked_prepare();
		leak_options_read_suppressions();
		result.state = 0;
	}
	return true;
}

bool leaks_is_under_way(void)
{
	return now.phase != CHECK_NONE;
}

void leaks_fork_child(void)
{
	store_relaxed(&registry_lock.word, 0); /* its holder does not exist here */
	leak_unforked_fork_child();
	have_result = false;
	before_count = 0;
	now.phase = CHECK_NONE;
}
