// SPDX-License-Identifier: MIT
/*
 * The follower process: its start, its lines, its end.
 */
#include "libvirt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm.h"

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
	gcl_vms_remove(libvirt->helper.broker, domain->id);
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
	snprintf(config->socket, sizeof config->socket, "%s/%.*s",
		 libvirt->helper.broker->config.vm_dir, (int)GCL_VM_ID_MAX, name);
}

static void domain_take(struct gcl_libvirt *libvirt, struct gcl_vm_config *config)
{
	struct domain *domain = domain_find(libvirt, config->id);
	const struct gcl_vm *vm = gcl_vms_find(libvirt->helper.broker, config->id);

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
	gcl_vms_add(libvirt->helper.broker, config);
}

/* Its VMM's end has ended what went over the device; what came by vsock ends here. */
static void domain_stopped(struct gcl_libvirt *libvirt, const char *id)
{
	const struct gcl_vm *vm = gcl_vms_find(libvirt->helper.broker, id);

	if (!vm || !domain_find(libvirt, id))
		return;
	gcl_log_info(vm, "VM %s: has stopped; sessions: %zu", vm->config.name,
		     gcl_workers_sessions(&libvirt->helper.broker->workers, &vm->owner));
	gcl_workers_end_owner(&libvirt->helper.broker->workers, &vm->owner);
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
		gcl_helper_anew(&libvirt->helper);
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
	ev_io_stop(libvirt->helper.broker->loop, &libvirt->readable);
	gcl_cleanup_close(&libvirt->out);
	gcl_helper_close(&libvirt->helper);
	libvirt->out = -1;
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
		follower_close(libvirt); /* follower_gone() comes next */
		return;
	}
	libvirt->used += (size_t)n;
	lines_act(libvirt);
}

/* ------------------------------------------------------------ the process */

static struct gcl_libvirt *libvirt_of(struct gcl_helper *helper)
{
	return gcl_container_of(helper, struct gcl_libvirt, helper);
}

static bool follower_gone(struct gcl_helper *helper)
{
	follower_close(libvirt_of(helper));
	return true;
}

/* Return: 0 or -errno; logged. */
static int follower_start(struct gcl_libvirt *libvirt)
{
	char *arguments[] = {"guestcl-libvirt", "follow",	 "--connect", libvirt->uri,
			     "--vm-dir",	libvirt->vm_dir, NULL};
	_cleanup_close_ int out_read = -1, out_write = -1;
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		err = -errno;
		gcl_log_error(vm, "can't follow libvirt's domains: %s", strerror(-err));
		return err;
	}
	out_read = ends[0];
	out_write = ends[1];
	fcntl(out_read, F_SETFL, O_NONBLOCK);
	err = gcl_helper_start(&libvirt->helper, libvirt->program, arguments, out_write);
	if (err < 0)
		return err;
	gcl_list_for_each (it, &libvirt->domains)
		gcl_container_of(it, struct domain, link)->listed = false;
	libvirt->out = steal_fd(&out_read);
	ev_io_set(&libvirt->readable, libvirt->out, EV_READ);
	ev_io_start(libvirt->helper.broker->loop, &libvirt->readable);
	return 0;
}

static void follower_try(struct gcl_helper *helper)
{
	if (follower_start(libvirt_of(helper)) < 0)
		gcl_helper_retry(helper);
}

static void follower_end(struct gcl_libvirt *libvirt)
{
	follower_close(libvirt);
	gcl_helper_end(&libvirt->helper);
}

void gcl_libvirt_init(struct gcl_libvirt *libvirt, struct gcl_broker *broker)
{
	static const struct gcl_helper_kind kind = {
		.name = "guestcl-libvirt",
		.setting = "libvirt",
		.meanwhile = "; VMs go on",
		.again = follower_try,
		.gone = follower_gone,
	};

	*libvirt = (struct gcl_libvirt){.out = -1};
	gcl_helper_init(&libvirt->helper, &kind, broker);
	gcl_list_init(&libvirt->domains);
	ev_io_init(&libvirt->readable, on_readable, -1, EV_READ);
	libvirt->readable.data = libvirt;
}

void gcl_libvirt_configure(struct gcl_libvirt *libvirt)
{
	const struct gcl_config *config = &libvirt->helper.broker->config;

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
	gcl_helper_anew(&libvirt->helper);
	if (*libvirt->uri)
		follower_try(&libvirt->helper);
}

void gcl_libvirt_fini(struct gcl_libvirt *libvirt)
{
	follower_end(libvirt);
	gcl_list_for_each_safe (it, next, &libvirt->domains)
		free(gcl_container_of(it, struct domain, link));
	gcl_list_init(&libvirt->domains);
	libvirt->domain_count = 0;
}
