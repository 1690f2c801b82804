#include "elf_section.h"

#include <gelf.h>
#include <string.h>

bool elf_section_find(Elf *elf, const char *wanted, struct elf_section *ret)
{
	size_t names;
	Elf_Scn *scn = NULL;

	if (!elf || elf_getshdrstrndx(elf, &names) != 0)
		return false;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr mem, *sh = gelf_getshdr(scn, &mem);
		const char *name = sh ? elf_strptr(elf, names, sh->sh_name) : NULL;
		Elf_Data *data;

		if (!name || strcmp(name, wanted) != 0 || sh->sh_type == SHT_NOBITS)
			continue;
		data = elf_rawdata(scn, NULL);
		if (!data || !data->d_buf)
			return false;
		*ret = (struct elf_section){ data->d_buf, data->d_size, sh->sh_addr };
		return true;
	}
	return false;
}
