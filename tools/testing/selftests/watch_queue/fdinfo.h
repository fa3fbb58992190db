/* SPDX-License-Identifier: GPL-2.0 */
/* The lines of a notification pipe in /proc/self/fdinfo */
#ifndef WATCH_QUEUE_TEST_FDINFO_H
#define WATCH_QUEUE_TEST_FDINFO_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The value of the nth line with this key, counted from 0, without the end of
 * the line; NULL if there is no such line.  Good until the next call.
 */
static inline char *fdinfo_nth(int fd, const char *key, int nth)
{
	static char line[1024];
	char path[64], *value = NULL;
	size_t length = strlen(key);
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	if (!file)
		return NULL;
	while (!value && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "watch_queue-", 12) ||
		    strncmp(line + 12, key, length) ||
		    strncmp(line + 12 + length, ":\t", 2) || nth--)
			continue;
		value = line + 12 + length + 2;
		value[strcspn(value, "\n")] = '\0';
	}
	fclose(file);
	return value;
}

/* The same, to be compared with what it should be */
static inline const char *fdinfo_line(int fd, const char *key, int nth)
{
	return fdinfo_nth(fd, key, nth) ?: "no such line";
}

static inline long fdinfo_number(int fd, const char *key)
{
	const char *value = fdinfo_nth(fd, key, 0);

	return value ? atol(value) : -1;
}

#endif /* WATCH_QUEUE_TEST_FDINFO_H */
