// Device filters of version 2 control groups (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE).
#ifndef SKALA_DEVICE_FILTER_H
#define SKALA_DEVICE_FILTER_H

#include <stdint.h>

// Makes `program`, of `count` instructions, the only device filter of the group (an open directory).
int cl_set_device_filter(int group, const void *program, uint32_t count);

#endif
