/*
 * What kernels print: the runtime writes it to the process's standard output, which is a pipe whose
 * other end is here.
 *
 * The watch thread reads the pipe all the time, so that no kernel blocks on it; before a launch's
 * completion is told, the rest is read, so that text comes before completion. printer.lock keeps
 * pieces in order and is held until they are in the outbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "worker.h"

#define PIPE_SIZE  (1 << 20)
#define PRINT_SIZE 16384u

struct gcl_printer {
	int fd; /* the pipe's reading end */
	pthread_mutex_t lock;
	uint8_t text[PRINT_SIZE];
};

int gcl_print_start(struct gcl_worker *worker)
{
	_cleanup_free_ struct gcl_printer *printer = calloc(1, sizeof *printer);
	_cleanup_close_ int reader = -1;
	_cleanup_close_ int writer = -1;
	int fds[2];

	if (!printer)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	reader = fds[0];
	writer = fds[1];
	fflush(stdout);
	if (dup2(writer, STDOUT_FILENO) < 0 || fcntl(reader, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	/* More room means fewer pauses for a kernel that prints much; less will do. */
	(void)fcntl(reader, F_SETPIPE_SZ, PIPE_SIZE);
	pthread_mutex_init(&printer->lock, NULL);
	printer->fd = steal_fd(&reader);
	worker->printer = steal_pointer(&printer);
	return 0;
}

void gcl_print_drain(struct gcl_worker *worker)
{
	struct gcl_printer *printer = worker->printer;
	int waiting = 0;

	pthread_mutex_lock(&printer->lock);
	/* As much as there is now and no more: a kernel may print faster than this reads. */
	if (ioctl(printer->fd, FIONREAD, &waiting) < 0)
		waiting = 0;
	while (waiting > 0) {
		Gcl__Print print = GCL__PRINT__INIT;
		ssize_t n = read(printer->fd, printer->text, sizeof printer->text);

		if (n <= 0)
			break;
		print.text.data = printer->text;
		print.text.len = (size_t)n;
		gcl_send(worker, GCL_PRINT, &print.base, 0, 0);
		waiting -= (int)n;
	}
	pthread_mutex_unlock(&printer->lock);
}

void gcl_print_flush_all(struct gcl_worker *worker)
{
	if (!worker->printer)
		return;
	/* For runtimes that print through stdio. */
	fflush(stdout);
	gcl_print_drain(worker);
}

void gcl_print_flush(struct gcl_worker *worker)
{
	if (atomic_load_explicit(&worker->may_print, memory_order_relaxed))
		gcl_print_flush_all(worker);
}

int gcl_print_fd(const struct gcl_worker *worker)
{
	return worker->printer ? worker->printer->fd : -1;
}
