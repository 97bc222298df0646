/*
 * What an input of session_fuzz is: records, each a frame from a guest.
 *
 * The first byte of an input sets how often the guest leaves no room for what the worker sends.
 * Sequences are filled in: a wrong one only ends the session.
 */
#ifndef SESSION_FUZZ_H
#define SESSION_FUZZ_H

#include <stdint.h>

#define SESSION_FUZZ_HEAP 65536u

#define SESSION_FUZZ_MORE    0x1u
#define SESSION_FUZZ_PAYLOAD 0x2u

/* Little-endian, without padding; body_size bytes follow. */
struct session_fuzz_record {
	uint8_t number;
	uint8_t flags;
	uint16_t body_size;
	uint32_t payload_offset;
	uint32_t payload_size;
};

_Static_assert(sizeof(struct session_fuzz_record) == 12, "the corpus is made of these");

#endif
