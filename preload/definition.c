/*
 * definition.c - what the loader would have bound a caller to, had our library not been there.
 *
 * Slots      places of calls that are known: read without a lock, under a number that is odd while one is written and that
 *            changes each time. A slot of an older generation is empty. Who finds no slot free writes none: slower, not wrong.
 */
#include "definition.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "atomic.h"
#include "compiler.h"
#include "objects.h"

enum { SLOTS = 1024, TRIES = 4, CANDIDATES = 8 };
enum { INNER = 256, SAME = 512 }; /* in `what`, beside the name's number */

static struct slot {
	_Atomic uint32_t version, generation;
	_Atomic uint32_t what;
	_Atomic uintptr_t caller, function;
} slots[SLOTS];

static _Atomic uint32_t generation = 1;

struct candidate {
	struct object o;
	uintptr_t function;
};

struct search {
	const char *name;
	uintptr_t caller;
	struct object from; /* the caller's; base and phdr 0: not found */
	struct candidate found[CANDIDATES];
	unsigned count;
};

/* ---- slots --------------------------------------------------------------------------------------------------------- */

static struct slot *slot_at(unsigned which, uintptr_t caller, unsigned try)
{
	uint64_t h = ((uint64_t)caller ^ (uint64_t)which << 48) * UINT64_C(0x9e3779b97f4a7c15);

	return &slots[((h >> 40) + try) % SLOTS];
}

static bool read_slot(struct slot *s, unsigned which, uintptr_t caller, uint32_t now, struct definition *ret)
{
	uint32_t version = load_acquire(&s->version), what; /* pairs with the release in write_slot */
	uintptr_t function;

	if (version & 1 || load_relaxed(&s->generation) != now || load_relaxed(&s->caller) != caller)
		return false;
	what = load_relaxed(&s->what);
	function = load_relaxed(&s->function);
	atomic_thread_fence(memory_order_acquire); /* pairs with the fence in write_slot */
	if (load_relaxed(&s->version) != version || (what & (INNER - 1)) != which)
		return false;
	*ret = (struct definition){ (void *)function, (what & SAME) != 0, (what & INNER) != 0 };
	return true;
}

static void write_slot(struct slot *s, unsigned which, uintptr_t caller, uint32_t now, const struct definition *d)
{
	uint32_t version = load_relaxed(&s->version);

	if (version & 1 || !cas_acq_rel(&s->version, &version, version + 1))
		return;                            /* another thread writes it */
	atomic_thread_fence(memory_order_release); /* pairs with the fence in read_slot */
	store_relaxed(&s->generation, now);
	store_relaxed(&s->what, which | (d->inner ? (unsigned)INNER : 0u) | (d->same ? (unsigned)SAME : 0u));
	store_relaxed(&s->caller, caller);
	store_relaxed(&s->function, (uintptr_t)d->function);
	store_release(&s->version, version + 2); /* pairs with the acquire in read_slot */
}

static bool known(unsigned which, uintptr_t caller, uint32_t now, struct definition *ret)
{
	for (unsigned i = 0; i < TRIES; i++)
		if (read_slot(slot_at(which, caller, i), which, caller, now, ret))
			return true;
	return false;
}

static void keep(unsigned which, uintptr_t caller, uint32_t now, const struct definition *d)
{
	for (unsigned i = 0; i < TRIES; i++) {
		struct slot *s = slot_at(which, caller, i);

		if (load_relaxed(&s->generation) != now) {
			write_slot(s, which, caller, now, d);
			return;
		}
	}
}

void definition_forget(void)
{
	add_relaxed(&generation, 1); /* who calls from new code has synchronized with who loaded it */
}

/* ---- looking ------------------------------------------------------------------------------------------------------- */

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;
	const ElfW(Sym) * symbol;
	struct object o;

	(void)size;
	if (!object_read(&o, info) || object_is_ours(&o))
		return 0;
	if (object_holds(&o, s->caller))
		s->from = o;
	symbol = s->count < CANDIDATES ? object_function(&o, s->name) : NULL;
	if (symbol)
		s->found[s->count++] = (struct candidate){ o, o.base + symbol->st_value };
	return 0;
}

static bool begins(const char *text, const char *begin)
{
	return text && begin && strncmp(text, begin, strlen(begin)) == 0;
}

/* That of the first library in the caller's list that has one. */
static const struct candidate *needed(const struct search *s)
{
	const char *name;

	if (!s->from.dynamic)
		return NULL;
	for (unsigned n = 0; (name = object_text(&s->from, DT_NEEDED, n)); n++)
		for (unsigned i = 0; i < s->count; i++) {
			const char *own = object_text(&s->found[i].o, DT_SONAME, 0);

			if (own && strcmp(own, name) == 0)
				return &s->found[i];
		}
	return NULL;
}

/* That of the global scope, after us. If there is none, dlsym()'s error is taken back. What it allocates, a sentence, is recorded
 * like any block of libc's, and its free with it. */
static const struct candidate *global(const struct search *s)
{
	uintptr_t at = (uintptr_t)dlsym(RTLD_NEXT, s->name);

	if (!at)
		(void)dlerror();
	for (unsigned i = 0; at && i < s->count; i++)
		if (object_holds(&s->found[i].o, at))
			return &s->found[i];
	return NULL;
}

static const struct candidate *choose(const struct search *s)
{
	const struct candidate *c;

	if (s->count < 2)
		return s->count ? &s->found[0] : NULL;
	c = global(s);
	if (c)
		return c;
	for (unsigned i = 0; i < s->count; i++)
		if (s->from.dynamic && s->found[i].o.base == s->from.base)
			return &s->found[i];
	c = needed(s);
	return c ? c : &s->found[0];
}

static bool look(unsigned which, const struct definition_name *name, uintptr_t caller, uint32_t now,
                 struct definition *ret)
{
	struct search s = { .name = name->name, .caller = caller };
	const struct candidate *c;

	dl_iterate_phdr(visit, &s);
	c = choose(&s); /* without the loader's lock */
	if (!c)
		return false;
	ret->function = (void *)c->function;
	ret->same = s.from.dynamic && c->o.base == s.from.base;
	ret->inner = ret->same && begins(object_text(&c->o, DT_SONAME, 0), name->library);
	keep(which, caller, now, ret);
	return true;
}

bool definition_of(unsigned which, const struct definition_name *name, const void *caller, struct definition *ret)
{
	uint32_t now = load_relaxed(&generation);
	int saved;
	bool found;

	if (LIKELY(known(which, (uintptr_t)caller, now, ret)))
		return true;
	saved = errno;
	found = look(which, name, (uintptr_t)caller, now, ret);
	errno = saved;
	return found;
}

void *definition_beside(unsigned which, const char *name, const void *function)
{
	uint32_t now = load_relaxed(&generation);
	struct search s = { .name = name, .caller = (uintptr_t)function };
	struct definition d;
	int saved = errno;

	if (LIKELY(known(which, (uintptr_t)function, now, &d)))
		return d.function;
	dl_iterate_phdr(visit, &s);
	errno = saved;
	d = (struct definition){ NULL, false, false }; /* that there is none is kept, too */
	for (unsigned i = 0; i < s.count; i++)
		if (s.from.dynamic && s.found[i].o.base == s.from.base)
			d.function = (void *)s.found[i].function;
	keep(which, (uintptr_t)function, now, &d);
	return d.function;
}
