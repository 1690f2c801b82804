#include "snapshot_offcpu.h"

#include <assert.h>
#include <stddef.h>

#include "config.h"
#include "offcpu.h"
#include "os_linux.h"
#include "snapshot_out.h"
#include "sort.h"

static_assert(sizeof(struct offcpu_row) == sizeof(struct sort_row) && offsetof(struct offcpu_row, key) == 0,
              "a record");
static_assert((int)OFFCPU_REQUESTS == SNAP_OFFCPU_REQUESTS && (int)OFFCPU_ALL == SNAP_OFFCPU_ALL, "on disk");

static uint64_t known(uint32_t number, uint32_t count)
{
	return number < count ? number : 0;
}

static void write_rows(struct snapshot_out *out, uint32_t stacks, uint32_t threads)
{
	size_t room = offcpu_row_count() + 64, bytes = room * sizeof(struct offcpu_row), n = 0;
	struct offcpu_row *rows = os_map(bytes);
	uint32_t last = 0;

	if (rows)
		n = offcpu_rows(rows, room);
	sort_rows(rows, n);
	/* A stack or thread that is newer than the tables in the file stands last, and for the next profile. */
	while (n && rows[n - 1].key >> 32 > stacks)
		n--;
	snapshot_number(out, n);
	for (size_t i = 0; i < n; i++) {
		uint32_t stack = (uint32_t)(rows[i].key >> 32);

		snapshot_number(out, stack - last);
		last = stack;
		snapshot_number(out, known((uint32_t)rows[i].key, threads));
		snapshot_number(out, rows[i].samples);
	}
	os_unmap(rows, rows ? bytes : 0);
}

/* They are in the order of their times. */
static void write_samples(struct snapshot_out *out, uint64_t oldest_ns, uint32_t stacks, uint32_t threads)
{
	size_t room = offcpu_sample_count() + 64, bytes = room * sizeof(struct offcpu_sample), n = 0;
	struct offcpu_sample *samples = os_map(bytes);
	uint64_t last = 0;

	if (samples)
		n = offcpu_samples(samples, room, oldest_ns);
	snapshot_number(out, n);
	for (size_t i = 0; i < n; i++) {
		const struct offcpu_sample *s = &samples[i];

		snapshot_number(out, s->time_ns - last);
		last = s->time_ns;
		snapshot_number(out, s->stack <= stacks ? s->stack : 0);
		snapshot_number(out, known(s->record, threads));
		snapshot_number(out, s->weight);
		snapshot_number(out, s->request);
	}
	os_unmap(samples, samples ? bytes : 0);
}

void snapshot_offcpu(struct snapshot_out *out, const struct config *config, uint32_t stacks, uint32_t threads,
                     bool head)
{
	uint64_t now = os_now_ns();

	snapshot_section(out, SNAP_OFFCPU);
	snapshot_number(out, offcpu_scope());
	snapshot_number(out, offcpu_period_ns());
	snapshot_string(out, offcpu_why());
	if (head) {
		snapshot_number(out, 0);
		snapshot_number(out, 0);
	} else {
		write_rows(out, stacks, threads);
		write_samples(out, now > config->window ? now - config->window : 0, stacks, threads);
	}
	snapshot_section_end(out);
}
