#define _GNU_SOURCE
#include "container_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container_credentials.h"
#include "container_mounts.h"

static int failed(long value) { return value < 0 ? -errno : 0; }

// Opens a file to write. Below /proc only the kernel's own file will do: not one that something was mounted over
// (CVE-2025-52881).
static int open_to_write(const char *path) {
    if (strncmp(path, "/proc/", 6) != 0) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    int proc = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (proc < 0) return -errno;
    struct statfs status;
    struct open_how how = {.flags = O_WRONLY | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS};
    long fd = -1;
    if (fstatfs(proc, &status) == 0 && status.f_type != PROC_SUPER_MAGIC) errno = ENODEV;
    else fd = syscall(SYS_openat2, proc, path + 6, &how, sizeof how);
    int result = fd < 0 ? -errno : (int)fd;
    close(proc);
    return result;
}

static int step_write(const cl_step *step) {
    int fd = open_to_write(step->t[0]);
    if (fd < 0) return step->n[0] && (fd == -ENOENT || step->n[0] == 2) ? 0 : fd;
    size_t length = strlen(step->t[1]);
    int result = write(fd, step->t[1], length) == (ssize_t)length || step->n[0] == 2 ? 0 : -errno;
    close(fd);
    return result;
}

static int step_setns(const cl_step *step) {
    if (!step->t[0]) return failed(setns((int)step->n[0], (int)step->n[1]));
    int fd = open(step->t[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = failed(setns(fd, (int)step->n[1]));
    close(fd);
    return result;
}

static int report_stage(int report, int stage, int value) {
    cl_report message = {stage, value};
    return write(report, &message, sizeof message) == sizeof message ? 0 : -EPIPE;
}

static int wait_at(int gate) {
    char byte;
    ssize_t got;
    do got = read(gate, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got == 0) _exit(0);
    return failed(got);
}

static int step_wait(const cl_step *step, int report) {
    int result = step->n[1] ? report_stage(report, (int)step->n[1], 0) : 0;
    return result < 0 ? result : wait_at((int)step->n[0]);
}

static int step_seccomp(const cl_step *step, int report) {
    int flags = (int)step->n[0];
    if (step->n[1] > 0) flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, step->d);
    if (listener < 0) return -errno;
    if (step->n[1] <= 0) return 0;
    // From here on calls may be waiting for the listener's owner: only the report's write is known to go through.
    int result = report_stage(report, CL_STAGE_LISTENER, (int)listener);
    if (result == 0) result = wait_at((int)step->n[1]);
    close((int)listener);
    return result;
}

static int step_stdio(const cl_step *step) {
    for (int i = 0; i < 3; i++)
        if (step->n[i] >= 0 && (step->n[i] == i ? fcntl(i, F_SETFD, 0) : dup2((int)step->n[i], i)) < 0) return -errno;
    return 0;
}

static int step_pty(cl_child *child, const cl_step *step) {
    int master = cl_open_in_root(child->root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS);
    if (master < 0) return master;
    struct stat status;
    // Only the real multiplexer: the path is the container's.
    if (fstat(master, &status) < 0) return -errno;
    if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(5, 2)) return -ENODEV;
    int unlock = 0;
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0) return -errno;
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) return -errno;
    if (step->n[1] > 0 && step->n[2] > 0) {
        struct winsize size = {.ws_row = (unsigned short)step->n[1], .ws_col = (unsigned short)step->n[2]};
        if (ioctl(master, TIOCSWINSZ, &size) < 0) return -errno;
    }
    if (step->n[4] > 0 && fchown(slave, (uid_t)step->n[4], (gid_t)-1) < 0) return -errno;
    int result = cl_send_descriptor((int)step->n[0], master, "/dev/ptmx");
    if (result < 0) return result;
    close(master);
    if (step->n[3] && (result = cl_mount_console(child, slave)) < 0) return result;
    setsid();
    if (ioctl(slave, TIOCSCTTY, 0) < 0) return -errno;
    for (int i = 0; i < 3; i++)
        if (dup2(slave, i) < 0) return -errno;
    if (slave > 2) close(slave);
    return 0;
}

static int step_loopback(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int result = failed(ioctl(fd, SIOCSIFFLAGS, &request));
    close(fd);
    return result;
}

static int step_keyring(const cl_step *step) {
    long key = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, step->t[0]);
    // Kernels without keyrings, and the quota of a user with very many containers, do not stop one.
    return key < 0 && errno != ENOSYS && errno != EDQUOT ? -errno : 0;
}

static int step_change_directory(const cl_step *step) {
    if (chdir(step->t[0]) < 0) return -errno;
    // A working directory outside the root shows as "(unreachable)": CVE-2024-21626.
    static char path[PATH_MAX];
    long length = syscall(SYS_getcwd, path, sizeof path);
    return length < 0 ? -errno : path[0] == '/' ? 0 : -EXDEV;
}

static int step_parent_death(const cl_step *step, int report) {
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)step->n[0], 0, 0, 0) < 0) return -errno;
    // The parent may have gone before: then nobody holds the other end of the report pipe.
    struct pollfd poller = {.fd = report};
    if (poll(&poller, 1, 0) > 0 && poller.revents & (POLLERR | POLLHUP)) _exit(0);
    return 0;
}

// Finds the user's home in the container's /etc/passwd: name:password:uid:gid:comment:home:shell.
static int step_home(cl_child *child, const cl_step *step) {
    static char content[65536], home[PATH_MAX + 8];
    strcpy(home, step->n[0] == 0 ? "HOME=/root" : "HOME=/");
    ssize_t length = 0;
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) length = read(fd, content, sizeof content - 1);
    if (fd >= 0) close(fd);
    content[length > 0 ? length : 0] = 0;
    for (char *line = content; line && *line;) {
        char *end = strchr(line, '\n');
        if (end) *end = 0;
        char *field[7] = {line};
        int count = 1;
        for (char *at = line; *at && count < 7; at++)
            if (*at == ':') *at = 0, field[count++] = at + 1;
        if (count == 7) {
            int64_t uid = *field[2] ? 0 : -1;
            for (char *digit = field[2]; *digit && uid >= 0; digit++)
                uid = *digit >= '0' && *digit <= '9' && uid < 1ll << 40 ? uid * 10 + *digit - '0' : -1;
            if (uid == step->n[0]) {
                if (*field[5] == '/' && strlen(field[5]) < PATH_MAX) strcpy(home + 5, field[5]);
                break;
            }
        }
        line = end ? end + 1 : 0;
    }
    child->home = home;
    return 0;
}

static int program_error(int current, int next) { return current == EACCES ? current : next; }

static int step_check_program(const cl_step *step) {
    int error = ENOENT;
    for (const char *const *path = step->d; *path; path++) {
        struct stat status;
        if (stat(*path, &status) < 0) {
            error = program_error(error, errno);
        } else if (S_ISREG(status.st_mode) && status.st_mode & 0111) {
            return 0;
        } else {
            error = EACCES;
        }
    }
    return -error;
}

static int step_inherit(cl_child *child, const cl_step *step) {
    const int *sources = step->d;
    int count = (int)step->n[0], above = 3 + count, moved[16];
    if (count > 16) return -EINVAL;
    // First out of the way of each other.
    for (int i = 0; i < count; i++)
        if ((moved[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, above)) < 0) return -errno;
    if (child->report < above && (child->report = fcntl(child->report, F_DUPFD_CLOEXEC, above)) < 0) return -errno;
    for (int i = 0; i < count; i++)
        if (dup2(moved[i], 3 + i) < 0) return -errno;
    return 0;
}

static int step_execute(cl_child *child, const cl_step *step) {
    unsigned first = 3 + (unsigned)step->n[0];
    for (unsigned fd = 3; fd < first; fd++)
        if (fcntl((int)fd, F_SETFD, 0) < 0 && errno != EBADF) return -errno;
    if (syscall(SYS_close_range, first, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0) return -errno;
    char **environment = (char **)step->d3;
    if (child->home) {
        // The caller left a slot in front of the terminating null.
        char **slot = environment;
        while (*slot) slot++;
        slot[0] = (char *)child->home;
        slot[1] = 0;
    }
    int error = ENOENT;
    for (const char *const *path = step->d; *path; path++) {
        execve(*path, (char *const *)step->d2, environment);
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) return -errno;
        error = program_error(error, errno);
    }
    return -error;
}

// Executes a hook with the container's state as its input, and waits for it.
static int step_hook(const cl_step *step) {
    char pid[12];
    int at = sizeof pid;
    for (int left = getpid(); left > 0 && at > 0; left /= 10) pid[--at] = (char)('0' + left % 10);
    int state = memfd_create("state", MFD_CLOEXEC);
    if (state < 0) return -errno;
    const struct iovec pieces[] = {{(void *)step->t[0], strlen(step->t[0])},
                                   {pid + at, sizeof pid - (size_t)at},
                                   {(void *)step->t[1], strlen(step->t[1])}};
    if (writev(state, pieces, 3) < 0 || lseek(state, 0, SEEK_SET) < 0) return -errno;
    int pidfd = -1;
    cl_step steps[2] = {{.kind = CL_STEP_STDIO, .n = {state, 1, 2}},
                        {.kind = CL_STEP_EXECUTE, .d = step->d, .d2 = step->d2, .d3 = step->d3}};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    int result = cl_spawn(steps, 2, ends[1], 0, -1, &pidfd);
    close(ends[1]);
    close(state);
    if (result < 0) return result;
    cl_report message;
    int failure = read(ends[0], &message, sizeof message) == sizeof message ? -message.error : 0;
    close(ends[0]);
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};
    int left;
    do left = poll(&poller, 1, step->n[0] > 0 && step->n[0] < INT_MAX / 1000 ? (int)step->n[0] * 1000 : -1);
    while (left < 0 && errno == EINTR);
    if (left == 0) syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0);
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0) return -errno;
    close(pidfd);
    if (failure) return failure;
    if (left == 0) return -ETIMEDOUT;
    return info.si_code == CLD_EXITED && info.si_status == 0 ? 0 : -ECANCELED;
}

static int perform_mount_step(cl_child *child, const cl_step *step) {
    switch (step->kind) {
    case CL_STEP_PROPAGATION: return cl_step_propagation(step);
    case CL_STEP_ROOT_BIND: return cl_step_root_bind(child, step);
    case CL_STEP_ROOT_PLAIN: return cl_step_root_plain(child, step);
    case CL_STEP_ROOT_OVERLAY: return cl_step_root_overlay(child, step);
    case CL_STEP_ROOT_OF: return cl_step_root_of(child, step);
    case CL_STEP_MOUNT: return cl_step_mount(child, step);
    case CL_STEP_BIND: return cl_step_bind(child, step);
    case CL_STEP_DIRECTORY: return cl_step_directory(child, step);
    case CL_STEP_DEVICE: return cl_step_device(child, step);
    case CL_STEP_SYMLINK: return cl_step_symlink(child, step);
    case CL_STEP_MASK: return cl_step_mask(child, step);
    case CL_STEP_READONLY_PATH: return cl_step_readonly_path(child, step);
    case CL_STEP_READONLY_ROOT: return cl_step_readonly_root(child);
    case CL_STEP_PIVOT: return cl_step_pivot(child);
    case CL_STEP_CHROOT: return cl_step_chroot(child);
    case CL_STEP_CURRENT_ROOT: return cl_step_current_root(child);
    default: return -ENOSYS;
    }
}

static int perform(cl_child *child, const cl_step *step) {
    switch (step->kind) {
    case CL_STEP_WRITE: return step_write(step);
    case CL_STEP_SETNS: return step_setns(step);
    case CL_STEP_UNSHARE: return failed(unshare((int)step->n[0]));
    case CL_STEP_WAIT: return step_wait(step, child->report);
    case CL_STEP_SESSION: return failed(setsid());
    case CL_STEP_STDIO: return step_stdio(step);
    case CL_STEP_INHERIT: return step_inherit(child, step);
    case CL_STEP_PTY: return step_pty(child, step);
    case CL_STEP_HOSTNAME: return failed(sethostname(step->t[0], strlen(step->t[0])));
    case CL_STEP_DOMAINNAME: return failed(setdomainname(step->t[0], strlen(step->t[0])));
    case CL_STEP_LOOPBACK: return step_loopback();
    case CL_STEP_RLIMIT: {
        struct rlimit limit = {.rlim_cur = (rlim_t)step->n[1], .rlim_max = (rlim_t)step->n[2]};
        return failed(setrlimit((unsigned)step->n[0], &limit));
    }
    case CL_STEP_KEYRING: return step_keyring(step);
    case CL_STEP_BECOME_ROOT:
        if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0) return -errno;
        return 0;
    case CL_STEP_BOUNDING: return cl_step_bounding(step);
    case CL_STEP_USER: return cl_step_user(step);
    case CL_STEP_CAPABILITIES: return cl_step_capabilities(step);
    case CL_STEP_NO_NEW_PRIVILEGES: return failed(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    case CL_STEP_SECCOMP: return step_seccomp(step, child->report);
    case CL_STEP_HOOK: return step_hook(step);
    case CL_STEP_SCHEDULER: return failed(syscall(SYS_sched_setattr, 0, step->d, 0));
    case CL_STEP_IO_PRIORITY: return failed(syscall(SYS_ioprio_set, 1, 0, (int)step->n[0]));
    case CL_STEP_PERSONALITY: return failed(personality((unsigned long)step->n[0]));
    case CL_STEP_AFFINITY: return failed(sched_setaffinity(0, (size_t)step->n[0], step->d));
    case CL_STEP_DIRECTORY_CHANGE: return step_change_directory(step);
    case CL_STEP_PARENT_DEATH: return step_parent_death(step, child->report);
    case CL_STEP_HOME: return step_home(child, step);
    case CL_STEP_CHECK_PROGRAM: return step_check_program(step);
    case CL_STEP_EXECUTE: return step_execute(child, step);
    case CL_STEP_HOLD:
        close(child->report);
        for (;;) pause();
    default: return perform_mount_step(child, step);
    }
}

static _Noreturn void run_child(const cl_step *steps, int32_t count, int report) {
    cl_child child = {.report = report, .root = -1, .null = -1, .empty = -1};
    // CLONE_CLEAR_SIGHAND reset the handlers, but what is ignored stays ignored.
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < 32; signal++)
        if (signal != SIGKILL && signal != SIGSTOP) sigaction(signal, &action, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    for (int32_t i = 0; i < count; i++) {
        int error = perform(&child, &steps[i]);
        if (error == 0) continue;
        cl_report message = {steps[i].stage, -error};
        ssize_t written = write(report, &message, sizeof message);
        _exit(written == sizeof message ? 127 : 126);
    }
    _exit(0);
}

int cl_spawn(const cl_step *steps, int32_t count, int report, uint64_t flags, int cgroup, int *pidfd) {
    *pidfd = -1;
    struct clone_args arguments = {
        .flags = flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
    };
    if (cgroup >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)cgroup;
    }
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) run_child(steps, count, report);
    return pid < 0 ? -errno : (int)pid;
}
