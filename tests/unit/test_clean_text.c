/* Tests of clean_text.c: nothing a hostile name holds reaches a page, and honest names pass unchanged. */
#include "t.h"

#include "clean_text.h"

#define BAD "\xef\xbf\xbd"

static const struct {
	const char *name, *text, *want;
} cleaned[] = {
	{ "plain", "ngx_http_process_request", "ngx_http_process_request" },
	{ "empty", "", "" },
	{ "UTF-8 of every length", "a\xc3\xa9\xe6\x97\xa5\xf0\x9f\x94\xa5", "a\xc3\xa9\xe6\x97\xa5\xf0\x9f\x94\xa5" },
	{ "tab and line ends", "a\tb\nc\rd", "a b c d" },
	{ "controls", "a\x01\x1b[31m\x7f", "a" BAD BAD "[31m" BAD },
	{ "C1 control", "a\xc2\x85z", "a" BAD "z" },
	{ "lone continuation", "a\x80z", "a" BAD "z" },
	{ "overlong", "\xc0\xaf", BAD BAD },
	{ "overlong of three", "\xe0\x80\xaf", BAD BAD BAD },
	{ "surrogate", "\xed\xa0\x80", BAD BAD BAD },
	{ "beyond Unicode", "\xf4\x90\x80\x80", BAD BAD BAD BAD },
	{ "cut short at the end", "a\xe6\x97", "a" BAD BAD },
	{ "cut short before text", "\xf0\x9fz", BAD BAD "z" },
	{ "noncharacter", "\xef\xbf\xbe\xef\xbf\xbf", BAD BAD },
	{ "bidirectional override", "a\xe2\x80\xaez", "a" BAD "z" },
	{ "bidirectional isolate", "a\xe2\x81\xa6z", "a" BAD "z" },
};

static void clean_text_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cleaned); i++) {
		struct t_guarded g = t_guarded_new(cleaned[i].text, strlen(cleaned[i].text) + 1);
		struct buf b = { 0 };

		clean_text(&b, (const char *)g.data);
		buf_add(&b, "", 0);
		T_STR(cleaned[i].name, b.data, cleaned[i].want);
		buf_done(&b);
		t_guarded_free(&g);
	}
}

static const struct {
	const char *name, *text;
	size_t max;
	const char *want;
} xml[] = {
	{ "markup", "<a b=\"c\">&'", 0, "&lt;a b=&quot;c&quot;&gt;&amp;&#39;" },
	{ "fits exactly", "abcd", 4, "abcd" },
	{ "cut", "abcde", 4, "abc\xe2\x80\xa6" },
	{ "cut counts characters", "\xc3\xa9\xc3\xa9\xc3\xa9", 2, "\xc3\xa9\xe2\x80\xa6" },
	{ "cut counts characters, not entities", "<<<", 2, "&lt;\xe2\x80\xa6" },
	{ "end of a CDATA section", "]]>", 0, "]]&gt;" },
};

static void clean_xml_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(xml); i++) {
		struct buf b = { 0 };

		clean_xml(&b, xml[i].text, xml[i].max);
		T_STR(xml[i].name, b.data, xml[i].want);
		buf_done(&b);
	}
}

static const struct {
	const char *text, *want;
} brief[] = {
	{ "malloc", "malloc" },
	{ "foo(int, char const*)", "foo" },
	{ "std::vector<int, std::allocator<int> >::push_back(int&&)", "std::vector::push_back" },
	{ "ns::Map<K<V>>::get() const", "ns::Map::get" },
	{ "(anonymous namespace)::grow(unsigned long)", "(anon)::grow" },
	{ "operator<<(std::ostream&, Foo const&)", "operator<<" },
	{ "Foo::operator()(int) const", "Foo::operator()" },
	{ "Foo::operator->() const", "Foo::operator->" },
	{ "Foo::operator<(Foo const&) const", "Foo::operator<" },
	{ "my_operator<int>()", "my_operator" },
	{ "<alloc::vec::Vec<T> as core::ops::Drop>::drop", "<alloc::vec::Vec<T> as core::ops::Drop>::drop" },
	{ "[truncated]", "[truncated]" },
	{ "libfoo.so+0x12", "libfoo.so+0x12" },
	{ "a<b", "a<b" },
	{ "(x)", "(x)" },
};

static void short_name_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(brief); i++) {
		struct buf b = { 0 };

		short_name(&b, brief[i].text);
		T_STR(brief[i].text, b.data, brief[i].want);
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_text_table),
		cmocka_unit_test(clean_xml_table),
		cmocka_unit_test(short_name_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
