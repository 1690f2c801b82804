/* outcome.c - outcomes as k6 has them. */
#include "outcome.h"

#include "failure.h"
#include "tally.h"

unsigned outcome_error_code(uint32_t outcome)
{
	if (outcome < TALLY_FAILURE)
		return outcome >= 400 ? 1000 + outcome : 0;
	if (outcome == TALLY_OTHER)
		return 0;
	switch ((enum failure)(outcome - TALLY_FAILURE)) {
	case FAILURE_TIMEOUT:
		return 1050;
	case FAILURE_DNS:
		return 1101;
	case FAILURE_UNREACHABLE:
	case FAILURE_PORTS:
		return 1210;
	case FAILURE_REFUSED:
		return 1212;
	case FAILURE_RESET:
		return 1220;
	default:
		return 1000;
	}
}

bool outcome_is_expected(uint32_t outcome)
{
	return outcome >= 200 && outcome <= 399;
}

unsigned outcome_status(uint32_t outcome)
{
	return outcome < TALLY_FAILURE ? outcome : 0;
}

const char *outcome_error(uint32_t outcome)
{
	return outcome >= TALLY_FAILURE && outcome < TALLY_OTHER ? failure_key(outcome - TALLY_FAILURE) : "";
}
