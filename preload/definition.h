/* Which library's function a call was meant for. Where our library defines a name in front of all others, a call comes to us whether
 * the caller's library is in the global scope or opened privately (RTLD_LOCAL), and dlsym(RTLD_NEXT) knows only the first kind.
 * Context    [hook] of functions that may lock and allocate anyway: the first call from each place takes the loader's lock, by
 *            dl_iterate_phdr(); later ones take none.
 * Ownership  what is returned is good while the caller's code is loaded. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct definition_name {
	const char *name;
	const char *library; /* begin of the DT_SONAME of libraries that call themselves by this name */
};

struct definition {
	void *function;
	bool same;  /* the caller is in the object that defines it */
	bool inner; /* and its DT_SONAME begins with `library` */
};

/* `which`: the name's number, each name its own, below 256. `caller`: a return address. False: nobody defines it. errno is kept.
 * Several definitions: what the loader's order gives: that of the global scope; the caller's own; that of a library the caller
 * needs, in its order; the first loaded. To know the first, dlsym() is called then: the program's pending dlerror() is lost. */
bool definition_of(unsigned which, const struct definition_name *name, const void *caller, struct definition *ret);
/* The function of this name of the object that has `function`. NULL: none. errno is kept. */
void *definition_beside(unsigned which, const char *name, const void *function);
/* Something was unloaded: other code may stand at the same addresses. [any thread] */
void definition_forget(void);
