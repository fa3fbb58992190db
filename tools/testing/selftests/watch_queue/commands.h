/* SPDX-License-Identifier: GPL-2.0 */
/* Having things happen: by commands, and by files that are written to */
#ifndef WATCH_QUEUE_TEST_COMMANDS_H
#define WATCH_QUEUE_TEST_COMMANDS_H

#include "../kselftest.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/wait.h>

/* Run a command; what it does is busybox's. */
__printf(1, 2)
static inline int run(const char *format, ...)
{
	char command[512];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

__printf(2, 3)
static inline int write_to(const char *path, const char *format, ...)
{
	char text[256];
	va_list args;
	int fd, length, result;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	result = write(fd, text, length) == length ? 0 : -1;
	close(fd);
	return result;
}

#endif /* WATCH_QUEUE_TEST_COMMANDS_H */
