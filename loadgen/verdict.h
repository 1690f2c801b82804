/* May the numbers be believed? Pure: result in, sentences out. */
#pragma once
#include <stddef.h>

struct result;

enum verdict_kind { VERDICT_VALID, VERDICT_SUSPECT, VERDICT_INVALID };
enum { VERDICT_REASONS_MAX = 8, VERDICT_REASON_BYTES = 240 };

struct verdict {
	enum verdict_kind kind;
	size_t count;
	char reasons[VERDICT_REASONS_MAX][VERDICT_REASON_BYTES];
};

void verdict_judge(const struct result *r, struct verdict *ret_verdict);
const char *verdict_name(enum verdict_kind kind); /* "VALID" */
