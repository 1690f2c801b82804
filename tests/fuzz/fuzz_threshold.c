/* Any text: refused with a sentence, or a threshold that says what it was made of and can be asked. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "threshold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct threshold t;
	struct err err = { 0 };
	struct series none = { .kind = SERIES_RATE };
	double value = 0;

	require(text != NULL);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (threshold_parse(text, &t, &err) == 0) {
		require(t.filter_count <= THRESHOLD_TAGS_MAX && t.metric[0] && t.key[0] && t.source[0]);
		require(t.percentile >= 0 && t.percentile <= 100);
		require(strstr(text, t.key) && strstr(text, t.source));
		for (size_t i = 0; i < t.filter_count; i++)
			require(strlen(t.filter[i].key) + strlen(t.filter[i].value) <= size);
		require(threshold_fits(&t, SERIES_TREND, SERIES_TIME, NULL) <= 0);
		require(!threshold_value(&t, &none, 0, &value));
		(void)threshold_holds(&t, value);
		threshold_done(&t);
	} else {
		require(err.text[0] != '\0');
	}
	free(text);
	return 0;
}
