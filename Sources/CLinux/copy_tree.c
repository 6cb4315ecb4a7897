#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "container_mounts.h"

#define MAXIMUM_DEPTH 64

struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static void copy_attributes(int from, int to) {
    static char names[65536], value[65536];
    ssize_t length = flistxattr(from, names, sizeof names);
    // What the new file system does not take stays behind, as with cp -a.
    for (char *name = names; name < names + length; name += strlen(name) + 1) {
        ssize_t size = fgetxattr(from, name, value, sizeof value);
        if (size >= 0) fsetxattr(to, name, value, (size_t)size, 0);
    }
}

static int finish(int from, int to, const struct stat *status) {
    copy_attributes(from, to);
    const struct timespec times[] = {status->st_atim, status->st_mtim};
    if (fchown(to, status->st_uid, status->st_gid) < 0 || fchmod(to, status->st_mode & 07777) < 0) return -errno;
    return futimens(to, times) < 0 ? -errno : 0;
}

static int copy_file(int from, const char *name, int to, const struct stat *status) {
    int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (source < 0) return -errno;
    int copy = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int result = copy < 0 ? -errno : 0;
    while (result == 0) {
        ssize_t sent = sendfile(copy, source, 0, 1 << 30);
        if (sent < 0) result = -errno;
        if (sent <= 0) break;
    }
    if (result == 0) result = finish(source, copy, status);
    close(source);
    if (copy >= 0) close(copy);
    return result;
}

static int copy_directory(int from, const char *name, int to, int depth) {
    if (depth >= MAXIMUM_DEPTH) return -ELOOP;
    if (mkdirat(to, name, 0700) < 0) return -errno;
    int source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int copy = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = source < 0 || copy < 0 ? -errno : cl_copy_tree(source, copy, depth + 1);
    if (source >= 0) close(source);
    if (copy >= 0) close(copy);
    return result;
}

static int copy_link(int from, const char *name, int to) {
    static char target[PATH_MAX];
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);
    if (length < 0) return -errno;
    target[length] = 0;
    return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_entry(int from, const char *name, int to, int depth) {
    struct stat status;
    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
    if (S_ISDIR(status.st_mode)) return copy_directory(from, name, to, depth);
    if (S_ISREG(status.st_mode)) return copy_file(from, name, to, &status);
    int result = S_ISLNK(status.st_mode) ? copy_link(from, name, to)
                 : mknodat(to, name, status.st_mode, status.st_rdev) < 0 ? -errno
                                                                         : 0;
    if (result == 0 && fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
    return result;
}

int cl_copy_tree(int from, int to, int depth) {
    char buffer[4096] __attribute__((aligned(8)));
    for (;;) {
        long length = syscall(SYS_getdents64, from, buffer, sizeof buffer);
        if (length < 0) return -errno;
        if (length == 0) break;
        for (long at = 0; at < length;) {
            const struct entry *entry = (const struct entry *)(buffer + at);
            at += entry->length;
            if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) continue;
            int result = copy_entry(from, entry->name, to, depth);
            if (result < 0) return result;
        }
    }
    struct stat status;
    return fstat(from, &status) < 0 ? -errno : finish(from, to, &status);
}
