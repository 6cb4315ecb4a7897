// The kernel's own price of a container: the bare calls, with nothing around them.
//
//   bare FOLDER LOWER GROUP...
//
// For every byte on standard input it runs one container (busybox true) and answers "x" when it has ended and "c" when
// its groups are removed. FOLDER holds the writable layer, LOWER is the root file system below it, each GROUP is the path
// of a control group to make; the first is in the version 2 tree and joined by the clone, "-" where there is none.
//
// Done are the calls without which there is no container: the groups with a memory and a process limit, namespaces
// (mount, pid, uts, ipc, cgroup, network with lo up), an overlay root with proc, dev, devpts and sys, pivot_root, exec,
// wait. Left out is what makes one safe: device rules, masked paths, capabilities, seccomp, logs.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static char upper[512], work[512], merged[512], data[2048];

static void require(long result, const char *what) {
    if (result >= 0) return;
    fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static int put(const char *folder, const char *file, const char *value) {
    char path[640];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t written = write(fd, value, strlen(value));
    close(fd);
    return written < 0 ? -1 : 0;
}

static void device(const char *name, unsigned major_number, unsigned minor_number) {
    char path[64];
    snprintf(path, sizeof path, "dev/%s", name);
    require(mknod(path, S_IFCHR | 0666, makedev(major_number, minor_number)), path);
}

static _Noreturn void child(char **groups, int count) {
    require(setsid(), "setsid");
    for (int i = 1; i < count; i++) require(put(groups[i], "tasks", "0"), groups[i]);
    require(unshare(CLONE_NEWCGROUP), "unshare");
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    require(ioctl(fd, SIOCSIFFLAGS, &request), "lo");
    close(fd);
    require(sethostname("bare", 4), "sethostname");
    require(mount(0, "/", 0, MS_REC | MS_SLAVE, 0), "make / a slave");
    require(mount("overlay", merged, "overlay", 0, data), "overlay");
    require(chdir(merged), "chdir");
    require(mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, 0), "proc");
    require(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "dev");
    require(mkdir("dev/pts", 0755), "dev/pts");
    require(
        mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"),
        "devpts");
    require(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, 0), "sys");
    umask(0);
    device("null", 1, 3);
    device("zero", 1, 5);
    device("full", 1, 7);
    device("random", 1, 8);
    device("urandom", 1, 9);
    device("tty", 5, 0);
    require(symlink("/proc/self/fd", "dev/fd"), "dev/fd");
    require(symlink("pts/ptmx", "dev/ptmx"), "dev/ptmx");
    require(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    require(umount2(".", MNT_DETACH), "umount");
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(null, i);
    require(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC), "close_range");
    char *arguments[] = {"busybox", "true", 0}, *environment[] = {"PATH=/bin", 0};
    execve("/bin/busybox", arguments, environment);
    require(-1, "execve /bin/busybox");
    _exit(1);
}

static void make_groups(char **groups, int count) {
    for (int i = 0; i < count; i++) {
        if (groups[i][0] == '-') continue;
        require(mkdir(groups[i], 0755), groups[i]);
        // Only the group of the right controller has the file.
        (void)(put(groups[i], "memory.limit_in_bytes", "67108864") && put(groups[i], "memory.max", "67108864"));
        (void)put(groups[i], "pids.max", "64");
    }
}

static void remove_groups(char **groups, int count) {
    for (int i = 0; i < count; i++)
        // The kernel lets go of an ended process' group a moment after the wait.
        for (int attempt = 0; attempt < 1000 && rmdir(groups[i]) < 0 && errno == EBUSY; attempt++) usleep(200);
}

static void run(char **groups, int count) {
    make_groups(groups, count);
    int group = groups[0][0] == '-' ? -1 : open(groups[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct clone_args arguments = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET
            | (group >= 0 ? CLONE_INTO_CGROUP : 0),
        .exit_signal = SIGCHLD,
        .cgroup = group >= 0 ? (uint64_t)group : 0,
    };
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    require(pid, "clone3");
    if (pid == 0) child(groups, count);
    int status = 0;
    require(waitpid((pid_t)pid, &status, 0), "waitpid");
    if (status != 0) {
        fprintf(stderr, "bare: the container ended with status %d\n", status);
        remove_groups(groups, count);
        exit(1);
    }
    if (group >= 0) close(group);
}

static void make_layer(void) {
    require(mkdir(upper, 0755), upper);
    require(mkdir(work, 0755), work);
}

static void remove_layer(void) {
    char path[640];
    snprintf(path, sizeof path, "%s/work", work);
    rmdir(path);
    rmdir(work);
    rmdir(upper);
}

int main(int count, char **arguments) {
    if (count < 4) {
        fprintf(stderr, "usage: bare FOLDER LOWER GROUP...\n");
        return 2;
    }
    snprintf(upper, sizeof upper, "%s/upper", arguments[1]);
    snprintf(work, sizeof work, "%s/work", arguments[1]);
    snprintf(merged, sizeof merged, "%s/merged", arguments[1]);
    snprintf(data, sizeof data, "lowerdir=%s,upperdir=%s,workdir=%s", arguments[2], upper, work);
    require(mkdir(merged, 0755), merged);
    make_layer();
    char byte;
    while (read(0, &byte, 1) == 1) {
        run(arguments + 3, count - 3);
        if (write(1, "x", 1) != 1) break;
        remove_groups(arguments + 3, count - 3);
        if (write(1, "c", 1) != 1) break;
        remove_layer();
        make_layer();
    }
    remove_layer();
    rmdir(merged);
    return 0;
}
