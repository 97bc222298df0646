/*
 * Between session.c (messages) and connect.c (beginning of a session, forks).
 */
#ifndef GCL_SESSION_PRIVATE_H
#define GCL_SESSION_PRIVATE_H

#include "session.h"

/**
 * gcl_session_assemble() - put the frame just received (session->body) together with those before
 * it. Return: 1 and the whole message, valid until gcl_session_assembled(); 0 when more is to come;
 * -EPROTO, -ENOMEM.
 */
int gcl_session_assemble(struct gcl_session *session, const struct gcl_frame *head,
			 const void **body, size_t *size);
void gcl_session_assembled(struct gcl_session *session);

#endif
