/* A large snapshot, for measuring: make_stacks FILE STACKS DEPTH THREADS SECONDS HZ MODULE... Random calls between functions of
 * the modules, which are files of this machine, so that there is something to symbolize: each stack but the first begins as one
 * before it does, from its outermost frame up to somewhere. HZ 0: a heap with a row a stack; else CPU samples, all the
 * THREADS busy, and the last 30 seconds of them with their times. The same arguments give the same file. */
#undef NDEBUG
#include <assert.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "buf.h"
#include "err.h"
#include "model.h"
#include "snapshot_build.h"
#include "snapshot_encode.h"

enum { MODULES = 8, SITES = 20000, WINDOW_S = 30 };

struct code {
	uint64_t from, bytes; /* run-time addresses of the code */
};

static struct model_module modules[MODULES];
static struct code code[MODULES];
static uint64_t site[SITES];
static uint64_t state = 88172645463325252;

static uint64_t draw(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 16) % below;
}

/* Low numbers are drawn more often: some functions are called from everywhere. */
static uint64_t draw_low(uint64_t below)
{
	return draw(draw(draw(below) + 1) + 1);
}

static void read_notes(const uint8_t *file, const Elf64_Phdr *p, struct model_module *m)
{
	for (uint64_t at = p->p_offset; at + sizeof(Elf64_Nhdr) <= p->p_offset + p->p_filesz;) {
		const Elf64_Nhdr *n = (const void *)(file + at);
		uint64_t name = at + sizeof(*n), value = name + (n->n_namesz + 3u) / 4 * 4;

		if (n->n_type == NT_GNU_BUILD_ID && n->n_descsz <= SNAP_MAX_BUILD_ID) {
			memcpy(m->build_id, file + value, n->n_descsz);
			m->build_id_bytes = n->n_descsz;
		}
		at = value + (n->n_descsz + 3u) / 4 * 4;
	}
}

static void read_module(unsigned i, const char *path)
{
	struct model_module *m = &modules[i];
	uint64_t bias = UINT64_C(0x7f0000000000) + ((uint64_t)i << 32);
	int fd = open(path, O_RDONLY);
	struct stat st;
	const uint8_t *file;
	const Elf64_Ehdr *e;

	assert(fd >= 0 && fstat(fd, &st) == 0);
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert(file != MAP_FAILED);
	e = (const void *)file;
	*m = (struct model_module){
		.start = bias, .bias = bias, .load_ns = 1, .flags = i ? 0 : SNAP_MODULE_MAIN, .path = path
	};
	for (unsigned k = 0; k < e->e_phnum; k++) {
		const Elf64_Phdr *p = (const void *)(file + e->e_phoff + k * sizeof(*p));

		if (p->p_type == PT_LOAD && p->p_flags & PF_X)
			code[i] = (struct code){ bias + p->p_vaddr, p->p_memsz };
		if (p->p_type == PT_LOAD)
			m->end = bias + p->p_vaddr + p->p_memsz;
		if (p->p_type == PT_NOTE)
			read_notes(file, p, m);
	}
	assert(code[i].bytes);
}

/* Each new stack leaves an earlier one some frames from its end and goes on by itself: `depth` frames, a few more or less, of which
 * one to seven are new. Returns the ids of the stacks, which grow. */
static uint32_t *make_tree(struct model *m, uint32_t stacks, uint32_t depth)
{
	size_t room = (size_t)stacks * 7 + depth;
	uint32_t *leaf = calloc(stacks, sizeof(*leaf)), *depth_of = calloc(room + 1, sizeof(*depth_of));

	m->nodes = calloc(room, sizeof(*m->nodes));
	assert(leaf && depth_of && m->nodes);
	for (uint32_t i = 0; i < stacks; i++) {
		uint32_t at = i ? leaf[draw(i)] : 0, wanted = i ? depth + 5 - (uint32_t)draw(11) : depth;
		uint32_t most = i ? 1 + (uint32_t)draw(7) : depth;

		for (uint32_t up = most - 1; up > 0 && at && m->nodes[at - 1].parent; up--)
			at = m->nodes[at - 1].parent;
		do {
			m->nodes[m->node_count++] = (struct model_node){ at, site[draw_low(SITES)] };
			depth_of[m->node_count] = depth_of[at] + 1;
			at = (uint32_t)m->node_count;
		} while (--most && depth_of[at] < wanted);
		leaf[i] = at;
	}
	free(depth_of);
	return leaf;
}

static void make_heap(struct model *m, const uint32_t *leaf, uint32_t stacks)
{
	m->heap_mode = SNAP_HEAP_FULL;
	m->heap = calloc(stacks, sizeof(*m->heap));
	assert(m->heap);
	for (uint32_t i = 0; i < stacks; i++) {
		uint64_t n = 1 + draw_low(100), freed = draw(n), each = 16 * (1 + draw_low(64));

		m->heap[m->heap_count++] = (struct model_heap_row){ .stack = leaf[i],
			                                            .alloc_count = (double)n,
			                                            .free_count = (double)freed,
			                                            .alloc_bytes = n * each,
			                                            .free_bytes = freed * each,
			                                            .peak_count = (double)(n - freed),
			                                            .peak_bytes = (n - freed) * each };
	}
}

static int by_stack(const void *a, const void *b)
{
	const struct model_cpu_row *x = a, *y = b;

	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	return (x->thread > y->thread) - (x->thread < y->thread);
}

/* Every stack once, by one of the threads, and the other samples where they fall: on few stacks mostly. */
static void make_cpu(struct model *m, const uint32_t *leaf, uint32_t stacks, uint64_t samples)
{
	uint64_t timed = (uint64_t)WINDOW_S * m->cpu_hz * m->thread_count,
	         begin = m->end_ns - WINDOW_S * UINT64_C(1000000000);

	assert(samples >= stacks);
	m->cpu = calloc(stacks, sizeof(*m->cpu));
	m->samples = calloc(timed, sizeof(*m->samples));
	assert(m->cpu && m->samples);
	for (uint32_t i = 0; i < stacks; i++)
		m->cpu[m->cpu_count++] = (struct model_cpu_row){ leaf[i], (uint32_t)draw(m->thread_count), 1 };
	for (uint64_t i = stacks; i < samples; i++)
		m->cpu[draw_low(stacks)].samples++;
	for (uint64_t i = 0; i < timed && i < samples - stacks; i++) {
		const struct model_cpu_row *r = &m->cpu[draw_low(stacks)];

		if (r->samples > 1)
			m->samples[m->sample_count++] =
			        (struct model_sample){ begin + i * (WINDOW_S * UINT64_C(1000000000) / timed), r->thread,
				                       r->stack, 1 };
	}
	qsort(m->cpu, m->cpu_count, sizeof(*m->cpu), by_stack);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	assert(*text && !*end);
	return n;
}

static void make_threads(struct model *m, uint64_t threads)
{
	m->threads = calloc(threads, sizeof(*m->threads));
	assert(m->threads && threads > 0);
	for (m->thread_count = 0; m->thread_count < threads; m->thread_count++)
		m->threads[m->thread_count] =
		        (struct model_thread){ 4711 + m->thread_count, "worker", m->start_ns, 0, 1 };
}

static void write_model(const struct model *m, FILE *out)
{
	struct buf file = { 0 };
	struct err err;
	int rc = snapshot_encode(m, &file, &err);

	assert(rc == 0 && fwrite(file.data, 1, file.len, out) == file.len && fclose(out) == 0);
	buf_done(&file);
}

int main(int argc, char **argv)
{
	struct model m = build_empty();
	FILE *out = argc > 7 && argc <= 7 + MODULES ? fopen(argv[1], "wb") : NULL;
	uint32_t *leaf, stacks;
	uint64_t seconds;

	assert(out);
	stacks = (uint32_t)number(argv[2]);
	seconds = number(argv[5]);
	m.start_ns = 1000000000;
	m.end_ns = m.start_ns + seconds * 1000000000;
	m.pid = 4711;
	m.comm = "large";
	m.cpu_hz = number(argv[6]);
	m.cpu_period_ns = m.cpu_hz ? 1000000000 / m.cpu_hz : 0;
	for (m.module_count = 0; m.module_count < (size_t)argc - 7; m.module_count++)
		read_module((unsigned)m.module_count, argv[7 + m.module_count]);
	m.modules = modules;
	for (unsigned i = 0; i < SITES; i++) {
		const struct code *c = &code[draw(m.module_count)];

		site[i] = c->from + draw(c->bytes);
	}
	make_threads(&m, number(argv[4]));
	leaf = make_tree(&m, stacks, (uint32_t)number(argv[3]));
	if (m.cpu_hz)
		make_cpu(&m, leaf, stacks, seconds * m.cpu_hz * m.thread_count);
	else
		make_heap(&m, leaf, stacks);
	model_check(&m);
	write_model(&m, out);
	return 0; /* the tables end with the program */
}
