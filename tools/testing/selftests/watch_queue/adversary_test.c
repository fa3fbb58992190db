// SPDX-License-Identifier: GPL-2.0
/*
 * A user without privileges keeps others waiting as well as one can: by mounts,
 * namespaces, queues of all sizes, watches, keys and processes, as many as the
 * limits allow, ended at any moment.  Meanwhile another process looks at a file
 * every millisecond.  The same is done without notifications in turn: that much the
 * user costs others in any case.
 *
 * environment: ADVERSARY_SECONDS, how long notifications are used; 3 if it is not
 * set.  Without them it takes as long, but a minute at most.  With
 * ADVERSARY_STRICT=1 a look must never come later than without notifications by
 * more than a tick, nor more often; before that is said, there are more rounds
 * without.  That asks for a guest whose clock counts instructions: on others it
 * depends on what else the host does.
 */

#include "fdinfo.h"
#include "sources.h"

#include <linux/mount.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define MOUNT		WATCH_TYPE_MOUNT_NOTIFY
#define USER		4242
#define WORKERS		4
#define ROUNDS		3
#define MORE_ROUNDS	9
#define PROCESSES	48
#define FILES		16384
#define MILLISECOND	1000000L

enum phase {
	WITHOUT,
	WITH,
	NR_PHASES
};

/* Events that every run has to see, or there was no danger in it */
enum happening {
	STACKS_DETACHED,
	TREES_COPIED,
	QUEUES_SIZED,
	SIZES_REFUSED,
	FILTERS_SET,
	MOUNTS_WATCHED,
	KEYS_WATCHED,
	MESSAGES_READ,
	LOSSES_READ,
	READ_BY_OTHERS,
	KILLED,
	NR_HAPPENINGS
};

static const char * const happenings[NR_HAPPENINGS] = {
	"stacks detached", "trees copied", "queues sized", "sizes refused", "filters set",
	"mounts watched", "keys watched", "messages read", "losses read", "read by others",
	"killed",
};

/* The looks of the other one */
struct looks {
	long number;
	long worst;	/* how late, in nanoseconds */
	long late;	/* in all, of those that were by more than two ticks */
	long took;
};

static struct {
	atomic_int phase;
	atomic_int stop;
	atomic_int wrong;	/* bytes that are no messages */
	atomic_long happened[NR_HAPPENINGS];
	struct looks looks[NR_PHASES][ROUNDS + MORE_ROUNDS];
} *shared;

static void happens(enum happening happening)
{
	shared->happened[happening]++;
}

static int notifies(void)
{
	return shared->phase == WITH;
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MILLISECOND + t.tv_nsec;
}

static long tick(void)
{
	struct timespec t;

	clock_getres(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_nsec;
}

static unsigned int state;

static unsigned int any(unsigned int below)
{
	/* xorshift */
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % below;
}

/* A process that does something else than the one it was, and does not wait forever */
static void begin(void)
{
	state += getpid();
	alarm(2);
}

/* Small ones as often as large ones */
static unsigned int any_size(unsigned int bits)
{
	return 1 + any(1 << any(bits + 1));
}

/* A queue; an ordinary pipe where there are no notifications */
static int make_queue(struct queue *q)
{
	int fds[2];

	if (notifies())
		return open_queue(q, O_NONBLOCK);
	if (pipe2(fds, O_NONBLOCK))
		return -1;
	q->rd = fds[0];
	q->wr = fds[1];
	return 0;
}

static void size_queue(const struct queue *q)
{
	unsigned long size = any(8) ? any_size(14) : any(2) ? 1UL << 24 : -1UL;

	if (!notifies())
		fcntl(q->rd, F_SETPIPE_SZ, size * 128);
	else if (set_size(q, size) == 0)
		happens(QUEUES_SIZED);
	else if (errno != EBUSY)
		happens(SIZES_REFUSED);
}

static void filter_queue(const struct queue *q)
{
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rules[16];
	} f = { .head.nr_filters = 1 + any(16) };
	unsigned int i;

	for (i = 0; i < f.head.nr_filters; i++) {
		f.rules[i].type = any(8);
		f.rules[i].subtype_filter[0] = ~0U << any(4);
	}
	if (notifies() && ioctl(q->rd, IOC_WATCH_QUEUE_SET_FILTER, any(4) ? &f : NULL) == 0)
		happens(FILTERS_SET);
}

static void watch_mount(const struct queue *q, int fd, unsigned int flags)
{
	if (notifies() && add_watch(q->rd, MOUNT, fd, flags) == 0)
		happens(MOUNTS_WATCHED);
}

/* Read what there is; it has to be whole messages. */
static ssize_t read_queue(const struct queue *q)
{
	static unsigned char buffer[16384];
	ssize_t bytes, at, length;

	bytes = read(q->rd, buffer, 128 + any(sizeof(buffer) - 128));
	if (bytes <= 0 || !notifies())
		return bytes;
	for (at = 0; at < bytes; at += length) {
		length = bytes - at < HEADER ? 0 : length_of(buffer + at);
		if (length < HEADER || length > bytes - at) {
			shared->wrong++;
			return -1;
		}
		happens(is_loss(buffer + at) ? LOSSES_READ : MESSAGES_READ);
	}
	return bytes;
}

static void end_queue(struct queue *q)
{
	if (any(2)) {
		close(q->rd);
		close(q->wr);
	} else {
		close(q->wr);
		read_queue(q);
		close(q->rd);
	}
}

static int own_namespace(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) ||
		write_to("/proc/self/uid_map", "0 %d 1", USER) ||
		write_to("/proc/self/setgroups", "deny") ||
		write_to("/proc/self/gid_map", "0 %d 1", USER) ||
		mount("none", "/tmp", "tmpfs", 0, NULL) || mkdir("/tmp/a", 0755);
}

/* How many mounts at a time */
static unsigned int mounts_bits;

/* Mounts on top of each other, and watches on each */
static void attack_by_stacks(void)
{
	unsigned int mounts = any(2) ? 1 << mounts_bits : any_size(mounts_bits);
	unsigned int queues = any_size(4), i, j;
	struct queue q[16];

	if (own_namespace())
		return;
	for (j = 0; j < queues; j++) {
		if (make_queue(&q[j]))
			return;
		size_queue(&q[j]);
	}
	for (i = 0; i < mounts && !shared->stop; i++) {
		int fd;

		if (mount("/tmp/a", "/tmp/a", NULL, MS_BIND, NULL))
			return;
		fd = open("/tmp/a", O_PATH);
		for (j = 0; j < queues; j++)
			watch_mount(&q[j], fd, any(2) ? WATCH_MOUNT_SUBTREE : 0);
		close(fd);
	}
	if (umount2("/tmp", MNT_DETACH) == 0)
		happens(STACKS_DETACHED);
	for (j = 0; j < queues; j++)
		end_queue(&q[j]);
}

/* A tree that is copied into itself, shared, changed and moved */
static void attack_by_trees(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };
	int doublings = any(mounts_bits), i, fd;
	struct queue q;
	char path[32];

	if (own_namespace() || make_queue(&q))
		return;
	size_queue(&q);
	filter_queue(&q);
	fd = open("/proc/self/ns/mnt", O_RDONLY);
	watch_mount(&q, fd, 0);
	close(fd);
	if (any(2))
		mount(NULL, "/tmp", NULL, MS_SHARED, NULL);
	mount("none", "/tmp/a", "tmpfs", 0, NULL);
	for (i = 0; i < doublings && !shared->stop; i++) {
		snprintf(path, sizeof(path), "/tmp/a/%d", i);
		if (mkdir(path, 0755) || mount("/tmp/a", path, NULL, MS_BIND | MS_REC, NULL))
			break;
		fd = open(path, O_PATH);
		watch_mount(&q, fd, WATCH_MOUNT_SUBTREE);
		close(fd);
		happens(TREES_COPIED);
	}
	syscall(SYS_mount_setattr, AT_FDCWD, "/tmp/a", AT_RECURSIVE, &attr, sizeof(attr));
	if (mkdir("/tmp/b", 0755) == 0)
		mount("/tmp/a", "/tmp/b", NULL, MS_MOVE, NULL);
	read_queue(&q);
	umount2("/tmp", MNT_DETACH);
	end_queue(&q);
}

/* Queues, of which others have the descriptors */
static void attack_by_queues(void)
{
	unsigned int queues = any_size(5), others = any(6), i;
	struct queue q[32];

	for (i = 0; i < queues; i++) {
		if (make_queue(&q[i]))
			return;
	}
	/* Each does the same, and ends when it likes. */
	while (others-- > 0 && fork() != 0)
		;
	begin();
	for (i = 0; i < 4 * queues && !shared->stop; i++) {
		struct queue *one = &q[any(queues)];
		char path[32];
		int fd;

		size_queue(one);
		filter_queue(one);
		read_queue(one);
		if (notifies()) {
			fdinfo_number(one->rd, "posted");
			snprintf(path, sizeof(path), "/proc/self/fd/%d", one->rd);
			fd = open(path, any(2) ? O_RDONLY | O_NONBLOCK : O_PATH);
			add_watch(one->rd, 1 + any(8), any(2) ? fd : -1, any(4));
			if (!any(8))
				ioctl(one->wr, PIPE_IOC_SYNC);
			close(fd);
		}
	}
	for (i = 0; i < queues; i++)
		end_queue(&q[i]);
}

/* A keyring that is changed faster than anybody reads */
static void attack_by_keys(void)
{
	unsigned int queues = any_size(4), times = any_size(12), i;
	key_serial_t ring = new_ring();
	struct queue q[16];
	pid_t other;

	for (i = 0; i < queues; i++) {
		if (make_queue(&q[i]))
			return;
		size_queue(&q[i]);
		if (notifies() && keyctl_watch_key(ring, q[i].rd, i) == 0)
			happens(KEYS_WATCHED);
	}
	other = fork();
	begin();
	for (i = 0; i < times && !shared->stop; i++) {
		if (other == 0) {
			if (read_queue(&q[any(queues)]) > 0 && notifies())
				happens(READ_BY_OTHERS);
			else
				usleep(100);
		} else {
			keyctl_setperm(ring, KEY_POS_ALL | KEY_USR_ALL);
		}
	}
	if (any(2))
		keyctl_revoke(ring);
	for (i = 0; i < queues; i++)
		end_queue(&q[i]);
}

static void (* const attacks[])(void) = {
	attack_by_stacks, attack_by_trees, attack_by_queues, attack_by_keys,
};

static void become_the_user(void)
{
	struct rlimit processes = { PROCESSES, PROCESSES }, files = { FILES, FILES };

	if (setrlimit(RLIMIT_NPROC, &processes) || setrlimit(RLIMIT_NOFILE, &files) ||
	    setresgid(USER, USER, USER) || setresuid(USER, USER, USER) ||
	    prctl(PR_SET_DUMPABLE, 1))
		_exit(1);
}

/* Attack in all ways, each in a process of its own, which may not get to its end. */
static void attack(unsigned int seed)
{
	state = seed;
	/* Nobody waits for those who are left behind. */
	signal(SIGCHLD, SIG_IGN);
	while (!shared->stop) {
		unsigned int way = any(ARRAY_SIZE(attacks)), patience = any(4) ? 0 : any(30000);
		unsigned int next = any(~0U);
		pid_t pid = fork();

		if (pid == -1) {
			usleep(1000);
		} else if (pid == 0) {
			signal(SIGCHLD, SIG_DFL);
			state = next;
			begin();
			attacks[way]();
			_exit(0);
		} else if (patience) {
			usleep(patience);
			if (kill(pid, SIGKILL) == 0)
				happens(KILLED);
		} else {
			waitpid(pid, NULL, 0);
		}
	}
	_exit(0);
}

/* Kill all processes of the user, whatever they are at. */
static void kill_all(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (setresuid(USER, USER, USER) == 0)
			kill(-1, SIGKILL);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

/* The same, until this process has no others, of which it is the reaper */
static int end_all(void)
{
	int i;

	for (i = 0; i < 3000; i++) {
		kill_all();
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) == -1)
			return 0;
		usleep(10000);
	}
	return -1;
}

/* Look at a file every millisecond, before anybody else. */
static void look(struct looks *looks)
{
	struct sched_param param = { .sched_priority = 50 };
	struct timespec a_millisecond = { .tv_nsec = MILLISECOND };
	long start = now(), two_ticks = 2 * tick();
	struct stat buf;

	if (sched_setscheduler(0, SCHED_FIFO, &param))
		_exit(1);
	while (!shared->stop) {
		long due = now() + MILLISECOND, late;

		nanosleep(&a_millisecond, NULL);
		stat("/proc/version", &buf);
		late = now() - due;
		looks->number++;
		if (late > looks->worst)
			looks->worst = late;
		if (late > two_ticks)
			looks->late += late;
	}
	looks->took = now() - start;
	_exit(0);
}

static int run_phase(enum phase phase, struct looks *looks, int seconds)
{
	pid_t looker;
	int i, status;

	/* Those whose parents are gone end here as well. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return -1;
	shared->phase = phase;
	shared->stop = 0;
	looker = fork();
	if (looker == 0)
		look(looks);
	for (i = 0; i < WORKERS; i++) {
		if (fork() == 0) {
			become_the_user();
			attack(4711 + WORKERS * (looks - shared->looks[phase]) + i);
		}
	}
	sleep(seconds);
	shared->stop = 1;
	if (waitpid(looker, &status, 0) != looker)
		return -1;
	return end_all() ? -1 : status;
}

FIXTURE(adversary)
{
	int seconds;
	int is_strict;
};

FIXTURE_SETUP(adversary)
{
	const char *seconds = getenv("ADVERSARY_SECONDS");

	self->seconds = seconds ? atoi(seconds) : 3;
	self->is_strict = !!getenv("ADVERSARY_STRICT");
	mounts_bits = self->seconds > 60 ? 12 : self->is_strict ? 10 : 8;
	if (!has_source(MOUNT) || access("/proc/sys/user/max_user_namespaces", F_OK))
		SKIP(return, "no mount notifications or user namespaces in this kernel");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
}

FIXTURE_TEARDOWN_PARENT(adversary)
{
	kill_all();
	write_to("/proc/sys/fs/pipe-user-pages-hard", "0");
}

/* As many watches as a user can have who has none, in a process of that user */
static int can_watch(int watches)
{
	struct rlimit limit = { watches, watches };
	int status, i;
	pid_t pid = fork();

	if (pid == 0) {
		key_serial_t session;
		struct queue q;

		become_the_user();
		session = keyctl_join_session_keyring(NULL);
		if (session == -1 || open_queue(&q, 0) || setrlimit(RLIMIT_NOFILE, &limit))
			_exit(1);
		for (i = 0; i < watches; i++) {
			char name[16];
			key_serial_t ring;

			snprintf(name, sizeof(name), "%d", i);
			ring = add_key("keyring", name, NULL, 0, session);
			if (ring == -1 || keyctl_watch_key(ring, q.rd, i))
				_exit(1);
		}
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* A queue that takes as many pages as the user may have, in a process of that user */
static int can_have_all_pages(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct queue q;

		become_the_user();
		_exit(open_queue(&q, 0) || set_size(&q, 512));
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static int all_has_happened(void)
{
	int i;

	for (i = 0; i < NR_HAPPENINGS; i++) {
		if (!shared->happened[i])
			return 0;
	}
	return 1;
}

TEST_F_TIMEOUT(adversary, nobody_waits_and_nothing_is_left, 7200)
{
	int round_seconds = (self->seconds + ROUNDS - 1) / ROUNDS;
	double least[NR_PHASES] = { 1, 1 };
	long worst[NR_PHASES] = { 0 };
	int i;

	for (i = 0; i < NR_PHASES * ROUNDS; i++) {
		enum phase phase = i % NR_PHASES;
		struct looks *looks = &shared->looks[phase][i / NR_PHASES];
		int seconds = round_seconds;
		double share;

		if (phase == WITHOUT && seconds > 20)
			seconds = 20;
		ASSERT_EQ(0, run_phase(phase, looks, seconds));
		ASSERT_LT(0, looks->number);
		share = (double)looks->late / looks->took;
		TH_LOG("%s: %ld looks, the worst %ld us late, late %.1f %% of the time",
		       phase == WITH ? "with notifications" : "without", looks->number,
		       looks->worst / 1000, 100 * share);
		if (share < least[phase])
			least[phase] = share;
		if (looks->worst > worst[phase])
			worst[phase] = looks->worst;
	}
	/* Where a machine is slow, few attacks get to their end: they have more and more time. */
	for (i = ROUNDS; i < ROUNDS + MORE_ROUNDS && !all_has_happened(); i++)
		ASSERT_EQ(0, run_phase(WITH, &shared->looks[WITH][i],
				       round_seconds << (i - ROUNDS)));
	for (i = 0; i < NR_HAPPENINGS; i++) {
		TH_LOG("%s: %ld", happenings[i], (long)shared->happened[i]);
		EXPECT_LT(0, (long)shared->happened[i]);
	}
	EXPECT_EQ(0, (int)shared->wrong);

	/* The host may be busy otherwise, but not each time with notifications alone. */
	EXPECT_LT(least[WITH], least[WITHOUT] + (self->is_strict ? 0.01 : 0.2));
	/*
	 * How long the longest of a few waits is, is a matter of chance: one stack of
	 * many mounts may be all that it takes.  So the user has more time to keep
	 * others waiting as long without notifications.
	 */
	for (i = ROUNDS; i < ROUNDS + MORE_ROUNDS && self->is_strict &&
	     worst[WITH] > worst[WITHOUT] + tick(); i++) {
		struct looks *looks = &shared->looks[WITHOUT][i];

		ASSERT_EQ(0, run_phase(WITHOUT, looks, round_seconds));
		TH_LOG("without, again: the worst %ld us late", looks->worst / 1000);
		if (looks->worst > worst[WITHOUT])
			worst[WITHOUT] = looks->worst;
	}
	if (self->is_strict)
		EXPECT_LE(worst[WITH], worst[WITHOUT] + tick());

	/* 16 pages of messages and two of losses */
	ASSERT_EQ(0, write_to("/proc/sys/fs/pipe-user-pages-hard", "18"));
	EXPECT_SOON(can_have_all_pages());
	EXPECT_SOON(can_watch(64));
}

TEST_HARNESS_MAIN
