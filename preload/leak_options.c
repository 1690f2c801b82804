#include "leak_options.h"

#include <string.h>
#include <unistd.h>

#include "compiler.h"
#include "os_linux.h"
#include "say.h"
#include "snapshot_layout.h"

enum { WORD = 8 };

static const struct config *config;
static char suppressions[SNAP_MAX_STRING], lsan_file[1024];
static const char *lsan_default = "";
static unsigned step = WORD; /* bytes from one word that may be a pointer to the next */

const char *leak_options_suppressions(void)
{
	return suppressions;
}

/* Puts the file's lines behind the others. */
static void add_suppressions(const char *path)
{
	size_t len = strlen(suppressions);

	if (len + 1 < sizeof(suppressions) && path[0] &&
	    os_read_file(path, suppressions + len, sizeof(suppressions) - len) < 0)
		suppressions[len] = '\0';
	say_append(suppressions, sizeof(suppressions), "\n");
}

/* A program may bring its own, as for LeakSanitizer: seen where it exports its symbols. */
extern const char *__lsan_default_suppressions(void) __attribute__((weak));

void leak_options_read_suppressions(void)
{
	suppressions[0] = '\0';
	add_suppressions(config->text[CONFIG_SUPPRESSIONS]);
	add_suppressions(lsan_file);
	say_append(suppressions, sizeof(suppressions), lsan_default);
}

/* The value of `name` in options as LeakSanitizer has them, "a=b:c=d"; "" if it is not there. */
static void option_of(const char *options, const char *name, char *to, size_t size)
{
	size_t len = strlen(name), n;

	to[0] = '\0';
	while (options && *options) {
		if (strncmp(options, name, len) == 0 && options[len] == '=') {
			n = strcspn(options + len + 1, ":, \n\t");
			n = n < size - 1 ? n : size - 1;
			memcpy(to, options + len + 1, n);
			to[n] = '\0';
		}
		options += strcspn(options, ":, \n\t");
		options += *options != '\0';
	}
}

void leak_options_init(const struct config *with)
{
	static const char variable[] = "LSAN_OPTIONS=";
	char unaligned[8] = "";

	config = with;
	for (char **env = environ; env && *env; env++) {
		if (strncmp(*env, variable, sizeof(variable) - 1) != 0)
			continue;
		option_of(*env + sizeof(variable) - 1, "suppressions", lsan_file, sizeof(lsan_file));
		option_of(*env + sizeof(variable) - 1, "use_unaligned", unaligned, sizeof(unaligned));
	}
	step = unaligned[0] == '1' ? 1 : WORD;
	if (__lsan_default_suppressions)
		lsan_default = __lsan_default_suppressions();
}

unsigned leak_options_step(void)
{
	return step;
}
