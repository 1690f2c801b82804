/* Tests of snapshot_codec.c: known checksums, exact bytes, round trips, every prefix of every valid input. */
#include "t.h"

#include "snapshot_codec.h"
#include "snapshot_layout.h"

/* RFC 3720 appendix B.4, and the check value of the CRC catalogue for "123456789". */
static void crc_known_answers(void **state)
{
	uint8_t bytes[32];

	(void)state;
	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x113fdb5c);
}

/* One bit at a time, straight from the polynomial: what the tables and the instruction must equal. */
static uint32_t crc_by_bit(uint32_t crc, const uint8_t *p, size_t bytes)
{
	crc = ~crc;
	for (size_t i = 0; i < bytes; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* All lengths and splits, each read up to a forbidden page: wide loads must not look past the end. */
static void crc_every_length_and_split(void **state)
{
	uint8_t bytes[67];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct t_guarded g = t_guarded_new(bytes, len);
		uint32_t want = crc_by_bit(0, bytes, len);

		assert_int_equal(crc32c(0, g.data, len), want);
		for (size_t cut = 0; cut <= len; cut++)
			assert_int_equal(crc32c(crc32c(0, g.data, cut), g.data + cut, len - cut), want);
		t_guarded_free(&g);
	}
}

static void crc_sees_every_bit(void **state)
{
	uint8_t bytes[48] = { 1, 2, 3 };
	uint32_t before = crc32c(0, bytes, sizeof(bytes));

	(void)state;
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1u << bit % 8);
		assert_int_not_equal(crc32c(0, bytes, sizeof(bytes)), before);
		bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1u << bit % 8);
	}
}

static const struct {
	uint64_t value;
	uint8_t len, bytes[PUT_VARINT_MAX];
} varints[] = {
	{ 0, 1, { 0 } },
	{ 1, 1, { 1 } },
	{ 127, 1, { 0x7f } },
	{ 128, 2, { 0x80, 0x01 } },
	{ 300, 2, { 0xac, 0x02 } },
	{ 16383, 2, { 0xff, 0x7f } },
	{ 16384, 3, { 0x80, 0x80, 0x01 } },
	{ UINT32_MAX, 5, { 0xff, 0xff, 0xff, 0xff, 0x0f } },
	{ UINT64_C(1) << 63, 10, { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01 } },
	{ UINT64_MAX, 10, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 } },
};

static void varint_exact_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(varints); i++) {
		struct t_guarded g = t_guarded_new(NULL, varints[i].len);
		struct put p = { g.data, g.data + g.len, false };
		struct cursor c = { g.data, g.data + g.len, false };

		put_varint(&p, varints[i].value);
		assert_false(p.full);
		assert_ptr_equal(p.at, p.end);
		assert_memory_equal(g.data, varints[i].bytes, varints[i].len);
		assert_true(cursor_varint(&c) == varints[i].value);
		assert_false(c.bad);
		assert_ptr_equal(c.at, c.end);
		t_guarded_free(&g);
	}
}

/* A varint that does not fit leaves the room as it was, sets `full`, and nothing is written after it. */
static void varint_does_not_fit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(varints); i++) {
		for (size_t room = 0; room < varints[i].len; room++) {
			struct t_guarded g = t_guarded_new(NULL, room);
			struct put p = { g.data, g.data + g.len, false };

			put_varint(&p, varints[i].value);
			assert_true(p.full);
			assert_ptr_equal(p.at, g.data);
			put_bytes(&p, "", 0);
			put_varint(&p, 1);
			assert_ptr_equal(p.at, g.data);
			for (size_t k = 0; k < room; k++)
				assert_int_equal(g.data[k], 0);
			t_guarded_free(&g);
		}
	}
}

static const struct {
	const char *name, *bytes;
	size_t len;
	bool fits_64, fits_32;
	uint64_t value;
} readings[] = {
#define ROW(name, bytes, ...)                               \
	{                                                   \
		name, bytes, sizeof(bytes) - 1, __VA_ARGS__ \
	}
	ROW("nothing", "", false, false, 0),
	ROW("only a continuation", "\x80", false, false, 0),
	ROW("zero in two bytes", "\x80\x00", true, true, 0),
	ROW("zero in ten bytes", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", true, true, 0),
	ROW("32 bits", "\xff\xff\xff\xff\x0f", true, true, UINT32_MAX),
	ROW("33 bits", "\x80\x80\x80\x80\x10", true, false, UINT64_C(1) << 32),
	ROW("64 bits", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", true, false, UINT64_MAX),
	ROW("65 bits", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", false, false, 0),
	ROW("eleven bytes", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x81\x00", false, false, 0),
	ROW("all ones", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", false, false, 0),
#undef ROW
};

static void varint_readings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(readings); i++) {
		struct t_guarded g = t_guarded_new(readings[i].bytes, readings[i].len);
		struct cursor c = { g.data, g.data + g.len, false }, d = c;

		T_CHECK(readings[i].name, cursor_varint(&c) == readings[i].value);
		T_CHECK(readings[i].name, c.bad == !readings[i].fits_64);
		T_CHECK(readings[i].name, cursor_u32(&d) == (readings[i].fits_32 ? readings[i].value : 0));
		T_CHECK(readings[i].name, d.bad == !readings[i].fits_32);
		t_guarded_free(&g);
	}
}

static void varint_round_trip(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * 64; i++) {
		uint64_t value = (UINT64_C(1) << i / 3) + i % 3 - 1;
		int64_t as_signed = (int64_t)value;
		uint8_t room[4 * PUT_VARINT_MAX];
		struct put p = { room, room + sizeof(room), false };
		struct cursor c = { room, NULL, false };

		put_varint(&p, value);
		put_signed(&p, as_signed);
		put_signed(&p, value == UINT64_C(1) << 63 ? as_signed : -as_signed);
		c.end = p.at;
		assert_true(cursor_varint(&c) == value);
		assert_true(cursor_signed(&c) == as_signed);
		assert_true(cursor_signed(&c) == (value == UINT64_C(1) << 63 ? as_signed : -as_signed));
		assert_false(c.bad);
		assert_ptr_equal(c.at, c.end);
	}
}

/* Zigzag: small magnitudes are short, whatever the sign. */
static void signed_exact_bytes(void **state)
{
	static const struct {
		int64_t value;
		uint8_t first, len;
	} rows[] = {
		{ 0, 0, 1 }, { -1, 1, 1 }, { 1, 2, 1 }, { -64, 127, 1 }, { 64, 0x80, 2 }, { INT64_MIN, 0xff, 10 }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t room[PUT_VARINT_MAX];
		struct put p = { room, room + sizeof(room), false };

		put_signed(&p, rows[i].value);
		assert_int_equal(p.at - room, rows[i].len);
		assert_int_equal(room[0], rows[i].first);
	}
}

struct record {
	uint64_t a;
	int64_t b;
	uint32_t c;
	const uint8_t *text;
	size_t text_len;
};

static void record_read(struct cursor *c, struct record *r)
{
	r->a = cursor_varint(c);
	r->b = cursor_signed(c);
	r->c = cursor_u32(c);
	r->text = cursor_string(c, 64, &r->text_len);
}

/* A record cut after every byte is bad, never a crash (the page after it is forbidden), and only the whole is good. */
static void every_prefix_is_refused(void **state)
{
	static const char text[] = "/usr/lib/libc.so.6";
	uint8_t whole[64];
	struct put p = { whole, whole + sizeof(whole), false };
	size_t len;

	(void)state;
	put_varint(&p, UINT64_MAX);
	put_signed(&p, -123456);
	put_varint(&p, 70000);
	put_string(&p, text, strlen(text));
	assert_false(p.full);
	len = (size_t)(p.at - whole);
	for (size_t cut = 0; cut <= len; cut++) {
		struct t_guarded g = t_guarded_new(whole, cut);
		struct cursor c = { g.data, g.data + cut, false };
		struct record r;

		record_read(&c, &r);
		assert_int_equal(c.bad, cut < len);
		assert_true(c.at <= c.end);
		if (cut == len) {
			assert_true(r.a == UINT64_MAX && r.b == -123456 && r.c == 70000);
			assert_int_equal(r.text_len, strlen(text));
			assert_memory_equal(r.text, text, r.text_len);
		} else {
			assert_int_equal(r.text_len, 0);
		}
		t_guarded_free(&g);
	}
	for (size_t room = 0; room < len; room++) {
		struct t_guarded g = t_guarded_new(NULL, room);
		struct put q = { g.data, g.data + room, false };

		put_varint(&q, UINT64_MAX);
		put_signed(&q, -123456);
		put_varint(&q, 70000);
		put_string(&q, text, strlen(text));
		assert_true(q.full);
		assert_true(q.at <= q.end);
		t_guarded_free(&g);
	}
}

static void string_limits(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t len, max;
		bool good;
		size_t want;
	} rows[] = {
		{ "empty", "\x00", 1, 0, true, 0 },
		{ "exactly the limit", "\x03xyz", 4, 3, true, 3 },
		{ "over the limit", "\x03xyz", 4, 2, false, 0 },
		{ "longer than the input", "\x04xyz", 4, 64, false, 0 },
		{ "length of 64 bits", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xyz", 13, SIZE_MAX, false, 0 },
		{ "length cut short", "\x80", 1, 64, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct t_guarded g = t_guarded_new(rows[i].bytes, rows[i].len);
		struct cursor c = { g.data, g.data + g.len, false };
		size_t len = 99;
		const uint8_t *text = cursor_string(&c, rows[i].max, &len);

		T_CHECK(rows[i].name, c.bad == !rows[i].good);
		T_CHECK(rows[i].name, len == rows[i].want);
		T_CHECK(rows[i].name, text >= g.data && text + len <= g.data + g.len);
		t_guarded_free(&g);
	}
}

static void bad_is_sticky(void **state)
{
	static const uint8_t bytes[] = { 0x80 };
	static const uint8_t good[] = { 5, 5, 5, 5 };
	struct cursor c = { bytes, bytes + sizeof(bytes), false };
	size_t len = 99;

	(void)state;
	(void)cursor_varint(&c);
	assert_true(c.bad);
	c.at = good; /* even with good bytes ahead, everything reads as nothing */
	c.end = good + sizeof(good);
	assert_true(cursor_varint(&c) == 0);
	assert_true(cursor_signed(&c) == 0);
	assert_true(cursor_u32(&c) == 0);
	(void)cursor_string(&c, 64, &len);
	assert_int_equal(len, 0);
	assert_ptr_equal(c.at, good);
	assert_true(c.bad);
}

static void section_ids_are_unique(void **state)
{
	static const struct {
		unsigned id;
		const char *name;
	} sections[] = {
#define ROW(id, name, text) { id, text },
		SNAP_SECTIONS(ROW)
#undef ROW
	};

	(void)state;
	assert_true(ARRAY_LEN(sections) <= SNAP_MAX_SECTIONS);
	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		for (size_t k = 0; k < i; k++) {
			assert_int_not_equal(sections[i].id, sections[k].id);
			assert_string_not_equal(sections[i].name, sections[k].name);
		}
	assert_int_equal(sizeof(SNAP_MAGIC) - 1, SNAP_MAGIC_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_known_answers),       cmocka_unit_test(crc_every_length_and_split),
		cmocka_unit_test(crc_sees_every_bit),      cmocka_unit_test(varint_exact_bytes),
		cmocka_unit_test(varint_does_not_fit),     cmocka_unit_test(varint_readings),
		cmocka_unit_test(varint_round_trip),       cmocka_unit_test(signed_exact_bytes),
		cmocka_unit_test(every_prefix_is_refused), cmocka_unit_test(string_limits),
		cmocka_unit_test(bad_is_sticky),           cmocka_unit_test(section_ids_are_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
