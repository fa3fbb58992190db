// SPDX-License-Identifier: GPL-2.0
/*
 * What a notification queue is measured against: the least that posting and
 * reading can cost, the kernel's record kfifo, and what is used instead of a
 * queue: relay, netlink and BPF's ring buffer; see bench.h for what is printed.
 *
 * usage: bench_floor [NAME...]: only these operations
 */

#include "bench.h"
#include "watch_floor.h"

#include <linux/bpf.h>
#include <linux/netlink.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define POSTS		256
#define MESSAGES	WATCH_FLOOR_MESSAGES
#define RING_BYTES	131072
#define RELAY_FILE	"/sys/kernel/debug/watch_relay0"

static int device, instead, relay, sock;
static char buffer[65536];

static double run(int fd, int operation, int length, int count)
{
	struct watch_floor_run args = {
		.operation = operation, .length = length, .count = count,
	};

	if (ioctl(fd, WATCH_FLOOR_RUN, &args))
		die("run");
	return args.elapsed / (double)count;
}

static double loop_batch(int length)
{
	return run(device, WATCH_FLOOR_LOOP, length, POSTS);
}

static double lock_batch(int length)
{
	return run(device, WATCH_FLOOR_LOCK, length, POSTS);
}

static double post_batch(int length)
{
	return run(device, WATCH_FLOOR_POST, length, POSTS);
}

static double kfifo_in_batch(int length)
{
	double each = run(device, WATCH_FLOOR_KFIFO_IN, length, POSTS);

	run(device, WATCH_FLOOR_KFIFO_OUT, length, POSTS);
	return each;
}

static double kfifo_out_batch(int length)
{
	run(device, WATCH_FLOOR_KFIFO_IN, length, POSTS);
	return run(device, WATCH_FLOOR_KFIFO_OUT, length, POSTS);
}

static double drain_batch(int length)
{
	long start, end;

	if (ioctl(device, WATCH_FLOOR_FILL, length))
		die("fill");
	start = now();
	if (read(device, buffer, sizeof(buffer)) != MESSAGES * length)
		die("drain");
	end = now();
	return (end - start) / (double)MESSAGES;
}

static double read_batch(int length)
{
	long start, end;
	int i;

	if (ioctl(device, WATCH_FLOOR_FILL, length))
		die("fill");
	start = now();
	for (i = 0; i < POSTS; i++)
		if (read(device, buffer, length) != length)
			die("read");
	end = now();
	return (end - start) / (double)POSTS;
}

static double relay_post_batch(int length)
{
	double each = run(instead, WATCH_INSTEAD_RELAY, length, POSTS);

	drain(relay);
	return each;
}

/* Relay knows no messages: what it is told to read, it reads. */
static double relay_read_all(int length, int room)
{
	long start, end, bytes = 0;
	ssize_t ret;

	run(instead, WATCH_INSTEAD_RELAY, length, MESSAGES);
	start = now();
	while (bytes < MESSAGES * length) {
		ret = read(relay, buffer, room);
		if (ret <= 0)
			die("relay");
		bytes += ret;
	}
	end = now();
	return (end - start) / (double)MESSAGES;
}

static double relay_drain_batch(int length)
{
	return relay_read_all(length, sizeof(buffer));
}

static double relay_read_batch(int length)
{
	return relay_read_all(length, length);
}

static double netlink_post_batch(int length)
{
	double each = run(instead, WATCH_INSTEAD_NETLINK, length, POSTS);

	while (recv(sock, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
	return each;
}

static double netlink_read_batch(int length)
{
	long start, end;
	int i;

	run(instead, WATCH_INSTEAD_NETLINK, length, POSTS);
	start = now();
	for (i = 0; i < POSTS; i++)
		if (recv(sock, buffer, sizeof(buffer), 0) <= 0)
			die("recv");
	end = now();
	return (end - start) / (double)POSTS;
}

static double netlink_drain_batch(int length)
{
	static struct mmsghdr messages[POSTS];
	static struct iovec vectors[POSTS];
	long start, end;
	int i;

	for (i = 0; i < POSTS; i++) {
		vectors[i].iov_base = buffer + i * 256;
		vectors[i].iov_len = 256;
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	run(instead, WATCH_INSTEAD_NETLINK, length, POSTS);
	start = now();
	if (recvmmsg(sock, messages, POSTS, 0, NULL) != POSTS)
		die("recvmmsg");
	end = now();
	return (end - start) / (double)POSTS;
}

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* A BPF ring buffer, and a program that posts to it */
struct bpf_ring {
	int map;
	int program;
	unsigned long *consumer;
	unsigned long *producer;
	char *data;
};

#define INSN(op, d, s, o, i) \
	{ .code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) }
#define CALL(function) \
	INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ ## function)
#define MOVE(d, s) \
	INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i) \
	INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, i) \
	INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)

/* Nanoseconds = program(): posts POSTS messages of zeroes */
static int load_bpf(int map, int length)
{
	struct bpf_insn insns[64], *at = insns;
	const struct bpf_insn loop[] = {
		SET(BPF_REG_6, POSTS),
		CALL(ktime_get_ns),
		MOVE(BPF_REG_7, BPF_REG_0),
		INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
		INSN(0, 0, 0, 0, 0),
		MOVE(BPF_REG_2, BPF_REG_10),
		ADD(BPF_REG_2, -128),
		SET(BPF_REG_3, length),
		SET(BPF_REG_4, 0),
		CALL(ringbuf_output),
		ADD(BPF_REG_6, -1),
		INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_6, 0, -9, 0),
		CALL(ktime_get_ns),
		INSN(BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_0, BPF_REG_7, 0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	union bpf_attr attr = {};
	int offset;

	for (offset = -128; offset < 0; offset += 8)
		*at++ = (struct bpf_insn)INSN(BPF_ST | BPF_MEM | BPF_DW,
					      BPF_REG_10, 0, offset, 0);
	memcpy(at, loop, sizeof(loop));
	at += ARRAY_SIZE(loop);

	attr.prog_type = BPF_PROG_TYPE_SYSCALL;
	attr.prog_flags = BPF_F_SLEEPABLE;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = at - insns;
	attr.license = (uintptr_t)"GPL";
	return bpf(BPF_PROG_LOAD, &attr);
}

static struct bpf_ring open_bpf(int length)
{
	static const int access = PROT_READ | PROT_WRITE;
	long page = sysconf(_SC_PAGESIZE);
	struct bpf_ring ring;
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_RINGBUF, .max_entries = RING_BYTES,
	};
	char *base;

	ring.map = bpf(BPF_MAP_CREATE, &attr);
	if (ring.map == -1)
		die("BPF_MAP_CREATE");
	ring.program = load_bpf(ring.map, length);
	if (ring.program == -1)
		die("BPF_PROG_LOAD");
	/* The data is mapped twice in a row, so that no message is cut. */
	ring.consumer = mmap(NULL, page, access, MAP_SHARED | MAP_POPULATE,
			     ring.map, 0);
	base = mmap(NULL, page + 2 * RING_BYTES, PROT_READ,
		    MAP_SHARED | MAP_POPULATE, ring.map, page);
	if (ring.consumer == MAP_FAILED || base == MAP_FAILED)
		die("BPF ring buffer");
	ring.producer = (unsigned long *)base;
	ring.data = base + page;
	return ring;
}

static void close_bpf(struct bpf_ring *ring)
{
	long page = sysconf(_SC_PAGESIZE);

	munmap(ring->producer, page + 2 * RING_BYTES);
	munmap(ring->consumer, page);
	close(ring->program);
	close(ring->map);
}

static double bpf_post(struct bpf_ring *ring)
{
	union bpf_attr attr = { .test.prog_fd = ring->program };

	if (bpf(BPF_PROG_RUN, &attr))
		die("BPF_PROG_RUN");
	return attr.test.retval / (double)POSTS;
}

static double bpf_post_batch(int length)
{
	struct bpf_ring ring = open_bpf(length);
	double each = bpf_post(&ring);

	close_bpf(&ring);
	return each;
}

/* Without a system call: each message is copied out of the shared memory. */
static double bpf_drain_batch(int length)
{
	struct bpf_ring ring = open_bpf(length);
	unsigned long at = 0, end;
	char *to = buffer;
	long start, stop;

	bpf_post(&ring);
	start = now();
	end = __atomic_load_n(ring.producer, __ATOMIC_ACQUIRE);
	while (at != end) {
		const char *record = ring.data + (at & (RING_BYTES - 1));
		__u32 head = __atomic_load_n((__u32 *)record,
						__ATOMIC_ACQUIRE);

		if (head & BPF_RINGBUF_BUSY_BIT)
			break;
		memcpy(to, record + BPF_RINGBUF_HDR_SZ, head);
		to += head;
		at += (head + BPF_RINGBUF_HDR_SZ + 7) & ~7;
	}
	__atomic_store_n(ring.consumer, at, __ATOMIC_RELEASE);
	stop = now();
	if (to - buffer != POSTS * length)
		die("BPF ring buffer");
	close_bpf(&ring);
	return (stop - start) / (double)POSTS;
}

static const struct operation floors[] = {
	{ "loop", 16, loop_batch },
	{ "floor-lock", 16, lock_batch },
	{ "floor-post", 8, post_batch },
	{ "floor-post", 16, post_batch },
	{ "floor-post", 24, post_batch },
	{ "floor-post", 32, post_batch },
	{ "floor-post", 48, post_batch },
	{ "floor-post", 64, post_batch },
	{ "floor-post", 96, post_batch },
	{ "floor-post", 127, post_batch },
	{ "floor-drain", 8, drain_batch },
	{ "floor-drain", 16, drain_batch },
	{ "floor-drain", 24, drain_batch },
	{ "floor-drain", 32, drain_batch },
	{ "floor-drain", 48, drain_batch },
	{ "floor-drain", 64, drain_batch },
	{ "floor-drain", 96, drain_batch },
	{ "floor-drain", 127, drain_batch },
	{ "floor-read", 16, read_batch },
	{ "kfifo-post", 16, kfifo_in_batch },
	{ "kfifo-post", 127, kfifo_in_batch },
	{ "kfifo-drain", 16, kfifo_out_batch },
	{ "kfifo-drain", 127, kfifo_out_batch },
};

static const struct operation alternatives[] = {
	{ "relay-post", 16, relay_post_batch },
	{ "relay-post", 127, relay_post_batch },
	{ "relay-drain", 16, relay_drain_batch },
	{ "relay-drain", 127, relay_drain_batch },
	{ "relay-read", 16, relay_read_batch },
	{ "netlink-post", 16, netlink_post_batch },
	{ "netlink-post", 127, netlink_post_batch },
	{ "netlink-drain", 16, netlink_drain_batch },
	{ "netlink-drain", 127, netlink_drain_batch },
	{ "netlink-read", 16, netlink_read_batch },
	{ "bpf-post", 16, bpf_post_batch },
	{ "bpf-post", 127, bpf_post_batch },
	{ "bpf-drain", 16, bpf_drain_batch },
	{ "bpf-drain", 127, bpf_drain_batch },
};

static void open_alternatives(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int room = 1 << 20;

	relay = open(RELAY_FILE, O_RDONLY);
	if (relay == -1)
		die(RELAY_FILE);
	sock = socket(AF_NETLINK, SOCK_RAW, WATCH_INSTEAD_PROTOCOL);
	if (sock == -1 ||
	    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    bind(sock, (struct sockaddr *)&address, sizeof(address)))
		die("netlink");
}

int main(int argc, char **argv)
{
	size_t i;

	device = open_device("/dev/watch_floor");
	for (i = 0; i < ARRAY_SIZE(floors); i++)
		if (is_wanted(&floors[i], argc - 1, argv + 1))
			measure(&floors[i]);

	/* The kernel may have been built without them. */
	instead = open("/dev/watch_instead", O_RDWR);
	if (instead == -1)
		return 0;
	open_alternatives();
	for (i = 0; i < ARRAY_SIZE(alternatives); i++)
		if (is_wanted(&alternatives[i], argc - 1, argv + 1))
			measure(&alternatives[i]);
	return 0;
}
