# find_package(qemu-hypertrace-guest) with the sources: the library is built with the project's own compiler.
#
# SPDX-License-Identifier: MIT
if(NOT TARGET qemu-hypertrace::guest)
    add_subdirectory("${CMAKE_CURRENT_LIST_DIR}/.." "${CMAKE_BINARY_DIR}/qemu-hypertrace-guest" EXCLUDE_FROM_ALL)
endif()
