/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The malloc family against a model.  A step is one call, in numbers: random ones
 * make a stress test, the bytes of a fuzzer another.  The model knows of each
 * object what it was asked with and what was written to it, and has a shadow of the
 * heap, one bit for each 16 bytes that belong to somebody, in which objects that
 * overlap meet.  Nothing here takes a lock: but for the objects that they hand each
 * other, threads under test are ordered by the library alone.
 */
#ifndef SLABPOOL_SELFTESTS_MODEL_H
#define SLABPOOL_SELFTESTS_MODEL_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "slabpool.h"

#define MODEL_WINDOW	((size_t)1 << 40)	/* the library's heap is no longer */
#define MODEL_GRAIN	16
#define MODEL_ALIGN_MAX	((size_t)1 << 30)
#ifndef MODEL_SAMPLES
#define MODEL_SAMPLES	4096u			/* bytes of an object that are looked at */
#endif

/* The functions under test; those a build does not have are NULL. */
struct model_family {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *ptr, size_t size);
	void *(*aligned_alloc)(size_t align, size_t size);
	int (*posix_memalign)(void **out, size_t align, size_t size);
	void (*free)(void *ptr);
	void (*free_sized)(void *ptr, size_t size);
	size_t (*usable_size)(void *ptr);
	bool may_fail;		/* there is a limit: ENOMEM is an answer */
};

static inline size_t model_usable_size(void *ptr)
{
	return slabpool_usable_size(ptr);
}

/* A family of the library's own names. */
#define MODEL_LIBRARY					\
	.malloc = slabpool_malloc,			\
	.calloc = slabpool_calloc,			\
	.realloc = slabpool_realloc,			\
	.aligned_alloc = slabpool_aligned_alloc,	\
	.free = slabpool_free,				\
	.free_sized = slabpool_free_sized,		\
	.usable_size = model_usable_size

struct model_object {
	unsigned char *at;
	size_t size;
	uint32_t seed;
	bool aligned;		/* not from a function that free_sized() goes with */
};

enum model_call {
	MODEL_MALLOC,
	MODEL_CALLOC,
	MODEL_ALIGNED,
	MODEL_POSIX,
	MODEL_REALLOC,
	MODEL_FREE,
	MODEL_FREE_SIZED,
	MODEL_LOOK,
	MODEL_CALLS
};

struct model_step {
	enum model_call call;
	size_t size, align;
	uint32_t seed;
};

/* ---- the shadow --------------------------------------------------------- */

/* Addresses modulo the window's size are as good as offsets in it. */
static _Atomic uint64_t *model_shadow;

static inline bool model_init(void)
{
	void *p = mmap(NULL, MODEL_WINDOW / MODEL_GRAIN / 8, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	model_shadow = p == MAP_FAILED ? NULL : p;
	return model_shadow;
}

/*
 * Set the bits of an object, or clear them.  False: some were so already.  Relaxed:
 * what orders a free before the next owner's malloc is under test.
 */
static inline bool model_mark(const void *at, size_t room, bool live)
{
	size_t grain = (uintptr_t)at % MODEL_WINDOW / MODEL_GRAIN;
	size_t end = grain + (room + MODEL_GRAIN - 1) / MODEL_GRAIN;
	bool good = true;

	while (grain < end) {
		size_t bit = grain % 64, n = end - grain < 64 - bit ? end - grain : 64 - bit;
		uint64_t mask = (n < 64 ? (1ull << n) - 1 : ~0ull) << bit;
		_Atomic uint64_t *word = &model_shadow[grain / 64];
		uint64_t old = live ? atomic_fetch_or_explicit(word, mask, memory_order_relaxed) :
				      atomic_fetch_and_explicit(word, ~mask, memory_order_relaxed);

		good = good && (old & mask) == (live ? 0 : mask);
		grain += n;
	}
	return good;
}

/* ---- contents ----------------------------------------------------------- */

static inline unsigned char model_byte(uint32_t seed, size_t offset)
{
	return (unsigned char)(((uint32_t)offset * 2654435761u ^ seed * 2246822519u) >> 21);
}

/* Odd, so that all places in a cache line have their turn. */
static inline size_t model_stride(size_t size)
{
	return size / MODEL_SAMPLES | 1;
}

static inline void model_write(const struct model_object *o)
{
	for (size_t i = 0; i < o->size; i += model_stride(o->size))
		o->at[i] = model_byte(o->seed, i);
	if (o->size)
		o->at[o->size - 1] = model_byte(o->seed, o->size - 1);
}

/* Are the first @size bytes of what the object was now at @at? */
static inline bool model_reads(const struct model_object *o, const unsigned char *at, size_t size)
{
	bool good = true;

	for (size_t i = 0; i < size; i += model_stride(o->size))
		good = good && at[i] == model_byte(o->seed, i);
	if (size && size == o->size)
		good = good && at[size - 1] == model_byte(o->seed, size - 1);
	return good;
}

static inline bool model_is_zero(const unsigned char *at, size_t size)
{
	size_t stride = size <= 65536 ? 1 : model_stride(size);

	for (size_t i = 0; i < size; i += stride)
		if (at[i])
			return false;
	return size == 0 || at[size - 1] == 0;
}

/* ---- calls: NULL, or what is wrong -------------------------------------- */

static inline const char *model_free(const struct model_family *f, struct model_object *o,
				     bool sized)
{
	void *ptr = o->at;
	size_t size = o->size;

	if (ptr && !model_reads(o, o->at, o->size))
		return "an object is not what was written to it";
	if (ptr && !model_mark(ptr, f->usable_size(ptr), false))
		return "an object has lost a part, or its usable size has changed";
	sized = sized && !o->aligned && f->free_sized;
	*o = (struct model_object){ 0 };
	errno = 77;
	if (sized)
		f->free_sized(ptr, size);
	else
		f->free(ptr);
	return errno == 77 ? NULL : "free changed errno";
}

/* A NULL that was returned for @step. */
static inline const char *model_refused(const struct model_family *f, const struct model_step *s)
{
	if (errno != ENOMEM)
		return "NULL without ENOMEM";
	return f->may_fail || s->size >= MODEL_WINDOW ? NULL : "ENOMEM without a limit";
}

static inline const char *model_got(const struct model_family *f, struct model_object *o,
				    void *ptr, const struct model_step *s, size_t align)
{
	if (s->size >= MODEL_WINDOW)
		return "more than there are addresses";
	if ((uintptr_t)ptr % align || (uintptr_t)ptr % 16)
		return "a pointer is not aligned";
	if (f->usable_size(ptr) < s->size)
		return "an object is smaller than asked for";
	if (!model_mark(ptr, f->usable_size(ptr), true))
		return "two objects overlap";
	if (s->call == MODEL_CALLOC && !model_is_zero(ptr, s->size))
		return "calloc's memory is not zero";
	*o = (struct model_object){
		.at = ptr,
		.size = s->size,
		.seed = s->seed,
		.aligned = s->call == MODEL_ALIGNED || s->call == MODEL_POSIX,
	};
	model_write(o);
	return NULL;
}

static inline const char *model_posix(const struct model_family *f, struct model_object *o,
				      const struct model_step *s)
{
	size_t align = s->align < sizeof(void *) ? sizeof(void *) : s->align;
	void *ptr = &ptr, *before = ptr;
	int err;

	errno = 77;
	err = f->posix_memalign(&ptr, align, s->size);
	if (errno != 77)
		return "posix_memalign changed errno";
	if (!err)
		return model_got(f, o, ptr, s, align);
	if (ptr != before)
		return "posix_memalign failed, and changed the pointer";
	if (align > MODEL_ALIGN_MAX)
		return err == EINVAL ? NULL : "an alignment above 1 GiB is not EINVAL";
	errno = err;
	return model_refused(f, s);
}

static inline const char *model_aligned(const struct model_family *f, struct model_object *o,
					const struct model_step *s)
{
	void *ptr;

	errno = 0;
	ptr = f->aligned_alloc(s->align, s->size);
	if (ptr)
		return model_got(f, o, ptr, s, s->align);
	if (!s->align || s->align & (s->align - 1) || s->align > MODEL_ALIGN_MAX)
		return errno == EINVAL ? NULL : "a bad alignment is not EINVAL";
	return model_refused(f, s);
}

static inline const char *model_realloc(const struct model_family *f, struct model_object *o,
					const struct model_step *s)
{
	size_t both = s->size < o->size ? s->size : o->size;
	size_t room = o->at ? f->usable_size(o->at) : 0;
	struct model_object old = *o;
	void *ptr;

	/* Unmarked first: another thread may own it before realloc returns. */
	if (o->at && !model_mark(o->at, room, false))
		return "an object has lost a part, or its usable size has changed";
	if (o->at && s->size == 0) {
		*o = (struct model_object){ 0 };
		return f->realloc(old.at, 0) ? "realloc to nothing is no free" : NULL;
	}
	errno = 0;
	ptr = f->realloc(o->at, s->size);
	if (ptr) {
		if (!model_reads(&old, ptr, both))
			return "realloc has lost what the object was";
		return model_got(f, o, ptr, s, 1);
	}
	if (o->at && s->size <= room)
		return "an object cannot be made smaller";
	if (o->at && !model_mark(o->at, room, true))
		return "realloc failed, and another has the object";
	return model_refused(f, s);
}

static inline const char *model_calloc(const struct model_family *f, struct model_object *o,
				       const struct model_step *s)
{
	size_t count = s->align ? s->align : 1;
	void *ptr;

	/* The same bytes as some number of pieces. */
	if (s->size % count)
		count = 1;
	errno = 0;
	ptr = f->calloc(count, s->size / count);
	return ptr ? model_got(f, o, ptr, s, 1) : model_refused(f, s);
}

static inline const char *model_step(const struct model_family *f, struct model_object *o,
				     const struct model_step *s)
{
	const char *wrong = NULL;
	void *ptr;

	if (o->at && s->call < MODEL_REALLOC)
		wrong = model_free(f, o, s->seed % 2);
	if (wrong)
		return wrong;
	switch (s->call) {
	case MODEL_MALLOC:
		errno = 0;
		ptr = f->malloc(s->size);
		return ptr ? model_got(f, o, ptr, s, 1) : model_refused(f, s);
	case MODEL_CALLOC:
		return model_calloc(f, o, s);
	case MODEL_POSIX:
		if (f->posix_memalign && s->align && !(s->align & (s->align - 1)))
			return model_posix(f, o, s);
		/* fall through */
	case MODEL_ALIGNED:
		return model_aligned(f, o, s);
	case MODEL_REALLOC:
		return model_realloc(f, o, s);
	case MODEL_FREE:
	case MODEL_FREE_SIZED:
		return model_free(f, o, s->call == MODEL_FREE_SIZED);
	default:
		return model_reads(o, o->at, o->size) ? NULL :
						       "an object is not what was written to it";
	}
}

/* ---- random steps ------------------------------------------------------- */

/* xorshift64*: the same numbers on every machine. */
static inline uint64_t model_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ull >> 8;
}

/* As programs ask, a few of everything up to @most, and now and then the impossible. */
static inline size_t model_random_size(uint64_t *state, size_t most)
{
	uint64_t r = model_random(state), kind = r % 1024;

	r /= 1024;
	if (kind == 0)
		return r % 4 ? SIZE_MAX - (r % 8192) : MODEL_WINDOW << (r / 4 % 24);
	if (kind < 8)
		return r % most;
	if (kind < 32)
		return r % (most < 600000 ? most : 600000);
	if (kind < 128)
		return r % 65536;
	if (kind < 256)
		return r % 8192;
	return r % 512;
}

static inline struct model_step model_random_step(uint64_t *state, size_t most)
{
	static const enum model_call calls[] = {
		MODEL_MALLOC, MODEL_MALLOC, MODEL_MALLOC, MODEL_CALLOC, MODEL_ALIGNED, MODEL_POSIX,
		MODEL_REALLOC, MODEL_REALLOC, MODEL_FREE, MODEL_FREE, MODEL_FREE, MODEL_FREE,
		MODEL_FREE, MODEL_FREE_SIZED, MODEL_FREE_SIZED, MODEL_LOOK,
	};
	uint64_t r = model_random(state);
	/* Up to a page mostly, rarely up to 1 GiB and more. */
	unsigned int shift = r / 16 % 64 ? r / 1024 % 13 : r / 1024 % 33;

	return (struct model_step){
		.call = calls[r % 16],
		.size = model_random_size(state, most),
		.align = (size_t)1 << shift,
		.seed = (uint32_t)(r >> 20),
	};
}

/* ---- threads ------------------------------------------------------------ */

#define MODEL_THREADS	6
#define MODEL_OWN	200
#define MODEL_SHARED	256

/* Places where threads swap an object of theirs for another's. */
static struct model_object *_Atomic model_shared[MODEL_SHARED];
static struct model_object model_objects[MODEL_THREADS * MODEL_OWN + MODEL_SHARED];

struct model_thread {
	const struct model_family *family;
	uint64_t seed;
	long steps;
	size_t most;		/* bytes of an object, but for the impossible ones */
	struct model_object *own[MODEL_OWN];
	const char *wrong;
	pthread_t id;
};

static inline void *model_work(void *arg)
{
	struct model_thread *t = arg;

	for (long i = 0; i < t->steps && !t->wrong; i++) {
		struct model_step step = model_random_step(&t->seed, t->most);
		uint64_t r = model_random(&t->seed);
		struct model_object **o = &t->own[r / 8 % MODEL_OWN];

		if (r % 8 == 0)
			*o = atomic_exchange(&model_shared[r / 4096 % MODEL_SHARED], *o);
		t->wrong = model_step(t->family, *o, &step);
	}
	return NULL;
}

/*
 * @lives times, so many threads that take @steps each; those of the second life have
 * what those of the first left.  At the end all is freed.  Return: NULL, or what went
 * wrong first.
 */
static inline const char *model_run(const struct model_family *f, int threads, int lives,
				    long steps, size_t most, uint64_t seed)
{
	static struct model_thread thread[MODEL_THREADS];
	struct model_object *object = model_objects;
	const char *wrong = NULL;

	for (int i = 0; i < MODEL_SHARED; i++)
		model_shared[i] = object++;
	for (int t = 0; t < threads; t++)
		for (int i = 0; i < MODEL_OWN; i++)
			thread[t].own[i] = object++;
	for (int life = 0; life < lives && !wrong; life++) {
		for (int t = 0; t < threads; t++) {
			thread[t].family = f;
			thread[t].seed = seed * 1000003 + (uint64_t)(life * threads + t) + 1;
			thread[t].steps = steps;
			thread[t].most = most;
			if (pthread_create(&thread[t].id, NULL, model_work, &thread[t]))
				return "no thread";
		}
		for (int t = 0; t < threads; t++) {
			pthread_join(thread[t].id, NULL);
			wrong = wrong ? wrong : thread[t].wrong;
		}
	}
	for (struct model_object *o = model_objects; o < object && !wrong; o++)
		wrong = model_free(f, o, true);
	return wrong;
}

#endif /* SLABPOOL_SELFTESTS_MODEL_H */
