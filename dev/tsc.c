// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the frequency of the time stamp counter of this machine, in kHz: see
 * dev/boot.
 */
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

struct moment {
	unsigned long long ns;
	unsigned long long ticks;
};

static unsigned long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/* Both clocks, of the tries the one in which they were read closest together */
static struct moment read_clocks(void)
{
	unsigned long long least = ULLONG_MAX;
	struct moment moment;

	for (int i = 0; i < 100; i++) {
		unsigned long long before = now(), ticks = __rdtsc(), gap = now() - before;

		if (gap < least) {
			least = gap;
			moment = (struct moment){ .ns = before, .ticks = ticks };
		}
	}
	return moment;
}

int main(void)
{
	struct moment first = read_clocks(), second;

	usleep(100000);
	second = read_clocks();
	printf("%llu\n",
	       (second.ticks - first.ticks) * 1000000 / (second.ns - first.ns));
	return 0;
}
