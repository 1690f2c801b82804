/* Libraries that come and go, code before main, signal handlers, children. */
#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "leaks.h"

SITE(lost)
SITE(lost_child)
SITE(kept)

static void *volatile global;

SITE(lost_before_main)
SITE(kept_before_main)
static void *volatile early_kept;

/* Runs for every case, and is told by each: nothing of it may be forgotten. */
__attribute__((constructor)) static void before_main(void)
{
	(void)lost_before_main(31);
	early_kept = kept_before_main(32);
}
static void state_early(void)
{
	DIRECT(lost_before_main, 1, 31);
	KEPT(kept_before_main, 1, 32);
}

static void case_constructor(void)
{
	state_early();
}

static void *library;
static void **(*library_slot)(void);
static void *(*library_take)(size_t);

static void load(void)
{
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 32);

	path[length > 0 ? length : 0] = '\0';
	strcpy(strrchr(path, '/'), "/leaks_plugin.so");
	library = dlopen(path, RTLD_NOW);
	if (!library)
		abort();
	*(void **)(void *)&library_slot = dlsym(library, "plugin_slot");
	*(void **)(void *)&library_take = dlsym(library, "plugin_take");
}
static void unload(void)
{
	dlclose(library);
	library_slot = NULL;
	library_take = NULL;
	if (dlopen("leaks_plugin.so", RTLD_NOW | RTLD_NOLOAD))
		abort();
}

/* A global of a library that is loaded holds. */
static void case_library_holds(void)
{
	load();
	*library_slot() = kept(130);
	KEPT(kept, 1, 130);
	state_early();
}

/* With the library its globals go. */
static void case_unloaded_library_held(void)
{
	load();
	*library_slot() = lost(130);
	unload();
	DIRECT(lost, 1, 130);
	state_early();
}

static ALONE void *taken_by_library(size_t bytes)
{
	void *block = library_take(bytes);

	ESCAPE(block);
	return block;
}

/* Allocated by code that is not there any more. */
static void case_unloaded_library_allocated(void)
{
	load();
	(void)taken_by_library(140);
	global = taken_by_library(150);
	unload();
	DIRECT(taken_by_library, 1, 140);
	KEPT(taken_by_library, 1, 150);
	state_early();
}

static void case_library_loaded_often(void)
{
	for (int i = 0; i < 20; i++) {
		load();
		*library_slot() = lost(10);
		unload();
	}
	DIRECT(lost, 20, 200);
	state_early();
}

/* What the loader allocates for a library that stays loaded is its own. */
static void case_other_libraries(void)
{
	if (!dlopen("libm.so.6", RTLD_NOW | RTLD_GLOBAL) || !dlopen("libresolv.so.2", RTLD_LAZY))
		abort();
	if (dlopen("no-such-library.so", RTLD_NOW))
		abort();
	(void)dlerror();
	state_early();
}

static ALONE void *lost_in_handler(size_t bytes)
{
	void *block = malloc(bytes);

	return blank(block, bytes);
}
static void on_signal(int number)
{
	(void)lost_in_handler((size_t)number * 10);
}
static void case_signal_handler(void)
{
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1); /* here, not in the middle of malloc */
	raise(SIGUSR1);
	DIRECT(lost_in_handler, 2, 2 * SIGUSR1 * 10);
	state_early();
}

/* While a handler has interrupted it, a function's registers and locals are still its own. */
static void handler_that_stays(int number)
{
	(void)number;
	here_i_stay();
}
static void *interrupted(void *unused)
{
	void *volatile held = kept(160);

	signal(SIGUSR2, handler_that_stays);
	wipe();
	raise(SIGUSR2);
	ESCAPE(held);
	return unused;
}
static void case_interrupted_by_handler(void)
{
	start_and_wait(interrupted, NULL);
	KEPT(kept, 1, 160);
	state_early();
}

/* The child has what its parent lost before, and loses something itself; the parent never has that. */
static ALONE void lose_in_child(void)
{
	struct node *owner = (struct node *)lost_child(sizeof(*owner));

	owner->next = (struct node *)lost_child(sizeof(*owner));
}
static void case_forked_child(void)
{
	pid_t child;
	int status;

	(void)lost(170);
	global = kept(180);
	child = fork();
	if (child == 0) {
		deep(lose_in_child);
		wipe();
		exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		abort();
	DIRECT(lost, 1, 170);
	KEPT(kept, 1, 180);
	DIRECT_IN(child, lost, 1, 170);
	DIRECT_IN(child, lost_child, 1, sizeof(struct node));
	INDIRECT_IN(child, lost_child, 1, sizeof(struct node));
	DIRECT_IN(child, lost_before_main, 1, 31);
	state_early();
}

/* The child drops what the parent keeps. */
static void case_forked_child_drops(void)
{
	pid_t child;
	int status;

	global = kept(180);
	child = fork();
	if (child == 0) {
		global = NULL;
		exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		abort();
	KEPT(kept, 1, 180);
	DIRECT_IN(child, kept, 1, 180);
	DIRECT_IN(child, lost_before_main, 1, 31);
	state_early();
}

/* A destructor of the program frees what a global holds. */
static void *volatile for_destructor;
__attribute__((destructor)) static void after_exit(void)
{
	free(for_destructor);
	for_destructor = NULL;
}
static void case_destructor_frees(void)
{
	for_destructor = kept(190);
	KEPT(kept, 1, 190);
	state_early();
}

static const struct leak_case cases[] = {
	CASE(constructor),           CASE(library_holds),
	CASE(unloaded_library_held), CASE(unloaded_library_allocated),
	CASE(library_loaded_often),  CASE(other_libraries),
	CASE(signal_handler),        CASE(interrupted_by_handler),
	CASE(forked_child),          CASE(forked_child_drops),
	CASE(destructor_frees),
};
LEAKS_MAIN
