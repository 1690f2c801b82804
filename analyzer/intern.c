#include "intern.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a with a final mix (Fowler, Noll, Vo; MurmurHash3's fmix32): keys are short and not chosen by an attacker who
 * could gain more than a slow run of an offline program. */
static uint32_t hash_bytes(const void *key, size_t bytes)
{
	const unsigned char *p = key;
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < bytes; i++)
		h = (h ^ p[i]) * 1099511628211u;
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}

static bool grow_slots(struct intern *t)
{
	size_t n = t->slot_count ? t->slot_count * 2 : 256;
	struct intern_slot *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < t->slot_count; i++) {
		struct intern_slot s = t->slots[i];
		size_t at = s.hash & (n - 1);

		if (!s.index1)
			continue;
		while (slots[at].index1)
			at = (at + 1) & (n - 1);
		slots[at] = s;
	}
	free(t->slots);
	t->slots = slots;
	t->slot_count = n;
	return true;
}

static bool grow_keys(struct intern *t)
{
	size_t n = t->key_cap ? t->key_cap * 2 : 128;
	const void **keys = realloc(t->keys, n * sizeof(*keys));
	uint32_t *bytes;

	if (!keys)
		return false;
	t->keys = keys;
	bytes = realloc(t->key_bytes, n * sizeof(*bytes));
	if (!bytes)
		return false;
	t->key_bytes = bytes;
	t->key_cap = n;
	return true;
}

int64_t intern_find(const struct intern *t, const void *key, size_t bytes)
{
	uint32_t hash = hash_bytes(key, bytes);

	if (!t->slot_count)
		return INTERN_FAILED;
	for (size_t at = hash & (t->slot_count - 1); t->slots[at].index1; at = (at + 1) & (t->slot_count - 1)) {
		uint32_t i = t->slots[at].index1 - 1;

		if (t->slots[at].hash == hash && t->key_bytes[i] == bytes && memcmp(t->keys[i], key, bytes) == 0)
			return i;
	}
	return INTERN_FAILED;
}

int64_t intern_add(struct intern *t, const void *key, size_t bytes)
{
	uint32_t hash = hash_bytes(key, bytes);
	size_t at;
	char *copy;

	if (t->count >= UINT32_MAX - 1 || bytes >= UINT32_MAX)
		return INTERN_FAILED;
	if ((t->count + 1) * 2 > t->slot_count && !grow_slots(t))
		return INTERN_FAILED;
	for (at = hash & (t->slot_count - 1); t->slots[at].index1; at = (at + 1) & (t->slot_count - 1)) {
		uint32_t i = t->slots[at].index1 - 1;

		if (t->slots[at].hash == hash && t->key_bytes[i] == bytes && memcmp(t->keys[i], key, bytes) == 0)
			return i;
	}
	if (t->count == t->key_cap && !grow_keys(t))
		return INTERN_FAILED;
	copy = arena_text(t->arena, key, bytes);
	if (!copy)
		return INTERN_FAILED;
	t->keys[t->count] = copy;
	t->key_bytes[t->count] = (uint32_t)bytes;
	t->slots[at] = (struct intern_slot){ hash, (uint32_t)++t->count };
	return (int64_t)t->count - 1;
}

const char *intern_string(struct intern *t, const char *text)
{
	int64_t i = intern_add(t, text, strlen(text));

	return i < 0 ? NULL : t->keys[i];
}

void intern_done(struct intern *t)
{
	free(t->slots);
	free(t->keys);
	free(t->key_bytes);
	*t = (struct intern){ 0 };
}
