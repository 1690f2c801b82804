/* Tests of url.c: what is understood, what is refused, and that a refusal says why. */
#include "t.h"

#include <errno.h>

#include "url.h"

static const struct {
	const char *text, *host, *authority, *target;
	uint16_t port;
	bool tls;
} good[] = {
	{ "http://a", "a", "a", "/", 80, false },
	{ "http://a/", "a", "a", "/", 80, false },
	{ "HTTP://Example.org:8080/x/y?z=1&w", "Example.org", "Example.org:8080", "/x/y?z=1&w", 8080, false },
	{ "http://a:80/", "a", "a", "/", 80, false },
	{ "http://a:443/", "a", "a:443", "/", 443, false },
	{ "https://a/", "a", "a", "/", 443, true },
	{ "https://a:443", "a", "a", "/", 443, true },
	{ "https://a:80", "a", "a:80", "/", 80, true },
	{ "localhost:8080", "localhost", "localhost:8080", "/", 8080, false },
	{ "localhost/x", "localhost", "localhost", "/x", 80, false },
	{ "127.0.0.1:1?q", "127.0.0.1", "127.0.0.1:1", "/?q", 1, false },
	{ "http://[::1]:8080/", "::1", "[::1]:8080", "/", 8080, false },
	{ "http://[fe80::1]/a", "fe80::1", "[fe80::1]", "/a", 80, false },
	{ "http://a?q=1", "a", "a", "/?q=1", 80, false },
	{ "http://a#top", "a", "a", "/", 80, false },
	{ "http://a/x#top", "a", "a", "/x", 80, false },
	{ "http://a/?next=http://b/", "a", "a", "/?next=http://b/", 80, false },
	{ "a/?next=http://b/", "a", "a", "/?next=http://b/", 80, false },
	{ "http://a/%20%zz", "a", "a", "/%20%zz", 80, false },
	{ "http://a/\xc3\xa4", "a", "a", "/%C3%A4", 80, false },
	{ "http://my_host-1~y:65535/", "my_host-1~y", "my_host-1~y:65535", "/", 65535, false },
};

static const char *const bad[] = {
	"",
	"http://",
	"http:///x",
	"ftp://a/",
	"://a",
	"http://a:/",
	"http://a:0/",
	"http://a:65536/",
	"http://a:99999999999999999999/",
	"http://a:8o/",
	"http://a:-1/",
	"http://a b/",
	"http://a/b c",
	"http://a/\n",
	"http://a/\x7f",
	"http://user@a/",
	"http://user:pw@a/",
	"http://[::1/",
	"http://[::1]x/",
	"http://[zz]/",
	"http://[1.2.3.4]/",
	"http://[]/",
	"http://::1/",
	"http://a,b/",
	"http://a\\b/",
	"http://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]/",
};

static void accepted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct err err = { 0 };
		struct url u;

		T_CHECK(good[i].text, url_parse(good[i].text, &u, &err) == 0);
		T_STR(good[i].text, u.host, good[i].host);
		T_STR(good[i].text, u.authority, good[i].authority);
		T_STR(good[i].text, u.target, good[i].target);
		T_CHECK(good[i].text, u.port == good[i].port && u.tls == good[i].tls);
		url_done(&u);
	}
}

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = { 0 };
		struct url u = { .port = 7 };

		T_CHECK(bad[i], url_parse(bad[i], &u, &err) == -EINVAL);
		T_CHECK(bad[i], err.text[0] != '\0');
		T_CHECK(bad[i], u.port == 7 && !u.host); /* untouched */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(accepted), cmocka_unit_test(refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
