/*
 * A doubly linked list whose links lie inside its elements.
 *
 * Not thread-safe: the lock that protects a list stands beside its head.
 */
#ifndef GCL_BASE_LIST_H
#define GCL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "cleanup.h"

struct gcl_list {
	struct gcl_list *prev;
	struct gcl_list *next;
};

#define GCL_LIST_INIT(head)                                                                        \
	{                                                                                          \
		&(head), &(head)                                                                   \
	}

static inline void gcl_list_init(struct gcl_list *head)
{
	head->prev = head;
	head->next = head;
}

static inline bool gcl_list_empty(const struct gcl_list *head)
{
	return head->next == head;
}

/** gcl_list_count() - one by one: for lists that are seldom counted. */
static inline size_t gcl_list_count(const struct gcl_list *head)
{
	size_t count = 0;

	for (const struct gcl_list *it = head->next; it != head; it = it->next)
		count++;
	return count;
}

/** gcl_list_append() - put @item at the end of the list that @head heads. */
static inline void gcl_list_append(struct gcl_list *head, struct gcl_list *item)
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}

/** gcl_list_remove() - take @item out; it is a list of its own afterwards, so removing twice is
 * harmless. */
static inline void gcl_list_remove(struct gcl_list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	gcl_list_init(item);
}

/** gcl_list_take_all() - move every element of @from to the end of @to. */
static inline void gcl_list_take_all(struct gcl_list *to, struct gcl_list *from)
{
	if (gcl_list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	gcl_list_init(from);
}

#define gcl_list_first(head, type, member) gcl_container_of((head)->next, type, member)

#define gcl_list_for_each(it, head)                                                                \
	for (struct gcl_list *it = (head)->next; it != (head); it = it->next)

#define gcl_list_for_each_safe(it, tmp, head)                                                      \
	for (struct gcl_list *it = (head)->next, *tmp = it->next; it != (head);                    \
	     it = tmp, tmp = it->next)

#endif
