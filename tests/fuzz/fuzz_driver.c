/* A main() for fuzz targets where there is no libFuzzer: feeds every file of the directories given to the target.
 * usage: fuzz_NAME DIRECTORY...; a directory that does not exist is skipped, no file in any of them is a failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const char *path)
{
	FILE *in = fopen(path, "rb");
	uint8_t *data = malloc(MOST_BYTES), *exact;
	size_t n;

	if (!in || !data) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return 1;
	}
	n = fread(data, 1, MOST_BYTES, in);
	fclose(in);
	exact = realloc(data, n ? n : 1); /* so that a sanitizer sees the end */
	if (!exact)
		return 1;
	(void)LLVMFuzzerTestOneInput(exact, n); /* it aborts where it finds a fault */
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	size_t fed = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *entry;

		while (dir && (entry = readdir(dir)) != NULL) {
			char path[4096];

			if (entry->d_name[0] == '.')
				continue;
			(void)snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
			if (feed(path))
				return 1;
			fed++;
		}
		if (dir)
			closedir(dir);
	}
	printf("%zu inputs\n", fed);
	return fed == 0;
}
