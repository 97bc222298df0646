// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A driver that breaks every rule: for tests of the host, in a guest whose kernel is not to be
 * trusted. It is loaded in place of virtio_cl, does its worst for a number of rounds, and lets go
 * of the device, so that virtio_cl can show afterwards that the device still works.
 *
 * Each round sets the device up, does one kind of harm picked at random, and resets it. What the
 * host could be made to write to is memory of our own or none at all, so that it is not the guest
 * that falls. The same seed does the same harm, as far as time allows.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "compat.h"
#include "virtio_cl.h"

#define QUEUES	       4u
#define SCRATCH_ORDER  9 /* 2 MiB */
#define SCRATCH_SIZE   (PAGE_SIZE << SCRATCH_ORDER)
#define OUT_MAX	       20480u
#define IN_MAX	       512u
#define REQUESTS       32u
#define RINGS_SIZE     (VIRTIO_CL_PAGE + COMMANDS_SIZE + COMPLETED_SIZE)
#define BEYOND_MEMORY  BIT_ULL(46)
#define COMMANDS_SIZE  0x100000u
#define COMPLETED_SIZE 0x40000u

static unsigned long long seed = 1;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "Of what is done");

static unsigned int rounds = 200;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "Number of resets");

static unsigned int protocol = 1;
module_param(protocol, uint, 0444);
MODULE_PARM_DESC(protocol, "Version of guestcld's protocol, so that some sessions open");

static int only = -1;
module_param(only, int, 0444);
MODULE_PARM_DESC(only, "One kind of harm, by number (-1: all)");

struct request {
	u8 out[OUT_MAX];
	u8 in[IN_MAX];
	unsigned int used;
	bool done;
};

struct hostile {
	struct virtio_device *vdev;
	struct virtqueue *queues[QUEUES];
	unsigned int count;
	struct rnd_state random;
	struct request *requests; /* REQUESTS of them, used in turn */
	unsigned int next;
	u8 *scratch; /* rings, and whatever the host may write to */
	unsigned int opened;
	unsigned int answered;
	unsigned int refused;
};

static u32 pick(struct hostile *hostile, u32 limit)
{
	return prandom_u32_state(&hostile->random) % limit;
}

static u64 pick64(struct hostile *hostile)
{
	u64 high = prandom_u32_state(&hostile->random);

	return high << 32 | prandom_u32_state(&hostile->random);
}

/* A number of the kind that finds faults. */
static u64 odd_number(struct hostile *hostile)
{
	static const u64 numbers[] = {
		0,	    1,		4095,	    4096,	4097,
		1 << 21,    U32_MAX,	S64_MAX,    U64_MAX,	U64_MAX - 4095,
		1ull << 36, 1ull << 37, 1ull << 46, 0xfee00000, 1ull << 63,
	};
	u32 i = pick(hostile, ARRAY_SIZE(numbers) + 3);

	return i < ARRAY_SIZE(numbers) ? numbers[i] : pick64(hostile);
}

static void noise(struct hostile *hostile, void *to, size_t size)
{
	prandom_bytes_state(&hostile->random, to, size);
}

/* ------------------------------------------------------------ queues */

static void answered(struct virtqueue *vq)
{
}

static int queues_start(struct hostile *hostile)
{
	struct virtio_device *vdev = hostile->vdev;
	struct virtqueue_info info[QUEUES] = {};
	unsigned int i;
	int err;

	virtio_reset_device(vdev);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_DRIVER);
	err = vdev->config->finalize_features(vdev);
	if (err)
		return err;
	virtio_add_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	for (i = 0; i < QUEUES; i++) {
		info[i].name = "hostile";
		info[i].callback = i < VIRTIO_CL_QUEUE_DOORBELL ? answered : NULL;
	}
	hostile->count = QUEUES;
	err = vcl_find_vqs(vdev, QUEUES, hostile->queues, info);
	if (err == -ENOENT) {
		hostile->count = VIRTIO_CL_QUEUES_MIN;
		err = vcl_find_vqs(vdev, VIRTIO_CL_QUEUES_MIN, hostile->queues, info);
	}
	if (!err)
		virtio_device_ready(vdev);
	return err;
}

static void queues_stop(struct hostile *hostile)
{
	unsigned int i;

	virtio_reset_device(hostile->vdev);
	for (i = 0; i < hostile->count; i++)
		while (virtqueue_detach_unused_buf(hostile->queues[i]))
			;
	hostile->vdev->config->del_vqs(hostile->vdev);
}

static void collect(struct hostile *hostile)
{
	struct request *request;
	unsigned int size;

	while ((request = virtqueue_get_buf(hostile->queues[0], &size)) != NULL) {
		struct virtio_cl_response *response = (void *)request->in;

		request->used = size;
		request->done = true;
		hostile->answered++;
		if (size < sizeof(*response) || response->status)
			hostile->refused++;
	}
}

static struct request *request_next(struct hostile *hostile)
{
	struct request *request = &hostile->requests[hostile->next++ % REQUESTS];

	request->done = false;
	memset(request->in, 0, sizeof(request->in));
	return request;
}

/* Sends it in one piece or in two. Return: false if the queue has no room. */
static bool send(struct hostile *hostile, struct request *request, size_t out_size, size_t in_size)
{
	struct scatterlist out[2], in, *list[] = {out, &in};
	size_t first = out_size > 8 && pick(hostile, 4) == 0 ? 4 : out_size;

	if (!out_size && !in_size)
		return false; /* the kernel itself would not have it */
	if (!out_size)
		list[0] = &in;
	sg_init_table(out, first < out_size ? 2 : 1);
	sg_set_buf(&out[0], request->out, first);
	if (first < out_size)
		sg_set_buf(&out[1], request->out + first, out_size - first);
	sg_init_one(&in, request->in, in_size);
	if (virtqueue_add_sgs(hostile->queues[0], list, out_size ? 1 : 0, in_size ? 1 : 0, request,
			      GFP_KERNEL))
		return false;
	virtqueue_kick(hostile->queues[0]);
	return true;
}

static bool wait(struct hostile *hostile, struct request *request, unsigned int ms)
{
	while (ms-- && !request->done && !fatal_signal_pending(current)) {
		usleep_range(1000, 1500);
		collect(hostile);
	}
	return request->done;
}

/* ------------------------------------------------------------ right requests, to build on */

static void hello(struct hostile *hostile)
{
	struct request *request = request_next(hostile);
	struct virtio_cl_hello *out = (void *)request->out;

	*out = (struct virtio_cl_hello){.head.type = cpu_to_le32(VIRTIO_CL_HELLO),
					.instance = cpu_to_le64(pick64(hostile) | 1)};
	if (send(hostile, request, sizeof(*out), sizeof(struct virtio_cl_hello_response)))
		wait(hostile, request, 2000);
}

/* Return: the session's number, 0 for none. */
static u32 open(struct hostile *hostile)
{
	struct request *request = request_next(hostile);
	struct virtio_cl_open *out = (void *)request->out;
	struct virtio_cl_open_response *in = (void *)request->in;

	memset(hostile->scratch, 0, RINGS_SIZE);
	memset(out, 0, sizeof(*out));
	out->head.type = cpu_to_le32(VIRTIO_CL_SESSION_OPEN);
	out->protocol = cpu_to_le32(protocol);
	out->commands_size = cpu_to_le32(COMMANDS_SIZE);
	out->completions_size = cpu_to_le32(COMPLETED_SIZE);
	out->heap_size = cpu_to_le64(1ull << 30);
	out->segment_count = cpu_to_le32(1);
	out->segments[0].address = cpu_to_le64(virt_to_phys(hostile->scratch));
	out->segments[0].length = cpu_to_le64(RINGS_SIZE);
	strscpy(out->program, "hostile", sizeof(out->program));
	if (!send(hostile, request, struct_size(out, segments, 1), sizeof(*in)) ||
	    !wait(hostile, request, 5000) || request->used < sizeof(*in) || in->head.status)
		return 0;
	hostile->opened++;
	return le32_to_cpu(in->session);
}

/* ------------------------------------------------------------ kinds of harm */

/* Requests that are noise, of any size, with any room for the answer. */
static void harm_noise(struct hostile *hostile)
{
	unsigned int i;

	if (pick(hostile, 2))
		hello(hostile);
	for (i = 0; i < 24; i++) {
		struct request *request = request_next(hostile);

		noise(hostile, request->out, OUT_MAX);
		if (pick(hostile, 4))
			*(__le32 *)request->out = cpu_to_le32(pick(hostile, 9));
		send(hostile, request,
		     pick(hostile, 3) ? pick(hostile, 128) : pick(hostile, OUT_MAX),
		     pick(hostile, 3) ? IN_MAX : pick(hostile, 16));
		if (i % 4 == 3)
			wait(hostile, request, 20);
	}
}

static void odd_segments(struct hostile *hostile, struct virtio_cl_segment *segments,
			 unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		segments[i].address = cpu_to_le64(odd_number(hostile));
		segments[i].length = cpu_to_le64(odd_number(hostile));
		if (pick(hostile, 3) == 0) {
			segments[i].address = cpu_to_le64(virt_to_phys(hostile->scratch));
			segments[i].length = cpu_to_le64(VIRTIO_CL_PAGE);
		}
	}
}

/* Memory that cannot be, or that lies where it cannot be, of a session that is right. */
static void harm_memory(struct hostile *hostile)
{
	u32 session;
	unsigned int i;

	hello(hostile);
	session = open(hostile);
	for (i = 0; i < 40; i++) {
		struct request *request = request_next(hostile);
		struct virtio_cl_memory *out = (void *)request->out;
		u32 count = pick(hostile, 5) ? pick(hostile, 4) : pick(hostile, 1200);

		out->head.type = cpu_to_le32(VIRTIO_CL_MEMORY_ADD + pick(hostile, 2));
		out->head.session = cpu_to_le32(pick(hostile, 8) ? session : pick64(hostile));
		out->offset = cpu_to_le64(odd_number(hostile));
		out->length = cpu_to_le64(odd_number(hostile));
		out->flags = cpu_to_le32(pick(hostile, 8) ? 0 : odd_number(hostile));
		odd_segments(hostile, out->segments, count);
		out->segment_count =
			cpu_to_le32(pick(hostile, 8) ? count : (u32)odd_number(hostile));
		send(hostile, request, struct_size(out, segments, count),
		     sizeof(struct virtio_cl_response));
		wait(hostile, request, 20);
	}
}

/* Sessions that cannot be, closed twice, never, or before they are open. */
static void harm_sessions(struct hostile *hostile)
{
	struct request *request;
	u32 session = 0;
	unsigned int i;

	if (pick(hostile, 4))
		hello(hostile);
	for (i = 0; i < 16; i++) {
		struct virtio_cl_open *out;

		request = request_next(hostile);
		out = (void *)request->out;
		noise(hostile, out, struct_size(out, segments, 4));
		out->head.type = cpu_to_le32(VIRTIO_CL_SESSION_OPEN);
		out->protocol = cpu_to_le32(protocol);
		if (pick(hostile, 2)) {
			out->commands_size = cpu_to_le32(COMMANDS_SIZE);
			out->completions_size = cpu_to_le32(COMPLETED_SIZE);
			out->heap_size = cpu_to_le64(odd_number(hostile));
		}
		odd_segments(hostile, out->segments, 4);
		out->segment_count = cpu_to_le32(pick(hostile, 4) ? 4 : (u32)odd_number(hostile));
		send(hostile, request, struct_size(out, segments, 4),
		     sizeof(struct virtio_cl_open_response));
	}
	wait(hostile, request, 100);
	if (pick(hostile, 2))
		session = open(hostile);
	for (i = 0; i < 8; i++) {
		request = request_next(hostile);
		*(struct virtio_cl_request *)request->out = (struct virtio_cl_request){
			cpu_to_le32(VIRTIO_CL_SESSION_CLOSE),
			cpu_to_le32(pick(hostile, 2) ? session : pick(hostile, 100)),
		};
		send(hostile, request, sizeof(struct virtio_cl_request),
		     sizeof(struct virtio_cl_response));
	}
	wait(hostile, request, 100);
	if (pick(hostile, 3) == 0)
		hello(hostile); /* another one: all sessions end */
}

/* The worker's rings: indices, lengths, flags and frames that change while it reads. */
static void harm_rings(struct hostile *hostile)
{
	u32 doorbells = hostile->count - VIRTIO_CL_QUEUE_DOORBELL;
	unsigned int i;

	hello(hostile);
	if (!open(hostile))
		return;
	for (i = 0; i < 200 && !fatal_signal_pending(current); i++) {
		u32 at = pick(hostile, 4) ? pick(hostile, 8) * 64
					  : pick(hostile, RINGS_SIZE / 4) * 4;

		if (i < 20) /* at first what it may take for frames */
			*(u32 *)(hostile->scratch + VIRTIO_CL_PAGE + pick(hostile, 64) * 4) =
				pick(hostile, 200);
		else
			*(u32 *)(hostile->scratch + at) = (u32)odd_number(hostile);
		if (i == 19)
			WRITE_ONCE(*(u32 *)hostile->scratch, 64 * 8);
		virtqueue_notify(hostile->queues[hostile->count - 1 - pick(hostile, doorbells)]);
		if (i % 16 == 0)
			usleep_range(500, 1000);
	}
}

static u64 descriptor_address(struct hostile *hostile, bool writable)
{
	if (pick(hostile, 2))
		return virt_to_phys(hostile->scratch) + pick(hostile, SCRATCH_SIZE - 65536);
	return BEYOND_MEMORY + (writable ? 0 : odd_number(hostile) % BEYOND_MEMORY);
}

/* A number up to @limit, or any. */
static u16 index_odd(struct hostile *hostile, u32 limit)
{
	return pick(hostile, 4) ? pick(hostile, limit) : pick64(hostile);
}

static void descriptor_fill(struct hostile *hostile, struct vring_desc *desc, u32 count)
{
	struct virtio_device *vdev = hostile->vdev;
	u16 flags = index_odd(hostile, 8);
	bool writable = flags & VRING_DESC_F_WRITE;
	u32 len = pick(hostile, 65536);

	if (!writable && pick(hostile, 2)) /* else no further than our own memory goes */
		len = odd_number(hostile);
	desc->addr = cpu_to_virtio64(vdev, descriptor_address(hostile, writable));
	desc->len = cpu_to_virtio32(vdev, len);
	desc->flags = cpu_to_virtio16(vdev, flags);
	desc->next = cpu_to_virtio16(vdev, index_odd(hostile, count));
}

/* The queue itself: chains without end, without a beginning, of tables within tables. */
static void harm_descriptors(struct hostile *hostile)
{
	unsigned int index = pick(hostile, VIRTIO_CL_QUEUE_DOORBELL + 1);
	const struct vring *ring = virtqueue_get_vring(hostile->queues[index]);
	struct virtio_device *vdev = hostile->vdev;
	unsigned int i;

	if (pick(hostile, 2))
		hello(hostile);
	noise(hostile, hostile->scratch, SCRATCH_SIZE / 8);
	for (i = 0; i < ring->num; i++) {
		descriptor_fill(hostile, &ring->desc[i], ring->num);
		ring->avail->ring[i] = cpu_to_virtio16(vdev, index_odd(hostile, ring->num));
	}
	wmb(); /* the entries before the index */
	ring->avail->idx = cpu_to_virtio16(vdev, index_odd(hostile, ring->num));
	for (i = 0; i < 4; i++) {
		virtqueue_notify(hostile->queues[index]);
		usleep_range(1000, 2000);
	}
}

/* Events without room, buffers in doorbells, too many notifications, writes to configuration. */
static void harm_others(struct hostile *hostile)
{
	struct scatterlist list;
	unsigned int i;

	if (pick(hostile, 2))
		hello(hostile);
	for (i = 0; i < 32; i++) {
		struct virtqueue *vq = hostile->queues[1 + pick(hostile, hostile->count - 1)];

		sg_init_one(&list, hostile->scratch + i * 64, 1 + pick(hostile, 12));
		if (pick(hostile, 2))
			virtqueue_add_inbuf(vq, &list, 1, hostile->scratch, GFP_KERNEL);
		else
			virtqueue_add_outbuf(vq, &list, 1, hostile->scratch, GFP_KERNEL);
		virtqueue_notify(vq);
	}
	for (i = 0; i < 500; i++)
		virtqueue_notify(hostile->queues[pick(hostile, hostile->count)]);
	for (i = 0; i < sizeof(struct virtio_cl_config); i++) {
		u8 byte = pick64(hostile);

		hostile->vdev->config->set(hostile->vdev, i, &byte, 1);
	}
}

/* Resets in quick succession, with requests on their way. */
static void harm_resets(struct hostile *hostile)
{
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct request *request = request_next(hostile);

		noise(hostile, request->out, 256);
		*(__le32 *)request->out = cpu_to_le32(1 + pick(hostile, 6));
		send(hostile, request, 8 + pick(hostile, 248), IN_MAX);
		if (pick(hostile, 2))
			hello(hostile);
		queues_stop(hostile);
		if (queues_start(hostile)) {
			hostile->count = 0;
			return;
		}
	}
}

static void (*const harms[])(struct hostile *hostile) = {
	harm_noise,	  harm_memory, harm_sessions, harm_rings,
	harm_descriptors, harm_others, harm_resets,
};

/* ------------------------------------------------------------ life */

static int harm(struct hostile *hostile)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < rounds && !err && !fatal_signal_pending(current); i++) {
		u32 kind = pick(hostile, ARRAY_SIZE(harms));

		err = queues_start(hostile);
		if (err)
			break;
		if (only >= 0 && only < ARRAY_SIZE(harms))
			kind = only;
		harms[kind](hostile);
		if (!hostile->count)
			return -EIO;
		usleep_range(1000, 2000);
		queues_stop(hostile);
		cond_resched();
	}
	pr_info("done: %u rounds, %u sessions opened, %u answers, of which %u refuse (error %d)\n",
		i, hostile->opened, hostile->answered, hostile->refused, err);
	return err;
}

/* Never takes the device: it has had its way when this returns. */
static int hostile_probe(struct virtio_device *vdev)
{
	struct hostile *hostile = kzalloc(sizeof(*hostile), GFP_KERNEL);
	int err = -ENOMEM;

	if (!hostile)
		return -ENOMEM;
	hostile->vdev = vdev;
	prandom_seed_state(&hostile->random, seed);
	hostile->requests = kcalloc(REQUESTS, sizeof(*hostile->requests), GFP_KERNEL);
	hostile->scratch = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, SCRATCH_ORDER);
	if (hostile->requests && hostile->scratch)
		err = harm(hostile);
	virtio_reset_device(vdev);
	if (hostile->scratch)
		free_pages((unsigned long)hostile->scratch, SCRATCH_ORDER);
	kfree(hostile->requests);
	kfree(hostile);
	return err ? err : -ENODEV;
}

/* Disks are not for this. */
static int hostile_validate(struct virtio_device *vdev)
{
	u32 magic = 0;

	if (vdev->id.device == VIRTIO_CL_ID || __virtio_test_bit(vdev, VIRTIO_CL_SHELL_BIT))
		virtio_cread_le(vdev, struct virtio_cl_config, magic, &magic);
	if (magic != VIRTIO_CL_MAGIC)
		return -ENODEV;
	__virtio_clear_bit(vdev, VIRTIO_F_ACCESS_PLATFORM);
	return 0;
}

static void hostile_remove(struct virtio_device *vdev)
{
}

static const struct virtio_device_id hostile_ids[] = {
	{VIRTIO_CL_ID, VIRTIO_DEV_ANY_ID},
	{VIRTIO_CL_ID_SHELL, VIRTIO_DEV_ANY_ID},
	{0},
};

static const unsigned int hostile_features[] = {VIRTIO_CL_SHELL_BIT};

static struct virtio_driver hostile_driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = hostile_ids,
	.feature_table = hostile_features,
	.feature_table_size = ARRAY_SIZE(hostile_features),
	.validate = hostile_validate,
	.probe = hostile_probe,
	.remove = hostile_remove,
};

module_virtio_driver(hostile_driver);
MODULE_DESCRIPTION("Breaks the rules of virtio-cl, to test hosts");
MODULE_LICENSE("Dual MIT/GPL");
