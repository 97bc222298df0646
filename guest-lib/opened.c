/*
 * Platforms on connections of the program's own: see ext/guestcl_ext.h.
 *
 * Such a platform and its session are one: it is opened, lost and closed with it. What objects are
 * left when it is closed keep their session's memory, which is then without a connection; closing
 * it again frees it if they have gone.
 */
#include "opened.h"

#include <errno.h>
#include <unistd.h>

#include "connect.h"
#include "ext/guestcl_ext.h"

static bool platform_opened(cl_platform_id platform)
{
	return gcl_valid(platform, GCL_KIND_PLATFORM) && platform->opened;
}

static cl_int status_of(int err)
{
	if (!err)
		return CL_SUCCESS;
	return err == -ENOMEM ? CL_OUT_OF_HOST_MEMORY : CL_DEVICE_NOT_AVAILABLE;
}

CL_API_ENTRY cl_int CL_API_CALL clGuestclOpenPlatform(int fd, cl_platform_id *platform,
						      char *reason, size_t reason_size)
{
	char why[GCL_CONNECT_REASON_MAX] = "";
	struct gcl_session *session;
	cl_int status = status_of(gcl_session_open(fd, &session, why, sizeof why));

	if (status == CL_SUCCESS) {
		status = gcl_platform_open(session, platform);
		if (status != CL_SUCCESS) {
			snprintf(why, sizeof why, "%s",
				 status == CL_OUT_OF_HOST_MEMORY ? "out of memory"
								 : "the host has no devices");
			gcl_session_end(session);
			gcl_session_destroy(session);
		}
	}
	if (status != CL_SUCCESS && reason && reason_size)
		snprintf(reason, reason_size, "%s", why);
	return status == CL_SUCCESS || status == CL_OUT_OF_HOST_MEMORY ? status
								       : CL_DEVICE_NOT_AVAILABLE;
}

CL_API_ENTRY cl_bool CL_API_CALL clGuestclPlatformLost(cl_platform_id platform)
{
	if (!platform_opened(platform))
		return CL_TRUE;
	/* The end may have come in and nobody looked. */
	gcl_session_drain(platform->base.session);
	return platform->base.session->lost;
}

/* But for the platform and its devices. */
static size_t objects_left(const struct _cl_platform_id *platform)
{
	return gcl_object_count(platform->base.session) - 1 - platform->device_count;
}

CL_API_ENTRY void CL_API_CALL clGuestclClosePlatform(cl_platform_id platform)
{
	struct gcl_session *session;
	size_t left;

	if (!platform_opened(platform))
		return;
	session = platform->base.session;
	/* In a forked child locks may be taken for ever, and the connection is the parent's. */
	if (session->pid != getpid())
		return;
	if (gcl_session_end(session)) {
		gcl_log_error(session, "a platform was closed by one of its own callbacks: "
				       "its memory stays in use");
		return;
	}
	left = objects_left(platform);
	if (left) {
		gcl_log_error(session,
			      "a platform was closed, but %zu of its objects were not released: "
			      "its memory stays in use",
			      left);
		return;
	}
	gcl_platform_free(platform);
	gcl_session_destroy(session);
}
