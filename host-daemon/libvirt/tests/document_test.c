// SPDX-License-Identifier: MIT
/*
 * Edits of XML as text: places of elements, white space, attributes, overlaps.
 */
#include "domains.h"

#include <errno.h>

/* Reads @text, lets @edit edit it, and expects @wanted. */
static void expect(const char *text, void (*edit)(struct gcl_document *document, xmlNode *root),
		   const char *wanted)
{
	_cleanup_(gcl_document_fini) struct gcl_document document = {0};
	_cleanup_free_ char *out = NULL;

	assert_int_equal(gcl_document_read(&document, text), 0);
	if (edit)
		edit(&document, gcl_document_root(&document));
	assert_int_equal(gcl_document_write(&document, &out), 0);
	assert_string_equal(out, wanted);
}

static void test_unchanged(void **state)
{
	static const char *const texts[] = {
		"<a/>",
		("<?xml version='1.0'?>\n<!-- <b> -->\n"
		 "<a x='1>0' y=\"'\"  ><b/>t&amp;<b>\n</b></a >\n"),
		"<a><![CDATA[<b></a>]]><b\n c='d'\n/>\xc3\xa4<b>\xe2\x82\xac</b></a>",
	};

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(texts); i++)
		expect(texts[i], NULL, texts[i]);
}

static void test_broken(void **state)
{
	static const char *const texts[] = {
		"", " ", "<a>", "<a></b>", "x", "<a b='1' b='2'/>", "<a/><b/>"};

	(void)state;
	for (size_t i = 0; i < GCL_ARRAY_SIZE(texts); i++) {
		_cleanup_(gcl_document_fini) struct gcl_document document = {0};

		assert_int_equal(gcl_document_read(&document, texts[i]), -EINVAL);
	}
}

static void edit_inserts(struct gcl_document *document, xmlNode *root)
{
	const xmlNode *b = gcl_child(root, "b"), *c = gcl_child(root, "c");

	assert_int_equal(gcl_document_insert_after(document, b, "<after>\n  <x/>\n</after>"), 0);
	assert_int_equal(gcl_document_insert_after(document, b, "<after2/>"), 0);
	assert_int_equal(gcl_document_insert_before(document, b, "<before/>"), 0);
	assert_int_equal(gcl_document_insert_into(document, c, "<into/>"), 0);
	assert_int_equal(gcl_document_insert_into(document, root, "<first/>"), 0);
}

static void test_inserts(void **state)
{
	(void)state;
	expect("<a>\n  <b>\n    <y/>\n  </b>\n  <c/>\n</a>\n", edit_inserts,
	       "<a>\n  <before/>\n  <first/>\n  <b>\n    <y/>\n  </b>\n  <after>\n    <x/>\n"
	       "  </after>\n  <after2/>\n  <c>\n    <into/>\n  </c>\n</a>\n");
}

static void edit_removes(struct gcl_document *document, xmlNode *root)
{
	xmlNode *b = gcl_child(root, "b");

	assert_int_equal(gcl_document_remove(document, b), 0);
	assert_int_equal(gcl_document_remove(document, gcl_next(b, "b")), 0);
	assert_int_equal(gcl_document_replace(document, gcl_child(root, "c"), "<d>\n  <e/>\n</d>"),
			 0);
}

static void test_removes(void **state)
{
	(void)state;
	/* Another's element of that name stays, and so does what lies deeper. */
	expect("<a xmlns:n='u'>\n  <b><b/></b>\n  <n:b/>\n  <b/>\n  <c>t</c>\n</a>", edit_removes,
	       "<a xmlns:n='u'>\n  <n:b/>\n  <d>\n    <e/>\n  </d>\n</a>");
}

static void edit_attributes(struct gcl_document *document, xmlNode *root)
{
	const xmlNode *b = gcl_path(root, "b");

	assert_int_equal(gcl_document_set(document, b, "mode", "a'<b"), 0);
	assert_int_equal(gcl_document_set(document, b, "new", "1"), 0);
	assert_int_equal(gcl_document_set(document, b, "gone", NULL), 0);
	assert_int_equal(gcl_document_set(document, b, "never", NULL), 0);
	assert_int_equal(gcl_document_set(document, gcl_child(b, "c"), "x", "y"), 0);
}

static void test_attributes(void **state)
{
	(void)state;
	expect("<a><b models=' mode=1 ' gone = '1'\n mode = \"old\" ><c x='>'/></b></a>",
	       edit_attributes,
	       "<a><b models=' mode=1 '\n mode='a&apos;&lt;b'  new='1'><c x='y'/></b></a>");
	expect("<a><b mode='1'><c/></b></a>", edit_attributes,
	       "<a><b mode='a&apos;&lt;b' new='1'><c x='y'/></b></a>");
}

static void test_overlap(void **state)
{
	_cleanup_(gcl_document_fini) struct gcl_document document = {0};
	_cleanup_free_ char *out = NULL;
	const xmlNode *root;

	(void)state;
	assert_int_equal(gcl_document_read(&document, "<a><b c='1'/></a>"), 0);
	root = gcl_document_root(&document);
	assert_int_equal(gcl_document_set(&document, gcl_child(root, "b"), "c", "2"), 0);
	assert_int_equal(gcl_document_remove(&document, gcl_child(root, "b")), 0);
	assert_int_equal(gcl_document_write(&document, &out), -EINVAL);
	assert_null(out);
}

static void test_values(void **state)
{
	_cleanup_(gcl_document_fini) struct gcl_document document = {0};
	const xmlNode *root;
	char value[4];

	(void)state;
	assert_int_equal(gcl_document_read(&document, "<a b='123' c='1234' d='&lt;'/>"), 0);
	root = gcl_document_root(&document);
	assert_true(gcl_attribute(root, "b", value, sizeof value));
	assert_string_equal(value, "123");
	assert_false(gcl_attribute(root, "c", value, sizeof value));
	assert_string_equal(value, "");
	assert_true(gcl_attribute_is(root, "d", "<"));
	assert_false(gcl_attribute_is(root, "e", ""));
	assert_false(gcl_attribute(NULL, "b", value, sizeof value));
	assert_null(gcl_path(NULL, "b"));
	assert_null(gcl_path(root, "b/c"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unchanged),  cmocka_unit_test(test_broken),
		cmocka_unit_test(test_inserts),	   cmocka_unit_test(test_removes),
		cmocka_unit_test(test_attributes), cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
