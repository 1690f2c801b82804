/* Names as compilers make them, and names that only a fuzzer makes. */
#include "t.h"

#include "demangle.h"

static const struct {
	const char *name, *symbol, *want;
} cases[] = {
	{ "C", "main", "main" },
	{ "C with a leading underscore", "_start", "_start" },
	{ "versioned", "memcpy@@GLIBC_2.14", "memcpy" },
	{ "hidden version", "memcpy@GLIBC_2.2.5", "memcpy" },
	{ "constprop", "foo.constprop.0", "foo" },
	{ "several suffixes", "foo.constprop.0.isra.1", "foo" },
	{ "cold part", "foo.cold", "foo" },
	{ "part", "foo.part.0", "foo" },
	{ "lto", "foo.lto_priv.12", "foo" },
	{ "not a suffix", "foo.partial", "foo.partial" },
	{ "Go keeps its dots", "main.(*Server).serve", "main.(*Server).serve" },
	{ "PLT", "free@plt", "free@plt" },
	{ "PLT of C++", "_Znwm@plt", "operator new(unsigned long)@plt" },
	{ "nothing but PLT", "@plt", "@plt" },
	{ "empty", "", "" },

	{ "C++ function", "_Z3fooiPKc", "foo(int, char const*)" },
	{ "C++ copy", "_Z3foov.constprop.0", "foo()" },
	{ "C++ method", "_ZN6server6Worker6handleERKNS_7RequestE", "server::Worker::handle(server::Request const&)" },
	{ "C++ template", "_ZNSt6vectorIiSaIiEE9push_backERKi",
	  "std::vector<int, std::allocator<int> >::push_back(int const&)" },
	{ "C++ lambda", "_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const" },
	{ "C++ operator new", "_Znwm", "operator new(unsigned long)" },
	{ "C++ anonymous namespace", "_ZN12_GLOBAL__N_13barEv", "(anonymous namespace)::bar()" },
	{ "C++ cut off", "_ZN6server6Worker6han", "_ZN6server6Worker6han" },
	{ "C++ nothing", "_Z", "_Z" },

	{ "Rust legacy", "_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place" },
	{ "Rust legacy escapes",
	  "_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE",
	  "<Test + 'static as foo::Bar<Test>>::bar" },
	{ "Rust legacy closure", "_ZN6server4main28_$u7b$$u7b$closure$u7d$$u7d$17h1234567890abcdefE",
	  "server::main::{{closure}}" },
	{ "Rust legacy llvm", "_ZN3foo17h05af221e174051e9E.llvm.1234", "foo" },
	{ "Rust legacy unknown escape", "_ZN8a$XX$b$c17h05af221e174051e9E", "a$XX$b$c" },
	{ "Rust legacy dangling length", "_ZN99foo17h05af221e174051e9E", "_ZN99foo17h05af221e174051e9E" },

	{ "Rust v0", "_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar" },
	{ "Rust v0 digit name", "_RNvC6_123foo3bar", "123foo::bar" },
	{ "Rust v0 closures", "_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}" },
	{ "Rust v0 generics, dyn, back references",
	  "_RINbNbCskIICzLVDPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_ECs1iopQbuBiw2_3std",
	  "alloc::alloc::box_free::<dyn alloc::boxed::FnBox<(), Output = ()>>" },
	{ "Rust v0 const", "_RMC0INtC8arrayvec8ArrayVechKj7b_E", "<arrayvec::ArrayVec<u8, 123>>" },
	{ "Rust v0 negative const", "_RMCs4fqI2P2rA04_13const_genericINtB0_6SignedKanb_E",
	  "<const_generic::Signed<-11>>" },
	{ "Rust v0 bool", "_RMCs4fqI2P2rA04_13const_genericINtB0_4BoolKb1_E", "<const_generic::Bool<true>>" },
	{ "Rust v0 char", "_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKc2202_E", "<const_generic::Char<'∂'>>" },
	{ "Rust v0 newline", "_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKca_E", "<const_generic::Char<'\\n'>>" },
	{ "Rust v0 str", "_RIC1aKRe616263_E", "a::<\"abc\">" },
	{ "Rust v0 array const", "_RIC1aKRAh1_h2_h3_EE", "a::<{&[1, 2, 3]}>" },
	{ "Rust v0 punycode", "_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
	  "utf8_idents::საჭმელად_გემრიელი_სადილი" },
	{ "Rust v0 trait method", "_RNvXCs1_1aNtB2_1SNtB2_1T1m", "<a::S as a::T>::m" },
	{ "Rust v0 fn type", "_RIC1aFUKCRhPaEuE", "a::<unsafe extern \"C\" fn(&u8, *const i8)>" },
	{ "Rust v0 binder", "_RIC1aFG_RL0_hEuE", "a::<for<'a> fn(&'a u8)>" },
	{ "Rust v0 tuple", "_RIC1aTThEhlEE", "a::<((u8,), u8, i32)>" },
	{ "Rust v0 slice", "_RIC1aRShE", "a::<&[u8]>" },
	{ "Rust v0 instantiating crate", "_RINvC1a1fhEC1b", "a::f::<u8>" },
	{ "Rust v0 copy", "_RNvC1a1f.llvm.123", "a::f" },
	{ "Rust v0 without name", "_RNvC6_123foo", "_RNvC6_123foo" },
	{ "Rust v0 trailing junk", "_RNvC1a1fz", "_RNvC1a1fz" },
	{ "Rust v0 reference to itself", "_RIB0_hE", "_RIB0_hE" },
	{ "Rust v0 reference forward", "_RIB9_hE", "_RIB9_hE" },
	{ "Rust v0 lifetime unbound", "_RIC1aRL0_hE", "_RIC1aRL0_hE" },
	{ "Rust v0 number too large", "_RNvCszzzzzzzzzzzzz_1a1f", "_RNvCszzzzzzzzzzzzz_1a1f" },
	{ "Rust v0 huge binder", "_RIC1aFGzzzzz_hEuE", "_RIC1aFGzzzzz_hEuE" },
};

static void names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = { 0 };

		buf_add_str(&out, "<"); /* what stood there stays */
		demangle(cases[i].symbol, &out);
		T_CHECK(cases[i].name, !out.failed && out.data[0] == '<');
		T_STR(cases[i].name, out.data + 1, cases[i].want);
		buf_done(&out);
	}
}

static void prefixes_never_crash(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t n = 0; n <= strlen(cases[i].symbol); n++) {
			struct t_guarded g = t_guarded_new(NULL, n + 1);
			struct buf out = { 0 };

			memcpy(g.data, cases[i].symbol, n);
			demangle((const char *)g.data, &out);
			assert_false(out.failed);
			assert_int_equal(n > 0, out.len > 0);
			buf_done(&out);
			t_guarded_free(&g);
		}
	}
}

/* Short names that stand for gigabytes, and names deep enough to overflow a stack. */
static void bombs_are_bounded(void **state)
{
	struct buf name = { 0 }, out = { 0 };

	(void)state;
	/* Each template argument repeats all before it twice: 2^60. */
	buf_add_str(&name, "_Z1fI1aE");
	for (unsigned i = 0; i < 60; i++)
		buf_printf(&name, "1bIS%c_S%c_E", 'A' + (int)i % 26, 'A' + (int)i % 26);
	demangle(name.data, &out);
	assert_true(out.len <= DEMANGLE_MAX_OUT + DEMANGLE_MAX_IN);
	buf_clear(&name);
	buf_clear(&out);
	/* Tuples of two back references to the tuple before: 2^20 and more, in v0. */
	buf_add_str(&name, "_RIC1aTuu");
	for (unsigned i = 0; i < 30; i++)
		buf_add_str(&name, "TB4_B4_");
	for (unsigned i = 0; i < 31; i++)
		buf_add_char(&name, 'E');
	buf_add_char(&name, 'E');
	demangle(name.data, &out);
	assert_true(out.len <= DEMANGLE_MAX_OUT + DEMANGLE_MAX_IN);
	buf_clear(&name);
	buf_clear(&out);
	/* Deep. */
	buf_add_str(&name, "_RIC1a");
	for (unsigned i = 0; i < 10000; i++)
		buf_add_char(&name, 'R');
	buf_add_str(&name, "hE");
	demangle(name.data, &out);
	assert_string_equal(out.data, name.data);
	buf_clear(&name);
	buf_clear(&out);
	buf_add_str(&name, "_Z1f");
	for (unsigned i = 0; i < 15000; i++)
		buf_add_char(&name, 'P');
	buf_add_char(&name, 'i');
	demangle(name.data, &out);
	assert_true(out.len > 0);
	buf_clear(&name);
	buf_clear(&out);
	/* Longer than any compiler makes. */
	buf_add_str(&name, "_ZN");
	for (unsigned i = 0; i < DEMANGLE_MAX_IN; i++)
		buf_add_str(&name, "1a");
	buf_add_str(&name, "Ev");
	demangle(name.data, &out);
	assert_string_equal(out.data, name.data);
	buf_done(&name);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(prefixes_never_crash),
		cmocka_unit_test(bombs_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
