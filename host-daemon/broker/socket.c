// SPDX-License-Identifier: MIT
/*
 * The socket file: whose it is, who may connect, and when it goes.
 *
 * A file left by a daemon that died is replaced; one that a daemon still serves is not, and
 * neither is anything that is no socket. No one can connect before permissions are set, since the
 * socket doesn't listen until then.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker.h"

#define BACKLOG 128

static int failed(const char *what, const char *path)
{
	int err = -errno;

	gcl_log_error(broker, "can't %s %s: %s", what, path, strerror(-err));
	return err;
}

/* Return: 0 when the path is free (now), or -errno, logged. */
static int path_clear(const struct sockaddr_un *address, const struct gcl_socket_place *place)
{
	_cleanup_close_ int probe = -1;
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : failed("look at", address->sun_path);
	if (!S_ISSOCK(st.st_mode)) {
		gcl_log_error(
			broker,
			"%s exists and is no socket: remove it, or set \"%s\" to another path",
			address->sun_path, place->setting);
		return -EEXIST;
	}
	/* Non-blocking: a daemon with a full backlog (EAGAIN) is alive too. */
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return failed("make a socket to probe", address->sun_path);
	if (connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 ||
	    errno != ECONNREFUSED) {
		gcl_log_error(
			broker,
			"another guestcld is serving %s: stop it, or set \"%s\" to another path",
			address->sun_path, place->setting);
		return -EADDRINUSE;
	}
	gcl_log_info(broker, "replacing %s, which no one serves any more", address->sun_path);
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return failed("remove", address->sun_path);
	return 0;
}

/* /run/guestcl does not exist after a boot unless the service manager makes it. */
static int folder_make(const char *path)
{
	char copy[sizeof((struct sockaddr_un *)0)->sun_path];
	const char *folder;

	snprintf(copy, sizeof copy, "%s", path);
	folder = dirname(copy);
	if (strlen(folder) > 1 && access(folder, F_OK) < 0) {
		int err = folder_make(folder);

		if (err < 0)
			return err;
	}
	if (mkdir(folder, 0755) == 0)
		gcl_log_info(broker, "made folder %s", folder);
	else if (errno != EEXIST)
		return failed("make folder", folder);
	return 0;
}

/* The initial group may be missing on a small system; one that the operator named may not. */
static int group_set(const char *path, const struct gcl_socket_place *place)
{
	const char *name = place->group;
	struct group *group;

	if (!*name)
		return 0;
	errno = 0;
	group = getgrnam(name);
	if (group)
		return lchown(path, (uid_t)-1, group->gr_gid) < 0 ? failed("set the group of", path)
								  : 0;
	if (strcmp(name, place->initial_group) == 0) {
		gcl_log_warn(
			broker,
			"there is no group \"%s\", so %s keeps the daemon's: set \"%s\" to the "
			"group of those who may use it",
			name, path, place->group_setting);
		return 0;
	}
	gcl_log_error(broker, "there is no group \"%s\": make it, or change \"%s\"", name,
		      place->group_setting);
	return -ENOENT;
}

static int bind_and_listen(struct gcl_socket *sock, const struct sockaddr_un *address,
			   const struct gcl_socket_place *place)
{
	struct stat st;
	mode_t mask = umask(0177);
	int status = bind(sock->fd, (const struct sockaddr *)address, sizeof *address);

	umask(mask);
	if (status < 0)
		return failed("bind", address->sun_path);
	snprintf(sock->path, sizeof sock->path, "%s", address->sun_path);
	if (lstat(sock->path, &st) < 0)
		return failed("look at", sock->path);
	sock->device = st.st_dev;
	sock->inode = st.st_ino;
	status = group_set(sock->path, place);
	if (status < 0)
		return status;
	if (chmod(sock->path, place->mode) < 0)
		return failed("set the permissions of", sock->path);
	if (listen(sock->fd, BACKLOG) < 0)
		return failed("listen on", sock->path);
	return 0;
}

/* ------------------------------------------------------------ over exec */

static struct gcl_list open_sockets = GCL_LIST_INIT(open_sockets);

/* Those that the program before us had. */
static struct gcl_list inherited = GCL_LIST_INIT(inherited);

void gcl_sockets_save(struct gcl_state *state)
{
	gcl_state_put_number(state, gcl_list_count(&open_sockets));
	gcl_list_for_each (it, &open_sockets) {
		const struct gcl_socket *sock = gcl_container_of(it, struct gcl_socket, link);

		GCL_STATE_PUT(state, sock->path);
		GCL_STATE_PUT(state, sock->device);
		GCL_STATE_PUT(state, sock->inode);
		GCL_STATE_PUT(state, sock->lent);
		gcl_state_put_fd(state, sock->fd);
	}
}

void gcl_sockets_restore(struct gcl_state *state)
{
	uint64_t count = gcl_state_get_number(state);

	for (uint64_t i = 0; i < count && !state->bad; i++) {
		struct gcl_socket *sock = calloc(1, sizeof *sock);

		if (!sock)
			return;
		GCL_STATE_GET(state, sock->path);
		GCL_STATE_GET(state, sock->device);
		GCL_STATE_GET(state, sock->inode);
		GCL_STATE_GET(state, sock->lent);
		sock->fd = gcl_state_get_fd(state);
		gcl_list_append(&inherited, &sock->link);
	}
}

void gcl_sockets_settle(void)
{
	gcl_list_for_each_safe (it, next, &inherited) {
		struct gcl_socket *sock = gcl_container_of(it, struct gcl_socket, link);

		gcl_socket_close(sock);
		free(sock);
	}
}

static bool inherit(struct gcl_socket *sock, const char *path)
{
	gcl_list_for_each (it, &inherited) {
		struct gcl_socket *found = gcl_container_of(it, struct gcl_socket, link);

		if (strcmp(found->path, path) != 0)
			continue;
		gcl_list_remove(&found->link);
		*sock = *found;
		free(found);
		return true;
	}
	return false;
}

/* ------------------------------------------------------------ open and close */

/* By the service manager. */
static bool passed(struct gcl_socket *sock, const char *path)
{
	sock->fd = gcl_activation_take(path);
	if (sock->fd < 0)
		return false;
	snprintf(sock->path, sizeof sock->path, "%s", path);
	sock->lent = true;
	gcl_log_info(broker, "%s was opened by the service manager", path);
	return true;
}

static int make(struct gcl_socket *sock, const struct gcl_socket_place *place)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int err;

	snprintf(address.sun_path, sizeof address.sun_path, "%s", place->path);
	sock->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = sock->fd < 0 ? failed("make socket", address.sun_path)
			   : folder_make(address.sun_path);
	if (err == 0)
		err = path_clear(&address, place);
	return err < 0 ? err : bind_and_listen(sock, &address, place);
}

int gcl_socket_open(struct gcl_socket *sock, const struct gcl_socket_place *place)
{
	int err = 0;

	memset(sock, 0, sizeof *sock);
	if (!inherit(sock, place->path) && !passed(sock, place->path))
		err = make(sock, place);
	gcl_list_init(&sock->link);
	if (err < 0)
		gcl_socket_close(sock);
	else
		gcl_list_append(&open_sockets, &sock->link);
	return err;
}

void gcl_socket_close(struct gcl_socket *sock)
{
	struct stat st;

	if (sock->fd < 0)
		return;
	if (sock->link.next)
		gcl_list_remove(&sock->link);
	if (!sock->lent && sock->path[0] && lstat(sock->path, &st) == 0 &&
	    st.st_dev == sock->device && st.st_ino == sock->inode)
		unlink(sock->path);
	sock->path[0] = '\0';
	close(sock->fd);
	sock->fd = -1;
}
