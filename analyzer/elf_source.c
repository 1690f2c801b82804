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
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "elf_debuginfod.h"
#include "elf_places.h"
#include "elf_section.h"

static const struct elf_source closed = { .main_fd = -1, .debug_fd = -1, .alt_fd = -1 };

static void close_one(Elf *elf, int fd)
{
	if (elf)
		elf_end(elf);
	if (fd >= 0)
		(void)close(fd); /* read only: nothing can be lost */
}

void elf_source_done(struct elf_source *s)
{
	close_one(s->mini, -1);
	free(s->mini_bytes);
	close_one(s->alt, s->alt_fd);
	close_one(s->debug, s->debug_fd);
	close_one(s->main, s->main_fd);
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

static void hex(char *text, size_t size, const uint8_t *id, size_t bytes)
{
	text[0] = '\0';
	for (size_t i = 0; i < bytes && 2 * i + 2 < size; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", id[i]);
}

struct opened {
	Elf *elf;
	int fd;
	char *path; /* where it is shown; 512 bytes of struct elf_source */
};

static void take(struct opened *to, Elf *elf, int fd, const char *path)
{
	to->elf = elf;
	to->fd = fd;
	(void)snprintf(to->path, ELF_PATH_SHOWN, "%.*s", ELF_PATH_SHOWN - 1, path);
}

/* ---- separate debug files ----------------------------------------------------------------------------------------- */

struct debug_wanted {
	struct elf_wanted w;
	bool has_crc;
	uint32_t crc;
};

static bool is_wanted(Elf *elf, int fd, const struct debug_wanted *d)
{
	const void *have;
	uint32_t crc;

	if (d->w.id_bytes && dwelf_elf_gnu_build_id(elf, &have) > 0)
		return has_build_id(elf, d->w.id, d->w.id_bytes);
	return d->has_crc && file_crc(fd, &crc) && crc == d->crc;
}

static bool try_debug(struct opened *to, const struct debug_wanted *d, const char *path)
{
	const char *why;
	int fd;
	Elf *elf = path[0] ? open_elf(path, &fd, &why) : NULL;

	if (!elf)
		return false;
	if (!is_wanted(elf, fd, d)) {
		elf_end(elf);
		(void)close(fd);
		return false;
	}
	take(to, elf, fd, path);
	return true;
}

static bool try_server(struct opened *to, const struct elf_places *p, const struct debug_wanted *d)
{
	char path[PATH_MAX];

	return p->debuginfod && d->w.id_bytes && elf_debuginfod_find(p->debuginfod, d->w.id, d->w.id_bytes, path) &&
	       try_debug(to, d, path);
}

static bool find_debug(const struct elf_places *p, const struct debug_wanted *d, const char *object, const char *link,
                       struct opened *to)
{
	char path[PATH_MAX];

	for (size_t k = 0; elf_places_debug(p, &d->w, object, link, k, path); k++)
		if (try_debug(to, d, path))
			return true;
	return false;
}

/* The debug file of `s->main`, which is at `object`. */
static void find_debug_of(struct elf_source *s, const struct elf_places *p, const struct elf_wanted *module,
                          const char *object)
{
	struct debug_wanted d = { .w = { .path = module->path } };
	struct opened to = { .fd = -1, .path = s->debug_path };
	const void *id = NULL;
	ssize_t n = dwelf_elf_gnu_build_id(s->main, &id);
	GElf_Word crc = 0;
	const char *link = dwelf_elf_gnu_debuglink(s->main, &crc);
	struct elf_section own;
	char *real;

	if (n > 0) {
		d.w.id = id;
		d.w.id_bytes = (size_t)n;
	}
	d.has_crc = link != NULL;
	d.crc = crc;
	(void)snprintf(s->link, sizeof(s->link), "%.*s", (int)sizeof(s->link) - 1, link ? link : "");
	if (!find_debug(p, &d, object, s->link, &to)) {
		real = realpath(object, NULL); /* /lib is a link to /usr/lib on merged systems */
		if (real && strcmp(real, object) != 0) {
			d.w.path = real;
			(void)find_debug(p, &d, real, s->link, &to); /* none: the module has no debug file */
		}
		free(real);
	}
	if (!to.elf && !elf_section_find(s->main, ".debug_info", &own) &&
	    !elf_section_find(s->main, ".zdebug_info", &own))
		(void)try_server(&to, p, &d);
	s->debug = to.elf;
	s->debug_fd = to.fd;
}

/* ".gnu_debugaltlink": a name, NUL, a build-id. What several debug files have in common stands there (dwz(1)). */
static void find_alt(struct elf_source *s, const struct elf_places *p, Elf *of, const char *from)
{
	struct opened to = { .fd = -1, .path = s->alt_path };
	struct debug_wanted d = { 0 };
	struct elf_section link;
	const char *end;
	char path[PATH_MAX];

	if (!elf_section_find(of, ".gnu_debugaltlink", &link))
		return;
	end = memchr(link.data, '\0', link.bytes);
	if (!end)
		return;
	s->alt_wanted = true;
	d.w.path = (const char *)link.data;
	d.w.id = (const uint8_t *)end + 1;
	d.w.id_bytes = link.bytes - (size_t)(d.w.id - link.data);
	for (size_t k = 0; d.w.id_bytes && !to.elf && elf_places_alt(p, &d.w, from, k, path); k++)
		(void)try_debug(&to, &d, path);
	if (!to.elf)
		(void)try_server(&to, p, &d);
	if (!to.elf) /* so that it can be named */
		(void)snprintf(s->alt_path, sizeof(s->alt_path), "%.*s", ELF_PATH_SHOWN - 1, d.w.path);
	s->alt = to.elf;
	s->alt_fd = to.fd;
}

/* ---- a module ----------------------------------------------------------------------------------------------------- */

/* The module's own file, at the first place that has the build recorded. `why`: what the first file there was is wrong with. */
static bool find_main(struct elf_source *s, const struct elf_places *p, const struct elf_wanted *w, char *why,
                      size_t why_size, char object[PATH_MAX])
{
	struct opened to = { .fd = -1, .path = s->main_path };
	bool told = false;

	for (size_t k = 0; elf_places_file(p, w, k, object); k++) {
		const char *reason = "";
		int fd;
		Elf *elf = object[0] ? open_elf(object, &fd, &reason) : NULL;

		if (elf && (!w->id_bytes || has_build_id(elf, w->id, w->id_bytes))) {
			take(&to, elf, fd, object);
			s->main = elf;
			s->main_fd = fd;
			return true;
		}
		if (!object[0] || (told && !elf))
			continue;
		if (elf) {
			char here[48], recorded[48];
			const void *id = NULL;
			ssize_t n = dwelf_elf_gnu_build_id(elf, &id);

			hex(here, sizeof(here), id, n > 0 ? (size_t)n : 0);
			hex(recorded, sizeof(recorded), w->id, w->id_bytes);
			(void)snprintf(why, why_size,
			               "the file here is another build: %s has build-id %s, recorded was %s", object,
			               here[0] ? here : "none", recorded);
			elf_end(elf);
			(void)close(fd);
		} else {
			(void)snprintf(why, why_size, "%s", reason);
		}
		told = true;
	}
	object[0] = '\0';
	return false;
}

bool elf_source_open(const struct elf_places *places, const char *path, const uint8_t *id, size_t id_bytes,
                     struct elf_source *ret, char *why, size_t why_size)
{
	static const struct elf_places usual = { 0 };
	static const char deleted[] = " (deleted)";
	const struct elf_places *p = places ? places : &usual;
	struct debug_wanted d = { .w = { path, id, id_bytes } };
	struct opened to = { .fd = -1, .path = ret->debug_path };
	size_t len = strlen(path), cut = sizeof(deleted) - 1;
	char own[PATH_MAX], object[PATH_MAX];

	*ret = closed;
	(void)elf_version(EV_CURRENT);
	if (path[0] != '/' || len >= sizeof(own)) {
		(void)snprintf(why, why_size, "no file belongs to it");
		return false;
	}
	if (len > cut && strcmp(path + len - cut, deleted) == 0)
		len -= cut;
	(void)snprintf(own, sizeof(own), "%.*s", (int)len, path);
	d.w.path = own;
	if (find_main(ret, p, &d.w, why, why_size, object)) {
		find_debug_of(ret, p, &d.w, object);
		find_alt(ret, p, ret->debug ? ret->debug : ret->main, ret->debug ? ret->debug_path : ret->main_path);
		return true;
	}
	if (!id_bytes)
		return false;
	/* The debug file alone has the names as well, and the lines. */
	if (!find_debug(p, &d, "", "", &to) && !try_server(&to, p, &d))
		return false;
	ret->debug = to.elf;
	ret->debug_fd = to.fd;
	find_alt(ret, p, ret->debug, ret->debug_path);
	return true;
}

/* ---- MiniDebugInfo ------------------------------------------------------------------------------------------------ */

/* Bytes of an xz stream; NULL if it is none, or too large. */
static unsigned char *unpack(const struct elf_section *packed, size_t *ret_bytes)
{
	for (size_t room = 1 << 20; room <= ELF_MINI_MAX_BYTES; room *= 4) {
		uint64_t memory = 256u << 20;
		size_t in = 0, out = 0;
		unsigned char *bytes = malloc(room);
		lzma_ret rc = bytes ? lzma_stream_buffer_decode(&memory, 0, NULL, packed->data, &in, packed->bytes,
		                                                bytes, &out, room)
		                    : LZMA_MEM_ERROR;

		if (rc == LZMA_OK) {
			*ret_bytes = out;
			return bytes;
		}
		free(bytes);
		if (rc != LZMA_BUF_ERROR)
			break;
	}
	return NULL;
}

void elf_source_load_mini(struct elf_source *s)
{
	struct elf_section packed;
	size_t bytes = 0;

	if (s->mini || s->mini_bytes || !elf_section_find(s->main, ".gnu_debugdata", &packed))
		return;
	s->mini_bytes = unpack(&packed, &bytes);
	s->mini = s->mini_bytes ? elf_memory((char *)s->mini_bytes, bytes) : NULL;
	if (s->mini && elf_kind(s->mini) != ELF_K_ELF) {
		elf_end(s->mini);
		s->mini = NULL;
	}
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
	/* A file that is wanted and not here counts, too: when it comes, there is more to say. */
	return (s->main || s->debug) && (!s->main || add_file(out, "file", s->main_path, s->main_fd)) &&
	       (!s->debug || add_file(out, "debug", s->debug_path, s->debug_fd)) &&
	       (!s->alt || add_file(out, "alt", s->alt_path, s->alt_fd));
}
