/* What the commands share: loading, the choice of a metric, output. Main thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"
#include "cli.h"
#include "compiler.h"
#include "err.h"
#include "profile.h"

struct html_options;
struct model;
struct symbolizer;
struct symbol_cache;
struct elf_places;

/* How names are found: options of every command that shows some. */
struct cmd_symbols {
	bool no_cache, debuginfod;
	const char *sysroot;
	struct cli_list debug_dirs, maps;
};
#define CMD_SYMBOL_OPTIONS(type)                                                                                  \
	{                                                                                                         \
		"sysroot",                                                                                        \
		0,                                                                                                \
		CLI_STRING,                                                                                       \
		"DIR",                                                                                            \
		"the recorded machine's files are below DIR",                                                     \
		offsetof(type, symbols.sysroot)                                                                   \
	},                                                                                                        \
	        { "debug-dir",                                                                                    \
		  0,                                                                                              \
		  CLI_LIST,                                                                                       \
		  "DIR",                                                                                          \
		  "debug files are in DIR, too; may be given several times",                                      \
		  offsetof(type, symbols.debug_dirs) },                                                           \
	        { "map",                                                                                          \
		  0,                                                                                              \
		  CLI_LIST,                                                                                       \
		  "OLD=NEW",                                                                                      \
		  "what was below OLD is below NEW here; may be given several times",                             \
		  offsetof(type, symbols.maps) },                                                                 \
	        { "debuginfod",                                                                                   \
		  0,                                                                                              \
		  CLI_FLAG,                                                                                       \
		  NULL,                                                                                           \
		  "ask the servers in DEBUGINFOD_URLS for debug files",                                           \
		  offsetof(type, symbols.debuginfod) },                                                           \
	{                                                                                                         \
		"no-symbol-cache", 0, CLI_FLAG, NULL, "read every file anew, and keep nothing for the next time", \
		        offsetof(type, symbols.no_cache)                                                          \
	}

/* A snapshot and one metric of it. Made with { .how = &options.symbols }, done with cmd_input_done(), whatever happened. */
struct cmd_input {
	const struct cmd_symbols *how; /* NULL: as without options */
	bool in_tree;                  /* cmd_load_profile(): a profile whose stacks are paths will do */
	struct model *model;
	struct symbol_cache *cache;
	struct elf_places *places;
	struct symbolizer *symbols;
	struct profile *profile;
};

enum cmd_prefer { CMD_PREFER_TIME, CMD_PREFER_MEMORY };

int cmd_load(const char *path, struct cmd_input *ret_input, struct err *err) MUST_USE;
/* The same of an open file, which the caller closes; `name` is for the sentence. */
int cmd_load_fd(int fd, const char *name, struct cmd_input *ret_input, struct err *err) MUST_USE;
/* The metric named, or what is recorded if `name` is NULL: time before memory or the other way round. */
int cmd_metric(const struct model *m, const char *name, enum cmd_prefer prefer, enum profile_metric *ret_metric,
               struct err *err) MUST_USE;
/* cmd_load() and profile_build(); the sentence starts with the path. */
int cmd_load_profile(const char *path, const char *metric, enum cmd_prefer prefer, struct cmd_input *ret_input,
                     struct err *err) MUST_USE;
void cmd_input_done(struct cmd_input *in);

/* A part of a recording, as options: each NULL unless given. */
struct cmd_slice {
	const char *from, *to, *thread, *route;
};
#define CMD_SLICE_OPTIONS(options, field)                                                                         \
	{ "from",                                                                                                 \
	  0,                                                                                                      \
	  CLI_STRING,                                                                                             \
	  "TIME",                                                                                                 \
	  "only samples from then on: 1.5s after the recording began, -10s before its end (time)",                \
	  offsetof(options, field.from) },                                                                        \
	        { "to", 0, CLI_STRING, "TIME", "only samples before that", offsetof(options, field.to) },         \
	        { "thread", 't', CLI_STRING, "TID", "only this thread (time)", offsetof(options, field.thread) }, \
	{                                                                                                         \
		"route", 0, CLI_STRING, "ROUTE",                                                                  \
		        "only samples that fell into requests of it: \"GET /users\", or \"/users\" (time)",       \
		        offsetof(options, field.route)                                                            \
	}
bool cmd_slice_is_asked(const struct cmd_slice *s);
/* The input's profile becomes that part of it. -EINVAL, -ENODATA (no such thread or route), -ENOMEM. */
int cmd_slice(struct cmd_input *in, const struct cmd_slice *s, struct err *err) MUST_USE;

/* Writes the result to `path`, or to standard output if it is NULL or "-". A failed write is -errno with a sentence, and
 * leaves no partial file that was not there before. */
int cmd_output(const char *path, const struct buf *b, struct err *err) MUST_USE;
/* The same for a result that is written while it grows: `out` drains there. Nothing is opened before the first byte comes. A
 * buffer that has not failed by cmd_output_end() is complete in the file. Both ends for every begin. */
struct cmd_output {
	const char *path;
	int fd; /* -1: not open yet */
	int rc; /* what went wrong with it: negative errno */
	bool existed;
};
void cmd_output_begin(struct cmd_output *o, const char *path, struct buf *out);
/* `rc`: how the writing went; a failure drops what is there. Returns it, or what went wrong at the end. */
int cmd_output_end(struct cmd_output *o, struct buf *out, int rc, struct err *err) MUST_USE;
/* Whether text for `path` may have colours: a terminal, and NO_COLOR unset (no-color.org). */
bool cmd_may_colour(const char *path);
/* Parses; 1 if help was asked for and printed, 0, or -EINVAL. Checks the number of arguments. */
int cmd_parse(const struct cli_command *command, int argc, char **argv, void *options, struct cli_args *ret_args,
              size_t least, size_t most, struct err *err) MUST_USE;

/* The metrics of the heap (enum export_memory), for formats that hold several. Those that are there are the caller's to free, also
 * after a failure. */
int cmd_export_memory(const struct cmd_input *in, const struct profile *memory[], struct err *err) MUST_USE;

/* Name, purpose, exit statuses and what arguments are; the table of commands is main.c's. */
extern const struct cli_program cmd_program;

/* One a file cmd_NAME.c. */
extern const struct cli_command cmd_info, cmd_report, cmd_diff, cmd_leaks, cmd_requests, cmd_flamegraph, cmd_export,
        cmd_html, cmd_serve, cmd_merge, cmd_push, cmd_top, cmd_results;
/* What the first input's values are multiplied by so that they compare: `how` is none or NULL, duration (of the recordings), requests
 * (answered) or share (of the totals given). -ENODATA with a sentence where that is not known of both. */
int cmd_scale(const struct cmd_input *before, const struct cmd_input *after, const char *how, double total_before,
              double total_after, double *ret_scale, struct err *err) MUST_USE;
/* What `html` writes, for the other commands that offer it. */
int cmd_html_write(const char *const *paths, size_t count, const struct cmd_symbols *how, struct html_options *look,
                   const char *output, struct err *err) MUST_USE;
/* What `flamegraph A B` writes; `per` as cmd_scale() has it. */
int cmd_flamegraph_write(const char *const paths[2], const struct cmd_symbols *how, const char *metric, const char *per,
                         const char *output, struct err *err) MUST_USE;
