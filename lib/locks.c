// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "init.h"
#include "locks.h"
#include "meta.h"
#include "node.h"
#include "owner.h"
#include "region.h"
#include "window.h"

void sp_for_each_lock(void (*fn)(struct sp_lock *))
{
	fn(&sp_init_lock);
	fn(&sp_region_lock);
	fn(&sp_owner_lock);
	fn(&sp_purge_lock);
	for (int id = 0; id < SP_MAX_NODES; id++)
		if (sp_node_get(id))
			fn(&sp_nodes[id].lock);
	fn(&sp_window_lock);
	fn(&sp_meta_lock);
}
