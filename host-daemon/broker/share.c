// SPDX-License-Identifier: MIT
#include "share.h"

#include "base/cleanup.h"

/* How much more a class of priority counts than the next lower one. */
#define PRIORITY_STEP 16.

/* What a flow with a ceiling may use at once. */
#define BURST_NS 20e6

/* Not looked at more often: who is ahead waits a moment longer. */
#define CATCH_UP_MIN_NS 200000

/* The rate of a flow is that of so much time that it held the device, on average. */
#define RATE_SPAN_NS 20000000
#define RATE_MIN     0.0625

/* Who gets a lease so soon did not have to wait. */
#define HINDERED_NS 500000

/* With less than this left it waits. */
#define ALLOWED_MIN_NS 1e6

void gcl_share_init(struct gcl_share *share, unsigned slots)
{
	share->slots = slots;
	gcl_list_init(&share->flows);
	gcl_list_init(&share->holders);
	gcl_list_init(&share->users);
	share->least = 0.;
}

void gcl_share_flow_init(struct gcl_share_flow *flow)
{
	*flow = (struct gcl_share_flow){.weight = 1., .rate = 1., .usual = 1., .allowed = BURST_NS};
	gcl_list_init(&flow->link);
	gcl_list_init(&flow->waiting);
}

void gcl_share_client_init(struct gcl_share_client *client, struct gcl_share_flow *flow,
			   int64_t now, uint64_t told)
{
	*client = (struct gcl_share_client){.flow = flow, .opened = now, .told = told};
	gcl_list_init(&client->link);
	gcl_list_init(&client->using);
}

void gcl_share_flow_set(struct gcl_share_flow *flow, unsigned weight,
			enum gcl_share_priority priority, unsigned ceiling)
{
	flow->weight = weight ? weight : 1.;
	if (priority == GCL_SHARE_HIGH)
		flow->weight *= PRIORITY_STEP;
	if (priority == GCL_SHARE_LOW)
		flow->weight /= PRIORITY_STEP;
	flow->ceiling = ceiling;
}

static struct gcl_share_flow *flow_of(struct gcl_list *it)
{
	return gcl_container_of(it, struct gcl_share_flow, link);
}

static bool busy(const struct gcl_share_flow *flow)
{
	return flow->holding || !gcl_list_empty(&flow->waiting);
}

/* ------------------------------------------------------------ charging */

static void allowance_refill(struct gcl_share_flow *flow, int64_t now)
{
	flow->allowed += (double)(now - flow->allowed_at) * flow->ceiling / 100.;
	if (flow->allowed > BURST_NS)
		flow->allowed = BURST_NS;
	flow->allowed_at = now;
}

static void charge(struct gcl_share_flow *flow, int64_t time)
{
	flow->had += (double)time / flow->weight;
	flow->allowed -= (double)time;
}

/* Return: ns that are new, and believed. */
static int64_t used_new(struct gcl_share_client *client, int64_t now, uint64_t total)
{
	uint64_t said = total > client->told ? total - client->told : 0;
	int64_t most = GCL_MAX(now - client->opened - client->used, 0);
	int64_t used = said < (uint64_t)most ? (int64_t)said : most;

	client->told = total;
	client->used += used;
	return used;
}

static void average(double *rate, int64_t span, int64_t used, int64_t over)
{
	double part = span < over ? (double)span / (double)over : 1.;

	*rate += ((double)used / (double)span - *rate) * part;
	*rate = GCL_MIN(GCL_MAX(*rate, RATE_MIN), 1.);
}

/* How well the flow keeps the device busy while it holds it. */
static void rate_learn(struct gcl_share_flow *flow, int64_t span, int64_t used)
{
	if (span <= 0)
		return;
	average(&flow->rate, span, used, RATE_SPAN_NS);
	average(&flow->usual, span, used, GCL_SHARE_CONTENT_NS);
}

void gcl_share_measure(struct gcl_share_client *client, int64_t now, uint64_t total, bool busy)
{
	int64_t used = used_new(client, now, total), guess = client->guess;

	if (busy || used)
		client->used_at = now;
	client->busy = busy || (client->holding && now - client->used_at < GCL_SHARE_HOLE_NS);
	if (used || !busy) {
		client->told_at = now;
		guess = 0;
	} else if (client->holding) {
		guess = now - client->told_at;
	}
	used += guess - client->guess;
	client->guess = guess;
	charge(client->flow, used);
	if (client->holding)
		rate_learn(client->flow, now - client->looked, used);
	else if (!busy)
		gcl_list_remove(&client->using);
	client->looked = now;
}

/* ------------------------------------------------------------ who has enough */

static bool content(const struct gcl_share *share, const struct gcl_share_flow *flow, int64_t now)
{
	return flow->holding && now - flow->unhindered > GCL_SHARE_CONTENT_NS &&
	       flow->usual < GCL_SHARE_CONTENT_PART * flow->weight / share->weights;
}

/* What the flow that had least has had, of those that have something to do and could do with more;
 * or -1: there is none. */
static double least_had(struct gcl_share *share, int64_t now)
{
	double least = -1.;

	gcl_list_for_each (it, &share->flows) {
		const struct gcl_share_flow *flow = flow_of(it);

		if (busy(flow) && !content(share, flow, now) && (least < 0. || flow->had < least))
			least = flow->had;
	}
	return least;
}

/* Of all that have something to do. */
static double weights(const struct gcl_share *share)
{
	double sum = 0.;

	gcl_list_for_each (it, &share->flows)
		sum += busy(flow_of(it)) ? flow_of(it)->weight : 0.;
	return sum;
}

/* Accounts of all are brought up to @now. */
static void settle(struct gcl_share *share, int64_t now)
{
	double least;

	share->weights = weights(share);
	least = least_had(share, now);
	share->least = GCL_MAX(share->least, least);
	gcl_list_for_each (it, &share->flows) {
		struct gcl_share_flow *flow = flow_of(it);

		allowance_refill(flow, now);
		if (flow->holding)
			flow->last = now;
		if (content(share, flow, now))
			flow->had = GCL_MAX(flow->had, least);
	}
}

/* ------------------------------------------------------------ leases */

/* The weight that a quantum is meant for: the mean of those that have something to do, @flow among
 * them. */
static double weight_mean(const struct gcl_share *share, const struct gcl_share_flow *flow)
{
	double sum = flow->weight;
	unsigned count = 1;

	gcl_list_for_each (it, &share->flows) {
		if (flow_of(it) == flow || !busy(flow_of(it)))
			continue;
		sum += flow_of(it)->weight;
		count++;
	}
	return sum / count;
}

static bool held_back(const struct gcl_share_flow *flow)
{
	return flow->ceiling && flow->allowed < ALLOWED_MIN_NS;
}

/* Which flow is next: the one that has had least, of those that wait and may. @beside: and hold
 * nothing, since others do */
static struct gcl_share_flow *next_flow(const struct gcl_share *share,
					const struct gcl_share_flow *except, bool beside)
{
	struct gcl_share_flow *best = NULL;

	gcl_list_for_each (it, &share->flows) {
		struct gcl_share_flow *flow = flow_of(it);

		if ((except && flow == except) || gcl_list_empty(&flow->waiting) || held_back(flow))
			continue;
		if (beside && flow->holding)
			continue;
		if (!best || flow->had < best->had)
			best = flow;
	}
	return best;
}

/* The one that has had least of those that use what they hold and could do with more, but for
 * @except; or NULL. */
static const struct gcl_share_flow *least_holder(const struct gcl_share *share,
						 const struct gcl_share_flow *except, int64_t now)
{
	const struct gcl_share_flow *best = NULL;

	gcl_list_for_each (it, &share->holders) {
		const struct gcl_share_client *client =
			gcl_container_of(it, struct gcl_share_client, link);
		const struct gcl_share_flow *flow = client->flow;

		if (flow == except || !client->busy || content(share, flow, now))
			continue;
		if (!best || flow->had < best->had)
			best = flow;
	}
	return best;
}

/* A quantum, as it counts for a flow's "had". */
static double quantum(const struct gcl_share *share, const struct gcl_share_flow *flow)
{
	return (double)GCL_SHARE_QUANTUM_NS * share->slots / weight_mean(share, flow);
}

/* How long @flow has to wait until it isn't ahead of those that hold the device, and may use it
 * beside them. Return: ns, 0: it isn't. */
static int64_t catch_up(const struct gcl_share *share, const struct gcl_share_flow *flow,
			int64_t now)
{
	const struct gcl_share_flow *other = least_holder(share, flow, now);
	double ahead;

	if (!other)
		return 0;
	ahead = flow->had - other->had - quantum(share, flow);
	if (ahead <= 0.)
		return 0;
	return GCL_MAX((int64_t)(ahead * other->weight / other->rate), CATCH_UP_MIN_NS);
}

/* The same the other way round: how long until @flow, which holds as well, is ahead. */
static double ahead_left(const struct gcl_share *share, const struct gcl_share_flow *flow,
			 int64_t now)
{
	const struct gcl_share_flow *other = least_holder(share, flow, now);
	double gap, rate;

	if (!other)
		return (double)INT64_MAX;
	gap = other->had + quantum(share, flow) - flow->had;
	rate = flow->rate / flow->weight - other->rate / other->weight;
	if (gap <= 0.)
		return 0.;
	return rate > 0. ? gap / rate : (double)INT64_MAX;
}

/* How long from now on a lease of @flow may last. @held: it lasts that long already */
static int64_t lease_left(const struct gcl_share *share, const struct gcl_share_flow *flow,
			  int64_t held, int64_t now)
{
	const struct gcl_share_flow *other = next_flow(share, flow, false);
	double left = (double)INT64_MAX;

	if (other) {
		left = (other->had - flow->had + quantum(share, flow)) * flow->weight / flow->rate;
		left = GCL_MIN(left, (double)GCL_SHARE_LEASE_MAX_NS * share->slots - (double)held);
		left = GCL_MAX(left, (double)GCL_SHARE_LEASE_MIN_NS - (double)held);
	} else if (!gcl_list_empty(&flow->waiting)) {
		left = (double)(GCL_SHARE_QUANTUM_NS - held); /* others of its own */
	} else {
		left = ahead_left(share, flow, now);
		left = GCL_MAX(left, (double)GCL_SHARE_LEASE_MIN_NS - (double)held);
	}
	if (flow->ceiling)
		left = GCL_MIN(left, GCL_MAX(flow->allowed, 0.));
	return left < 1e15 ? (int64_t)left : INT64_MAX;
}

/* Ends of leases depend on who waits. */
static void leases_set(struct gcl_share *share, int64_t now)
{
	gcl_list_for_each (it, &share->holders) {
		struct gcl_share_client *client =
			gcl_container_of(it, struct gcl_share_client, link);
		int64_t left = lease_left(share, client->flow, now - client->since, now);

		client->until = left == INT64_MAX ? INT64_MAX : now + left;
	}
}

static void take_back(struct gcl_share_client *client, int64_t now)
{
	gcl_list_remove(&client->link);
	if (client->holding && !--client->flow->holding)
		client->flow->wants = now;
	client->holding = client->waiting = client->overdue = false;
}

/* ------------------------------------------------------------ what callers say */

void gcl_share_hold(struct gcl_share *share, struct gcl_share_client *client, int64_t now)
{
	settle(share, now);
	take_back(client, now);
	if (gcl_list_empty(&client->flow->link)) {
		client->flow->allowed_at = now;
		gcl_list_append(&share->flows, &client->flow->link);
	}
	if (!client->flow->holding && now - client->flow->wants > HINDERED_NS)
		client->flow->unhindered = now;
	client->holding = client->busy = true;
	client->flow->holding++;
	client->flow->last = now;
	client->since = client->looked = client->used_at = now;
	client->told_at = now - client->guess;
	gcl_list_append(&share->holders, &client->link);
	if (gcl_list_empty(&client->using))
		gcl_list_append(&share->users, &client->using);
	leases_set(share, now);
}

/* It had nothing to do, and now has. */
static void come_back(struct gcl_share *share, struct gcl_share_flow *flow, int64_t now)
{
	double first = share->least - quantum(share, flow);
	bool paused = now - flow->last < GCL_SHARE_PAUSE_NS;

	if (gcl_list_empty(&flow->link)) {
		flow->allowed_at = now;
		gcl_list_append(&share->flows, &flow->link);
	}
	if (!paused) {
		flow->had = GCL_MAX(flow->had, first);
		flow->unhindered = now;
	}
}

void gcl_share_want(struct gcl_share *share, struct gcl_share_client *client, int64_t now)
{
	bool idle = !busy(client->flow);

	settle(share, now);
	if (client->waiting)
		return;
	take_back(client, now);
	if (idle)
		come_back(share, client->flow, now);
	if (!client->flow->holding && gcl_list_empty(&client->flow->waiting))
		client->flow->wants = now;
	client->waiting = true;
	client->flow->last = now;
	gcl_list_append(&client->flow->waiting, &client->link);
	leases_set(share, now);
}

/* Flows that are not active are not looked at every time. */
static void inactive_forget(struct gcl_share *share, int64_t now)
{
	gcl_list_for_each_safe (it, next, &share->flows) {
		if (!busy(flow_of(it)) && now - flow_of(it)->last > GCL_SHARE_ACTIVE_NS)
			gcl_list_remove(it);
	}
}

void gcl_share_done(struct gcl_share *share, struct gcl_share_client *client, int64_t now)
{
	settle(share, now);
	take_back(client, now);
	leases_set(share, now);
	inactive_forget(share, now);
}

void gcl_share_leave(struct gcl_share *share, struct gcl_share_client *client, int64_t now)
{
	gcl_share_done(share, client, now);
	charge(client->flow, -client->guess);
	client->guess = 0;
	gcl_list_remove(&client->using);
}

/* Return: how many hold the device, but for those who should not. */
static unsigned holders_count(struct gcl_share *share, int64_t now, int64_t *again)
{
	unsigned count = 0;

	gcl_list_for_each (it, &share->holders) {
		struct gcl_share_client *client =
			gcl_container_of(it, struct gcl_share_client, link);

		if (client->until < INT64_MAX && now - client->until >= GCL_SHARE_OVERDUE_NS)
			client->overdue = true;
		if (client->overdue)
			continue;
		count++;
		if (client->until < INT64_MAX)
			*again = GCL_MIN(*again, client->until + GCL_SHARE_OVERDUE_NS);
	}
	return count;
}

/* When the first of those that their ceilings hold back may go on. */
static int64_t ceilings_end(const struct gcl_share *share, int64_t now)
{
	int64_t end = INT64_MAX;

	gcl_list_for_each (it, &share->flows) {
		const struct gcl_share_flow *flow = flow_of(it);

		if (gcl_list_empty(&flow->waiting) || !held_back(flow))
			continue;
		end = GCL_MIN(end, now + 1 +
					   (int64_t)((ALLOWED_MIN_NS - flow->allowed) * 100. /
						     flow->ceiling));
	}
	return end;
}

struct gcl_share_client *gcl_share_pick(struct gcl_share *share, int64_t now, int64_t *again)
{
	struct gcl_share_client *client;
	struct gcl_share_flow *flow;
	unsigned holders;
	int64_t wait;

	settle(share, now);
	leases_set(share, now);
	*again = ceilings_end(share, now);
	if (!gcl_share_contended(share))
		return NULL;
	holders = holders_count(share, now, again);
	flow = holders < share->slots ? next_flow(share, NULL, holders > 0) : NULL;
	if (!flow)
		return NULL;
	wait = holders ? catch_up(share, flow, now) : 0;
	if (wait) {
		*again = GCL_MIN(*again, now + wait);
		return NULL;
	}
	client = gcl_list_first(&flow->waiting, struct gcl_share_client, link);
	gcl_share_hold(share, client, now);
	if (client->until < INT64_MAX && gcl_share_contended(share))
		*again = GCL_MIN(*again, client->until + GCL_SHARE_OVERDUE_NS);
	return client;
}

bool gcl_share_contended(const struct gcl_share *share)
{
	gcl_list_for_each (it, &share->flows) {
		if (!gcl_list_empty(&flow_of(it)->waiting))
			return true;
	}
	return false;
}

bool gcl_share_full(const struct gcl_share *share)
{
	unsigned count = 0;

	gcl_list_for_each (it, &share->holders)
		count += !gcl_container_of(it, struct gcl_share_client, link)->overdue;
	return count >= share->slots && gcl_share_contended(share);
}

struct gcl_share_flow *gcl_share_only(const struct gcl_share *share, int64_t now)
{
	struct gcl_share_flow *only = NULL;

	gcl_list_for_each (it, &share->flows) {
		struct gcl_share_flow *flow = flow_of(it);

		if (!busy(flow) && now - flow->last > GCL_SHARE_ACTIVE_NS)
			continue;
		if (only)
			return NULL;
		only = flow;
	}
	return only && !only->ceiling ? only : NULL;
}
