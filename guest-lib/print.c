/*
 * What kernels print goes to the program's standard output, past its buffers, as natively.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "guest.h"

/* The program's standard output may be a pipe that doesn't block. */
static ssize_t write_some(const uint8_t *data, size_t size)
{
	ssize_t written = write(STDOUT_FILENO, data, size);
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

	if (written >= 0)
		return written;
	if (errno == EAGAIN)
		poll(&out, 1, -1);
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

void gcl_on_print(struct gcl_session *session, const struct gcl_frame *head,
		  const Gcl__Print *message)
{
	size_t done = 0;

	(void)session;
	(void)head;
	while (done < message->text.len) {
		ssize_t written = write_some(message->text.data + done, message->text.len - done);

		if (written < 0)
			return;
		done += (size_t)written;
	}
}
