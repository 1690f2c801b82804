// Every kind of misuse, each by a function of its own name, and right uses of every form. usage: misuse HOW [TIMES]
// Where libc ends the process for it, that is what happens: the profile must be there all the same.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <string>
#include <unistd.h>
#include <vector>

#define PLACE __attribute__((noinline, noclone))
#define KEEP(p) __asm__ volatile("" : "+r"(p) : : "memory")

static int static_object[16];
static int times = 1;

PLACE static void *make_malloc(size_t n) { void *p = malloc(n); KEEP(p); return p; }
PLACE static void *make_new(size_t n) { void *p = ::operator new(n); KEEP(p); return p; }
PLACE static void *make_array(size_t n) { void *p = ::operator new[](n); KEEP(p); return p; }
PLACE static void *make_aligned(size_t n) { void *p = ::operator new(n, std::align_val_t(64)); KEEP(p); return p; }
PLACE static void *make_aligned_array(size_t n) { void *p = ::operator new[](n, std::align_val_t(64)); KEEP(p); return p; }
PLACE static void by_free(void *p) { free(p); KEEP(p); }
PLACE static void by_delete(void *p) { ::operator delete(p); KEEP(p); }
PLACE static void by_delete_sized(void *p, size_t n) { ::operator delete(p, n); KEEP(p); }
PLACE static void by_delete_array(void *p) { ::operator delete[](p); KEEP(p); }
PLACE static void by_delete_aligned(void *p) { ::operator delete(p, std::align_val_t(64)); KEEP(p); }
PLACE static void by_delete_aligned_array(void *p) { ::operator delete[](p, std::align_val_t(64)); KEEP(p); }
PLACE static void *by_realloc(void *p, size_t n) { void *q = realloc(p, n); KEEP(q); return q; }
// The comments keep the compiler from making one function of two.
PLACE static void free_again(void *p) { free(p); __asm__ volatile("# again" : "+r"(p) : : "memory"); }
PLACE static void delete_again(void *p) { ::operator delete(p); __asm__ volatile("# again" : "+r"(p) : : "memory"); }

static void on_abort(int) { _exit(0); }

static void mismatches()
{
	for (int i = 0; i < times; i++) {
		by_delete(make_malloc(100));
		by_free(make_new(101));
		by_delete_array(make_new(102));
		by_delete(make_array(103));
		by_free(make_aligned(104));
		by_delete_aligned(make_malloc(105));
		free(by_realloc(make_new(106), 5000));
	}
}

struct throws {
	char bytes[40];
	throws() { throw 1; }
};

PLACE static void huge_new()
{
	static volatile size_t huge = SIZE_MAX / 2;

	try {
		void *p = ::operator new(huge);
		KEEP(p);
		abort();
	} catch (std::bad_alloc &) {
	}
	void *p = make_malloc(huge / 2 ? 64 : 0); // after the exception: malloc is malloc again
	by_free(p);
	if (::operator new(huge, std::nothrow))
		abort();
}

static void right_uses()
{
	for (int i = 0; i < times; i++) {
		by_free(make_malloc(10));
		by_delete(make_new(0));
		by_delete_sized(make_new(20), 20);
		by_delete_array(make_array(30));
		by_delete_aligned(make_aligned(33));
		by_delete_aligned_array(make_aligned_array(34));
		free(by_realloc(make_malloc(40), 80));
		::operator delete(::operator new(50, std::nothrow), std::nothrow);
		::operator delete[](::operator new[](51, std::nothrow), std::nothrow);
		try {
			new throws; // the compiler frees it
		} catch (int) {
		}
		std::vector<std::string> v(100, std::string(100, 'x'));
		v.resize(300);
		free(strdup("text"));
		by_free(nullptr);
		by_delete(nullptr);
	}
	huge_new();
}

static void *free_there(void *p)
{
	by_free(p);
	return nullptr;
}

// The first free is in another thread.
static void double_across()
{
	void *p = make_malloc(5000); // larger than a thread's cache takes: glibc ends the process at the second
	pthread_t t;

	if (pthread_create(&t, nullptr, free_there, p) != 0)
		abort();
	pthread_join(t, nullptr);
	free_again(p);
}

static void no_block(const char *which)
{
	int on_stack[16] = { 0 };
	char *block = static_cast<char *>(make_malloc(4096));

	KEEP(block);
	if (!strcmp(which, "stack"))
		free_again(on_stack);
	else if (!strcmp(which, "static"))
		free_again(static_object);
	else if (!strcmp(which, "inside"))
		free_again(block + 64);
	else
		free_again(reinterpret_cast<void *>(uintptr_t(0x10000)));
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "right";

	times = argc > 2 ? atoi(argv[2]) : 1;
	if (!strcmp(how, "right")) {
		right_uses();
	} else if (!strcmp(how, "mismatch")) {
		mismatches();
	} else if (!strcmp(how, "double")) {
		void *p = make_malloc(24);
		by_free(p);
		free_again(p);
	} else if (!strcmp(how, "double-delete")) {
		void *p = make_new(24);
		by_delete(p);
		delete_again(p);
	} else if (!strcmp(how, "double-caught")) {
		signal(SIGABRT, on_abort);
		void *p = make_malloc(24);
		by_free(p);
		free_again(p);
	} else if (!strcmp(how, "double-across")) {
		double_across();
	} else {
		if (!strcmp(how, "unmapped"))
			signal(SIGSEGV, on_abort);
		no_block(how);
	}
	puts("done");
	fflush(stdout);
	if (argc > 3) /* to be killed */
		pause();
	return 0;
}
