// SPDX-License-Identifier: MIT
/*
 * The follower process: its start, its lines, its end.
 */
#include "libvirt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm.h"

/* Pauses before a follower that has ended is started again. */
#define PAUSE_FIRST 1.
#define PAUSE_MAX   60.

/* A domain that the follower has told of. */
struct domain {
	struct gcl_list link;
	char id[GCL_VM_ID_MAX + 1];
	bool listed; /* by this follower */
};

/* ------------------------------------------------------------ domains */

static struct domain *domain_find(const struct gcl_libvirt *libvirt, const char *id)
{
	gcl_list_for_each (it, &libvirt->domains) {
		struct domain *domain = gcl_container_of(it, struct domain, link);

		if (strcmp(domain->id, id) == 0)
			return domain;
	}
	return NULL;
}

static struct domain *domain_create(struct gcl_libvirt *libvirt, const char *id)
{
	struct domain *domain = calloc(1, sizeof *domain);

	if (!domain)
		return NULL;
	snprintf(domain->id, sizeof domain->id, "%s", id);
	gcl_list_append(&libvirt->domains, &domain->link);
	libvirt->domain_count++;
	return domain;
}

void gcl_libvirt_adopt(struct gcl_libvirt *libvirt, const char *id)
{
	if (!domain_find(libvirt, id))
		domain_create(libvirt, id);
}

static void domain_remove(struct gcl_libvirt *libvirt, struct domain *domain)
{
	gcl_vms_remove(libvirt->broker, domain->id);
	gcl_list_remove(&domain->link);
	libvirt->domain_count--;
	free(domain);
}

/* What is new of them. */
static void limits_log(const struct gcl_vm *vm, const struct gcl_vm_config *config)
{
	if (vm && vm->config.memory == config->memory && vm->config.weight == config->weight)
		return;
	if (config->memory)
		gcl_log_info(vm, "VM %s: device memory %ju MiB, weight %u", config->name,
			     (uintmax_t)(config->memory >> 20), config->weight);
	else
		gcl_log_info(vm, "VM %s: device memory without limit, weight %u", config->name,
			     config->weight);
}

/* Its path, of its name in vm-dir. vm-dir leaves room for every name. */
static void socket_place(const struct gcl_libvirt *libvirt, struct gcl_vm_config *config)
{
	char name[sizeof config->socket];

	memcpy(name, config->socket, sizeof name);
	snprintf(config->socket, sizeof config->socket, "%s/%.*s", libvirt->broker->config.vm_dir,
		 (int)GCL_VM_ID_MAX, name);
}

static void domain_take(struct gcl_libvirt *libvirt, struct gcl_vm_config *config)
{
	struct domain *domain = domain_find(libvirt, config->id);
	const struct gcl_vm *vm = gcl_vms_find(libvirt->broker, config->id);

	if (vm && vm->configured) {
		gcl_log_peer(vm, "VM %s: guestcld.conf says what it may, not libvirt",
			     vm->config.name);
		return;
	}
	if (!domain && libvirt->domain_count == GCL_LIBVIRT_VMS_MAX) {
		gcl_log_peer(vm, "VM %s: is not served: libvirt has more than %u", config->name,
			     GCL_LIBVIRT_VMS_MAX);
		return;
	}
	if (!domain)
		domain = domain_create(libvirt, config->id);
	if (!domain)
		return;
	domain->listed = true;
	limits_log(vm, config);
	socket_place(libvirt, config);
	/* Without a socket it stays in the list, and is tried again when it is listed again. */
	gcl_vms_add(libvirt->broker, config);
}

/* Its VMM's end has ended what went over the device; what came by vsock ends here. */
static void domain_stopped(struct gcl_libvirt *libvirt, const char *id)
{
	const struct gcl_vm *vm = gcl_vms_find(libvirt->broker, id);

	if (!vm || !domain_find(libvirt, id))
		return;
	gcl_log_info(vm, "VM %s: has stopped; sessions: %zu", vm->config.name,
		     gcl_workers_sessions(&libvirt->broker->workers, &vm->owner));
	gcl_workers_end_owner(&libvirt->broker->workers, &vm->owner);
}

static void domains_remove(struct gcl_libvirt *libvirt, bool all)
{
	gcl_list_for_each_safe (it, next, &libvirt->domains) {
		struct domain *domain = gcl_container_of(it, struct domain, link);

		if (all || !domain->listed)
			domain_remove(libvirt, domain);
	}
}

/* ------------------------------------------------------------ lines */

static void line_act(struct gcl_libvirt *libvirt, const char *text)
{
	struct gcl_libvirt_line line;
	struct domain *domain;

	if (gcl_libvirt_parse(text, &line) < 0) {
		gcl_log_peer(vm, "guestcl-libvirt said \"%.200s\", which is left out", text);
		return;
	}
	switch (line.verb) {
	case GCL_LIBVIRT_VM:
		domain_take(libvirt, &line.vm);
		break;
	case GCL_LIBVIRT_STOPPED:
		domain_stopped(libvirt, line.vm.id);
		break;
	case GCL_LIBVIRT_GONE:
		domain = domain_find(libvirt, line.vm.id);
		if (domain)
			domain_remove(libvirt, domain);
		break;
	case GCL_LIBVIRT_LISTED:
		libvirt->pause = PAUSE_FIRST;
		domains_remove(libvirt, false);
		gcl_log_info(vm, "following libvirt's domains at %s; attached: %zu", libvirt->uri,
			     libvirt->domain_count);
		break;
	}
}

/* Acts on the whole lines in the buffer and keeps what follows them. */
static void lines_act(struct gcl_libvirt *libvirt)
{
	char *line = libvirt->buffer, *end;

	libvirt->buffer[libvirt->used] = '\0';
	for (; (end = memchr(line, '\n', libvirt->used - (size_t)(line - libvirt->buffer)));
	     line = end + 1) {
		*end = '\0';
		if (!libvirt->skip)
			line_act(libvirt, line);
		libvirt->skip = false;
	}
	libvirt->used -= (size_t)(line - libvirt->buffer);
	memmove(libvirt->buffer, line, libvirt->used);
	if (libvirt->used == sizeof libvirt->buffer - 1) {
		if (!libvirt->skip)
			gcl_log_peer(vm, "guestcl-libvirt said a line that is too long");
		libvirt->skip = true;
		libvirt->used = 0;
	}
}

static void follower_close(struct gcl_libvirt *libvirt)
{
	if (libvirt->out >= 0) {
		ev_io_stop(libvirt->broker->loop, &libvirt->readable);
		close(libvirt->out);
		close(libvirt->in);
	}
	libvirt->out = -1;
	libvirt->in = -1;
	libvirt->used = 0;
	libvirt->skip = false;
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct gcl_libvirt *libvirt = io->data;
	ssize_t n = read(libvirt->out, libvirt->buffer + libvirt->used,
			 sizeof libvirt->buffer - 1 - libvirt->used);

	(void)loop;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		follower_close(libvirt); /* on_reaped() says the rest */
		return;
	}
	libvirt->used += (size_t)n;
	lines_act(libvirt);
}

/* ------------------------------------------------------------ the process */

static void retry_after(struct gcl_libvirt *libvirt)
{
	ev_timer_set(&libvirt->retry, libvirt->pause, 0.);
	ev_timer_start(libvirt->broker->loop, &libvirt->retry);
	libvirt->pause = GCL_MIN(libvirt->pause * 2., PAUSE_MAX);
}

static void on_reaped(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct gcl_libvirt *libvirt = child->data;
	int status = child->rstatus;

	(void)events;
	ev_child_stop(loop, child);
	libvirt->pid = 0;
	follower_close(libvirt);
	if (libvirt->broker->stopping)
		return;
	gcl_log_warn(vm, "guestcl-libvirt ended with %s %d: tried again after %.0f s; VMs go on",
		     WIFSIGNALED(status) ? "signal" : "status",
		     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), libvirt->pause);
	retry_after(libvirt);
}

static int process_spawn(struct gcl_libvirt *libvirt, int in, int out)
{
	const struct gcl_config *config = &libvirt->broker->config;
	char *arguments[] = {
		"guestcl-libvirt",	"follow", "--connect", libvirt->uri, "--vm-dir",
		(char *)config->vm_dir, NULL};

	return gcl_helper_spawn(&libvirt->pid, libvirt->program, arguments, in, out);
}

static int follower_start(struct gcl_libvirt *libvirt)
{
	struct ev_loop *loop = libvirt->broker->loop;
	_cleanup_close_ int in_read = -1, in_write = -1, out_read = -1, out_write = -1;
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	in_read = ends[0];
	in_write = ends[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	out_read = ends[0];
	out_write = ends[1];
	fcntl(out_read, F_SETFL, O_NONBLOCK);
	err = process_spawn(libvirt, in_read, out_write);
	if (err < 0)
		return err;
	gcl_list_for_each (it, &libvirt->domains)
		gcl_container_of(it, struct domain, link)->listed = false;
	libvirt->in = steal_fd(&in_write);
	libvirt->out = steal_fd(&out_read);
	ev_io_set(&libvirt->readable, libvirt->out, EV_READ);
	ev_io_start(loop, &libvirt->readable);
	ev_child_set(&libvirt->child, libvirt->pid, 0);
	ev_child_start(loop, &libvirt->child);
	return 0;
}

static void follower_try(struct gcl_libvirt *libvirt)
{
	int err = follower_start(libvirt);

	if (err == 0)
		return;
	gcl_log_error(vm, "can't start %s: %s; install it, or set \"libvirt\" to \"\"",
		      libvirt->program, strerror(-err));
	retry_after(libvirt);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	follower_try(timer->data);
}

static void follower_end(struct gcl_libvirt *libvirt)
{
	struct ev_loop *loop = libvirt->broker->loop;

	ev_timer_stop(loop, &libvirt->retry);
	follower_close(libvirt);
	ev_child_stop(loop, &libvirt->child);
	/* It holds nothing that could be lost, and may be waiting for libvirtd. libev reaps it. */
	if (libvirt->pid > 0)
		kill(libvirt->pid, SIGKILL);
	libvirt->pid = 0;
}

void gcl_libvirt_init(struct gcl_libvirt *libvirt, struct gcl_broker *broker)
{
	*libvirt = (struct gcl_libvirt){.broker = broker, .in = -1, .out = -1};
	gcl_list_init(&libvirt->domains);
	ev_io_init(&libvirt->readable, on_readable, -1, EV_READ);
	libvirt->readable.data = libvirt;
	ev_child_init(&libvirt->child, on_reaped, 0, 0);
	libvirt->child.data = libvirt;
	ev_timer_init(&libvirt->retry, on_retry, 0., 0.);
	libvirt->retry.data = libvirt;
}

void gcl_libvirt_configure(struct gcl_libvirt *libvirt)
{
	const struct gcl_config *config = &libvirt->broker->config;

	if (strcmp(libvirt->uri, config->libvirt) == 0 &&
	    strcmp(libvirt->program, config->libvirt_program) == 0 &&
	    strcmp(libvirt->vm_dir, config->vm_dir) == 0)
		return;
	follower_end(libvirt);
	if (*libvirt->uri && strcmp(libvirt->uri, config->libvirt) != 0)
		domains_remove(libvirt, true);
	memcpy(libvirt->uri, config->libvirt, sizeof libvirt->uri);
	memcpy(libvirt->program, config->libvirt_program, sizeof libvirt->program);
	memcpy(libvirt->vm_dir, config->vm_dir, sizeof libvirt->vm_dir);
	libvirt->pause = PAUSE_FIRST;
	if (*libvirt->uri)
		follower_try(libvirt);
}

void gcl_libvirt_suspend(struct gcl_libvirt *libvirt)
{
	if (libvirt->pid > 0)
		kill(libvirt->pid, SIGKILL); /* on_reaped() starts another */
}

void gcl_libvirt_fini(struct gcl_libvirt *libvirt)
{
	follower_end(libvirt);
	gcl_list_for_each_safe (it, next, &libvirt->domains)
		free(gcl_container_of(it, struct domain, link));
	gcl_list_init(&libvirt->domains);
	libvirt->domain_count = 0;
}
