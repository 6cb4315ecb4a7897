// What happens between clone3(2) and execve(2) in a container's first process, as data.
//
// The caller lists the steps before it clones; the child carries them out in order without allocating. A step that fails
// ends the child and sends {stage, errno} over the report pipe. A successful execve closes that pipe: its end without a
// report means the program runs.
#ifndef SKALA_CONTAINER_CHILD_H
#define SKALA_CONTAINER_CHILD_H

#include <stdint.h>
#include <sys/types.h>

// Steps and their arguments: n = numbers, t = texts, d = data. Paths "in the root" are resolved as if the container's
// root directory were `/`, so that its symbolic links cannot lead out of it.
enum cl_step_kind {
    CL_STEP_WRITE,           // t0 path of the host, t1 text; n0: 1 = a missing file is no error, 2 = no error matters.
                             // A path of /proc must be the kernel's own file there
    CL_STEP_SETNS,           // t0 path or n0 descriptor; n1 kinds (CLONE_NEW*)
    CL_STEP_UNSHARE,         // n0 kinds
    CL_STEP_WAIT,            // n0 descriptor to read one byte from (end of file: exit); n1: report this stage first, 0: none
    CL_STEP_SESSION,         // setsid
    CL_STEP_STDIO,           // n0..n2 descriptors that become 0, 1, 2
    CL_STEP_PTY,             // n0 socket to send the master to; n1 rows, n2 columns, n3: bind it to /dev/console, n4 owner
    CL_STEP_PROPAGATION,     // n0 mount flags for `/`
    CL_STEP_ROOT_BIND,       // t0 directory of the host
    CL_STEP_ROOT_PLAIN,      // t0 directory: taken as it is (in a mount namespace of somebody else)
    CL_STEP_ROOT_OVERLAY,    // d lower directories (topmost first), t0 upper, t1 work, t2 where to mount, t3 mount(2) data
    CL_STEP_ROOT_OF,         // t0 mount namespace whose root is taken, without what is mounted in it; t1 where to mount
    CL_STEP_MOUNT,           // t0 in the root, t1 type, t2 source; d options; n0 MOUNT_ATTR_*, n1 propagation,
                             // n2: 1 = the path must hold no symbolic link, n3: 1 = copy what is below into it
    CL_STEP_BIND,            // t0 in the root, t1 path of the host; n0 recursive (1), may cover procfs (2), n1 set,
                             // n2 clear (MOUNT_ATTR_*), n3: attributes recursive, n4 propagation, n5 the detached
                             // mount to use instead of t1, or 0
    CL_STEP_DIRECTORY,       // t0 in the root: made with its parents
    CL_STEP_DEVICE,          // t0 in the root; n0 mode with type, n1 device, n2 user, n3 group; t1 the host's, to bind
    CL_STEP_SYMLINK,         // t0 target, t1 in the root; an existing file is left
    CL_STEP_MASK,            // t0 in the root
    CL_STEP_READONLY_PATH,   // t0 in the root
    CL_STEP_READONLY_ROOT,
    CL_STEP_PIVOT,
    CL_STEP_CHROOT,
    CL_STEP_HOOK,            // d program, d2 arguments, d3 environment; t0, t1: the state without its pid; n0 seconds
    CL_STEP_CURRENT_ROOT,    // opens `/` as the root (after joining a mount namespace)
    CL_STEP_HOSTNAME,        // t0
    CL_STEP_DOMAINNAME,      // t0
    CL_STEP_LOOPBACK,        // brings `lo` up
    CL_STEP_RLIMIT,          // n0 resource, n1 soft, n2 hard
    CL_STEP_KEYRING,         // t0 name
    CL_STEP_BECOME_ROOT,     // user and group 0 of a new user namespace
    CL_STEP_BOUNDING,        // n0 mask of the capabilities kept
    CL_STEP_USER,            // n0 uid, n1 gid, n2 umask or -1, n3 count of groups, d groups (gid_t), n4: 1 = keep the groups
    CL_STEP_CAPABILITIES,    // n0 effective, n1 permitted, n2 inheritable, n3 ambient
    CL_STEP_NO_NEW_PRIVILEGES,
    CL_STEP_SECCOMP,         // d struct sock_fprog, n0 flags, n1 descriptor to wait at when there is a listener
    CL_STEP_SCHEDULER,       // d struct sched_attr
    CL_STEP_IO_PRIORITY,     // n0 as ioprio_set(2)
    CL_STEP_PERSONALITY,     // n0
    CL_STEP_AFFINITY,        // d processors as bits, n0 their size in bytes
    CL_STEP_DIRECTORY_CHANGE,// t0
    CL_STEP_PARENT_DEATH,    // n0 signal
    CL_STEP_HOME,            // n0 uid: sets HOME from the container's /etc/passwd in the last slot of the environment
    CL_STEP_HOLD,            // waits until killed
    CL_STEP_INHERIT,         // d descriptors (int), n0 their count, at most 16: they become 3, 4, ...
    CL_STEP_CHECK_PROGRAM,   // d candidates: fails when none can be executed
    CL_STEP_EXECUTE,         // d candidates, d2 arguments, d3 environment; n0 descriptors kept beyond 0, 1, 2
};

typedef struct cl_step {
    int32_t kind;
    int32_t stage;
    int64_t n[6];
    const char *t[4];
    const void *d, *d2, *d3;
} cl_step;

typedef struct cl_report {
    int32_t stage;
    int32_t error;
} cl_report;

// Reports with these stages: the child waits in CL_STEP_WAIT for the start, or for the host's hooks; or in
// CL_STEP_SECCOMP until somebody took its listener, whose descriptor is `error`.
#define CL_STAGE_READY (-1)
#define CL_STAGE_HOOKS (-2)
#define CL_STAGE_LISTENER (-3)

// clone3(2): returns the child's process id, its pidfd in `pidfd`. `cgroup` is a cgroup v2 directory or -1.
int cl_spawn(const cl_step *steps, int32_t count, int report, uint64_t flags, int cgroup, int *pidfd);

// Reaps the process: 0 and how it ended (an exit code, or a signal), -EAGAIN while it runs.
int cl_pidfd_reap(int pidfd, int *code, int *signal);
// Receives one descriptor (close-on-exec) over a unix socket; sends one with a text.
int cl_receive_descriptor(int socket);
int cl_send_descriptor(int socket, int descriptor, const char *text);

// A detached copy of the mount at `path` (open_tree), with its submounts when recursive.
int cl_clone_mount(int dir, const char *path, int recursive);
// Changes a mount: MOUNT_ATTR_* to set and clear; ids are mapped by the user namespace `users`, when not -1.
int cl_change_mount(int mount, int recursive, uint64_t set, uint64_t clear, int users);

// A file in memory (close-on-exec).
int cl_memory_file(const char *name);
// Takes an exclusive lock without waiting (flock); -EWOULDBLOCK when another holds it.
int cl_lock_file(int fd);

// Makes /proc/self/exe unwritable for containers (CVE-2019-5736): executes this program again from a read-only mount of
// its file, or from a sealed copy in memory. Returns 0 when that has been done already, else does not return or -errno.
int cl_protect_executable(char *const argv[], int copy);

#endif
