#include "cmd_lint.h"

#include <errno.h>
#include <string.h>

#include "json_write.h"
#include "lint.h"
#include "load.h"

struct options {
	struct cli_list env, properties;
	const char *target;
	bool json;
};

#define AT(field) offsetof(struct options, field)
const struct cli_option cmd_lint_options[] = {
	{ "target", 0, CLI_STRING, "URL", "overrides a plan's target", AT(target) },
	{ "env", 'e', CLI_LIST, "NAME=VALUE", "a variable of the environment, for the plan", AT(env) },
	{ "jmeter-property", 'J', CLI_LIST, "NAME=VALUE", "a property, for JMeter plans", AT(properties) },
	{ "json", 0, CLI_FLAG, NULL, "print JSON instead of lines", AT(json) },
	CLI_END,
};
#undef AT

static void print_json(struct json *j, const char *path, const struct lint *l)
{
	json_object_begin(j);
	json_key_string(j, "plan", path);
	json_key_string(j, "kind", l->plan->source);
	json_key(j, "findings");
	json_array_begin(j);
	for (size_t i = 0; i < l->count; i++) {
		json_object_begin(j);
		json_key_u64(j, "line", l->findings[i].line);
		json_key_string(j, "text", l->findings[i].text);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

/* Control characters of a hostile plan do not reach the terminal. */
static void print_lines(struct buf *out, const char *path, const struct lint *l)
{
	for (size_t i = 0; i < l->count; i++) {
		size_t begin;

		buf_printf(out, "%s:%u: ", path, l->findings[i].line);
		begin = out->len;
		buf_add_str(out, l->findings[i].text);
		for (size_t at = begin; at < out->len && !out->failed; at++)
			if ((unsigned char)out->data[at] < ' ' || out->data[at] == 0x7f)
				out->data[at] = '?';
		buf_add_char(out, '\n');
	}
}

static int print(FILE *out, const char *path, const struct lint *l, bool as_json)
{
	CLEANUP(buf_done) struct buf text = { 0 };
	struct json j;

	if (as_json) {
		json_init(&j, &text);
		print_json(&j, path, l);
		buf_add_char(&text, '\n');
	} else {
		print_lines(&text, path, l);
	}
	if (text.failed)
		return -ENOMEM;
	(void)fwrite(text.data ? text.data : "", 1, text.len, out); /* main() looks for errors of the stream */
	return l->count ? CMD_LINT_FINDINGS : CMD_LINT_CLEAN;
}

int cmd_lint(FILE *out, int argc, char **argv, struct err *err)
{
	struct options o = { 0 };
	struct load_options load = { 0 };
	struct testplan *plan;
	struct cli_args args;
	struct lint lint;
	int rc = cli_parse(cmd_lint_options, argc, argv, &o, &args, err);

	if (rc < 0)
		return rc;
	if (args.help)
		return CMD_LINT_HELP;
	if (args.count != 1)
		return err_set(err, -EINVAL,
		               args.count ? "one plan, please; probe-load help lint explains"
		                          : "no plan given; probe-load help lint explains");
	load.values = (struct dialect_values){ o.properties.items, o.properties.count, o.env.items, o.env.count };
	load.target = o.target;
	if (load_plan(args.items[0], &load, &plan, err) < 0)
		return CMD_LINT_UNREADABLE;
	testplan_check(plan);
	lint_run(plan, &lint);
	rc = print(out, args.items[0], &lint, o.json);
	testplan_free(plan);
	return rc < 0 ? err_set(err, rc, "out of memory") : rc;
}
