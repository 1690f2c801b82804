/* A pprof profile as what servers of continuous profiling take: the address, the headers and the body of a POST. Pure.
 * Errors       0 or -errno with a sentence. Hosted programs, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "compiler.h"
#include "err.h"
#include "export_pprof.h"

/* name on the command line, what is appended to the server's address, type of the body */
#define PUSH_FORMS(X)                                                                     \
	X(INGEST, "pyroscope", "/ingest", "multipart/form-data; boundary=" PUSH_BOUNDARY) \
	X(PUSH_V1, "pyroscope-push", "/push.v1.PusherService/Push", "application/json")   \
	X(PARCA, "parca", "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw", "application/grpc-web+proto")
#define PUSH_FORM_VALUE                        (&PUSH_FORMS(PUSH_FORM_CHOICE)[1])
#define PUSH_FORM_CHOICE(id, name, path, type) "|" name
/* gzip's bytes are as good as random: 40 of these do not occur in them. */
#define PUSH_BOUNDARY "perfprobe-9d1f6c2ab84e4f7da3c05e7768b1f02c"

enum push_form {
#define PUSH_FORM_ENUM(id, name, path, type) PUSH_##id,
	PUSH_FORMS(PUSH_FORM_ENUM)
#undef PUSH_FORM_ENUM
	        PUSH_FORM_COUNT
};

enum { PUSH_LABELS = 64 };
struct push_label {
	const char *name, *value; /* name: letters, digits and _ */
};

struct push {
	enum push_form form;
	const char *server; /* http:// or https:// */
	const char *service;
	struct push_label labels[PUSH_LABELS];
	size_t label_count;
	const char *kind; /* "process_cpu", "wall", "memory": what the columns are of */
	uint64_t start_wall_ns, end_wall_ns, period_ns;
	struct export_pprof_column columns[EXPORT_PPROF_COLUMNS];
	size_t column_count;
	const void *pprof;
	size_t pprof_bytes;
	uint8_t id[16]; /* random: the same one when it is sent again */
};

const char *push_content_type(enum push_form form);
int push_form_parse(const char *name, enum push_form *ret, struct err *err) MUST_USE;
/* "name=value" into labels; the copy of `text` is the caller's and is cut in two. */
int push_add_label(struct push *p, char *text, struct err *err) MUST_USE;
/* An http or https address without a name and password in it. `ret_plain`: a token in it could be read on the way. */
int push_check_server(const char *server, bool *ret_plain, struct err *err) MUST_USE;
/* Appends the address and the body. */
int push_build(const struct push *p, struct buf *url, struct buf *body, struct err *err) MUST_USE;
