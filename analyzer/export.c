#include "export.h"

#include <errno.h>
#include <string.h>

#include "profile.h"

const struct exporter exporters[] = {
#define EXPORTER_ROW(name, suffix, help, write) { name, suffix, help, write },
	EXPORTERS(EXPORTER_ROW) EXPORTERS_LATER(EXPORTER_ROW)
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
