/* What came of a request (tally.h), as k6's tags have it. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

bool outcome_is_expected(uint32_t outcome); /* status 200..399 */
unsigned outcome_status(uint32_t outcome);  /* 0 where there was none */
unsigned
outcome_error_code(uint32_t outcome); /* k6's: 1000 and the status, or a kind of failure; 0: nothing went wrong */
const char *outcome_error(uint32_t outcome); /* "timeout", or "" */
