/* Programs that inherit nothing of DPDK's. */

#ifndef SHIM_SPAWN_H
#define SHIM_SPAWN_H

#include <stdbool.h>
#include <stdint.h>

struct shim_program {
	const char *path;
	/* Both end with a null pointer. */
	const char *const *arguments;
	const char *const *environment;
	/* What becomes its standard input; and its standard output and error. */
	int input;
	int output;
	/* Largest address space, in bytes; 0 for no limit but this process's. */
	uint64_t address_space;
	bool change_user;
	uint32_t uid;
	uint32_t gid;
};

/* What failed. */
enum shim_spawn_step {
	SHIM_SPAWN_PROCESS,
	SHIM_SPAWN_GROUP,
	SHIM_SPAWN_STREAMS,
	SHIM_SPAWN_MEMORY,
	SHIM_SPAWN_USER,
	SHIM_SPAWN_PROGRAM,
};

/* Starts a program in a process group of its own, with no other descriptors and no other environment than given.
 * Returns its process id; or -1, with what failed and why. */
int shim_spawn(const struct shim_program *program, int *step, int *error);

/* Marks all descriptors but standard input and output to be closed where this process becomes another program. */
int shim_close_on_exec(void);

#endif
