#define _GNU_SOURCE
#include "container_credentials.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int cl_step_bounding(const cl_step *step) {
    for (int capability = 0; capability < 64; capability++) {
        if ((uint64_t)step->n[0] >> capability & 1) continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return errno == EINVAL ? 0 : -errno;
    }
    return 0;
}

static int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(effective >> 32 * i);
        data[i].permitted = (uint32_t)(permitted >> 32 * i);
        data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int get_permitted(uint64_t *permitted) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0) return -errno;
    *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    return 0;
}

// Changes the ids and keeps the capabilities for the steps that follow; CL_STEP_CAPABILITIES then drops them.
int cl_step_user(const cl_step *step) {
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return -errno;
    // A user namespace without the right to set groups leaves them.
    if (!step->n[4] && syscall(SYS_setgroups, (size_t)step->n[3], step->d) < 0 && (errno != EPERM || step->n[3] > 0)) return -errno;
    if (syscall(SYS_setresgid, (gid_t)step->n[1], (gid_t)step->n[1], (gid_t)step->n[1]) < 0) return -errno;
    if (syscall(SYS_setresuid, (uid_t)step->n[0], (uid_t)step->n[0], (uid_t)step->n[0]) < 0) return -errno;
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) return -errno;
    if (step->n[2] >= 0) umask((mode_t)step->n[2]);
    uint64_t permitted;
    int result = get_permitted(&permitted);
    return result < 0 ? result : set_capabilities(permitted, permitted, 0);
}

int cl_step_capabilities(const cl_step *step) {
    // What this process may not have itself it cannot give: a warden in a container runs with fewer.
    uint64_t own;
    int result = get_permitted(&own);
    if (result < 0) return result;
    uint64_t inheritable = (uint64_t)step->n[2] & own;
    result = set_capabilities((uint64_t)step->n[0] & own, (uint64_t)step->n[1] & own, inheritable);
    if (result < 0) return result;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) return -errno;
    for (int capability = 0; capability < 64; capability++)
        if ((uint64_t)step->n[3] & inheritable & 1ull << capability)
            if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0 && errno != EPERM) return -errno;
    return 0;
}
