/* Any bytes: refused with a sentence, or a result whose slices add up to it, and which adds up with itself.
 * Checksums are made right first, or nothing behind them would ever be reached; byte 0 of the input says whether. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "result_layout.h"
#include "result_read.h"
#include "snapshot_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void mend(uint8_t *data, size_t size)
{
	size_t at = RESULT_HEADER_BYTES;

	while (size > RESULT_RECORD_HEAD + RESULT_RECORD_TAIL && at < size - RESULT_RECORD_HEAD - RESULT_RECORD_TAIL) {
		size_t bytes =
		        data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16 | (size_t)data[at + 3] << 24;
		uint32_t crc;

		if (bytes == 0 || bytes > size - at - 4 || size - at - 4 - bytes < RESULT_RECORD_TAIL)
			return;
		crc = crc32c(0, data + at + 4, bytes);
		for (int i = 0; i < 4; i++)
			data[at + 4 + bytes + (size_t)i] = (uint8_t)(crc >> 8 * i);
		at += 4 + bytes + RESULT_RECORD_TAIL;
	}
}

struct sums {
	uint64_t slices, samples;
};

static uint64_t samples_of(const struct series_set *set)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < set->count; i++) {
		const struct series *s = set->items[i];

		sum += s->trend.count + s->total;
		if (s->kind == SERIES_TREND && s->trend.count) {
			require(s->trend.min <= s->trend.max);
			require(histogram_quantile(&s->trend, 0.5) >= s->trend.min &&
			        histogram_quantile(&s->trend, 0.5) <= s->trend.max);
		}
	}
	return sum;
}

static void add(void *context, uint64_t from_ns, uint64_t to_ns, const struct series_set *slice)
{
	struct sums *sums = context;

	require(from_ns <= to_ns);
	sums->slices++;
	sums->samples += samples_of(slice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	struct results r, twice;
	struct sums sums = { 0 };
	struct err err = { 0 };

	if (size == 0)
		return 0;
	copy = malloc(size); /* exactly, so that a sanitizer sees the end */
	require(copy != NULL);
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		mend(copy, size - 1);
	if (result_read(copy, size - 1, add, &sums, &r, &err) == 0) {
		require(sums.slices == r.slices && sums.samples == samples_of(&r.all));
		require(result_read(copy, size - 1, NULL, NULL, &twice, &err) == 0);
		if (result_merge(&twice, &r, &err) == 0)
			require(samples_of(&twice.all) == 2 * sums.samples);
		results_done(&twice);
		results_done(&r);
	} else {
		require(err.text[0] != '\0');
	}
	free(copy);
	return 0;
}
