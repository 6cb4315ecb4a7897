#define _GNU_SOURCE
#include "container_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOVE_BY_DESCRIPTOR (MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
#define MAXIMUM_LINKS 40

int cl_open_in_root(int root, const char *path, int flags, uint64_t resolve) {
    struct open_how how = {
        .flags = (uint64_t)flags | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
    };
    long fd;
    // EAGAIN: something was renamed or mounted during the walk.
    for (int attempt = 0; attempt < 128; attempt++) {
        fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN) break;
    }
    return fd < 0 ? -errno : (int)fd;
}

enum leaf { LEAF_DIRECTORY, LEAF_FILE };

// The usual case: only the last component is missing. False when it is another one.
static int make_leaf(int root, const char *path, enum leaf leaf, uint64_t resolve) {
    static char directory[PATH_MAX];
    const char *name = strrchr(path, '/');
    if (!name || name[1] == 0 || name == path || (size_t)(name - path) >= sizeof directory) return 0;
    memcpy(directory, path, (size_t)(name - path));
    directory[name - path] = 0;
    int parent = cl_open_in_root(root, directory, O_PATH | O_DIRECTORY, resolve);
    if (parent < 0) return 0;
    int made = -1;
    if (leaf == LEAF_FILE) {
        made = openat(parent, name + 1, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (made >= 0) close(made);
    } else {
        made = mkdirat(parent, name + 1, 0755);
    }
    close(parent);
    return made >= 0;
}

// Opens `path` in the root, making missing directories (and the leaf) on the way. A dangling symbolic link is followed
// to where it points inside the root.
static int make_in_root(int root, const char *wanted, enum leaf leaf, uint64_t resolve) {
    int fd = cl_open_in_root(root, wanted, O_PATH, resolve);
    if (fd != -ENOENT) return fd;
    if (make_leaf(root, wanted, leaf, resolve)) {
        fd = cl_open_in_root(root, wanted, O_PATH, resolve);
        if (fd != -ENOENT) return fd;
    }
    static char path[PATH_MAX], link[PATH_MAX], joined[PATH_MAX];
    if (strlen(wanted) >= sizeof path) return -ENAMETOOLONG;
    strcpy(path, wanted);
    int links = 0;
    size_t at = 0;
    for (;;) {
        while (path[at] == '/') at++;
        size_t start = at;
        while (path[at] && path[at] != '/') at++;
        if (start == at) return cl_open_in_root(root, path, O_PATH, resolve);
        char kept = path[at];
        size_t rest = at;
        while (path[rest] == '/') rest++;
        int is_leaf = path[rest] == 0;
        path[at] = 0;
        fd = cl_open_in_root(root, path, O_PATH, resolve);
        if (fd == -ENOENT) {
            char first = path[start];
            path[start] = 0;
            int parent = cl_open_in_root(root, start ? path : "/", O_PATH | O_DIRECTORY, resolve);
            path[start] = first;
            if (parent < 0) return parent;
            ssize_t length = readlinkat(parent, path + start, link, sizeof link - 1);
            if (length > 0) {
                close(parent);
                link[length] = 0;
                path[at] = kept;
                if (++links > MAXIMUM_LINKS || resolve & RESOLVE_NO_SYMLINKS) return -ELOOP;
                size_t front = link[0] == '/' ? 0 : start;
                if (front + (size_t)length + 1 + strlen(path + rest) >= sizeof joined) return -ENAMETOOLONG;
                memcpy(joined, path, front);
                strcpy(joined + front, link);
                strcat(joined, "/");
                strcat(joined, path + rest);
                strcpy(path, joined);
                at = 0;
                continue;
            }
            int made;
            if (is_leaf && leaf == LEAF_FILE) {
                made = openat(parent, path + start, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
                if (made >= 0) close(made);
            } else {
                made = mkdirat(parent, path + start, 0755);
            }
            int error = made < 0 && errno != EEXIST ? -errno : 0;
            close(parent);
            if (error) return error;
            fd = cl_open_in_root(root, path, O_PATH, resolve);
        }
        if (fd < 0) return fd;
        path[at] = kept;
        if (is_leaf) return fd;
        close(fd);
    }
}

// A mount over a file of the container's procfs would deceive what reads it (CVE-2019-16884); the destination may have
// led there by a link.
static int check_target(int target, int covers_proc) {
    struct statfs status;
    if (covers_proc || fstatfs(target, &status) < 0 || status.f_type != PROC_SUPER_MAGIC) return target;
    close(target);
    return -EPERM;
}

static int move_to(int tree, int target) {
    int result = move_mount(tree, "", target, "", MOVE_BY_DESCRIPTOR) < 0 ? -errno : 0;
    close(tree);
    close(target);
    return result;
}

static int set_attributes(int fd, int recursive, uint64_t set, uint64_t clear, uint64_t propagation) {
    if (!set && !clear && !propagation) return 0;
    struct mount_attr attributes = {.attr_set = set, .attr_clr = clear};
    // The access-time modes are values of one field: setting one means clearing the field.
    if (set & MOUNT_ATTR__ATIME || clear & MOUNT_ATTR__ATIME) attributes.attr_clr |= MOUNT_ATTR__ATIME;
    int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    if (set || clear)
        if (mount_setattr(fd, "", (unsigned)flags, &attributes, sizeof attributes) < 0) return -errno;
    if (propagation) {
        struct mount_attr change = {.propagation = propagation & ~(uint64_t)MS_REC};
        flags = AT_EMPTY_PATH | (propagation & MS_REC ? AT_RECURSIVE : 0);
        if (mount_setattr(fd, "", (unsigned)flags, &change, sizeof change) < 0) return -errno;
    }
    return 0;
}

int cl_step_propagation(const cl_step *step) {
    return mount(0, "/", 0, (unsigned long)step->n[0], 0) < 0 ? -errno : 0;
}

static int open_root(cl_child *child, const char *path) {
    child->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (child->root < 0) return -errno;
    // The host's /dev/null, while the host's file systems can be reached. Verified: a mask made of anything else would
    // not mask (CVE-2025-31133).
    child->null = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (child->null < 0) return -errno;
    struct stat status;
    if (fstat(child->null, &status) < 0) return -errno;
    return S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3) ? 0 : -ENODEV;
}

int cl_step_current_root(cl_child *child) {
    child->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return child->root < 0 ? -errno : 0;
}

int cl_step_root_bind(cl_child *child, const cl_step *step) {
    int tree = open_tree(AT_FDCWD, step->t[0], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0) return -errno;
    int target = open(step->t[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (target < 0) return -errno;
    int result = move_to(tree, target);
    return result < 0 ? result : open_root(child, step->t[0]);
}

int cl_step_root_plain(cl_child *child, const cl_step *step) { return open_root(child, step->t[0]); }

int cl_step_root_of(cl_child *child, const cl_step *step) {
    int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), other = open(step->t[0], O_RDONLY | O_CLOEXEC);
    // A mount can be copied only from inside its namespace.
    if (own < 0 || other < 0 || setns(other, CLONE_NEWNS) < 0) return -errno;
    int tree = cl_clone_mount(AT_FDCWD, "/", 0);
    if (setns(own, CLONE_NEWNS) < 0) return -errno;
    close(own);
    close(other);
    if (tree < 0) return tree;
    int target = open(step->t[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    int result = target < 0 ? -errno : move_to(tree, target);
    return result < 0 ? result : open_root(child, step->t[1]);
}

static int overlay_by_mount(const cl_step *step) {
    return mount("overlay", step->t[2], "overlay", 0, step->t[3]) < 0 ? -errno : 0;
}

int cl_step_root_overlay(cl_child *child, const cl_step *step) {
    int result = -EINVAL;
    int fs = fsopen("overlay", FSOPEN_CLOEXEC);
    if (fs >= 0) {
        // "lowerdir+" takes one layer a call (Linux 6.5): no limit of a page on the list, no quoting.
        int added = 1;
        for (const char *const *lower = step->d; *lower && added; lower++)
            added = fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", *lower, 0) == 0;
        if (added && step->t[0])
            added = fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", step->t[0], 0) == 0 &&
                    fsconfig(fs, FSCONFIG_SET_STRING, "workdir", step->t[1], 0) == 0;
        if (added && fsconfig(fs, FSCONFIG_CMD_CREATE, 0, 0, 0) == 0) {
            int tree = fsmount(fs, FSMOUNT_CLOEXEC, 0);
            int target = tree < 0 ? -1 : open(step->t[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
            result = target < 0 ? -errno : move_to(tree, target);
        }
        close(fs);
    }
    if (result < 0) result = overlay_by_mount(step);
    return result < 0 ? result : open_root(child, step->t[2]);
}

static int configure(int fs, const char *option) {
    static char key[256];
    const char *equals = strchr(option, '=');
    if (!equals) return fsconfig(fs, FSCONFIG_SET_FLAG, option, 0, 0) < 0 ? -errno : 0;
    size_t length = (size_t)(equals - option);
    if (length >= sizeof key) return -EINVAL;
    memcpy(key, option, length);
    key[length] = 0;
    return fsconfig(fs, FSCONFIG_SET_STRING, key, equals + 1, 0) < 0 ? -errno : 0;
}

// A new file system, mounted nowhere yet.
static int new_tree(const char *type, const char *source, const char *const *options, uint64_t attributes) {
    int fs = fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0) return -errno;
    int result = 0;
    if (source && *source && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0) result = -errno;
    for (; result == 0 && options && *options; options++) result = configure(fs, *options);
    if (result == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, 0, 0, 0) < 0) result = -errno;
    if (result == 0) {
        int tree = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
        result = tree < 0 ? -errno : tree;
    }
    close(fs);
    return result;
}

// Fills a new file system with what its mount point holds (tmpcopyup).
static int copy_up(int target, int tree) {
    int from = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int to = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = from < 0 || to < 0 ? -errno : cl_copy_tree(from, to, 0);
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    return result;
}

int cl_step_mount(cl_child *child, const cl_step *step) {
    int tree = new_tree(step->t[1], step->t[2], step->d, (uint64_t)step->n[0]);
    if (tree < 0) return tree;
    int result = set_attributes(tree, 0, 0, 0, (uint64_t)step->n[1]);
    if (result < 0) return result;
    int target = make_in_root(child->root, step->t[0], LEAF_DIRECTORY, step->n[2] ? RESOLVE_NO_SYMLINKS : 0);
    if (target < 0 || (target = check_target(target, 0)) < 0) return target;
    if (step->n[3] && (result = copy_up(target, tree)) < 0) return result;
    return move_to(tree, target);
}

static int bind_to(cl_child *child, int tree, const char *path, uint64_t resolve, int covers_proc) {
    struct stat status;
    if (fstat(tree, &status) < 0) return -errno;
    enum leaf leaf = S_ISDIR(status.st_mode) ? LEAF_DIRECTORY : LEAF_FILE;
    int target = make_in_root(child->root, path, leaf, resolve);
    if (target >= 0) target = check_target(target, covers_proc);
    return target < 0 ? target : move_to(tree, target);
}

int cl_step_bind(cl_child *child, const cl_step *step) {
    int tree = step->n[5] ? (int)step->n[5] : cl_clone_mount(AT_FDCWD, step->t[1], step->n[0] & 1);
    if (tree < 0) return tree;
    int result = set_attributes(tree, (int)step->n[3], (uint64_t)step->n[1], (uint64_t)step->n[2], (uint64_t)step->n[4]);
    return result < 0 ? result : bind_to(child, tree, step->t[0], 0, step->n[0] & 2);
}

int cl_step_directory(cl_child *child, const cl_step *step) {
    int fd = make_in_root(child->root, step->t[0], LEAF_DIRECTORY, 0);
    if (fd >= 0) close(fd);
    return fd < 0 ? fd : 0;
}

// Opens the directory of `path` (made when missing); `name` becomes the last component.
static int open_parent(cl_child *child, const char *path, const char **name) {
    static char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) >= sizeof directory) return -EINVAL;
    *name = slash + 1;
    memcpy(directory, path, (size_t)(slash - path));
    directory[slash - path] = 0;
    return make_in_root(child->root, slash == path ? "/" : directory, LEAF_DIRECTORY, 0);
}

int cl_step_device(cl_child *child, const cl_step *step) {
    const char *name;
    int parent = open_parent(child, step->t[0], &name);
    if (parent < 0) return parent;
    mode_t mode = (mode_t)step->n[0];
    int result = mknodat(parent, name, mode, (dev_t)step->n[1]) < 0 ? -errno : 0;
    if (result == 0 && fchmodat(parent, name, mode & 07777, 0) < 0) result = -errno;
    if (result == 0 && (step->n[2] || step->n[3]))
        if (fchownat(parent, name, (uid_t)step->n[2], (gid_t)step->n[3], AT_SYMLINK_NOFOLLOW) < 0) result = -errno;
    close(parent);
    if (result == -EEXIST) result = 0;
    if (result != -EPERM) return result;
    // A user namespace may not make devices: bind the host's.
    int tree = open_tree(AT_FDCWD, step->t[1], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return tree < 0 ? -errno : bind_to(child, tree, step->t[0], 0, 0);
}

int cl_step_symlink(cl_child *child, const cl_step *step) {
    const char *name;
    int parent = open_parent(child, step->t[1], &name);
    if (parent < 0) return parent;
    int result = symlinkat(step->t[0], parent, name) < 0 && errno != EEXIST ? -errno : 0;
    close(parent);
    return result;
}

static int empty_tree(cl_child *child) {
    const uint64_t attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    if (child->empty < 0) {
        child->empty = new_tree("tmpfs", "tmpfs", 0, attributes);
        if (child->empty < 0) return child->empty;
    }
    // One file system for all masked directories; kernels before 6.15 do not clone a detached mount.
    int tree = open_tree(child->empty, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    return tree >= 0 ? tree : new_tree("tmpfs", "tmpfs", 0, attributes);
}

int cl_step_mask(cl_child *child, const cl_step *step) {
    int target = cl_open_in_root(child->root, step->t[0], O_PATH, 0);
    if (target < 0) return target == -ENOENT || target == -ENOTDIR ? 0 : target;
    struct stat status;
    if (fstat(target, &status) < 0) return -errno;
    int tree;
    if (S_ISDIR(status.st_mode)) {
        tree = empty_tree(child);
    } else {
        tree = open_tree(child->null, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
        if (tree < 0) tree = -errno;
    }
    return tree < 0 ? tree : move_to(tree, target);
}

int cl_step_readonly_path(cl_child *child, const cl_step *step) {
    int target = cl_open_in_root(child->root, step->t[0], O_PATH, 0);
    if (target < 0) return target == -ENOENT || target == -ENOTDIR ? 0 : target;
    int tree = open_tree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (tree < 0) return -errno;
    int result = set_attributes(tree, 1, MOUNT_ATTR_RDONLY, 0, 0);
    return result < 0 ? result : move_to(tree, target);
}

int cl_step_readonly_root(cl_child *child) { return set_attributes(child->root, 0, MOUNT_ATTR_RDONLY, 0, 0); }

int cl_mount_console(cl_child *child, int slave) {
    int tree = open_tree(slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    // Through no link: it could lead the terminal over a file of /proc that is masked later (CVE-2025-52565).
    return tree < 0 ? -errno : bind_to(child, tree, "/dev/console", RESOLVE_NO_SYMLINKS, 0);
}

int cl_step_pivot(cl_child *child) {
    int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0 || fchdir(child->root) < 0) return -errno;
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        // The old root now lies on top of the new one: detach it, with everything below it.
        if (fchdir(old) < 0 || mount(0, ".", 0, MS_SLAVE | MS_REC, 0) < 0 || umount2(".", MNT_DETACH) < 0) return -errno;
    } else if (errno == EINVAL) {
        // The first root of an initramfs cannot be pivoted: a warden that is process 1 of a VM.
        if (fchdir(child->root) < 0 || mount(".", "/", 0, MS_MOVE, 0) < 0 || chroot(".") < 0) return -errno;
    } else {
        return -errno;
    }
    close(old);
    return chdir("/") < 0 ? -errno : 0;
}

int cl_step_chroot(cl_child *child) {
    if (fchdir(child->root) < 0 || chroot(".") < 0) return -errno;
    return 0;
}
