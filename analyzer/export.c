#include "export.h"

#include <errno.h>
#include <string.h>

#include "profile.h"

const struct exporter exporters[] = {
	/* name         suffix             what opens it                                              writer            */
	{ "cpuprofile", ".cpuprofile", "Chrome DevTools, VS Code, speedscope (CPU and wall time)", export_cpuprofile },
	{ "speedscope", ".speedscope.json", "speedscope", export_speedscope },
	{ "folded", ".folded", "flame graph scripts, speedscope; one stack a line", export_folded },
	{ "json", ".json", "programs: every stack with its value", export_json },
	{ "heapprofile", ".heapprofile", "Chrome DevTools (memory)", NULL },
	{ "pprof", ".pb.gz", "pprof, Grafana, Pyroscope, Parca", NULL },
	{ "trace", ".trace.json", "Perfetto, Chrome tracing", NULL },
	{ "firefox", ".firefox.json", "Firefox Profiler", NULL },
	{ "callgrind", ".callgrind", "KCachegrind", NULL },
	{ "perf-script", ".perf.txt", "what reads perf script", NULL },
	{ "dhat", ".dhat.json", "DHAT viewer", NULL },
};
const size_t exporter_count = ARRAY_LEN(exporters);

const struct exporter *exporter_find(const char *name)
{
	for (size_t i = 0; i < exporter_count; i++)
		if (strcmp(exporters[i].name, name) == 0)
			return &exporters[i];
	return NULL;
}

void exporter_names(struct buf *out, bool built)
{
	const char *separator = "";

	for (size_t i = 0; i < exporter_count; i++) {
		if ((exporters[i].write != NULL) != built)
			continue;
		buf_printf(out, "%s%s", separator, exporters[i].name);
		separator = ", ";
	}
}

int export_check_thread(const struct profile *p, uint64_t tid, struct err *err)
{
	if (tid == EXPORT_ALL_THREADS)
		return 0;
	if (p->period_ns == 0)
		return err_set(err, -EINVAL, "%s is not recorded by thread; leave --thread out",
			       profile_metric_text(p->metric));
	for (size_t i = 0; i < p->thread_count; i++)
		if (p->threads[i].tid == tid)
			return 0;
	return err_set(err, -EINVAL, "no thread %llu in this profile (probe-analyze info lists them)",
		       (unsigned long long)tid);
}
