#include "export.h"

#include <errno.h>
#include <string.h>

#include "profile.h"

const struct exporter exporters[] = {
#define EXPORTER_ROW(name, suffix, help, write, holds) { name, suffix, help, write, holds },
	EXPORTERS(EXPORTER_ROW)
#undef EXPORTER_ROW
};
const size_t exporter_count = ARRAY_LEN(exporters);

const struct exporter *exporter_find(const char *name)
{
	for (size_t i = 0; i < exporter_count; i++)
		if (strcmp(exporters[i].name, name) == 0)
			return &exporters[i];
	return NULL;
}

int export_check_thread(const struct profile *p, uint64_t tid, struct err *err)
{
	if (tid == EXPORT_ALL_THREADS)
		return 0;
	if (p->period_ns == 0)
		return err_set(err, -EINVAL, "%s is not recorded by thread; leave --thread out", profile_text(p));
	for (size_t i = 0; i < p->thread_count; i++)
		if (p->threads[i].tid == tid)
			return 0;
	return err_set(err, -EINVAL, "no thread %llu in this profile (probe-analyze info lists them)",
	               (unsigned long long)tid);
}

int export_check_time(const struct profile *p, const char *what, struct err *err)
{
	if (p->period_ns)
		return 0;
	return err_set(err, -EINVAL,
	               "%s holds time, not %s: use --format speedscope, pprof, callgrind or folded for this metric",
	               what, profile_text(p));
}

bool export_is_of_memory(const struct profile *p)
{
	switch (p->metric) {
	case METRIC_LIVE:
	case METRIC_LIVE_COUNT:
	case METRIC_ALLOC:
	case METRIC_ALLOC_COUNT:
	case METRIC_PEAK:
		return true;
	default:
		return false;
	}
}
