#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "container_child.h"

extern char **environ;

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int is_protected(int fd) {
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS) return 1;
    struct statvfs status;
    return fstatvfs(fd, &status) == 0 && status.f_flag & ST_RDONLY;
}

static int sealed_copy(int source) {
    int copy = memfd_create("skala-warden", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat status;
    if (copy < 0 || fstat(source, &status) < 0) return -errno;
    for (off_t left = status.st_size; left > 0;) {
        ssize_t sent = sendfile(copy, source, 0, (size_t)left);
        if (sent <= 0) return sent < 0 ? -errno : -EIO;
        left -= sent;
    }
    return fcntl(copy, F_ADD_SEALS, ALL_SEALS) < 0 ? -errno : copy;
}

static int read_only_mount(int source) {
    int tree = open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0) return -errno;
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) return tree;
    int error = -errno;
    close(tree);
    return error;
}

int cl_protect_executable(char *const argv[], int copy) {
    int own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (own < 0) return -errno;
    if (is_protected(own)) {
        close(own);
        return 0;
    }
    // A mount costs some microseconds, a copy about a millisecond; the mount holds the file, the copy memory.
    int program = copy ? -1 : read_only_mount(own);
    if (program < 0) program = sealed_copy(own);
    close(own);
    if (program < 0) return program;
    syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
    return -errno;
}

// The command line executes itself again before Swift's runtime starts, rather than after: that saves a start of it. What
// fails here fails again, with a message, when the command is carried out.
__attribute__((constructor(101))) static void protect_early(int argc, char **argv, char **environment) {
    (void)environment;
    const char *name = argc > 0 ? strrchr(argv[0], '/') : 0;
    if (argc == 0 || strcmp(name ? name + 1 : argv[0], "skala-runtime") != 0) return;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "run") && strcmp(argv[i], "create") && strcmp(argv[i], "exec")) continue;
        cl_protect_executable(argv, 0);
        return;
    }
}

int cl_memory_file(const char *name) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cl_lock_file(int fd) { return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0; }
