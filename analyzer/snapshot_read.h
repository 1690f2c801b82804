/* Untrusted bytes to a validated model. Normative text: docs/snapshot-format.md.
 * Errors: one sentence; -EPROTO for bytes that are no snapshot of a version read here, -ENOMEM, or the errno of open/read.
 * Limits: files of up to 4 GiB; memory follows what the bytes hold, never what they claim. Hosted programs, any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "compiler.h"
#include "err.h"

struct model;

/* `data` may be freed afterwards: the model keeps copies. The caller frees *ret_model with model_free(). */
int snapshot_read(const uint8_t *data, size_t bytes, struct model **ret_model, struct err *err) MUST_USE;
/* A file, a pipe, or "-" for standard input. The sentence starts with the path. */
int snapshot_open(const char *path, struct model **ret_model, struct err *err) MUST_USE;
/* The same of an open file, which the caller closes; `name` is for the sentence. */
int snapshot_open_fd(int fd, const char *name, struct model **ret_model, struct err *err) MUST_USE;
/* The same of what the section INFO tells, with all checksums verified; the tables are empty (not those of a live file). */
int snapshot_open_info(const char *path, struct model **ret_model, struct err *err) MUST_USE;
