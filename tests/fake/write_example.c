/* Writes the example snapshot: write_example FILE [raw]; raw is without compression, for the
 * fuzzers' corpus. Made tests/golden/v1/example.snap and
 * example-1.MINOR.snap, each once; those files are never edited. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot_build.h"

int main(int argc, char **argv)
{
	size_t bytes;
	uint8_t *file = build_snapshot(build_example(), !(argc == 3 && strcmp(argv[2], "raw") == 0), &bytes);
	FILE *out = argc >= 2 ? fopen(argv[1], "wb") : NULL;

	assert(out);
	assert(fwrite(file, 1, bytes, out) == bytes);
	assert(fclose(out) == 0);
	free(file);
	return 0;
}
