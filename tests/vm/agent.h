/* SPDX-License-Identifier: MIT */
/*
 * What the agent in the guest and agent.py on the host say to each other over one virtio-serial
 * port. Each frame is struct agent_frame and its payload, in the machine's own byte order.
 *
 * Whenever the agent has opened the port it sends the nonce of the kernel's command line, 16 bytes
 * without a frame: the host drops what came before, such as half a frame of a guest that crashed.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdint.h>

#define AGENT_NONCE	  16
#define AGENT_PAYLOAD_MAX (32u << 10)
#define AGENT_STDIN_MAX	  (64u << 10) /* sent and not yet acknowledged, per command */

enum agent_type {
	/* host to guest */
	AGENT_RUN = 1,	  /* strings: "pty" or "", rows, columns, uid, gid, folder, count of
			     variables, variables, arguments */
	AGENT_STDIN = 2,  /* data; empty: its end */
	AGENT_SIGNAL = 3, /* uint32_t number, to the command's process group */
	AGENT_WINDOW = 4, /* uint16_t rows, columns */
	/* guest to host */
	AGENT_STDOUT = 11, /* data */
	AGENT_STDERR = 12, /* data */
	AGENT_ACK = 13,	   /* uint32_t: so many bytes of stdin are gone */
	AGENT_EXIT = 14,   /* uint32_t: status as of waitpid(); no other frame follows */
	AGENT_FAILED = 15, /* text: why it could not be started */
};

struct agent_frame {
	uint32_t command; /* the host picks it */
	uint32_t type;
	uint32_t length;
};

#endif
