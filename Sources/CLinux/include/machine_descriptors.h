// Descriptors that a VMM inherits instead of opening files itself: it then needs neither the files nor the rights.
#ifndef SKALA_MACHINE_DESCRIPTORS_H
#define SKALA_MACHINE_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

// A queue of the tap device of that name, with virtio-net headers; a device that does not exist is made, and goes with
// the descriptor.
int cl_open_tap(const char *name);
// A copy of a file in memory that nobody can change any more (memfd with seals), with its holes. A private mapping of it
// is copy-on-write; writing, shared mappings and punching holes fail.
int cl_sealed_memory(int source, const char *name);
// The same, for one owner, who may write.
int cl_memory_copy(int source, const char *name);

// Copies a file with its holes into an empty one.
int cl_copy_sparse(int source, int copy);
// Sends bytes over a unix socket together with a descriptor; the number of bytes.
int64_t cl_send_with_descriptor(int socket, const void *bytes, size_t count, int descriptor);

#endif
