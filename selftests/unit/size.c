// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* lib/size.h: every size finds the smallest class that holds it. */
#include "size.h"
#include "kselftest_harness.h"

TEST(every_size_gets_the_smallest_class_that_holds_it)
{
	for (size_t size = 0; size <= SP_MEDIUM_MAX; size++) {
		unsigned int class = sp_class_of(size);

		ASSERT_LT(class, SP_CLASSES);
		ASSERT_LE(size, sp_class_size(class));
		if (class)
			ASSERT_GT(size, sp_class_size(class - 1));
	}
	EXPECT_EQ(SP_MEDIUM_MAX, sp_class_size(SP_CLASSES - 1));
}

TEST(classes_are_aligned_and_waste_at_most_a_fifth)
{
	for (unsigned int class = 0; class < SP_CLASSES; class++) {
		EXPECT_EQ(0, sp_class_size(class) % SP_ALIGN);
		if (class < 8)
			continue;
		EXPECT_LE((sp_class_size(class) - sp_class_size(class - 1) - 1) * 5,
			  sp_class_size(class));
	}
}

TEST(every_power_of_two_from_16_on_is_a_class)
{
	for (size_t size = 16; size <= SP_MEDIUM_MAX; size *= 2)
		EXPECT_EQ(size, sp_class_size(sp_class_of(size)));
}

/* What aligned_alloc() rests on. */
TEST(the_class_of_a_multiple_of_an_alignment_is_one_too)
{
	for (size_t align = SP_ALIGN; align <= SP_UNIT; align *= 2)
		for (size_t size = align; size <= SP_MEDIUM_MAX; size += align)
			ASSERT_EQ(0, sp_class_size(sp_class_of(size)) % align);
}

TEST_HARNESS_MAIN
