/*
 * scan.c - every unwind rule of whole programs and libraries: eh_frame.c's beside libdw's.
 *
 * Each FDE of each file, row by row as libdw sees them: at the first and the last byte of a row the two are compared by what
 * they find (frame.h), at the bytes between them ours must not change; at the edges of an FDE, that it begins and ends there. Of
 * each row also where the other registers are saved (eh_frame_saved). What a rule cannot say is counted by reason, and must be
 * in the table `known`; anything else is wrong. The exit status tells.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cli.h"
#include "compiler.h"
#include "eh_frame.h"
#include "frame.h"
#include "image.h"
#include "json_write.h"

enum { SEEDS = 2, MOST_NOTES = 100000, LARGEST_ADD = 8 << (ARCH_RULE_ADD_BITS - 1) };
enum { FP_REACH = 8 << (29 - ARCH_RULE_ADD_BITS) }; /* of rule_pack() */

struct count {
	uint64_t rows, bytes;
};

/* Rows from equal to bad; a row has the worst that is found in it. */
enum verdict { EQUAL, NO_FP, NO_RULE, REFUSED, WRONG, VERDICTS };
static const char *const verdict_names[VERDICTS] = { "equal", "no frame pointer", "no rule", "refused by libdw",
	                                             "wrong" };

/* ---- what is not equal, and may be -------------------------------------------------------------------------------- */

static const char ra_in_register[] = "the return address is in another register";
static const char ra_elsewhere[] = "the return address is elsewhere";
static const char sp_elsewhere[] = "the stack pointer is not the CFA";
static const char ra_above[] = "the return address is at the CFA or above";
static const char fp_in_register[] = "the frame pointer is in another register";
static const char fp_elsewhere[] = "the frame pointer is saved too far away, or by another register";
static const char cfa_refused[] = "a register of the CFA alone, after an expression";

/* By what a file's name begins with; at most so many rows. */
static const struct known {
	const char *object;
	enum verdict verdict;
	const char *why;
	uint64_t rows;
} known[] = {
#if defined(__x86_64__)
	/* Assembler that keeps rbp in xmm13, or by rsp among aligned locals. */
	{ "libgcrypt.so", NO_FP, fp_in_register, 2 },
	{ "libgcrypt.so", NO_FP, fp_elsewhere, 1 },
	/* An epilogue: DW_CFA_def_cfa_register where the CFA was an expression. libdw wants an offset, too; libgcc and
	 * binutils take the one from before, as we do (test_eh_frame.c). */
	{ "libgcrypt.so", REFUSED, cfa_refused, 8 },
#else
	/* longjmp and setcontext: CFA is the buffer's address. */
	{ "libc.so.6", NO_RULE, ra_above, 2 },
	{ "ld-linux", NO_RULE, ra_above, 1 },
	/* rawmemchr while it calls strlen: in x15. */
	{ "libc.so.6", NO_RULE, ra_in_register, 1 },
	{ "ld-linux", NO_RULE, ra_in_register, 1 },
#endif
};

/* What is not equal: by function and reason. */
struct note {
	enum verdict verdict;
	const char *why, *function;
	uint64_t first;
	struct count count;
};

struct scan {
	struct image im;
	uintptr_t lo, hi;
	struct count all, by[VERDICTS];
	uint64_t pcs, saved, saved_unknown, saved_wrong;
	struct note *notes;
	size_t note_count;
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_known(const struct scan *s, enum verdict verdict, const char *why)
{
	const char *object = base_name(s->im.path);
	uint64_t rows = 0;

	if (strncmp(object, "[made ", 6) == 0) /* instructions at random: much that no rule can say */
		return verdict == NO_FP || verdict == NO_RULE;
	for (size_t i = 0; i < s->note_count; i++)
		if (s->notes[i].verdict == verdict && strcmp(s->notes[i].why, why) == 0)
			rows += s->notes[i].count.rows;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strncmp(object, known[i].object, strlen(known[i].object)) == 0 && known[i].verdict == verdict &&
		    strcmp(known[i].why, why) == 0)
			return rows <= known[i].rows;
	return false;
}

static bool is_good(const struct scan *s)
{
	for (size_t i = 0; i < s->note_count; i++)
		if (!is_known(s, s->notes[i].verdict, s->notes[i].why))
			return false;
	return s->all.rows > 0;
}

/* ---- comparing ---------------------------------------------------------------------------------------------------- */

static void note(struct scan *s, enum verdict verdict, const char *why, uint64_t at, uint64_t bytes)
{
	const char *function = image_function(&s->im, at);
	struct note *n = NULL;

	for (size_t i = 0; i < s->note_count && !n; i++)
		if (s->notes[i].verdict == verdict && strcmp(s->notes[i].why, why) == 0 &&
		    strcmp(s->notes[i].function, function) == 0)
			n = &s->notes[i];
	if (!n) {
		if (s->note_count == MOST_NOTES)
			return;
		if (s->note_count % 64 == 0 &&
		    !(s->notes = realloc(s->notes, (s->note_count + 64) * sizeof(*s->notes))))
			abort();
		n = &s->notes[s->note_count++];
		*n = (struct note){ .verdict = verdict, .why = why, .function = function, .first = at };
	}
	n->count.rows++;
	n->count.bytes += bytes;
}

static struct rule rule_at(struct scan *s, uint64_t pc)
{
	s->pcs++;
	return eh_frame_rule(s->im.hdr, s->lo, s->hi, image_at(&s->im, pc));
}

/* With registers at random, no two addresses are near each other by chance. */
static bool is_near(uint64_t place, uint64_t cfa)
{
	int64_t off = (int64_t)(place - cfa);

	return off % 8 == 0 && off >= -FP_REACH && off < FP_REACH;
}

/* Why the rule has no place for the frame pointer. NULL: it is lost, and so there is nothing to tell. */
static const char *fp_beyond_rules(const struct frame *truth, enum verdict *verdict)
{
	int64_t apart = (int64_t)(truth->ra.at - truth->fp.at);

	*verdict = NO_FP;
	if (truth->sp_apart && truth->fp.kind != PLACE_UNDEFINED && truth->fp.kind != PLACE_REGISTER)
		return sp_elsewhere;
	switch (truth->fp.kind) {
	case PLACE_UNDEFINED:
		*verdict = EQUAL;
		return NULL;
	case PLACE_REGISTER:
		return fp_in_register;
	case PLACE_VALUE:
		return "the frame pointer is computed";
	case PLACE_MEMORY:
		if (!is_near(truth->fp.at, truth->cfa))
			return fp_elsewhere;
		if (ARCH_RA_IN_REGISTER && truth->ra.kind == PLACE_MEMORY &&
		    (apart == 0 || apart < -LARGEST_ADD || apart >= LARGEST_ADD))
			return "the frame pointer and the return address are too far from each other, or in one word";
		if (ARCH_RA_IN_REGISTER && truth->ra.kind == PLACE_SAME)
			return "the frame pointer is saved, the return address is not";
		/* fallthrough */
	default:
		*verdict = WRONG;
		return "the frame pointer is not understood";
	}
}

/* Why a rule cannot say it; NULL: it could. */
static const char *beyond_rules(Dwarf_Frame *dwarf, const struct frame *truth)
{
	bool in_memory = truth->ra.kind == PLACE_MEMORY;
	int64_t off = (int64_t)(truth->ra.at - truth->cfa);

	if (truth->ra.kind == PLACE_REGISTER)
		return ra_in_register;
	if (truth->sp_apart)
		return sp_elsewhere;
	if (!ARCH_RA_IN_REGISTER && !(in_memory && off == -8))
		return ra_elsewhere;
	if (ARCH_RA_IN_REGISTER && truth->ra.kind != PLACE_SAME && !(in_memory && off == (int32_t)off))
		return ra_elsewhere;
	if (ARCH_RA_IN_REGISTER && in_memory && off >= 0 && off != 8) /* 8: lazy binding */
		return ra_above;
	return frame_is_register_and_offset(dwarf) ? NULL : "the CFA is an expression";
}

static enum verdict check_frame(Dwarf_Frame *dwarf, struct rule decoded, const struct state *state,
                                const char **ret_why)
{
	struct frame ours = frame_by_rule(rule_unpack(rule_pack(decoded)), state), truth;
	enum verdict verdict = EQUAL;
	const char *why;

	if (!frame_is_valid(dwarf)) {
		*ret_why = cfa_refused;
		return REFUSED;
	}
	if (frame_by_libdw(dwarf, state, &truth) < 0) {
		*ret_why = "libdw says what this scan does not understand";
		return WRONG;
	}
	why = frame_contradicts(&ours, &truth);
	if (why) {
		verdict = WRONG;
	} else if (ours.ra.kind == PLACE_UNKNOWN) {
		why = beyond_rules(dwarf, &truth);
		if (!why && decoded.kind != RULE_NONE)
			why = "its numbers are too large";
		verdict = why ? NO_RULE : WRONG;
		why = why ? why : "not understood";
	} else if (ours.cfa_known && ours.fp.kind == PLACE_UNKNOWN) {
		why = fp_beyond_rules(&truth, &verdict);
	}
	*ret_why = why;
	return verdict;
}

static enum verdict check_at(struct scan *s, Dwarf_Frame *dwarf, struct rule rule, uint64_t pc, const char **ret_why)
{
	enum verdict worst = EQUAL;

	for (unsigned seed = 0; seed < SEEDS; seed++) {
		struct state state = state_at(seed, image_at(&s->im, pc));
		const char *why = NULL;
		enum verdict verdict = check_frame(dwarf, rule, &state, &why);

		if (verdict > worst) {
			worst = verdict;
			*ret_why = why;
		}
	}
	return worst;
}

/* What the tables do not name libdw takes from the ABI: lost or the same. Its list for x86-64 (0.188) has rax for rbx. */
static bool kept_by_libdw(unsigned reg)
{
#if defined(__x86_64__)
	return arch_is_preserved(reg) && reg != DW_RBX;
#else
	return arch_is_preserved(reg);
#endif
}

/* The other registers, which are looked for one by one. */
static void check_saved(struct scan *s, Dwarf_Frame *dwarf, uint64_t pc)
{
	struct state state = state_at(SEEDS, image_at(&s->im, pc));
	struct frame truth;

	if (frame_by_libdw(dwarf, &state, &truth) < 0 || truth.signal || !truth.cfa_known || truth.sp_apart)
		return;
	for (unsigned reg = 0; reg < DW_PC; reg++) {
		struct saved ours;
		struct place place;
		bool right = true;

		if (reg == DW_SP || reg == DW_FP || reg == DW_RA)
			continue;
		ours = eh_frame_saved(s->im.hdr, s->lo, s->hi, image_at(&s->im, pc), reg);
		s->saved++;
		if (place_by_libdw(dwarf, &state, reg, &place) < 0)
			right = false;
		else if (ours.kind == SAVED_AT_CFA)
			right = place.kind == PLACE_MEMORY && place.at == truth.cfa + (uint64_t)ours.off;
		else if (ours.kind == SAVED_SAME)
			right = place.kind == PLACE_SAME || (place.kind == PLACE_UNDEFINED && !kept_by_libdw(reg));
		else if (place.kind != PLACE_UNDEFINED)
			s->saved_unknown++;
		if (!right) {
			s->saved_wrong++;
			note(s, WRONG, "another register", pc, 0);
		}
	}
}

/* One row of libdw's. */
static void check_row(struct scan *s, Dwarf_Frame *dwarf, uint64_t start, uint64_t end, bool every_byte)
{
	struct rule first = rule_at(s, start), last = rule_at(s, end - 1);
	uint64_t packed = rule_pack(first);
	const char *why = NULL, *other = NULL;
	enum verdict verdict = check_at(s, dwarf, first, start, &why),
	             at_end = check_at(s, dwarf, last, end - 1, &other);

	if (at_end > verdict) {
		verdict = at_end;
		why = other;
	}
	for (uint64_t pc = start + 1; (every_byte || first.kind == RULE_PLT) && pc + 1 < end && verdict != WRONG;
	     pc++) {
		struct rule rule = rule_at(s, pc);

		if (rule_pack(rule) != packed) {
			verdict = WRONG;
			why = "changes within a row";
		} else if (rule.kind == RULE_PLT && check_at(s, dwarf, rule, pc, &other) == WRONG) {
			verdict = WRONG;
			why = other;
		}
	}
	s->all.rows++;
	s->all.bytes += end - start;
	s->by[verdict].rows++;
	s->by[verdict].bytes += end - start;
	if (verdict != EQUAL)
		note(s, verdict, why, start, end - start);
	check_saved(s, dwarf, start);
}

/* A byte beside an FDE: in another one, or in none. */
static void check_edge(struct scan *s, uint64_t pc)
{
	uintptr_t at = image_at(&s->im, pc);
	bool covered = image_covers(&s->im, pc);

	if (eh_frame_covers(s->im.hdr, s->lo, s->hi, at) != covered)
		note(s, WRONG, covered ? "an FDE is not found" : "an FDE is found beyond its end", pc, 1);
	else if (!covered && rule_at(s, pc).kind != RULE_NONE)
		note(s, WRONG, "a rule without an FDE", pc, 1);
	else
		return;
	s->by[WRONG].rows++;
}

static void check_fde(struct scan *s, const struct fde *fde, bool every_byte)
{
	const uint64_t edges[] = { fde->start - 1, fde->start, fde->end - 1, fde->end };

	for (size_t i = 0; i < ARRAY_LEN(edges); i++)
		check_edge(s, edges[i]);
	for (uint64_t pc = fde->start; pc < fde->end;) {
		Dwarf_Frame *dwarf = NULL;
		Dwarf_Addr start = 0, end = 0;

		if (dwarf_cfi_addrframe(s->im.cfi, pc, &dwarf) != 0 ||
		    dwarf_frame_info(dwarf, &start, &end, NULL) < 0 || start > pc || end <= pc) {
			note(s, WRONG, "libdw has no row", pc, fde->end - pc);
			s->by[WRONG].rows++;
			free(dwarf);
			return;
		}
		end = end < fde->end ? end : fde->end;
		check_row(s, dwarf, pc, end, every_byte);
		free(dwarf);
		pc = end;
	}
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

static double share(uint64_t part, uint64_t all)
{
	return all ? 100.0 * (double)part / (double)all : 0;
}

static void print_text(const struct scan *s)
{
	printf("%s: %zu FDEs, %llu rows, %llu bytes; compared at %llu\n", s->im.path, s->im.fde_count,
	       (unsigned long long)s->all.rows, (unsigned long long)s->all.bytes, (unsigned long long)s->pcs);
	for (unsigned v = 0; v < VERDICTS; v++)
		if (s->by[v].rows)
			printf("  %-18s %8llu rows %8.4f %%  %9llu bytes %8.4f %%\n", verdict_names[v],
			       (unsigned long long)s->by[v].rows, share(s->by[v].rows, s->all.rows),
			       (unsigned long long)s->by[v].bytes, share(s->by[v].bytes, s->all.bytes));
	printf("  other registers    %8llu, not known %llu, wrong %llu\n", (unsigned long long)s->saved,
	       (unsigned long long)s->saved_unknown, (unsigned long long)s->saved_wrong);
	for (size_t i = 0; i < s->note_count; i++)
		printf("  %s%s: %s: %s, from %#llx, %llu rows, %llu bytes\n",
		       is_known(s, s->notes[i].verdict, s->notes[i].why) ? "" : "NOT KNOWN: ",
		       verdict_names[s->notes[i].verdict], s->notes[i].why, s->notes[i].function,
		       (unsigned long long)s->notes[i].first, (unsigned long long)s->notes[i].count.rows,
		       (unsigned long long)s->notes[i].count.bytes);
}

static void count_json(struct json *j, const char *key, struct count c)
{
	json_key(j, key);
	json_object_begin(j);
	json_key_u64(j, "rows", c.rows);
	json_key_u64(j, "bytes", c.bytes);
	json_object_end(j);
}

static void print_json(const struct scan *s)
{
	struct buf out = { 0 };
	struct json j;

	json_init(&j, &out);
	json_object_begin(&j);
	json_key_string(&j, "object", s->im.path);
	json_key_u64(&j, "fdes", s->im.fde_count);
	json_key_u64(&j, "index", s->im.index_entries);
	json_key_u64(&j, "outside", s->im.outside);
	json_key_u64(&j, "compared", s->pcs);
	count_json(&j, "all", s->all);
	for (unsigned v = 0; v < VERDICTS; v++)
		count_json(&j, verdict_names[v], s->by[v]);
	json_key_u64(&j, "saved", s->saved);
	json_key_u64(&j, "saved unknown", s->saved_unknown);
	json_key_u64(&j, "saved wrong", s->saved_wrong);
	json_key(&j, "notes");
	json_array_begin(&j);
	for (size_t i = 0; i < s->note_count; i++) {
		json_object_begin(&j);
		json_key_bool(&j, "known", is_known(s, s->notes[i].verdict, s->notes[i].why));
		json_key_string(&j, "verdict", verdict_names[s->notes[i].verdict]);
		json_key_string(&j, "why", s->notes[i].why);
		json_key_string(&j, "function", s->notes[i].function);
		json_key_u64(&j, "first", s->notes[i].first);
		count_json(&j, "count", s->notes[i].count);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	if (out.failed)
		abort();
	puts(out.data);
	buf_done(&out);
}

/* ------------------------------------------------------------------------------------------------------------------- */

struct options {
	bool json, every_byte, skip_missing;
};
static const struct cli_option option_table[] = {
	{ "json", 0, CLI_FLAG, NULL, "one line of JSON a file", offsetof(struct options, json) },
	{ "every-byte", 0, CLI_FLAG, NULL, "decode at every byte of code, not only at the edges of rows",
	  offsetof(struct options, every_byte) },
	{ "skip-missing", 0, CLI_FLAG, NULL, "pass over a file that is not there or has no call frame information",
	  offsetof(struct options, skip_missing) },
	CLI_END
};
static const struct cli_command command = {
	"rule_scan",
	NULL,
	option_table,
	"FILE...",
	"compare the unwind rules of whole files with libdw's; [vdso] and [made NUMBER] are files",
	NULL
};

/* 0, or the exit status. */
static int scan_file(const char *path, const struct options *o)
{
	struct scan s = { 0 };
	int rc = image_open(&s.im, path);
	bool good;

	if (rc < 0)
		return CLI_FAILED;
	if (rc == 0) {
		fprintf(stderr, "%s: is not there, or has no call frame information for this processor\n", path);
		return o->skip_missing ? 0 : CLI_FAILED;
	}
	s.lo = (uintptr_t)s.im.memory;
	s.hi = s.lo + s.im.size;
	for (size_t i = 0; i < s.im.fde_count; i++)
		check_fde(&s, &s.im.fdes[i], o->every_byte);
	good = is_good(&s);
	if (o->json)
		print_json(&s);
	else
		print_text(&s);
	(void)fflush(stdout);
	image_close(&s.im);
	free(s.notes);
	return good ? 0 : CLI_FAILED;
}

static const struct cli_program program = { .name = "rule_scan", .commands = &command, .count = 1, .exit_status = "" };

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct cli_args args;
	struct err err = { 0 };
	int status = 0;

	if (cli_parse(option_table, argc, argv, &o, &args, &err) < 0) {
		fprintf(stderr, "rule_scan: %s\n", err.text);
		return CLI_USAGE;
	}
	if (args.help || args.count == 0) {
		cli_print_help(args.help ? stdout : stderr, &program, &command);
		return args.help ? CLI_DONE : CLI_USAGE;
	}
	for (size_t i = 0; i < args.count; i++)
		if (scan_file(args.items[i], &o) != 0)
			status = CLI_FAILED;
	return status;
}
