/*
 * hidden.c - which loaded objects have an allocator inside.
 *
 * Certain    a row of `rows` needs two functions of one allocator. A wrapper that somebody named je_malloc is not jemalloc, and
 *            does not define je_mallctl too.
 * Hidden     an exported malloc is somebody else's matter (hook_other.c); so is what others.def follows, where a library
 *            exports it. A program's exported je_malloc is not: it calls that without a look-up.
 * Not known  a file that was stripped, or cannot be read, exports no such name, or is larger than the budget: nothing is said.
 *            dlmalloc is left out: libffi has one inside that makes closures, and no program's heap is in it.
 */
#include "hidden.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "compiler.h"
#include "objects.h"
#include "os_linux.h"
#include "symtab.h"

/* node's tables, of 200 thousand names, are 10 MB; a program's with 40 are not worth its start. */
enum { BUDGET_BYTES = 32 << 20 };

#define NAMES(X)                      \
	X(malloc)                     \
	X(free)                       \
	X(mallocx)                    \
	X(je_malloc)                  \
	X(je_mallctl)                 \
	X(je_arena_malloc_hard)       \
	X(_rjem_malloc)               \
	X(tc_malloc)                  \
	X(tc_malloc_skip_new_handler) \
	X(TCMallocInternalMalloc)     \
	X(TCMallocInternalFree)       \
	X(mi_malloc)                  \
	X(mi_heap_malloc)             \
	X(_mi_malloc_generic)         \
	X(rpmalloc)                   \
	X(rpmalloc_initialize)        \
	X(sn_rust_alloc)              \
	X(sn_rust_dealloc)            \
	X(scalable_malloc)            \
	X(scalable_free)

enum name {
#define ID(name) NAME_##name,
	NAMES(ID)
#undef ID
	        NAME_COUNT
};

static const char *const names[NAME_COUNT] = {
#define TEXT(name) #name,
	NAMES(TEXT)
#undef TEXT
};
static_assert((int)NAME_COUNT <= (int)SYMTAB_NAMES, "a bit for each name");

/* The first that fits counts. */
static const struct row {
	const char *allocator;
	enum name function, proof;
	/* An exported definition is not hidden: whoever has it, or a library. */
	enum { ALWAYS, BY_LIBRARY, NEVER } seen;
} rows[] = {
	{ "jemalloc", NAME_malloc, NAME_mallocx, ALWAYS },
	{ "jemalloc", NAME_malloc, NAME_je_arena_malloc_hard, ALWAYS },
	{ "jemalloc", NAME_je_malloc, NAME_je_mallctl, NEVER },
	{ "jemalloc", NAME_je_malloc, NAME_je_arena_malloc_hard, NEVER },
	{ "jemalloc", NAME__rjem_malloc, NAME__rjem_malloc, NEVER }, /* Rust's crate: nobody else has the prefix */
	{ "tcmalloc", NAME_tc_malloc, NAME_tc_malloc_skip_new_handler, BY_LIBRARY },
	{ "tcmalloc", NAME_TCMallocInternalMalloc, NAME_TCMallocInternalFree, BY_LIBRARY },
	{ "mimalloc", NAME_mi_malloc, NAME__mi_malloc_generic, BY_LIBRARY },
	{ "mimalloc", NAME_mi_malloc, NAME_mi_heap_malloc, BY_LIBRARY }, /* where only what is exported can be seen */
	{ "rpmalloc", NAME_rpmalloc, NAME_rpmalloc_initialize, NEVER },
	{ "snmalloc", NAME_sn_rust_alloc, NAME_sn_rust_dealloc, NEVER },
	{ "TBB's malloc", NAME_scalable_malloc, NAME_scalable_free, NEVER },
	{ NULL, NAME_malloc, NAME_free, ALWAYS },
};

/* A pass over the loaded objects. */
struct pass {
	struct hidden *result;
	struct symtab *search;
	unsigned object; /* the object's number: 0 is the program */
};

static bool has(uint64_t set, enum name name)
{
	return set >> name & 1;
}

static uint64_t exported_by(const struct object *o)
{
	uint64_t set = 0;

	for (unsigned i = 0; i < NAME_COUNT; i++)
		if (object_function(o, names[i]))
			set |= (uint64_t)1 << i;
	return set;
}

/* The functions that the file defines; none where it cannot be read. */
static uint64_t defined_in(struct pass *p, const char *path, const struct object *o, int *ret_rc)
{
	/* Not blocking: a pipe may stand where a library's file was. */
	int fd = os_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	uint64_t set = 0;

	*ret_rc = fd;
	if (fd < 0)
		return 0;
	p->result->files++;
	*ret_rc = symtab_find(p->search, fd, o->phdr, o->phdr_count, &set);
	os_close(fd);
	return set;
}

static uint64_t defined_by(struct pass *p, const struct object *o, bool program)
{
	const char *named = (const char *)getauxval(AT_EXECFN);
	uint64_t set;
	int rc;

	if (!program)
		return strchr(o->path, '/') ? defined_in(p, o->path, o, &rc) : 0; /* the vdso has no path */
	set = defined_in(p, "/proc/self/exe", o, &rc);
	if (rc < 0 && named) /* no /proc, or the loader was called by name: then it is the loader */
		set = defined_in(p, named, o, &rc);
	return set;
}

static const struct row *row_of(uint64_t defined, uint64_t exported, bool program)
{
	uint64_t all = defined | exported;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		bool seen = has(exported, r->function) && (r->seen == ALWAYS || (r->seen == BY_LIBRARY && !program));

		if (has(all, r->function) && has(all, r->proof) && !seen)
			return r;
	}
	return NULL;
}

/* Does it take blocks from others? */
static bool takes_blocks(const struct object *o)
{
	static const char *const makers[] = { "malloc",        "calloc",         "realloc", "reallocarray",
		                              "aligned_alloc", "posix_memalign", "_Znwm",   "_Znam" };

	for (unsigned i = 0; i < ARRAY_LEN(makers); i++)
		if (object_needs(o, makers[i]))
			return true;
	return false;
}

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct pass *p = arg;
	struct hidden *h = p->result;
	bool program = p->object++ == 0;
	const struct row *row;
	struct object o;

	(void)size;
	if (!object_read(&o, info) || object_is_ours(&o) || object_function(&o, "dl_iterate_phdr"))
		return 0; /* the last is libc */
	row = row_of(defined_by(p, &o, program), exported_by(&o), program);
	if (!row)
		return 0;
	if (h->objects++ == 0) {
		h->allocator = row->allocator;
		h->function = names[row->function];
		h->path = program ? "" : o.path;
	}
	if (program) {
		h->alone = !takes_blocks(&o);
		h->unnamed = row->function == NAME_malloc;
	}
	return 0;
}

void hidden_find(struct hidden *ret_hidden)
{
	struct pass p = { .result = ret_hidden, .search = os_map(sizeof(*p.search)) };

	memset(ret_hidden, 0, sizeof(*ret_hidden));
	if (!p.search)
		return;
	p.search->names = names;
	p.search->name_count = NAME_COUNT;
	p.search->budget = BUDGET_BYTES;
	dl_iterate_phdr(look, &p);
	ret_hidden->bytes = BUDGET_BYTES - p.search->budget;
	os_unmap(p.search, sizeof(*p.search));
}
