/* Private to the exporters: the modules that frames are in, each once, and what the snapshot knows of them. Linear.
 * Context: hosted programs, any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "compiler.h"

struct model;
struct model_module;
struct profile_frame;

#define EXPORT_NO_MODULE UINT32_MAX

struct export_module {
	const char *path;                 /* the frames' */
	const struct model_module *about; /* NULL: the snapshot is not at hand, or does not know it */
};

struct export_modules {
	struct export_module *items; /* in order of first appearance */
	uint32_t *of_frame;          /* EXPORT_NO_MODULE for special frames */
	size_t count;
};

/* `m` may be NULL. A module that was loaded several times counts once, as it was first. 0 or -ENOMEM. */
int export_modules_get(const struct profile_frame *frames, size_t count, const struct model *m,
                       struct export_modules *ret) MUST_USE;
void export_modules_done(struct export_modules *t);
/* Its build-id in lower-case hexadecimal digits; nothing if it is not known. */
void export_build_id(struct buf *out, const struct export_module *m);
