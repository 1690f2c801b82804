/* What the loaders have in common. */
#pragma once
#include "doc.h"
#include "load.h"

/* One plan being loaded. The first refusal is kept in `err`; loaders look at `refused` where they would go on for long. */
struct load {
	struct testplan *plan;
	const struct load_options *options;
	struct dialect dialect;
	struct err *err;
	bool refused;
	unsigned depth;                  /* of steps */
	const char *base;                /* target URL, or NULL */
	uint32_t base_origin;            /* TESTPLAN_NO_ORIGIN: none, or it varies */
	const char *base_path;           /* what stands before every relative target */
	struct testplan_header *headers; /* of all requests */
	size_t header_count;
	bool follow_redirects;
};

/* "LINE: reason"; the path is put in front by load_plan(). Returns false. */
bool load_refuse(struct load *l, uint32_t line, const char *fmt, ...) PRINTF(3, 4);
/* A file that the plan names, from beside the plan. NULL: a warning or refusal was given. */
const char *load_file(struct load *l, uint32_t line, const char *path, size_t max, size_t *ret_len);
/* The URL that relative targets are relative to. */
bool load_base(struct load *l, uint32_t line, const char *url);
/* Where a request goes: sets origin and target. */
bool load_target(struct load *l, uint32_t line, struct testplan_request *r, const char *url,
                 const struct template *query);
/* A header, in place of one of that name if `replace`. */
void load_header(struct load *l, struct testplan_request *r, const char *name, const struct template *value,
                 bool replace);
bool load_has_header(const struct testplan_request *r, const char *name);
void load_basic_auth(struct load *l, struct testplan_request *r, const struct template *user_and_password);
struct capture *load_add_capture(struct load *l, struct testplan_request *r);
struct check *load_add_check(struct load *l, struct testplan_request *r, const char *name, uint32_t line);
/* One more thing that a check expects. */
bool load_expect(struct load *l, struct check *c, const char *text);
/* A header's name: a token (RFC 9110), so that it cannot end its line. */
bool load_is_token(const char *text);
/* Slots of CAPTURE_ALL: NAME_1, ... */
void load_all_slots(struct load *l, struct capture *c, bool joined);

/* ---- of documents (JSON, YAML) ---- */
/* A scalar as text that does not vary, or NULL with a refusal. */
const char *load_text(struct load *l, const struct doc *d, const char *what);
bool load_number(struct load *l, const struct doc *d, const char *what, double least, double most, double *ret_number);
/* "500ms", "2 seconds", "1m30s"; numbers are in `unit_ns`. */
bool load_duration(struct load *l, const struct doc *d, const char *what, double unit_ns, uint64_t *ret_ns);
bool load_bool(struct load *l, const struct doc *d, const char *what, bool *ret_bool);
/* The document as JSON, its texts as templates. */
const struct template *load_json(struct load *l, const struct doc *d);
/* The document as constant JSON. */
struct scope_item load_item(struct load *l, const struct doc *d);
/* a=b&c=d of a map. */
const struct template *load_form(struct load *l, const struct doc *map);
