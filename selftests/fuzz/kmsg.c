// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The kernel's log: whatever it reports of itself while a program runs is a finding. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

static const char *const reports[] = {
	"WARNING: ", "BUG: ", "kernel BUG at", "Oops", "general protection fault",
	"KASAN: ", "UBSAN: ", "KFENCE: ", "page_table_check",
	"possible circular locking", "possible recursive locking",
	"possible irq lock inversion", "inconsistent lock state",
	"lock held when returning", "bad unlock balance", "suspicious RCU usage",
	"sleeping function called", "scheduling while atomic", "Bad page state",
	"Bad page map", "Bad rss-counter", "nonzero mapcount", "refcount_t: ",
	"list_add corruption", "list_del corruption", "ODEBUG: ", "detected stall",
	"self-detected stall", "blocked for more than", "soft lockup", "workqueue lockup",
	"usercopy: Kernel memory", "the books are wrong",
};

static int kmsg = -1;

/* Nothing that was said before counts, nor what said it once only and is silent now. */
void kmsg_open(void)
{
	int again = open("/sys/kernel/debug/clear_warn_once", O_WRONLY | O_CLOEXEC);

	if (again >= 0) {
		if (write(again, "1", 1) < 0)
			perror("slabpool-fuzz: clear_warn_once");
		close(again);
	}
	if (kmsg >= 0)
		close(kmsg);
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg >= 0)
		lseek(kmsg, 0, SEEK_END);
}

/*
 * KCSAN sees the races of the whole kernel, and whose one is stands in its stacks, lines
 * further on: vm/log-check judges these, when the program has ended.
 */
static bool is_report(const char *text)
{
	unsigned int i;

	if (strstr(text, "BUG: KCSAN: "))
		return false;
	for (i = 0; i < ARRAY_SIZE(reports); i++)
		if (strstr(text, reports[i]))
			return true;
	return false;
}

/* The first report since the last time; read the rest, it belongs to it. */
bool kmsg_check(char *line, size_t size)
{
	bool found = false;
	char record[8192], *text;
	ssize_t length;

	for (;;) {
		length = read(kmsg, record, sizeof(record) - 1);
		/* Overwritten before it was read: go on with what is there. */
		if (length < 0 && errno == EPIPE)
			continue;
		if (length <= 0)
			break;
		record[length] = '\0';
		text = strchr(record, ';');
		if (found || !text || !is_report(text))
			continue;
		text[strcspn(text, "\n")] = '\0';
		snprintf(line, size, "%s", text + 1);
		found = true;
	}
	if (found)
		kmsg_open();
	return found;
}
