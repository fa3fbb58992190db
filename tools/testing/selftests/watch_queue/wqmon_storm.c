// SPDX-License-Identifier: GPL-2.0
/*
 * Changes a key many times a second, each of which is a message, and prints how
 * often it did.  Not a test: see wqmon_test.sh.
 *
 * usage: wqmon_storm KEY TIMES_A_SECOND SECONDS
 */
#include <err.h>
#include <keyutils.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char *argv[])
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	double start = now(), elapsed, rate;
	unsigned long done = 0;
	key_serial_t key;

	if (argc != 4)
		errx(2, "usage: wqmon_storm KEY TIMES_A_SECOND SECONDS");
	key = atoi(argv[1]);
	rate = atof(argv[2]);
	while ((elapsed = now() - start) < atof(argv[3])) {
		for (; done < rate * elapsed; done++)
			if (keyctl_setperm(key, 0x3f3f0000) < 0)
				err(1, "keyctl_setperm");
		nanosleep(&pause, NULL);
	}
	printf("%lu\n", done);
	return 0;
}
