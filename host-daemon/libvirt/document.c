// SPDX-License-Identifier: MIT
/*
 * Elements with their places in the text, and edits of the text.
 *
 * Places come from the parser: at the start and at the end of each element it says how far it has
 * read. A start tag holds no '<' but its first character, so the tag is found from any place
 * within it or right behind it, whichever the version of libxml2 reports.
 *
 * Must not: know what a domain is.
 */
#include "document.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct gcl_span {
	size_t start;	/* of "<name" */
	size_t tag_end; /* behind the start tag's '>' */
	size_t end;	/* behind the element */
};

struct gcl_edit {
	size_t start, end; /* what is replaced; the same for an insertion */
	size_t order;
	char *text;
};

/* What the parser's callbacks work on, as its context's _private. */
struct reading {
	struct gcl_document *document;
	bool failed;
};

/* Behind the '>' of the tag that begins at @start. */
static size_t tag_end_find(const char *text, size_t size, size_t start)
{
	char quote = '\0';

	for (size_t i = start; i < size; i++) {
		if (quote && text[i] == quote)
			quote = '\0';
		else if (!quote && (text[i] == '"' || text[i] == '\''))
			quote = text[i];
		else if (!quote && text[i] == '>')
			return i + 1;
	}
	return size;
}

/* A node's _private is for applications: one more than the number of its span. */
static struct gcl_span *span_of(const struct gcl_document *document, const xmlNode *node)
{
	return &document->spans[(uintptr_t)node->_private - 1];
}

static void span_add(struct reading *reading, xmlNode *node, long place)
{
	struct gcl_document *document = reading->document;
	struct gcl_span *spans = document->spans;
	size_t start = place < 0 ? 0 : GCL_MIN((size_t)place, document->size - 1);

	/* Room grows by powers of two. */
	if ((document->span_count & (document->span_count - 1)) == 0) {
		size_t room = document->span_count ? document->span_count * 2 : 1;

		spans = reallocarray(spans, room, sizeof *spans);
		if (!spans) {
			reading->failed = true;
			return;
		}
		document->spans = spans;
	}
	while (start > 0 && document->text[start] != '<')
		start--;
	spans[document->span_count++] = (struct gcl_span){
		.start = start,
		.tag_end = tag_end_find(document->text, document->size, start),
	};
	node->_private = (void *)(uintptr_t)document->span_count;
}

static void on_start(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
		     int namespace_count, const xmlChar **namespaces, int attribute_count,
		     int defaulted_count, const xmlChar **attributes)
{
	xmlParserCtxt *parser = data;
	long place = xmlByteConsumed(parser);

	xmlSAX2StartElementNs(data, name, prefix, uri, namespace_count, namespaces, attribute_count,
			      defaulted_count, attributes);
	/* Without a node there was no memory for it, and the parser knows. A place right behind the
	 * tag may be at the '<' of the next. */
	if (parser->node)
		span_add(parser->_private, parser->node, place - 1);
}

static void on_end(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	xmlParserCtxt *parser = data;
	const struct reading *reading = parser->_private;
	const struct gcl_document *document = reading->document;
	long place = xmlByteConsumed(parser);

	if (!reading->failed && parser->node) {
		struct gcl_span *span = span_of(document, parser->node);

		span->end = span->tag_end;
		if (document->text[span->tag_end - 2] != '/' && place > 0)
			span->end = tag_end_find(document->text, document->size, (size_t)place - 1);
	}
	xmlSAX2EndElementNs(data, name, prefix, uri);
}

/* Errors are told by the caller, who knows which domain it was. */
static void on_error(void *data, const char *format, ...)
{
	(void)data;
	(void)format;
}

int gcl_document_read(struct gcl_document *document, const char *text)
{
	struct reading reading = {.document = document};
	xmlParserCtxt *parser;
	bool good;

	*document = (struct gcl_document){.text = strdup(text), .size = strlen(text)};
	if (!document->text)
		return -ENOMEM;
	if (document->size == 0 || document->size > INT32_MAX)
		return -EINVAL;
	parser = xmlCreateMemoryParserCtxt(document->text, (int)document->size);
	if (!parser)
		return -ENOMEM;
	xmlCtxtUseOptions(parser, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	parser->_private = &reading;
	parser->sax->startElementNs = on_start;
	parser->sax->endElementNs = on_end;
	parser->sax->error = on_error;
	parser->sax->serror = NULL;
	xmlParseDocument(parser);
	good = parser->wellFormed && !reading.failed;
	document->doc = parser->myDoc;
	parser->myDoc = NULL;
	xmlFreeParserCtxt(parser);
	if (reading.failed)
		return -ENOMEM;
	return good && gcl_document_root(document) ? 0 : -EINVAL;
}

void gcl_document_fini(struct gcl_document *document)
{
	for (size_t i = 0; i < document->edit_count; i++)
		free(document->edits[i].text);
	free(document->edits);
	free(document->spans);
	free(document->text);
	xmlFreeDoc(document->doc);
	*document = (struct gcl_document){0};
}

xmlNode *gcl_document_root(const struct gcl_document *document)
{
	return xmlDocGetRootElement(document->doc);
}

/* The first of @node and its following siblings that fits. */
static xmlNode *sibling_find(xmlNode *node, const char *name, size_t length)
{
	for (; node; node = node->next) {
		if (node->type == XML_ELEMENT_NODE && !node->ns &&
		    strncmp((const char *)node->name, name, length) == 0 &&
		    node->name[length] == '\0')
			return node;
	}
	return NULL;
}

xmlNode *gcl_child(const xmlNode *parent, const char *name)
{
	return sibling_find(parent->children, name, strlen(name));
}

xmlNode *gcl_next(const xmlNode *node, const char *name)
{
	return sibling_find(node->next, name, strlen(name));
}

xmlNode *gcl_path(const xmlNode *parent, const char *path)
{
	xmlNode *node = (xmlNode *)parent;

	while (node && *path) {
		size_t length = strcspn(path, "/");

		node = sibling_find(node->children, path, length);
		path += length + (path[length] == '/');
	}
	return node;
}

bool gcl_attribute(const xmlNode *node, const char *name, char *value, size_t size)
{
	xmlChar *found = node ? xmlGetNoNsProp((xmlNode *)node, (const xmlChar *)name) : NULL;
	bool there = found && strlen((const char *)found) < size;

	snprintf(value, size, "%s", there ? (const char *)found : "");
	xmlFree(found);
	return there;
}

bool gcl_attribute_is(const xmlNode *node, const char *name, const char *value)
{
	char found[64];

	return gcl_attribute(node, name, found, sizeof found) && strcmp(found, value) == 0;
}

/* ------------------------------------------------------------ edits */

/* Takes over @text. */
static int edit_add(struct gcl_document *document, size_t start, size_t end, char *text)
{
	struct gcl_edit *edits =
		reallocarray(document->edits, document->edit_count + 1, sizeof *edits);

	if (edits)
		document->edits = edits;
	if (!edits || !text) {
		free(text);
		return -ENOMEM;
	}
	edits[document->edit_count] = (struct gcl_edit){
		.start = start,
		.end = end,
		.order = document->edit_count,
		.text = text,
	};
	document->edit_count++;
	return 0;
}

/* The white space before @place, back to the line's start. */
static size_t indent_of(const struct gcl_document *document, size_t place)
{
	size_t start = place;

	while (start > 0 && (document->text[start - 1] == ' ' || document->text[start - 1] == '\t'))
		start--;
	return place - start;
}

/* @xml with each line on one of its own, indented like the element at @place and by @deeper. */
static char *lines_indent(const struct gcl_document *document, size_t place, int deeper,
			  const char *xml)
{
	size_t indent = indent_of(document, place);
	char *out = NULL;
	size_t size;
	FILE *file = open_memstream(&out, &size);

	if (!file)
		return NULL;
	while (*xml) {
		size_t length = strcspn(xml, "\n");

		fprintf(file, "\n%.*s%*s%.*s", (int)indent, document->text + place - indent, deeper,
			"", (int)length, xml);
		xml += length + (xml[length] == '\n');
	}
	return fclose(file) == 0 ? out : NULL;
}

int gcl_document_insert_after(struct gcl_document *document, const xmlNode *node, const char *xml)
{
	const struct gcl_span *span = span_of(document, node);

	return edit_add(document, span->end, span->end,
			lines_indent(document, span->start, 0, xml));
}

int gcl_document_insert_before(struct gcl_document *document, const xmlNode *node, const char *xml)
{
	const struct gcl_span *span = span_of(document, node);
	size_t place = span->start - indent_of(document, span->start);

	/* Where the line before ends, so that every line comes with its own line break. */
	if (place > 0 && document->text[place - 1] == '\n')
		place--;
	return edit_add(document, place, place, lines_indent(document, span->start, 0, xml));
}

int gcl_document_insert_into(struct gcl_document *document, const xmlNode *node, const char *xml)
{
	const struct gcl_span *span = span_of(document, node);
	_cleanup_free_ char *lines = lines_indent(document, span->start, 2, xml);
	size_t indent = indent_of(document, span->start);
	char *whole = NULL;

	if (!lines)
		return -ENOMEM;
	if (span->end != span->tag_end)
		return edit_add(document, span->tag_end, span->tag_end, steal_pointer(&lines));
	/* <name/> becomes <name>...</name>. */
	if (asprintf(&whole, ">%s\n%.*s</%s>", lines, (int)indent,
		     document->text + span->start - indent, (const char *)node->name) < 0)
		return -ENOMEM;
	return edit_add(document, span->tag_end - 2, span->tag_end, whole);
}

int gcl_document_remove(struct gcl_document *document, const xmlNode *node)
{
	const struct gcl_span *span = span_of(document, node);
	size_t start = span->start;

	while (start > 0 && isspace((unsigned char)document->text[start - 1]))
		start--;
	return edit_add(document, start, span->end, strdup(""));
}

int gcl_document_replace(struct gcl_document *document, const xmlNode *node, const char *xml)
{
	const struct gcl_span *span = span_of(document, node);
	size_t indent = indent_of(document, span->start);
	char *lines = lines_indent(document, span->start, 0, xml);

	/* Without the first line's break and indentation, which are there. */
	if (lines)
		memmove(lines, lines + 1 + indent, strlen(lines + 1 + indent) + 1);
	return edit_add(document, span->start, span->end, lines);
}

/* Where ` name='value'` stands in the tag, with the white space before it; false if it doesn't. */
static bool attribute_place(const struct gcl_document *document, const struct gcl_span *span,
			    const char *name, size_t *start, size_t *end)
{
	const char *text = document->text;
	size_t length = strlen(name);
	char quote = '\0';

	for (size_t i = span->start; i < span->tag_end; i++) {
		if (quote && text[i] == quote)
			quote = '\0';
		else if (!quote && (text[i] == '"' || text[i] == '\''))
			quote = text[i];
		if (quote || !isspace((unsigned char)text[i]) ||
		    strncmp(text + i + 1, name, length) != 0)
			continue;
		*start = i;
		for (i += 1 + length; text[i] == '=' || isspace((unsigned char)text[i]);)
			i++;
		/* A longer name that begins with this one has no quote here. */
		if (text[i] != '"' && text[i] != '\'') {
			i = *start;
			continue;
		}
		*end = (size_t)(strchr(text + i + 1, text[i]) - text) + 1;
		return true;
	}
	return false;
}

int gcl_document_set(struct gcl_document *document, const xmlNode *node, const char *name,
		     const char *value)
{
	const struct gcl_span *span = span_of(document, node);
	_cleanup_free_ char *escaped = gcl_escape(value ? value : "");
	char *text = NULL;
	size_t start, end;

	if (!escaped)
		return -ENOMEM;
	if (!attribute_place(document, span, name, &start, &end)) {
		if (!value)
			return 0;
		start = span->tag_end - 1 - (document->text[span->tag_end - 2] == '/');
		end = start;
	}
	if (!value)
		return edit_add(document, start, end, strdup(""));
	if (asprintf(&text, " %s='%s'", name, escaped) < 0)
		return -ENOMEM;
	return edit_add(document, start, end, text);
}

static int edit_compare(const void *a, const void *b)
{
	const struct gcl_edit *left = a, *right = b;

	if (left->start != right->start)
		return left->start < right->start ? -1 : 1;
	/* What is inserted at a place stands before what is removed from there on. */
	if (left->end != right->end)
		return left->end < right->end ? -1 : 1;
	return left->order < right->order ? -1 : 1;
}

int gcl_document_write(struct gcl_document *document, char **text)
{
	size_t done = 0, size;
	bool overlap = false;
	FILE *file = open_memstream(text, &size);

	if (!file)
		return -ENOMEM;
	if (document->edit_count)
		qsort(document->edits, document->edit_count, sizeof *document->edits, edit_compare);
	for (size_t i = 0; i < document->edit_count && !overlap; i++) {
		const struct gcl_edit *edit = &document->edits[i];

		overlap = edit->start < done;
		if (overlap)
			break;
		fwrite(document->text + done, 1, edit->start - done, file);
		fputs(edit->text, file);
		done = edit->end;
	}
	fputs(document->text + done, file);
	if (fclose(file) < 0)
		return -ENOMEM;
	if (overlap) {
		free(*text);
		*text = NULL;
		return -EINVAL;
	}
	return 0;
}

char *gcl_escape(const char *text)
{
	char *out = NULL;
	size_t size;
	FILE *file = open_memstream(&out, &size);

	if (!file)
		return NULL;
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", file);
			break;
		case '<':
			fputs("&lt;", file);
			break;
		case '>':
			fputs("&gt;", file);
			break;
		case '\'':
			fputs("&apos;", file);
			break;
		case '"':
			fputs("&quot;", file);
			break;
		default:
			fputc(*text, file);
		}
	}
	return fclose(file) == 0 ? out : NULL;
}
