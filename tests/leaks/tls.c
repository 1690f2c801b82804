/* Memory of threads that is not their stack: static and dynamic TLS, values of keys. */
#include <dlfcn.h>
#include <limits.h>
#include <threads.h>

#include "leaks.h"

SITE(lost)
SITE(kept)

static _Thread_local void *volatile slot;
static _Thread_local char wide[20000]; /* far from the thread's pointer */

static void lose_one(void)
{
	(void)lost(99);
	DIRECT(lost, 1, 99);
}

static void case_static_tls(void)
{
	slot = kept(60);
	KEPT(kept, 1, 60);
	deep(lose_one);
}

static void case_static_tls_far(void)
{
	*(void *volatile *)(void *)(wide + 8192) = kept(60);
	KEPT(kept, 1, 60);
}

static void *stay_with_tls(void *unused)
{
	slot = kept(60);
	wipe();
	here_i_stay();
	return unused;
}
static void case_static_tls_of_thread(void)
{
	start_and_wait(stay_with_tls, NULL);
	KEPT(kept, 1, 60);
	deep(lose_one);
}

/* The library beside this program, whose thread variables need memory of their own in each thread. */
static void **(*library_slot)(void);

static void load_library(void)
{
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 32);
	void *library;

	path[length > 0 ? length : 0] = '\0';
	strcpy(strrchr(path, '/'), "/leaks_plugin.so");
	library = dlopen(path, RTLD_NOW);
	if (!library)
		abort();
	*(void **)(void *)&library_slot = dlsym(library, "plugin_thread_slot");
}

static void case_dynamic_tls(void)
{
	load_library();
	*library_slot() = kept(60);
	KEPT(kept, 1, 60);
	deep(lose_one);
}

static void *stay_with_dynamic_tls(void *unused)
{
	*library_slot() = kept(60);
	wipe();
	here_i_stay();
	return unused;
}
static void case_dynamic_tls_of_thread(void)
{
	load_library();
	start_and_wait(stay_with_dynamic_tls, NULL);
	KEPT(kept, 1, 60);
	deep(lose_one);
}

/* libc keeps the memory of such variables with the stack of the ended thread: it is not the program's leak. */
static void *end_with_dynamic_tls(void *unused)
{
	*library_slot() = kept(61);
	free(*library_slot());
	*library_slot() = NULL;
	return unused;
}
static void case_dynamic_tls_of_ended_thread(void)
{
	load_library();
	for (int i = 0; i < 5; i++)
		pthread_join(start(end_with_dynamic_tls, NULL), NULL);
	deep(lose_one);
}

static void *end_with_tls(void *unused)
{
	slot = lost(62);
	return unused;
}
static void case_static_tls_of_ended_thread(void)
{
	pthread_join(start(end_with_tls, NULL), NULL);
	DIRECT(lost, 1, 62);
}

/* The first 32 keys have their values in the thread's descriptor, the others in a block of libc's. */
static pthread_key_t low_key, high_key;

static void make_keys(void (*destructor)(void *))
{
	if (pthread_key_create(&low_key, destructor) != 0)
		abort();
	for (int i = 0; i < 100; i++)
		if (pthread_key_create(&high_key, destructor) != 0)
			abort();
}

static void case_key_low(void)
{
	make_keys(NULL);
	pthread_setspecific(low_key, kept(60));
	KEPT(kept, 1, 60);
	deep(lose_one);
}

static void case_key_high(void)
{
	make_keys(NULL);
	pthread_setspecific(high_key, kept(60));
	KEPT(kept, 1, 60);
	deep(lose_one);
}

static void *stay_with_keys(void *unused)
{
	pthread_setspecific(low_key, kept(60));
	pthread_setspecific(high_key, kept(70));
	wipe();
	here_i_stay();
	return unused;
}
static void case_keys_of_thread(void)
{
	make_keys(NULL);
	start_and_wait(stay_with_keys, NULL);
	KEPT(kept, 2, 130);
}

static void *end_with_keys(void *unused)
{
	pthread_setspecific(low_key, lost(60));
	pthread_setspecific(high_key, lost(70));
	return unused;
}
static void case_keys_of_ended_thread(void)
{
	make_keys(NULL);
	pthread_join(start(end_with_keys, NULL), NULL);
	DIRECT(lost, 2, 130);
}

static void case_keys_with_destructor(void)
{
	make_keys(free);
	pthread_join(start(end_with_keys, NULL), NULL);
}

static void case_key_overwritten(void)
{
	make_keys(NULL);
	pthread_setspecific(high_key, lost(60));
	pthread_setspecific(high_key, kept(70));
	DIRECT(lost, 1, 60);
	KEPT(kept, 1, 70);
}

static void case_tss(void)
{
	tss_t key;

	if (tss_create(&key, NULL) != thrd_success || tss_set(key, kept(60)) != thrd_success)
		abort();
	KEPT(kept, 1, 60);
}

static const struct leak_case cases[] = {
	CASE(static_tls),
	CASE(static_tls_far),
	CASE(static_tls_of_thread),
	CASE(dynamic_tls),
	CASE(dynamic_tls_of_thread),
	CASE(dynamic_tls_of_ended_thread),
	CASE(static_tls_of_ended_thread),
	CASE(key_low),
	CASE(key_high),
	CASE(keys_of_thread),
	CASE(keys_of_ended_thread),
	CASE(keys_with_destructor),
	CASE(key_overwritten),
	CASE(tss),
};
LEAKS_MAIN
