#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "export.h"
#include "units.h"

struct options {
	const char *format, *output, *metric, *thread;
	bool with_thread, full_frames;
	uint64_t top;
	struct cmd_symbols symbols;
};

static const struct cli_option option_table[] = {
	{ "format", 'f', CLI_STRING, EXPORTER_VALUE, "has to be given", offsetof(struct options, format) },
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "metric", 'm', CLI_CHOICE, PROFILE_METRIC_VALUE,
	  "what is exported (default: cpu if sampled, else live; heapprofile, dhat: live)",
	  offsetof(struct options, metric) },
	{ "thread", 't', CLI_STRING, "TID",
	  "only the thread of this kernel id; a cpuprofile then shows when it ran and when not",
	  offsetof(struct options, thread) },
	{ "with-thread", 0, CLI_FLAG, NULL, "folded: the thread is the outermost frame",
	  offsetof(struct options, with_thread) },
	{ "full-frames", 0, CLI_FLAG, NULL, "json: frames with source line, module and offset",
	  offsetof(struct options, full_frames) },
	{ "top", 'n', CLI_U64, "N", "json: only the largest N stacks (default: all)", offsetof(struct options, top) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

static int find_format(const char *name, const struct exporter **ret, struct err *err)
{
	if (!name)
		return err_set(err, -EINVAL, "export needs --format, one of:" EXPORTERS(EXPORTER_WORD));
	*ret = exporter_find(name);
	return *ret ? 0 : cli_check_choice("--format", EXPORTER_VALUE, name, err);
}

int cmd_export_memory(const struct cmd_input *in, const struct profile *memory[], struct err *err)
{
	static const enum profile_metric metrics[EXPORT_MEMORY_COUNT] = {
		[EXPORT_ALLOC] = METRIC_ALLOC, [EXPORT_ALLOC_COUNT] = METRIC_ALLOC_COUNT,
		[EXPORT_LIVE] = METRIC_LIVE,   [EXPORT_LIVE_COUNT] = METRIC_LIVE_COUNT,
		[EXPORT_PEAK] = METRIC_PEAK,
	};
	int rc = 0;

	for (size_t i = 0; i < EXPORT_MEMORY_COUNT && rc == 0; i++) {
		struct profile *p = NULL;

		rc = profile_build(in->model, in->symbols, metrics[i], &p, err);
		memory[i] = p;
	}
	return rc;
}

static int write_export(const struct exporter *exporter, const struct cmd_input *in, struct export_options *eo,
                        const char *output, struct err *err)
{
	struct buf out = { 0 };
	struct cmd_output to;
	int rc = 0;

	cmd_output_begin(&to, output, &out);
	eo->model = in->model;
	if (export_is_of_memory(in->profile) && (exporter->holds & EXPORT_AT_ONCE))
		rc = cmd_export_memory(in, eo->memory, err);
	if (rc == 0)
		rc = exporter->write(in->profile, eo, &out, err);
	rc = cmd_output_end(&to, &out, rc, err);
	for (size_t i = 0; i < EXPORT_MEMORY_COUNT; i++)
		profile_free((struct profile *)eo->memory[i]);
	buf_done(&out);
	return rc;
}

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	struct export_options eo = { .tid = EXPORT_ALL_THREADS };
	const struct exporter *exporter = NULL;
	struct cmd_input in = { .how = &o.symbols };
	struct cli_args args;
	int rc = cmd_parse(&cmd_export, argc, argv, &o, &args, 1, 1, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = find_format(o.format, &exporter, err);
	if (rc == 0 && o.thread && units_parse_count(o.thread, &eo.tid) < 0)
		rc = err_set(err, -EINVAL, "--thread takes the number of a thread, not '%s'", o.thread);
	if (rc < 0)
		return rc;
	eo.thread_frames = o.with_thread;
	eo.full_frames = o.full_frames;
	eo.top = o.top;
	rc = cmd_load_profile(args.items[0], o.metric,
	                      !(exporter->holds & EXPORT_TIME) ? CMD_PREFER_MEMORY : CMD_PREFER_TIME, &in, err);
	if (rc == 0)
		rc = write_export(exporter, &in, &eo, o.output, err);
	cmd_input_done(&in);
	return rc;
}

const struct cli_command cmd_export = {
	"export",
	run,
	option_table,
	"A",
	"profiles in other tools' formats",
	"  probe-analyze export --format cpuprofile server.snap -o server.cpuprofile    Chrome DevTools, VS Code\n"
	"  probe-analyze export --format speedscope -m live server.snap -o live.speedscope.json\n"
	"  probe-analyze export --format folded server.snap | sort | less\n"
	"  probe-analyze export --format pprof -m live server.snap -o live.pb.gz && go tool pprof -http : live.pb.gz\n"
	"  probe-analyze export --format trace server.snap -o server.trace.json    Chrome's Performance panel\n"
	"  probe-analyze export --format dhat server.snap -o dhat.out.json    the heap, in DHAT's viewer\n"
	"\nformats, and what opens them:\n" EXPORTERS(EXPORTER_LINE),
};
