#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guest_start.h"

static int guest;

// The generator of random numbers is ready with what the host has put here; otherwise the first who asks waits for the
// kernel to gather some from its timers, for more than a second under emulation.
static void add_seed(void) {
    unsigned char seed[64];
    int fd = open("/seed", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t count = read(fd, seed, sizeof seed);
    close(fd);
    if (count > 0) cl_add_entropy(seed, (uint32_t)count);
    memset(seed, 0, sizeof seed);
    unlink("/seed");
}

// Runs before main. A process 1 that finds a /proc is that of a container.
__attribute__((constructor(101))) static void start_guest(void) {
    if (getpid() != 1 || access("/proc/self", F_OK) == 0 || access("/modules", F_OK) != 0) return;
    guest = 1;
    // A failure shows in the first thing that needs the file system, which names it.
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    for (int fd = open("/dev/console", O_RDWR | O_CLOEXEC); fd >= 0;) {
        for (int target = 0; target < 3; target++) dup2(fd, target);
        if (fd > 2) close(fd);
        break;
    }
    add_seed();
}

int cl_is_guest(void) { return guest; }

static int make(const char *path, mode_t mode) { return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0; }

int cl_guest_root(void) {
    static const char root[] = "/root";
    static const char *const folders[] = {"/root/proc", "/root/sys", "/root/dev", "/root/run", "/root/tmp", "/root/etc"};
    static const char *const moved[] = {"/proc", "/sys", "/dev"};
    int error = make(root, 0755);
    if (error == 0 && mount("tmpfs", root, "tmpfs", 0, "mode=0755") < 0) error = -errno;
    for (size_t i = 0; error == 0 && i < sizeof folders / sizeof *folders; i++) error = make(folders[i], 0755);
    if (error < 0) return error;
    for (size_t i = 0; i < 3; i++) {
        if (mount(moved[i], folders[i], NULL, MS_MOVE, NULL) < 0) return -errno;
    }
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) return -errno;
    if (chdir(root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0) return -errno;
    if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) < 0) return -errno;
    if ((error = make("/dev/pts", 0755)) < 0 || (error = make("/dev/shm", 01777)) < 0) return error;
    if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5") < 0) return -errno;
    if (mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0) return -errno;
    return 0;
}

int cl_load_module(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST ? -errno : 0;
    close(fd);
    return result;
}

int cl_add_entropy(const void *bytes, uint32_t count) {
    enum { most = 512 };
    // Its bytes are a member without a size.
    union {
        struct rand_pool_info info;
        unsigned char room[sizeof(struct rand_pool_info) + most];
    } pool = {.room = {0}};
    if (count > most) return -EINVAL;
    pool.info.entropy_count = (int)count * 8;
    pool.info.buf_size = (int)count;
    memcpy(pool.info.buf, bytes, count);
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = ioctl(fd, RNDADDENTROPY, &pool) < 0 ? -errno : 0;
    if (result == 0 && ioctl(fd, RNDRESEEDCRNG) < 0) result = -errno;
    close(fd);
    memset(&pool, 0, sizeof pool);
    return result;
}

int cl_set_clock(int64_t nanoseconds) {
    struct timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    return clock_settime(CLOCK_REALTIME, &time) < 0 ? -errno : 0;
}

int cl_set_hostname(const char *name) { return sethostname(name, strlen(name)) < 0 ? -errno : 0; }

int cl_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
    return mount(source, target, type, flags, data) < 0 ? -errno : 0;
}

int cl_unmount(const char *target) { return umount2(target, MNT_DETACH) < 0 ? -errno : 0; }

int cl_power_off(void) {
    sync();
    return reboot(RB_POWER_OFF) < 0 ? -errno : 0;
}

int cl_freeze_files(const char *path, int freeze) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = ioctl(fd, freeze ? FIFREEZE : FITHAW, 0) < 0 ? -errno : 0;
    close(fd);
    // That is what they say of one that is so already.
    return result == (freeze ? -EBUSY : -EINVAL) ? 0 : result;
}
