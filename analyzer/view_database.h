/* Database calls as text and as JSON: by operation and table, and those of one request. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "database.h"

struct json;
struct model;
struct view;

/* Nothing, if there are no rows. */
void view_database_rows(const struct view *v, const struct database_rows *rows);
/* Under a request that began then and took so long: a line, and its longest calls; nothing, if it made none. `all`: each call. */
void view_database_request(const struct view *v, const struct model *m, const struct database_request *r,
                           uint64_t request_start_ns, uint64_t request_ns, bool all);

/* An array. */
void view_database_rows_json(struct json *j, const struct database_rows *rows);
/* An object. */
void view_database_request_json(struct json *j, const struct model *m, const struct database_request *r);
