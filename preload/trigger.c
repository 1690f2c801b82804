#include "trigger.h"

#include <string.h>

#include "units.h"

#define SETTLE_NS (10 * NS_PER_S)
enum { SIXTEENTH = 16 };

static bool is_cool(const struct trigger *t, const struct trigger_rules *rules, enum trigger_kind kind, uint64_t now)
{
	return !t->tripped_ns[kind] || now - t->tripped_ns[kind] >= rules->cooldown_ns;
}

static bool trip(struct trigger *t, enum trigger_kind kind, uint64_t now, uint64_t bad)
{
	t->tripped_ns[kind] = now;
	t->worst[kind] = bad;
	return true;
}

/* Notes the seconds that have passed; the bytes now stand for those that nobody looked at. */
static void note_seconds(struct trigger *t, uint64_t now, uint64_t bytes)
{
	uint64_t due = (now - t->began_ns) / NS_PER_S;

	if (due - t->seconds > TRIGGER_SECONDS)
		t->seconds = due - TRIGGER_SECONDS;
	while (t->seconds < due)
		t->second[t->seconds++ % TRIGGER_SECONDS] = bytes;
}

/* What the bytes rose since the oldest second that counts. */
static uint64_t risen(const struct trigger *t, uint64_t bytes)
{
	uint64_t settle = SETTLE_NS / NS_PER_S;
	uint64_t oldest = t->seconds > TRIGGER_SECONDS ? t->seconds - TRIGGER_SECONDS : 0;
	uint64_t from = oldest > settle ? oldest : settle;

	if (from >= t->seconds)
		return 0;
	return bytes > t->second[from % TRIGGER_SECONDS] ? bytes - t->second[from % TRIGGER_SECONDS] : 0;
}

static bool memory_trips(struct trigger *t, const struct trigger_rules *rules, uint64_t now, uint64_t bytes)
{
	uint64_t worst = t->worst[TRIGGER_MEMORY];

	if (!rules->memory_bytes)
		return false;
	if (bytes <= rules->memory_bytes) {
		t->worst[TRIGGER_MEMORY] = 0;
		return false;
	}
	return bytes > worst + worst / SIXTEENTH && is_cool(t, rules, TRIGGER_MEMORY, now);
}

bool trigger_see(struct trigger *t, const struct trigger_rules *rules, uint64_t now_ns, uint64_t bytes,
                 enum trigger_kind *ret_kind, uint64_t *ret_bad)
{
	uint64_t rise;

	if (!t->began_ns)
		t->began_ns = now_ns;
	note_seconds(t, now_ns, bytes);
	*ret_kind = TRIGGER_MEMORY;
	*ret_bad = bytes;
	if (memory_trips(t, rules, now_ns, bytes))
		return trip(t, TRIGGER_MEMORY, now_ns, bytes);
	rise = rules->growth_per_min ? risen(t, bytes) : 0;
	*ret_kind = TRIGGER_GROWTH;
	*ret_bad = rise;
	return rise > rules->growth_per_min && is_cool(t, rules, TRIGGER_GROWTH, now_ns) &&
	       trip(t, TRIGGER_GROWTH, now_ns, rise);
}

bool trigger_see_pressure(struct trigger *t, const struct trigger_rules *rules, uint64_t percent, uint64_t now_ns,
                          uint64_t stalled_us, uint64_t *ret_bad)
{
	const uint64_t whole = TRIGGER_PRESSURE_SECONDS * NS_PER_S / NS_PER_US;
	uint64_t first = t->stalls > TRIGGER_PRESSURE_SECONDS ? t->stalls - TRIGGER_PRESSURE_SECONDS : 0;
	uint64_t i = t->stalls++ % TRIGGER_PRESSURE_LOOKS, since;

	t->stalled_us[i] = stalled_us;
	t->stalled_at_ns[i] = now_ns;
	first %= TRIGGER_PRESSURE_LOOKS;
	since = (now_ns - t->stalled_at_ns[first]) / NS_PER_US;
	if (!since || stalled_us < t->stalled_us[first])
		return false;
	since = since > whole ? since : whole; /* before that it is a share of ten seconds all the same */
	*ret_bad = (stalled_us - t->stalled_us[first]) * 100 / since;
	return *ret_bad >= percent && is_cool(t, rules, TRIGGER_PRESSURE, now_ns) &&
	       trip(t, TRIGGER_PRESSURE, now_ns, *ret_bad);
}

const char *trigger_name(enum trigger_kind kind)
{
	static const char *const names[TRIGGER_KINDS] = { "memory", "growth", "latency", "memory" };

	return names[kind];
}

void trigger_keep(struct trigger_kept *k, uint64_t bad, uint64_t bytes, const char *path)
{
	size_t length = strlen(path) + 1;

	if (length > TRIGGER_PATH_BYTES || k->count == TRIGGER_KEPT_MAX)
		return;
	k->bad[k->count] = bad;
	k->bytes[k->count] = bytes;
	memcpy(k->path[k->count++], path, length);
}

/* The least bad of the first `among`. */
static void drop_least(struct trigger_kept *k, uint32_t among, char *ret_path)
{
	uint32_t least = 0;

	for (uint32_t i = 1; i < among; i++)
		if (k->bad[i] < k->bad[least])
			least = i;
	memcpy(ret_path, k->path[least], TRIGGER_PATH_BYTES);
	k->count--;
	memmove(&k->bad[least], &k->bad[least + 1], (k->count - least) * sizeof(k->bad[0]));
	memmove(&k->bytes[least], &k->bytes[least + 1], (k->count - least) * sizeof(k->bytes[0]));
	memmove(k->path[least], k->path[least + 1], (k->count - least) * sizeof(k->path[0]));
}

bool trigger_too_many(struct trigger_kept *k, uint64_t most, char *ret_path)
{
	if (k->count <= most)
		return false;
	drop_least(k, k->count, ret_path);
	return true;
}

bool trigger_too_large(struct trigger_kept k[TRIGGER_KINDS], enum trigger_kind newest, uint64_t most, char *ret_path)
{
	uint64_t all = 0, largest = 0;
	enum trigger_kind from = TRIGGER_KINDS;

	for (unsigned kind = 0; kind < TRIGGER_KINDS; kind++) {
		uint32_t droppable = k[kind].count - (kind == newest && k[kind].count);
		uint64_t bytes = 0;

		for (uint32_t i = 0; i < k[kind].count; i++)
			bytes += k[kind].bytes[i];
		all += bytes;
		if (droppable && bytes >= largest) {
			largest = bytes;
			from = (enum trigger_kind)kind;
		}
	}
	if (all <= most || from == TRIGGER_KINDS)
		return false;
	drop_least(&k[from], k[from].count - (from == newest), ret_path);
	return true;
}
