/*
 * ssl_libs.c - the real SSL_read() is the one of the library that made the connection.
 *
 * Shape      lib[0 .. count): libraries that define SSL_read, in the order in which they were found. Most processes have one; a
 *            Python with wheels that bring their own has several, of several versions, each in its own scope.
 * Whose      an SSL and an SSL_CTX begin with a few words, and one of them leads to a table of functions in the library that made
 *            it (`method`: OpenSSL since 0.9, LibreSSL, BoringSSL). That is known of the object, whichever way the call was
 *            bound, and needs no member's place to be known: the first words are compared with where the libraries are.
 *            dlsym(RTLD_NEXT) would not find a library that was loaded with RTLD_LOCAL, and would find the wrong one of two.
 * In front   another interposer's SSL_read, behind ours in the order of look-up, goes on being called: a library that has it and no
 *            SSL_CTX_new, and comes before those that make connections. The entries have its functions where it has some.
 * Strangers  a library that has, say, an SSL_write of its own and is no libssl keeps being called where there is no libssl.
 * Invariants I1  an entry is complete when `count` says that it is there, and changes no more but for `gone`.
 *            I2  entries are added under `adding`, and never reused: an address is never called that belonged to another library.
 */
#include "ssl_libs.h"

#include <link.h>
#include <stddef.h>

#include "atomic.h"
#include "lock.h"
#include "objects.h"

enum { WORDS = 8 };

static struct ssl_lib libs[SSL_LIBS];
static _Atomic uint32_t count;
static struct lock adding;
/* Names of ours that objects define which are no libssl; one set after another, so that none changes while it is read. */
enum { STRANGERS = 8 };
static struct ssl_lib strangers[STRANGERS] = { { .no_tls = true } };
static _Atomic uint32_t stranger;
static _Atomic unsigned long long adds_seen; /* of dl_iterate_phdr(3): objects loaded so far, at the last look */
static struct object front;                  /* `adding` held; no symbols: there is none */

static bool is_in(const struct ssl_lib *lib, uintptr_t address)
{
	return address - lib->base < lib->end - lib->base;
}

/* The one that `object` leads to. Its memory is the library's, which has far more than these words there. */
static const struct ssl_lib *owner(const void *object)
{
	const uintptr_t *word = object;
	uint32_t n = load_acquire(&count); /* pairs with the release in add() */

	for (uint32_t i = 0; object && i < n; i++)
		for (unsigned k = 0; !load_relaxed(&libs[i].gone) && k < WORDS; k++)
			if (is_in(&libs[i], word[k]))
				return &libs[i];
	return NULL;
}

/* For objects that tell nothing: the first library. NULL: none, or there is a choice. */
static const struct ssl_lib *any(bool only)
{
	uint32_t n = load_acquire(&count); /* likewise */
	const struct ssl_lib *found = NULL;

	for (uint32_t i = 0; i < n; i++)
		if (!load_relaxed(&libs[i].gone)) {
			if (found)
				return only ? NULL : found;
			found = &libs[i];
		}
	return found;
}

/* ---- finding them -------------------------------------------------------------------------------------------------- */

static void *function(const struct object *o, const char *name)
{
	const ElfW(Sym) *s = object_function(o, name);

	return s ? (void *)(o->base + s->st_value) : NULL;
}

static void *function_or_front(const struct object *o, const char *name)
{
	void *first = front.symbols ? function(&front, name) : NULL;

	return first ? first : function(o, name);
}

static void functions_of(const struct object *o, struct ssl_functions *ret)
{
#define HOOK(need, returns, name, params, args) *(void **)&ret->name = function_or_front(o, #name);
#define SSL_USED(returns, name, params)         HOOK(OPTIONAL, returns, name, params, )
#include "hooks_ssl.def"
#undef SSL_USED
#undef HOOK
}

static bool same(const struct ssl_functions *a, const struct ssl_functions *b)
{
#define HOOK(need, returns, name, params, args) \
	if (a->name != b->name)                 \
		return false;
#define SSL_USED(returns, name, params) HOOK(OPTIONAL, returns, name, params, )
#include "hooks_ssl.def"
#undef SSL_USED
#undef HOOK
	return true;
}

/* Lock held. */
static void add(const struct object *o, const struct ssl_functions *call)
{
	uint32_t n = load_relaxed(&count); /* only lock holders write */

	for (uint32_t i = 0; i < n; i++)
		if (!load_relaxed(&libs[i].gone) && libs[i].base == o->base && same(&libs[i].call, call))
			return;
	if (n == SSL_LIBS)
		return;
	libs[n] = (struct ssl_lib){ .call = *call, .base = o->base, .end = object_end(o) };
	store_release(&count, n + 1); /* pairs with the acquire in owner() and any() */
}

/* The first definition of each name by an object that is no libssl. Lock held. */
static void add_others(const struct object *o, struct ssl_functions *others)
{
#define HOOK(need, returns, name, params, args) \
	if (!others->name)                      \
		*(void **)&others->name = function(o, #name);
#define SSL_USED(returns, name, params)
#include "hooks_ssl.def"
#undef SSL_USED
#undef HOOK
}

static int find(struct dl_phdr_info *info, size_t size, void *others)
{
	struct ssl_functions call;
	struct object o;

	(void)size;
	if (!object_read(&o, info) || object_is_ours(&o))
		return 0;
	if (!object_function(&o, "SSL_read") || !object_function(&o, "SSL_CTX_new")) {
		if (!load_relaxed(&count) && !front.symbols && object_function(&o, "SSL_read"))
			front = o; /* relaxed: only lock holders write */
		add_others(&o, others);
		return 0;
	}
	functions_of(&o, &call);
	add(&o, &call);
	return 0;
}

static int take_adds(struct dl_phdr_info *info, size_t size, void *ret_adds)
{
	if (size >= offsetof(struct dl_phdr_info, dlpi_adds) + sizeof(info->dlpi_adds))
		*(unsigned long long *)ret_adds = info->dlpi_adds;
	return 1; /* the first tells it */
}

/* Unless nothing was loaded since the last time. */
static void find_all(void)
{
	struct ssl_functions others = { 0 };
	unsigned long long adds = 0;
	uint32_t next;

	(void)dl_iterate_phdr(take_adds, &adds); /* the 1 that ends it after the first */
	if (adds && adds == load_relaxed(&adds_seen))
		return;
	lock_enter(&adding);
	(void)dl_iterate_phdr(find, &others); /* 0: every object was looked at */
	if (!same(&others, &strangers[load_relaxed(&stranger)].call)) {
		next = (load_relaxed(&stranger) + 1) % STRANGERS;
		strangers[next] = (struct ssl_lib){ .call = others, .no_tls = true };
		store_release(&stranger, next); /* pairs with the acquire in ssl_libs_other() */
	}
	store_relaxed(&adds_seen, adds);
	lock_leave(&adding);
}

const struct ssl_lib *ssl_libs_of(const void *object)
{
	const struct ssl_lib *lib = owner(object);

	if (LIKELY(lib != NULL))
		return lib;
	if (!object && (lib = any(true)))
		return lib; /* SSL_free(NULL) is allowed, and the same everywhere */
	find_all();
	lib = owner(object);
	return lib ? lib : any(false);
}

const struct ssl_lib *ssl_libs_other(void)
{
	find_all();
	return &strangers[load_acquire(&stranger)]; /* pairs with the release in find_all() */
}

/* ---- those that go ------------------------------------------------------------------------------------------------- */

static int still_there(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct ssl_lib *lib = arg;
	struct ssl_functions call;
	struct object o;

	(void)size;
	if (info->dlpi_addr != lib->base || !object_read(&o, info) || !object_function(&o, "SSL_CTX_new"))
		return 0;
	functions_of(&o, &call);
	return same(&lib->call, &call);
}

void ssl_libs_unloaded(void)
{
	uint32_t n = load_acquire(&count); /* pairs with the release in add() */

	for (uint32_t i = 0; i < n; i++)
		if (!load_relaxed(&libs[i].gone) && !dl_iterate_phdr(still_there, &libs[i]))
			store_relaxed(&libs[i].gone, true); /* nobody may be in there */
	if (exchange_acquire(&adds_seen, 0))                /* only where anybody has asked before */
		find_all();
}

void ssl_libs_fork_child(void)
{
	store_relaxed(&adding.word, 0); /* one thread lives */
}
