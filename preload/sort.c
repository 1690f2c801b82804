/*
 * sort.c - heap sort: no recursion, no allocation. Knuth 5.2.3 H.
 */
#include "sort.h"

#include <stdbool.h>

void sort_rows(void *rows_in, size_t n)
{
	struct sort_row *rows = rows_in;

	for (size_t pass = n / 2 + n; pass > 1 && n > 1; pass--) {
		bool building = pass > n;
		size_t root = building ? pass - n - 1 : 0, last = building ? n : pass - 1;
		struct sort_row moving;

		if (!building) {
			struct sort_row top = rows[0];

			rows[0] = rows[last];
			rows[last] = top;
		}
		moving = rows[root];
		for (size_t child; (child = 2 * root + 1) < last; root = child) {
			if (child + 1 < last && rows[child + 1].key > rows[child].key)
				child++;
			if (rows[child].key <= moving.key)
				break;
			rows[root] = rows[child];
		}
		rows[root] = moving;
	}
}
