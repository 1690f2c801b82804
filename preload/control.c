#include "control.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "compiler.h"
#include "control_status.h"
#include "dump.h"
#include "misuse.h"
#include "say.h"
#include "start.h"
#include "state.h"
#include "units.h"

#define PATIENCE_NS (5 * NS_PER_S)

static control_leaks_fn *leaks_check;
static bool leaks_asked;
static uint64_t answered;

static void put(char *answer, size_t size, const char *word, const char *text)
{
	answer[0] = '\0';
	say_append(answer, size - 1, word); /* room for the newline, whatever is cut off */
	if (*text)
		say_append(answer, size - 1, " ");
	say_append(answer, size - 1, text);
	say_append(answer, size, "\n");
}

static void ok(char *answer, size_t size, const char *text)
{
	put(answer, size, "ok", text);
}

static void error(char *answer, size_t size, const char *sentence)
{
	put(answer, size, "error", sentence);
}

static void error_code(char *answer, size_t size, const char *what, int code)
{
	char sentence[PATH_MAX + 200] = "";

	say_append(sentence, sizeof(sentence), what);
	say_append(sentence, sizeof(sentence), ": ");
	say_append(sentence, sizeof(sentence), say_errno(code));
	error(answer, size, sentence);
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static void snapshot(const char *unused, char *answer, size_t size)
{
	char path[PATH_MAX];
	int rc = dump_write_named("request", PATIENCE_NS, path, sizeof(path));

	(void)unused;
	if (rc == -EBUSY)
		error(answer, size, "another profile is being written, and was not done in time");
	else if (rc < 0)
		error_code(answer, size, "no profile was written", rc);
	else
		ok(answer, size, path);
}

static void leaks(const char *unused, char *answer, size_t size)
{
	(void)unused;
	if (!leaks_check) {
		error(answer, size, "not available: this version has no leak check");
	} else if (leaks_asked) {
		error(answer, size, "a leak check is under way already");
	} else {
		leaks_asked = true;
		answer[0] = '\0';
	}
}

static void start(const char *unused, char *answer, size_t size)
{
	(void)unused;
	state_change(STATE_STOPPED, STATE_RUNNING);
	ok(answer, size, "");
}

static void stop(const char *unused, char *answer, size_t size)
{
	(void)unused;
	state_change(STATE_RUNNING, STATE_STOPPED);
	ok(answer, size, "");
}

static void status(const char *unused, char *answer, size_t size)
{
	(void)unused;
	put(answer, size, "ok", "");
	control_status(answer, size - 1, answered);
	if (answer[strlen(answer) - 1] != '\n')
		say_append(answer, size, "\n");
}

/* ---- set ---------------------------------------------------------------------------------------------------------- */

/* What an option needs besides its new value. */
static void option_changed(enum config_index index)
{
	if (index == CONFIG_WINDOW || index == CONFIG_LATENCY)
		start_set_window();
	if (index == CONFIG_FREE_STACKS || index == CONFIG_VERBOSE)
		misuse_init(start_config());
	/* EVERY: the helper looks at it. DIR: dump_set_dir(). */
}

static void set_option(enum config_index index, const char *value, char *answer, size_t size)
{
	char why[PATH_MAX + 200];
	int rc = 0;

	if (index == CONFIG_DIR && (value[0] != '/' || strlen(value) >= PATH_MAX)) {
		error(answer, size, "PERFPROBE_DIR must begin with '/' here: the program may be in any directory");
		return;
	}
	if (!dump_hold(PATIENCE_NS)) {
		error(answer, size, "a profile is being written, and was not done in time");
		return;
	}
	if (index == CONFIG_DIR)
		rc = dump_set_dir(value);
	if (rc < 0) {
		error_code(answer, size, value, rc);
	} else if (config_set(start_config_to_change(), index, value, why, sizeof(why)) < 0) {
		error(answer, size, why);
	} else {
		option_changed(index);
		ok(answer, size, "");
	}
	dump_release();
}

static void set(const char *assignment, char *answer, size_t size)
{
	static const char prefix[] = "PERFPROBE_";
	const char *equals = strchr(assignment, '=');
	enum config_index index;

	if (!equals) {
		error(answer, size, "set needs NAME=VALUE");
		return;
	}
	if (strncmp(assignment, prefix, sizeof(prefix) - 1) == 0)
		assignment += sizeof(prefix) - 1;
	index = config_find(assignment, (size_t)(equals - assignment));
	if (index == CONFIG_COUNT)
		error(answer, size, "there is no variable of that name");
	else
		set_option(index, equals + 1, answer, size);
}

/* ---- the line ----------------------------------------------------------------------------------------------------- */

static const struct request {
	const char *name;
	bool has_argument;
	void (*answer)(const char *argument, char *answer, size_t size);
} requests[] = {
	{ "snapshot", false, snapshot }, { "leaks", false, leaks },   { "start", false, start },
	{ "stop", false, stop },         { "status", false, status }, { "set", true, set },
};

enum control_result control_answer(const char *line, char *answer, size_t size)
{
	size_t word = strcspn(line, " ");

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		const struct request *r = &requests[i];

		if (strlen(r->name) != word || memcmp(r->name, line, word) != 0 ||
		    r->has_argument != (line[word] == ' '))
			continue;
		answered++;
		r->answer(line + word + r->has_argument, answer, size);
		return answer[0] ? CONTROL_ANSWERED : CONTROL_LATER;
	}
	error(answer, size, "not understood; requests are snapshot, leaks, start, stop, status and set NAME=VALUE");
	return CONTROL_ANSWERED;
}

bool control_later(char *answer, size_t size)
{
	char text[PATH_MAX] = "";
	int rc = leaks_asked ? leaks_check(text, sizeof(text)) : -ECANCELED;

	if (rc == -EINPROGRESS)
		return false;
	leaks_asked = false;
	if (rc == 0)
		ok(answer, size, text);
	else
		error(answer, size, *text ? text : say_errno(rc));
	return true;
}

bool control_is_busy(void)
{
	return leaks_asked;
}

void control_on_leaks(control_leaks_fn *check)
{
	leaks_check = check;
}

void control_fork_child(void)
{
	answered = 0;
	leaks_asked = false;
}
