// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "limit.h"

#define FASTER	10

unsigned int sp_limit_speed(const struct sp_limits *limits, uint64_t committed)
{
	return limits->soft && committed > limits->soft ? FASTER : 1;
}

uint64_t sp_limit_kept(const struct sp_limits *limits, uint64_t committed, uint64_t unused)
{
	uint64_t above = committed > limits->floor ? committed - limits->floor : 0;

	above >>= SP_HPAGE_SHIFT;
	return unused > above ? unused - above : 0;
}

uint64_t sp_limit_most(const struct sp_limits *limits, uint64_t unused)
{
	uint64_t most = limits->max_unused >> SP_HPAGE_SHIFT;

	return limits->max_unused && unused > most ? most : unused;
}

uint64_t sp_limit_stay(const struct sp_limits *limits, uint64_t committed, uint64_t unused,
		       uint64_t stay)
{
	uint64_t kept = sp_limit_kept(limits, committed, unused);

	stay = sp_limit_most(limits, stay);
	return stay > kept ? stay : kept;
}

bool sp_limit_crossed(const struct sp_limits *limits, uint64_t before, uint64_t unused)
{
	return sp_limit_most(limits, before) == before && sp_limit_most(limits, unused) < unused;
}
