/* Private to export_firefox.c and export_firefox_threads.c: the state of one file under way. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "arena.h"
#include "buf.h"
#include "compiler.h"
#include "export.h"
#include "export_modules.h"
#include "functions.h"
#include "intern.h"
#include "json_write.h"
#include "model.h"
#include "profile.h"

struct firefox_node {
	uint32_t parent1, frame; /* parent's number + 1; 0: none */
};

struct firefox {
	struct json json;
	const struct profile *p;
	const struct export_options *o;
	struct functions functions;
	struct export_modules modules;
	struct arena arena;
	struct intern strings, sources, nodes;
	uint32_t *end_of_stack; /* the profile's stack -> node */
	uint32_t *inline_depth; /* by frame: how many inlined functions out to the one that has the code */
	uint32_t *module_of;    /* by function */
	struct buf text, title;
	bool failed;
};

/* The string's number in the file. */
uint64_t firefox_string(struct firefox *w, const char *text);
/* Milliseconds since recording began. */
double firefox_ms(const struct profile *p, uint64_t at_ns);
/* The number, or null. */
void firefox_number(struct firefox *w, uint64_t n, bool known);
/* Opens the member `key`, a table; the caller ends the object. */
void firefox_table(struct firefox *w, const char *key, size_t length);
/* The member "markerSchema": how requests and marks are shown. */
void firefox_marker_schema(struct firefox *w);
/* The member "threads". 0 or -ENOMEM. */
int firefox_threads(struct firefox *w) MUST_USE;
