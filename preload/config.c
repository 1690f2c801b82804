#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "atomic.h"
#include "compiler.h"
#include "metrics_address.h"
#include "os_linux.h"
#include "say.h"
#include "units.h"

enum kind {
	KIND_PATH,
	KIND_WORD,
	KIND_COUNT,
	KIND_BYTES,
	KIND_DURATION,
	KIND_SWITCH,
	KIND_LIMIT,
	KIND_RATE,
	KIND_PERCENT,
	KIND_SIGNAL,
	KIND_CHOICE_CLOCK,
	KIND_CHOICE_HEAP,
	KIND_CHOICE_LEAKS,
	KIND_CHOICE_FOLLOW,
	KIND_CHOICE_UNWIND,
};
enum option_state { BUILT, RUNTIME, LATER };

struct option {
	const char *name, *def, *help;
	size_t offset;
	enum kind kind;
	enum option_state state;
};

static const struct option options[CONFIG_COUNT] = {
#define OPTION(NAME, field, kind_, def_, value, state_, help_) \
	{ #NAME, def_, help_, offsetof(struct config, field), KIND_##kind_, state_ },
#include "options.def"
#undef OPTION
};

struct word {
	enum kind kind;
	const char *text;
	uint64_t value;
};

static const struct word words[] = {
#define OPTION_WORD(kind_, text_, value_) { KIND_##kind_, text_, value_ },
#include "option_words.def"
#undef OPTION_WORD
};

static const char prefix[] = "PERFPROBE_";
static unsigned complaints;
static _Atomic uint32_t changes;

static int parse_word(enum kind kind, const char *text, uint64_t *ret_value)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i].kind == kind && strcmp(words[i].text, text) == 0) {
			*ret_value = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

/* "50M/min", "1G/h", "100k/s": bytes per minute. */
static int parse_rate(const char *text, uint64_t *ret_per_min)
{
	const char *slash = strchr(text, '/');
	char bytes_text[32];
	uint64_t bytes;
	size_t len;

	if (strcmp(text, "off") == 0) {
		*ret_per_min = 0;
		return 0;
	}
	len = slash ? (size_t)(slash - text) : 0;
	if (len == 0 || len >= sizeof(bytes_text))
		return -EINVAL;
	memcpy(bytes_text, text, len);
	bytes_text[len] = '\0';
	if (units_parse_bytes(bytes_text, &bytes) < 0)
		return -EINVAL;
	if (strcmp(slash, "/min") == 0)
		*ret_per_min = bytes;
	else if (strcmp(slash, "/h") == 0)
		*ret_per_min = bytes / 60;
	else if (strcmp(slash, "/s") == 0)
		*ret_per_min = bytes * 60;
	else
		return -EINVAL;
	return 0;
}

/* "20%", or off: 0. */
static int parse_percent(const char *text, uint64_t *ret_percent)
{
	size_t len = strlen(text);
	char digits[8];

	if (strcmp(text, "off") == 0) {
		*ret_percent = 0;
		return 0;
	}
	if (len < 2 || text[len - 1] != '%' || len > sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len - 1);
	digits[len - 1] = '\0';
	return units_parse_count(digits, ret_percent) < 0 || *ret_percent < 1 || *ret_percent > 100 ? -EINVAL : 0;
}

/* A number, or a name with or without SIG, of those that programs leave to their users; off: 0. */
static int parse_signal(const char *text, uint64_t *ret_signal)
{
	static const struct {
		const char *name;
		int number;
	} names[] = { { "HUP", SIGHUP },     { "QUIT", SIGQUIT }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 },
		      { "WINCH", SIGWINCH }, { "URG", SIGURG },   { "IO", SIGIO },     { "PWR", SIGPWR } };

	if (strcmp(text, "off") == 0) {
		*ret_signal = 0;
		return 0;
	}
	if (strncmp(text, "SIG", 3) == 0)
		text += 3;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i].name, text) == 0) {
			*ret_signal = (uint64_t)names[i].number;
			return 0;
		}
	return units_parse_count(text, ret_signal);
}

static int parse_limit(struct config *c, const char *text, uint64_t *ret_value)
{
	uint64_t percent;
	int rc = 0;

	if (!strchr(text, '%')) {
		if (strcmp(text, "off") == 0)
			*ret_value = 0;
		else
			rc = units_parse_bytes(text, ret_value);
		if (rc == 0)
			c->memory_is_percent = false;
		return rc;
	}
	if (parse_percent(text, &percent) < 0)
		return -EINVAL;
	c->memory_is_percent = true;
	*ret_value = percent;
	return 0;
}

static int parse_value(struct config *c, enum kind kind, const char *text, uint64_t *ret_value)
{
	switch (kind) {
	case KIND_PATH:
	case KIND_WORD:
		if (strlen(text) >= PATH_MAX)
			return -ERANGE;
		*ret_value = *text != '\0' && strcmp(text, "off") != 0;
		return 0;
	case KIND_COUNT:
		return units_parse_count(text, ret_value);
	case KIND_BYTES:
		return units_parse_bytes(text, ret_value);
	case KIND_DURATION:
		if (strcmp(text, "off") == 0) {
			*ret_value = 0;
			return 0;
		}
		return units_parse_duration(text, ret_value);
	case KIND_LIMIT:
		return parse_limit(c, text, ret_value);
	case KIND_RATE:
		return parse_rate(text, ret_value);
	case KIND_PERCENT:
		return parse_percent(text, ret_value);
	case KIND_SIGNAL:
		return parse_signal(text, ret_value);
	case KIND_SWITCH:
	case KIND_CHOICE_CLOCK:
	case KIND_CHOICE_HEAP:
	case KIND_CHOICE_LEAKS:
	case KIND_CHOICE_FOLLOW:
	case KIND_CHOICE_UNWIND:
		return parse_word(kind, text, ret_value);
	}
	return -EINVAL;
}

/* What parses but cannot work. Returns the reason, or NULL. */
static const char *out_of_range(enum config_index index, uint64_t value, const char *text)
{
	struct metrics_address address;

	if (index == CONFIG_CPU && value > 10000)
		return "more than 10000 samples per second";
	if (index == CONFIG_HEAP_INTERVAL && (value < 1 || value > UINT64_C(1) << 40))
		return "the interval must be 1 byte to 1T";
	if (index == CONFIG_EVERY && value != 0 && value < 10 * NS_PER_MS)
		return "the shortest interval is 10ms";
	if (index == CONFIG_WINDOW && (value < NS_PER_S || value > 3600 * NS_PER_S))
		return "the window must be 1s to 1h";
	if (index == CONFIG_METRICS)
		return metrics_address_parse(text, &address);
	/* Signals that no handler can have, that tell of faults, that libc needs, or that are ours. */
	if (index == CONFIG_SIGNAL && value != 0 &&
	    (value > 64 || value == SIGKILL || value == SIGSTOP || value == SIGSEGV || value == SIGBUS ||
	     value == SIGILL || value == SIGFPE || value == SIGTRAP || value == SIGABRT || value == SIGPROF ||
	     value == SIGCHLD || value == SIGTERM || value == SIGINT || value == 32 || value == 33))
		return "not a signal that can be spared for this";
	if (index == CONFIG_LATENCY_COUNT && (value < 1 || value > 1000))
		return "1 to 1000";
	return NULL;
}

static void set_option(struct config *c, enum config_index index, const char *text)
{
	const struct option *o = &options[index];
	const char *why;
	uint64_t value = 0;
	int rc = parse_value(c, o->kind, text, &value);

	why = rc < 0 ? (rc == -ERANGE ? "too large" : o->help) : out_of_range(index, value, text);
	if (why) {
		complaints++;
		say("PERFPROBE_", o->name, "='", text, "' is not usable (", why, "); keeping ",
		    *o->def ? o->def : "the default", NULL);
		return;
	}
	memcpy((char *)c + o->offset, &value, sizeof(value));
	c->text[index] = text;
	c->source[index] = SNAP_OPTION_ENVIRONMENT;
	if (o->state == LATER && strcmp(text, o->def) != 0) {
		complaints++;
		say("PERFPROBE_", o->name, " is not built yet: it is accepted and has no effect", NULL);
	}
}

static void set_named(struct config *c, const char *name, size_t name_len, const char *text)
{
	char unknown[64];

	enum config_index index = config_find(name, name_len);

	if (index != CONFIG_COUNT) {
		set_option(c, index, text);
		return;
	}
	if (name_len == 3 && memcmp(name, "LIB", 3) == 0)
		return; /* the launcher's own: where the library is */
	if (name_len == 12 && memcmp(name, "SYMBOL_CACHE", 12) == 0)
		return; /* probe-analyze's own */
	if (name_len >= sizeof(unknown))
		name_len = sizeof(unknown) - 1;
	memcpy(unknown, name, name_len);
	unknown[name_len] = '\0';
	complaints++;
	say("unknown variable PERFPROBE_", unknown, " (ignored)", NULL);
}

enum config_index config_find(const char *name, size_t name_len)
{
	unsigned i = 0;

	while (i < CONFIG_COUNT &&
	       (strlen(options[i].name) != name_len || memcmp(options[i].name, name, name_len) != 0))
		i++;
	return (enum config_index)i;
}

/* "PERFPROBE_NAME" and what is wrong with it. */
static int refuse(const struct option *o, const char *what, char *why, size_t size)
{
	why[0] = '\0';
	say_append(why, size, prefix);
	say_append(why, size, o->name);
	say_append(why, size, what);
	return -EINVAL;
}

/* Memory for the text of a value that was set, one for each option, used again by the next. */
static char *text_place(enum config_index index)
{
	static char *places[CONFIG_COUNT];

	if (!places[index])
		places[index] = os_map(PATH_MAX);
	return places[index];
}

int config_set(struct config *c, enum config_index index, const char *text, char *why, size_t why_size)
{
	const struct option *o = &options[index];
	const char *reason;
	uint64_t value = 0;
	char *place;
	int rc;

	if (o->state == LATER)
		return refuse(o, " is not built yet", why, why_size);
	if (o->state != RUNTIME)
		return refuse(o, " cannot change while the program runs", why, why_size);
	rc = strlen(text) < PATH_MAX ? parse_value(c, o->kind, text, &value) : -ERANGE;
	reason = rc < 0 ? (rc == -ERANGE ? "too large" : o->help) : out_of_range(index, value, text);
	if (reason) {
		(void)refuse(o, "='", why, why_size);
		say_append(why, why_size, text);
		say_append(why, why_size, "' is not usable (");
		say_append(why, why_size, reason);
		say_append(why, why_size, ")");
		return -EINVAL;
	}
	place = text_place(index);
	if (!place)
		return refuse(o, ": there is no memory for its value", why, why_size);
	place[0] = '\0';
	say_append(place, PATH_MAX, text);
	/* In one store: a program's thread that forks reads some of them. */
	publish_plain((uint64_t *)(void *)((char *)c + o->offset), value);
	c->text[index] = place;
	c->source[index] = SNAP_OPTION_RUNTIME;
	add_relaxed(&changes, 1); /* a figure: orders nothing */
	return 0;
}

uint32_t config_changes(void)
{
	return load_relaxed(&changes);
}

void config_parse(struct config *ret_config, char **env)
{
	struct config *c = ret_config;

	memset(c, 0, sizeof(*c));
	complaints = 0;
	for (size_t i = 0; i < CONFIG_COUNT; i++) {
		uint64_t value = 0;

		(void)parse_value(c, options[i].kind, options[i].def,
		                  &value); /* the table's defaults: tested to parse */
		memcpy((char *)c + options[i].offset, &value, sizeof(value));
		c->text[i] = options[i].def;
	}
	for (; env && *env; env++) {
		const char *equals = strchr(*env, '=');

		if (strncmp(*env, prefix, sizeof(prefix) - 1) == 0 && equals)
			set_named(c, *env + sizeof(prefix) - 1, (size_t)(equals - *env) - (sizeof(prefix) - 1),
			          equals + 1);
	}
}

const char *config_name(enum config_index index)
{
	return options[index].name;
}

unsigned config_complaints(void)
{
	return complaints;
}
