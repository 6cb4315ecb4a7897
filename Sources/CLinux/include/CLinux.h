// What Swift cannot import from glibc: everything behind _GNU_SOURCE, and kernel interfaces without a wrapper.
//
// Contract: functions return >= 0 or -errno, print nothing, never exit, and make every descriptor close-on-exec from
// birth. One header and one .c file per kernel facility; this header includes them all. The headers must not define
// _GNU_SOURCE: it changes structures that Swift's own Glibc module has imported already. The .c files define it.
#ifndef SKALA_CLINUX_H
#define SKALA_CLINUX_H

#include "linux_headers.h"
#include "linux_calls.h"
#include "machine_descriptors.h"
#include "container_child.h"
#include "device_filter.h"
#include "guest_start.h"

#endif
