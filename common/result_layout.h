/* A results file: what probe-load measured, slice by slice, appended while it runs. docs/results-format.md explains.
 *     magic, version, then records: length (4 bytes, little-endian, of type and payload), type (1 byte), payload, CRC-32C of type and payload
 * Payloads are varints, 8-byte little-endian doubles and length-prefixed text (snapshot_codec.h). */
#pragma once
#include <stdint.h>

#define RESULT_MAGIC "PPRESULT"
enum {
	RESULT_MAGIC_BYTES = 8,
	RESULT_VERSION = 1, /* 4 bytes, little-endian; another one is not read */
	RESULT_HEADER_BYTES = 12,
	RESULT_RECORD_HEAD = 5,
	RESULT_RECORD_TAIL = 4,
	RESULT_RECORD_MAX = 64 << 20,
	RESULT_FACTS_MAX = 256
};

enum result_record {
	RESULT_FACT =
	        1, /* name, text: what is known of the run ("target", "verdict"); a later one replaces an earlier one */
	RESULT_SERIES, /* kind, contains, metric, number of tags, key and value of each; numbered from 0 in order */
	RESULT_SLICE,  /* from_ns, to_ns since the start, number of values; of each: series, value by its kind */
	RESULT_END     /* nothing: the run was finished, and all of it is here */
};
