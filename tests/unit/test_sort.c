/* Tests of sort.c: every length up to 64, with keys that repeat and reach to the ends; each row keeps what belongs to its key. */
#include "t.h"

#include "sort.h"

static uint64_t random_state = 1;

static uint64_t random_next(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return random_state >> 33;
}

static void rows_are_sorted_and_kept(void **state)
{
	static const uint64_t modulus[] = { 1, 2, 7, 1000, UINT64_MAX };
	struct sort_row rows[65];

	(void)state;
	for (size_t n = 0; n <= 64; n++) {
		for (size_t m = 0; m < ARRAY_LEN(modulus); m++) {
			uint64_t sum = 0, xor = 0;

			for (size_t i = 0; i < n; i++) {
				rows[i].key = i == 3 ? UINT64_MAX : i == 5 ? 0 : random_next() % modulus[m];
				rows[i].rest = rows[i].key * 31 + 7;
				sum += rows[i].key;
				xor ^= rows[i].rest;
			}
			rows[n] = (struct sort_row){ 1, 2 }; /* behind the end */
			sort_rows(rows, n);
			assert_true(rows[n].key == 1 && rows[n].rest == 2);
			for (size_t i = 0; i < n; i++) {
				assert_true(i == 0 || rows[i - 1].key <= rows[i].key);
				assert_true(rows[i].rest == rows[i].key * 31 + 7);
				sum -= rows[i].key;
				xor ^= rows[i].rest;
			}
			assert_true(sum == 0 && xor == 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_sorted_and_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
