// A process kept as a file: what `save` writes and `restore` reads.
#pragma once
#include <stdint.h>

#define IMAGE_MAGIC 0x31706b63616c6b73ull // "sklackp1"
// Where a restored process has the description, and the clock's pages on their way: below all that the kernel gives a
// program that is loaded anywhere, above a program that is loaded at a fixed place.
#define IMAGE_ADDRESS 0x1000000000ull
#define TRANSIT_ADDRESS 0x1100000000ull
#define FIRST_FOREIGN_ADDRESS 0x1200000000ull
#define LAST_ADDRESS 0x7ffffffff000ull
#define PAGE 4096ull
// What a program gets first is its input, output and errors; those are the restored process's own.
#define FIRST_NUMBER 3

#define RANDOM "/dev/urandom"
#define MAXIMUM_THREADS 64

// Of a file's stat: another file, or another content, has another one.
#define STAMP(s) ((s).st_ino ^ (uint64_t)(s).st_size << 40 ^ (uint64_t)(s).st_mtim.tv_sec << 20 ^ (uint64_t)(s).st_mtim.tv_nsec)

enum area_kind { AREA_ANONYMOUS, AREA_SAVED, AREA_FILE, AREA_GUEST, AREA_CLOCK };
// FILE_ENDED: a connection; the other side of a restored process's has gone.
enum file_kind { FILE_EVENT, FILE_SIGNAL, FILE_POLL, FILE_SOCKET, FILE_INHERITED, FILE_RANDOM, FILE_ENDED };

struct image {
    uint64_t magic;
    uint64_t bytes; // of the description, whole pages; the saved pages follow
    uint32_t areas, files, threads, actions;
    uint64_t area_at, file_at, thread_at, action_at, filter_at;
    uint32_t filter_length;
    uint32_t signature; // of restartable sequences
    uint64_t timer_slack;
};

struct image_area {
    uint64_t start, bytes;
    uint64_t offset; // in the image, the file or the guest's memory
    uint64_t path;   // offset in the description
    uint64_t stamp;  // of the file, so that no other one is taken for it
    uint32_t kind, protection;
};

struct image_file {
    uint32_t kind;
    int32_t number;
    int32_t flags;
    uint32_t source;  // FILE_INHERITED: its number
    uint64_t value;   // FILE_SIGNAL: its signals; FILE_EVENT: its count
    uint64_t path;    // FILE_SOCKET
};

struct image_thread {
    uint64_t frame;    // address of what rt_sigreturn restores
    uint64_t base;     // of thread-local data
    uint64_t number;   // address of where the thread's own number is kept
    uint64_t robust, robust_bytes;
    uint64_t sequence, sequence_bytes;
    char name[16];
};

struct image_action {
    uint64_t signal;
    uint64_t action[4]; // as the kernel has it
};

// Where the process goes on afterwards, `goes_on`; otherwise it ends.
int save(int count, char **arguments, int goes_on);
int restore(int count, char **arguments);
