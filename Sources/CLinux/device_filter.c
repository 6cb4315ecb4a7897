#define _GNU_SOURCE
#include "device_filter.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAXIMUM_ATTACHED 64

static int bpf(int command, union bpf_attr *attributes) {
    long result = syscall(SYS_bpf, command, attributes, sizeof *attributes);
    return result < 0 ? -errno : (int)result;
}

static int load(const void *program, uint32_t count) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attributes.insns = (uint64_t)(uintptr_t)program;
    attributes.insn_cnt = count;
    attributes.license = (uint64_t)(uintptr_t)"Apache-2.0";
    memcpy(attributes.prog_name, "skala_devices", sizeof "skala_devices");
    return bpf(BPF_PROG_LOAD, &attributes);
}

static int attach(int group, int program, uint32_t flags) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.target_fd = (uint32_t)group;
    attributes.attach_bpf_fd = (uint32_t)program;
    attributes.attach_type = BPF_CGROUP_DEVICE;
    attributes.attach_flags = flags;
    return bpf(BPF_PROG_ATTACH, &attributes);
}

static int query(int group, uint32_t *ids, uint32_t *count) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.query.target_fd = (uint32_t)group;
    attributes.query.attach_type = BPF_CGROUP_DEVICE;
    attributes.query.prog_ids = (uint64_t)(uintptr_t)ids;
    attributes.query.prog_cnt = *count;
    int result = bpf(BPF_PROG_QUERY, &attributes);
    *count = attributes.query.prog_cnt;
    return result;
}

static void detach(int group, uint32_t id) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.prog_id = id;
    int program = bpf(BPF_PROG_GET_FD_BY_ID, &attributes);
    if (program < 0) return;
    memset(&attributes, 0, sizeof attributes);
    attributes.target_fd = (uint32_t)group;
    attributes.attach_bpf_fd = (uint32_t)program;
    attributes.attach_type = BPF_CGROUP_DEVICE;
    bpf(BPF_PROG_DETACH, &attributes);
    close(program);
}

int cl_set_device_filter(int group, const void *program, uint32_t count) {
    uint32_t before[MAXIMUM_ATTACHED], found = MAXIMUM_ATTACHED;
    int result = query(group, before, &found);
    if (result < 0) return result;
    int loaded = load(program, count);
    if (loaded < 0) return loaded;
    // All attached programs must allow: the new one comes before the old ones go, so that there is no moment without.
    result = attach(group, loaded, BPF_F_ALLOW_MULTI);
    close(loaded);
    for (uint32_t i = 0; result == 0 && i < found; i++) detach(group, before[i]);
    return result;
}
