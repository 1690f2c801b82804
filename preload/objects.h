/* Loaded objects as the loader sees them: their symbols and references, without a look-up that can fail.
 * dlsym() of a name that is not there leaves an error for the program's next dlerror(), and frees it by the program's own
 * malloc at a moment that nobody expects.
 * Context    start-up; those of one struct object also later, in a callback of dl_iterate_phdr(). */
#pragma once
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object {
	uintptr_t base;
	const ElfW(Phdr) * phdr;
	unsigned phdr_count;
	const char *path;
	const ElfW(Dyn) * dynamic;
	ElfW(Sym) * symbols;
	const char *names;
	const uint32_t *hash; /* DT_GNU_HASH */
	const ElfW(Rela) * data, *calls;
	size_t data_count, call_count;
};

/* False: it has no symbols. */
bool object_read(struct object *ret_object, const struct dl_phdr_info *info);
/* Is the address in one of its segments? */
bool object_holds(const struct object *o, uintptr_t address);
/* Behind the last of its segments. */
uintptr_t object_end(const struct object *o);
bool object_is_ours(const struct object *o);
/* The writable segments of our library, from the first to the last. */
bool objects_own_data(uintptr_t *ret_start, uintptr_t *ret_end);
/* ... of the object that the function is in. [start-up] */
bool objects_data_of(const void *function, uintptr_t *ret_start, uintptr_t *ret_end);
/* The object's own function of this name; NULL: it has none. Versions are not looked at. */
ElfW(Sym) * object_function(const struct object *o, const char *name);
/* The text of its entry number `n` with this tag (DT_SONAME, DT_NEEDED) in the dynamic section; NULL: there is none. */
const char *object_text(const struct object *o, int64_t tag, unsigned n);
/* Does it refer to a name that another object must define? */
bool object_needs(const struct object *o, const char *name);
/* What the loader has bound its references of that name to, or the way to the loader if that is still to come. 0: it has none. */
uintptr_t object_bound_to(const struct object *o, const char *name);

/* Does any object but ours define the function? While no other thread loads libraries: at the process's first allocation. */
bool objects_define(const char *name);
/* Does the program, or a library that is looked up before ours? [any time: these are never unloaded] */
bool objects_define_before_us(const char *name);
/* Does a library that is looked up after ours, as by RTLD_NEXT? [as objects_define()] */
bool objects_define_after_us(const char *name);
