// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once: posters in all contexts, several readers of one queue,
 * filters being swapped, watches attached and detached, keys revoked and
 * collected, queues sized, closed and reopened.  Nothing may be lost without
 * being counted, come twice, be changed, or be out of a poster's order.
 *
 * All of them are processes: in user-mode Linux, the threads of a process are
 * never in user mode at the same time.
 */

#include "source.h"
#include "fdinfo.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NR_POSTERS	WATCH_SOURCE_NR_CONTEXTS
#define NR_READERS	3
#define NR_QUEUES	2

/* Two types of message: one that all filters let through, one that none does */
#define WANTED		5
#define UNWANTED	6

/* How many messages a poster posts at a time at most, and in all */
#define BLOCK		32
#define MAX_NUMBERS	(BLOCK << 19)

/* No more than this is under way, so that readers keep up with posters. */
#define MAX_BEHIND	30000

/* A queue that watches from beginning to end, and what was read of it */
struct watched {
	struct queue q;
	int has_filter;
	atomic_long received;
	atomic_long removals;
	atomic_long lost;
	atomic_long wrong;
	atomic_long twice;
	atomic_uchar seen[NR_POSTERS][MAX_NUMBERS / 8];
};

/* Events that every run has to see, or nothing raced */
enum happening {
	FILTERS_SWAPPED,
	WATCHES_ADDED_AND_REMOVED,
	QUEUES_OPENED,
	QUEUES_CLOSED_WITH_WATCHES,	/* while their object is being posted to */
	QUEUES_CLOSED_WITH_MESSAGES,
	QUEUES_DETACHED_AND_EMPTIED,
	QUEUES_THAT_LOST_MESSAGES,
	ATTACHED_TWICE,
	STRANGERS_HAD_IT_OPEN,
	STRANGERS_CAME_TOO_LATE,
	OBJECTS_DIED_FIRST,
	QUEUES_DIED_FIRST,
	REMOVALS_SEEN,
	KEYS_DIED,
	READS,
	WAITED_WITH_POLL,
	WAITED_WITH_EPOLL,
	NR_HAPPENINGS
};

static const char * const happenings[NR_HAPPENINGS] = {
	"filters swapped",
	"watches added and removed",
	"queues opened",
	"queues closed with watches",
	"queues closed with messages",
	"queues detached and emptied",
	"queues that lost messages",
	"attached twice",
	"strangers had it open",
	"strangers came too late",
	"objects died first",
	"queues died first",
	"removals seen",
	"keys died",
	"reads",
	"waited with poll",
	"waited with epoll",
};

/* The state that all processes share */
static struct {
	atomic_long happened[NR_HAPPENINGS];
	atomic_long posts[NR_POSTERS];
	atomic_int stop;
	atomic_long wanted;
	atomic_long unwanted;
	atomic_long removed;
	atomic_int pids[NR_QUEUES];
	struct watched all;
	struct watched filtered;
	uint32_t contexts[NR_POSTERS];
	int source;
} *shared;

static void happens(enum happening happening)
{
	shared->happened[happening]++;
}

/* Every run has to see it; the others take luck. */
static int must_happen(enum happening happening)
{
	return happening != STRANGERS_CAME_TOO_LATE;
}

static int everything_has_happened(void)
{
	int i;

	for (i = 0; i < NR_HAPPENINGS; i++)
		if (must_happen(i) && !shared->happened[i])
			return 0;
	for (i = 0; i < NR_POSTERS; i++)
		if (!shared->posts[i])
			return 0;
	return 1;
}

/* A loop that runs until it is to stop, and returns what went wrong */
typedef const char *(*loop)(void *arg);

static pid_t start(loop loop, void *arg)
{
	pid_t pid = fork();
	const char *failed;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	failed = loop(arg);
	if (failed)
		fprintf(stderr, "# %s: %s\n", failed, strerror(errno));
	_exit(!!failed);
}

static int has_succeeded(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* The post with which a poster's numbers go on; its number says all about it. */
static struct watch_source_post post_from(uint32_t poster, uint32_t number)
{
	uint32_t mixed = (number / BLOCK * NR_POSTERS + poster) * 2654435769U;

	return (struct watch_source_post) {
		.id = ID,
		.type = mixed >> 30 ? WANTED : UNWANTED,
		.subtype = mixed >> 9 & 0xff,
		.info = mixed << 3 & WATCH_INFO_TYPE_INFO,
		.length = 16 + (mixed >> 15) % 112,
		.count = 1 + (mixed >> 11) % BLOCK,
		.context = shared->contexts[poster],
		.numbered = 1,
		.poster = poster,
		.number = number,
	};
}

/* Each poster has its context, if the kernel has that, and else the first. */
static int find_contexts(void)
{
	uint32_t i;

	for (i = 0; i < NR_POSTERS; i++) {
		struct watch_source_post args;

		shared->contexts[i] = i;
		args = post_from(i, 0);
		/* Nobody watches this. */
		args.id = ~0ULL;
		if (post(shared->source, &args) == 0)
			continue;
		if (errno != EOPNOTSUPP)
			return -1;
		shared->contexts[i] = WATCH_SOURCE_PROCESS;
	}
	return 0;
}

static long accounted_for(struct watched *watched)
{
	return watched->received + watched->removals + watched->lost;
}

static int readers_are_behind(void)
{
	long all = shared->wanted + shared->unwanted + shared->removed;

	return all - accounted_for(&shared->all) > MAX_BEHIND ||
	       shared->wanted - accounted_for(&shared->filtered) > MAX_BEHIND;
}

static const char *run_poster(void *arg)
{
	uint32_t poster = *(uint32_t *)arg, number;

	for (number = 0; !shared->stop && number < MAX_NUMBERS; number += BLOCK) {
		struct watch_source_post args = post_from(poster, number);

		while (readers_are_behind() && !shared->stop)
			usleep(100);
		if (args.type == WANTED)
			shared->wanted += args.count;
		else
			shared->unwanted += args.count;
		if (post(shared->source, &args))
			return "a post failed";
		shared->posts[poster]++;
	}
	return NULL;
}

/* Returns whether a message is as its poster made it */
static int is_right(const unsigned char *message)
{
	struct watch_notification n = header_of(message);
	struct watch_source_post made;
	uint32_t words[4];
	unsigned int i;

	memcpy(words, message, sizeof(words));
	if ((n.info & WATCH_INFO_LENGTH) < 16 || words[2] >= NR_POSTERS ||
	    words[3] >= MAX_NUMBERS)
		return 0;
	made = post_from(words[2], words[3] / BLOCK * BLOCK);
	if (words[3] >= made.number + made.count || n.type != made.type ||
	    n.subtype != made.subtype ||
	    n.info != (made.info | TAG << WATCH_INFO_ID__SHIFT | made.length))
		return 0;
	for (i = 16; i < made.length; i++)
		if (message[i] != (unsigned char)(words[2] + words[3] + i))
			return 0;
	return 1;
}

/* Whose message it is and which of them, if it is right */
static uint32_t poster_of(const unsigned char *message)
{
	uint32_t poster;

	memcpy(&poster, message + 8, sizeof(poster));
	return poster;
}

static uint32_t number_of(const unsigned char *message)
{
	uint32_t number;

	memcpy(&number, message + 12, sizeof(number));
	return number;
}

/* Account for a message; `next` is what this reader has to expect. */
static void see(struct watched *watched, const unsigned char *message, uint32_t *next)
{
	unsigned char bit = 1 << number_of(message) % 8;
	uint32_t poster, number;

	if (is_loss(message)) {
		watched->lost += type_info_of(message);
		return;
	}
	if (is_removal(message)) {
		watched->removals++;
		return;
	}
	watched->received++;
	if (!is_right(message) ||
	    (watched->has_filter && type_of(message) != WANTED)) {
		watched->wrong++;
		return;
	}
	poster = poster_of(message);
	number = number_of(message);
	if (number < next[poster])
		watched->wrong++;
	next[poster] = number + 1;
	if (atomic_fetch_or(&watched->seen[poster][number / 8], bit) & bit)
		watched->twice++;
}

static int reopen(pid_t pid, int fd, int flags)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	return open(path, flags | O_NONBLOCK);
}

/* Read until the end, by way of `fd`, waiting with `wait` where it says EAGAIN. */
static const char *read_all(struct watched *watched, int fd, int (*wait)(int fd))
{
	uint32_t next[NR_POSTERS] = { 0 };
	unsigned char buffer[4096];
	unsigned int seed = getpid();

	/* It would never end with a write end here. */
	close(shared->all.q.wr);
	close(shared->filtered.q.wr);
	for (;;) {
		size_t room = 127 + rand_r(&seed) % (sizeof(buffer) - 127);
		ssize_t bytes = read(fd, buffer, room);
		unsigned char *at = buffer;

		if (bytes == 0)
			return NULL;
		if (bytes == -1 && errno == EAGAIN && wait) {
			if (wait(fd) == -1)
				return "waiting failed";
			continue;
		}
		if (bytes == -1)
			return "a read failed";
		happens(READS);
		for (; bytes > 0; bytes -= length_of(at), at += length_of(at))
			see(watched, at, next);
	}
}

static int wait_with_poll(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	happens(WAITED_WITH_POLL);
	return poll(&pollfd, 1, -1);
}

static int epoll_fd;

static int wait_with_epoll(int fd)
{
	struct epoll_event event;

	(void)fd;
	happens(WAITED_WITH_EPOLL);
	return epoll_wait(epoll_fd, &event, 1, -1);
}

static const char *run_reader(void *arg)
{
	return read_all(arg, ((struct watched *)arg)->q.rd, NULL);
}

static const char *run_poll_reader(void *arg)
{
	struct watched *watched = arg;
	int again = reopen(getpid(), watched->q.rd, O_RDONLY);

	return again == -1 ? "not reopened" :
	       read_all(watched, again, wait_with_poll);
}

static const char *run_epoll_reader(void *arg)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct watched *watched = arg;
	int again = reopen(getpid(), watched->q.rd, O_RDONLY);

	epoll_fd = epoll_create1(0);
	if (again == -1 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, again, &event))
		return "no epoll";
	return read_all(watched, again, wait_with_epoll);
}

/* Swaps two filters that let the same through, in different words. */
static const char *run_filters(void *arg)
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
	while (!shared->stop) {
		if (ioctl(watched->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &two) ||
		    ioctl(watched->q.wr, IOC_WATCH_QUEUE_SET_FILTER, &one))
			return "a filter was refused";
		happens(FILTERS_SWAPPED);
	}
	return NULL;
}

/* More watches of a queue, on the object that is being posted to and another */
static const char *run_watches(void *arg)
{
	struct watched *watched = arg;
	int other = open_source();

	if (other == -1)
		return "no object";
	while (!shared->stop) {
		while (readers_are_behind() && !shared->stop)
			usleep(100);
		if (attach(shared->source, watched->q.rd, ID + 10, 1) ||
		    attach(other, watched->q.rd, ID, 2))
			return "no watch";
		/* Without and with a watch: removals without and with a message */
		shared->removed += 2;
		if (detach(other, watched->q.rd, ID + 10) != -1 ||
		    detach(shared->source, watched->q.rd, ID + 10) ||
		    detach_all(other, 3))
			return "not detached";
		happens(WATCHES_ADDED_AND_REMOVED);
	}
	close(other);
	return NULL;
}

/* The messages read from a queue that does not watch all the time */
struct visited {
	long received;
	long lost;
	long gaps;
	uint32_t next[NR_POSTERS];
	uint64_t has_begun;
};

/* How many messages a poster posts before one number and from another on */
static long posted_between(uint32_t poster, uint32_t from, uint32_t to)
{
	long posted = 0;

	while (from < to) {
		uint32_t block = from / BLOCK * BLOCK;
		uint32_t end = block + post_from(poster, block).count;

		if (from < end)
			posted += (end < to ? end : to) - from;
		from = block + BLOCK;
	}
	return posted;
}

/* Read once; returns what went wrong. */
static const char *visit(struct visited *visited, int fd, size_t room)
{
	unsigned char buffer[4096], *at = buffer;
	ssize_t bytes = read(fd, buffer, room);

	for (; bytes > 0; bytes -= length_of(at), at += length_of(at)) {
		uint32_t poster, number;

		if (is_loss(at)) {
			visited->lost += type_info_of(at);
			continue;
		}
		visited->received++;
		if (is_removal(at))
			continue;
		if (!is_right(at))
			return "a message is wrong";
		poster = poster_of(at);
		number = number_of(at);
		if (visited->has_begun >> poster & 1) {
			if (number < visited->next[poster])
				return "a message is out of order";
			visited->gaps += posted_between(poster, visited->next[poster], number);
		}
		visited->has_begun |= 1ULL << poster;
		visited->next[poster] = number + 1;
	}
	return NULL;
}

/* Read what is left, and see that all that was ever put into the queue has been read. */
static const char *visit_the_rest(struct visited *visited, int fd)
{
	int tries;

	/* A post may be under way, and a watch that it does not know of be gone. */
	for (tries = 0; tries < 1000; tries++) {
		long delivered, lost;
		const char *failed = visit(visited, fd, 4096);

		if (failed)
			return failed;
		delivered = fdinfo_number(fd, "delivered");
		lost = fdinfo_number(fd, "lost");
		if (visited->received == delivered && visited->lost == lost)
			return visited->gaps <= lost ? NULL : "a loss was not counted";
		if (tries > 100)
			usleep(10000);
	}
	fprintf(stderr, "# received %ld of %ld, lost %ld of %ld\n", visited->received,
		fdinfo_number(fd, "delivered"), visited->lost,
		fdinfo_number(fd, "lost"));
	return "not all was read";
}

/* Queues that come and go, among those that stay */
static const char *run_queues(void *arg)
{
	unsigned int seed = getpid();

	*(atomic_int *)arg = getpid();
	while (!shared->stop) {
		struct visited visited = { 0 };
		const char *failed = NULL;
		int again, bytes = 0, is_watching = 1;
		struct queue q;

		if (open_queue(&q, O_NONBLOCK))
			return "no queue";
		happens(QUEUES_OPENED);
		if (rand_r(&seed) % 2 && attach(shared->source, q.rd, ID, TAG))
			return "no watch before the size";
		if (rand_r(&seed) % 8 && set_size(&q, 1 + rand_r(&seed) % 100))
			return "no size";
		if (attach(shared->source, q.rd, ID, TAG)) {
			if (errno != EBUSY)
				return "no watch";
			happens(ATTACHED_TWICE);
		}
		if (attach(shared->source, q.rd, ID + 1 + rand_r(&seed) % 3, 1))
			return "no watch on another object";
		again = reopen(getpid(), q.rd, O_RDONLY);
		if (again == -1)
			return "not reopened";
		while (!failed && rand_r(&seed) % 8)
			failed = visit(&visited, q.rd, 1 + rand_r(&seed) % 4096);
		if (!failed && rand_r(&seed) % 2) {
			if (detach(shared->source, q.rd, ID))
				return "not detached";
			failed = visit_the_rest(&visited, again);
			is_watching = 0;
			happens(QUEUES_DETACHED_AND_EMPTIED);
		}
		if (failed)
			return failed;
		if (visited.lost)
			happens(QUEUES_THAT_LOST_MESSAGES);
		if (rand_r(&seed) % 2) {
			close(q.rd);
			close(q.wr);
		} else {
			close(q.wr);
			close(q.rd);
		}
		failed = visit(&visited, again, 4096);
		if (failed)
			return failed;
		if (ioctl(again, FIONREAD, &bytes) == 0 && bytes)
			happens(QUEUES_CLOSED_WITH_MESSAGES);
		if (is_watching)
			happens(QUEUES_CLOSED_WITH_WATCHES);
		close(again);
	}
	return NULL;
}

/* Somebody who opens and closes what others have open, while they close it */
static const char *run_strangers(void *arg)
{
	unsigned int seed = getpid();

	(void)arg;
	while (!shared->stop) {
		pid_t pid = shared->pids[rand_r(&seed) % NR_QUEUES];
		int mode = rand_r(&seed) % 2 ? O_RDONLY : O_WRONLY, bytes;
		int fd = reopen(pid, shared->source + rand_r(&seed) % 10, mode);

		if (fd == -1) {
			/* It was closed after the path was looked up. */
			if (errno == ENXIO)
				happens(STRANGERS_CAME_TOO_LATE);
			continue;
		}
		if (fdinfo_number(fd, "size") != -1 && ioctl(fd, FIONREAD, &bytes) == 0)
			happens(STRANGERS_HAD_IT_OPEN);
		close(fd);
	}
	return NULL;
}

/* Objects that come and go, with a queue that outlives them and one that may not */
static const char *run_objects(void *arg)
{
	unsigned int seed = getpid();
	unsigned char buffer[4096];
	struct queue outlives;

	(void)arg;
	if (open_queue(&outlives, O_NONBLOCK) || set_size(&outlives, 64))
		return "no queue";
	while (!shared->stop) {
		int source = open_source(), i;
		struct queue q;
		ssize_t bytes;

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
			happens(OBJECTS_DIED_FIRST);
		} else {
			close(q.rd);
			close(q.wr);
			close(source);
			happens(QUEUES_DIED_FIRST);
		}
		while ((bytes = read(outlives.rd, buffer, sizeof(buffer))) > 0) {
			unsigned char *at = buffer;

			for (; bytes > 0; bytes -= length_of(at), at += length_of(at))
				if (is_removal(at))
					happens(REMOVALS_SEEN);
		}
	}
	return NULL;
}

/* Keys that are watched, revoked and collected */
static const char *run_keys(void *arg)
{
	unsigned char buffer[4096];
	struct queue q;

	(void)arg;
	if (open_queue(&q, O_NONBLOCK) || set_size(&q, 64))
		return "no queue";
	while (!shared->stop) {
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
		happens(KEYS_DIED);
		while (read(q.rd, buffer, sizeof(buffer)) > 0)
			;
	}
	return NULL;
}

static int start_watching(struct watched *watched)
{
	return open_queue(&watched->q, 0) || set_size(&watched->q, 64) ||
	       attach(shared->source, watched->q.rd, ID, TAG);
}

FIXTURE(race) { };

FIXTURE_SETUP(race)
{
	/* A detached watch counts until its grace period is over. */
	struct rlimit many = { .rlim_cur = 1 << 20, .rlim_max = 1 << 20 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &many));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	shared->source = open_source();
	if (shared->source == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	ASSERT_EQ(0, find_contexts());
}

FIXTURE_TEARDOWN(race) { }

TEST_F_TIMEOUT(race, beyond_mainline_everything_at_once, 300)
{
	static const loop reader_loops[NR_READERS] = {
		run_reader, run_poll_reader, run_epoll_reader,
	};
	struct watched *all = &shared->all, *filtered = &shared->filtered;
	const char *given = getenv("SECONDS");
	pid_t posters[NR_POSTERS], readers[2 * NR_READERS], others[6 + NR_QUEUES];
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rule;
	} wanted = { .head.nr_filters = 1, .rule.type = WANTED };
	uint32_t names[NR_POSTERS];
	int i, nr_others = 0;
	long posted;

	filtered->has_filter = 1;
	ASSERT_EQ(0, start_watching(all));
	ASSERT_EQ(0, start_watching(filtered));
	memset(wanted.rule.subtype_filter, 0xff, 32);
	ASSERT_EQ(0, ioctl(filtered->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &wanted));

	for (i = 0; i < NR_READERS; i++) {
		readers[2 * i] = start(reader_loops[i], all);
		readers[2 * i + 1] = start(reader_loops[i], filtered);
	}
	others[nr_others++] = start(run_filters, filtered);
	others[nr_others++] = start(run_watches, all);
	for (i = 0; i < NR_QUEUES; i++)
		others[nr_others++] = start(run_queues, &shared->pids[i]);
	others[nr_others++] = start(run_strangers, NULL);
	others[nr_others++] = start(run_objects, NULL);
	others[nr_others++] = start(run_keys, NULL);
	for (i = 0; i < NR_POSTERS; i++) {
		names[i] = i;
		posters[i] = start(run_poster, &names[i]);
	}

	sleep(given ? atoi(given) : 4);
	for (i = 0; i < 60 && !everything_has_happened(); i++)
		sleep(1);
	shared->stop = 1;
	for (i = 0; i < NR_POSTERS; i++)
		EXPECT_TRUE(has_succeeded(posters[i]));
	for (i = 0; i < nr_others; i++)
		EXPECT_TRUE(has_succeeded(others[i]));
	/* The readers go when they have read everything. */
	close(all->q.wr);
	close(filtered->q.wr);
	for (i = 0; i < 2 * NR_READERS; i++)
		EXPECT_TRUE(has_succeeded(readers[i]));

	for (i = 0; i < NR_HAPPENINGS; i++) {
		TH_LOG("%s: %ld times", happenings[i], atomic_load(&shared->happened[i]));
		if (must_happen(i))
			EXPECT_LT(0, atomic_load(&shared->happened[i]));
	}
	for (i = 0; i < NR_POSTERS; i++) {
		TH_LOG("posts in context %u: %ld times", shared->contexts[i],
		       atomic_load(&shared->posts[i]));
		EXPECT_LT(0, atomic_load(&shared->posts[i]));
	}

	posted = shared->wanted + shared->unwanted + shared->removed;
	TH_LOG("%ld posted, %ld received, %ld lost", posted,
	       atomic_load(&all->received), atomic_load(&all->lost));
	TH_LOG("%ld past the filter, %ld received, %ld lost",
	       atomic_load(&shared->wanted), atomic_load(&filtered->received),
	       atomic_load(&filtered->lost));
	EXPECT_EQ(posted, accounted_for(all));
	EXPECT_EQ(atomic_load(&shared->wanted), accounted_for(filtered));
	EXPECT_EQ(0, atomic_load(&all->wrong));
	EXPECT_EQ(0, atomic_load(&all->twice));
	EXPECT_EQ(0, atomic_load(&filtered->wrong));
	EXPECT_EQ(0, atomic_load(&filtered->twice));
	EXPECT_LT(0, atomic_load(&all->received));
	EXPECT_LT(0, atomic_load(&filtered->received));

	/* The kernel has counted, too. */
	EXPECT_EQ(posted, fdinfo_number(all->q.rd, "posted"));
	EXPECT_EQ(0, fdinfo_number(all->q.rd, "filtered"));
	EXPECT_EQ(atomic_load(&all->lost), fdinfo_number(all->q.rd, "lost"));
	EXPECT_EQ(atomic_load(&shared->unwanted),
		  fdinfo_number(filtered->q.rd, "filtered"));
	EXPECT_EQ(atomic_load(&filtered->lost),
		  fdinfo_number(filtered->q.rd, "lost"));
	EXPECT_EQ(atomic_load(&filtered->received),
		  fdinfo_number(filtered->q.rd, "delivered"));
}

TEST_HARNESS_MAIN
