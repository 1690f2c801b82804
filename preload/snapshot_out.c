/*
 * snapshot_out.c - encoding, compression, checksums.
 *
 * Sections are encoded through one small buffer into a zstd stream and written as they go; sizes and checksums go into
 * the index at the end, with the header, by pwrite.
 */
#include "snapshot_out.h"

#include <errno.h>
#include <string.h>

#include "os_linux.h"

enum {
	LEVEL = 3,
	RAW_BYTES = 16 << 10,
	OUT_BYTES = 64 << 10,
	PLAIN_BYTES = 4096, /* a section up to this size is not compressed */
};

static size_t state_bytes(void)
{
	return (ZSTD_estimateCStreamSize(LEVEL) + 63) & ~(size_t)63;
}

int snapshot_out_begin(struct snapshot_out *o, int fd, uint64_t base, uint64_t limit, unsigned sections)
{
	size_t state = state_bytes();
	uint8_t *memory = os_map(state + RAW_BYTES + OUT_BYTES);

	if (!memory)
		return -ENOMEM;
	*o = (struct snapshot_out){ .fd = fd, .base = base, .limit = limit, .state = memory, .state_bytes = state };
	o->raw = memory + state;
	o->packed = o->raw + RAW_BYTES;
	o->offset = sizeof(struct snap_header) + sections * sizeof(struct snap_section);
	return 0;
}

void snapshot_out_done(struct snapshot_out *o)
{
	os_unmap(o->state, o->state_bytes + RAW_BYTES + OUT_BYTES);
}

static void write_out(struct snapshot_out *o, const void *data, size_t bytes)
{
	if (o->rc < 0 || bytes == 0)
		return;
	o->crc = crc32c(o->crc, data, bytes);
	if (o->offset + bytes > o->limit)
		o->rc = -ENOSPC;
	else
		o->rc = os_pwrite_all(o->fd, data, bytes, o->base + o->offset);
	o->offset += bytes;
}

/* The compressor is made for the first section that is large. */
static bool have_zstd(struct snapshot_out *o)
{
	if (!o->zstd)
		o->zstd = ZSTD_initStaticCStream(o->state, o->state_bytes);
	return o->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(o->zstd, ZSTD_c_compressionLevel, LEVEL));
}

static void compress(struct snapshot_out *o, ZSTD_EndDirective end)
{
	ZSTD_inBuffer in = { o->raw, (size_t)(o->put.at - o->raw), 0 };
	size_t left;

	os_give_way();
	if (o->raw_bytes == 0 && (!have_zstd(o) || ZSTD_isError(ZSTD_CCtx_reset(o->zstd, ZSTD_reset_session_only)))) {
		o->rc = o->rc < 0 ? o->rc : -ENOMEM;
		return;
	}
	o->raw_bytes += in.size;
	do {
		ZSTD_outBuffer out = { o->packed, OUT_BYTES, 0 };

		left = ZSTD_compressStream2(o->zstd, &out, &in, end);
		if (ZSTD_isError(left)) {
			o->rc = o->rc < 0 ? o->rc : -EIO;
			break;
		}
		write_out(o, o->packed, out.pos);
	} while (o->rc == 0 && (in.pos < in.size || (end == ZSTD_e_end && left > 0)));
	o->put.at = o->raw;
}

struct put *snapshot_room(struct snapshot_out *o, size_t bytes)
{
	if ((size_t)(o->put.end - o->put.at) < bytes)
		compress(o, ZSTD_e_continue);
	return &o->put;
}

void snapshot_number(struct snapshot_out *o, uint64_t value)
{
	put_varint(snapshot_room(o, PUT_VARINT_MAX), value);
}

void snapshot_bytes(struct snapshot_out *o, const void *text, size_t len)
{
	if (len > RAW_BYTES / 2)
		len = RAW_BYTES / 2;
	put_string(snapshot_room(o, len + PUT_VARINT_MAX), text, len);
}

void snapshot_string(struct snapshot_out *o, const char *text)
{
	snapshot_bytes(o, text, strlen(text));
}

void snapshot_section(struct snapshot_out *o, enum snap_section_id id)
{
	struct snap_section *s = &o->index[o->sections];

	memset(s, 0, sizeof(*s));
	s->id = id;
	s->codec = SNAP_CODEC_ZSTD;
	s->offset = o->offset;
	o->raw_bytes = 0;
	o->crc = 0;
	o->put = (struct put){ o->raw, o->raw + RAW_BYTES, false };
}

void snapshot_section_end(struct snapshot_out *o)
{
	struct snap_section *s = &o->index[o->sections++];
	size_t bytes = (size_t)(o->put.at - o->raw);

	if (o->raw_bytes == 0 && bytes <= PLAIN_BYTES) {
		s->codec = SNAP_CODEC_RAW;
		o->raw_bytes = bytes;
		write_out(o, o->raw, bytes);
	} else {
		compress(o, ZSTD_e_end);
	}
	s->stored_bytes = o->offset - s->offset;
	s->raw_bytes = o->raw_bytes;
	s->crc = o->crc;
}

void snapshot_out_head(struct snapshot_out *o)
{
	struct {
		struct snap_header header;
		struct snap_section index[SNAPSHOT_SECTIONS];
	} head;

	size_t bytes = sizeof(head.header) + o->sections * sizeof(head.index[0]);

	memset(&head, 0, sizeof(head));
	memcpy(head.header.magic, SNAP_MAGIC, SNAP_MAGIC_BYTES);
	head.header.major = SNAP_MAJOR;
	head.header.minor = SNAP_MINOR;
	head.header.header_bytes = sizeof(head.header);
	head.header.section_count = o->sections;
	head.header.entry_bytes = sizeof(head.index[0]);
	head.header.file_bytes = o->offset;
	memcpy(head.index, o->index, sizeof(head.index));
	head.header.head_crc = crc32c(0, &head, bytes);
	if (o->rc == 0)
		o->rc = os_pwrite_all(o->fd, &head, bytes, o->base);
}

void snapshot_ranges(struct snapshot_out *o, const _Atomic uint32_t *range)
{
	static uint32_t counts[DURATION_RANGES]; /* snapshots are written one at a time */
	uint32_t used = 0, last = 0;

	for (uint32_t i = 0; i < DURATION_RANGES; i++) {
		counts[i] = load_relaxed(&range[i]);
		used += counts[i] != 0;
	}
	snapshot_number(o, used);
	for (uint32_t i = 0; i < DURATION_RANGES; i++) {
		if (!counts[i])
			continue;
		snapshot_number(o, i - last);
		snapshot_number(o, counts[i]);
		last = i;
	}
}
