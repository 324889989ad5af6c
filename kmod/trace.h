/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints along the way of an hpage: slabpool:commit, fault, decommit, park,
 * zero, grow and shrink.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM slabpool

#if !defined(SLABPOOL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define SLABPOOL_TRACE_H

#include <linux/tracepoint.h>

/* A commit that asked @nid for the holes of a range has ended. */
TRACE_EVENT(commit,
	    TP_PROTO(int nid, unsigned long first, unsigned long last,
		     u64 hpages, u64 off_node, int ret),
	    TP_ARGS(nid, first, last, hpages, off_node, ret),
	    TP_STRUCT__entry(__field(int, nid)
			     __field(int, ret)
			     __field(unsigned long, first)
			     __field(unsigned long, last)
			     __field(u64, hpages)
			     __field(u64, off_node)),
	    TP_fast_assign(__entry->nid = nid;
			   __entry->ret = ret;
			   __entry->first = first;
			   __entry->last = last;
			   __entry->hpages = hpages;
			   __entry->off_node = off_node;),
	    TP_printk("node=%d index=0x%lx-0x%lx hpages=%llu off_node=%llu ret=%d",
		      __entry->nid, __entry->first, __entry->last, __entry->hpages,
		      __entry->off_node, __entry->ret)
);

/* A fault found its hpage; @base: a base page will be mapped. */
TRACE_EVENT(fault,
	    TP_PROTO(int nid, unsigned long address, unsigned long index, bool base),
	    TP_ARGS(nid, address, index, base),
	    TP_STRUCT__entry(__field(int, nid)
			     __field(bool, base)
			     __field(unsigned long, address)
			     __field(unsigned long, index)),
	    TP_fast_assign(__entry->nid = nid;
			   __entry->base = base;
			   __entry->address = address;
			   __entry->index = index;),
	    TP_printk("node=%d address=0x%lx index=0x%lx base=%d", __entry->nid,
		      __entry->address, __entry->index, __entry->base)
);

/* A snapshot got its own copy of an hpage. */
TRACE_EVENT(copy,
	    TP_PROTO(int nid, unsigned long index),
	    TP_ARGS(nid, index),
	    TP_STRUCT__entry(__field(int, nid)
			     __field(unsigned long, index)),
	    TP_fast_assign(__entry->nid = nid;
			   __entry->index = index;),
	    TP_printk("node=%d index=0x%lx", __entry->nid, __entry->index)
);

/* Up to a batch of hpages of a range left a client. */
TRACE_EVENT(decommit,
	    TP_PROTO(unsigned long first, unsigned int hpages, unsigned int parked),
	    TP_ARGS(first, hpages, parked),
	    TP_STRUCT__entry(__field(unsigned long, first)
			     __field(unsigned int, hpages)
			     __field(unsigned int, parked)),
	    TP_fast_assign(__entry->first = first;
			   __entry->hpages = hpages;
			   __entry->parked = parked;),
	    TP_printk("index=0x%lx hpages=%u parked=%u", __entry->first,
		      __entry->hpages, __entry->parked)
);

/* An hpage was given back while @refs references to it are left. */
TRACE_EVENT(park,
	    TP_PROTO(int nid, unsigned long pfn, int refs),
	    TP_ARGS(nid, pfn, refs),
	    TP_STRUCT__entry(__field(int, nid)
			     __field(int, refs)
			     __field(unsigned long, pfn)),
	    TP_fast_assign(__entry->nid = nid;
			   __entry->refs = refs;
			   __entry->pfn = pfn;),
	    TP_printk("node=%d pfn=0x%lx refs=%d", __entry->nid, __entry->pfn,
		      __entry->refs)
);

/* An hpage was cleared, by the worker or by a committing task. */
TRACE_EVENT(zero,
	    TP_PROTO(int nid, unsigned long pfn, u64 ns),
	    TP_ARGS(nid, pfn, ns),
	    TP_STRUCT__entry(__field(int, nid)
			     __field(unsigned long, pfn)
			     __field(u64, ns)),
	    TP_fast_assign(__entry->nid = nid;
			   __entry->pfn = pfn;
			   __entry->ns = ns;),
	    TP_printk("node=%d pfn=0x%lx ns=%llu", __entry->nid, __entry->pfn,
		      __entry->ns)
);

/* An hpage came from, or went to, the buddy allocator; @total: now in the pool. */
DECLARE_EVENT_CLASS(size,
		    TP_PROTO(int nid, unsigned long pfn, unsigned long total),
		    TP_ARGS(nid, pfn, total),
		    TP_STRUCT__entry(__field(int, nid)
				     __field(unsigned long, pfn)
				     __field(unsigned long, total)),
		    TP_fast_assign(__entry->nid = nid;
				   __entry->pfn = pfn;
				   __entry->total = total;),
		    TP_printk("node=%d pfn=0x%lx total=%lu", __entry->nid, __entry->pfn,
			      __entry->total)
);

DEFINE_EVENT(size, grow,
	     TP_PROTO(int nid, unsigned long pfn, unsigned long total),
	     TP_ARGS(nid, pfn, total)
);

DEFINE_EVENT(size, shrink,
	     TP_PROTO(int nid, unsigned long pfn, unsigned long total),
	     TP_ARGS(nid, pfn, total)
);

#endif /* SLABPOOL_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
