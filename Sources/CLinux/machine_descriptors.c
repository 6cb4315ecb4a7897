#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine_descriptors.h"

int cl_open_tap(const char *name) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    if (strlen(name) >= IFNAMSIZ) return -ENAMETOOLONG;
    strcpy(request.ifr_name, name);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -errno;
    if (ioctl(fd, TUNSETIFF, &request) == 0) return fd;
    int error = -errno;
    close(fd);
    return error;
}

// Copies what is between from and to, at the same place.
static int copy_range(int source, int copy, off_t from, off_t to) {
    if (lseek(copy, from, SEEK_SET) < 0) return -errno;
    while (from < to) {
        ssize_t sent = sendfile(copy, source, &from, (size_t)(to - from));
        if (sent <= 0) return sent < 0 ? -errno : -EIO;
    }
    return 0;
}

int cl_copy_sparse(int source, int copy) {
    struct stat status;
    // Where the file system can, both share what they hold.
    if (ioctl(copy, FICLONE, source) == 0) return 0;
    if (fstat(source, &status) < 0 || ftruncate(copy, status.st_size) < 0) return -errno;
    for (off_t at = 0;;) {
        off_t from = lseek(source, at, SEEK_DATA);
        if (from < 0) return errno == ENXIO ? 0 : -errno;
        at = lseek(source, from, SEEK_HOLE);
        int error = at < 0 ? -errno : copy_range(source, copy, from, at);
        if (error < 0) return error;
    }
}

int cl_memory_copy(int source, const char *name) {
    int copy = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0) return -errno;
    int error = cl_copy_sparse(source, copy);
    // QEMU opens it again by its path in /proc, as whoever it runs as.
    if (error == 0 && fchmod(copy, 0666) < 0) error = -errno;
    if (error == 0) return copy;
    close(copy);
    return error;
}

int cl_sealed_memory(int source, const char *name) {
    int copy = cl_memory_copy(source, name);
    // Who gets it may map it privately only. It stays writable to be opened by QEMU, which asks for that.
    if (copy < 0 || fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0) return copy;
    int error = -errno;
    close(copy);
    return error;
}

int64_t cl_send_with_descriptor(int socket, const void *bytes, size_t count, int descriptor) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}
