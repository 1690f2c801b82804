#include "export_modules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "intern.h"
#include "model.h"
#include "profile.h"

static int find_modules(const struct profile_frame *frames, size_t count, struct intern *paths,
                        struct export_modules *t)
{
	for (size_t i = 0; i < count; i++) {
		int64_t number;

		t->of_frame[i] = EXPORT_NO_MODULE;
		if (!frames[i].module[0])
			continue;
		number = intern_add(paths, frames[i].module, strlen(frames[i].module));
		if (number == INTERN_FAILED)
			return -ENOMEM;
		t->of_frame[i] = (uint32_t)number;
		if ((size_t)number == t->count)
			t->items[t->count++].path = frames[i].module;
	}
	return 0;
}

static int find_about(const struct model *m, struct intern *paths, struct export_modules *t)
{
	for (size_t i = 0; m && i < m->module_count; i++) {
		int64_t number = intern_add(paths, m->modules[i].path, strlen(m->modules[i].path));

		if (number == INTERN_FAILED)
			return -ENOMEM;
		if ((size_t)number < t->count && !t->items[number].about)
			t->items[number].about = &m->modules[i];
	}
	return 0;
}

int export_modules_get(const struct profile_frame *frames, size_t count, const struct model *m,
                       struct export_modules *ret)
{
	struct export_modules t = { calloc(count + 1, sizeof(*t.items)), calloc(count + 1, sizeof(*t.of_frame)), 0 };
	struct arena arena = { 0 };
	struct intern paths = { .arena = &arena };
	int rc = t.items && t.of_frame ? find_modules(frames, count, &paths, &t) : -ENOMEM;

	if (rc == 0)
		rc = find_about(m, &paths, &t);
	intern_done(&paths);
	arena_done(&arena);
	if (rc < 0)
		export_modules_done(&t);
	else
		*ret = t; /* moved */
	return rc;
}

void export_modules_done(struct export_modules *t)
{
	free(t->items);
	free(t->of_frame);
	*t = (struct export_modules){ 0 };
}

void export_build_id(struct buf *out, const struct export_module *m)
{
	for (uint32_t i = 0; m->about && i < m->about->build_id_bytes; i++)
		buf_printf(out, "%02x", m->about->build_id[i]);
}
