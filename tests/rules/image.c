/* image.c - see image.h. */
#include "image.h"

#include <elf.h>
#include <gelf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "made.h"

#if defined(__x86_64__)
enum { THIS_MACHINE = EM_X86_64 };
#else
enum { THIS_MACHINE = EM_AARCH64 };
#endif
enum { PAGE = 4096 }; /* segments of both processors' files are aligned to it, or to multiples */

static int broken(const struct image *im, const char *why)
{
	fprintf(stderr, "%s: %s\n", im->path, why);
	return -1;
}

/* Its bytes from memory, in a file of no name; -1: the kernel gave none. */
static int vdso_file(void)
{
	const uint8_t *at = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)at;
	size_t size;
	int fd;

	if (!at)
		return -1;
	size = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (fd >= 0 && write(fd, at, size) != (ssize_t)size) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Where programs that are not position-independent want to stand they are put, if there is room: absolute addresses in
 * their tables are then right. */
static int map_segments(struct image *im)
{
	uint64_t low = UINT64_MAX, high = 0;
	size_t n = 0;
	GElf_Ehdr header;
	GElf_Phdr p;

	if (elf_getphdrnum(im->elf, &n) != 0 || !gelf_getehdr(im->elf, &header))
		return broken(im, "no program headers");
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(im->elf, (int)i, &p) || p.p_type != PT_LOAD)
			continue;
		low = p.p_vaddr < low ? p.p_vaddr : low;
		high = p.p_vaddr + p.p_memsz > high ? p.p_vaddr + p.p_memsz : high;
	}
	if (low >= high)
		return broken(im, "nothing to load");
	im->first = low & ~(uint64_t)(PAGE - 1);
	im->size = high - im->first;
	im->memory = mmap(header.e_type == ET_EXEC ? (void *)im->first : NULL, im->size, PROT_NONE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (im->memory == MAP_FAILED)
		return broken(im, "no room in memory");
	for (size_t i = 0; i < n; i++) {
		uint64_t in_page;

		if (!gelf_getphdr(im->elf, (int)i, &p) || p.p_type != PT_LOAD || p.p_filesz == 0)
			continue;
		in_page = p.p_vaddr % PAGE;
		if (p.p_offset % PAGE != in_page ||
		    mmap((void *)(image_at(im, p.p_vaddr) - in_page), p.p_filesz + in_page, PROT_READ,
		         MAP_PRIVATE | MAP_FIXED, im->fd, (off_t)(p.p_offset - in_page)) == MAP_FAILED)
			return broken(im, "a segment cannot be mapped");
	}
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(im->elf, (int)i, &p) && p.p_type == PT_GNU_EH_FRAME)
			im->hdr = (const uint8_t *)image_at(im, p.p_vaddr);
	return 0;
}

/* ---- the FDEs of the section -------------------------------------------------------------------------------------- */

/* Of a CIE: in what encoding its FDEs have addresses; 0xff: it cannot be told. */
static uint8_t address_encoding(const Dwarf_CIE *cie)
{
	const uint8_t *at = cie->augmentation_data, *end = at + cie->augmentation_data_size;

	if (cie->augmentation[0] != 'z')
		return cie->augmentation[0] ? 0xff : 0;
	for (const char *a = cie->augmentation + 1; *a; a++) {
		static const uint8_t bytes[16] = { 8, 0, 2, 4, 8, 0, 0, 0, 8, 0, 2, 4, 8, 0, 0, 0 };

		if (*a == 'S' || *a == 'B')
			continue;
		if (at >= end)
			return 0xff;
		if (*a == 'R')
			return *at;
		if (*a == 'L')
			at++;
		else if (*a == 'P' && bytes[*at & 15])
			at += 1 + bytes[*at & 15];
		else
			return 0xff;
	}
	return 0;
}

/* A number of an encoding's format; false: it is none of those that are of one size. */
static bool number_at(const uint8_t *at, const uint8_t *end, uint8_t format, uint64_t *ret_value, size_t *ret_bytes)
{
	const size_t bytes = (format & 7) == 0 || (format & 7) == 4 ? 8 : (format & 7) == 3 ? 4 : 2;
	uint64_t value = 0;

	if ((format & 7) == 1 || (format & 7) > 4 || (size_t)(end - at) < bytes)
		return false;
	memcpy(&value, at, bytes);
	if (format & 8 && bytes < 8 && value >> (bytes * 8 - 1))
		value |= ~UINT64_C(0) << (bytes * 8);
	*ret_value = value;
	*ret_bytes = bytes;
	return true;
}

struct section {
	Elf_Data *data;
	uint64_t address;
	const unsigned char *ident;
};

static int add_fde(struct image *im, const struct section *s, const Dwarf_FDE *fde, size_t *cap)
{
	uint64_t start = 0, size = 0, at = s->address + (uint64_t)(fde->start - (const uint8_t *)s->data->d_buf);
	Dwarf_CFI_Entry cie;
	uint8_t encoding;
	Dwarf_Off next;
	size_t bytes = 0, ignored;

	if (dwarf_next_cfi(s->ident, s->data, true, fde->CIE_pointer, &next, &cie) != 0 || !dwarf_cfi_cie_p(&cie))
		return broken(im, "an FDE without its CIE");
	encoding = address_encoding(&cie.cie);
	if (((encoding & 0xf0) != 0 && (encoding & 0xf0) != 0x10) ||
	    !number_at(fde->start, fde->end, encoding & 15, &start, &bytes) ||
	    !number_at(fde->start + bytes, fde->end, encoding & 7, &size, &ignored))
		return broken(im, "an FDE with an address in an encoding that this scan does not know");
	if (encoding & 0x10)
		start += at;
	if (size == 0)
		return 0;
	if (start < im->first || start - im->first >= im->size || size > im->size - (start - im->first)) {
		im->outside++; /* of code that the linker left out */
		return 0;
	}
	if (im->fde_count == *cap) {
		*cap = *cap ? *cap * 2 : 1024;
		im->fdes = realloc(im->fdes, *cap * sizeof(*im->fdes));
		if (!im->fdes)
			abort();
	}
	im->fdes[im->fde_count++] = (struct fde){ start, start + size };
	return 0;
}

static int compare_fdes(const void *left, const void *right)
{
	const struct fde *a = left, *b = right;

	return (a->start > b->start) - (a->start < b->start);
}

static Elf_Scn *find_section(struct image *im, const char *name, GElf_Shdr *ret_header)
{
	size_t names;

	if (elf_getshdrstrndx(im->elf, &names) != 0)
		return NULL;
	for (Elf_Scn *scn = elf_nextscn(im->elf, NULL); scn; scn = elf_nextscn(im->elf, scn)) {
		const char *its =
		        gelf_getshdr(scn, ret_header) ? elf_strptr(im->elf, names, ret_header->sh_name) : NULL;

		if (its && strcmp(its, name) == 0 && ret_header->sh_type != SHT_NOBITS)
			return scn;
	}
	return NULL;
}

static int read_fdes(struct image *im)
{
	struct section s = { 0 };
	Elf_Scn *scn;
	GElf_Shdr header;
	Dwarf_CFI_Entry entry;
	Dwarf_Off at = 0, next;
	size_t cap = 0;
	int rc;

	scn = find_section(im, ".eh_frame", &header);
	if (!scn || !(s.data = elf_rawdata(scn, NULL)))
		return broken(im, "no section .eh_frame");
	s.address = header.sh_addr;
	s.ident = (const unsigned char *)elf_getident(im->elf, NULL);
	while ((rc = dwarf_next_cfi(s.ident, s.data, true, at, &next, &entry)) == 0) {
		if (!dwarf_cfi_cie_p(&entry) && add_fde(im, &s, &entry.fde, &cap) < 0)
			return -1;
		at = next;
	}
	if (rc < 0)
		return broken(im, "libdw cannot read .eh_frame");
	qsort(im->fdes, im->fde_count, sizeof(*im->fdes), compare_fdes);
	return 0;
}

bool image_covers(const struct image *im, uint64_t address)
{
	size_t low = 0, high = im->fde_count;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (im->fdes[mid].start <= address)
			low = mid;
		else
			high = mid;
	}
	return im->fde_count && address >= im->fdes[low].start && address < im->fdes[low].end;
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static int compare_functions(const void *left, const void *right)
{
	const struct function *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return strcmp(a->name, b->name); /* aliases: always the same one is named */
}

static void read_functions(struct image *im)
{
	size_t cap = 0;

	for (Elf_Scn *scn = elf_nextscn(im->elf, NULL); scn; scn = elf_nextscn(im->elf, scn)) {
		GElf_Shdr header;
		Elf_Data *data;
		GElf_Sym symbol;

		if (!gelf_getshdr(scn, &header) || (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM) ||
		    !(data = elf_getdata(scn, NULL)))
			continue;
		for (int i = 0; gelf_getsym(data, i, &symbol); i++) {
			const char *name = elf_strptr(im->elf, header.sh_link, symbol.st_name);

			if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF || !name)
				continue;
			if (im->function_count == cap) {
				cap = cap ? cap * 2 : 1024;
				im->functions = realloc(im->functions, cap * sizeof(*im->functions));
				if (!im->functions)
					abort();
			}
			im->functions[im->function_count++] =
			        (struct function){ symbol.st_value, symbol.st_value + symbol.st_size, name };
		}
	}
	if (im->function_count)
		qsort(im->functions, im->function_count, sizeof(*im->functions), compare_functions);
}

const char *image_function(const struct image *im, uint64_t address)
{
	for (size_t i = im->function_count; i > 0; i--)
		if (address >= im->functions[i - 1].start && address < im->functions[i - 1].end)
			return im->functions[i - 1].name;
	return "?";
}

/* ------------------------------------------------------------------------------------------------------------------- */

static int open_elf(struct image *im)
{
	GElf_Ehdr header;

	elf_version(EV_CURRENT);
	im->elf = elf_begin(im->fd, ELF_C_READ_MMAP, NULL);
	if (!im->elf || elf_kind(im->elf) != ELF_K_ELF || !gelf_getehdr(im->elf, &header))
		return 0; /* a script, say */
	if (header.e_machine != THIS_MACHINE)
		return 0;
	if (map_segments(im) < 0)
		return -1;
	if (!im->hdr)
		return 0;
	im->cfi = dwarf_getcfi_elf(im->elf);
	if (!im->cfi)
		return broken(im, "libdw finds no call frame information");
	if (im->hdr[2] == 0x03 && im->hdr[3] == 0x3b) {
		uint32_t entries;

		/* after four encodings and the pointer to .eh_frame, of 4 bytes wherever there is a table */
		memcpy(&entries, im->hdr + 8, sizeof(entries));
		im->index_entries = entries;
	}
	read_functions(im);
	return read_fdes(im) < 0 ? -1 : 1;
}

int image_open(struct image *im, const char *path)
{
	int rc;

	*im = (struct image){ .path = path, .memory = MAP_FAILED };
	if (strcmp(path, "[vdso]") == 0)
		im->fd = vdso_file();
	else if (strncmp(path, "[made ", 6) == 0)
		im->fd = made_file(strtoull(path + 6, NULL, 10));
	else
		im->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (im->fd < 0)
		return 0;
	rc = open_elf(im);
	if (rc <= 0)
		image_close(im);
	return rc;
}

void image_close(struct image *im)
{
	if (im->cfi)
		dwarf_cfi_end(im->cfi);
	if (im->elf)
		elf_end(im->elf);
	if (im->memory != MAP_FAILED)
		munmap(im->memory, im->size);
	if (im->fd >= 0)
		close(im->fd);
	free(im->fdes);
	free(im->functions);
	*im = (struct image){ .path = im->path, .fd = -1, .memory = MAP_FAILED };
}
