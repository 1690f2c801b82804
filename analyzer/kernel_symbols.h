/* Names of the running kernel's functions, from /proc/kallsyms (proc(5)).
 * Context    hosted programs; one thread at a time.
 * Ownership  names live as long as the object. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct kernel_symbols;

/* Those of the kernel that runs now, if that is the run called `boot` (random(4), boot_id) and says where its functions are: to root,
 * or with kernel.kptr_restrict=0. Else without names. NULL: no memory. */
struct kernel_symbols *kernel_symbols_new(const char *boot);
/* Is the kernel's run that goes on now the one called `boot`? */
bool kernel_symbols_is_boot(const char *boot);
/* The same from lines in the form of /proc/kallsyms. */
struct kernel_symbols *kernel_symbols_read(FILE *lines);
void kernel_symbols_free(struct kernel_symbols *k);
/* The function that the address is in, and its module: "[kernel]", or a kernel module's name in brackets. NULL: it is not known; so
 * for k == NULL. */
const char *kernel_symbols_find(const struct kernel_symbols *k, uint64_t address, const char **ret_module);
