/* SPDX-License-Identifier: MIT */
/*
 * What guestcl doctor finds: one line for each thing that has to be there, and what mends it.
 */
#ifndef GCL_DOCTOR_H
#define GCL_DOCTOR_H

#include <stdbool.h>
#include <stdio.h>

enum gcl_finding_state {
	GCL_FOUND_GOOD,
	GCL_FOUND_BAD,	   /* keeps something from working */
	GCL_FOUND_WARNING, /* works, but is not as it should be, or not for long */
	GCL_FOUND_ABSENT   /* not there, and needn't be */
};

struct gcl_finding {
	char name[24]; /* what was looked at */
	enum gcl_finding_state state;
	char text[320];
	char fix[256]; /* a command, or what to do; "" for nothing */
};

#define GCL_FINDINGS_MAX 64u

/* Everything that was found. */
struct gcl_doctor {
	struct gcl_finding findings[GCL_FINDINGS_MAX];
	unsigned count;
	/* The channel that a program would use here; "" for none. */
	char channel[24];
	char why[1024]; /* it is this one, or none */
	bool in_vm;
	bool on_host;	     /* guestcld is installed, or has run */
	const char *root;    /* of the files looked at, "" but for tests */
	const char *vm_dir;  /* as in guestcld.conf */
	const char *config;  /* guestcld.conf; NULL: where it belongs */
	const char *devices; /* folder with virtio-cl */
};

/** gcl_find() - add a finding. @fix: may be NULL */
void gcl_find(struct gcl_doctor *doctor, const char *name, enum gcl_finding_state state,
	      const char *fix, const char *format, ...) __attribute__((format(printf, 5, 6)));

/** gcl_doctor_file() - the path of a file of the system, in a static buffer. */
const char *gcl_doctor_file(const struct gcl_doctor *doctor, const char *path);

/* What is looked at, in this order. */
void gcl_doctor_machine(struct gcl_doctor *doctor);  /* is this a VM, a host? */
void gcl_doctor_driver(struct gcl_doctor *doctor);   /* a virtio-cl device and its driver */
void gcl_doctor_channels(struct gcl_doctor *doctor); /* each channel, and which one is used */
void gcl_doctor_loader(struct gcl_doctor *doctor);   /* do OpenCL programs find the library? */
void gcl_doctor_host(struct gcl_doctor *doctor);     /* daemon, runtimes, VMs */

/* GPU servers: the way to one, whose place is @where of GUESTCL_CHANNEL; and being one. Nothing if
 * guestcl was built without TLS. */
void gcl_doctor_tls_guest(struct gcl_doctor *doctor, const char *where);
void gcl_doctor_tls_host(struct gcl_doctor *doctor);

/** gcl_doctor_auto() - the channels of @table that a program without a wish would try. */
struct gcl_carrier;
void gcl_doctor_auto(struct gcl_doctor *doctor, const struct gcl_carrier *table);

/** gcl_doctor_print() - for people. */
void gcl_doctor_print(const struct gcl_doctor *doctor, FILE *file);

/** gcl_doctor_print_json() - for programs. Return: false without memory. */
bool gcl_doctor_print_json(const struct gcl_doctor *doctor, FILE *file);

/** gcl_doctor_run() - the command. Return: its exit status. */
int gcl_doctor_run(int argc, char **argv);

#endif
