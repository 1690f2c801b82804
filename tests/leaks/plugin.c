/* A library that the programs load: with variables of threads and of its own. */
#include <stdlib.h>
#include <string.h>

static _Thread_local void *thread_slot[64];
static void *slot;

void **plugin_thread_slot(void);
void **plugin_slot(void);
void *plugin_take(size_t bytes);

void **plugin_thread_slot(void)
{
	return &thread_slot[33];
}

void **plugin_slot(void)
{
	return &slot;
}

void *plugin_take(size_t bytes)
{
	void *block = malloc(bytes);

	memset(block, 0, bytes);
	return block;
}

static void *early;
__attribute__((constructor)) static void on_load(void)
{
	early = plugin_take(321);
}
__attribute__((destructor)) static void on_unload(void)
{
	free(early);
}
