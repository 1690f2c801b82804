/* Which Debian package a file is from, and which has its debug information: from dpkg's lists of files (dpkg(1)), the
 * sysroot's if there is one. Hosted programs; one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"

/* Zeroed before the first use. */
struct symbolize_packages {
	bool loaded;
	struct buf lists;
};

/* The package that has `path`, or with `debug` the one with its debug information; "" if dpkg knows of none. */
void symbolize_packages_find(struct symbolize_packages *p, const char *sysroot, const char *path, char *ret_package,
                             size_t size, bool debug);
void symbolize_packages_done(struct symbolize_packages *p);
