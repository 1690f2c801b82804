#include "capture_xpath.h"

#include <errno.h>
#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <limits.h>

enum { XPATH_TEXT_MAX = 8 << 20 };

static void silent(void *context, const char *fmt, ...)
{
	(void)context;
	(void)fmt;
}

static xmlDocPtr parse(bool is_html, const char *text, size_t len)
{
	if (len > XPATH_TEXT_MAX)
		return NULL;
	if (is_html)
		return htmlReadMemory(text, (int)len, NULL, NULL,
		                      HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
		                              HTML_PARSE_NONET);
	return xmlReadMemory(text, (int)len, NULL, NULL, XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NONET);
}

static bool put(struct buf *out, xmlChar *text)
{
	if (!text)
		return false;
	buf_add_str(out, (const char *)text);
	xmlFree(text);
	return true;
}

bool capture_xpath(const char *expression, bool is_html, const char *text, size_t len, size_t index, struct buf *out,
                   size_t *ret_count)
{
	xmlDocPtr doc = parse(is_html, text, len);
	xmlXPathContextPtr context = doc ? xmlXPathNewContext(doc) : NULL;
	xmlXPathObjectPtr found = NULL;
	bool ok = false;

	*ret_count = 0;
	if (context) {
		xmlSetGenericErrorFunc(NULL, silent);
		context->opLimit = 1000000;
		found = xmlXPathEvalExpression((const xmlChar *)expression, context);
	}
	if (found && found->type == XPATH_NODESET) {
		*ret_count = found->nodesetval ? (size_t)found->nodesetval->nodeNr : 0;
		ok = index < *ret_count && put(out, xmlXPathCastNodeToString(found->nodesetval->nodeTab[index]));
	} else if (found) {
		*ret_count = 1;
		ok = index == 0 && put(out, xmlXPathCastToString(found));
	}
	xmlXPathFreeObject(found);
	xmlXPathFreeContext(context);
	xmlFreeDoc(doc);
	return ok;
}

int capture_xpath_check(const char *expression, struct err *err)
{
	xmlXPathCompExprPtr compiled;

	xmlSetGenericErrorFunc(NULL, silent);
	compiled = xmlXPathCompile((const xmlChar *)expression);
	if (!compiled)
		return err_set(err, -EINVAL, "'%s' is no XPath", expression);
	xmlXPathFreeCompExpr(compiled);
	return 0;
}
