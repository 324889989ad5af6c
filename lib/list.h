/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* A circular doubly linked list with its head inside, as the kernel's list.h. */
#ifndef SP_LIST_H
#define SP_LIST_H

#include "internal.h"

struct sp_list {
	struct sp_list *next, *prev;
};

static inline void sp_list_init(struct sp_list *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool sp_list_empty(const struct sp_list *list)
{
	return list->next == list;
}

static inline void sp_list_insert(struct sp_list *node, struct sp_list *prev,
				  struct sp_list *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

static inline void sp_list_push(struct sp_list *list, struct sp_list *node)
{
	sp_list_insert(node, list, list->next);
}

static inline void sp_list_push_tail(struct sp_list *list, struct sp_list *node)
{
	sp_list_insert(node, list->prev, list);
}

/* Leaves @node an empty list of its own, so that it can be removed again. */
static inline void sp_list_remove(struct sp_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	sp_list_init(node);
}

#endif
