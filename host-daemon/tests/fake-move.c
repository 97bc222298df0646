// SPDX-License-Identifier: MIT
#include "fake-move.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "fake-load.h"
#include "note.h"
#include "page.h"
#include "stream-channel.h"

#define PAGE   4
#define PLACES 16

/* How often what it has to do is counted. */
#define LOAD_MS 100

/* Sessions that it has elsewhere, by the numbers of their places. */
static struct gcl_channel *sessions[PLACES];

static void say(int broker, enum gcl_note_type type, uint32_t device, uint64_t value)
{
	const struct gcl_note note = {.type = type, .device = device, .value = value};

	(void)!send(broker, &note, sizeof note, MSG_NOSIGNAL);
}

/* Figures as a worker may show them. */
static void page_fill(enum gcl_move_step step)
{
	struct gcl_page *page =
		mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, PAGE, 0);

	if (page == MAP_FAILED)
		return;
	page->move.step = step;
	page->move.bytes = 3 << 20;
	page->move.ahead = 2 << 20;
	page->move.rest = 1 << 20;
	page->move.behind = 3 << 20;
	page->move.took = 1500000000;
	page->move.prepared = 1000000000;
	page->move.pause = 2500000;
	munmap(page, sizeof *page);
}

static enum gcl_move_result away(const struct gcl_note *note, int fd)
{
	uint32_t place = GCL_MOVE_PLACE(note->extra) % PLACES;
	char reason[256];

	/* A connection that isn't needed is the broker's mistake. */
	if (fd >= 0 && sessions[place])
		return GCL_MOVE_COPY;
	if (fd >= 0)
		gcl_stream_greet(dup(fd), "a server", GCL_HELLO_TIMEOUT_MS, &sessions[place],
				 reason, sizeof reason);
	return sessions[place] ? GCL_MOVE_DONE : GCL_MOVE_LINK;
}

static enum gcl_move_result home(int broker)
{
	for (uint32_t i = 0; i < PLACES; i++) {
		if (!sessions[i])
			continue;
		gcl_channel_close(sessions[i]);
		sessions[i] = NULL;
		say(broker, GCL_NOTE_PLACE_LEFT, 0, i);
	}
	return GCL_MOVE_DONE;
}

static void move(int broker, const struct gcl_note *note, int fd, const char *how)
{
	unsigned number = 0;
	uint32_t result;

	page_fill(GCL_MOVE_STEP_COPY);
	if (strcmp(how, "never") == 0)
		return;
	if (strcmp(how, "surplus") == 0) {
		say(broker, GCL_NOTE_PLACE_LEFT, 0, UINT64_MAX);
		say(broker, GCL_NOTE_PLACE_LEFT, 0, 12345);
	}
	if (sscanf(how, "result %u", &result) != 1)
		result = note->type == GCL_NOTE_MOVE ? away(note, fd) : home(broker);
	if (sscanf(how, "slow %u", &number) == 1)
		usleep(number * 1000);
	page_fill(GCL_MOVE_STEP_NONE);
	say(broker, GCL_NOTE_MOVED, result, 7);
	if (strcmp(how, "surplus") == 0)
		say(broker, GCL_NOTE_MOVED, GCL_MOVE_DONE, 7);
}

/* Return: false at the end. */
static bool note_take(int broker, const char *how)
{
	struct gcl_note note = {0};
	unsigned count;
	int fd = -1;
	ssize_t n = gcl_fds_receive(broker, &note, sizeof note, 0, &fd, 1, &count);

	if (n != sizeof note)
		return false;
	if (note.type == GCL_NOTE_MOVE || note.type == GCL_NOTE_MOVE_HOME)
		move(broker, &note, count ? fd : -1, how);
	if (count)
		close(fd);
	return true;
}

static bool is_away(void)
{
	for (uint32_t i = 0; i < PLACES; i++) {
		if (sessions[i])
			return true;
	}
	return false;
}

void fake_move_serve(int broker, int guest, const char *how)
{
	struct pollfd fds[] = {{.fd = broker, .events = POLLIN},
			       {.fd = guest, .events = POLLRDHUP}};

	for (;;) {
		int n = poll(fds, 2, LOAD_MS);

		fake_load_go(is_away());
		if (n < 0 || fds[1].revents || (n > 0 && !note_take(broker, how)))
			return;
	}
}
