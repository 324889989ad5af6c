// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* lib/conf.c: good values take effect, bad ones are named. */
#include <string.h>

#include "conf.h"
#include "kselftest_harness.h"

FIXTURE(conf) {
	struct sp_conf conf;
	char why[512];
};

FIXTURE_SETUP(conf)
{
	self->conf = sp_conf_default;
}

FIXTURE_TEARDOWN(conf)
{
}

static int parse(FIXTURE_DATA(conf) *self, const char *text)
{
	return sp_conf_parse(text, &self->conf, self->why, sizeof(self->why));
}

TEST_F(conf, empty_text_leaves_the_defaults)
{
	EXPECT_EQ(0, parse(self, ""));
	EXPECT_EQ(0, memcmp(&self->conf, &sp_conf_default, sizeof(self->conf)));
	EXPECT_STREQ("", self->why);
}

TEST_F(conf, every_option_takes_its_values)
{
	EXPECT_EQ(0, parse(self, "backend:hugetlb,node:3,decay_ms:0,limit:2G,fork:none,"
				 "background_thread:false,verbose:true,stats_print:true,"
				 "abort_conf:true"));
	EXPECT_EQ(SP_BACKEND_HUGETLB, self->conf.backend);
	EXPECT_EQ(3, self->conf.node);
	EXPECT_EQ(0, self->conf.decay_ms);
	EXPECT_EQ(2ull << 30, self->conf.limit);
	EXPECT_EQ(SP_FORK_NONE, self->conf.fork);
	EXPECT_EQ(0, self->conf.background_thread);
	EXPECT_EQ(1, self->conf.verbose);
	EXPECT_EQ(1, self->conf.stats_print);
	EXPECT_EQ(1, self->conf.abort_conf);
}

TEST_F(conf, sizes_take_units)
{
	EXPECT_EQ(0, parse(self, "limit:5"));
	EXPECT_EQ(5, self->conf.limit);
	EXPECT_EQ(0, parse(self, "limit:512k"));
	EXPECT_EQ(512ull << 10, self->conf.limit);
	EXPECT_EQ(0, parse(self, "limit:7M,"));
	EXPECT_EQ(7ull << 20, self->conf.limit);
	EXPECT_EQ(0, parse(self, "limit:1T"));
	EXPECT_EQ(1ull << 40, self->conf.limit);
}

TEST_F(conf, a_typo_is_named_with_what_is_known)
{
	EXPECT_EQ(-EINVAL, parse(self, "decay_ms:5,backgroud_thread:true,node:1"));
	EXPECT_NE(NULL, strstr(self->why, "unknown option 'backgroud_thread'"));
	EXPECT_NE(NULL, strstr(self->why, "background_thread"));
	/* The good entries on both sides took effect. */
	EXPECT_EQ(5, self->conf.decay_ms);
	EXPECT_EQ(1, self->conf.node);
}

TEST_F(conf, a_bad_value_is_named_with_what_is_expected)
{
	EXPECT_EQ(-EINVAL, parse(self, "backend:devise"));
	EXPECT_NE(NULL, strstr(self->why, "'backend' cannot be 'devise'"));
	EXPECT_NE(NULL, strstr(self->why, "auto or device or hugetlb or thp"));
	EXPECT_EQ(SP_BACKEND_AUTO, self->conf.backend);
}

TEST_F(conf, nonsense_numbers_are_refused_and_change_nothing)
{
	static const char *const bad[] = {
		"decay_ms", "decay_ms:", "decay_ms:-1", "decay_ms:1x", "decay_ms: 1",
		"decay_ms:99999999999999999999999", "decay_ms:86400001", "node:64",
		"limit:M", "limit:16777216T", "limit:1MM", "limit:0x10", ":5", "decay_ms:1:2",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		self->conf = sp_conf_default;
		EXPECT_EQ(-EINVAL, parse(self, bad[i])) {
			TH_LOG("accepted: %s", bad[i]);
		}
		EXPECT_EQ(0, memcmp(&self->conf, &sp_conf_default, sizeof(self->conf)));
	}
}

TEST_F(conf, only_the_first_bad_entry_is_named_and_a_short_buffer_is_enough)
{
	char small[16];

	EXPECT_EQ(-EINVAL, parse(self, "foo:1,bar:2"));
	EXPECT_NE(NULL, strstr(self->why, "foo"));
	EXPECT_EQ(NULL, strstr(self->why, "bar"));
	EXPECT_EQ(-EINVAL, sp_conf_parse("nothing_of_the_kind:1", &self->conf, small,
					 sizeof(small)));
	EXPECT_EQ(15, strlen(small));
}

TEST_F(conf, a_profile_wins_over_what_comes_before_it_and_over_nothing_else)
{
	EXPECT_EQ(0, parse(self, "decay_ms:5,limit:1G,profile:small"));
	EXPECT_EQ(1000, self->conf.decay_ms);
	EXPECT_EQ(8 * SP_MIB, self->conf.max_unused);
	EXPECT_EQ(0, self->conf.background_thread);
	EXPECT_EQ(SP_GIB, self->conf.limit);
	EXPECT_EQ(0, parse(self, "profile:realtime,decay_ms:7"));
	EXPECT_EQ(7, self->conf.decay_ms);
	EXPECT_EQ(0, self->conf.max_unused);
	EXPECT_EQ(-EINVAL, parse(self, "profile:fast"));
}

TEST_F(conf, the_profile_of_servers_is_the_default)
{
	struct sp_conf set = sp_conf_default;

	set.decay_ms = set.max_unused = 5;
	set.background_thread = 0;
	EXPECT_EQ(0, sp_conf_parse("profile:server", &set, self->why, sizeof(self->why)));
	EXPECT_EQ(0, memcmp(&set, &sp_conf_default, sizeof(set)));
}

TEST_HARNESS_MAIN
