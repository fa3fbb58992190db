// SPDX-License-Identifier: GPL-2.0
/*
 * Torture: workers that share all files do anything to a few queues and objects
 * at any time.  What they do at the same time to the same queue is counted for
 * each two operations, and each two have to have met.  Nothing may return what it
 * should not, no message may be damaged, and nothing may be left at the end.
 *
 * It runs for SECONDS of the environment, 10 if there is none, and as long as it
 * takes until all have met, within limits.
 */

#include "sources.h"
#include "source.h"
#include "fdinfo.h"

#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#define NR_WORKERS	8

/* A queue and an object each, in file descriptors that stay the same */
#define NR_PLACES	3
#define READ_END(place)		(200 + (place))
#define WRITE_END(place)	(210 + (place))
#define OBJECT(place)		(220 + (place))

/* The user as whom half of the workers run */
#define USER		4242

#define MOUNTED		"/tmp/torture_test"

/* How many watches a user may have in the first user namespace, if that is counted */
#define WATCH_LIMIT	"/proc/sys/user/max_watch_queue_watches"

enum op {
	OPEN_QUEUE,		/* closes the one before */
	OPEN_OBJECT,		/* the one before dies */
	REOPEN,
	DUPLICATE,
	SIZE,
	FILTER,
	SEAL,
	ATTACH,
	DETACH,
	DETACH_ALL,
	POST,
	READ,
	READ_VECTOR,
	READ_AND_DIE,
	SYNC_AND_DIE,
	POLL,
	EPOLL,
	FIONREAD_AND_FDINFO,
	SPLICE,
	ASYNC,
	KEY,
	NR_MEETING,		/* the others need not meet anything */
	MOUNT = NR_MEETING,
	NR_OPS
};

static const char * const op_names[NR_OPS] = {
	"open queue", "open object", "reopen", "duplicate", "size", "filter", "seal",
	"attach", "detach", "detach all", "post", "read", "readv", "read and die",
	"sync and die", "poll", "epoll", "fdinfo", "splice", "async", "key", "mount",
};

/* The results of an operation that meets another */
enum outcome {
	ATTACHED,
	ATTACHED_TWICE,
	ATTACHED_TOO_LATE,
	DETACHED,
	DETACHED_ALREADY,
	SIZED,
	SIZED_ALREADY,
	REFUSED_AS_SEALED,
	NOT_OPEN_FOR_THAT,
	OPENED_TOO_LATE,
	MESSAGES_READ,
	LOSSES_READ,
	REMOVALS_READ,
	NOTHING_TO_READ,
	TOO_LITTLE_ROOM,
	END_OF_FILE,
	READERS_KILLED,
	SYNCED,
	SYNCS_KILLED,
	POLLED_READABLE,
	POLLED_HANG_UP,
	SIGNALLED,
	REJECTED_BY_FILTER,
	CLOSED_WITH_WATCHES,
	KEYS_DIED,
	MOUNTS_DIED,
	NR_OUTCOMES
};

static const char * const outcome_names[NR_OUTCOMES] = {
	"attached", "attached twice", "attached too late", "detached",
	"detached already", "sized", "sized already", "refused as sealed",
	"not open for that", "opened too late", "messages read", "losses read",
	"removals read", "nothing to read", "too little room", "end of file",
	"readers killed", "synced", "syncs killed", "polled readable",
	"polled hang-up", "signalled", "rejected by filter", "closed with watches",
	"keys died", "mounts died",
};

static struct {
	atomic_int stop;
	/* The place at which most are, for a while */
	atomic_int focus;
	atomic_int busy[NR_PLACES][NR_OPS];
	atomic_long met[NR_OPS][NR_OPS];
	atomic_long done[NR_OPS];
	atomic_long happened[NR_OUTCOMES];
	atomic_int doing[NR_WORKERS];
	int has_mounts;
	char failure[128];
} *shared;

static unsigned int seed;

static unsigned int any(unsigned int limit)
{
	return rand_r(&seed) % limit;
}

static void happens(enum outcome outcome)
{
	shared->happened[outcome]++;
}

/* The first failure ends it all. */
static void fail(const char *what, long result)
{
	int error = errno;

	if (!shared->stop)
		snprintf(shared->failure, sizeof(shared->failure), "%s: %ld, %s", what, result,
			 result == -1 ? strerror(error) : "no error");
	shared->stop = 1;
}

static void begin(int place, enum op op)
{
	int other;

	for (other = 0; other < NR_OPS; other++) {
		if (!shared->busy[place][other])
			continue;
		shared->met[op][other]++;
		if (other != op)
			shared->met[other][op]++;
	}
	shared->busy[place][op]++;
}

static void end(int place, enum op op)
{
	shared->busy[place][op]--;
	shared->done[op]++;
}

/* Whether a call succeeded.  It may fail with any of these, and as this is the other end. */
static int succeeds(const char *what, long result, int error1, int error2)
{
	if (result != -1)
		return 1;
	if (errno == EBADF)
		happens(NOT_OPEN_FOR_THAT);
	else if (errno != error1 && errno != error2)
		fail(what, result);
	return 0;
}

/* Have a file descriptor be another file, and so close what it was. */
static void become(int fd, int is)
{
	if (dup3(fd, is, O_CLOEXEC) == -1 && errno != EBUSY)
		fail("dup3", -1);
	close(fd);
}

static void open_a_queue(int place)
{
	struct queue q;

	if (fdinfo_nth(READ_END(place), "watch", 0))
		happens(CLOSED_WITH_WATCHES);
	if (fdinfo_number(READ_END(place), "filtered") > 0)
		happens(REJECTED_BY_FILTER);
	if (open_queue(&q, O_CLOEXEC | (any(8) ? O_NONBLOCK : 0))) {
		fail("pipe2", -1);
		return;
	}
	if (any(2) && set_size(&q, 1 + any(64)))
		fail("size of a new queue", -1);
	become(q.wr, WRITE_END(place));
	become(q.rd, READ_END(place));
}

static void open_an_object(int place)
{
	int fd = open_source();

	if (fd == -1)
		fail("open of an object", -1);
	else
		become(fd, OBJECT(place));
}

static void reopen(int place)
{
	int end = any(2) ? READ_END(place) : WRITE_END(place);
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", end);
	fd = open(path, (any(2) ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_CLOEXEC);
	if (fd != -1)
		become(fd, end);
	else if (errno == ENXIO || errno == ENOENT)
		happens(OPENED_TOO_LATE);
	else if (errno == EPERM)
		happens(REFUSED_AS_SEALED);
	else if (errno != EACCES)
		fail("reopen", -1);
}

static void duplicate(int place)
{
	int fd = dup(READ_END(place));

	if (fd == -1) {
		fail("dup", -1);
		return;
	}
	sched_yield();
	/* Into another place now and then */
	if (any(4) == 0)
		become(fd, READ_END(any(NR_PLACES)));
	else
		close(fd);
}

static void size(int place)
{
	long result = ioctl(any(2) ? READ_END(place) : WRITE_END(place),
			    IOC_WATCH_QUEUE_SET_SIZE, 1 + any(300));

	if (succeeds("size", result, EBUSY, EPERM))
		happens(SIZED);
	else if (errno == EBUSY)
		happens(SIZED_ALREADY);
	else if (errno == EPERM)
		happens(REFUSED_AS_SEALED);
}

static void filter(int place)
{
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rules[2];
	} rules = {
		.head.nr_filters = 1 + any(2),
		.rules[0].type = 5,
		.rules[1].type = 6,
	};
	long result;

	memset(rules.rules[0].subtype_filter, any(256), 32);
	memset(rules.rules[1].subtype_filter, 0xff, 32);
	result = ioctl(any(2) ? READ_END(place) : WRITE_END(place),
		       IOC_WATCH_QUEUE_SET_FILTER, any(3) ? &rules : NULL);
	if (!succeeds("filter", result, EPERM, 0) && errno == EPERM)
		happens(REFUSED_AS_SEALED);
}

static void seal(int place)
{
	int times;

	for (times = any(16); times >= 0; times--) {
		long result = ioctl(any(2) ? READ_END(place) : WRITE_END(place),
				    IOC_WATCH_QUEUE_SEAL);

		if (!succeeds("seal", result, EPERM, 0) && errno == EPERM)
			happens(REFUSED_AS_SEALED);
	}
}

/* An object, mostly the one that is at this place */
static int object(int place)
{
	return OBJECT(any(4) ? place : (int)any(NR_PLACES));
}

static int queue_to_watch(int place)
{
	return any(4) ? READ_END(place) : WRITE_END(place);
}

static void attach_it(int place)
{
	struct watch_source_watch watch = {
		.id = any(3), .fd = queue_to_watch(place), .tag = any(256),
	};
	long result = ioctl(object(place), WATCH_SOURCE_ATTACH, &watch);

	/* A watch counts until its grace period is over. */
	if (result == -1 && (errno == EAGAIN || errno == EINVAL || errno == EPERM))
		return;
	if (succeeds("attach", result, EBUSY, ENOENT))
		happens(ATTACHED);
	else if (errno == ENOENT)
		happens(ATTACHED_TOO_LATE);
	else if (errno == EBUSY)
		happens(ATTACHED_TWICE);
}

static void detach_it(int place)
{
	struct watch_source_watch watch = { .id = any(3), .fd = queue_to_watch(place) };
	/* The second looks at the first watch of the list before and after, under RCU. */
	long result = ioctl(object(place), any(2) ? WATCH_SOURCE_DETACH : WATCH_SOURCE_DETACH_SEEN,
			    &watch);

	/* That was another one. */
	if (result == -1 && errno == EILSEQ)
		result = 0;
	if (result == -1 && (errno == EINVAL || errno == EPERM))
		return;
	if (succeeds("detach", result, EBADSLT, 0))
		happens(DETACHED);
	else if (errno == EBADSLT)
		happens(DETACHED_ALREADY);
}

static void post_some_of(int place, unsigned int count)
{
	struct watch_source_post args = {
		.id = any(3),
		.type = 5 + any(3),
		.subtype = any(256),
		.length = 16 + any(112),
		.count = count,
		.context = any(WATCH_SOURCE_NR_CONTEXTS),
		.numbered = 1,
		.poster = any(1 << 30),
		.number = any(1 << 30),
	};

	if (args.context == WATCH_SOURCE_SWITCH)
		args.context = WATCH_SOURCE_PROCESS;
	succeeds("post", post(object(place), &args), 0, 0);
}

/* Account for what was read. */
static void see(const unsigned char *at, ssize_t bytes)
{
	for (; bytes > 0; bytes -= length_of(at), at += length_of(at)) {
		uint32_t words[4];
		int i;

		if (length_of(at) < HEADER || length_of(at) > bytes) {
			fail("a message is cut", length_of(at));
			return;
		}
		if (is_loss(at)) {
			happens(LOSSES_READ);
		} else if (is_removal(at)) {
			happens(REMOVALS_READ);
		} else if (type_of(at) >= 5 && type_of(at) <= 7 && length_of(at) >= 16) {
			memcpy(words, at, sizeof(words));
			for (i = 16; i < length_of(at); i++)
				if (at[i] != (unsigned char)(words[2] + words[3] + i))
					fail("a message is damaged", i);
			happens(MESSAGES_READ);
		} else if (type_of(at) != WATCH_TYPE_KEY_NOTIFY &&
			   type_of(at) != WATCH_TYPE_MOUNT_NOTIFY) {
			fail("a message is of no type", type_of(at));
		}
	}
}

static void has_read(const char *what, ssize_t bytes, const unsigned char *buffer)
{
	/* A file that was opened again knows of no RWF_NOWAIT. */
	if (bytes == -1 && (errno == EINTR || errno == EOPNOTSUPP))
		return;
	if (!succeeds(what, bytes, EAGAIN, ENOBUFS)) {
		if (errno == EAGAIN)
			happens(NOTHING_TO_READ);
		else if (errno == ENOBUFS)
			happens(TOO_LITTLE_ROOM);
	} else if (bytes == 0) {
		happens(END_OF_FILE);
	} else {
		see(buffer, bytes);
	}
}

static void read_it(int place)
{
	unsigned char buffer[4096];
	size_t room = 8 + any(any(2) ? 120 : sizeof(buffer) - 8);

	has_read("read", read(READ_END(place), buffer, room), buffer);
}

static void read_vector(int place)
{
	unsigned char buffer[2048];
	size_t first = 1 + any(200);
	struct iovec pieces[2] = {
		{ buffer, first }, { buffer + first, sizeof(buffer) - first },
	};

	has_read("readv", preadv2(READ_END(place), pieces, 2, -1, any(2) ? RWF_NOWAIT : 0),
		 buffer);
}

/* A child, which has all files, too, does something and is killed at it. */
static void and_die(int place, enum op op)
{
	unsigned char buffer[4096];
	int status, tries;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (op == READ_AND_DIE) {
			int flags = fcntl(READ_END(place), F_GETFL);

			fcntl(READ_END(place), F_SETFL, flags & ~O_NONBLOCK);
			has_read("read", read(READ_END(place), buffer, sizeof(buffer)), buffer);
		} else if (ioctl(READ_END(place), PIPE_IOC_SYNC) == 0) {
			happens(SYNCED);
		}
		_exit(0);
	}
	if (pid == -1) {
		fail("fork", -1);
		return;
	}
	for (tries = any(10); tries > 0; tries--) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return;
		usleep(1000);
	}
	kill(pid, SIGKILL);
	/* Others would wait, too. */
	if (op == READ_AND_DIE)
		fcntl(READ_END(place), F_SETFL, O_NONBLOCK);
	if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		happens(op == READ_AND_DIE ? READERS_KILLED : SYNCS_KILLED);
}

static void poll_it(int place)
{
	struct pollfd ends[2] = {
		{ .fd = READ_END(place), .events = POLLIN },
		{ .fd = WRITE_END(place), .events = POLLOUT },
	};

	if (poll(ends, 1 + any(2), any(5)) == -1 && errno != EINTR)
		fail("poll", -1);
	if (ends[0].revents & POLLIN)
		happens(POLLED_READABLE);
	if (ends[0].revents & POLLHUP)
		happens(POLLED_HANG_UP);
}

static void epoll_it(int place)
{
	struct epoll_event event = { .events = EPOLLIN | (any(2) ? EPOLLET : 0) };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd == -1) {
		fail("epoll_create1", -1);
		return;
	}
	if (succeeds("epoll_ctl", epoll_ctl(fd, EPOLL_CTL_ADD, READ_END(place), &event), 0, 0))
		epoll_wait(fd, &event, 1, any(5));
	close(fd);
}

static void look_at(int place)
{
	int bytes;

	succeeds("FIONREAD", ioctl(READ_END(place), FIONREAD, &bytes), 0, 0);
	fdinfo_number(READ_END(place), "size");
	if (fcntl(READ_END(place), F_SETPIPE_SZ, 8192) != -1)
		fail("F_SETPIPE_SZ", 0);
	fcntl(READ_END(place), F_GETPIPE_SZ);
}

static void splice_it(int place)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK)) {
		fail("pipe", -1);
		return;
	}
	if (write(fds[1], "0123456789abcdef", 16) != 16)
		fail("write to a pipe", -1);
	if (splice(READ_END(place), NULL, fds[1], NULL, 100, SPLICE_F_NONBLOCK) != -1 ||
	    splice(fds[0], NULL, WRITE_END(place), NULL, 16, SPLICE_F_NONBLOCK) != -1 ||
	    tee(READ_END(place), fds[1], 100, SPLICE_F_NONBLOCK) != -1 ||
	    write(WRITE_END(place), "x", 1) != -1)
		fail("splice", 0);
	close(fds[0]);
	close(fds[1]);
}

static void count_signal(int number)
{
	(void)number;
	happens(SIGNALLED);
}

static void async(int place)
{
	int end = any(4) ? READ_END(place) : WRITE_END(place);
	int flags = fcntl(end, F_GETFL);

	if (flags == -1)
		return;
	succeeds("F_SETOWN", fcntl(end, F_SETOWN, getpid()), 0, 0);
	succeeds("F_SETFL", fcntl(end, F_SETFL, flags ^ O_ASYNC), 0, 0);
}

static void key(int place)
{
	key_serial_t key = add_key("user", "tortured", "x", 1, KEY_SPEC_PROCESS_KEYRING);

	if (key == -1) {
		/* The quota is freed when the dead are collected. */
		if (errno != EDQUOT)
			fail("add_key", -1);
		return;
	}
	/* Another worker may have sealed the queue, or closed it. */
	if (keyctl_watch_key(key, READ_END(place), any(255)) == -1 && errno != EPERM &&
	    errno != EINVAL && errno != ENOENT && errno != EAGAIN)
		fail("keyctl_watch_key", -1);
	keyctl_update(key, "y", 1);
	keyctl_revoke(key);
	keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING);
	happens(KEYS_DIED);
}

static void mount_it(int place, int worker)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), MOUNTED "/%d", worker);
	if (mount("none", path, "tmpfs", 0, NULL)) {
		fail("mount", -1);
		return;
	}
	fd = open(path, O_PATH | O_CLOEXEC);
	if (add_watch(READ_END(place), WATCH_TYPE_MOUNT_NOTIFY, fd, WATCH_MOUNT_SUBTREE) == -1 &&
	    errno != EBADF && errno != EPERM && errno != ENOENT && errno != EAGAIN)
		fail("add a watch on a mount", -1);
	if (any(4) == 0)
		remove_watch(READ_END(place), WATCH_TYPE_MOUNT_NOTIFY, fd, WATCH_MOUNT_SUBTREE);
	if (umount2(path, MNT_DETACH))
		fail("umount", -1);
	close(fd);
	happens(MOUNTS_DIED);
}

static void carry_out(enum op op, int place, int worker)
{
	switch (op) {
	case OPEN_QUEUE:
		open_a_queue(place);
		break;
	case OPEN_OBJECT:
		open_an_object(place);
		break;
	case REOPEN:
		reopen(place);
		break;
	case DUPLICATE:
		duplicate(place);
		break;
	case SIZE:
		size(place);
		break;
	case FILTER:
		filter(place);
		break;
	case SEAL:
		/* The read end of a sealed queue refuses changes, so few are sealed. */
		if (any(4) == 0)
			seal(place);
		break;
	case ATTACH:
		attach_it(place);
		break;
	case DETACH:
		detach_it(place);
		break;
	case DETACH_ALL:
		succeeds("detach all", detach_all(OBJECT(place), any(3)), EBADSLT, 0);
		break;
	case POST:
		post_some_of(place, 1 + any(40));
		break;
	case READ:
		read_it(place);
		break;
	case READ_VECTOR:
		read_vector(place);
		break;
	case READ_AND_DIE:
	case SYNC_AND_DIE:
		and_die(place, op);
		break;
	case POLL:
		poll_it(place);
		break;
	case EPOLL:
		epoll_it(place);
		break;
	case FIONREAD_AND_FDINFO:
		look_at(place);
		break;
	case SPLICE:
		splice_it(place);
		break;
	case ASYNC:
		async(place);
		break;
	case KEY:
		key(place);
		break;
	case MOUNT:
		mount_it(place, worker);
		break;
	default:
		break;
	}
}

static void run_worker(int worker)
{
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART };

	sigaction(SIGIO, &action, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed = getpid() * 2654435769U ^ time(NULL);
	if (worker % 2 && setresuid(USER, USER, USER)) {
		fail("setresuid", -1);
		return;
	}
	while (!shared->stop) {
		int can_mount = shared->has_mounts && worker % 2 == 0;
		/* Those that make the others rare are rare themselves. */
		enum op op = any(2) ? ATTACH + any(READ_VECTOR - ATTACH + 1) :
				      any(can_mount ? NR_OPS : NR_MEETING);
		int place = any(4) ? shared->focus : (int)any(NR_PLACES);

		shared->doing[worker] = op;
		begin(place, op);
		/* So that short ones meet, too */
		if (any(4) == 0)
			sched_yield();
		carry_out(op, place, worker);
		end(place, op);
	}
	shared->doing[worker] = -1;
}

/* As fork(), but with shared files */
static pid_t start_worker(int worker)
{
	struct clone_args args = { .flags = CLONE_FILES, .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0) {
		run_worker(worker);
		_exit(0);
	}
	return pid;
}

/*
 * Another delay of what is traced, under the locks and between the watches of a
 * post, so that others get there; now and then none, as it goes another way then.
 */
static void change_delay(void)
{
	static const char * const delays[] = { "0", "20", "100" };

	write_file("/sys/module/watch_pause/parameters/delay", delays[any(ARRAY_SIZE(delays))]);
}

/* Whoever waits in a read needs something to read, or the end of the file. */
static void keep_going(void)
{
	int place;

	for (place = 0; place < NR_PLACES; place++) {
		post_some_of(place, 1);
		open_a_queue(place);
	}
}

/* Each has to be seen, but for what takes luck, and what this kernel has not. */
static int must_happen(enum outcome outcome)
{
	return outcome != OPENED_TOO_LATE && outcome != ATTACHED_TOO_LATE &&
	       (outcome != MOUNTS_DIED || shared->has_mounts);
}

/* Returns how many operations have not met each other, or had no such outcome */
static int count_missing(struct __test_metadata *_metadata)
{
	int op, other, outcome, missing = 0;

	for (op = 0; op < NR_MEETING; op++) {
		for (other = op; other < NR_MEETING; other++) {
			if (shared->met[op][other])
				continue;
			missing++;
			if (_metadata)
				TH_LOG("%s and %s did not meet", op_names[op], op_names[other]);
		}
	}
	for (outcome = 0; outcome < NR_OUTCOMES; outcome++) {
		if (shared->happened[outcome] || !must_happen(outcome))
			continue;
		missing++;
		if (_metadata)
			TH_LOG("%s: never", outcome_names[outcome]);
	}
	return missing;
}

static long count_done(void)
{
	long done = 0;
	int op;

	for (op = 0; op < NR_OPS; op++)
		done += shared->done[op];
	return done;
}

static void report(struct __test_metadata *_metadata)
{
	long least = -1;
	int op, other, outcome;

	for (op = 0; op < NR_OPS; op++)
		if (op != MOUNT || shared->has_mounts)
			TH_LOG("%s: %ld times", op_names[op], atomic_load(&shared->done[op]));
	for (outcome = 0; outcome < NR_OUTCOMES; outcome++)
		TH_LOG("%s: %ld", outcome_names[outcome],
		       atomic_load(&shared->happened[outcome]));
	for (op = 0; op < NR_MEETING; op++)
		for (other = op; other < NR_MEETING; other++)
			if (least == -1 || shared->met[op][other] < least)
				least = shared->met[op][other];
	TH_LOG("each two of %d operations met %ld times or more", NR_MEETING, least);
}

/* The first number of a file, or -1 */
static long first_number(const char *path)
{
	FILE *file = fopen(path, "r");
	long value = -1;

	if (file) {
		if (fscanf(file, "%ld", &value) != 1)
			value = -1;
		fclose(file);
	}
	return value;
}

static long count_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	long lines = 0;
	int c;

	if (!file)
		return -1;
	while ((c = fgetc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

/*
 * Whether nothing that this user had is counted any more, of watches and of pages.  By
 * either count of watches, one more is as many as there may be.
 */
static int has_nothing_left(uid_t user)
{
	long limit = first_number(WATCH_LIMIT);
	char text[32];
	int status;
	pid_t pid;

	if (limit != -1 && write_file(WATCH_LIMIT, "1"))
		return 0;
	pid = fork();
	if (pid == 0) {
		struct rlimit one = { .rlim_cur = 1, .rlim_max = 1 };
		int object = open_source();
		struct queue q;

		/* One watch may be there, and so many pages: 16 of messages, two of losses */
		if (object == -1 || setresuid(user, user, user) || open_queue(&q, 0) ||
		    (user && set_size(&q, 512)) || setrlimit(RLIMIT_NOFILE, &one))
			_exit(1);
		_exit(ioctl(object, WATCH_SOURCE_ATTACH,
			    &(struct watch_source_watch){ .fd = q.rd }) != 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		status = -1;
	snprintf(text, sizeof(text), "%ld", limit);
	if (limit != -1 && write_file(WATCH_LIMIT, text))
		return 0;
	return status == 0;
}

static long taint(void)
{
	return first_number("/proc/sys/kernel/tainted");
}

static long open_files(void)
{
	return first_number("/proc/sys/fs/file-nr");
}

static long mounts(void)
{
	return count_lines("/proc/self/mountinfo");
}

FIXTURE(torture)
{
	long tainted;
	long files;
	long mounts;
};

FIXTURE_SETUP(torture)
{
	struct rlimit many = { .rlim_cur = 1 << 20, .rlim_max = 1 << 20 };
	int fd = open_source(), i;
	char path[64];

	if (fd == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	close(fd);
	/* A detached watch counts until its grace period is over. */
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &many));
	ASSERT_EQ(0, chmod("/dev/watch_source", 0666));
	self->tainted = taint();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	shared->has_mounts = has_source(WATCH_TYPE_MOUNT_NOTIFY);
	ASSERT_EQ(0, own_mounts(MOUNTED));
	for (i = 0; i < NR_WORKERS; i++) {
		snprintf(path, sizeof(path), MOUNTED "/%d", i);
		ASSERT_EQ(0, mkdir(path, 0755) && errno != EEXIST);
	}
}

FIXTURE_TEARDOWN_PARENT(torture)
{
	write_file("/proc/sys/fs/pipe-user-pages-hard", "0");
	write_file("/sys/module/watch_pause/parameters/delay", "0");
	chmod("/dev/watch_source", 0600);
}

TEST_F_TIMEOUT(torture, everything_at_once_to_the_same_few, 24 * 3600)
{
	const char *given = getenv("SECONDS");
	int seconds = given ? atoi(given) : 10, place, i, left;
	pid_t workers[NR_WORKERS];
	time_t begin = time(NULL), next_report = begin + 60;

	seed = getpid();
	EXPECT_SOON(has_nothing_left(0));
	self->files = open_files();
	self->mounts = mounts();
	for (place = 0; place < NR_PLACES; place++) {
		open_an_object(place);
		open_a_queue(place);
	}
	ASSERT_EQ(0, atomic_load(&shared->stop));
	for (i = 0; i < NR_WORKERS; i++) {
		workers[i] = start_worker(i);
		ASSERT_LT(0, workers[i]);
	}
	while (!shared->stop && (time(NULL) - begin < seconds ||
				 (count_missing(NULL) && time(NULL) - begin < seconds + 300))) {
		usleep(50000);
		keep_going();
		shared->focus = any(NR_PLACES);
		if (!any(20))
			change_delay();
		if (time(NULL) < next_report)
			continue;
		next_report += 60;
		TH_LOG("%ld operations so far, %d were not seen to meet or happen",
		       count_done(), count_missing(NULL));
	}
	if (!shared->stop)
		report(_metadata);
	shared->stop = 1;

	/* They end what they are at, for which there must be somebody to wake them. */
	for (left = NR_WORKERS, i = 0; left && i < 600; i++) {
		int worker;

		for (worker = 0; worker < NR_WORKERS; worker++) {
			int status;

			if (!workers[worker] ||
			    waitpid(workers[worker], &status, WNOHANG) != workers[worker])
				continue;
			EXPECT_EQ(0, status);
			workers[worker] = 0;
			left--;
		}
		for (place = 0; place < NR_PLACES; place++) {
			close(WRITE_END(place));
			close(READ_END(place));
			close(OBJECT(place));
		}
		usleep(100000);
	}
	for (i = 0; i < NR_WORKERS; i++)
		if (workers[i])
			TH_LOG("worker %d is stuck at %s", i, op_names[shared->doing[i]]);
	EXPECT_EQ(0, left);
	EXPECT_STREQ("", shared->failure);
	EXPECT_EQ(0, count_missing(_metadata));

	/* All is as it was. */
	EXPECT_SOON(has_nothing_left(0));
	ASSERT_EQ(0, write_file("/proc/sys/fs/pipe-user-pages-hard", "18"));
	EXPECT_SOON(has_nothing_left(USER));
	EXPECT_LT(0, self->files);
	EXPECT_SOON(open_files() <= self->files);
	EXPECT_EQ(self->mounts, mounts());
	EXPECT_EQ(self->tainted, taint());
}

TEST_HARNESS_MAIN
