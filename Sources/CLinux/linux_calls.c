#define _GNU_SOURCE
#include "linux_calls.h"
#include "container_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int result(long value) { return value < 0 ? -errno : (int)value; }

int cl_open(const char *path, int flags, mode_t mode) { return result(open(path, flags | O_CLOEXEC, mode)); }

int cl_openat(int dir, const char *path, int flags, mode_t mode) {
    return result(openat(dir, path, flags | O_CLOEXEC, mode));
}

int cl_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    return result(syscall(SYS_openat2, dir, path, &how, sizeof how));
}

int cl_fcntl(int fd, int command, long argument) { return result(fcntl(fd, command, argument)); }
int cl_ioctl(int fd, unsigned long request, void *argument) { return result(ioctl(fd, request, argument)); }
int cl_pipe2(int fds[2], int flags) { return result(pipe2(fds, flags | O_CLOEXEC)); }

int cl_spawn_close_from(posix_spawn_file_actions_t *actions, int fd) {
    return -posix_spawn_file_actions_addclosefrom_np(actions, fd);
}

int cl_accept4(int fd, int flags) { return result(accept4(fd, 0, 0, flags | SOCK_CLOEXEC)); }
int cl_setns(int fd, int type) { return result(setns(fd, type)); }
int cl_unshare(int flags) { return result(unshare(flags)); }
int64_t cl_copy_file_range(int from, int to, size_t size) {
    ssize_t count = copy_file_range(from, 0, to, 0, size, 0);
    return count < 0 ? -errno : count;
}
int cl_pidfd_open(pid_t pid, unsigned flags) { return result(syscall(SYS_pidfd_open, pid, flags)); }
int cl_take_descriptor(int pidfd, int descriptor) { return result(syscall(SYS_pidfd_getfd, pidfd, descriptor, 0)); }
int cl_pidfd_send_signal(int pidfd, int signal) { return result(syscall(SYS_pidfd_send_signal, pidfd, signal, 0, 0)); }

int cl_idmapped_mount(const char *path, int user_namespace) {
    int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) return -errno;
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_namespace};
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) return tree;
    int error = errno;
    close(tree);
    return -error;
}

int cl_seccomp_allow_all(void) {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = 1, .filter = &allow};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    return result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

uint64_t cl_device_number(unsigned major, unsigned minor) { return makedev(major, minor); }

int cl_clone_mount(int dir, const char *path, int recursive) {
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
    int tree = open_tree(dir, path, flags | (*path ? 0 : AT_EMPTY_PATH));
    return tree < 0 ? -errno : tree;
}

int cl_change_mount(int mount, int recursive, uint64_t set, uint64_t clear, int users) {
    struct mount_attr attributes = {.attr_set = set, .attr_clr = clear};
    if (users >= 0) {
        attributes.attr_set |= MOUNT_ATTR_IDMAP;
        attributes.userns_fd = (uint64_t)users;
    }
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    return mount_setattr(mount, "", flags, &attributes, sizeof attributes) < 0 ? -errno : 0;
}

int cl_pin_thread(pid_t thread, unsigned core) {
    if (core >= CPU_SETSIZE) return -EINVAL;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return sched_setaffinity(thread, sizeof set, &set) == 0 ? 0 : -errno;
}

int cl_exchange(const char *one, const char *other) {
    return result(renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE));
}

int cl_sync_files(int fd) { return result(syncfs(fd)); }

int cl_set_thread_name(const char *name) { return prctl(PR_SET_NAME, (unsigned long)name, 0, 0, 0) < 0 ? -errno : 0; }
