/* The kernel's frames from a perf event's ring: records as perf_event_open(2) has them, and what is none. */
#include "t.h"

#include <linux/perf_event.h>

#include "kernel_frames.h"

static struct perf_event_mmap_page *ring; /* two pages */
static uint64_t *data;
static size_t page_bytes;
static uintptr_t pcs[KERNEL_FRAMES_MAX];

static int begin(void **state)
{
	(void)state;
	page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	if (!ring)
		ring = mmap(NULL, 2 * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(ring != MAP_FAILED);
	assert_null(kernel_frames_map(-1)); /* no event; from now on the size of pages is known */
	memset(ring, 0, 2 * page_bytes);
	data = (uint64_t *)(void *)((uint8_t *)ring + page_bytes);
	return 0;
}

static void put(uint64_t word)
{
	data[ring->data_head % page_bytes / sizeof(word)] = word;
	ring->data_head += sizeof(word);
}

static void put_record(uint32_t type, const uint64_t *chain, size_t n)
{
	struct perf_event_header h = { .type = type, .size = (uint16_t)(sizeof(h) + (1 + n) * sizeof(uint64_t)) };
	uint64_t word;

	memcpy(&word, &h, sizeof(word));
	put(word);
	put(n);
	for (size_t i = 0; i < n; i++)
		put(chain[i]);
}

static const uint64_t chain[] = { (uint64_t)PERF_CONTEXT_KERNEL, UINT64_C(0xffffffff81000010),
	                          UINT64_C(0xffffffff81000020), (uint64_t)PERF_CONTEXT_USER, 0x401000 };

static void frames_of_the_kernel_only(void **state)
{
	(void)state;
	put_record(PERF_RECORD_SAMPLE, chain, ARRAY_LEN(chain));
	assert_int_equal(kernel_frames_take(ring, pcs, ARRAY_LEN(pcs)), 2);
	assert_true(pcs[0] == UINT64_C(0xffffffff81000010)); /* what was interrupted */
	assert_true(pcs[1] == UINT64_C(0xffffffff8100001f)); /* inside the call */
	assert_int_equal(kernel_frames_take(ring, pcs, ARRAY_LEN(pcs)), 0);
	assert_true(ring->data_tail == ring->data_head);
	put_record(PERF_RECORD_SAMPLE, NULL, 0); /* in the program */
	assert_int_equal(kernel_frames_take(ring, pcs, ARRAY_LEN(pcs)), 0);
	assert_int_equal(kernel_frames_take(NULL, pcs, ARRAY_LEN(pcs)), 0);
}

/* Over the ring's end, thousands of times; other records between; of two samples the newest. */
static void records_come_in_a_ring(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t frames[3] = { (uint64_t)PERF_CONTEXT_KERNEL, UINT64_C(0xffffffff81000000) + i,
			               UINT64_C(0xffffffff82000000) };

		if (i % 3 == 0)
			put_record(PERF_RECORD_SAMPLE, chain, ARRAY_LEN(chain));
		put_record(PERF_RECORD_SAMPLE, frames, 2 + i % 2);
		if (i % 5 == 0)
			put_record(PERF_RECORD_LOST, frames, 2);
		assert_int_equal(kernel_frames_take(ring, pcs, ARRAY_LEN(pcs)), 1 + i % 2);
		assert_true(pcs[0] == UINT64_C(0xffffffff81000000) + i);
	}
}

static void no_more_than_fit(void **state)
{
	uint64_t deep[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(deep); i++)
		deep[i] = UINT64_C(0xffffffff81000000) + i;
	put_record(PERF_RECORD_SAMPLE, deep, ARRAY_LEN(deep));
	assert_int_equal(kernel_frames_take(ring, pcs, 5), 5);
}

/* The program may write what it likes there. */
static void nonsense_is_survived(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t *words = (uint64_t *)(void *)ring;

		(void)begin(NULL);
		ring->data_head = 64 + i % 4096 * 8;
		for (unsigned k = 0; k < 40; k++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			if (k % 8 == 0)
				words[(random >> 33) % (2 * page_bytes / 8)] = random;
			else
				data[(random >> 33) % 64] = random >> (random >> 58);
		}
		assert_true(kernel_frames_take(ring, pcs, ARRAY_LEN(pcs)) <= ARRAY_LEN(pcs));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(frames_of_the_kernel_only, begin),
		cmocka_unit_test_setup(records_come_in_a_ring, begin),
		cmocka_unit_test_setup(no_more_than_fit, begin),
		cmocka_unit_test_setup(nonsense_is_survived, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
