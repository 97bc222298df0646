// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Sessions: how they begin, end, and when their memory is given back.
 *
 * Whatever happens to a session changes its state under the device's lock; vcl_session.settle then
 * does what follows from it. What outlives the device waits in the list of orphans for the host's
 * next life.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/idr.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "vcl.h"

/* The mappings of one slot lie in 2 TiB of the device file's offsets. */
#define SLOTS_MAX BIT(20)

static DEFINE_IDA(slots);
static DEFINE_MUTEX(orphans_lock);
static LIST_HEAD(orphans);

static void session_settle(struct work_struct *work);

/*
 * vcl_session_create() - a session that is not opened yet
 * @mapping: of the file that it is for
 *
 * Return: an ERR_PTR().
 */
struct vcl_session *vcl_session_create(struct vcl_device *device, struct address_space *mapping)
{
	struct vcl_session *session = kzalloc(sizeof(*session), GFP_KERNEL_ACCOUNT);
	int slot;

	if (!session)
		return ERR_PTR(-ENOMEM);
	slot = ida_alloc_max(&slots, SLOTS_MAX - 1, GFP_KERNEL);
	if (slot < 0) {
		kfree(session);
		return ERR_PTR(slot);
	}
	kref_init(&session->ref);
	kref_get(&device->ref);
	session->device = device;
	session->slot = slot;
	session->mapping = mapping;
	INIT_LIST_HEAD(&session->link);
	INIT_HLIST_NODE(&session->by_id);
	INIT_WORK(&session->settle, session_settle);
	init_waitqueue_head(&session->wait);
	mutex_init(&session->call);
	init_rwsem(&session->memory);
	xa_init(&session->chunks);
	INIT_LIST_HEAD(&session->limbo);
	return session;
}

static void session_free(struct kref *ref)
{
	struct vcl_session *session = container_of(ref, struct vcl_session, ref);

	vcl_memory_free(session); /* what came after the host had closed it */
	xa_destroy(&session->chunks);
	put_pid(session->opener);
	ida_free(&slots, session->slot);
	vcl_device_put(session->device);
	kfree(session);
}

void vcl_session_put(struct vcl_session *session)
{
	kref_put(&session->ref, session_free);
}

/* The work has a reference of its own. The caller has one, so that this gives none back for good.
 */
void vcl_session_queue(struct vcl_session *session)
{
	kref_get(&session->ref);
	if (!queue_work(vcl_wq, &session->settle))
		kref_put(&session->ref, session_free);
}

struct vcl_session *vcl_session_find_locked(struct vcl_device *device, u32 id)
{
	struct vcl_session *session;

	hash_for_each_possible(device->by_id, session, by_id, id)
		if (session->id == id && session->generation == device->generation)
			return session;
	return NULL;
}

void vcl_session_wake_locked(struct vcl_session *session)
{
	session->unread++;
	atomic64_inc(&session->wakes);
	wake_up_interruptible_poll(&session->wait, EPOLLIN | EPOLLRDNORM);
}

/* Nothing more comes of it. It is to be closed still. */
void vcl_session_end_locked(struct vcl_session *session)
{
	if (session->ended || session->state == VCL_IDLE)
		return;
	WRITE_ONCE(session->ended, true);
	wake_up_interruptible_poll(&session->wait, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
	wake_up_all(&session->device->answers);
}

void vcl_sessions_end(struct vcl_device *device)
{
	struct vcl_session *session;

	spin_lock_irq(&device->lock);
	list_for_each_entry(session, &device->sessions, link)
		vcl_session_end_locked(session);
	spin_unlock_irq(&device->lock);
}

/*
 * vcl_sessions_settle() - the host has answered a HELLO
 * @go_on: it knows the sessions that it knew before; doorbells and wake-ups may have been lost
 */
void vcl_sessions_settle(struct vcl_device *device, bool go_on)
{
	struct vcl_session *session;

	spin_lock_irq(&device->lock);
	list_for_each_entry(session, &device->sessions, link) {
		if (!go_on && session->generation != device->generation)
			vcl_session_end_locked(session);
		if (go_on && session->state == VCL_OPEN) {
			vcl_session_wake_locked(session);
			vcl_doorbell_ring(device, session->doorbell);
		}
		vcl_session_queue(session);
	}
	spin_unlock_irq(&device->lock);
}

/* The host holds nothing of it: its memory is given back, and it is no longer one of the device's.
 */
void vcl_session_finish(struct vcl_session *session)
{
	vcl_memory_free(session);
	wake_up_all(&session->device->answers);
	vcl_session_put(session);
}

static void session_closed(struct vcl_device *device, struct vcl_request *request)
{
	struct vcl_session *session = request->session;

	session->close_sent = false;
	if (!request->error || request->error == -EPIPE)
		session->state = VCL_CLOSED;
	else if (request->error != -ECONNRESET)
		dev_warn_ratelimited(device->dev, "the host keeps session %u open (error %d)\n",
				     session->id, -request->error);
	if (session->state == VCL_CLOSED)
		vcl_session_queue(session);
}

static void session_send_close(struct vcl_session *session)
{
	struct vcl_device *device = session->device;
	struct vcl_request *request =
		vcl_request_alloc(VIRTIO_CL_SESSION_CLOSE, session->id,
				  sizeof(struct virtio_cl_request),
				  sizeof(struct virtio_cl_response), GFP_KERNEL | __GFP_NOFAIL);

	request->session = session; /* which stays in the device's list until it is answered */
	request->answered = session_closed;
	spin_lock_irq(&device->lock);
	if (session->state == VCL_CLOSING && !session->close_sent &&
	    !vcl_request_send_locked(device, request)) {
		session->close_sent = true;
		atomic64_inc(&session->requests);
	}
	spin_unlock_irq(&device->lock);
	vcl_request_put(request);
}

/* What follows from the session's state. */
static void session_settle(struct work_struct *work)
{
	struct vcl_session *session = container_of(work, struct vcl_session, settle);
	struct vcl_device *device = session->device;
	bool close, finish;

	spin_lock_irq(&device->lock);
	if (session->leaving && session->state == VCL_OPEN)
		session->state = VCL_CLOSING;
	if (session->state == VCL_CLOSING && device->host == VCL_HOST_PRESENT &&
	    session->generation != device->generation)
		session->state = VCL_CLOSED; /* the host's next life: it knows nothing of it */
	close = session->state == VCL_CLOSING && !session->close_sent &&
		device->host == VCL_HOST_PRESENT;
	finish = session->state == VCL_CLOSED && session->leaving && !list_empty(&session->link);
	if (finish) {
		list_del_init(&session->link);
		hash_del(&session->by_id);
		device->session_count--;
	}
	spin_unlock_irq(&device->lock);
	if (close)
		session_send_close(session);
	if (finish)
		vcl_session_finish(session);
	vcl_session_put(session);
}

/* What the host would not close, or could not be asked to, is tried again. */
void vcl_sessions_retry_locked(struct vcl_device *device)
{
	struct vcl_session *session;

	list_for_each_entry(session, &device->sessions, link)
		if (session->state == VCL_CLOSING && !session->close_sent)
			vcl_session_queue(session);
}

/*
 * vcl_session_leave() - end a session, as far as its file is concerned
 * @ticks: how long to wait until the host has let go of its memory
 *
 * The caller has a reference, and nobody asks the host anything on the session's behalf when this
 * returns, nor later.
 */
void vcl_session_leave(struct vcl_session *session, unsigned int ticks)
{
	struct vcl_device *device = session->device;
	bool listed;

	spin_lock_irq(&device->lock);
	WRITE_ONCE(session->leaving, true);
	spin_unlock_irq(&device->lock);
	wake_up_all(&device->answers);
	wake_up_all(&session->wait);
	mutex_lock(&session->call); /* soon: whoever has it was told just now */
	spin_lock_irq(&device->lock);
	vcl_session_end_locked(session);
	listed = !list_empty(&session->link);
	if (listed)
		vcl_session_queue(session);
	spin_unlock_irq(&device->lock);
	mutex_unlock(&session->call);
	while (listed && ticks--) {
		if (wait_event_killable_timeout(device->answers,
						list_empty_careful(&session->link) ||
							device->host != VCL_HOST_PRESENT,
						VCL_TICK))
			break;
	}
}

/* Is there a session to work on? */
int vcl_session_check(struct vcl_session *session)
{
	if (READ_ONCE(session->device->removed))
		return -ENODEV;
	if (READ_ONCE(session->leaving) || READ_ONCE(session->ended))
		return -EPIPE;
	return READ_ONCE(session->state) == VCL_OPEN ? 0 : -ENOTCONN;
}

/*
 * vcl_sessions_leave() - the device goes, and its sessions with it
 *
 * Files may be open still. What the host does not let go of in time is nobody's until it says so.
 */
void vcl_sessions_leave(struct vcl_device *device)
{
	struct vcl_session *session;
	unsigned int ticks;

	spin_lock_irq(&device->lock);
	WRITE_ONCE(device->removed, true);
	list_for_each_entry(session, &device->sessions, link) {
		WRITE_ONCE(session->leaving, true);
		vcl_session_end_locked(session);
		vcl_session_queue(session);
	}
	spin_unlock_irq(&device->lock);
	wake_up_all(&device->answers);
	for (ticks = 0; ticks < VCL_TICKS_CALL; ticks++)
		if (wait_event_timeout(device->answers,
				       list_empty_careful(&device->sessions) ||
					       device->host != VCL_HOST_PRESENT,
				       VCL_TICK))
			break;
}

/*
 * vcl_sessions_orphan() - the device's queues are gone: keep what the host did not let go of
 */
void vcl_sessions_orphan(struct vcl_device *device)
{
	struct vcl_session *session, *next;

	flush_workqueue(vcl_wq);
	mutex_lock(&orphans_lock);
	list_for_each_entry_safe(session, next, &device->sessions, link) {
		spin_lock_irq(&device->lock);
		hash_del(&session->by_id);
		list_move_tail(&session->link, &orphans);
		device->session_count--;
		spin_unlock_irq(&device->lock);
	}
	mutex_unlock(&orphans_lock);
}

/* The host answered the greeting of another life: it has let go of all that was before. */
void vcl_orphans_free(void)
{
	struct vcl_session *session;

	mutex_lock(&orphans_lock);
	while ((session = list_first_entry_or_null(&orphans, struct vcl_session, link))) {
		list_del_init(&session->link);
		vcl_session_finish(session);
	}
	mutex_unlock(&orphans_lock);
}

/* The module goes. Memory that the host may write to cannot be anybody else's again. */
void vcl_orphans_forget(void)
{
	struct vcl_session *session, *next;

	list_for_each_entry_safe(session, next, &orphans, link) {
		pr_warn("the host did not let go of session %u: %lld bytes are lost until the next boot\n",
			session->id,
			(s64)atomic64_read(&session->heap_bytes) +
				atomic64_read(&session->pinned_bytes));
		list_del_init(&session->link);
	}
	ida_destroy(&slots);
}
