/* Writes the example snapshot: write_example FILE [raw|live]; raw is without compression, for the fuzzers' corpus; live is the
 * live file. Made tests/golden/v1/example.snap, example-1.MINOR.snap and example-live-1.MINOR.live, each once; those files are
 * never edited. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "live_build.h"
#include "snapshot_build.h"

int main(int argc, char **argv)
{
	const char *kind = argc == 3 ? argv[2] : "";
	FILE *out = argc >= 2 ? fopen(argv[1], "wb") : NULL;
	size_t bytes;
	uint8_t *file;

	assert(out);
	if (strcmp(kind, "live") == 0) {
		struct live_build b = live_build_example();

		file = b.file;
		bytes = b.bytes;
	} else {
		file = build_snapshot(build_example(), strcmp(kind, "raw") != 0, &bytes);
	}
	assert(fwrite(file, 1, bytes, out) == bytes);
	assert(fclose(out) == 0);
	free(file);
	return 0;
}
