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
};

static const struct cli_option option_table[] = {
	{ "format", 'f', CLI_STRING, EXPORTER_VALUE, "has to be given", offsetof(struct options, format) },
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "metric", 'm', CLI_CHOICE, PROFILE_METRIC_VALUE, "what is exported (default: cpu if sampled, else live)",
	  offsetof(struct options, metric) },
	{ "thread", 't', CLI_STRING, "TID",
	  "only the thread of this kernel id; a cpuprofile then shows when it ran and when not",
	  offsetof(struct options, thread) },
	{ "with-thread", 0, CLI_FLAG, NULL, "folded: the thread is the outermost frame",
	  offsetof(struct options, with_thread) },
	{ "full-frames", 0, CLI_FLAG, NULL, "json: frames with source line, module and offset",
	  offsetof(struct options, full_frames) },
	{ "top", 'n', CLI_U64, "N", "json: only the largest N stacks (default: all)", offsetof(struct options, top) },
	CLI_END,
};

static int find_format(const char *name, const struct exporter **ret, struct err *err)
{
	if (!name)
		return err_set(err, -EINVAL, "export needs --format, one of:" EXPORTERS(EXPORTER_WORD));
	*ret = exporter_find(name);
	if (!*ret)
		return cli_check_choice("--format", EXPORTER_VALUE, name, err);
	if (!(*ret)->write)
		return err_set(err, -ENOSYS, "format %s (%s) is not built yet; there are:" EXPORTERS(EXPORTER_WORD),
		               name, (*ret)->help);
	return 0;
}

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	struct export_options eo = { .tid = EXPORT_ALL_THREADS };
	const struct exporter *exporter = NULL;
	struct cmd_input in = { 0 };
	struct cli_args args;
	struct buf out = { 0 };
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
	rc = cmd_load_profile(args.items[0], o.metric, CMD_PREFER_TIME, &in, err);
	if (rc == 0)
		rc = exporter->write(in.profile, &eo, &out, err);
	if (rc == 0)
		rc = cmd_output(o.output, &out, err);
	buf_done(&out);
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
	"  formats not built yet:" EXPORTERS_LATER(EXPORTER_WORD) "\n",
};
