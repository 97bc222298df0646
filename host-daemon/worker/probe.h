/* SPDX-License-Identifier: MIT */
/*
 * USDT probes of the worker, for bpftrace, perf and SystemTap; a no-op instruction each when nobody
 * looks, nothing where the build had no <sys/sdt.h>.
 *
 * guestcl:call__begin (message's number, sequence), guestcl:call__end (number, sequence, 0 or
 * -errno), guestcl:sent (number, bytes).
 */
#ifndef GCL_WORKER_PROBE_H
#define GCL_WORKER_PROBE_H

#ifdef GCL_HAVE_SDT
#include <sys/sdt.h>
#define GCL_PROBE2(name, a, b)	  DTRACE_PROBE2(guestcl, name, a, b)
#define GCL_PROBE3(name, a, b, c) DTRACE_PROBE3(guestcl, name, a, b, c)
#else
#define GCL_PROBE2(name, a, b)	  ((void)(a), (void)(b))
#define GCL_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
