// Reads a file for the disk rows, inside whatever it is started in.
//
//   diskread FILE       reads it from start to end in pieces of 1 MiB, then 4,000 pieces of 4 KiB at random places of its
//                       second half after the kernel was told to forget the file
//
// Prints "sequential-nanoseconds bytes random-nanoseconds reads".
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20, SMALL = 4096, READS = 4000 };

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

int main(int count, char **arguments) {
    static char buffer[PIECE];
    struct stat status;
    int file = count == 2 ? open(arguments[1], O_RDONLY) : -1;
    if (file < 0 || fstat(file, &status) < 0) fail("diskread FILE");
    uint64_t start = now(), bytes = 0;
    for (ssize_t got; (got = read(file, buffer, PIECE)) != 0; bytes += (uint64_t)got)
        if (got < 0) fail("read");
    uint64_t middle = now();
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    // Read ahead would turn small reads into large ones.
    posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
    uint64_t seed = 88172645463325252u, pieces = (uint64_t)status.st_size / 2 / SMALL;
    uint64_t second = now();
    for (int number = 0; number < READS; number++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        off_t place = (off_t)(((uint64_t)status.st_size / SMALL - 1 - seed % pieces) * SMALL);
        if (pread(file, buffer, SMALL, place) != SMALL) fail("pread");
    }
    uint64_t end = now();
    printf("%llu %llu %llu %d\n", (unsigned long long)(middle - start), (unsigned long long)bytes,
           (unsigned long long)(end - second), READS);
    return 0;
}
