// Headers of the kernel's interface whose constants and structures Swift code uses and the Glibc module lacks.
#ifndef SKALA_LINUX_HEADERS_H
#define SKALA_LINUX_HEADERS_H

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/xattr.h>

// fcntl.h hides these without _GNU_SOURCE.
#define CL_O_PATH 010000000
#define CL_O_DIRECTORY 0200000
#define CL_O_NOFOLLOW 0400000
#define CL_AT_EMPTY_PATH 0x1000
#define CL_AT_FDCWD (-100)

#endif
