#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load_artillery.h"
#include "load_jmeter.h"
#include "load_own.h"
#include "load_tools.h"

/* Is it an XML file? What stands before "<?xml" or the root element, some tools leave there. */
static const char *find_xml(const char *text, size_t len)
{
	const char *xml = memmem(text, len < 4096 ? len : 4096, "<?xml", 5);

	return xml ? xml : memmem(text, len < 4096 ? len : 4096, "<jmeterTestPlan", 15);
}

static bool is_script(const char *text, size_t len)
{
	static const char *const words[] = { "export default", "export const options", "export let options", "from 'k6",
		                             "from \"k6",      "require('k6" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (memmem(text, len, words[i], strlen(words[i])))
			return true;
	return false;
}

static uint32_t lines_before(const char *text, const char *at)
{
	uint32_t n = 1;

	for (; text < at; text++)
		n += *text == '\n';
	return n;
}

static int jmeter(struct load *l, const char *text, size_t len, const char *xml)
{
	struct xml *root = NULL;
	int rc =
	        xml_tree_parse(&l->plan->keep, xml, (size_t)(text + len - xml), lines_before(text, xml), &root, l->err);

	if (rc < 0)
		return rc;
	l->dialect.kind = DIALECT_JMETER;
	load_jmeter(l, root);
	return l->refused ? -EPROTO : 0;
}

static int document(struct load *l, const char *text, size_t len)
{
	size_t blanks = 0;
	struct doc *root = NULL;
	bool is_json;
	int rc;

	while (blanks < len && strchr(" \t\r\n", text[blanks]) && text[blanks])
		blanks++;
	is_json = blanks < len && text[blanks] == '{';
	rc = is_json ? doc_parse_json(&l->plan->keep, text, len, &root, l->err)
	             : doc_parse_yaml(&l->plan->keep, text, len, &root, l->err);
	if (rc < 0)
		return rc;
	if (!doc_is(root, DOC_MAP))
		return err_set(l->err, -EPROTO, "%u: this is no plan", root->line);
	if (doc_find(root, "config") || doc_is(doc_find(root, "scenarios"), DOC_LIST)) {
		l->dialect.kind = DIALECT_ARTILLERY;
		load_artillery(l, root);
	} else {
		load_own(l, root);
	}
	return l->refused ? -EPROTO : 0;
}

int load_plan_text(const char *path, const char *text, size_t len, const struct load_options *options,
                   struct testplan **ret_plan, struct err *err)
{
	struct testplan *p = testplan_new(path);
	struct load l = {
		.plan = p, .options = options, .err = err, .base_origin = TESTPLAN_NO_ORIGIN, .base_path = ""
	};
	const char *xml;
	int rc;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	l.dialect = (struct dialect){ .kind = DIALECT_OWN, .plan = p, .values = &options->values };
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	xml = find_xml(text, len);
	if (xml)
		rc = jmeter(&l, text, len, xml);
	else if (is_script(text, len))
		rc = err_set(err, -ENOTSUP, "1: k6 scripts are not built yet");
	else if (memchr(text, '\0', len))
		rc = err_set(err, -EPROTO, "1: this is no plan");
	else
		rc = document(&l, text, len);
	if (rc == 0)
		rc = testplan_finish(p, err);
	if (rc < 0) {
		testplan_free(p);
		if (err) { /* "PATH:LINE: reason" is what editors follow */
			struct err inner = *err;

			(void)err_set(err, rc, "%s:%s", path, inner.text);
		}
		return rc;
	}
	*ret_plan = p;
	return 0;
}

int load_plan(const char *path, const struct load_options *options, struct testplan **ret_plan, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	struct stat st;
	char *text;
	size_t len = 0;

	if (fd < 0)
		return err_set(err, -EIO, "cannot read '%s': %s", path, strerror(errno));
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		(void)close(fd);
		return err_set(err, -EIO, "cannot read '%s': %s", path, strerror(EISDIR));
	}
	text = malloc(LOAD_FILE_MAX);
	while (text && len < LOAD_FILE_MAX) {
		ssize_t n = read(fd, text + len, LOAD_FILE_MAX - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	(void)close(fd);
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	rc = len == LOAD_FILE_MAX ? err_set(err, -EIO, "'%s' is larger than 64 MiB", path)
	                          : load_plan_text(path, text, len, options, ret_plan, err);
	free(text);
	return rc;
}
