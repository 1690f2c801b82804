#include "program.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The tables of the program's dynamic section that name what it needs. */
struct needs {
	const ElfW(Sym) * symbols;
	const char *names;
	const ElfW(Rela) * tables[2];
	size_t bytes[2];
};

/* ld.so turns the section's addresses into run-time ones where it can write to it. */
static const void *at(uintptr_t base, const ElfW(Dyn) * entry)
{
	return (const void *)(entry->d_un.d_ptr < base ? base + entry->d_un.d_ptr : entry->d_un.d_ptr);
}

static struct needs read_dynamic(uintptr_t base, const ElfW(Dyn) * entry)
{
	struct needs n = { 0 };

	for (; entry->d_tag != DT_NULL; entry++) {
		switch (entry->d_tag) {
		case DT_SYMTAB:
			n.symbols = at(base, entry);
			break;
		case DT_STRTAB:
			n.names = at(base, entry);
			break;
		case DT_RELA:
			n.tables[0] = at(base, entry);
			break;
		case DT_RELASZ:
			n.bytes[0] = entry->d_un.d_val;
			break;
		case DT_JMPREL:
			n.tables[1] = at(base, entry);
			break;
		case DT_PLTRELSZ:
			n.bytes[1] = entry->d_un.d_val;
			break;
		default:
			break;
		}
	}
	return n;
}

static bool needs_symbol(const struct needs *n, const char *name)
{
	for (unsigned i = 0; n->symbols && n->names && i < 2; i++) {
		for (size_t k = 0; n->tables[i] && k < n->bytes[i] / sizeof(*n->tables[i]); k++) {
			size_t symbol = ELF64_R_SYM(n->tables[i][k].r_info);

			if (symbol && strcmp(n->names + n->symbols[symbol].st_name, name) == 0)
				return true;
		}
	}
	return false;
}

/* The first object is the program. */
static int look(struct dl_phdr_info *info, size_t size, void *ret_found)
{
	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_DYNAMIC) {
			struct needs n =
			        read_dynamic(info->dlpi_addr, (const void *)(info->dlpi_addr + segment->p_vaddr));

			*(bool *)ret_found = needs_symbol(&n, "__libc_start_main");
		}
	}
	return 1;
}

bool program_begins_in_libc(void)
{
	bool found = false;

	(void)dl_iterate_phdr(look, &found); /* the 1 that ends it after the first */
	return found;
}
