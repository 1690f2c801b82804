/*
 * elf_symbols.c - tables of symbols, and the names of PLT entries.
 *
 * Bounds     sections may be claimed to overlap, so thousands of headers could have a small file read thousands of times: the
 *            tables that are read, and the PLTs, hold no more bytes than the file.
 */
#include "elf_symbols.h"

#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "elf_source.h"

/* Nested symbols are rare; this bounds the walk through files that nest them on purpose. */
enum { MAX_NESTED = 64, PLT_ENTRY_BYTES = 16 };

static uint64_t file_bytes(Elf *elf)
{
	size_t bytes = 0;

	return elf_rawfile(elf, &bytes) ? bytes : 0;
}

/* May the section be read? */
static bool take(uint64_t *left, const GElf_Shdr *sh)
{
	if (sh->sh_size > *left)
		return false;
	*left -= sh->sh_size;
	return true;
}

static bool add(struct elf_symbols *t, struct elf_symbol s)
{
	if (t->count == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 1024;
		struct elf_symbol *list = realloc(t->list, cap * sizeof(*list));

		if (!list)
			return false;
		t->list = list;
		t->cap = cap;
	}
	t->list[t->count++] = s;
	return true;
}

/* Functions before bare labels, sized before unsized, exported before local. */
static uint8_t rank_of(const GElf_Sym *sym)
{
	unsigned type = GELF_ST_TYPE(sym->st_info), bind = GELF_ST_BIND(sym->st_info);

	return (uint8_t)((sym->st_size == 0) << 2 | (type == STT_NOTYPE) << 1 | (bind == STB_LOCAL));
}

/* The end of the executable section that holds the symbol; 0 if none does. */
static uint64_t section_end(Elf *elf, const GElf_Sym *sym)
{
	Elf_Scn *scn = elf_getscn(elf, sym->st_shndx);
	GElf_Shdr mem, *sh = scn ? gelf_getshdr(scn, &mem) : NULL;

	if (!sh || !(sh->sh_flags & SHF_EXECINSTR) || sym->st_value < sh->sh_addr ||
	    sym->st_value - sh->sh_addr >= sh->sh_size)
		return 0;
	return sh->sh_addr + sh->sh_size;
}

static bool add_table(struct elf_symbols *t, Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t n = data && sh->sh_entsize ? data->d_size / sh->sh_entsize : 0;

	for (size_t i = 0; i < n && i <= INT32_MAX; i++) {
		GElf_Sym mem, *sym = gelf_getsym(data, (int)i, &mem);
		unsigned type = sym ? GELF_ST_TYPE(sym->st_info) : STT_FILE;
		struct elf_symbol s;
		uint64_t limit;

		if (!sym || (type != STT_FUNC && type != STT_NOTYPE && type != STT_GNU_IFUNC) ||
		    sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE)
			continue;
		limit = section_end(elf, sym);
		s.name = limit ? elf_strptr(elf, sh->sh_link, sym->st_name) : NULL;
		if (!s.name || !s.name[0])
			continue;
		s.start = sym->st_value;
		s.sized = sym->st_size > 0;
		s.end = s.sized && sym->st_size < limit - s.start ? s.start + sym->st_size : limit;
		s.rank = rank_of(sym);
		if (!add(t, s))
			return false;
	}
	return true;
}

static bool add_elf(struct elf_symbols *t, Elf *elf)
{
	uint64_t left = file_bytes(elf);
	size_t entry = gelf_fsize(elf, ELF_T_SYM, 1, EV_CURRENT);
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		GElf_Shdr mem, *sh = gelf_getshdr(scn, &mem);

		if (!sh || (sh->sh_type != SHT_SYMTAB && sh->sh_type != SHT_DYNSYM))
			continue;
		if (sh->sh_type == SHT_SYMTAB && sh->sh_size > 0)
			t->has_table = true;
		if (sh->sh_entsize == entry && take(&left, sh) && !add_table(t, elf, scn, sh))
			return false;
	}
	return true;
}

/* ---- PLT ---------------------------------------------------------------------------------------------------------- */

/* Which imported symbol fills a word of the GOT. */
struct got_entry {
	uint64_t address;
	const char *name;
};
struct got {
	struct got_entry *list;
	size_t count;
	bool aarch64; /* else x86-64 */
};

static int compare_got(const void *left, const void *right)
{
	const struct got_entry *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

/* Relocations of one section whose symbols have names. */
static bool add_relocations(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, struct got *g)
{
	Elf_Scn *sym_scn = elf_getscn(elf, sh->sh_link);
	GElf_Shdr mem, *sym_sh = sym_scn ? gelf_getshdr(sym_scn, &mem) : NULL;
	Elf_Data *data = elf_getdata(scn, NULL), *syms = sym_sh ? elf_getdata(sym_scn, NULL) : NULL;
	size_t n = data && sh->sh_entsize ? data->d_size / sh->sh_entsize : 0;
	struct got_entry *list;

	if (!syms || n == 0 || n > INT32_MAX)
		return true;
	list = realloc(g->list, (g->count + n) * sizeof(*list));
	if (!list)
		return false;
	g->list = list;
	for (size_t i = 0; i < n; i++) {
		GElf_Rela rela_mem, *rela = gelf_getrela(data, (int)i, &rela_mem);
		GElf_Sym sym_mem, *sym;
		const char *name;

		if (!rela || GELF_R_SYM(rela->r_info) == 0 || GELF_R_SYM(rela->r_info) > INT32_MAX)
			continue;
		sym = gelf_getsym(syms, (int)GELF_R_SYM(rela->r_info), &sym_mem);
		name = sym ? elf_strptr(elf, sym_sh->sh_link, sym->st_name) : NULL;
		if (name && name[0])
			g->list[g->count++] = (struct got_entry){ rela->r_offset, name };
	}
	return true;
}

static bool load_got(Elf *elf, struct got *g)
{
	uint64_t left = file_bytes(elf);
	size_t entry = gelf_fsize(elf, ELF_T_RELA, 1, EV_CURRENT);
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		GElf_Shdr mem, *sh = gelf_getshdr(scn, &mem);

		if (sh && sh->sh_type == SHT_RELA && (sh->sh_flags & SHF_ALLOC) && sh->sh_entsize == entry &&
		    take(&left, sh) && !add_relocations(elf, scn, sh, g))
			return false;
	}
	if (g->count)
		qsort(g->list, g->count, sizeof(*g->list), compare_got);
	return true;
}

/* x86-64: an entry jumps through the GOT, `jmp *disp32(%rip)` = ff 25, after endbr64 and a bnd prefix perhaps. */
static bool entry_target(const unsigned char *entry, uint64_t address, uint64_t *ret_got)
{
	for (size_t i = 0; i + 6 <= PLT_ENTRY_BYTES; i++) {
		int32_t displacement;

		if (entry[i] != 0xff || entry[i + 1] != 0x25)
			continue;
		memcpy(&displacement, entry + i + 2, sizeof(displacement));
		*ret_got = address + i + 6 + (uint64_t)(int64_t)displacement;
		return true;
	}
	return false;
}

/* aarch64: adrp x16, page of the GOT; ldr x17, [x16, #offset]. */
static bool entry_target_aarch64(const unsigned char *entry, uint64_t address, uint64_t *ret_got)
{
	uint32_t adrp, ldr, pages;

	memcpy(&adrp, entry, sizeof(adrp));
	memcpy(&ldr, entry + 4, sizeof(ldr));
	if ((adrp & 0x9f00001f) != 0x90000010 || (ldr & 0xffc003ff) != 0xf9400211)
		return false;
	pages = (adrp >> 5 & 0x7ffff) << 2 | (adrp >> 29 & 3); /* 21 bits, signed */
	*ret_got = (address & ~UINT64_C(4095)) + (uint64_t)((int64_t)(int32_t)(pages << 11) >> 11) * 4096 +
	           (uint64_t)(ldr >> 10 & 0xfff) * 8;
	return true;
}

static bool add_plt_entry(struct elf_symbols *t, uint64_t address, const char *import, struct arena *names)
{
	const char *version = strchr(import, '@');
	size_t len = version ? (size_t)(version - import) : strlen(import);
	char *name = arena_array(names, len + sizeof("@plt"), 1);

	if (!name)
		return false;
	memcpy(name, import, len);
	memcpy(name + len, "@plt", sizeof("@plt"));
	return add(t, (struct elf_symbol){ address, address + PLT_ENTRY_BYTES, name, 0, true });
}

static bool add_plt_section(struct elf_symbols *t, Elf_Scn *scn, const GElf_Shdr *sh, const struct got *g,
                            struct arena *names)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t step = sh->sh_entsize == 8 ? 8 : PLT_ENTRY_BYTES; /* .plt.got without endbr64 packs its entries */
	size_t look = g->aarch64 ? 8 : step;

	if (!data || !data->d_buf)
		return true;
	if (g->aarch64)
		step = 4; /* entries have 16 or 24 bytes, behind a first one of 32 */
	for (size_t at = 0; at + look <= data->d_size; at += step) {
		unsigned char entry[PLT_ENTRY_BYTES] = { 0 };
		struct got_entry key = { 0, NULL }, *found;

		memcpy(entry, (const unsigned char *)data->d_buf + at, look);
		if (!(g->aarch64 ? entry_target_aarch64 : entry_target)(entry, sh->sh_addr + at, &key.address))
			continue;
		found = g->count ? bsearch(&key, g->list, g->count, sizeof(key), compare_got) : NULL;
		if (found && !add_plt_entry(t, sh->sh_addr + at, found->name, names))
			return false;
	}
	return true;
}

static bool add_plt(struct elf_symbols *t, Elf *elf, struct arena *names)
{
	struct got g = { NULL, 0, false };
	Elf_Scn *scn = NULL;
	GElf_Ehdr eh_mem, *eh = gelf_getehdr(elf, &eh_mem);
	uint64_t left = file_bytes(elf);
	size_t strings;
	bool ok = true;

	if (!eh || (eh->e_machine != EM_X86_64 && eh->e_machine != EM_AARCH64) || elf_getshdrstrndx(elf, &strings) < 0)
		return true;
	g.aarch64 = eh->e_machine == EM_AARCH64;
	ok = load_got(elf, &g);
	while (ok && (scn = elf_nextscn(elf, scn)) != NULL) {
		GElf_Shdr mem, *sh = gelf_getshdr(scn, &mem);
		const char *name = sh ? elf_strptr(elf, strings, sh->sh_name) : NULL;

		if (name && sh->sh_type == SHT_PROGBITS && (sh->sh_flags & SHF_EXECINSTR) &&
		    (strcmp(name, ".plt") == 0 || strcmp(name, ".plt.sec") == 0 || strcmp(name, ".plt.got") == 0) &&
		    take(&left, sh))
			ok = add_plt_section(t, scn, sh, &g, names);
	}
	free(g.list);
	return ok;
}

/* ---- order -------------------------------------------------------------------------------------------------------- */

static size_t underscores(const char *name)
{
	return strspn(name, "_");
}

/* By address; then what a person would call the function: `read` rather than `__read`, `free` rather than `cfree`. */
static int compare_symbols(const void *left, const void *right)
{
	const struct elf_symbol *a = left, *b = right;
	size_t la, lb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (underscores(a->name) != underscores(b->name))
		return underscores(a->name) < underscores(b->name) ? -1 : 1;
	la = strcspn(a->name, "@");
	lb = strcspn(b->name, "@");
	if (la != lb)
		return la < lb ? -1 : 1;
	return strcmp(a->name, b->name);
}

static void sort_and_join(struct elf_symbols *t)
{
	size_t kept = 0;

	if (t->count)
		qsort(t->list, t->count, sizeof(*t->list), compare_symbols);
	for (size_t i = 0; i < t->count; i++) {
		struct elf_symbol *last = kept ? &t->list[kept - 1] : NULL;

		if (!last || last->start != t->list[i].start)
			t->list[kept++] = t->list[i];
		else if (last->sized && t->list[i].sized && last->end < t->list[i].end)
			last->end = t->list[i].end;
	}
	t->count = kept;
}

bool elf_symbols_load(struct elf_symbols *t, const struct elf_source *source, struct arena *names)
{
	bool ok = (!source->main || add_elf(t, source->main)) && (!source->debug || add_elf(t, source->debug)) &&
	          (!source->mini || add_elf(t, source->mini)) && (!source->main || add_plt(t, source->main, names));

	sort_and_join(t);
	return ok;
}

const struct elf_symbol *elf_symbols_find(const struct elf_symbols *t, uint64_t address)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->list[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t back = 0; back < MAX_NESTED && back < low; back++) {
		const struct elf_symbol *s = &t->list[low - 1 - back];

		if (s->sized && address < s->end)
			return s;
	}
	if (low > 0 && !t->list[low - 1].sized && address < t->list[low - 1].end)
		return &t->list[low - 1];
	return NULL;
}

void elf_symbols_done(struct elf_symbols *t)
{
	free(t->list);
	*t = (struct elf_symbols){ 0 };
}
