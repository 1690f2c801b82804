/*
 * snapshot_read.c - the frame of a snapshot: header, index, checksums, decompression.
 *
 * Every byte is under a checksum, and sections lie one behind the other without gaps, so a changed, missing or added byte
 * is refused here, before any section is looked into. snapshot_decode.c trusts nothing either: a checksum is no signature.
 */
#include "snapshot_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "live_read.h"
#include "model_memory.h"
#include "snapshot_codec.h"
#include "snapshot_decode.h"

#define MAX_FILE_BYTES (UINT64_C(4) << 30)
/* What no recorder writes: stacks, counts and times do not compress further than this. Small sections may. */
#define BOMB_BYTES (UINT64_C(64) << 20)
#define BOMB_RATIO 2000

struct frame {
	const uint8_t *data;
	size_t bytes;
	struct snap_header header;
	struct snap_section sections[SNAP_MAX_SECTIONS];
};

static const char *section_name(uint32_t id)
{
	switch (id) {
#define SECTION_NAME(number, name, text) \
	case number:                     \
		return text;
		SNAP_SECTIONS(SECTION_NAME)
#undef SECTION_NAME
	default:
		return NULL;
	}
}

static int check_magic(const uint8_t *data, size_t bytes, struct err *err)
{
	size_t n = bytes < SNAP_MAGIC_BYTES ? bytes : SNAP_MAGIC_BYTES;

	if (bytes == 0)
		return err_set(err, -EPROTO, "the file is empty");
	if (memcmp(data, SNAP_MAGIC, n) != 0) {
		if (bytes >= 6 && memcmp(data + 1, &SNAP_MAGIC[1], 5) == 0)
			return err_set(err, -EPROTO, "a snapshot damaged by a text-mode transfer");
		return err_set(err, -EPROTO, "not a perfprobe snapshot");
	}
	if (bytes < sizeof(struct snap_header))
		return err_set(err, -EPROTO, "truncated: %zu bytes are less than a header", bytes);
	return 0;
}

static int check_header(const struct snap_header *h, size_t bytes, struct err *err)
{
	if (h->major != SNAP_MAJOR)
		return err_set(err, -EPROTO, "format version %u.%u is not one that this program reads (%d.x)", h->major,
		               h->minor, SNAP_MAJOR);
	if (h->file_bytes > bytes)
		return err_set(err, -EPROTO, "truncated: %zu of %llu bytes", bytes, (unsigned long long)h->file_bytes);
	if (h->file_bytes < bytes)
		return err_set(err, -EPROTO, "%zu bytes where the header says %llu", bytes,
		               (unsigned long long)h->file_bytes);
	if (h->section_count > SNAP_MAX_SECTIONS)
		return err_set(err, -EPROTO, "%u sections, more than %d", h->section_count, SNAP_MAX_SECTIONS);
	if (h->header_bytes < sizeof(*h) || h->entry_bytes < sizeof(struct snap_section))
		return err_set(err, -EPROTO, "header of %u and index entries of %u bytes are too short",
		               h->header_bytes, h->entry_bytes);
	if ((uint64_t)h->header_bytes + (uint64_t)h->section_count * h->entry_bytes > bytes)
		return err_set(err, -EPROTO, "the index does not fit the file");
	return 0;
}

static int read_index(struct frame *f, struct err *err)
{
	struct snap_header zeroed;
	uint64_t index_bytes, at;
	uint32_t crc;

	memcpy(&f->header, f->data, sizeof(f->header));
	if (check_header(&f->header, f->bytes, err) < 0)
		return -EPROTO;
	index_bytes = (uint64_t)f->header.section_count * f->header.entry_bytes;
	zeroed = f->header;
	zeroed.head_crc = 0;
	crc = crc32c(0, &zeroed, sizeof(zeroed));
	crc = crc32c(crc, f->data + sizeof(zeroed), f->header.header_bytes - sizeof(zeroed) + index_bytes);
	if (crc != f->header.head_crc)
		return err_set(err, -EPROTO, "damaged: checksum of the header does not match");
	at = f->header.header_bytes + index_bytes;
	for (uint32_t i = 0; i < f->header.section_count; i++) {
		struct snap_section *s = &f->sections[i];

		memcpy(s, f->data + f->header.header_bytes + (size_t)i * f->header.entry_bytes, sizeof(*s));
		if (s->offset != at || s->stored_bytes > f->bytes - at)
			return err_set(err, -EPROTO, "section %u does not follow the one before it", s->id);
		at += s->stored_bytes;
	}
	if (at != f->bytes)
		return err_set(err, -EPROTO, "%llu bytes follow the last section", (unsigned long long)(f->bytes - at));
	return 0;
}

static int check_section(const struct frame *f, const struct snap_section *s, struct err *err)
{
	if (crc32c(0, f->data + s->offset, s->stored_bytes) != s->crc)
		return err_set(err, -EPROTO, "damaged: checksum does not match");
	if (!section_name(s->id))
		return 0; /* of a later version: skipped */
	if (s->codec > SNAP_CODEC_ZSTD)
		return err_set(err, -EPROTO, "unknown compression %u", s->codec);
	if (s->raw_bytes > SNAP_MAX_RAW_BYTES)
		return err_set(err, -EPROTO, "%llu bytes are more than a section may have",
		               (unsigned long long)s->raw_bytes);
	if (s->codec == SNAP_CODEC_RAW && s->raw_bytes != s->stored_bytes)
		return err_set(err, -EPROTO, "%llu bytes stored where %llu are claimed",
		               (unsigned long long)s->stored_bytes, (unsigned long long)s->raw_bytes);
	if (s->raw_bytes > BOMB_BYTES && s->raw_bytes / BOMB_RATIO > s->stored_bytes)
		return err_set(err, -EPROTO, "%llu bytes claimed from %llu stored", (unsigned long long)s->raw_bytes,
		               (unsigned long long)s->stored_bytes);
	return 0;
}

static bool is_one_zstd_frame(const uint8_t *data, size_t bytes)
{
	static const uint8_t magic[4] = { 0x28, 0xb5, 0x2f, 0xfd };

	return bytes >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) == 0 &&
	       ZSTD_findFrameCompressedSize(data, bytes) == bytes;
}

static int decode_zstd(const struct frame *f, const struct snap_section *s, struct model *m, struct err *err)
{
	const uint8_t *stored = f->data + s->offset;
	uint8_t *raw;
	size_t got;
	int rc;

	if (!is_one_zstd_frame(stored, s->stored_bytes))
		return err_set(err, -EPROTO, "is not one zstd frame");
	raw = malloc(s->raw_bytes + 1);
	if (!raw)
		return err_set(err, -ENOMEM, "out of memory");
	got = ZSTD_decompress(raw, s->raw_bytes, stored, s->stored_bytes);
	if (ZSTD_isError(got))
		rc = err_set(err, -EPROTO, "cannot be decompressed: %s", ZSTD_getErrorName(got));
	else if (got != s->raw_bytes)
		rc = err_set(err, -EPROTO, "%zu bytes where %llu are claimed", got, (unsigned long long)s->raw_bytes);
	else
		rc = snapshot_decode(s->id, raw, got, m, err);
	free(raw);
	return rc;
}

static int decode_section(const struct frame *f, const struct snap_section *s, struct model *m, struct err *err)
{
	int rc;

	if (s->codec == SNAP_CODEC_RAW)
		rc = snapshot_decode(s->id, f->data + s->offset, s->stored_bytes, m, err);
	else
		rc = decode_zstd(f, s, m, err);
	return rc < 0 ? err_wrap(err, "section %s", section_name(s->id)) : 0;
}

/* All checksums first, then the known sections by rising id, or only the first of them. */
static int decode_sections(const struct frame *f, bool only_info, struct model *m, struct err *err)
{
	static const uint32_t ids[] = {
#define SECTION_ID(number, name, text) number,
		SNAP_SECTIONS(SECTION_ID)
#undef SECTION_ID
	};

	for (uint32_t i = 0; i < f->header.section_count; i++) {
		const struct snap_section *s = &f->sections[i];
		const char *name = section_name(s->id);

		if (check_section(f, s, err) < 0)
			return name ? err_wrap(err, "section %s", name) : err_wrap(err, "section %u", s->id);
	}
	for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
		bool seen = false;

		if (only_info && ids[k] != SNAP_INFO)
			continue;
		for (uint32_t i = 0; i < f->header.section_count; i++) {
			int rc;

			if (f->sections[i].id != ids[k])
				continue;
			if (seen)
				return err_set(err, -EPROTO, "section %s appears twice", section_name(ids[k]));
			seen = true;
			rc = decode_section(f, &f->sections[i], m, err);
			if (rc < 0)
				return rc;
		}
		if (!seen && ids[k] == SNAP_INFO)
			return err_set(err, -EPROTO, "section info is missing");
	}
	return 0;
}

static int read_frame(const uint8_t *data, size_t bytes, bool only_info, struct model **ret_model, struct err *err)
{
	struct frame f = { .data = data, .bytes = bytes };
	struct model *m;
	int rc = check_magic(data, bytes, err);

	if (rc == 0)
		rc = read_index(&f, err);
	if (rc < 0)
		return rc;
	m = model_new();
	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->major = f.header.major;
	m->minor = f.header.minor;
	rc = decode_sections(&f, only_info, m, err);
	if (rc < 0) {
		model_free(m);
		return rc;
	}
	*ret_model = m;
	return 0;
}

int snapshot_read(const uint8_t *data, size_t bytes, struct model **ret_model, struct err *err)
{
	return read_frame(data, bytes, false, ret_model, err);
}

/* Grows by doubling: a pipe has no size, and a regular file's may change meanwhile. */
static int read_all(int fd, size_t expect, uint8_t **ret_data, size_t *ret_bytes, struct err *err)
{
	size_t cap = expect + 1, used = 0;
	uint8_t *data = malloc(cap);

	while (data) {
		ssize_t n = read(fd, data + used, cap - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int code = -errno;

			free(data);
			return err_set(err, code, "cannot read: %s", strerror(-code));
		}
		if (n == 0) {
			*ret_data = data; /* moved: the caller frees it */
			*ret_bytes = used;
			return 0;
		}
		used += (size_t)n;
		if (used > MAX_FILE_BYTES) {
			free(data);
			return err_set(err, -EFBIG, "larger than 4 GiB: not a perfprobe snapshot");
		}
		if (used == cap) {
			uint8_t *grown = realloc(data, cap * 2);

			if (!grown)
				break;
			data = grown;
			cap *= 2;
		}
	}
	free(data);
	return err_set(err, -ENOMEM, "out of memory");
}

static int load_file(int fd, uint8_t **ret_data, size_t *ret_bytes, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		int rc = -errno;

		return err_set(err, rc, "cannot stat: %s", strerror(-rc));
	}
	if (S_ISDIR(st.st_mode))
		return err_set(err, -EISDIR, "is a directory, not a snapshot");
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > MAX_FILE_BYTES)
		return err_set(err, -EFBIG, "larger than 4 GiB: not a perfprobe snapshot");
	return read_all(fd, S_ISREG(st.st_mode) ? (size_t)st.st_size : 1 << 16, ret_data, ret_bytes, err);
}

static int open_fd(int fd, const char *name, bool only_info, struct model **ret_model, struct err *err)
{
	uint8_t *data = NULL;
	size_t bytes = 0;
	int rc = load_file(fd, &data, &bytes, err);

	if (rc == 0)
		rc = live_is(data, bytes) ? live_read(data, bytes, ret_model, err)
		                          : read_frame(data, bytes, only_info, ret_model, err);
	free(data);
	return rc < 0 ? err_wrap(err, "%s", name) : 0;
}

static int open_file(const char *path, bool only_info, struct model **ret_model, struct err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0) {
		rc = -errno;
		return err_set(err, rc, "%s: cannot open: %s", path, strerror(-rc));
	}
	rc = open_fd(fd, is_stdin ? "standard input" : path, only_info, ret_model, err);
	if (!is_stdin)
		(void)close(fd); /* read only: nothing can be lost */
	return rc;
}

int snapshot_open(const char *path, struct model **ret_model, struct err *err)
{
	return open_file(path, false, ret_model, err);
}

int snapshot_open_fd(int fd, const char *name, struct model **ret_model, struct err *err)
{
	return open_fd(fd, name, false, ret_model, err);
}

int snapshot_open_info(const char *path, struct model **ret_model, struct err *err)
{
	return open_file(path, true, ret_model, err);
}
