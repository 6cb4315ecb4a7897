// Starts commands and takes their time, without a language's runtime in between.
//
//   spawn [FOLDER HIERARCHY...]
//
// Reads requests from standard input: a 32-bit length in host order, then the arguments, each ended by a zero byte.
// Answers each with a line "nanoseconds status", the time from before the spawn to after the wait. What a command prints
// goes to /dev/null, its errors to this program's.
//
// With arguments the commands see another /sys/fs/cgroup: a tmpfs made on FOLDER that holds only the version 1
// hierarchies named, each by the path of its mount. Some runtimes refuse a host that has both versions.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void require(long result, const char *what) {
    if (result >= 0) return;
    fprintf(stderr, "spawn: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static void show_version1(const char *folder, char **hierarchies) {
    require(unshare(CLONE_NEWNS), "unshare");
    require(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0), "make / private");
    require(mount("tmpfs", folder, "tmpfs", 0, "mode=755"), folder);
    for (char **hierarchy = hierarchies; *hierarchy; hierarchy++) {
        char path[512];
        const char *name = strrchr(*hierarchy, '/');
        snprintf(path, sizeof path, "%s%s", folder, name ? name : "/x");
        require(mkdir(path, 0755), path);
        require(mount(*hierarchy, path, 0, MS_BIND, 0), path);
    }
    // Gone from this namespace only; hidden below the new one they would still show in mountinfo.
    require(umount2("/sys/fs/cgroup", MNT_DETACH), "detach /sys/fs/cgroup");
    require(mount(folder, "/sys/fs/cgroup", 0, MS_MOVE, 0), "move over /sys/fs/cgroup");
}

static int read_all(void *buffer, size_t length) {
    char *at = buffer;
    while (length > 0) {
        ssize_t got = read(0, at, length);
        if (got <= 0) return 0;
        at += got;
        length -= (size_t)got;
    }
    return 1;
}

int main(int count, char **arguments) {
    if (count > 2) show_version1(arguments[1], arguments + 2);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    static char request[65536];
    char *list[256];
    uint32_t length;
    while (read_all(&length, sizeof length) && length > 0 && length < sizeof request && read_all(request, length)) {
        int number = 0;
        request[length] = 0;
        for (char *at = request; at < request + length && number < 255; at += strlen(at) + 1) list[number++] = at;
        list[number] = 0;
        pid_t pid;
        int status = 0;
        int64_t start = now();
        int failed = posix_spawnp(&pid, list[0], &actions, 0, list, environ);
        if (failed) {
            fprintf(stderr, "spawn: %s: %s\n", list[0], strerror(failed));
            status = 127 << 8;
        } else {
            require(waitpid(pid, &status, 0), "waitpid");
        }
        int64_t end = now();
        char answer[64];
        int size = snprintf(
            answer, sizeof answer, "%lld %d\n", (long long)(end - start),
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        if (write(1, answer, (size_t)size) != size) break;
    }
    return 0;
}
