// What process 1 of a VM has to do before, and beside, what Swift does.
#ifndef SKALA_GUEST_START_H
#define SKALA_GUEST_START_H

#include <stdint.h>

// Whether this process was started by the kernel of a VM, from an initramfs: then /proc, /sys and /dev have been mounted
// before main, since Swift's runtime reads /proc.
int cl_is_guest(void);
// Makes a tmpfs the root, with /proc, /sys, /dev and a version 2 cgroup tree, and the initramfs read-only: containers
// can pivot away from a tmpfs, and nobody can write to the program of process 1.
int cl_guest_root(void);
// finit_module(2); a module that is loaded already is no error.
int cl_load_module(const char *path);
// Adds random bytes to the kernel's pool, counts them as entropy, and makes the generators start anew from the pool.
int cl_add_entropy(const void *bytes, uint32_t count);
int cl_set_clock(int64_t nanoseconds);

/// Writes out the file system that `path` lies on and stops all writing to it, or lets it go on; it may be as it shall be.
int cl_freeze_files(const char *path, int freeze);
int cl_set_hostname(const char *name);
int cl_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int cl_unmount(const char *target);
// sync(2), then reboot(2) with power off: a VM's process 1 cannot simply end.
int cl_power_off(void);

#endif
