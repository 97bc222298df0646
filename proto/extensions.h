/* SPDX-License-Identifier: MIT */
/*
 * Extensions that a guest's program gets to see where its host's device has them: those of the
 * kernel language, and such whose calls and queries libguestcl.so has. And the features of OpenCL C
 * that it doesn't get to see, since remoting doesn't carry what they need.
 */
#ifndef GCL_EXTENSIONS_H
#define GCL_EXTENSIONS_H

#define GCL_EXTENSIONS(EXTENSION)                                                                  \
	EXTENSION(cl_khr_3d_image_writes)                                                          \
	EXTENSION(cl_khr_byte_addressable_store)                                                   \
	EXTENSION(cl_khr_create_command_queue)                                                     \
	EXTENSION(cl_khr_depth_images)                                                             \
	EXTENSION(cl_khr_device_uuid)                                                              \
	EXTENSION(cl_khr_expect_assume)                                                            \
	EXTENSION(cl_khr_extended_bit_ops)                                                         \
	EXTENSION(cl_khr_fp16)                                                                     \
	EXTENSION(cl_khr_fp64)                                                                     \
	EXTENSION(cl_khr_global_int32_base_atomics)                                                \
	EXTENSION(cl_khr_global_int32_extended_atomics)                                            \
	EXTENSION(cl_khr_il_program)                                                               \
	EXTENSION(cl_khr_int64_base_atomics)                                                       \
	EXTENSION(cl_khr_int64_extended_atomics)                                                   \
	EXTENSION(cl_khr_integer_dot_product)                                                      \
	EXTENSION(cl_khr_local_int32_base_atomics)                                                 \
	EXTENSION(cl_khr_local_int32_extended_atomics)                                             \
	EXTENSION(cl_khr_pci_bus_info)                                                             \
	EXTENSION(cl_khr_select_fprounding_mode)                                                   \
	EXTENSION(cl_khr_spirv_linkonce_odr)                                                       \
	EXTENSION(cl_khr_spirv_no_integer_wrap_decoration)                                         \
	EXTENSION(cl_khr_srgb_image_writes)                                                        \
	EXTENSION(cl_khr_subgroup_ballot)                                                          \
	EXTENSION(cl_khr_subgroup_clustered_reduce)                                                \
	EXTENSION(cl_khr_subgroup_extended_types)                                                  \
	EXTENSION(cl_khr_subgroup_non_uniform_arithmetic)                                          \
	EXTENSION(cl_khr_subgroup_non_uniform_vote)                                                \
	EXTENSION(cl_khr_subgroup_rotate)                                                          \
	EXTENSION(cl_khr_subgroup_shuffle)                                                         \
	EXTENSION(cl_khr_subgroup_shuffle_relative)                                                \
	EXTENSION(cl_khr_subgroups)                                                                \
	EXTENSION(cl_khr_suggested_local_work_size)                                                \
	EXTENSION(cl_khr_work_group_uniform_arithmetic)                                            \
	EXTENSION(cl_amd_fp64)                                                                     \
	EXTENSION(cl_amd_media_ops)                                                                \
	EXTENSION(cl_amd_media_ops2)                                                               \
	EXTENSION(cl_ext_fp64)                                                                     \
	EXTENSION(cl_nv_compiler_options)                                                          \
	EXTENSION(cl_nv_pragma_unroll)

#define GCL_FEATURES_ABSENT(FEATURE)                                                               \
	FEATURE(__opencl_c_device_enqueue)                                                         \
	FEATURE(__opencl_c_pipes)

#endif
