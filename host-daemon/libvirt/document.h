/* SPDX-License-Identifier: MIT */
/*
 * A domain's XML as text that can be edited in place.
 *
 * libxml2 says what is where; the edits are made in the text itself. So what was not meant stays as
 * it was, byte for byte: indentation, quotes, order of attributes, the elements of others.
 */
#ifndef GCL_LIBVIRT_DOCUMENT_H
#define GCL_LIBVIRT_DOCUMENT_H

#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>

struct gcl_edit;

struct gcl_document {
	char *text; /* as it was read */
	size_t size;
	xmlDoc *doc;
	struct gcl_span *spans; /* of all elements */
	size_t span_count;
	struct gcl_edit *edits; /* in no order */
	size_t edit_count;
};

/** gcl_document_read() - parse @text, which is copied. Return: 0, -EINVAL if it is no XML, -ENOMEM.
 */
int gcl_document_read(struct gcl_document *document, const char *text);
void gcl_document_fini(struct gcl_document *document);

/** gcl_document_root() - the outermost element; lends it. */
xmlNode *gcl_document_root(const struct gcl_document *document);

/** gcl_child() - the first child element named @name that is in no namespace, or NULL. */
xmlNode *gcl_child(const xmlNode *parent, const char *name);

/** gcl_next() - the next sibling element named @name that is in no namespace, or NULL. */
xmlNode *gcl_next(const xmlNode *node, const char *name);

/** gcl_path() - gcl_child() along names separated by '/'; NULL for a NULL @parent as well. */
xmlNode *gcl_path(const xmlNode *parent, const char *path);

/** gcl_attribute() - copies the value of an attribute into @value; "" and false if there is none.
 */
bool gcl_attribute(const xmlNode *node, const char *name, char *value, size_t size);

/** gcl_attribute_is() - whether the attribute is there and has this value. */
bool gcl_attribute_is(const xmlNode *node, const char *name, const char *value);

/*
 * Edits take effect in gcl_document_write(). No two may touch the same bytes, but any number may
 * insert at one place: what was asked for first stands first. @xml is copied; its lines, separated
 * by '\n', are indented as the place asks for. Return: 0 or -ENOMEM.
 */
int gcl_document_insert_after(struct gcl_document *document, const xmlNode *node, const char *xml);
int gcl_document_insert_before(struct gcl_document *document, const xmlNode *node, const char *xml);
/** Below @node: as its first child. */
int gcl_document_insert_into(struct gcl_document *document, const xmlNode *node, const char *xml);
/** The element with the white space before it. */
int gcl_document_remove(struct gcl_document *document, const xmlNode *node);
int gcl_document_replace(struct gcl_document *document, const xmlNode *node, const char *xml);
/** Another value for an attribute, a new attribute, or (NULL) none. */
int gcl_document_set(struct gcl_document *document, const xmlNode *node, const char *name,
		     const char *value);

/** gcl_document_write() - the text with all edits. Return: 0, -ENOMEM, -EINVAL if edits overlap. */
int gcl_document_write(struct gcl_document *document, char **text);

/** gcl_escape() - @text as it stands in an attribute; NULL without memory. */
char *gcl_escape(const char *text);

#endif
