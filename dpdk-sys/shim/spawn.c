/* Starting programs from a process that holds DPDK's memory and devices.
 *
 * fork would copy the page tables of connection tables and packet buffers, and make every worker fault on its next
 * write to them; posix_spawn does not, but cannot set limits and users. So this is posix_spawn with both: the child
 * shares this process's memory until it has become the program, and the calling thread waits for that. Everything
 * between is a system call without a library function that could touch what other threads use. */

#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the kernel calls a signal set, which is shorter than the C library's. */
#define KERNEL_SIGNALS 64

struct child {
	const struct shim_program *program;
	volatile int step;
	volatile int error;
};

static void reset_signals(void)
{
	struct sigaction handling;

	memset(&handling, 0, sizeof(handling));
	handling.sa_handler = SIG_DFL;
	/* KILL, STOP and the C library's own refuse it, and need not be reset. */
	for (int number = 1; number <= KERNEL_SIGNALS; number++)
		sigaction(number, &handling, NULL);
}

/* Closes everything but standard input and output. */
static void close_others(void)
{
	struct rlimit limit;

	if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
		return;
	/* A kernel before 5.9, or a container that does not know the call. */
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	for (rlim_t fd = 3; fd < limit.rlim_cur; fd++)
		close((int)fd);
}

static int limit_memory(uint64_t bytes)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit) != 0)
		return -1;
	/* Lowering it takes no privilege, and a lower one that is there already is kept. */
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > bytes)
		limit.rlim_max = bytes;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_AS, &limit);
}

/* The C library's functions would change the other threads' as well. */
static int become(uint32_t uid, uint32_t gid)
{
	if (syscall(SYS_setgroups, 0, NULL) != 0)
		return -1;
	if (syscall(SYS_setresgid, gid, gid, gid) != 0)
		return -1;
	return (int)syscall(SYS_setresuid, uid, uid, uid);
}

static int run(void *argument)
{
	struct child *child = argument;
	const struct shim_program *program = child->program;
	sigset_t none;

	reset_signals();
	child->step = SHIM_SPAWN_GROUP;
	if (setpgid(0, 0) != 0)
		goto failed;
	child->step = SHIM_SPAWN_STREAMS;
	if (dup2(program->input, 0) < 0 || dup2(program->output, 1) < 0 || dup2(program->output, 2) < 0)
		goto failed;
	close_others();
	child->step = SHIM_SPAWN_MEMORY;
	if (program->address_space != 0 && limit_memory(program->address_space) != 0)
		goto failed;
	/* What a service manager gave to this process alone. Kernels without it have none. */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	child->step = SHIM_SPAWN_USER;
	if (program->change_user && become(program->uid, program->gid) != 0)
		goto failed;
	child->step = SHIM_SPAWN_PROGRAM;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(program->path, (char *const *)program->arguments, (char *const *)program->environment);
failed:
	child->error = errno;
	_exit(127);
}

int shim_spawn(const struct shim_program *program, int *step, int *error)
{
	_Alignas(16) char stack[32 << 10];
	struct child child = { .program = program };
	sigset_t all, before;
	/* A child that changes its user, and still shares this memory, makes it undumpable; so nobody of that user can
	 * look into it. Once the child is another program, this process is what it was. */
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	int pid;

	/* Nobody's handler runs in the child: it would work on this process's memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = clone(run, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
	if (pid < 0) {
		child.step = SHIM_SPAWN_PROCESS;
		child.error = errno;
	} else if (child.error != 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		pid = -1;
	}
	if (dumpable == 1)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	*step = child.step;
	*error = child.error;
	return pid;
}

int shim_close_on_exec(void)
{
	return (int)syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
}
