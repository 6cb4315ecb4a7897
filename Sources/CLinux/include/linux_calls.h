// Calls glibc does not wrap, or that Swift cannot import because they are variadic. All return >= 0 or -errno.
#ifndef SKALA_LINUX_CALLS_H
#define SKALA_LINUX_CALLS_H

#include <spawn.h>
#include <stdint.h>
#include <sys/types.h>

// open(2) and friends; O_CLOEXEC is always added.
int cl_open(const char *path, int flags, mode_t mode);
int cl_openat(int dir, const char *path, int flags, mode_t mode);
// openat2(2) with RESOLVE_* of linux/openat2.h; O_CLOEXEC is always added.
int cl_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int cl_fcntl(int fd, int command, long argument);
int cl_ioctl(int fd, unsigned long request, void *argument);
int cl_pipe2(int fds[2], int flags);
// posix_spawn_file_actions_addclosefrom_np(3): the program gets no descriptors from this one on.
int cl_spawn_close_from(posix_spawn_file_actions_t *actions, int fd);
int cl_accept4(int fd, int flags);
int cl_setns(int fd, int type);
int cl_unshare(int flags);
// Copies at most size bytes between files, inside the kernel where it can; 0 at the end.
int64_t cl_copy_file_range(int from, int to, size_t size);
// renameat2(2) with RENAME_EXCHANGE: two files or folders change places at once.
int cl_exchange(const char *one, const char *other);

/// syncfs(2).
int cl_sync_files(int fd);
int cl_pidfd_open(pid_t pid, unsigned flags);
int cl_pidfd_send_signal(int pidfd, int signal);
// pidfd_getfd(2): a copy of another process's descriptor.
int cl_take_descriptor(int pidfd, int descriptor);
// A detached copy of the mount at path, with owners mapped as in the user namespace; gone when it is closed.
int cl_idmapped_mount(const char *path, int user_namespace);
// Loads a seccomp filter that allows everything into the calling thread, without new privileges from then on.
int cl_seccomp_allow_all(void);
// Lets a thread run on one core only.
int cl_pin_thread(pid_t thread, unsigned core);
// Names the calling thread, with at most 15 characters; the kernel tells the name of who does something.
int cl_set_thread_name(const char *name);
// makedev(3), which is a macro.
uint64_t cl_device_number(unsigned major, unsigned minor);

#endif
