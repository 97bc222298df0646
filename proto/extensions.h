/* SPDX-License-Identifier: MIT */
/*
 * Extensions that a guest's program gets to see where its host's device has them: those of the
 * kernel language, and such as need no entry point beyond OpenCL 1.2.
 */
#ifndef GCL_EXTENSIONS_H
#define GCL_EXTENSIONS_H

#define GCL_EXTENSIONS(EXTENSION)                                                                  \
	EXTENSION(cl_khr_3d_image_writes)                                                          \
	EXTENSION(cl_khr_byte_addressable_store)                                                   \
	EXTENSION(cl_khr_expect_assume)                                                            \
	EXTENSION(cl_khr_extended_bit_ops)                                                         \
	EXTENSION(cl_khr_fp16)                                                                     \
	EXTENSION(cl_khr_fp64)                                                                     \
	EXTENSION(cl_khr_global_int32_base_atomics)                                                \
	EXTENSION(cl_khr_global_int32_extended_atomics)                                            \
	EXTENSION(cl_khr_int64_base_atomics)                                                       \
	EXTENSION(cl_khr_int64_extended_atomics)                                                   \
	EXTENSION(cl_khr_local_int32_base_atomics)                                                 \
	EXTENSION(cl_khr_local_int32_extended_atomics)                                             \
	EXTENSION(cl_khr_select_fprounding_mode)                                                   \
	EXTENSION(cl_amd_fp64)                                                                     \
	EXTENSION(cl_amd_media_ops)                                                                \
	EXTENSION(cl_amd_media_ops2)                                                               \
	EXTENSION(cl_ext_fp64)                                                                     \
	EXTENSION(cl_nv_compiler_options)                                                          \
	EXTENSION(cl_nv_pragma_unroll)

#endif
