/*
 * redirect.c - another library's functions, called instead of ours, or that we do not have.
 *
 * Order      definitions are handed to the hooks; the defining libraries bind what they had left for later to themselves;
 *            symbol tables are changed; last, references that are bound to a definition. What the loader binds meanwhile
 *            is bound either to us or to a definition, and the last step finds the latter.
 * Not ours   a reference whose value is no definition of the table stays: other namespaces, RTLD_DEEPBIND, weak names
 *            that nobody defines.
 * Pages      most of what is written is read-only by then: made writable one at a time, and read-only again.
 */
#include "redirect.h"

#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "arch.h"
#include "atomic.h"
#include "compiler.h"
#include "objects.h"
#include "os_linux.h"

/* A pass over the loaded objects. */
struct pass {
	struct redirect *table;
	size_t count;
	struct redirect_result *result;
	unsigned object; /* the object's number: 0 is the program */
	bool behind_us;
	bool check; /* only find out whether symbol tables can be written */
	int rc;
};

/* The libraries that define names of the table. Start-up is one thread's business. */
static struct {
	uintptr_t base, end;
} definers[REDIRECT_LIBRARIES];
static unsigned definer_count;
static uintptr_t page_mask; /* of the bits within a page */

static bool is_definer(const struct object *o)
{
	for (unsigned i = 0; i < definer_count; i++)
		if (definers[i].base == o->base)
			return true;
	return false;
}

static bool is_in_definer(uintptr_t address)
{
	for (unsigned i = 0; i < definer_count; i++)
		if (address - definers[i].base < definers[i].end - definers[i].base)
			return true;
	return false;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* The protection that the loader left the page with. */
static int protection(const struct object *o, uintptr_t address)
{
	int prot = 0;

	for (unsigned i = 0; i < o->phdr_count; i++) {
		const ElfW(Phdr) *p = &o->phdr[i];
		uintptr_t begin = o->base + p->p_vaddr, end = begin + p->p_memsz;

		if (p->p_type == PT_GNU_RELRO && address >= (begin & ~page_mask) && address < (end & ~page_mask))
			return PROT_READ;
		if (p->p_type == PT_LOAD && address - begin < p->p_memsz)
			prot = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
			       (p->p_flags & PF_X ? PROT_EXEC : 0);
	}
	return prot;
}

/* The page that is writable for us, and the protection it is to get back; a symbol table's words are neighbours. */
static struct {
	uintptr_t at;
	int prot;
} opened;

static int protect(uintptr_t page, int prot)
{
	return (int)os_call(SYS_mprotect, (long)page, (long)page_mask + 1, prot, 0, 0, 0);
}

static void close_page(void)
{
	if (opened.at)
		(void)protect(opened.at, opened.prot); /* what was allowed a moment ago */
	opened.at = 0;
}

static int open_page(uintptr_t page, int prot)
{
	int rc;

	if (opened.at == page)
		return 0;
	close_page();
	rc = protect(page, prot | PROT_WRITE);
	if (rc == 0) {
		opened.at = page;
		opened.prot = prot;
	}
	return rc;
}

/* One aligned word, by one store; with it is published what was written before, the hook's way on. close_page() must follow
 * some time. */
static int write_word(const struct object *o, void *at, uintptr_t value, bool only_try)
{
	uintptr_t address = (uintptr_t)at;
	int prot = protection(o, address), rc;

	if (address % sizeof(uintptr_t) || !prot)
		return -EFAULT;
	rc = prot & PROT_WRITE ? 0 : open_page(address & ~page_mask, prot);
	if (rc == 0 && !only_try)
		publish_plain((uintptr_t *)at, value);
	return rc;
}

/* ---- passes ------------------------------------------------------------------------------------------------------- */

static int find_in(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct pass *p = arg;
	bool program = p->object++ == 0, found = false;
	struct object o;

	(void)size;
	if (!object_read(&o, info))
		return 0;
	if (object_is_ours(&o)) {
		p->behind_us = true;
		return 0;
	}
	if (program || definer_count == REDIRECT_LIBRARIES || object_function(&o, "dl_iterate_phdr"))
		return 0; /* the last is libc: old binaries' names, of hidden versions */
	for (size_t i = 0; i < p->count; i++) {
		struct redirect *r = &p->table[i];
		const ElfW(Sym) * s;

		if (r->definition || (r->in_front && p->behind_us))
			continue;
		s = object_function(&o, r->name);
		if (!s)
			continue;
		r->definition = o.base + s->st_value;
		if (!found)
			p->result->definition[definer_count] = (const void *)r->definition;
		found = true;
		if (!p->result->library)
			p->result->library = o.path;
	}
	if (found) {
		definers[definer_count].base = o.base;
		definers[definer_count++].end = object_end(&o);
		p->result->libraries = definer_count;
	}
	return 0;
}

bool redirect_find(struct redirect *table, size_t count, struct redirect_result *ret_result)
{
	struct pass p = { .table = table, .count = count, .result = ret_result };

	memset(ret_result, 0, sizeof(*ret_result));
	definer_count = 0;
	page_mask = getauxval(AT_PAGESZ) - 1;
	dl_iterate_phdr(find_in, &p);
	return definer_count > 0;
}

static bool is_undefined(const struct object *o, const ElfW(Rela) * r)
{
	return o->symbols[ELF64_R_SYM(r->r_info)].st_shndx == SHN_UNDEF;
}

static struct redirect *named(const struct pass *p, const struct object *o, const ElfW(Rela) * r)
{
	const char *name = o->names + o->symbols[ELF64_R_SYM(r->r_info)].st_name;

	for (size_t i = 0; i < p->count; i++)
		if (p->table[i].definition && strcmp(p->table[i].name, name) == 0)
			return &p->table[i];
	return NULL;
}

/* A defining library's calls to itself that are still to be bound. */
static int bind_itself(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct pass *p = arg;
	struct object o;

	(void)size;
	if (!object_read(&o, info) || !is_definer(&o))
		return 0;
	for (size_t i = 0; i < o.call_count; i++) {
		const ElfW(Rela) *r = &o.calls[i];
		uintptr_t *at = (uintptr_t *)(o.base + r->r_offset);
		struct redirect *row;

		if (ELF64_R_TYPE(r->r_info) != ARCH_RELOC_CALL || !object_holds(&o, *at))
			continue;
		row = named(p, &o, r);
		if (row && row->hook && *at != row->definition && object_holds(&o, row->definition))
			(void)write_word(&o, at, row->definition, false);
	}
	return 0;
}

static int change_symbols(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct pass *p = arg;
	struct object o;

	(void)size;
	if (!object_read(&o, info) || !is_definer(&o))
		return 0;
	for (size_t i = 0; i < p->count; i++) {
		struct redirect *row = &p->table[i];
		ElfW(Sym) *s = row->hook ? object_function(&o, row->name) : NULL;

		if (!s || o.base + s->st_value != row->definition)
			continue;
		p->rc = write_word(&o, &s->st_value, (uintptr_t)row->hook - o.base, p->check);
		if (p->rc < 0)
			return 1;
		if (!p->check)
			p->result->names++;
	}
	return 0;
}

static int pass_over(int (*fn)(struct dl_phdr_info *, size_t, void *), struct pass *p)
{
	dl_iterate_phdr(fn, p);
	close_page();
	return p->rc;
}

static void change_reference(struct pass *p, const struct object *o, const ElfW(Rela) * r)
{
	unsigned type = (unsigned)ELF64_R_TYPE(r->r_info);
	uintptr_t *at = (uintptr_t *)(o->base + r->r_offset), value;
	struct redirect *row;

	if ((type != ARCH_RELOC_CALL && type != ARCH_RELOC_DATA && (type != ARCH_RELOC_WORD || r->r_addend)) ||
	    !ELF64_R_SYM(r->r_info))
		return;
	value = *(volatile uintptr_t *)at; /* the loader may be binding it */
	if (!is_in_definer(value) && !(is_undefined(o, r) && object_holds(o, value)))
		return; /* bound elsewhere: the quick answer, for nearly all */
	row = named(p, o, r);
	if (!row)
		return;
	row->references++; /* bound, or to be */
	if (!row->hook || value != row->definition)
		return;
	if (write_word(o, at, (uintptr_t)row->hook, false) < 0)
		p->result->refused++;
	else
		p->result->references++;
}

static int change_references(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct pass *p = arg;
	struct object o;

	(void)size;
	if (!object_read(&o, info) || is_definer(&o) || object_is_ours(&o))
		return 0;
	for (size_t i = 0; i < o.data_count; i++)
		change_reference(p, &o, &o.data[i]);
	for (size_t i = 0; i < o.call_count; i++)
		change_reference(p, &o, &o.calls[i]);
	return 0;
}

void redirect_apply(struct redirect *table, size_t count, struct redirect_result *result)
{
	struct pass p = { .table = table, .count = count, .result = result, .check = true };

	if (pass_over(change_symbols, &p) < 0)
		return;
	p.check = false;
	for (size_t i = 0; i < count; i++)
		if (table[i].definition && table[i].real)
			*table[i].real = (void *)table[i].definition;
	(void)pass_over(bind_itself, &p); /* what fails here comes by our hooks */
	if (pass_over(change_symbols, &p) < 0)
		return;
	(void)pass_over(change_references, &p); /* its failures are counted */
	result->done = true;
}

int redirect_word(const struct object *o, uintptr_t *at, uintptr_t value)
{
	int rc;

	page_mask = getauxval(AT_PAGESZ) - 1;
	rc = write_word(o, at, value, false);
	close_page();
	return rc;
}
