/* monitor.c - totals, thresholds and the results file, once a second. */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "catalog.h"
#include "result_write.h"
#include "totals.h"

struct monitor {
	struct monitor_options options;
	struct catalog *catalog;
	struct totals *totals;
	struct thresholds thresholds;
	struct buf bytes;
	struct result_writer writer;
	int fd;           /* of the results file, or -1 */
	int failure;      /* positive errno of the first write that failed */
	uint64_t from_ns; /* where the next slice begins */
};

static void flush(struct monitor *m)
{
	size_t done = 0;

	if (m->bytes.failed && !m->failure)
		m->failure = ENOMEM;
	while (m->fd >= 0 && !m->failure && done < m->bytes.len) {
		ssize_t n = write(m->fd, m->bytes.data + done, m->bytes.len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			m->failure = errno;
	}
	buf_clear(&m->bytes);
}

static int open_results(struct monitor *m, struct err *err)
{
	m->fd = open(m->options.results, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
	if (m->fd < 0)
		return err_set(err, -EIO, "cannot write '%s': %s", m->options.results, strerror(errno));
	result_write_begin(&m->writer, &m->bytes);
	flush(m);
	return 0;
}

int monitor_new(struct catalog *catalog, const struct monitor_options *options, struct monitor **ret_monitor,
                struct err *err)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int rc = 0;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->options = *options;
	m->catalog = catalog;
	m->fd = -1;
	m->totals = totals_new(catalog, options->each_is_iteration);
	if (!m->totals)
		rc = err_set(err, -ENOMEM, "out of memory");
	else if (options->results)
		rc = open_results(m, err);
	if (rc < 0) {
		monitor_free(m);
		return rc;
	}
	*ret_monitor = m;
	return 0;
}

void monitor_free(struct monitor *m)
{
	if (!m)
		return;
	if (m->fd >= 0)
		(void)close(m->fd);
	thresholds_done(&m->thresholds);
	totals_free(m->totals);
	buf_done(&m->bytes);
	free(m);
}

int monitor_add_threshold(struct monitor *m, const char *text, struct err *err)
{
	return thresholds_add(&m->thresholds, m->catalog, text, err);
}

void monitor_fact(struct monitor *m, const char *name, const char *text)
{
	if (m->fd < 0)
		return;
	result_write_fact(&m->writer, name, text);
	flush(m);
}

static void read_all(struct monitor *m, struct tally *const *tallies, size_t count, uint64_t to_ns)
{
	totals_read(m->totals, tallies, count);
	totals_gauge(m->totals, "vus", (double)m->options.vus);
	totals_gauge(m->totals, "vus_max", (double)m->options.vus);
	if (m->fd >= 0 && !m->failure) {
		result_write_slice(&m->writer, m->from_ns, to_ns, totals_all(m->totals), totals_slice(m->totals));
		flush(m);
	}
	m->from_ns = to_ns;
}

bool monitor_look(struct monitor *m, struct tally *const *tallies, size_t count, uint64_t elapsed_ns)
{
	read_all(m, tallies, count, elapsed_ns);
	return thresholds_look(&m->thresholds, totals_all(m->totals), totals_slice(m->totals), elapsed_ns);
}

void monitor_finish(struct monitor *m, struct tally *const *tallies, size_t count, uint64_t elapsed_ns)
{
	read_all(m, tallies, count, elapsed_ns > m->from_ns ? elapsed_ns : m->from_ns);
	(void)thresholds_look(&m->thresholds, totals_all(m->totals), totals_slice(m->totals), m->from_ns);
}

bool monitor_judge(struct monitor *m, uint64_t window_ns)
{
	return thresholds_finish(&m->thresholds, totals_all(m->totals), window_ns);
}

int monitor_close(struct monitor *m, struct err *err)
{
	int fd = m->fd;

	if (fd < 0)
		return 0;
	result_write_end(&m->writer);
	flush(m);
	m->fd = -1;
	if (close(fd) != 0 && !m->failure)
		m->failure = errno;
	return m->failure ? err_set(err, -EIO, "cannot write '%s': %s", m->options.results, strerror(m->failure)) : 0;
}

const struct series_set *monitor_all(const struct monitor *m)
{
	return totals_all(m->totals);
}

const struct series_set *monitor_slice(const struct monitor *m)
{
	return totals_slice(m->totals);
}

const struct thresholds *monitor_thresholds(const struct monitor *m)
{
	return &m->thresholds;
}

uint64_t monitor_lost(const struct monitor *m)
{
	return totals_lost(m->totals);
}
