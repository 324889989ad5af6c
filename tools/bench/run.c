// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* One workload on one malloc, in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

#define STARTS	50

volatile sig_atomic_t run_stopped;

/* ---- children ----------------------------------------------------------- */

/* In the child: the peer's malloc for what is executed next. */
static void wear(const struct peer *peer)
{
	char name[sizeof(peer->settings)];
	char *equals;

	if (*peer->library)
		setenv("LD_PRELOAD", peer->library, 1);
	if (!*peer->settings)
		return;
	strcpy(name, peer->settings);
	equals = strchr(name, '=');
	if (equals) {
		*equals = '\0';
		setenv(name, equals + 1, 1);
	}
}

/*
 * Start a program with the peer's malloc, its output on *@out (NULL: nowhere).  It
 * ends with us, whatever happens to us.  @cpu: the only one it may use, or -1.
 */
static pid_t start(const struct peer *peer, char *const argv[], FILE **out, int cpu)
{
	int fds[2] = { -1, -1 };
	pid_t pid;

	if (out && pipe2(fds, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid) {
		int sink = out ? fds[1] : open("/dev/null", O_WRONLY);

		dup2(sink, STDOUT_FILENO);
		if (cpu >= 0) {
			cpu_set_t one;

			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			sched_setaffinity(0, sizeof(one), &one);
		}
		if (peer)
			wear(peer);
		execvp(argv[0], argv);
		fprintf(stderr, "slabpool-bench: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (out) {
		close(fds[1]);
		*out = fdopen(fds[0], "r");
	}
	return pid;
}

/* Its end: true if it ended well.  A signal to us ends it, too. */
static bool finish(pid_t pid)
{
	int status;

	if (run_stopped)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return false;
		if (run_stopped)
			kill(pid, SIGKILL);
	}
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* ---- what it found ------------------------------------------------------ */

static json_object *member(json_object *in, const char *name, json_object *(*make)(void))
{
	json_object *found;

	if (!json_object_object_get_ex(in, name, &found)) {
		found = make();
		json_object_object_add(in, name, found);
	}
	return found;
}

static void add_metric(json_object *found, const char *name, double value)
{
	json_object_object_add(member(found, "metrics", json_object_new_object), name,
			       json_object_new_double(value));
}

static void add_point(json_object *found, const char *curve, double x, double y)
{
	json_object *point = json_object_new_array();

	json_object_array_add(point, json_object_new_double(x));
	json_object_array_add(point, json_object_new_double(y));
	json_object_array_add(member(member(found, "curves", json_object_new_object), curve,
				     json_object_new_array), point);
}

static bool same_file(const char *a, const char *b)
{
	struct stat left, right;

	return !stat(a, &left) && !stat(b, &right) && left.st_dev == right.st_dev &&
	       left.st_ino == right.st_ino;
}

/* The file that malloc is in tells whether it is the one we mean. */
static bool is_worn(const struct peer *peer, const char *file)
{
	if (*peer->library)
		return same_file(peer->library, file);
	return strstr(file, "libc.so") != NULL;
}

static bool read_line(const struct peer *peer, char *line, json_object *found, bool *worn)
{
	char name[64];
	double x, y;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "metric %63s %lf", name, &x) == 2)
		add_metric(found, name, x);
	else if (sscanf(line, "curve %63s %lf %lf", name, &x, &y) == 3)
		add_point(found, name, x, y);
	else if (!strncmp(line, "malloc ", 7))
		*worn = is_worn(peer, line + 7);
	else if (*line == '{')
		json_object_object_add(found, "stats", json_tokener_parse(line));
	else
		return false;
	return true;
}

/* ---- the workloads ------------------------------------------------------ */

bool run_work(const struct workload *workload, const struct peer *peer, const struct work *work,
	      json_object *found)
{
	char threads[16], scale[32], idle[32], line[4096];
	char *argv[] = {
		"/proc/self/exe", "--work", (char *)workload->name, "--threads", threads,
		"--scale", scale, "--idle", idle, NULL,
	};
	bool worn = false;
	FILE *out;
	pid_t pid;

	snprintf(threads, sizeof(threads), "%u", work->threads);
	snprintf(scale, sizeof(scale), "%.9g", work->scale);
	snprintf(idle, sizeof(idle), "%.9g", work->idle);
	pid = start(peer, argv, &out, -1);
	if (pid < 0)
		return false;
	while (fgets(line, sizeof(line), out))
		if (!read_line(peer, line, found, &worn))
			fprintf(stderr, "slabpool-bench: %s: %s\n", peer->name, line);
	fclose(out);
	if (!finish(pid)) {
		if (!run_stopped)
			fprintf(stderr, "slabpool-bench: %s failed on %s\n", workload->name,
				peer->name);
		return false;
	}
	if (!worn) {
		fprintf(stderr, "slabpool-bench: %s: %s is not its malloc\n", peer->name,
			*peer->library ? peer->library : "the C library's");
		return false;
	}
	return true;
}

/* What a shell script pays for its many short programs. */
bool run_start(const struct workload *workload, const struct peer *peer, const struct work *work,
	       json_object *found)
{
	char *argv[] = { "dash", "-c", ":", NULL };
	size_t count = work_count(work, STARTS);
	double begin = work_now();

	for (size_t i = 0; i < count && !run_stopped; i++) {
		pid_t pid = start(peer, argv, NULL, -1);

		if (pid < 0 || !finish(pid)) {
			if (!run_stopped)
				fprintf(stderr, "slabpool-bench: %s failed on %s\n",
					workload->name, peer->name);
			return false;
		}
	}
	add_metric(found, workload->metric, (work_now() - begin) / count * 1e6);
	return !run_stopped;
}

static bool is_serving(char *socket)
{
	char *ping[] = { "redis-cli", "-s", socket, "ping", NULL };
	pid_t pid = start(NULL, ping, NULL, -1);

	return pid > 0 && finish(pid);
}

/* Microseconds for a request, the geometric mean of SET and GET; NAN: it failed. */
static double request_us(char *socket, const struct work *work)
{
	char requests[32], line[256];
	char *bench[] = {
		"redis-benchmark", "-s", socket, "--csv", "-t", "set,get", "-n", requests,
		"-c", "20", "-P", "16", "-r", "20000", "-d", "400", NULL,
	};
	double logs = 0, rate;
	int count = 0;
	FILE *out;
	pid_t pid;

	snprintf(requests, sizeof(requests), "%zu", work_count(work, 200000));
	pid = start(NULL, bench, &out, 1);
	if (pid < 0)
		return NAN;
	while (fgets(line, sizeof(line), out)) {
		if (sscanf(line, "\"%*[A-Z]\",\"%lf\"", &rate) == 1 && rate > 0) {
			logs += log(1e6 / rate);
			count++;
		}
	}
	fclose(out);
	return finish(pid) && count == 2 ? exp(logs / count) : NAN;
}

/* redis makes itself small on huge pages unless it is told not to (--disable-thp). */
bool run_redis(const struct workload *workload, const struct peer *peer, const struct work *work,
	       json_object *found)
{
	char folder[] = "/tmp/slabpool-bench-XXXXXX", socket[64];
	char *serve[] = {
		"redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
		"--appendonly", "no", "--disable-thp", "no", "--loglevel", "warning", NULL,
	};
	double us = NAN;
	pid_t server;

	if (!mkdtemp(folder))
		return false;
	snprintf(socket, sizeof(socket), "%s/socket", folder);
	server = start(peer, serve, NULL, 0);
	for (int tries = 0; server > 0 && tries < 500 && !run_stopped; tries++) {
		if (!access(socket, F_OK) && is_serving(socket)) {
			us = request_us(socket, work);
			break;
		}
		usleep(20000);
	}
	if (server > 0) {
		kill(server, SIGTERM);
		finish(server);
	}
	unlink(socket);
	rmdir(folder);
	if (!isnan(us))
		add_metric(found, workload->metric, us);
	else if (!run_stopped)
		fprintf(stderr, "slabpool-bench: %s failed on %s (Debian: redis-server, redis-tools)\n",
			workload->name, peer->name);
	return !isnan(us);
}
