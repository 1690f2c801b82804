/* Any bytes as a statement: sql.c stays in it, what it tells is text that fits, and a NUL ends what it sees.
 * Input: byte 0 = the system; the rest = the statement. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void look(const struct sql *s)
{
	size_t n = strnlen(s->table, SQL_TABLE_BYTES);

	require(n < SQL_TABLE_BYTES && (unsigned)s->operation < SQL_OPERATION_COUNT);
	for (size_t i = 0; i < n; i++)
		require((unsigned char)s->table[i] >= 32 && s->table[i] != 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum sql_system system;
	struct sql by_length, by_nul;
	char *copy;

	if (size == 0)
		return 0;
	system = (enum sql_system)(data[0] % SQL_SYSTEMS);
	copy = malloc(size); /* with room for the NUL, and no more */
	require(copy != NULL);
	memcpy(copy, data + 1, size - 1);
	copy[size - 1] = '\0';
	sql_parse(system, copy, (size_t)SQL_TERMINATED, &by_nul);
	look(&by_nul);
	sql_parse(system, copy, size - 1, &by_length);
	look(&by_length);
	if (size - 1 <= SQL_SCANNED_BYTES)
		require(memcmp(&by_length, &by_nul, sizeof(by_nul)) == 0);
	free(copy);
	return 0;
}
