#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "image.h"

#ifdef __x86_64__

static const struct image *image = (const struct image *)IMAGE_ADDRESS;
static const char *at(uint64_t offset) { return (const char *)IMAGE_ADDRESS + offset; }

static _Noreturn void fail(const char *what) {
    dprintf(2, "%s: %s\n", what, strerror(errno));
    _exit(1);
}

// MARK: what the C library still helps with

#define FIRST_KEPT 400

static int kept(uint32_t number) { return FIRST_KEPT + (int)number; }

static int listener(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file < 0 || bind(file, (struct sockaddr *)&address, sizeof address) < 0 || listen(file, 1) < 0) fail(path);
    return file;
}

// A connection of which the other side has gone.
static int ended(void) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return -1;
    close(ends[1]);
    return ends[0];
}

static void open_file(const struct image_file *file) {
    int made = -1;
    switch (file->kind) {
    case FILE_EVENT: made = eventfd((unsigned)file->value, 0); break;
    case FILE_SIGNAL: {
        sigset_t set;
        memcpy(&set, &file->value, sizeof file->value);
        made = (int)syscall(SYS_signalfd4, -1, &set, 8, 0);
        break;
    }
    case FILE_POLL: made = epoll_create1(0); break;
    case FILE_SOCKET: made = listener(at(file->path)); break;
    case FILE_ENDED: made = ended(); break;
    case FILE_RANDOM: made = open(RANDOM, O_RDONLY | O_CLOEXEC); break;
    case FILE_INHERITED: made = dup(kept(file->source)); break;
    }
    if (made < 0) fail("descriptors");
    if (made != file->number) {
        if (dup3(made, file->number, O_CLOEXEC) < 0) fail("descriptors");
        close(made);
    }
    if (file->flags & O_NONBLOCK) fcntl(file->number, F_SETFL, fcntl(file->number, F_GETFL) | O_NONBLOCK);
}

// What a network card's driver asked of its tap: a restored one is another tap.
static void prepare_tap(int tap) {
    int header = 12;
    unsigned offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    if (ioctl(tap, TUNSETVNETHDRSZ, &header) < 0) fail("tap");
    if (ioctl(tap, TUNSETOFFLOAD, offload | TUN_F_UFO) < 0 && ioctl(tap, TUNSETOFFLOAD, offload) < 0) fail("tap");
}

static void open_files(int inherited, int tap) {
    for (int number = FIRST_NUMBER; number < FIRST_NUMBER + inherited; number++)
        if (dup3(number, kept((uint32_t)number), O_CLOEXEC) < 0) fail("inherited descriptors");
    if (syscall(SYS_close_range, FIRST_NUMBER, FIRST_KEPT - 1, 0) < 0) fail("close");
    if (tap) prepare_tap(kept((uint32_t)tap));
    const struct image_file *files = (const struct image_file *)at(image->file_at);
    for (uint32_t index = 0; index < image->files; index++)
        if (files[index].number >= FIRST_KEPT) errno = EMFILE, fail("descriptors");
    // The numbers of those that are to come must not be taken by those that are made for others.
    for (uint32_t index = 0; index < image->files; index++)
        if (dup3(2, files[index].number, O_CLOEXEC) < 0) fail("descriptors");
    for (uint32_t index = 0; index < image->files; index++) open_file(&files[index]);
}

struct range { uint64_t start, bytes; };
static struct range clocks[8];
static unsigned clock_count;
static struct range arguments_at; // the stack the kernel gave: where others look for the program's arguments

static void find_own(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) fail("memory map");
    char line[512];
    while (fgets(line, sizeof line, maps)) {
        uint64_t start, end;
        char name[256] = "";
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %255s", &start, &end, name) < 3 || start > LAST_ADDRESS) continue;
        struct range range = {start, end - start};
        if (strncmp(name, "[v", 2) == 0 && clock_count < 8) clocks[clock_count++] = range;
        if (strcmp(name, "[stack]") == 0) arguments_at = range;
    }
    fclose(maps);
}

// MARK: without the C library: its memory goes

static inline long raw(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) {
    long result;
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static _Noreturn void give_up(const char *what, size_t length) {
    raw(SYS_write, 2, (uint64_t)what, length, 0, 0, 0);
    for (;;) raw(SYS_exit_group, 1, 0, 0, 0, 0, 0);
}
#define GIVE_UP(text) give_up(text "\n", sizeof text)

static void map_area(const struct image_area *area, int file, int guest) {
    int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
    int source = -1;
    switch (area->kind) {
    case AREA_ANONYMOUS: flags |= MAP_ANONYMOUS; break;
    case AREA_SAVED: source = file; break;
    case AREA_GUEST: source = guest; break;
    case AREA_FILE:
        source = (int)raw(SYS_open, (uint64_t)at(area->path), O_RDONLY | O_CLOEXEC, 0, 0, 0, 0);
        if (source < 0) GIVE_UP("a library is missing");
        struct stat status;
        if (raw(SYS_fstat, (uint64_t)source, (uint64_t)&status, 0, 0, 0, 0) < 0 || STAMP(status) != area->stamp)
            GIVE_UP("a library is not what it was");
        break;
    default: return;
    }
    long result = raw(
        SYS_mmap, area->start, area->bytes, area->protection, (uint64_t)flags, (uint64_t)(int64_t)source, area->offset);
    if (result != (long)area->start) GIVE_UP("memory cannot be mapped");
    if (area->kind == AREA_FILE) raw(SYS_close, (uint64_t)source, 0, 0, 0, 0, 0);
}

static void map_areas(int file, int guest) {
    for (unsigned index = 0, place = 0; index < clock_count; index++) {
        uint64_t to = TRANSIT_ADDRESS + place;
        if (raw(SYS_mremap, clocks[index].start, clocks[index].bytes, clocks[index].bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
                to, 0) != (long)to)
            GIVE_UP("the clock's pages cannot be moved away");
        clocks[index].start = to;
        place += clocks[index].bytes;
    }
    uint64_t rest = arguments_at.start + arguments_at.bytes;
    if (raw(SYS_munmap, FIRST_FOREIGN_ADDRESS, arguments_at.start - FIRST_FOREIGN_ADDRESS, 0, 0, 0, 0) < 0
        || raw(SYS_munmap, rest, LAST_ADDRESS - rest, 0, 0, 0, 0) < 0)
        GIVE_UP("memory cannot be freed");
    const struct image_area *areas = (const struct image_area *)at(image->area_at);
    unsigned clock = 0;
    for (uint32_t index = 0; index < image->areas; index++) {
        if (areas[index].kind != AREA_CLOCK) {
            map_area(&areas[index], file, guest);
            continue;
        }
        if (clock == clock_count || clocks[clock].bytes != areas[index].bytes) GIVE_UP("the kernel is another");
        if (raw(SYS_mremap, clocks[clock].start, areas[index].bytes, areas[index].bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
                areas[index].start, 0) != (long)areas[index].start)
            GIVE_UP("the clock's pages cannot be moved");
        clock++;
    }
}

static void set_actions(void) {
    const struct image_action *actions = (const struct image_action *)at(image->action_at);
    for (uint32_t index = 0; index < image->actions; index++)
        raw(SYS_rt_sigaction, actions[index].signal, (uint64_t)actions[index].action, 0, 8, 0, 0);
}

__attribute__((noinline)) static _Noreturn void become(const struct image_thread *thread) {
    raw(SYS_set_robust_list, thread->robust, thread->robust_bytes, 0, 0, 0, 0);
    if (thread->sequence) raw(SYS_rseq, thread->sequence, thread->sequence_bytes, 0, image->signature, 0, 0);
    raw(SYS_prctl, PR_SET_NAME, (uint64_t)thread->name, 0, 0, 0, 0);
    __asm__ volatile("movq %0, %%rsp\n\tmovl $15, %%eax\n\tsyscall\n\tud2" : : "r"(thread->frame) : "memory");
    __builtin_unreachable();
}

static char stacks[MAXIMUM_THREADS][2048] __attribute__((aligned(64)));

static void start_thread(const struct image_thread *thread, char *stack_end) {
    uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS
        | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    uint64_t *top = (uint64_t *)(void *)stack_end;
    *--top = (uint64_t)thread;
    *--top = (uint64_t)become;
    long result;
    register uint64_t r10 __asm__("r10") = thread->number;
    register uint64_t r8 __asm__("r8") = thread->base;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "popq %%rax\n\t"
                     "popq %%rdi\n\t"
                     "pushq $0\n\t"
                     "jmpq *%%rax\n\t"
                     "1:"
                     : "=a"(result)
                     : "a"((long)SYS_clone), "D"(flags), "S"(top), "d"(thread->number), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    if (result < 0) GIVE_UP("a thread cannot be made");
}

static int image_file, guest_file;

static _Noreturn void without_library(void) {
    map_areas(image_file, guest_file);
    raw(SYS_close_range, FIRST_KEPT, ~0u, 0, 0, 0, 0);
    set_actions();
    const struct image_thread *threads = (const struct image_thread *)at(image->thread_at);
    raw(SYS_prctl, PR_SET_TIMERSLACK, image->timer_slack, 0, 0, 0, 0);
    struct sock_fprog filter = {(unsigned short)image->filter_length, (struct sock_filter *)at(image->filter_at)};
    if (filter.len && raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (uint64_t)&filter, 0, 0, 0) < 0) GIVE_UP("the seccomp filter");
    for (uint32_t index = 1; index < image->threads; index++)
        start_thread(&threads[index], stacks[index] + sizeof stacks[index]);
    raw(SYS_arch_prctl, 0x1002, threads[0].base, 0, 0, 0, 0); // ARCH_SET_FS
    long number = raw(SYS_set_tid_address, threads[0].number, 0, 0, 0, 0, 0);
    *(volatile int *)threads[0].number = (int)number;
    become(&threads[0]);
}

static char stack[64 << 10] __attribute__((aligned(64)));

// IMAGE GUEST TAP COUNT: numbers of descriptors, of which COUNT are inherited; GUEST and TAP are 0 when there is none.
int restore(int count, char **arguments) {
    if (count != 4) return 2;
    int number = atoi(arguments[0]);
    struct image start;
    if (pread(number, &start, sizeof start, 0) != sizeof start || start.magic != IMAGE_MAGIC) fail("not an image");
    // Writable, since the kernel restores nothing else from it than what it wrote there itself would be.
    if (mmap((void *)IMAGE_ADDRESS, start.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED_NOREPLACE, number, 0)
        != (void *)IMAGE_ADDRESS)
        fail("the image");
    if (image->threads > MAXIMUM_THREADS) errno = E2BIG, fail("threads");
    open_files(atoi(arguments[3]), atoi(arguments[2]));
    image_file = kept((uint32_t)number), guest_file = kept((uint32_t)atoi(arguments[1]));
    find_own();
    sigset_t all;
    sigfillset(&all);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, 8);
    if (__rseq_size)
        syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
    __asm__ volatile("movq %0, %%rsp\n\tcall *%1" : : "r"(stack + sizeof stack), "r"(without_library) : "memory");
    __builtin_unreachable();
}

#endif
