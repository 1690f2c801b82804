#undef NDEBUG
#include "merge_check.h"

#include <assert.h>
#include <errno.h>

#include "buf.h"
#include "merge.h"
#include "model.h"
#include "snapshot_build.h"
#include "snapshot_encode.h"
#include "snapshot_read.h"

static void write_and_read(const struct model *m)
{
	struct buf b = { 0 };
	struct model *again = NULL;
	struct err err = { 0 };

	assert(snapshot_encode(m, &b, &err) == 0);
	assert(snapshot_read((const uint8_t *)b.data, b.len, &again, &err) == 0);
	model_check(again);
	model_free(again);
	buf_done(&b);
}

static void merge_parts(const struct model *const *parts, size_t n, const struct merge_limits *limits)
{
	const struct merge_about about = { .recordings = n, .files = n };
	struct merge *g = NULL;
	struct model *m = NULL;
	struct err err = { 0 };
	size_t added = 0;

	assert(merge_new(limits, &about, &g, &err) == 0);
	for (size_t i = 0; i < n; i++) {
		int rc = merge_add(g, parts[i], &err);

		assert(rc == 0 || ((rc == -ERANGE || rc == -EINVAL) && err.text[0]));
		added += rc == 0;
	}
	if (added) {
		assert(merge_finish(g, n - added, &m, &err) == 0);
		model_check(m);
		write_and_read(m);
		model_free(m);
	}
	merge_free(g);
}

void merge_check(const struct model *m)
{
	static const struct merge_limits tiny = { 4, 2, 2, 8, 2, 2, 2, 2, 2, 2, 2 };
	const struct model *parts[] = { m, build_example(), m };

	merge_parts(parts, 1, &merge_default_limits);
	merge_parts(parts, 3, &merge_default_limits);
	merge_parts(parts, 3, &tiny);
}
