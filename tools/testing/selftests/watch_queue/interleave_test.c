// SPDX-License-Identifier: GPL-2.0
/*
 * Each two of these, on purpose: the one stands still in the middle, and the
 * other is done from beginning to end.
 *
 *	post	to those who watch an object
 *	attach	a queue
 *	detach	a queue by hand
 *	object	the death of the object
 *	close	a queue
 *	source	the death of the source, with all its objects
 *
 * (Needs /dev/watch_hold, which there is not for the C implementation: that
 * does not survive these.)
 */

#include "fdinfo.h"
#include "hold.h"

#include <sys/mman.h>

/* How often each is done */
#define ROUNDS		3

/* The objects: the one it is about, another, and one that nobody watches yet */
#define ITS		((uint64_t)77)
#define OTHER		((uint64_t)78)
#define NEW		((uint64_t)79)

/* At most so many messages: a post may deliver to a watch that has just gone. */
#define UP_TO(n)	(-1 - (n))

enum operation {
	POST,
	ATTACH,
	DETACH,
	OBJECT,
	CLOSE,
	SOURCE,
	NR_OPERATIONS,

	/* Only while a post stands there */
	DETACH_GATE = NR_OPERATIONS,
};

static const char * const names[] = {
	"post", "attach", "detach", "object", "close", "source",
	"detach of its place",
};

static const char * const points[] = { "got", "changed", "releasing", "walking" };

/* What comes of both of them, and what the two queues get to see of it */
struct outcome {
	enum operation second;
	int held_errno;
	int second_errno;
	int victim_removals;
	int victim_events;
	int bystander_removals;
	int bystander_events;
};

/* How the one that was held ended */
struct result {
	int value;
	int error;
};

struct world {
	int nr_cpus;
	int hold;
	enum operation first;
	enum watch_hold_point point;
	const char *reason;
	/* The one that operations are about, one that is not, and the gate */
	struct queue victim;
	struct queue bystander;
	struct queue gate;
	int victim_watches;
	struct watch_hold_counts before;
	struct result *result;
};

FIXTURE(interleave)
{
	struct world w;
};

static int get_counts(struct watch_hold_counts *counts)
{
	int hold = open_hold(), ret;

	if (hold == -1)
		return -1;
	ret = ioctl(hold, WATCH_HOLD_COUNTS, counts);
	close(hold);
	return ret;
}

FIXTURE_SETUP(interleave)
{
	int hold = open_hold();

	if (hold == -1)
		SKIP(return, "no /dev/watch_hold: load watch_hold.ko");
	close(hold);
	self->w.nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	self->w.result = mmap(NULL, sizeof(*self->w.result), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->w.result);
	ASSERT_EQ(0, run_on(0));
	ASSERT_EQ(0, get_counts(&self->w.before));
}

FIXTURE_TEARDOWN(interleave)
{
}

/* The object that an operation is about */
static uint64_t target(struct world *w)
{
	return w->first == ATTACH ? NEW : ITS;
}

/* The victim's descriptor, or the pinned queue once that is closed */
static int victim(struct world *w)
{
	return w->first == CLOSE ? -1 : w->victim.rd;
}

static int do_attach(struct world *w)
{
	switch (w->first) {
	case POST:
	case ATTACH:
	case CLOSE:
		return hold_attach(w->hold, victim(w), NEW, 3);
	default:
		/* Again, as it is being removed */
		return hold_attach(w->hold, victim(w), ITS, 3);
	}
}

/* Closes the last descriptor of the victim, or of the bystander. */
static int do_close(struct world *w, int second)
{
	int *fd = second && w->first == CLOSE ? &w->bystander.rd : &w->victim.rd;
	int closed = *fd;

	*fd = -1;
	return close(closed);
}

static int operate(struct world *w, enum operation which, int second)
{
	switch (which) {
	case POST:
		return hold_post(w->hold, target(w));
	case ATTACH:
		return do_attach(w);
	case DETACH:
		/* Of a queue that is being closed, the other watch is looked for. */
		return hold_detach(w->hold, victim(w),
				   w->first == CLOSE ? OTHER : target(w));
	case OBJECT:
		return hold_remove(w->hold, target(w));
	case CLOSE:
		return do_close(w, second);
	case SOURCE:
		return hold_kill(w->hold, 0);
	case DETACH_GATE:
		return hold_detach(w->hold, w->gate.rd, ITS);
	default:
		abort();
	}
}

/* Starts the first in a process of its own, and returns when it is held. */
static pid_t start_held(struct world *w)
{
	uint32_t point = w->point;
	pid_t pid;

	if (ioctl(w->hold, WATCH_HOLD_ARM, &point))
		return -1;
	pid = fork_with_files();
	if (pid == 0) {
		run_on(w->nr_cpus - 1);
		if (ioctl(w->hold, WATCH_HOLD_READY))
			_exit(1);
		errno = 0;
		w->result->value = operate(w, w->first, 0);
		w->result->error = errno;
		_exit(0);
	}
	if (w->first == CLOSE)
		w->victim.rd = -1;
	if (pid != -1 && ioctl(w->hold, WATCH_HOLD_START)) {
		fprintf(stderr, "# not held: %s\n", strerror(errno));
		ioctl(w->hold, WATCH_HOLD_END);
		waitpid(pid, NULL, 0);
		return -1;
	}
	return pid;
}

static int new_queue(struct queue *q)
{
	/* Nothing here is about the write end. */
	return open_queue(q, O_NONBLOCK) || set_size(q, 32) || close(q->wr);
}

/*
 * From head to tail, the list is: the gate, the victim, the victim for the other
 * object, and the bystander.
 */
static void set_up(struct __test_metadata *_metadata, struct world *w)
{
	w->hold = open_hold();
	ASSERT_NE(-1, w->hold);
	ASSERT_EQ(0, new_queue(&w->victim));
	ASSERT_EQ(0, new_queue(&w->bystander));
	ASSERT_EQ(0, new_queue(&w->gate));
	ASSERT_EQ(0, hold_attach(w->hold, w->bystander.rd, ITS, 2));
	ASSERT_EQ(0, hold_attach(w->hold, w->victim.rd, OTHER, 1));
	ASSERT_EQ(0, hold_attach(w->hold, w->victim.rd, ITS, 1));
	w->victim_watches = 2;
	if (w->first == POST) {
		ASSERT_EQ(0, hold_attach(w->hold, w->gate.rd, ITS, 4));
		ASSERT_EQ(0, ioctl(w->hold, WATCH_HOLD_GATE, &w->gate.rd));
	} else if (w->first == CLOSE) {
		ASSERT_EQ(0, ioctl(w->hold, WATCH_HOLD_PIN, &w->victim.rd));
	}
}

/* Reads and counts all messages. */
static void count_messages(struct __test_metadata *_metadata, int fd, int *removals,
			   int *events)
{
	unsigned char buffer[4096], *at = buffer;
	ssize_t bytes = read(fd, buffer, sizeof(buffer));

	*removals = 0;
	*events = 0;
	EXPECT_NE(-1, bytes);
	for (; bytes > 0; bytes -= length_of(at), at += length_of(at)) {
		if (is_removal(at))
			++*removals;
		else if (type_of(at) == 5)
			++*events;
		else
			EXPECT_EQ(0, type_of(at));
	}
	/* Nobody could write. */
	EXPECT_EQ(0, read(fd, buffer, sizeof(buffer)));
}

static int nr_watches(int fd)
{
	int n = 0;

	while (fdinfo_nth(fd, "watch", n))
		n++;
	return n;
}

/* None once the source is dead, as the list is gone */
static int nr_listed(struct world *w)
{
	int n = ioctl(w->hold, WATCH_HOLD_LISTED);

	return n == -1 && errno == ENODEV ? 0 : n;
}

static void expect_count(struct __test_metadata *_metadata, const char *what,
			 int expected, int seen)
{
	if (expected < 0) {
		EXPECT_GE(-1 - expected, seen)
			TH_LOG("%s", what);
	} else {
		EXPECT_EQ(expected, seen)
			TH_LOG("%s", what);
	}
}

/* Checks what a queue received, if it is still open. */
static void check_queue(struct __test_metadata *_metadata, int fd, int watches,
			int removals_expected, int events_expected)
{
	int removals, events;

	if (fd == -1)
		return;
	count_messages(_metadata, fd, &removals, &events);
	expect_count(_metadata, "removals", removals_expected, removals);
	expect_count(_metadata, "events", events_expected, events);
	/* Each watch is there, or was said to be gone. */
	EXPECT_EQ(watches, removals + nr_watches(fd));
	EXPECT_EQ(0, fdinfo_number(fd, "lost"));
}

static int errno_of(int value)
{
	return value == -1 ? errno : 0;
}

/* Returns whether the victim has been notified when the first is held */
static void check_held(struct __test_metadata *_metadata, struct world *w)
{
	int bytes = -1;

	if (w->victim.rd == -1)
		return;
	ASSERT_EQ(0, ioctl(w->victim.rd, FIONREAD, &bytes));
	EXPECT_EQ(w->point == WATCH_HOLD_RELEASING, bytes != 0);
}

/* One round; returns whether the second was done while the first was held. */
static int interleave(struct __test_metadata *_metadata, struct world *w,
		      const struct outcome *outcome)
{
	int watches, was_held, error, status;
	pid_t pid;

	set_up(_metadata, w);
	watches = w->victim_watches;
	pid = start_held(w);
	ASSERT_NE(-1, pid);
	check_held(_metadata, w);

	error = errno_of(operate(w, outcome->second, 1));
	/* A watch that a post may stand on must not have been freed. */
	ASSERT_EQ(0, ioctl(w->hold, WATCH_HOLD_REUSE));
	was_held = ioctl(w->hold, WATCH_HOLD_IS_HELD);
	EXPECT_EQ(outcome->second_errno, error);
	ASSERT_EQ(0, ioctl(w->hold, WATCH_HOLD_END));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(outcome->held_errno,
		  w->result->value == -1 ? w->result->error : 0);

	watches += w->first == ATTACH && w->result->value == 0;
	watches += outcome->second == ATTACH && error == 0;
	check_queue(_metadata, w->victim.rd, watches, outcome->victim_removals,
		    outcome->victim_events);
	check_queue(_metadata, w->bystander.rd, 1, outcome->bystander_removals,
		    outcome->bystander_events);

	/* A closed queue has left none on the list. */
	EXPECT_EQ(nr_watches(w->victim.rd) + nr_watches(w->bystander.rd) +
		  nr_watches(w->gate.rd), nr_listed(w));

	if (w->victim.rd != -1)
		close(w->victim.rd);
	if (w->bystander.rd != -1)
		close(w->bystander.rd);
	close(w->gate.rd);
	close(w->hold);
	return was_held == 1;
}

/* All rounds of one operation while the first is held, and what the module counted */
static void interleave_one(struct __test_metadata *_metadata, struct world *w,
			   const struct outcome *outcome)
{
	struct watch_hold_counts counts, *last = &w->before;
	int round, times = 0;

	for (round = 0; round < ROUNDS; round++)
		times += interleave(_metadata, w, outcome);
	ASSERT_EQ(0, get_counts(&counts));
	EXPECT_EQ(ROUNDS, times);
	EXPECT_EQ(last->held + ROUNDS, counts.held);
	EXPECT_EQ(last->expired, counts.expired);
	/* Each watch is released once, and then freed. */
	EXPECT_EQ(counts.attached, counts.released);
	EXPECT_EQ(last->twice, counts.twice);
	EXPECT_EQ(last->user_watches, counts.user_watches);
	*last = counts;
	printf("# interleaving: %s while %s is held (%s): %d times\n",
	       names[outcome->second], names[w->first], points[w->point], times);
	fflush(stdout);
}

/* Each operation in turn while the first is held */
static void interleave_all(struct __test_metadata *_metadata, struct world *w,
			   const struct outcome *outcomes)
{
	int i;

	for (i = 0; i < NR_OPERATIONS; i++) {
		ASSERT_EQ(i, outcomes[i].second);
		interleave_one(_metadata, w, &outcomes[i]);
	}
}

/* Whether the first cannot be held there, and for what reason */
static int cannot_hold(struct world *w, enum operation first, enum watch_hold_point point)
{
	int hold = open_hold(), cannot;

	w->first = first;
	w->point = point;
	w->reason = w->nr_cpus == 1 ? "takes two CPUs: one of them is held" :
				      "locks do not tell here whether somebody waits";
	cannot = ioctl(hold, WATCH_HOLD_ARM, &(uint32_t){ point }) && errno == EOPNOTSUPP;
	ioctl(hold, WATCH_HOLD_END);
	close(hold);
	return cannot;
}

TEST_F(interleave, post_in_the_middle_of_its_walk)
{
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		0, 2,		0, 2 },
		{ ATTACH,	0, 0,		0, 1,		0, 1 },
		{ DETACH,	0, 0,		1, UP_TO(1),	0, 1 },
		{ OBJECT,	0, 0,		1, UP_TO(1),	1, UP_TO(1) },
		{ CLOSE,	0, 0,		0, 0,		0, 1 },
		{ SOURCE,	0, 0,		2, UP_TO(1),	1, UP_TO(1) },
	};

	if (cannot_hold(&self->w, POST, WATCH_HOLD_WALKING))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

/* A removed watch still leads to those behind it. */
TEST_F(interleave, post_on_a_watch_that_is_removed)
{
	static const struct outcome outcome = {
		DETACH_GATE, 0, 0,	0, 1,		0, 1,
	};

	if (cannot_hold(&self->w, POST, WATCH_HOLD_WALKING))
		SKIP(return, "%s", self->w.reason);
	interleave_one(_metadata, &self->w, &outcome);
}

TEST_F(interleave, attach_that_has_got_the_queue)
{
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		0, 0,		0, 0 },
		{ ATTACH,	EBUSY, 0,	0, 0,		0, 0 },
		{ DETACH,	0, EBADSLT,	0, 0,		0, 0 },
		{ OBJECT,	0, EBADSLT,	0, 0,		0, 0 },
		{ CLOSE,	ENOENT, 0,	0, 0,		0, 0 },
		{ SOURCE,	ENODEV, 0,	2, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, ATTACH, WATCH_HOLD_GOT))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

TEST_F(interleave, attach_that_has_added_the_watch)
{
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		0, 1,		0, 0 },
		{ ATTACH,	0, EBUSY,	0, 0,		0, 0 },
		{ DETACH,	0, 0,		1, 0,		0, 0 },
		{ OBJECT,	0, 0,		1, 0,		0, 0 },
		{ CLOSE,	0, 0,		0, 0,		0, 0 },
		{ SOURCE,	0, 0,		3, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, ATTACH, WATCH_HOLD_CHANGED))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

TEST_F(interleave, detach_before_the_watcher_is_notified)
{
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		1, 0,		0, 1 },
		{ ATTACH,	0, 0,		1, 0,		0, 0 },
		{ DETACH,	0, EBADSLT,	1, 0,		0, 0 },
		{ OBJECT,	0, 0,		1, 0,		1, 0 },
		{ CLOSE,	0, 0,		0, 0,		0, 0 },
		{ SOURCE,	0, 0,		2, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, DETACH, WATCH_HOLD_CHANGED))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

TEST_F(interleave, detach_in_release_watch)
{
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		1, 0,		0, 1 },
		{ ATTACH,	0, 0,		1, 0,		0, 0 },
		{ DETACH,	0, EBADSLT,	1, 0,		0, 0 },
		{ OBJECT,	0, 0,		1, 0,		1, 0 },
		{ CLOSE,	0, 0,		0, 0,		0, 0 },
		{ SOURCE,	0, 0,		2, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, DETACH, WATCH_HOLD_RELEASING))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

/*
 * The watch is off the list and still in its queue's tree: it cannot be added
 * again (EBUSY), and a detach that finds it there has lost the race for it
 * (EBADSLT), as has a close, which leaves it to the removal.
 */
TEST_F(interleave, death_of_the_object_before_the_watcher_is_notified)
{
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		1, 0,		1, 1 },
		{ ATTACH,	0, EBUSY,	1, 0,		1, 0 },
		{ DETACH,	0, EBADSLT,	1, 0,		1, 0 },
		{ OBJECT,	0, 0,		1, 0,		1, 0 },
		{ CLOSE,	0, 0,		0, 0,		1, 0 },
		{ SOURCE,	0, 0,		2, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, OBJECT, WATCH_HOLD_CHANGED))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

/*
 * All watches on the object are off the list before the first is released.  A
 * watch that is added meanwhile may be removed, too, or stay.
 */
TEST_F(interleave, death_of_the_object_in_release_watch)
{
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		1, 0,		1, 0 },
		{ ATTACH,	0, 0,		UP_TO(2), 0,	1, 0 },
		{ DETACH,	0, EBADSLT,	1, 0,		1, 0 },
		{ OBJECT,	0, EBADSLT,	1, 0,		1, 0 },
		{ CLOSE,	0, 0,		0, 0,		1, 0 },
		{ SOURCE,	0, 0,		2, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, OBJECT, WATCH_HOLD_RELEASING))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

TEST_F(interleave, close_between_two_watches)
{
	/* What is on one list goes at once. */
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		0, 0,		0, 1 },
		{ ATTACH,	0, ENOENT,	0, 0,		0, 0 },
		{ DETACH,	0, EBADSLT,		0, 0,		0, 0 },
		{ OBJECT,	0, 0,		0, 0,		1, 0 },
		{ CLOSE,	0, 0,		0, 0,		0, 0 },
		{ SOURCE,	0, 0,		0, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, CLOSE, WATCH_HOLD_CHANGED))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

TEST_F(interleave, close_in_release_watch)
{
	/* What is on one list goes at once. */
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		0, 0,		0, 1 },
		{ ATTACH,	0, ENOENT,	0, 0,		0, 0 },
		{ DETACH,	0, EBADSLT,		0, 0,		0, 0 },
		{ OBJECT,	0, 0,		0, 0,		1, 0 },
		{ CLOSE,	0, 0,		0, 0,		0, 0 },
		{ SOURCE,	0, 0,		0, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, CLOSE, WATCH_HOLD_RELEASING))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

/* A module that removes its list can go when this returns. */
TEST_F(interleave, who_removes_the_list_waits_for_a_close_in_release_watch)
{
	struct world *w = &self->w;
	pid_t closer, waiter;
	struct queue q;
	int status;

	w->hold = open_hold();
	ASSERT_NE(-1, w->hold);
	ASSERT_EQ(0, open_queue(&q, 0));
	ASSERT_EQ(0, hold_attach(w->hold, q.rd, ITS, 1));
	ASSERT_EQ(0, ioctl(w->hold, WATCH_HOLD_ARM, &(uint32_t){ WATCH_HOLD_RELEASING }));
	closer = fork_with_files();
	ASSERT_NE(-1, closer);
	if (closer == 0) {
		close(q.wr);
		ioctl(w->hold, WATCH_HOLD_READY);
		_exit(close(q.rd) != 0);
	}
	ASSERT_EQ(0, ioctl(w->hold, WATCH_HOLD_START));
	ASSERT_EQ(0, ioctl(w->hold, WATCH_HOLD_LISTED));
	waiter = fork_with_files();
	ASSERT_NE(-1, waiter);
	if (waiter == 0)
		_exit(ioctl(w->hold, WATCH_HOLD_WAIT) != 0);
	usleep(200000);
	EXPECT_EQ(1, ioctl(w->hold, WATCH_HOLD_IS_HELD));
	EXPECT_EQ(0, waitpid(waiter, &status, WNOHANG));
	ASSERT_EQ(0, ioctl(w->hold, WATCH_HOLD_END));
	EXPECT_EQ(waiter, waitpid(waiter, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(closer, waitpid(closer, &status, 0));
	EXPECT_EQ(0, status);
	/* Nobody is left to wait for. */
	EXPECT_EQ(0, ioctl(w->hold, WATCH_HOLD_WAIT));
	close(w->hold);
}

TEST_F(interleave, death_of_the_source_before_the_watcher_is_notified)
{
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		2, 0,		1, 1 },
		{ ATTACH,	0, ENODEV,	2, 0,		1, 0 },
		{ DETACH,	0, EBADSLT,	2, 0,		1, 0 },
		{ OBJECT,	0, 0,		2, 0,		1, 0 },
		{ CLOSE,	0, 0,		0, 0,		1, 0 },
		{ SOURCE,	0, 0,		2, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, SOURCE, WATCH_HOLD_CHANGED))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

TEST_F(interleave, death_of_the_source_in_release_watch)
{
	static const struct outcome outcomes[] = {
		{ POST,	0, 0,		2, 0,		1, 1 },
		{ ATTACH,	0, ENODEV,	2, 0,		1, 0 },
		{ DETACH,	0, EBADSLT,	2, 0,		1, 0 },
		{ OBJECT,	0, 0,		2, 0,		1, 0 },
		{ CLOSE,	0, 0,		0, 0,		1, 0 },
		{ SOURCE,	0, 0,		2, 0,		1, 0 },
	};

	if (cannot_hold(&self->w, SOURCE, WATCH_HOLD_RELEASING))
		SKIP(return, "%s", self->w.reason);
	interleave_all(_metadata, &self->w, outcomes);
}

TEST_HARNESS_MAIN
