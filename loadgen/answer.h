/* What came back for a request, as captures and checks look at it. The memory is the connection's, valid during the call. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answer {
	uint16_t status;  /* 0: there was no response */
	const char *head; /* header lines with their line ends, without the status line */
	size_t head_len;
	const char *body; /* decoded */
	size_t body_len;
	uint64_t duration_ns;
	const char *target; /* that was asked for, ends in NUL, or NULL */
};

/* Value number `index` (from 0) of a header, blanks around it taken off. */
bool answer_header(const struct answer *a, const char *name, size_t index, const char **ret_value, size_t *ret_len);
