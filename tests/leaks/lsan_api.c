/* What a program says to LeakSanitizer, in its own words. Without it, and without the library, the names are not there and
 * nothing is said. */
#include <sys/mman.h>

#include "leaks.h"

void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));
void __lsan_ignore_object(const void *p) __attribute__((weak));
void __lsan_register_root_region(const void *p, size_t size) __attribute__((weak));
void __lsan_unregister_root_region(const void *p, size_t size) __attribute__((weak));
void __lsan_do_leak_check(void) __attribute__((weak));
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "# known\nleak:suppressed_by_name\nleak:^suppressed_by_*_pattern$\n";
}

SITE(lost)
SITE(lost_child)
SITE(kept)
SITE(ignored)
SITE(ignored_child)
SITE(suppressed_by_name)
SITE(suppressed_by_long_pattern)
SITE(not_suppressed_by_long_pattern_)

#define CALL(function, ...)                    \
	do {                                   \
		if (function)                  \
			function(__VA_ARGS__); \
	} while (0)

static void case_ignored_object(void)
{
	CALL(__lsan_ignore_object, ignored(50));
	(void)lost(51);
	KEPT(ignored, 1, 50);
	DIRECT(lost, 1, 51);
}

/* What an ignored block holds is held. */
static void case_ignored_object_holds(void)
{
	struct node *owner = (struct node *)ignored(sizeof(*owner));

	owner->next = chain(ignored_child, 3, NULL);
	CALL(__lsan_ignore_object, owner);
	KEPT(ignored, 1, sizeof(*owner));
	KEPT(ignored_child, 3, 3 * sizeof(*owner));
}

/* Named by a pointer into its middle. */
static void case_ignored_by_interior_pointer(void)
{
	CALL(__lsan_ignore_object, (char *)ignored(50) + 20);
	KEPT(ignored, 1, 50);
}

static void case_disabled(void)
{
	(void)lost(52);
	CALL(__lsan_disable);
	(void)ignored(53);
	CALL(__lsan_disable); /* they nest */
	(void)ignored(54);
	CALL(__lsan_enable);
	(void)ignored(55);
	CALL(__lsan_enable);
	(void)lost(56);
	DIRECT(lost, 2, 108);
	KEPT(ignored, 3, 162);
}

static void case_disabled_holds(void)
{
	struct node *owner;

	CALL(__lsan_disable);
	owner = (struct node *)ignored(sizeof(*owner));
	CALL(__lsan_enable);
	owner->next = chain(ignored_child, 2, NULL);
	KEPT(ignored, 1, sizeof(*owner));
	KEPT(ignored_child, 2, 2 * sizeof(*owner));
}

/* For the thread that says so, not for others. */
static void *lose_one(void *unused)
{
	(void)lost(57);
	return unused;
}
static void case_disabled_in_one_thread(void)
{
	CALL(__lsan_disable);
	pthread_join(start(lose_one, NULL), NULL);
	CALL(__lsan_enable);
	DIRECT(lost, 1, 57);
}

/* Grown while recording was off: the block that realloc makes is a new one. */
static void case_disabled_realloc(void)
{
	void *block = lost(58);

	CALL(__lsan_disable);
	block = realloc(block, 5800);
	CALL(__lsan_enable);
	ESCAPE(block);
	KEPT(case_disabled_realloc, 1, 5800);
}

/* A mapping that the program names: LeakSanitizer does not look into mappings by itself. */
static void case_root_region(void)
{
	size_t bytes = 16 * 4096;
	void **pool = (void **)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CALL(__lsan_register_root_region, pool, bytes);
	pool[500] = kept(60);
	KEPT(kept, 1, 60);
}

/* Within a lost block: the block is lost, what the region points to is not. */
static void case_root_region_in_lost_block(void)
{
	void **block = (void **)lost(800);

	block[50] = kept(61);
	block[90] = lost_child(62);
	CALL(__lsan_register_root_region, block, 480);
	DIRECT(lost, 1, 800);
	INDIRECT(lost_child, 1, 62);
	KEPT(kept, 1, 61);
}

static void case_root_region_taken_back(void)
{
	void **block = (void **)lost(800);

	block[50] = lost_child(61);
	CALL(__lsan_register_root_region, block, 480);
	CALL(__lsan_unregister_root_region, block, 480);
	DIRECT(lost, 1, 800);
	INDIRECT(lost_child, 1, 61);
}

static void case_named_suppression(void)
{
	(void)suppressed_by_name(63);
	(void)lost(64);
	DIRECT(lost, 1, 64);
	KEPT(suppressed_by_name, 1, 63);
}

static void case_pattern_suppression(void)
{
	(void)suppressed_by_long_pattern(63);
	(void)not_suppressed_by_long_pattern_(64);
	DIRECT(not_suppressed_by_long_pattern_, 1, 64);
	KEPT(suppressed_by_long_pattern, 1, 63);
}

/* What only a suppressed leak holds is not told either. */
static void case_suppressed_owner(void)
{
	struct node *owner = (struct node *)suppressed_by_name(sizeof(*owner));

	owner->next = chain(kept, 3, NULL);
	KEPT(suppressed_by_name, 1, sizeof(*owner));
	KEPT(kept, 3, 3 * sizeof(*owner));
}

/* May be asked again and again; says whether there are leaks now, and ends nothing. */
static int ask(void)
{
	wipe();
	return __lsan_do_recoverable_leak_check ? __lsan_do_recoverable_leak_check() : -1;
}
static void lose_two(void)
{
	(void)lost(65);
	(void)lost(66);
}
static void case_recoverable_check(void)
{
	int none = ask(), some;

	deep(lose_two);
	some = ask();
	if (none >= 0) {
		answer("expect", "before", 0);
		answer("found", "before", none != 0);
		answer("expect", "after", 1);
		answer("found", "after", some != 0);
	}
	DIRECT(lost, 2, 131);
}

/* Nothing is lost: the program goes on. */
static void *volatile global;
static void case_check_finds_nothing(void)
{
	global = kept(67);
	wipe();
	CALL(__lsan_do_leak_check);
	KEPT(kept, 1, 67);
}

static const struct leak_case cases[] = {
	CASE(ignored_object),
	CASE(ignored_object_holds),
	CASE(ignored_by_interior_pointer),
	CASE(disabled),
	CASE(disabled_holds),
	CASE(disabled_in_one_thread),
	CASE(disabled_realloc),
	CASE(root_region),
	CASE(root_region_in_lost_block),
	CASE(root_region_taken_back),
	CASE(named_suppression),
	CASE(pattern_suppression),
	CASE(suppressed_owner),
	CASE(recoverable_check),
	CASE(check_finds_nothing),
};
LEAKS_MAIN
