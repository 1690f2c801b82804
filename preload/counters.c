#include "counters.h"

#include <stddef.h>

#include "compiler.h"
#include "live.h"

#ifdef NDEBUG
enum { FIRST_SLOTS = 64 };
#else
enum { FIRST_SLOTS = 4 };
#endif

_Atomic uint32_t counters_epoch_now = 1; /* entries start in epoch 0: nothing was live before their first change */

/* The live file's readers know these structures by live_layout.h. */
static_assert(offsetof(struct counter, key) == offsetof(struct live_counter, key), "layout");
static_assert(offsetof(struct counter, epoch) == offsetof(struct live_counter, epoch), "layout");
static_assert(offsetof(struct counter, alloc_count) == offsetof(struct live_counter, alloc_count), "layout");
static_assert(offsetof(struct counter, temporary_count) == offsetof(struct live_counter, temporary_count), "layout");
static_assert(offsetof(struct counter, peak_bytes) == offsetof(struct live_counter, peak_bytes), "layout");
static_assert(offsetof(struct counter, cpu_samples) == offsetof(struct live_counter, cpu_samples), "layout");
static_assert(offsetof(struct counter, detail) == offsetof(struct live_counter, detail), "layout");
static_assert(offsetof(struct counter, largest) == offsetof(struct live_counter, largest), "layout");
static_assert(sizeof(struct counter) == sizeof(struct live_counter), "layout");
static_assert(sizeof(struct counter_detail) == sizeof(struct live_detail), "layout");
static_assert(offsetof(struct counter_table, slot) == sizeof(struct live_counters), "layout");

static size_t table_bytes(uint32_t slots)
{
	return sizeof(struct counter_table) + (size_t)slots * sizeof(struct counter) +
	       (size_t)slots / 2 * sizeof(struct counter_detail);
}

static struct counter *find(struct counter_table *t, uint64_t key)
{
	for (uint32_t i = counters_slot(key);; i++) {
		struct counter *c = &t->slot[i & t->mask];
		uint64_t seen = load_relaxed(&c->key); /* relaxed: only the owner writes */

		if (seen == key || seen == 0)
			return c;
	}
}

static void copy(struct counter *to, const struct counter *from)
{
	store_relaxed(&to->epoch, load_relaxed(&from->epoch));
	store_relaxed(&to->alloc_count, load_relaxed(&from->alloc_count));
	store_relaxed(&to->alloc_bytes, load_relaxed(&from->alloc_bytes));
	store_relaxed(&to->free_count, load_relaxed(&from->free_count));
	store_relaxed(&to->free_bytes, load_relaxed(&from->free_bytes));
	store_relaxed(&to->temporary_count, load_relaxed(&from->temporary_count));
	store_relaxed(&to->peak_count, load_relaxed(&from->peak_count));
	store_relaxed(&to->peak_bytes, load_relaxed(&from->peak_bytes));
	store_relaxed(&to->cpu_samples, load_relaxed(&from->cpu_samples));
	store_relaxed(&to->largest, load_relaxed(&from->largest));
	to->detail = from->detail;
	store_relaxed(&to->key, load_relaxed(&from->key));
}

static void detail_add(struct counter_detail *to, const struct counter_detail *from)
{
	own_add(&to->slop_bytes, load_relaxed(&from->slop_bytes));
	for (unsigned i = 0; i < SNAP_LIFETIMES; i++)
		own_add(&to->lifetime[i], load_relaxed(&from->lifetime[i]));
}

static struct counter_table *grow(struct counters *c, struct counter_table *old)
{
	uint32_t slots = old ? (old->mask + 1) * 2 : FIRST_SLOTS;
	struct counter_table *t = live_map(LIVE_COUNTERS, c->owner, table_bytes(slots));

	if (!t)
		return NULL;
	t->mask = slots - 1;
	t->older = old;
	if (old) {
		t->used = old->used;
		for (uint32_t i = 0; i <= old->mask; i++) {
			uint64_t key = load_relaxed(&old->slot[i].key);

			if (!key)
				continue;
			copy(find(t, key), &old->slot[i]);
			detail_add(counter_detail_of(t, find(t, key)), counter_detail_of(old, &old->slot[i]));
		}
	}
	c->made++;
	live_activate(t);          /* whole now: an outside reader prefers it to the old one */
	store_release(&c->now, t); /* pairs with the acquire of readers (snapshot_write.c) */
	return t;
}

NOINLINE struct counter *counters_find(struct counters *c, uint64_t key)
{
	struct counter_table *t = load_relaxed(&c->now); /* relaxed: only the owner writes */
	struct counter *at;

	if (LIKELY(t != NULL)) {
		at = find(t, key);
		if (LIKELY(load_relaxed(&at->key) == key))
			return at;
		if (t->used < (t->mask + 1) / 2) {
			at->detail = t->used++;
			store_release(&at->key,
			              key); /* pairs with readers' acquire: the zeros before it are in place */
			return at;
		}
	}
	t = grow(c, t);
	if (!t)
		return NULL;
	at = find(t, key);
	at->detail = t->used++;
	store_release(&at->key, key);
	return at;
}

static void add(struct counter *to, const struct counter *from)
{
	int64_t count = (int64_t)(load_relaxed(&from->alloc_count) - load_relaxed(&from->free_count));
	int64_t bytes = (int64_t)(load_relaxed(&from->alloc_bytes) - load_relaxed(&from->free_bytes));

	counter_touch(to);
	if (load_relaxed(&from->epoch) == load_relaxed(&to->epoch)) {
		count = load_relaxed(&from->peak_count);
		bytes = load_relaxed(&from->peak_bytes);
	}
	own_add(&to->peak_count, count);
	own_add(&to->peak_bytes, bytes);
	own_add(&to->alloc_count, load_relaxed(&from->alloc_count));
	own_add(&to->alloc_bytes, load_relaxed(&from->alloc_bytes));
	own_add(&to->free_count, load_relaxed(&from->free_count));
	own_add(&to->free_bytes, load_relaxed(&from->free_bytes));
	own_add(&to->temporary_count, load_relaxed(&from->temporary_count));
	if (load_relaxed(&from->largest) > load_relaxed(&to->largest))
		store_relaxed(&to->largest, load_relaxed(&from->largest));
}

bool counters_merge(struct counters *to, const struct counters *from, uint32_t cpu_thread)
{
	struct counter_table *t = load_acquire(&from->now); /* pairs with grow: its owner ended or is this thread */
	bool all = true;

	for (uint32_t i = 0; t && i <= t->mask; i++) {
		const struct counter *c = &t->slot[i];
		uint64_t key = load_relaxed(&c->key), samples = load_relaxed(&c->cpu_samples);
		struct counter *sum;

		if (!key)
			continue;
		if (load_relaxed(&c->alloc_count) || load_relaxed(&c->free_count)) {
			sum = counters_at(to, key);
			if (sum) {
				add(sum, c);
				detail_add(counter_detail_of(load_relaxed(&to->now), sum), counter_detail_of(t, c));
			}
			all = all && sum;
		}
		if (samples) {
			sum = counters_at(to, key | (uint64_t)cpu_thread << 32);
			if (sum)
				own_add(&sum->cpu_samples, samples);
			all = all && sum;
		}
	}
	return all;
}

void counters_total(const struct counters *c, uint64_t *add_count, uint64_t *add_bytes)
{
	struct counter_table *t = load_acquire(&c->now); /* pairs with grow() */

	for (uint32_t i = 0; t && i <= t->mask; i++) {
		*add_count += load_relaxed(&t->slot[i].alloc_count);
		*add_bytes += load_relaxed(&t->slot[i].alloc_bytes);
	}
}

void counters_each(const struct counters *c, void (*visit)(void *context, const struct counter *counter), void *context)
{
	struct counter_table *t = load_relaxed(&c->now); /* relaxed: nobody changes them */

	for (uint32_t i = 0; t && i <= t->mask; i++)
		if (load_relaxed(&t->slot[i].key))
			visit(context, &t->slot[i]);
}

void counters_set_owner(struct counters *c, uint32_t owner)
{
	struct counter_table *t = load_relaxed(&c->now);

	c->owner = owner;
	if (t)
		live_set_owner(t, owner);
}

void counters_free_old(struct counters *c)
{
	struct counter_table *t = load_relaxed(&c->now), *old;

	if (!t)
		return;
	while ((old = t->older)) {
		t->older = old->older;
		live_unmap(old, table_bytes(old->mask + 1));
	}
}

void counters_done(struct counters *c)
{
	struct counter_table *t = load_relaxed(&c->now);

	counters_free_old(c);
	counters_forget(c);
	if (t)
		live_unmap(t, table_bytes(t->mask + 1));
}

void counters_forget(struct counters *c)
{
	store_relaxed(&c->now, NULL);
	c->made++;
}
