// SPDX-License-Identifier: MIT
/*
 * guestcl top on a terminal, by ncurses.
 */
#include <curses.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "top.h"

struct screen {
	struct gcl_top_source *source;
	struct gcl_top_choice *choice;
	double interval;
	int scroll; /* lines of the table that are above the window */
	int at;	    /* line of the table that is being drawn */
	int total;  /* lines of the table */
	bool help;
	char said[600]; /* on the last line */
};

static const char *const help[] = {
	"q        end",
	"m t b n  sort by memory, device time, bytes, name",
	"up down  select a VM",
	"p        pause the selected VM, or let it go on",
	"page up, page down, home, end  scroll",
	"space    refresh now",
	"",
	"BUSY%    device time: 100% is one command that runs all the time",
	"WAIT%    time that commands waited for a device",
	"IN, OUT  bytes from and to the guest",
	"",
	"any key goes back",
};

static void line_put(void *data, enum gcl_top_style style, const char *line)
{
	static const attr_t attributes[] = {
		[GCL_TOP_PLAIN] = A_NORMAL,
		[GCL_TOP_HEAD] = A_BOLD,
		[GCL_TOP_SELECTED] = A_REVERSE,
		[GCL_TOP_TROUBLE] = A_DIM,
	};
	struct screen *screen = data;
	int row = screen->at++ - screen->scroll;

	if (row < 0 || row >= LINES - 1)
		return;
	attrset(attributes[style]);
	mvaddnstr(row, 0, line, -1);
	attrset(A_NORMAL);
}

static void status_line(const struct screen *screen)
{
	static const char keys[] = "q end  m t b n sort  up/down select  p pause  h help";

	attrset(A_REVERSE);
	mvhline(LINES - 1, 0, ' ', COLS);
	mvaddnstr(LINES - 1, 0, *screen->said ? screen->said : keys, COLS - 1);
	attrset(A_NORMAL);
}

static void draw(struct screen *screen)
{
	erase();
	if (screen->help) {
		for (int i = 0; i < (int)GCL_ARRAY_SIZE(help) && i < LINES - 1; i++)
			mvaddnstr(i, 0, help[i], COLS - 1);
	} else if (screen->source->known && LINES > 1 && COLS > 1) {
		screen->at = 0;
		gcl_top_table(&screen->source->view, screen->choice, (unsigned)COLS - 1, line_put,
			      screen);
		screen->total = screen->at;
	}
	if (LINES > 0 && COLS > 1)
		status_line(screen);
	refresh();
}

static void ask(struct screen *screen)
{
	screen->said[0] = '\0';
	if (gcl_top_ask(screen->source) < 0)
		snprintf(screen->said, sizeof screen->said, "%s", screen->source->client.error);
	gcl_top_sort(&screen->source->view, screen->choice->sort);
}

/* ------------------------------------------------------------ keys */

static void select_move(struct screen *screen, int step)
{
	const struct gcl_view_rows *vms = &screen->source->view.vms;
	size_t at;

	if (vms->count == 0)
		return;
	for (at = 0; at < vms->count; at++) {
		if (strcmp(vms->rows[at].id, screen->choice->selected) == 0)
			break;
	}
	if (at == vms->count)
		at = step > 0 ? 0 : vms->count - 1;
	else if (step > 0)
		at = GCL_MIN(at + 1, vms->count - 1);
	else
		at = at ? at - 1 : 0;
	memcpy(screen->choice->selected, vms->rows[at].id, sizeof screen->choice->selected);
}

static void scroll_to(struct screen *screen, int line)
{
	int last = GCL_MAX(screen->total - (LINES - 1), 0);

	screen->scroll = GCL_MAX(GCL_MIN(line, last), 0);
}

static void pause_toggle(struct screen *screen)
{
	if (!*screen->choice->selected) {
		snprintf(screen->said, sizeof screen->said, "select a VM first: up, down");
		return;
	}
	if (gcl_top_pause(screen->source, screen->choice->selected) < 0)
		snprintf(screen->said, sizeof screen->said, "%s", screen->source->client.error);
	else
		ask(screen);
}

static void key_sort(struct screen *screen, int key)
{
	screen->choice->sort = (char)key;
	gcl_top_sort(&screen->source->view, screen->choice->sort);
}

/* Return: false to end. */
static bool key_take(struct screen *screen, int key)
{
	int page = GCL_MAX(LINES - 2, 1);

	if (screen->help) {
		screen->help = key == KEY_RESIZE;
		return true;
	}
	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case 'm':
	case 't':
	case 'b':
	case 'n':
		key_sort(screen, key);
		break;
	case 'p':
		pause_toggle(screen);
		break;
	case 'h':
	case '?':
		screen->help = true;
		break;
	case ' ':
		ask(screen);
		break;
	case KEY_DOWN:
	case KEY_UP:
		select_move(screen, key == KEY_DOWN ? 1 : -1);
		break;
	case KEY_NPAGE:
		scroll_to(screen, screen->scroll + page);
		break;
	case KEY_PPAGE:
		scroll_to(screen, screen->scroll - page);
		break;
	case KEY_HOME:
		scroll_to(screen, 0);
		break;
	case KEY_END:
		scroll_to(screen, screen->total);
		break;
	default:
		break;
	}
	return true;
}

/* ------------------------------------------------------------ */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Keys until it is time to refresh. Return: false to end. */
static bool keys_until(struct screen *screen, double when)
{
	double left;

	while ((left = when - now()) > 0.) {
		int key;

		timeout((int)ceil(GCL_MIN(left, 3600.) * 1e3));
		key = getch();
		if (key == ERR && (errno == EIO || feof(stdin)))
			return false; /* the terminal is gone */
		if (key == ERR)
			continue;
		if (!key_take(screen, key))
			return false;
		draw(screen);
	}
	return true;
}

int gcl_top_screen(struct gcl_top_source *source, struct gcl_top_choice *choice, double interval,
		   unsigned count)
{
	struct screen screen = {.source = source, .choice = choice, .interval = interval};
	SCREEN *terminal = newterm(NULL, stdout, stdin);

	if (!terminal)
		return -1;
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	curs_set(0);
	set_escdelay(50);
	gcl_top_sort(&source->view, choice->sort);
	for (unsigned i = 1;; i++) {
		double when = now() + interval;

		scroll_to(&screen, screen.scroll);
		draw(&screen);
		if (i == count || !keys_until(&screen, when))
			break;
		ask(&screen);
	}
	endwin();
	delscreen(terminal);
	return EXIT_SUCCESS;
}
