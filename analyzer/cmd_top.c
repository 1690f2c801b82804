/* cmd_top.c - a running process, seen from outside: its live file is read again and again, and nothing is asked of it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "live_find.h"
#include "live_read.h"
#include "model.h"
#include "screen.h"
#include "symbol_cache.h"
#include "symbolize.h"
#include "top.h"
#include "units.h"
#include "view_top.h"

struct options {
	uint64_t interval_ns, window_ns, top;
	bool once, json;
	struct cmd_symbols symbols;
};

static const struct cli_option option_table[] = {
	{ "interval", 'd', CLI_DURATION, "DURATION", "between two pictures (default: 2s)",
	  offsetof(struct options, interval_ns) },
	{ "window", 'w', CLI_DURATION, "DURATION",
	  "of CPU samples that are shown (default: 10s; at most what the recorder keeps)",
	  offsetof(struct options, window_ns) },
	{ "once", '1', CLI_FLAG, NULL, "one page, and no more (default where standard output is no terminal)",
	  offsetof(struct options, once) },
	{ "json", 0, CLI_FLAG, NULL, "one picture as JSON", offsetof(struct options, json) },
	{ "top", 'n', CLI_U64, "N", "rows of each table on the page (default: 15; JSON: all)",
	  offsetof(struct options, top) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

enum { DEFAULT_ROWS = 15 };
#define LEAST_INTERVAL_NS (100 * NS_PER_MS)
#define MOST_INTERVAL_NS  (3600 * NS_PER_S)
#define ONCE_NS           NS_PER_S /* between the two readings of one page */
#define MAX_LIVE_BYTES    ((off_t)4 << 30)

struct work {
	struct options o;
	pid_t pid; /* 0: a file that nobody may be writing */
	int fd;
	char path[4096];
	struct live_process first, now;
	struct symbol_cache *cache;
	struct top *top;
	struct top_picture *picture;
	struct view_top view;
	bool ended;
	struct err trouble; /* of the last reading */
};

/* ---- reading ---- */

static int read_file(int fd, uint8_t **ret_data, size_t *ret_bytes, struct err *err)
{
	struct stat st;
	uint8_t *data;
	size_t bytes = 0;
	int rc;

	if (fstat(fd, &st) < 0) {
		rc = -errno;
		return err_set(err, rc, "cannot read: %s", strerror(-rc));
	}
	if (st.st_size > MAX_LIVE_BYTES)
		return err_set(err, -EFBIG, "larger than 4 GiB: no live file");
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return err_set(err, -ENOMEM, "out of memory");
	while (bytes < (size_t)st.st_size) {
		ssize_t n = pread(fd, data + bytes, (size_t)st.st_size - bytes, (off_t)bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = -errno;
			free(data);
			return err_set(err, rc, "cannot read: %s", strerror(-rc));
		}
		if (n == 0)
			break; /* it became shorter */
		bytes += (size_t)n;
	}
	*ret_data = data;
	*ret_bytes = bytes;
	return 0;
}

static int take_picture(struct work *w, struct err *err)
{
	const struct top_picture *picture;
	struct model *m = NULL;
	uint8_t *data = NULL;
	size_t bytes = 0;
	int rc = read_file(w->fd, &data, &bytes, err);

	if (rc == 0 && !live_is(data, bytes))
		rc = err_set(err, -EPROTO, "not a live file");
	if (rc == 0)
		rc = live_read(data, bytes, &m, err);
	free(data);
	if (rc == 0)
		rc = top_add(w->top, m, &picture, err);
	if (rc < 0)
		return err_wrap(err, "%s", w->path);
	w->picture = (struct top_picture *)picture; /* the view sorts it */
	return 0;
}

static void look_at_process(struct work *w)
{
	if (w->pid && !w->ended)
		live_find_process(w->pid, &w->now);
	if (w->pid && (!w->now.runs || w->now.started != w->first.started))
		w->ended = true;
	w->view.note = w->ended          ? "THE PROCESS HAS ENDED: this is the last picture"
	               : w->trouble.code ? w->trouble.text
	                                 : NULL;
	w->view.rss_bytes = w->ended ? 0 : w->now.rss_bytes;
	w->view.threads = w->ended ? 0 : w->now.threads;
}

static bool is_number(const char *text)
{
	return text[0] && text[strspn(text, "0123456789")] == '\0';
}

static int open_live(struct work *w, const char *what, struct err *err)
{
	uint64_t pid;
	int rc;

	if (!is_number(what)) {
		w->fd = open(what, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		rc = w->fd < 0 ? -errno : 0;
		(void)snprintf(w->path, sizeof(w->path), "%s", what);
		return rc < 0 ? err_set(err, rc, "%s: cannot open: %s", what, strerror(-rc)) : 0;
	}
	if (units_parse_count(what, &pid) < 0 || pid == 0 || pid > INT32_MAX)
		return err_set(err, -EINVAL, "'%s' is no process", what);
	w->pid = (pid_t)pid;
	live_find_process(w->pid, &w->first);
	return live_find(w->pid, w->path, sizeof(w->path), &w->fd, err);
}

/* ---- one page ---- */

static void sleep_for(uint64_t ns)
{
	struct timespec left = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* Growth and rates need two readings. */
static int one_page(struct work *w, struct err *err)
{
	struct buf out = { 0 };
	struct view v = { &out, cmd_may_colour(NULL) };
	unsigned columns = 0, rows;
	int rc = take_picture(w, err);

	if (rc < 0)
		return rc;
	look_at_process(w);
	if (w->pid && !w->ended) {
		sleep_for(ONCE_NS);
		rc = take_picture(w, err);
		look_at_process(w);
	}
	if (rc < 0)
		return rc;
	if (isatty(STDOUT_FILENO))
		screen_size(&columns, &rows);
	if (w->o.json)
		view_top_json(&out, w->picture, &w->view, w->o.top ? (size_t)w->o.top : SIZE_MAX);
	else
		view_top_page(&v, w->picture, &w->view, w->o.top ? (size_t)w->o.top : DEFAULT_ROWS, columns);
	rc = cmd_output(NULL, &out, err);
	buf_done(&out);
	return rc;
}

/* ---- the screen ---- */

static int show(struct work *w, unsigned *ret_page)
{
	struct buf out = { 0 };
	struct view v = { &out, cmd_may_colour(NULL) };
	unsigned columns, rows;
	int rc;

	screen_size(&columns, &rows);
	*ret_page = rows > 10 ? rows - 10 : 1;
	if (columns < VIEW_TOP_MIN_COLUMNS || rows < VIEW_TOP_MIN_ROWS)
		buf_add_str(&out, "too small");
	else
		view_top_screen(&v, w->picture, &w->view, columns, rows);
	rc = out.failed ? -ENOMEM : screen_show(&out);
	buf_done(&out);
	return rc;
}

static void choose(struct view_top *t, enum top_table table)
{
	t->table = table;
	t->scroll = 0;
	t->help = false;
}

static void move(struct view_top *t, int key, unsigned page)
{
	size_t step = key == SCREEN_PAGE_UP || key == SCREEN_PAGE_DOWN ? page : 1;

	if (key == SCREEN_HOME)
		t->scroll = 0;
	else if (key == SCREEN_END)
		t->scroll = SIZE_MAX / 2; /* the view takes what there is */
	else if (key == SCREEN_DOWN || key == SCREEN_PAGE_DOWN)
		t->scroll += step;
	else
		t->scroll = t->scroll > step ? t->scroll - step : 0;
}

static void change_interval(struct view_top *t, bool longer)
{
	uint64_t ns = longer ? t->interval_ns * 2 : t->interval_ns / 2;

	t->interval_ns = ns < LEAST_INTERVAL_NS ? LEAST_INTERVAL_NS : ns > MOST_INTERVAL_NS ? MOST_INTERVAL_NS : ns;
}

/* False: leave. */
static bool on_key(struct view_top *t, int key, unsigned page)
{
	bool was_help = t->help;

	switch (key) {
	case 'q':
	case SCREEN_F10:
	case SCREEN_QUIT:
		return false;
	case '?':
	case 'h':
	case SCREEN_F1:
		t->help = !was_help;
		break;
	case 'c':
	case SCREEN_F1 + 1:
		choose(t, TOP_CPU);
		break;
	case 'm':
	case SCREEN_F1 + 2:
		choose(t, TOP_HEAP);
		break;
	case 'r':
	case SCREEN_F1 + 3:
		choose(t, TOP_REQUESTS);
		break;
	case 's':
	case SCREEN_F1 + 5:
		t->sort[t->table] = (t->sort[t->table] + 1) % view_top_sort_columns(t->table);
		break;
	case 'I':
		t->reversed[t->table] = !t->reversed[t->table];
		break;
	case 'p':
		t->paused = !t->paused;
		break;
	case '+':
	case '-':
		change_interval(t, key == '+');
		break;
	case '\033':
		t->help = false;
		break;
	default:
		if (key >= SCREEN_UP && key <= SCREEN_END)
			move(t, key, page);
	}
	return true;
}

static uint64_t now_ns(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int refresh(struct work *w)
{
	struct err err = { 0 };
	int rc;

	if (w->ended || w->view.paused)
		return 0;
	/* First whether it runs: what is read then was all there when it ended. */
	look_at_process(w);
	rc = take_picture(w, &err);
	w->trouble = err; /* a writer that was caught in between; the picture before stays */
	look_at_process(w);
	return rc == -ENOMEM ? rc : 0;
}

static int watch(struct work *w, struct err *err)
{
	int rc = take_picture(w, err), key = SCREEN_NONE;
	uint64_t next = now_ns() + w->view.interval_ns;
	unsigned page = 1;
	bool gone = false;

	if (rc < 0)
		return rc;
	look_at_process(w);
	rc = screen_begin(err);
	while (rc == 0) {
		uint64_t now = now_ns();

		if (now >= next) {
			rc = refresh(w);
			next = now_ns() + w->view.interval_ns;
		}
		gone = rc == 0 && show(w, &page) < 0;
		if (rc < 0 || gone)
			break;
		now = now_ns();
		key = screen_key(next > now ? next - now : 0);
		if (!on_key(&w->view, key, page))
			break;
	}
	screen_end();
	return rc < 0 && !err->code ? err_set(err, rc, "out of memory") : rc;
}

static int begin(struct work *w, struct err *err)
{
	w->cache = w->o.symbols.no_cache ? NULL : symbol_cache_open();
	return top_new(w->o.window_ns, &(struct symbolize_options){ .cache = w->cache }, &w->top, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct work *w = calloc(1, sizeof(*w));
	struct cli_args args;
	int rc;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	w->fd = -1;
	w->o = (struct options){ .interval_ns = 2 * NS_PER_S, .window_ns = 10 * NS_PER_S };
	rc = cmd_parse(&cmd_top, argc, argv, &w->o, &args, 1, 1, err);
	if (rc == 0 && (w->o.interval_ns < LEAST_INTERVAL_NS || w->o.interval_ns > MOST_INTERVAL_NS ||
	                w->o.window_ns < LEAST_INTERVAL_NS))
		rc = err_set(err, -EINVAL, "--interval is between 100ms and an hour, --window at least 100ms");
	if (rc == 0)
		rc = open_live(w, args.items[0], err);
	if (rc == 0)
		rc = begin(w, err);
	w->view.interval_ns = w->o.interval_ns;
	if (rc == 0 && (w->o.once || w->o.json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)))
		rc = one_page(w, err);
	else if (rc == 0)
		rc = watch(w, err);
	top_free(w->top); /* what is new goes to the cache */
	symbol_cache_close(w->cache);
	if (w->fd >= 0)
		(void)close(w->fd); /* read only */
	free(w);
	return rc < 0 ? rc : 0;
}

const struct cli_command cmd_top = {
	"top",
	run,
	option_table,
	"PID",
	"a running process: CPU, live heap, growth and requests, as they are now",
	"  probe-analyze top 4711\n"
	"  probe-analyze top --json --top 5 4711\n"
	"  probe-analyze top server.4711.live            a file, also of a process that was killed\n",
};
