/* SPDX-License-Identifier: MIT */
/*
 * How programs begin that guestcld starts beside itself, and that nobody calls by hand.
 */
#ifndef GCL_BESIDE_H
#define GCL_BESIDE_H

/**
 * gcl_beside_begin() - read the arguments, and leave signals that are guestcld's to guestcld.
 * @name: of the program; static
 * @doc: what it is for, a sentence
 *
 * Return: whom to be if root started it, or ""; lent for good. Ends the process where an argument
 * is wrong.
 */
const char *gcl_beside_begin(int argc, char **argv, const char *name, const char *doc);

#endif
