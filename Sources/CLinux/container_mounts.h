// The steps of container_child.h that build the container's file system. Private to CLinux.
#ifndef SKALA_CONTAINER_MOUNTS_H
#define SKALA_CONTAINER_MOUNTS_H

#include <sys/sysmacros.h>

#include "container_child.h"

typedef struct cl_child {
    int report;
    int root;  // the container's root directory, O_PATH
    int null;  // the host's /dev/null, verified
    int empty; // a detached, read-only, empty tmpfs
    const char *home;
} cl_child;

// Opens `path` as if `root` were `/`.
int cl_open_in_root(int root, const char *path, int flags, uint64_t resolve);
int cl_mount_console(cl_child *child, int slave);

// Copies a directory's content, with owners, modes, times and extended attributes, into another one.
int cl_copy_tree(int from, int to, int depth);

int cl_step_propagation(const cl_step *step);
int cl_step_root_bind(cl_child *child, const cl_step *step);
int cl_step_root_plain(cl_child *child, const cl_step *step);
int cl_step_root_overlay(cl_child *child, const cl_step *step);
int cl_step_root_of(cl_child *child, const cl_step *step);
int cl_step_mount(cl_child *child, const cl_step *step);
int cl_step_bind(cl_child *child, const cl_step *step);
int cl_step_directory(cl_child *child, const cl_step *step);
int cl_step_device(cl_child *child, const cl_step *step);
int cl_step_symlink(cl_child *child, const cl_step *step);
int cl_step_mask(cl_child *child, const cl_step *step);
int cl_step_readonly_path(cl_child *child, const cl_step *step);
int cl_step_readonly_root(cl_child *child);
int cl_step_pivot(cl_child *child);
int cl_step_chroot(cl_child *child);
int cl_step_current_root(cl_child *child);

#endif
