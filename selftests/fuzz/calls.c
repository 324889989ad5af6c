// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The grammar: what calls there are, and what each takes.
 *
 * A new command of the device is a function in device.c and a row here.  What it
 * does to the model is said around the call: commit_begin() and commit_end(),
 * decommit_begin() and decommit_end(), snapshot_begin() and snapshot_end(),
 * cells_describe().
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "calls.h"
#include "gram.h"

#define MAX_FDS	65536

static const struct value file_values[] = {
	{ "node0/nr_hugepages", 0 }, { "node1/nr_hugepages", 1 },
	{ "node0/nr_overcommit_hugepages", 2 }, { "node1/nr_overcommit_hugepages", 3 },
	{ "max_client_hugepages", 4 }, { "max_user_hugepages", 5 }, { "decay_ms", 6 },
	{ "node0/total_hugepages", 7 }, { "node1/zeroed_hugepages", 8 },
	{ "node0/surplus_hugepages", 9 }, { "node1/reserved_hugepages", 10 },
	{ "node0/stats/commits", 11 }, { "node1/stats/zero_ns", 12 }, { "clients", 13 },
	{ "node2/nr_hugepages", 14 }, { NULL, 0 },
};

static const struct value text_values[] = {
	{ "0", 0 }, { "1", 1 }, { "5", 2 }, { "7\\n", 3 }, { "12", 4 }, { "20", 5 },
	{ "nothing", 6 }, { "minus", 7 }, { "word", 8 }, { "huge", 9 }, { "most", 10 },
	{ "hex", 11 }, { "trailing", 12 }, { NULL, 0 },
};

static const char *const texts[] = {
	"0", "1", "5", "7\n", "12", "20", "", "-1", "many", "99999999999999999999",
	"18446744073709551615", "0x10", "3 4",
};

static long call_store(const u64 *v)
{
	return sysfs_store(file_values[v[0] % (ARRAY_SIZE(file_values) - 1)].name,
			   texts[v[1] % ARRAY_SIZE(texts)]);
}

static long call_show(const u64 *v)
{
	const char *name = file_values[v[0] % (ARRAY_SIZE(file_values) - 1)].name;

	return sysfs_number(name) < 0 ? -ENOENT : 0;
}

static long call_books(const u64 *v)
{
	(void)v;
	pool_check_books();
	return 0;
}

/* A signal to the other thread, which ends its call with EINTR. */
static long call_kick(const u64 *v)
{
	(void)v;
	exec_kick();
	return 0;
}

static long call_pause(const u64 *v)
{
	usleep(v[0]);
	return 0;
}

#define ODD(...)						\
	.odd = (const u64[]){ __VA_ARGS__ },			\
	.nr_odd = ARRAY_SIZE(((const u64[]){ __VA_ARGS__ }))

#define VALUES(...)	.values = (const struct value[]){ __VA_ARGS__, { NULL, 0 } }

#define HPAGE		(2ULL << 20)

static const struct kind a_slot = { NUMBER, .limit = NR_SLOTS };
static const struct kind another_slot = { NUMBER, .least = 1, .limit = NR_SLOTS, ODD(0) };
static const struct kind a_cell = { NUMBER, .limit = NR_CELLS };
static const struct kind a_pipe = { NUMBER, .limit = NR_PIPES };
static const struct kind a_page = { NUMBER, .limit = 512 };
static const struct kind a_time = { CHOICE,
	VALUES({ "0", 0 }, { "100", 100 }, { "2000", 2000 }) };
static const struct kind a_death = { CHOICE,
	VALUES({ "never", 0 }, { "1000", 1000 }, { "10000", 10000 }, { "100000", 100000 }) };
static const struct kind a_count = { NUMBER, .least = 1, .limit = 6 };
static const struct kind entries = { NUMBER, .least = 1, .limit = MAX_ENTRIES + 1,
	ODD(0, 100, 1024, 1025, 0xffffffff) };
static const struct kind a_guarantee = { NUMBER, .limit = 14,
	ODD(1000, 1ULL << 31, 1ULL << 32, 1ULL << 63, ~0ULL) };
static const struct kind a_node = { CHOICE,
	VALUES({ "local", (u64)SLABPOOL_NODE_LOCAL }, { "0", 0 }, { "1", 1 }),
	ODD(2, 7, 1023, 1024, 0x7fffffff, (u64)-2, 1ULL << 22) };
static const struct kind a_place = { BYTES, .limit = 8,
	ODD(PAGE, HPAGE + 1, HPAGE - PAGE, 1ULL << 40, (1ULL << 41) - HPAGE, 1ULL << 41,
	    1ULL << 62, ~0ULL, ~0ULL << 21) };
static const struct kind a_length = { BYTES, .least = 1, .limit = 6,
	ODD(0, 1, PAGE, HPAGE - 1, HPAGE + PAGE, 64 * HPAGE, 1ULL << 30, 1ULL << 41,
	    (1ULL << 41) + HPAGE, 1ULL << 62, ~0ULL, ~0ULL << 21) };
static const struct kind a_piece = { BYTES, .least = 1, .limit = 5,
	ODD(0, PAGE, 5 * PAGE, HPAGE - PAGE, HPAGE + PAGE, 1ULL << 41, ~0ULL) };
static const struct kind a_skip = { BYTES, .limit = 1,
	ODD(PAGE, 256 * PAGE, HPAGE - PAGE) };
static const struct kind a_byte = { BYTES, .limit = 1,
	ODD(8, PAGE, 255 * PAGE, 256 * PAGE, HPAGE - 8) };
static const struct kind no_flags = { CHOICE, VALUES({ "0", 0 }),
	ODD(1, 2, 4, 8, 0x80000000, 0xffffffff) };
static const struct kind commit_flags = { CHOICE,
	VALUES({ "0", 0 }, { "fallback", SLABPOOL_FALLBACK }), ODD(2, 3, 0xffffffff) };
static const struct kind share_flags = { CHOICE,
	VALUES({ "0", 0 }, { "rdonly", SLABPOOL_SHARE_RDONLY }), ODD(2, 3, 0xffffffff) };
static const struct kind yes_or_no = { CHOICE, VALUES({ "no", 0 }, { "yes", 1 }) };
static const struct kind open_mode = { CHOICE,
	VALUES({ "rw", O_RDWR }, { "r", O_RDONLY }, { "w", O_WRONLY }) };
static const struct kind shape = { CHOICE, .limit = 5,
	VALUES({ "plain", PLAIN }, { "old", OLD }, { "long", LONG }, { "own", OWN },
	       { "ownranges", OWN_RANGES }, { "short", SHORT }, { "empty", EMPTY },
	       { "tail", TAIL }, { "pageful", PAGEFUL }, { "huge", HUGE_SIZE },
	       { "nowhere", NOWHERE }, { "kernel", KERNEL }, { "readonly", READONLY },
	       { "edge", EDGE }, { "noranges", NO_RANGES }),
	ODD(SHORT, EMPTY, TAIL, PAGEFUL, HUGE_SIZE, NOWHERE, KERNEL, READONLY, EDGE, NO_RANGES) };
static const struct kind protection = { CHOICE, .limit = 5,
	VALUES({ "rw", PROT_READ | PROT_WRITE }, { "r", PROT_READ }, { "w", PROT_WRITE },
	       { "none", PROT_NONE }, { "rw", PROT_READ | PROT_WRITE }, { "x", PROT_EXEC },
	       { "rwx", PROT_READ | PROT_WRITE | PROT_EXEC }),
	ODD(PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC, 8) };
static const struct kind map_flags = { CHOICE, .limit = 8,
	VALUES({ "shared", MAP_SHARED }, { "shared+populate", MAP_SHARED | MAP_POPULATE },
	       { "shared", MAP_SHARED }, { "shared+noreserve", MAP_SHARED | MAP_NORESERVE },
	       { "shared+anywhere", MAP_SHARED | MAP_ANYWHERE }, { "private", MAP_PRIVATE },
	       { "private+populate", MAP_PRIVATE | MAP_POPULATE },
	       { "validate", MAP_SHARED_VALIDATE },
	       { "shared+unaligned", MAP_SHARED | MAP_UNALIGNED },
	       { "shared+locked", MAP_SHARED | MAP_LOCKED },
	       { "shared+hugetlb", MAP_SHARED | MAP_HUGETLB }),
	ODD(MAP_SHARED | MAP_UNALIGNED, MAP_SHARED | MAP_LOCKED, MAP_SHARED | MAP_HUGETLB, 0) };
static const struct kind remap_flags = { CHOICE,
	VALUES({ "0", 0 }, { "maymove", MREMAP_MAYMOVE },
	       { "fixed", MREMAP_MAYMOVE | MREMAP_FIXED },
	       { "dontunmap", MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP }) };
static const struct kind advice = { CHOICE,
	VALUES({ "dontneed", MADV_DONTNEED }, { "free", MADV_FREE },
	       { "willneed", MADV_WILLNEED }, { "remove", MADV_REMOVE },
	       { "dontfork", MADV_DONTFORK }, { "dofork", MADV_DOFORK },
	       { "wipeonfork", MADV_WIPEONFORK }, { "hugepage", MADV_HUGEPAGE },
	       { "nohugepage", MADV_NOHUGEPAGE }, { "mergeable", MADV_MERGEABLE },
	       { "cold", MADV_COLD }, { "pageout", MADV_PAGEOUT },
	       { "populate_read", 22 }, { "populate_write", 23 }, { "dontneed_locked", 24 },
	       { "collapse", 25 }, { "dontdump", MADV_DONTDUMP }, { "dodump", MADV_DODUMP },
	       { "random", MADV_RANDOM }), ODD(7, 99) };
static const struct kind vm_op = { CHOICE,
	VALUES({ "mlock", MLOCK }, { "mlock_onfault", LOCK_ONFAULT }, { "munlock", MUNLOCK },
	       { "msync", MSYNC }, { "mincore", MINCORE }, { "mbind", MBIND },
	       { "interleave", INTERLEAVE }, { "move_pages", MOVE_PAGES },
	       { "membarrier", MEMBARRIER }) };
static const struct kind fd_op = { CHOICE,
	VALUES({ "read", READ }, { "write", WRITE }, { "fsync", FSYNC }, { "truncate", TRUNCATE },
	       { "punch", PUNCH }, { "fadvise", FADVISE }, { "sync_range", SYNC_RANGE },
	       { "seek", SEEK }, { "poll", POLL }, { "sendfile", SENDFILE }, { "lock", LOCK }) };
static const struct kind uring_op = { CHOICE,
	VALUES({ "register", REGISTER }, { "read_fixed", READ_FIXED }, { "unregister", UNREGISTER }) };
static const struct kind a_file = { CHOICE, .values = file_values };
static const struct kind a_text = { CHOICE, .values = text_values };
static const struct kind command = { CHOICE,
	VALUES({ "none", 0 }, { "info_iowr", _IOWR(SLABPOOL_IOC_MAGIC, 0, int) },
	       { "last", _IO(SLABPOOL_IOC_MAGIC, 0xff) }, { "next", _IO(SLABPOOL_IOC_MAGIC, 0x10) },
	       { "fionread", 0x541b }, { "commit_ior", _IOR(SLABPOOL_IOC_MAGIC, 1, long) }) };
static const struct kind raw = { NUMBER, .limit = 2, ODD(~0ULL, 4096) };

const struct call calls[] = {
	{ "open", 6, call_open, { { "fd", &a_slot }, { "mode", &open_mode } } },
	{ "reopen", 1, call_reopen, { { "fd", &a_slot }, { "to", &a_slot } } },
	{ "close", 4, call_close, { { "fd", &a_slot } } },
	{ "dup", 2, call_dup, { { "fd", &a_slot }, { "to", &a_slot } } },
	{ "give", 3, call_give, { { "fd", &a_slot } } },
	{ "take", 3, call_take, { { "fd", &a_slot } } },

	{ "info", 1, call_info, { { "fd", &a_slot }, { "shape", &shape } } },
	{ "commit", 12, call_commit,
	  { { "fd", &a_slot }, { "node", &a_node }, { "at", &a_place }, { "length", &a_length },
	    { "flags", &commit_flags }, { "shape", &shape } } },
	{ "decommit", 16, call_decommit,
	  { { "fd", &a_slot }, { "node", &a_node }, { "at", &a_place }, { "length", &a_length },
	    { "entries", &entries }, { "flags", &no_flags }, { "shape", &shape } } },
	{ "attach", 3, call_attach,
	  { { "fd", &a_slot }, { "cell", &a_cell }, { "to", &a_slot }, { "flags", &no_flags },
	    { "shape", &shape } } },
	{ "stats", 2, call_stats, { { "fd", &a_slot }, { "node", &a_node }, { "shape", &shape } } },
	{ "reserve", 4, call_reserve,
	  { { "fd", &a_slot }, { "node", &a_node }, { "count", &a_guarantee }, { "flags", &no_flags },
	    { "shape", &shape } } },
	{ "share", 3, call_share,
	  { { "fd", &a_slot }, { "to", &a_slot }, { "flags", &share_flags }, { "shape", &shape } } },
	{ "snapshot", 8, call_snapshot,
	  { { "fd", &a_slot }, { "into", &another_slot }, { "flags", &no_flags },
	    { "shape", &shape } } },
	{ "ioctl", 1, call_ioctl, { { "fd", &a_slot }, { "command", &command }, { "arg", &raw } } },

	{ "mmap", 20, call_mmap,
	  { { "fd", &a_slot }, { "cell", &a_cell }, { "node", &a_node }, { "at", &a_place },
	    { "length", &a_length }, { "prot", &protection }, { "flags", &map_flags } } },
	{ "munmap", 6, call_munmap,
	  { { "cell", &a_cell }, { "skip", &a_skip }, { "length", &a_piece } } },
	{ "mprotect", 4, call_mprotect,
	  { { "cell", &a_cell }, { "length", &a_piece }, { "prot", &protection } } },
	{ "mremap", 5, call_mremap,
	  { { "cell", &a_cell }, { "length", &a_piece }, { "to", &a_cell }, { "room", &a_piece },
	    { "flags", &remap_flags } } },
	{ "remap", 2, call_remap,
	  { { "cell", &a_cell }, { "node", &a_node }, { "at", &a_place }, { "length", &a_piece } } },
	{ "madvise", 5, call_madvise,
	  { { "cell", &a_cell }, { "length", &a_piece }, { "advice", &advice } } },
	{ "vm", 4, call_vm, { { "cell", &a_cell }, { "length", &a_piece }, { "op", &vm_op } } },
	{ "file", 2, call_file, { { "fd", &a_slot }, { "op", &fd_op } } },
	{ "fdinfo", 1, call_fdinfo, { { "fd", &a_slot } } },

	{ "stamp", 16, call_stamp, { { "cell", &a_cell } } },
	{ "look", 8, call_look, { { "cell", &a_cell } } },
	{ "poke", 10, call_poke, { { "cell", &a_cell }, { "byte", &a_byte }, { "write", &yes_or_no } } },
	{ "memwrite", 2, call_memwrite, { { "cell", &a_cell }, { "page", &a_page } } },
	{ "pin", 4, call_pin, { { "cell", &a_cell }, { "page", &a_page }, { "pipe", &a_pipe } } },
	{ "unpin", 3, call_unpin, { { "pipe", &a_pipe } } },
	{ "uring", 3, call_uring, { { "op", &uring_op }, { "cell", &a_cell }, { "page", &a_page } } },

	{ "store", 4, call_store, { { "file", &a_file }, { "text", &a_text } } },
	{ "show", 2, call_show, { { "file", &a_file } } },
	{ "books", 2, call_books, { { NULL, NULL } } },
	{ "fork", 4, NULL, { { "calls", &a_count }, { "kill", &a_death } } },
	{ "kick", 3, call_kick, { { NULL, NULL } } },
	{ "pause", 2, call_pause, { { "us", &a_time } } },
};

const unsigned int nr_calls = ARRAY_SIZE(calls);

/* Once, before any program. */
void calls_setup(void)
{
	struct rlimit limit = { MAX_FDS, MAX_FDS };

	setrlimit(RLIMIT_NOFILE, &limit);
	device_setup();
}

void calls_forked(void)
{
	memory_forked();
	device_forked();
	pins_forked();
}
