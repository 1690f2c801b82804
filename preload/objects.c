/*
 * objects.c - names are found by the DT_GNU_HASH table (its layout: Drepper, "How to write shared libraries"). An object that
 * has none, or none at all like the vdso of some kernels, has no functions for us.
 */
#include "objects.h"

#include <dlfcn.h>

#include <string.h>

#include "arch.h"
#include "compiler.h"

/* This very library: made by the linker. */
extern const char __ehdr_start[] HIDDEN;
extern HIDDEN ElfW(Dyn) _DYNAMIC[];

/* glibc has added the base to the addresses of a writable dynamic section. */
static uintptr_t address_in(const struct object *o, uintptr_t value)
{
	return value < o->base ? value + o->base : value;
}

static bool read_dynamic(struct object *o, const ElfW(Dyn) * dynamic)
{
	o->dynamic = dynamic;
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		uintptr_t at = address_in(o, dynamic->d_un.d_ptr);

		switch (dynamic->d_tag) {
		case DT_SYMTAB:
			o->symbols = (void *)at;
			break;
		case DT_STRTAB:
			o->names = (const char *)at;
			break;
		case DT_GNU_HASH:
			o->hash = (const void *)at;
			break;
		case DT_RELA:
			o->data = (const void *)at;
			break;
		case DT_RELASZ:
			o->data_count = dynamic->d_un.d_val / sizeof(*o->data);
			break;
		case DT_JMPREL:
			o->calls = (const void *)at;
			break;
		case DT_PLTRELSZ:
			o->call_count = dynamic->d_un.d_val / sizeof(*o->calls);
			break;
		default:
			break;
		}
	}
	return o->symbols && o->names;
}

bool object_read(struct object *o, const struct dl_phdr_info *info)
{
	const ElfW(Dyn) *dynamic = NULL;

	memset(o, 0, sizeof(*o));
	o->base = info->dlpi_addr;
	o->phdr = info->dlpi_phdr;
	o->phdr_count = info->dlpi_phnum;
	o->path = info->dlpi_name;
	for (unsigned i = 0; i < o->phdr_count; i++)
		if (o->phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(o->base + o->phdr[i].p_vaddr);
	return read_dynamic(o, dynamic);
}

bool object_holds(const struct object *o, uintptr_t address)
{
	for (unsigned i = 0; i < o->phdr_count; i++)
		if (o->phdr[i].p_type == PT_LOAD && address - o->base - o->phdr[i].p_vaddr < o->phdr[i].p_memsz)
			return true;
	return false;
}

uintptr_t object_end(const struct object *o)
{
	uintptr_t end = o->base;

	for (unsigned i = 0; i < o->phdr_count; i++)
		if (o->phdr[i].p_type == PT_LOAD && o->base + o->phdr[i].p_vaddr + o->phdr[i].p_memsz > end)
			end = o->base + o->phdr[i].p_vaddr + o->phdr[i].p_memsz;
	return end;
}

bool object_is_ours(const struct object *o)
{
	return object_holds(o, (uintptr_t)__ehdr_start);
}

static bool data_of(const char *begin, uintptr_t *ret_start, uintptr_t *ret_end)
{
	const ElfW(Ehdr) *ehdr = (const void *)begin;
	const ElfW(Phdr) *phdr = (const void *)(begin + ehdr->e_phoff);

	*ret_start = UINTPTR_MAX;
	*ret_end = 0;
	for (unsigned i = 0; i < ehdr->e_phnum; i++) {
		uintptr_t start = (uintptr_t)begin + phdr[i].p_vaddr, end = start + phdr[i].p_memsz;

		if (phdr[i].p_type != PT_LOAD || !(phdr[i].p_flags & PF_W))
			continue;
		*ret_start = start < *ret_start ? start : *ret_start;
		*ret_end = end > *ret_end ? end : *ret_end;
	}
	return *ret_start < *ret_end;
}

bool objects_own_data(uintptr_t *ret_start, uintptr_t *ret_end)
{
	return data_of(__ehdr_start, ret_start, ret_end);
}

bool objects_data_of(const void *function, uintptr_t *ret_start, uintptr_t *ret_end)
{
	Dl_info info;

	return function && dladdr(function, &info) && data_of(info.dli_fbase, ret_start, ret_end);
}

/* Not strcmp(): a sanitizer's is in front of libc's, and begins the sanitizer, which calls our hooks while they look for theirs. */
static bool is_name(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (; *name; name++)
		h = h * 33 + (unsigned char)*name;
	return h;
}

ElfW(Sym) * object_function(const struct object *o, const char *name)
{
	uint32_t buckets, first, words, shift, hash = gnu_hash(name), i;
	const ElfW(Addr) * bloom;
	const uint32_t *bucket, *chain;
	ElfW(Addr) word;

	if (!o->hash)
		return NULL;
	buckets = o->hash[0];
	first = o->hash[1];
	words = o->hash[2];
	shift = o->hash[3];
	if (!buckets || !words)
		return NULL;
	bloom = (const void *)(o->hash + 4);
	bucket = (const void *)(bloom + words);
	chain = bucket + buckets;
	word = bloom[hash / 64 % words];
	if (!(word >> hash % 64 & word >> (hash >> shift) % 64 & 1))
		return NULL;
	i = bucket[hash % buckets];
	if (i < first)
		return NULL;
	for (;; i++) {
		uint32_t other = chain[i - first];
		ElfW(Sym) *s = &o->symbols[i];

		if ((other | 1) == (hash | 1) && s->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(s->st_info) == STT_FUNC &&
		    is_name(o->names + s->st_name, name))
			return s;
		if (other & 1)
			return NULL;
	}
}

/* The relocation of a word that holds nothing but the address of that name, its own or another object's; NULL: there is none. */
static const ElfW(Rela) * reference_in(const struct object *o, const ElfW(Rela) * r, size_t count, const char *name)
{
	for (; count; count--, r++) {
		const ElfW(Sym) *s = &o->symbols[ELF64_R_SYM(r->r_info)];

		if ((ELF64_R_TYPE(r->r_info) == ARCH_RELOC_CALL || ELF64_R_TYPE(r->r_info) == ARCH_RELOC_DATA) &&
		    is_name(o->names + s->st_name, name))
			return r;
	}
	return NULL;
}

uintptr_t object_bound_to(const struct object *o, const char *name)
{
	const ElfW(Rela) *r = reference_in(o, o->calls, o->call_count, name);

	if (!r)
		r = reference_in(o, o->data, o->data_count, name);
	return r ? *(const uintptr_t *)(o->base + r->r_offset) : 0;
}

const char *object_text(const struct object *o, int64_t tag, unsigned n)
{
	for (const ElfW(Dyn) *d = o->dynamic; d && d->d_tag != DT_NULL; d++)
		if (d->d_tag == tag && n-- == 0)
			return o->names + d->d_un.d_val;
	return NULL;
}

/* By its references: a hash table of an object that exports nothing does not tell where the undefined names end. */
static bool is_named_in(const struct object *o, const ElfW(Rela) * r, size_t count, const char *name)
{
	for (; count; count--, r++) {
		const ElfW(Sym) *s = &o->symbols[ELF64_R_SYM(r->r_info)];

		if (ELF64_R_SYM(r->r_info) && s->st_shndx == SHN_UNDEF && is_name(o->names + s->st_name, name))
			return true;
	}
	return false;
}

bool object_needs(const struct object *o, const char *name)
{
	return is_named_in(o, o->data, o->data_count, name) || is_named_in(o, o->calls, o->call_count, name);
}

static bool defines(const struct link_map *map, const char *name)
{
	struct object o = { .base = map->l_addr };

	return read_dynamic(&o, map->l_ld) && object_function(&o, name);
}

bool objects_define_before_us(const char *name)
{
	for (const struct link_map *map = _r_debug.r_map; map && map->l_ld != _DYNAMIC; map = map->l_next)
		if (defines(map, name))
			return true;
	return false;
}

/* Not by dl_iterate_phdr(): a sanitizer's is in front of libc's, and not ready yet. */
bool objects_define(const char *name)
{
	for (const struct link_map *map = _r_debug.r_map; map; map = map->l_next)
		if (map->l_ld != _DYNAMIC && defines(map, name))
			return true;
	return false;
}

bool objects_define_after_us(const char *name)
{
	const struct link_map *map = _r_debug.r_map;

	while (map && map->l_ld != _DYNAMIC)
		map = map->l_next;
	for (map = map ? map->l_next : NULL; map; map = map->l_next)
		if (defines(map, name))
			return true;
	return false;
}
