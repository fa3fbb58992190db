// SPDX-License-Identifier: GPL-2.0
/* Random use of a queue against a simple model of it; the seed is printed. */

#include "source.h"

#include <stdlib.h>
#include <time.h>

#define STEPS		50000
#define CAPACITY	64
#define NR_OBJECTS	4
#define NR_TYPES	3
#define NR_SUBTYPES	6

/* The most that a record of a loss counts */
#define MAX_LOST	65535

/* The stream to be read, oldest first; a loss is an item of its own. */
struct item {
	unsigned char bytes[128];
	int length;
	int lost;
};

struct model {
	struct item items[2 * CAPACITY + 1];
	int first, nr_items, nr_messages;
	int attached[NR_OBJECTS];
	int has_filter;
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rules[3];
	} filter;
};

static unsigned int seed;

static int below(int limit)
{
	return rand_r(&seed) % limit;
}

static struct item *item(struct model *model, int nr)
{
	return &model->items[(model->first + nr) % (2 * CAPACITY + 1)];
}

/* The number of bytes that an item takes to read, in records of at most 65535 losses */
static int size_of(const struct item *item)
{
	return item->lost ? (item->lost + MAX_LOST - 1) / MAX_LOST * HEADER : item->length;
}

static void model_post(struct model *model, const void *bytes, int length)
{
	struct item *last = item(model, model->nr_items - 1 + 2 * CAPACITY + 1);

	if (model->nr_messages < CAPACITY) {
		struct item *new = item(model, model->nr_items++);

		memcpy(new->bytes, bytes, length);
		new->length = length;
		new->lost = 0;
		model->nr_messages++;
	} else if (model->nr_items && last->lost) {
		last->lost++;
	} else {
		struct item *new = item(model, model->nr_items++);

		new->length = HEADER;
		new->lost = 1;
	}
}

static int model_accepts(const struct model *model, int type, int subtype,
			 uint32_t info)
{
	unsigned int i;

	if (!model->has_filter)
		return 1;
	for (i = 0; i < model->filter.head.nr_filters; i++) {
		const struct watch_notification_type_filter *rule =
			&model->filter.rules[i];

		if ((int)rule->type == type &&
		    rule->subtype_filter[subtype / 32] >> (subtype % 32) & 1 &&
		    (info & rule->info_mask) == rule->info_filter)
			return 1;
	}
	return 0;
}

static int random_subtype(void)
{
	static const int subtypes[NR_SUBTYPES] = { 0, 1, 31, 32, 100, 255 };

	return subtypes[below(NR_SUBTYPES)];
}

static void step_post(struct __test_metadata *_metadata, struct model *model,
		      int source)
{
	int object = below(NR_OBJECTS), i;
	int count = below(500) ? 1 + below(8) : MAX_LOST - 50 + below(300);
	struct watch_source_post args = {
		.id = object,
		.type = below(NR_TYPES) * 0x1234,
		.subtype = random_subtype(),
		.info = below(4) << 16,
		.length = 8 + below(120),
		.count = count,
		.context = below(2),
	};
	struct watch_notification n = {
		.type = args.type,
		.subtype = args.subtype,
		.info = args.info | object << WATCH_INFO_ID__SHIFT | args.length,
	};

	for (i = 8; i < 128; i++)
		args.message[i] = below(256);
	ASSERT_EQ(0, post(source, &args));
	memcpy(args.message, &n, sizeof(n));
	if (!model->attached[object] ||
	    !model_accepts(model, args.type, args.subtype, n.info))
		return;
	while (count--)
		model_post(model, args.message, args.length);
}

static const char as_modelled[] = "as the model says";

/* Returns in what a read differs from the model, if it does. */
static const char *step_read(struct model *model, int queue)
{
	unsigned char buffer[128 * CAPACITY];
	int room = below(3) ? below(1000) : below(20) + 1, done = 0;
	ssize_t bytes = read(queue, buffer, room);

	if (room == 0)
		return bytes == 0 ? as_modelled : "a result of no room";
	if (bytes == -1) {
		if (errno != (model->nr_items ? ENOBUFS : EAGAIN))
			return "errno";
		if (model->nr_items && item(model, 0)->length <= room)
			return "ENOBUFS with room";
		return as_modelled;
	}
	/* Everything that fits comes at once. */
	while (model->nr_items && item(model, 0)->length <= room - done) {
		struct item *next = item(model, 0);

		if (done + next->length > bytes)
			return "less than fits";
		if (next->lost) {
			if (!is_loss(buffer + done))
				return "no loss";
			if (type_info_of(buffer + done) !=
			    (next->lost > MAX_LOST ? MAX_LOST : next->lost))
				return "how many are lost";
			if (next->lost > MAX_LOST) {
				next->lost -= MAX_LOST;
				done += next->length;
				continue;
			}
		} else {
			if (memcmp(buffer + done, next->bytes, next->length))
				return "the bytes of a message";
			model->nr_messages--;
		}
		done += next->length;
		model->first = (model->first + 1) % (2 * CAPACITY + 1);
		model->nr_items--;
	}
	return done == bytes ? as_modelled : "more than there is";
}

static void step_watch(struct __test_metadata *_metadata, struct model *model,
		       int source, int queue)
{
	uint64_t object = below(NR_OBJECTS);
	struct watch_notification_removal n = {
		.watch.type = WATCH_TYPE_META,
		.watch.subtype = WATCH_META_REMOVAL_NOTIFICATION,
		.watch.info = object << WATCH_INFO_ID__SHIFT |
			      (object ? 16 : 8),
		.id = object,
	};

	if (!model->attached[object]) {
		ASSERT_EQ(0, attach(source, queue, object, object));
		model->attached[object] = 1;
	} else {
		ASSERT_EQ(-1, attach(source, queue, object, object));
		ASSERT_EQ(EBUSY, errno);
		ASSERT_EQ(0, detach(source, queue, object));
		model->attached[object] = 0;
		model_post(model, &n, object ? 16 : 8);
	}
}

static void step_filter(struct __test_metadata *_metadata, struct model *model,
			int queue)
{
	unsigned int i;

	model->has_filter = below(2);
	if (!model->has_filter) {
		ASSERT_EQ(0, ioctl(queue, IOC_WATCH_QUEUE_SET_FILTER, NULL));
		return;
	}
	memset(&model->filter, 0, sizeof(model->filter));
	model->filter.head.nr_filters = 1 + below(3);
	for (i = 0; i < model->filter.head.nr_filters; i++) {
		struct watch_notification_type_filter *rule =
			&model->filter.rules[i];
		int j;

		rule->type = below(NR_TYPES) * 0x1234;
		for (j = 0; j < 4; j++) {
			int subtype = random_subtype();

			rule->subtype_filter[subtype / 32] |=
				1U << (subtype % 32);
		}
		if (below(2)) {
			rule->info_mask = 0x10000 << below(2);
			rule->info_filter = rule->info_mask & below(4) << 16;
		}
	}
	ASSERT_EQ(0, ioctl(queue, IOC_WATCH_QUEUE_SET_FILTER, &model->filter));
}

FIXTURE(model) { };
FIXTURE_SETUP(model) { }
FIXTURE_TEARDOWN(model) { }

TEST_F_TIMEOUT(model, beyond_mainline_queue_is_like_its_model, 200)
{
	static struct model model;
	struct queue q;
	const char *given = getenv("SEED"), *read = as_modelled;
	int i, source = open_source();

	if (source == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	seed = given ? strtoul(given, NULL, 0) : time(NULL) ^ getpid();
	TH_LOG("SEED=%u", seed);
	ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
	ASSERT_EQ(0, set_size(&q, CAPACITY));
	for (i = 0; i < STEPS; i++) {
		int what = below(100), bytes, expected = 0, j;

		if (what < 55)
			step_post(_metadata, &model, source);
		else if (what < 90)
			read = step_read(&model, q.rd);
		else if (what < 95)
			step_watch(_metadata, &model, source, q.rd);
		else
			step_filter(_metadata, &model, q.rd);
		ASSERT_STREQ(as_modelled, read);

		if (i % 16 == 0) {
			for (j = 0; j < model.nr_items; j++)
				expected += size_of(item(&model, j));
			ASSERT_EQ(0, ioctl(q.rd, FIONREAD, &bytes));
			ASSERT_EQ(expected, bytes);
		}
	}
	close(source);
}

TEST_HARNESS_MAIN
