/* Which snapshots belong to one recording, and which is its last.
 * What a snapshot holds is cumulative from the start of its recording: each later one of the same recording holds all that
 * the earlier ones do (but for the window's samples). So of each recording one file counts. A recording is told by the run of
 * the kernel, the process and the time at which it began; a program that starts another by exec, or forks, begins a new one.
 * Errors       0 or -errno with a sentence. Hosted programs; one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "arena.h"
#include "compiler.h"
#include "err.h"
#include "intern.h"

struct recording {
	const char *path; /* of its last snapshot */
	uint64_t start_wall_ns, pid, end_ns, sequence;
	uint64_t files; /* that it has */
};

struct recordings {
	struct recording *items;
	size_t count, cap;
	uint64_t files;      /* looked at */
	uint64_t unreadable; /* of those found in directories; left out */
	uint64_t merged; /* results of a merge found in directories; left out, since their parts may lie beside them */
	struct err first_unreadable;
	/* The file that is to be written: never an input. */
	dev_t output_device;
	ino_t output_inode;
	bool has_output;
	/* The directory that is being looked through. */
	void *dir;
	const char *dir_path;
	struct intern keys, paths;
	struct arena arena;
};

void recordings_init(struct recordings *r, const char *output);
void recordings_done(struct recordings *r);
/* A file is looked at here; it must be readable, and may be the result of a merge. A directory is opened: its files follow by
 * recordings_step(), until that returns false. */
int recordings_add(struct recordings *r, const char *path, struct err *err) MUST_USE;
/* The next .snap or .live of the directory. *ret_rc: -ENOMEM; files that cannot be read are counted. */
bool recordings_step(struct recordings *r, int *ret_rc, struct err *err);
/* By the time of their start, then by process. */
void recordings_sort(struct recordings *r);
