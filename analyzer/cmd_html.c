#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cmd.h"
#include "html.h"
#include "html_data.h"
#include "model.h"

struct options {
	const char *output, *title;
	bool diff;
	struct cmd_symbols symbols;
};

enum { MOST = 64 };

static const struct cli_option option_table[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write there (default, or -: standard output)",
	  offsetof(struct options, output) },
	{ "title", 0, CLI_STRING, "TEXT", "instead of the program's name", offsetof(struct options, title) },
	{ "diff", 0, CLI_FLAG, NULL, "open with the first and the last compared", offsetof(struct options, diff) },
	CMD_SYMBOL_OPTIONS(struct options),
	CLI_END,
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int add_recording(const char *path, const struct cmd_symbols *how, struct buf *recordings, struct buf *title,
                         struct err *err)
{
	struct cmd_input in = { .how = how };
	int rc = cmd_load(path, &in, err);

	if (rc == 0) {
		if (recordings->len)
			buf_add_str(recordings, ",\n");
		else
			buf_printf(title, "%s (pid %llu)", in.model->comm, (unsigned long long)in.model->pid);
		rc = html_data(base_name(path), in.model, in.symbols, recordings, err);
		if (rc < 0)
			rc = err_wrap(err, "%s", path);
	}
	cmd_input_done(&in);
	return rc;
}

int cmd_html_write(const char *const *paths, size_t count, const struct cmd_symbols *how, struct html_options *look,
                   const char *output, struct err *err)
{
	struct buf recordings = { 0 }, name = { 0 }, out = { 0 };
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = add_recording(paths[i], how, &recordings, &name, err);
	if (rc == 0) {
		if (!look->title)
			look->title = name.data ? name.data : "perfprobe";
		html_page(look, &recordings, &out);
		rc = cmd_output(output, &out, err);
	}
	buf_done(&recordings);
	buf_done(&name);
	buf_done(&out);
	return rc;
}

static int run(int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	struct html_options look;
	struct cli_args args;
	int rc = cmd_parse(&cmd_html, argc, argv, &o, &args, 1, MOST, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (o.diff && args.count < 2)
		return err_set(err, -EINVAL, "--diff compares two snapshots; give another one");
	look = (struct html_options){ .title = o.title, .diff = o.diff };
	return cmd_html_write((const char *const *)args.items, args.count, &o.symbols, &look, o.output, err);
}

const struct cli_command cmd_html = {
	"html",
	run,
	option_table,
	"A...",
	"one self-contained interactive page: timeline, flame graphs, tables, leaks, requests, differences",
	"  probe-analyze html server.snap -o server.html\n"
	"  probe-analyze html --diff before.snap after.snap -o growth.html    what grew, red; what shrank, blue\n",
};
