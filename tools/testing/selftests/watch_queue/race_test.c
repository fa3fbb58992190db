// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once: posters in all contexts, several readers of one queue,
 * filters being swapped, watches attached and detached, keys revoked and
 * collected, queues sized, closed and reopened.  Nothing may be lost without
 * being counted, changed, or out of a poster's order.
 */

#include "source.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define NR_POSTERS	WATCH_SOURCE_NR_CONTEXTS
#define NR_READERS	3

/* Two types of message: one that all filters let through, one that none does */
#define WANTED		5
#define UNWANTED	6

static atomic_bool stop;

/* A queue that watches from beginning to end */
struct watched {
	struct queue q;
	int has_filter;
	atomic_long received;
	atomic_long lost;
	atomic_long wrong;
};

struct poster {
	int source;
	int name;
	int context;
	long posted[2];
};

static void *run_poster(void *arg)
{
	struct poster *poster = arg;
	unsigned int seed = poster->name;
	uint32_t number = 0;

	while (!stop) {
		int unwanted = rand_r(&seed) % 4 == 0;
		struct watch_source_post args = {
			.id = ID,
			.type = unwanted ? UNWANTED : WANTED,
			.subtype = rand_r(&seed) % 256,
			.length = 16 + rand_r(&seed) % 112,
			.count = 1 + rand_r(&seed) % 40,
			.context = poster->context,
			.numbered = 1,
			.poster = poster->name,
			.number = number,
		};

		if (post(poster->source, &args))
			return "a post failed";
		number += args.count;
		poster->posted[unwanted] += args.count;
	}
	return NULL;
}

/* Whether a message is one that its poster made, and behind the one before it */
static int is_right(const unsigned char *message, uint32_t *next)
{
	int i, length = length_of(message);
	uint32_t words[4];

	memcpy(words, message, sizeof(words));
	if (length < 16 || words[2] >= NR_POSTERS || tag_of(message) != TAG ||
	    words[3] < next[words[2]])
		return 0;
	next[words[2]] = words[3] + 1;
	for (i = 16; i < length; i++)
		if (message[i] != (unsigned char)(words[2] + words[3] + i))
			return 0;
	return 1;
}

static void *run_reader(void *arg)
{
	struct watched *watched = arg;
	uint32_t next[NR_POSTERS] = { 0 };
	unsigned char buffer[4096];
	unsigned int seed = (uintptr_t)&seed >> 4;

	for (;;) {
		size_t room = 127 + rand_r(&seed) % (sizeof(buffer) - 127);
		ssize_t bytes = read(watched->q.rd, buffer, room);
		unsigned char *at = buffer;

		if (bytes == 0)
			return NULL;
		if (bytes == -1)
			return "a read failed";
		for (; bytes > 0; bytes -= length_of(at), at += length_of(at)) {
			if (is_loss(at)) {
				watched->lost += type_info_of(at);
				continue;
			}
			watched->received++;
			if (!is_right(at, next) ||
			    (watched->has_filter && type_of(at) != WANTED))
				watched->wrong++;
		}
	}
}

/* Swaps two filters that let the same through, in different words. */
static void *run_filters(void *arg)
{
	struct watched *watched = arg;
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rules[2];
	} one = {
		.head.nr_filters = 1,
		.rules[0].type = WANTED,
	}, two = {
		.head.nr_filters = 2,
		.rules[0].type = WANTED,
		.rules[1].type = WANTED,
	};

	memset(one.rules[0].subtype_filter, 0xff, 32);
	memset(two.rules[0].subtype_filter, 0xff, 16);
	memset(two.rules[1].subtype_filter + 4, 0xff, 16);
	while (!stop) {
		if (ioctl(watched->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &two) ||
		    ioctl(watched->q.wr, IOC_WATCH_QUEUE_SET_FILTER, &one))
			return "a filter was refused";
	}
	return NULL;
}

/* Queues that come and go, among those that stay */
static void *run_queues(void *arg)
{
	int source = *(int *)arg;
	unsigned int seed = (uintptr_t)&seed >> 4;
	unsigned char buffer[4096];

	while (!stop) {
		struct queue q;
		char path[32];
		int again;

		if (open_queue(&q, O_NONBLOCK))
			return "no queue";
		if (rand_r(&seed) % 2 && attach(source, q.rd, ID, 1))
			return "no watch before the size";
		if (rand_r(&seed) % 8 && set_size(&q, 1 + rand_r(&seed) % 100))
			return "no size";
		attach(source, q.rd, ID, 1);
		attach(source, q.rd, ID + 1 + rand_r(&seed) % 3, 1);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", q.rd);
		again = open(path, O_RDONLY | O_NONBLOCK);
		while (rand_r(&seed) % 4)
			if (read(q.rd, buffer, rand_r(&seed) % 4096) == -1)
				sched_yield();
		if (rand_r(&seed) % 2)
			detach(source, q.rd, ID);
		if (rand_r(&seed) % 2) {
			close(q.rd);
			close(q.wr);
		} else {
			close(q.wr);
			close(q.rd);
		}
		if (again == -1)
			return "not reopened";
		if (read(again, buffer, sizeof(buffer)) == -1 && errno != EAGAIN)
			return "the reopened queue cannot be read";
		close(again);
	}
	return NULL;
}

/* Objects that come and go, with a queue that outlives them and one that may not */
static void *run_objects(void *arg)
{
	unsigned int seed = (uintptr_t)&seed >> 4;
	unsigned char buffer[4096];
	struct queue outlives;

	(void)arg;
	if (open_queue(&outlives, O_NONBLOCK) || set_size(&outlives, 64))
		return "no queue";
	while (!stop) {
		int source = open_source(), i;
		struct queue q;

		if (source == -1 || open_queue(&q, O_NONBLOCK))
			return "no object";
		for (i = 0; i < 10; i++) {
			if (attach(source, outlives.rd, i, i) ||
			    attach(source, q.rd, i, i))
				return "no watch";
		}
		post_some(source, WANTED, 0, 8, 1);
		if (rand_r(&seed) % 2)
			detach_all(source, rand_r(&seed) % 3);
		if (rand_r(&seed) % 2) {
			close(source);
			close(q.wr);
			close(q.rd);
		} else {
			close(q.rd);
			close(q.wr);
			close(source);
		}
		while (read(outlives.rd, buffer, sizeof(buffer)) > 0)
			;
	}
	close(outlives.rd);
	close(outlives.wr);
	return NULL;
}

/* Keys that are watched, revoked and collected */
static void *run_keys(void *arg)
{
	unsigned char buffer[4096];
	struct queue q;

	(void)arg;
	if (open_queue(&q, O_NONBLOCK) || set_size(&q, 64))
		return "no queue";
	while (!stop) {
		key_serial_t key = add_key("user", "racing", "x", 1,
					   KEY_SPEC_PROCESS_KEYRING);

		if (key == -1) {
			/* The quota is freed when the dead are collected. */
			if (errno != EDQUOT)
				return "no key";
			usleep(10000);
			continue;
		}
		if (keyctl_watch_key(key, q.rd, 1))
			return "no watch on a key";
		keyctl_update(key, "y", 1);
		keyctl_revoke(key);
		keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING);
		while (read(q.rd, buffer, sizeof(buffer)) > 0)
			;
	}
	close(q.rd);
	close(q.wr);
	return NULL;
}

static int start_watching(struct watched *watched, int source)
{
	return open_queue(&watched->q, 0) || set_size(&watched->q, 64) ||
	       attach(source, watched->q.rd, ID, TAG);
}

static long accounted_for(struct watched *watched)
{
	return atomic_load(&watched->received) + atomic_load(&watched->lost);
}

FIXTURE(race) { };
FIXTURE_SETUP(race) { }
FIXTURE_TEARDOWN(race) { }

TEST_F_TIMEOUT(race, beyond_mainline_everything_at_once, 200)
{
	static struct watched all, filtered = { .has_filter = 1 };
	struct poster posters[NR_POSTERS] = { 0 };
	const char *given = getenv("SECONDS");
	pthread_t poster_threads[NR_POSTERS], readers[2 * NR_READERS], others[5];
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rule;
	} wanted = { .head.nr_filters = 1, .rule.type = WANTED };
	/* A detached watch counts until its grace period is over. */
	struct rlimit many = { .rlim_cur = 1 << 20, .rlim_max = 1 << 20 };
	long posted[2] = { 0 };
	int i, source = open_source();
	void *failed;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &many));
	if (source == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	ASSERT_EQ(0, start_watching(&all, source));
	ASSERT_EQ(0, start_watching(&filtered, source));
	memset(wanted.rule.subtype_filter, 0xff, 32);
	ASSERT_EQ(0, ioctl(filtered.q.rd, IOC_WATCH_QUEUE_SET_FILTER, &wanted));

	for (i = 0; i < NR_READERS; i++) {
		ASSERT_EQ(0, pthread_create(&readers[2 * i], NULL, run_reader, &all));
		ASSERT_EQ(0, pthread_create(&readers[2 * i + 1], NULL, run_reader,
					    &filtered));
	}
	ASSERT_EQ(0, pthread_create(&others[0], NULL, run_filters, &filtered));
	ASSERT_EQ(0, pthread_create(&others[1], NULL, run_queues, &source));
	ASSERT_EQ(0, pthread_create(&others[2], NULL, run_queues, &source));
	ASSERT_EQ(0, pthread_create(&others[3], NULL, run_objects, NULL));
	ASSERT_EQ(0, pthread_create(&others[4], NULL, run_keys, NULL));
	for (i = 0; i < NR_POSTERS; i++) {
		posters[i] = (struct poster){
			.source = source, .name = i, .context = i,
		};
		ASSERT_EQ(0, pthread_create(&poster_threads[i], NULL, run_poster,
					    &posters[i]));
	}

	sleep(given ? atoi(given) : 4);
	stop = 1;
	for (i = 0; i < NR_POSTERS; i++) {
		ASSERT_EQ(0, pthread_join(poster_threads[i], &failed));
		EXPECT_STREQ("", failed ? failed : "");
		posted[0] += posters[i].posted[0];
		posted[1] += posters[i].posted[1];
	}
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, pthread_join(others[i], &failed));
		EXPECT_STREQ("", failed ? failed : "");
	}
	/* The readers go when they have read everything. */
	close(all.q.wr);
	close(filtered.q.wr);
	for (i = 0; i < 2 * NR_READERS; i++) {
		ASSERT_EQ(0, pthread_join(readers[i], &failed));
		EXPECT_STREQ("", failed ? failed : "");
	}

	TH_LOG("%ld posted, %ld received, %ld lost", posted[0] + posted[1],
	       atomic_load(&all.received), atomic_load(&all.lost));
	EXPECT_EQ(posted[0] + posted[1], accounted_for(&all));
	EXPECT_EQ(posted[0], accounted_for(&filtered));
	EXPECT_EQ(0, atomic_load(&all.wrong));
	EXPECT_EQ(0, atomic_load(&filtered.wrong));
	EXPECT_LT(0, atomic_load(&all.received));
	close(source);
}

TEST_HARNESS_MAIN
