/*
 * elf_source.c - find and verify the files of a module.
 *
 * libdwfl would do the search as well, but it may ask the network (debuginfod) and it believes the path: an upgraded
 * package would then lend its names to old addresses.
 */
#include "elf_source.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"

static const struct elf_source closed = { NULL, NULL, -1, -1, "" };

void elf_source_done(struct elf_source *s)
{
	if (s->debug)
		elf_end(s->debug);
	if (s->main)
		elf_end(s->main);
	if (s->debug_fd >= 0)
		(void)close(s->debug_fd); /* read only: nothing can be lost */
	if (s->main_fd >= 0)
		(void)close(s->main_fd);
	*s = closed;
}

/* An ELF object of this machine's byte order and size, or NULL with the reason. */
static Elf *open_elf(const char *path, int *ret_fd, const char **ret_why)
{
	struct stat st;
	Elf *elf;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		*ret_why = errno == ENOENT ? "the file does not exist here" : strerror(errno);
		return NULL;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		*ret_why = "not a regular file";
		return NULL;
	}
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF) {
		if (elf)
			elf_end(elf);
		(void)close(fd);
		*ret_why = "not an ELF file";
		return NULL;
	}
	*ret_fd = fd;
	return elf;
}

static bool has_build_id(Elf *elf, const uint8_t *id, size_t id_bytes)
{
	const void *have;
	ssize_t n = dwelf_elf_gnu_build_id(elf, &have);

	return n > 0 && (size_t)n == id_bytes && memcmp(have, id, id_bytes) == 0;
}

/* CRC-32 as in .gnu_debuglink (ISO 3309, reflected polynomial 0xedb88320), of a whole file. */
static bool file_crc(int fd, uint32_t *ret_crc)
{
	uint32_t nibble[16], crc = ~UINT32_C(0);
	unsigned char block[16 << 10];
	off_t at = 0;
	ssize_t n;

	for (uint32_t i = 0; i < 16; i++) {
		nibble[i] = i;
		for (unsigned bit = 0; bit < 4; bit++)
			nibble[i] = nibble[i] >> 1 ^ (nibble[i] & 1 ? 0xedb88320u : 0);
	}
	while ((n = pread(fd, block, sizeof(block), at)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			crc ^= block[i];
			crc = crc >> 4 ^ nibble[crc & 15];
			crc = crc >> 4 ^ nibble[crc & 15];
		}
		at += n;
	}
	*ret_crc = ~crc;
	return n == 0;
}

struct debug_wanted {
	const uint8_t *id;
	size_t id_bytes;
	bool has_crc;
	uint32_t crc;
};

static bool is_wanted(Elf *elf, int fd, const struct debug_wanted *w)
{
	const void *have;
	uint32_t crc;

	if (w->id_bytes && dwelf_elf_gnu_build_id(elf, &have) > 0)
		return has_build_id(elf, w->id, w->id_bytes);
	return w->has_crc && file_crc(fd, &crc) && crc == w->crc;
}

static bool try_debug(struct elf_source *s, const struct debug_wanted *w, const char *path)
{
	const char *why;
	int fd;
	Elf *elf = open_elf(path, &fd, &why);

	if (!elf)
		return false;
	if (!is_wanted(elf, fd, w)) {
		elf_end(elf);
		(void)close(fd);
		return false;
	}
	s->debug = elf;
	s->debug_fd = fd;
	(void)snprintf(s->debug_path, sizeof(s->debug_path), "%s", path); /* for display only */
	return true;
}

static bool try_build_id_path(struct elf_source *s, const struct debug_wanted *w)
{
	char path[64 + 2 * 64];
	int n;

	if (w->id_bytes < 2 || w->id_bytes > 64)
		return false;
	n = snprintf(path, sizeof(path), "/usr/lib/debug/.build-id/%02x/", w->id[0]);
	for (size_t i = 1; i < w->id_bytes; i++)
		n += snprintf(path + n, sizeof(path) - (size_t)n, "%02x", w->id[i]);
	(void)snprintf(path + n, sizeof(path) - (size_t)n, ".debug");
	return try_debug(s, w, path);
}

/* Beside the file, in .debug/ beside it, and in the same place under /usr/lib/debug. */
static bool try_link_paths(struct elf_source *s, const struct debug_wanted *w, const char *object, const char *link)
{
	const char *slash = strrchr(object, '/');
	int dir = slash ? (int)(slash - object) : 0;
	char path[PATH_MAX + 512];
	static const char *const forms[] = { "%.*s/%s", "%.*s/.debug/%s", "/usr/lib/debug%.*s/%s" };

	if (strchr(link, '/') || !slash)
		return false;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		int n;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		n = snprintf(path, sizeof(path), forms[i], dir, object, link);
#pragma GCC diagnostic pop
		if (n > 0 && (size_t)n < sizeof(path) && strcmp(path, object) != 0 && try_debug(s, w, path))
			return true;
	}
	return false;
}

static void find_debug(struct elf_source *s, const char *path)
{
	struct debug_wanted w = { 0 };
	const void *id = NULL;
	ssize_t n = dwelf_elf_gnu_build_id(s->main, &id);
	GElf_Word crc;
	const char *link = dwelf_elf_gnu_debuglink(s->main, &crc);
	char *real;

	if (n > 0) {
		w.id = id;
		w.id_bytes = (size_t)n;
	}
	if (try_build_id_path(s, &w) || !link)
		return;
	w.has_crc = true;
	w.crc = crc;
	if (try_link_paths(s, &w, path, link))
		return;
	real = realpath(path, NULL); /* /lib is a link to /usr/lib on merged systems */
	if (real && strcmp(real, path) != 0)
		(void)try_link_paths(s, &w, real, link); /* none: the module has no debug file */
	free(real);
}

bool elf_source_open(const char *path, const uint8_t *id, size_t id_bytes, struct elf_source *ret, char *why,
                     size_t why_size)
{
	static const char deleted[] = " (deleted)";
	size_t len = strlen(path), cut = sizeof(deleted) - 1;
	char *stripped = NULL;
	const char *reason = "";

	*ret = closed;
	(void)elf_version(EV_CURRENT);
	if (len > cut && strcmp(path + len - cut, deleted) == 0) {
		stripped = strndup(path, len - cut);
		path = stripped ? stripped : path;
	}
	ret->main = path[0] == '/' ? open_elf(path, &ret->main_fd, &reason) : NULL;
	if (path[0] != '/')
		reason = "no file belongs to it";
	if (ret->main && id_bytes && !has_build_id(ret->main, id, id_bytes)) {
		elf_source_done(ret);
		reason = "the file here is another build (its build-id differs)";
	}
	if (ret->main)
		find_debug(ret, path);
	else
		(void)snprintf(why, why_size, "%s", reason);
	free(stripped);
	return ret->main != NULL;
}

/* The vdso has no size of its own: its section headers end it. */
static size_t image_bytes(const unsigned char *image)
{
	Elf64_Ehdr h;

	memcpy(&h, image, sizeof(h));
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64)
		return 0;
	return (size_t)h.e_shoff + (size_t)h.e_shnum * h.e_shentsize;
}

bool elf_source_open_vdso(const uint8_t *id, size_t id_bytes, struct elf_source *ret, char *why, size_t why_size)
{
	unsigned char *image = (unsigned char *)getauxval(AT_SYSINFO_EHDR); /* NOLINT: the kernel's address of it */
	size_t bytes = image ? image_bytes(image) : 0;

	*ret = closed;
	(void)elf_version(EV_CURRENT);
	ret->main = bytes && bytes < 1 << 20 ? elf_memory((char *)image, bytes) : NULL;
	if (ret->main && id_bytes && has_build_id(ret->main, id, id_bytes))
		return true;
	elf_source_done(ret);
	(void)snprintf(why, why_size, "the kernel's own; this machine runs another kernel");
	return false;
}

/* ---- identity ----------------------------------------------------------------------------------------------------- */

static int add_own_build_id(struct dl_phdr_info *info, size_t size, void *context)
{
	struct buf *out = context;

	(void)size;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr + ph->p_vaddr); /* NOLINT: the loader's address */
		const char *end = at + ph->p_memsz;

		while (ph->p_type == PT_NOTE && (size_t)(end - at) > sizeof(ElfW(Nhdr))) {
			ElfW(Nhdr) note;
			const char *id;

			memcpy(&note, at, sizeof(note));
			id = at + sizeof(note) + ((note.n_namesz + 3u) & ~3u);
			at = id + ((note.n_descsz + 3u) & ~3u);
			if (note.n_type != NT_GNU_BUILD_ID)
				continue;
			for (size_t k = 0; k < note.n_descsz; k++)
				buf_printf(out, "%02x", (unsigned char)id[k]);
			return 1;
		}
	}
	return -1; /* the first object is the program: the others are not asked */
}

static bool add_file(struct buf *out, const char *what, const char *path, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	buf_printf(out, "%s %s %jd %jd.%09ld %jd.%09ld\n", what, path, (intmax_t)st.st_size,
	           (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (intmax_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
	return !out->failed;
}

bool elf_source_identity(const struct elf_source *s, struct buf *out)
{
	buf_add_str(out, "by ");
	/* Another build of this program may read the same files otherwise. */
	if (dl_iterate_phdr(add_own_build_id, out) != 1)
		return false;
	buf_add_char(out, '\n');
	return s->main_fd >= 0 && add_file(out, "file", "", s->main_fd) &&
	       (s->debug_fd < 0 || add_file(out, "debug", s->debug_path, s->debug_fd));
}
