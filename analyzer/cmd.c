#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_debuginfod.h"
#include "elf_places.h"
#include "model.h"
#include "slice.h"
#include "snapshot_read.h"
#include "symbol_cache.h"
#include "symbolize.h"
#include "units.h"

static const struct cli_value values[] = { { "A", CLI_FILES, "snap live" }, { "R", CLI_FILES, "results" },
	                                   { "B", CLI_FILES, "snap live" }, { "OLD", CLI_DIRS, NULL },
	                                   { "NEW", CLI_DIRS, NULL },       { NULL, CLI_FILES, NULL } };

const struct cli_program cmd_program = {
	.name = "probe-analyze",
	.purpose = "Turns perfprobe snapshots (.snap) and live files (.live) into answers.",
	.exit_status =
	        "  0  done\n"
	        "  1  failed: a file that cannot be read or written, or is no snapshot; a server that did not take it\n"
	        "  2  wrong usage, or something that is not built yet\n"
	        "  3  a check that was asked for did not hold\n",
	.values = values,
};

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What the options say about files, checked: a directory that is not there would only look like missing symbols. */
static int find_places(const struct cmd_symbols *how, struct elf_places **ret_places, struct err *err)
{
	struct elf_places *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	*ret_places = p;
	p->sysroot = how->sysroot;
	p->debug_dirs = how->debug_dirs.items;
	p->debug_dir_count = how->debug_dirs.count;
	p->maps = how->maps.items;
	p->map_count = how->maps.count;
	if (p->sysroot && !is_directory(p->sysroot))
		return err_set(err, -ENOENT, "--sysroot: '%s' is no directory", p->sysroot);
	for (size_t i = 0; i < p->debug_dir_count; i++)
		if (!is_directory(p->debug_dirs[i]))
			return err_set(err, -ENOENT, "--debug-dir: '%s' is no directory", p->debug_dirs[i]);
	for (size_t i = 0; i < p->map_count; i++)
		if (p->maps[i][0] != '/' || !strchr(p->maps[i], '=') || !strchr(p->maps[i], '=')[1])
			return err_set(err, -EINVAL, "--map takes OLD=NEW, OLD an absolute path, not '%s'", p->maps[i]);
	return how->debuginfod ? elf_debuginfod_open(&p->debuginfod, err) : 0;
}

/* The file, or the open one that `fd` is (-1: none is). */
static int load(const char *path, int fd, struct cmd_input *ret_input, struct err *err)
{
	static const struct cmd_symbols as_without = { 0 };
	const struct cmd_symbols *how = ret_input->how ? ret_input->how : &as_without;
	struct symbolize_options options = { 0 };
	int rc;

	*ret_input = (struct cmd_input){ .how = how, .in_tree = ret_input->in_tree };
	rc = find_places(how, &ret_input->places, err);
	if (rc == 0)
		rc = fd < 0 ? snapshot_open(path, &ret_input->model, err)
		            : snapshot_open_fd(fd, path, &ret_input->model, err);
	if (rc < 0)
		return rc;
	ret_input->cache = how->no_cache ? NULL : symbol_cache_open();
	options.cache = ret_input->cache;
	options.places = ret_input->places;
	return symbolizer_new(ret_input->model, &options, &ret_input->symbols, err);
}

int cmd_load(const char *path, struct cmd_input *ret_input, struct err *err)
{
	return load(path, -1, ret_input, err);
}

int cmd_load_fd(int fd, const char *name, struct cmd_input *ret_input, struct err *err)
{
	return load(name, fd, ret_input, err);
}

int cmd_metric(const struct model *m, const char *name, enum cmd_prefer prefer, enum profile_metric *ret_metric,
               struct err *err)
{
	bool has_time = m->cpu_hz != 0 || m->cpu_count != 0;
	bool has_memory = m->heap_mode != SNAP_HEAP_OFF || m->heap_count != 0;

	if (name)
		return profile_metric_parse(name, ret_metric, err);
	if (has_memory && (prefer == CMD_PREFER_MEMORY || !has_time))
		*ret_metric = METRIC_LIVE;
	else
		*ret_metric = m->clock_is_wall ? METRIC_WALL : METRIC_CPU;
	return 0;
}

int cmd_load_profile(const char *path, const char *metric, enum cmd_prefer prefer, struct cmd_input *ret_input,
                     struct err *err)
{
	enum profile_metric chosen;
	int rc = cmd_load(path, ret_input, err);

	if (rc == 0)
		rc = cmd_metric(ret_input->model, metric, prefer, &chosen, err);
	if (rc < 0)
		return rc;
	rc = (ret_input->in_tree ? profile_build_tree : profile_build)(ret_input->model, ret_input->symbols, chosen,
	                                                               &ret_input->profile, err);
	return rc < 0 ? err_wrap(err, "%s", path) : 0;
}

void cmd_input_done(struct cmd_input *in)
{
	profile_free(in->profile);
	symbolizer_free(in->symbols);
	symbol_cache_close(in->cache);
	if (in->places)
		elf_debuginfod_close(in->places->debuginfod);
	free(in->places);
	model_free(in->model);
	*in = (struct cmd_input){ 0 };
}

bool cmd_slice_is_asked(const struct cmd_slice *s)
{
	return s->from || s->to || s->thread || s->route;
}

static bool has_thread(const struct model *m, uint64_t tid)
{
	for (size_t i = 0; i < m->thread_count; i++)
		if (m->threads[i].tid == tid)
			return true;
	return false;
}

int cmd_slice(struct cmd_input *in, const struct cmd_slice *s, struct err *err)
{
	struct slice_options o = {
		.by_time = s->from || s->to, .by_thread = s->thread, .route = s->route, .to_ns = UINT64_MAX
	};
	struct profile *part;
	int rc = 0;

	if (!cmd_slice_is_asked(s))
		return 0;
	if (s->thread && units_parse_count(s->thread, &o.tid) < 0)
		return err_set(err, -EINVAL, "--thread takes the number of a thread, not '%s'", s->thread);
	if (s->thread && !has_thread(in->model, o.tid))
		return err_set(err, -ENODATA, "there is no thread %s in the recording", s->thread);
	if (s->from)
		rc = slice_time(in->model, "--from", s->from, &o.from_ns, err);
	if (rc == 0 && s->to)
		rc = slice_time(in->model, "--to", s->to, &o.to_ns, err);
	if (rc == 0)
		rc = slice_build(in->model, in->profile, &o, &part, err);
	if (rc < 0)
		return rc;
	profile_free(in->profile);
	in->profile = part;
	return 0;
}

static double duration(const struct model *m)
{
	return m->end_ns > m->start_ns ? (double)(m->end_ns - m->start_ns) : 0;
}

int cmd_scale(const struct cmd_input *before, const struct cmd_input *after, const char *how, double total_before,
              double total_after, double *ret_scale, struct err *err)
{
	double a = 1, b = 1;

	if (how && strcmp(how, "duration") == 0) {
		a = duration(before->model);
		b = duration(after->model);
	} else if (how && strcmp(how, "requests") == 0) {
		a = (double)before->model->requests.count;
		b = (double)after->model->requests.count;
	} else if (how && strcmp(how, "share") == 0) {
		a = total_before;
		b = total_after;
	}
	if (a <= 0 || b <= 0)
		return err_set(err, -ENODATA, "%s snapshot has no %s to compare by",
		               a <= 0 ? "the first" : "the second",
		               strcmp(how, "requests") == 0 ? "answered requests"
		               : strcmp(how, "share") == 0  ? "total"
		                                            : "duration");
	*ret_scale = b / a;
	return 0;
}

static int write_all(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static bool to_file(const char *path)
{
	return path && strcmp(path, "-") != 0;
}

/* An -EINVAL of the system is no wrong usage. */
static int system_error(int rc)
{
	return rc == -EINVAL ? -EIO : rc;
}

static int output_drain(void *context, const char *data, size_t len)
{
	struct cmd_output *o = context;

	if (o->rc == 0 && o->fd < 0 && to_file(o->path)) {
		o->existed = access(o->path, F_OK) == 0;
		o->fd = open(o->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		o->rc = o->fd < 0 ? -errno : 0;
	}
	if (o->rc == 0)
		o->rc = write_all(to_file(o->path) ? o->fd : STDOUT_FILENO, data, len);
	return o->rc;
}

void cmd_output_begin(struct cmd_output *o, const char *path, struct buf *out)
{
	*o = (struct cmd_output){ .path = path, .fd = -1 };
	out->drain = output_drain;
	out->drain_context = o;
}

int cmd_output_end(struct cmd_output *o, struct buf *out, int rc, struct err *err)
{
	bool opened;

	if (rc == 0 && !out->failed && out->len == 0 && o->fd < 0 && to_file(o->path))
		(void)output_drain(o, "", 0); /* an empty result is an empty file; o->rc tells */
	if (rc == 0)
		buf_pour_all(out);
	opened = o->fd >= 0;
	if (opened && close(o->fd) < 0 && o->rc == 0)
		o->rc = -errno;
	if (rc == 0 && o->rc < 0) {
		rc = system_error(o->rc);
		rc = err_set(err, rc, "cannot write %s%s: %s", to_file(o->path) ? "" : "to ",
		             to_file(o->path) ? o->path : "standard output", strerror(-rc));
	} else if (rc == 0 && out->failed) {
		rc = err_set(err, -ENOMEM, "out of memory");
	}
	if (rc < 0 && opened && !o->existed)
		(void)unlink(o->path); /* best effort: rc already names the failure */
	*o = (struct cmd_output){ .fd = -1 };
	return rc;
}

int cmd_output(const char *path, const struct buf *b, struct err *err)
{
	struct cmd_output o;
	struct buf out = { 0 };

	if (b->failed)
		return err_set(err, -ENOMEM, "out of memory");
	cmd_output_begin(&o, path, &out);
	if (b->len)
		out.failed = output_drain(&o, b->data, b->len) != 0;
	return cmd_output_end(&o, &out, 0, err);
}

bool cmd_may_colour(const char *path)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(path && strcmp(path, "-") != 0) && isatty(STDOUT_FILENO) && !(no && no[0]) && term &&
	       strcmp(term, "dumb") != 0;
}

int cmd_parse(const struct cli_command *command, int argc, char **argv, void *options, struct cli_args *ret_args,
              size_t least, size_t most, struct err *err)
{
	int rc = cli_parse(command->options, argc, argv, options, ret_args, err);

	if (rc < 0)
		return rc;
	if (ret_args->help) {
		cli_print_help(stdout, &cmd_program, command);
		return 1;
	}
	if (ret_args->count < least && strcmp(command->args, "DIR") == 0)
		return err_set(err, -EINVAL, "%s needs a directory; usage: probe-analyze %s [options] DIR",
		               command->name, command->name);
	if (ret_args->count < least)
		return err_set(err, -EINVAL, "%s needs %s; usage: probe-analyze %s [options] %s", command->name,
		               command->args[0] != 'A' ? command->args
		               : least == 1            ? "a snapshot"
		                                       : "two snapshots",
		               command->name, command->args);
	if (ret_args->count > most)
		return err_set(err, -EINVAL, "'%s' is one too many; usage: probe-analyze %s [options] %s",
		               ret_args->items[most], command->name, command->args);
	return 0;
}
