/* Blocks that libc makes for the program, and those that it keeps for itself. */
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <iconv.h>
#include <libintl.h>
#include <limits.h>
#include <locale.h>
#include <netdb.h>
#include <regex.h>
#include <search.h>
#include <time.h>
#include <wchar.h>

#include "leaks.h"

SITE(lost)
SITE(kept)

static void *volatile global;

#define MAKER(name, type, expression)   \
	static ALONE type name(void)    \
	{                               \
		type made = expression; \
                                        \
		if (!made)              \
			abort();        \
		ESCAPE(made);           \
		return made;            \
	}
MAKER(copied, char *, strdup("twenty-three characters"))
MAKER(copied_part, char *, strndup("twenty-three characters", 6))
MAKER(copied_wide, wchar_t *, wcsdup(L"wide"))
MAKER(real_path, char *, realpath("/proc/self/../self/../../proc", NULL))
MAKER(directory, DIR *, opendir("/proc/self"))
MAKER(stream, FILE *, fopen("/dev/null", "w"))
MAKER(converter, iconv_t, iconv_open("UTF-16LE", "ISO-8859-1"))
MAKER(own_locale, locale_t, newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0))

static void case_strdup(void)
{
	(void)copied();
	(void)copied_part();
	(void)copied_wide();
	global = copied();
	DIRECT(copied, 1, 24);
	DIRECT(copied_part, 1, 7);
	DIRECT(copied_wide, 1, 20);
	KEPT(copied, 1, 24);
}

static void case_realpath(void)
{
	(void)real_path();
	DIRECT(real_path, 1, UNKNOWN);
}

static ALONE char *formatted(int number)
{
	char *text = NULL;

	if (asprintf(&text, "number %d", number) < 0)
		abort();
	return text;
}
static void case_asprintf(void)
{
	(void)formatted(1);
	global = formatted(22);
	DIRECT(formatted, 1, UNKNOWN);
	KEPT(formatted, 1, UNKNOWN);
}

static ALONE char *line_of(FILE *file)
{
	char *line = NULL;
	size_t room = 0;

	if (getline(&line, &room, file) < 0)
		abort();
	return line;
}
static void case_getline(void)
{
	FILE *file = fopen("/proc/self/status", "r");

	if (!file)
		abort();
	(void)line_of(file);
	global = line_of(file);
	fclose(file);
	DIRECT(line_of, 1, UNKNOWN);
	KEPT(line_of, 1, UNKNOWN);
}

static void case_opendir(void)
{
	(void)directory();
	global = directory();
	DIRECT(directory, 1, UNKNOWN);
	KEPT(directory, 1, UNKNOWN);
}

/* libc has a list of all streams: one that is never closed is no lost memory, nor is its buffer. */
static void case_fopen(void)
{
	FILE *file = stream();

	fputs("text", file);
	ESCAPE(file);
	KEPT(stream, 1, UNKNOWN);
}

/* In front of its arena libc has data of its own, stdin and the text domain among them: roots, whichever of the arena's lists have
 * a free block. */
static ALONE void push_back(void)
{
	if (ungetc('x', stdin) != 'x')
		abort();
}
static ALONE void name_domain(void)
{
	if (!textdomain("leaks"))
		abort();
}
static void case_data_beside_arena(void)
{
	void *freed[8]; /* seven of one size are put aside, not into a list */

	for (int i = 0; i < 8; i++)
		freed[i] = malloc(900);
	global = kept(24); /* keeps the free block from being one with the rest of the heap */
	push_back();
	name_domain();
	for (int i = 0; i < 8; i++)
		free(freed[i]);
	free(malloc(100000)); /* looks through the free blocks and puts each into the list of its size */
	KEPT(kept, 1, 24);
	KEPT(push_back, 1, UNKNOWN);
	KEPT(name_domain, 1, UNKNOWN);
}

static void case_fopen_closed(void)
{
	fclose(stream());
}

static void case_own_buffer_of_stream(void)
{
	FILE *file = stream();

	setvbuf(file, (char *)kept(5000), _IOFBF, 5000);
	fputs("text", file);
	KEPT(kept, 1, 5000);
	KEPT(stream, 1, UNKNOWN);
}

/* The stream writes into a block that it hands out: closed and not freed. */
static ALONE void write_into_memory(void)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	fputs("some text", file);
	fclose(file);
}
static void case_open_memstream(void)
{
	write_into_memory();
	DIRECT(write_into_memory, 1, UNKNOWN);
}

static ALONE void look_up(void)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;

	if (getaddrinfo("127.0.0.1", "80", &hints, &found) != 0)
		abort();
	ESCAPE(found);
}
static void case_getaddrinfo(void)
{
	look_up();
	DIRECT(look_up, 1, UNKNOWN);
}

static int is_directory(const struct dirent *entry)
{
	return entry->d_name[0] == '.';
}
static ALONE void scan(void)
{
	struct dirent **entries = NULL;

	if (scandir("/proc/self/fd", &entries, is_directory, NULL) != 2)
		abort();
	ESCAPE(entries);
}
static void case_scandir(void)
{
	scan();
	DIRECT(scan, 1, UNKNOWN);
	INDIRECT(scan, 2, UNKNOWN);
}

static ALONE void match_names(void)
{
	glob_t found;

	if (glob("/proc/self/statu[s]", 0, NULL, &found) != 0 || found.gl_pathc != 1)
		abort();
}
static void case_glob(void)
{
	match_names();
	DIRECT(match_names, 1, UNKNOWN);
	INDIRECT(match_names, 1, UNKNOWN);
}

static void case_regcomp(void)
{
	static regex_t kept_pattern;
	regex_t pattern;

	if (regcomp(&kept_pattern, "a(b|c)*[0-9]+", REG_EXTENDED) != 0 ||
	    regexec(&kept_pattern, "abc1", 0, NULL, 0) != 0)
		abort();
	if (regcomp(&pattern, "a(b|c)*[0-9]+", REG_EXTENDED) != 0 || regexec(&pattern, "abc1", 0, NULL, 0) != 0)
		abort();
	regfree(&pattern);
}

static int compare(const void *a, const void *b)
{
	return strcmp((const char *)a, (const char *)b);
}
static ALONE void insert(void **root, const char *key)
{
	if (!tsearch(key, root, compare))
		abort();
}
static const char *const keys[] = { "one", "two", "three", "four", "five", "six", "seven", "eight" };

/* The nodes have the colour in the low bit of their pointers. */
static void case_tsearch_kept(void)
{
	static void *root;

	for (int i = 0; i < 8; i++)
		insert(&root, keys[i]);
	KEPT(insert, 8, 8 * 24);
}
static void case_tsearch_lost(void)
{
	void *root = NULL;

	for (int i = 0; i < 8; i++)
		insert(&root, keys[i]);
	DIRECT(insert, 1, 24);
	INDIRECT(insert, 7, 7 * 24);
}

static void case_hsearch(void)
{
	ENTRY entry = { (char *)(uintptr_t) "key", NULL };

	if (!hcreate(30))
		abort();
	entry.data = kept(45);
	if (!hsearch(entry, ENTER))
		abort();
	KEPT(kept, 1, 45);
}

static void case_environment(void)
{
	char *text = (char *)kept(20);

	strcpy(text, "LEAKS_ONE=1");
	if (putenv(text) != 0 || setenv("LEAKS_TWO", "2", 1) != 0 || setenv("LEAKS_TWO", "other", 1) != 0)
		abort();
	KEPT(kept, 1, 20);
}

static void case_clearenv(void)
{
	char *text = (char *)lost(20);

	strcpy(text, "LEAKS_ONE=1");
	if (putenv(text) != 0 || unsetenv("LEAKS_ONE") != 0)
		abort();
	DIRECT(lost, 1, 20);
}

/* What libc keeps of locales, conversions, time zones and users is its own, not a leak of the program. */
static void case_locale(void)
{
	global = own_locale();
	uselocale((locale_t)global);
	if (!setlocale(LC_ALL, "C.UTF-8"))
		abort();
	KEPT(own_locale, 1, UNKNOWN);
}
static void case_locale_lost(void)
{
	(void)own_locale();
	DIRECT(own_locale, 1, UNKNOWN);
}

static void case_iconv(void)
{
	global = converter();
	iconv_close(converter());
	KEPT(converter, 1, UNKNOWN);
}

static void case_time_zone(void)
{
	time_t now = time(NULL);
	struct tm parts;

	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	setenv("TZ", "XYZ-3ABC,M3.2.0,M11.1.0", 1);
	tzset();
	if (!localtime_r(&now, &parts) || !localtime(&now))
		abort();
}

static void case_servers_and_users(void)
{
	(void)getservbyname("http", "tcp");
	(void)getprotobyname("tcp");
	(void)gethostbyname("127.0.0.1");
	if (getc(fopen("/proc/self/comm", "r")) == EOF)
		abort();
}

static void freed_at_exit(void)
{
	free(global);
	global = NULL;
}
static void case_atexit_frees(void)
{
	global = kept(66);
	atexit(freed_at_exit);
	KEPT(kept, 1, 66);
}

/* libc's table of handlers grows into the heap. */
static void nothing(void)
{
}
static void case_many_atexit_handlers(void)
{
	for (int i = 0; i < 200; i++)
		atexit(nothing);
}

/* A handler that gives up the last pointer: lost at the end only. */
static void forgotten_at_exit(void)
{
	global = NULL;
}
static void case_atexit_forgets(void)
{
	global = lost(67);
	atexit(forgotten_at_exit);
	DIRECT_IN(exit, lost, 1, 67);
}

/* A handler that allocates and loses. */
static void lose_one(void)
{
	(void)lost(68);
}
static void lost_at_exit(void)
{
	deep(lose_one);
	wipe();
}
static void case_atexit_loses(void)
{
	atexit(lost_at_exit);
	DIRECT_IN(exit, lost, 1, 68);
}

static void case_on_exit_argument(void)
{
	on_exit((void (*)(int, void *))(void *)nothing, kept(69));
	KEPT(kept, 1, 69);
}

static const struct leak_case cases[] = {
	CASE(strdup),
	CASE(realpath),
	CASE(asprintf),
	CASE(getline),
	CASE(opendir),
	CASE(fopen),
	CASE(fopen_closed),
	CASE(data_beside_arena),
	CASE(own_buffer_of_stream),
	CASE(open_memstream),
	CASE(getaddrinfo),
	CASE(scandir),
	CASE(glob),
	CASE(regcomp),
	CASE(tsearch_kept),
	CASE(tsearch_lost),
	CASE(hsearch),
	CASE(environment),
	CASE(clearenv),
	CASE(locale),
	CASE(locale_lost),
	CASE(iconv),
	CASE(time_zone),
	CASE(servers_and_users),
	CASE(atexit_frees),
	CASE(many_atexit_handlers),
	CASE(atexit_forgets),
	CASE(atexit_loses),
	CASE(on_exit_argument),
};
LEAKS_MAIN
