/* SPDX-License-Identifier: MIT */
/*
 * How the stub runtime misbehaves as an ICD: STUB_ODD in its environment, words with commas between
 * them.
 *
 * no-platforms      there are none
 * no-devices        the platform has none
 * devices:N         it has N, STUB_DEVICE_MAX at most
 * no-arg-info       programs never keep what arguments are called
 * slow:N            a build takes N seconds
 * fail:N            every Nth call fails, for want of resources and of memory by turns
 * forget            callbacks of events that have ended are never called
 * print             each call prints a line to standard output
 * exit:CALL         CALL, or "load", calls exit(0)
 * abort:CALL        it calls abort()
 * crash:CALL        it gets SIGSEGV
 * thread:CALL       a thread that it starts does, while the call goes on
 */
#ifndef STUB_ODD_H
#define STUB_ODD_H

#include <CL/cl.h>
#include <stdbool.h>

/** odd_has() - whether the environment has the word @what. */
bool odd_has(const char *what);

/** odd_number() - N of "@what:N", or 0. */
unsigned odd_number(const char *what);

/** odd_enter() - what has to be done at the beginning of @call. Return: what the call returns, if
 * not CL_SUCCESS. */
cl_int odd_enter(const char *call);

#endif
