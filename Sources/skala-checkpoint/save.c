#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "image.h"

#ifdef __x86_64__

#define MAXIMUM_FILES 256
#define MAXIMUM_AREAS 8192
// Pages that were not written to are kept with those around them when there are only so few: each area is a call.
#define SMALLEST_GAP 16
// More than any process has that is meant: what is written down may be a stranger's work.
#define MAXIMUM_SAVED (2ull << 30)
// What /proc calls the image that the process itself continues from, in memory.
#define OWN_IMAGE "/memfd:skala-image (deleted)"

static pid_t process;
static int memory_file;
static int process_goes_on;

static _Noreturn void fail(const char *what) {
    dprintf(2, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void refuse(const char *what, const char *which) {
    dprintf(2, "%s: %s\n", what, which);
    exit(1);
}

// MARK: the description, which grows

static char *description;
static uint64_t used, room;

static uint64_t put(const void *bytes, uint64_t count, uint64_t alignment) {
    uint64_t at = (used + alignment - 1) / alignment * alignment;
    while (at + count > room) {
        uint64_t more = room ? room * 2 : 1 << 20;
        description = realloc(description, more);
        if (!description) fail("memory");
        memset(description + room, 0, more - room);
        room = more;
    }
    if (bytes) memcpy(description + at, bytes, count);
    used = at + count;
    return at;
}

static uint64_t put_text(const char *text) { return put(text, strlen(text) + 1, 1); }

// MARK: the process's memory

static void read_memory(void *target, uint64_t address, size_t count) {
    if (pread(memory_file, target, count, (off_t)address) != (ssize_t)count) fail("read the process's memory");
}

static char *path_of(char *buffer, const char *format, int number) {
    int start = sprintf(buffer, "/proc/%d/", process);
    sprintf(buffer + start, format, number);
    return buffer;
}

static char *read_text(const char *path) {
    static char text[1 << 20];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) fail(path);
    size_t length = 0;
    for (ssize_t count; (count = read(file, text + length, sizeof text - 1 - length)) > 0;) length += (size_t)count;
    close(file);
    text[length] = 0;
    return text;
}

// MARK: threads

static struct {
    pid_t id;
    struct user_regs_struct registers;
    struct image_thread saved;
} threads[MAXIMUM_THREADS];
static uint32_t thread_count;

static void stop(pid_t id) {
    if (ptrace(PTRACE_SEIZE, id, 0, process_goes_on ? 0 : PTRACE_O_EXITKILL) < 0) fail("attach");
    if (ptrace(PTRACE_INTERRUPT, id, 0, 0) < 0) fail("interrupt");
    int status;
    if (waitpid(id, &status, __WALL) != id || !WIFSTOPPED(status)) refuse("a thread", "does not stop");
}

// Without the signal that a step ends with, which would be the process's end.
static void let_go(void) {
    for (uint32_t index = 0; index < thread_count; index++) ptrace(PTRACE_DETACH, threads[index].id, 0, 0);
}

static void stop_all(void) {
    if (process_goes_on) atexit(let_go);
    char path[64];
    for (uint32_t before = UINT32_MAX; before != thread_count;) {
        before = thread_count;
        DIR *folder = opendir(path_of(path, "task", 0));
        if (!folder) fail("threads");
        for (struct dirent *entry; (entry = readdir(folder));) {
            pid_t id = atoi(entry->d_name);
            uint32_t known = 0;
            while (known < thread_count && threads[known].id != id) known++;
            if (id == 0 || known < thread_count) continue;
            if (thread_count == MAXIMUM_THREADS) refuse("threads", "too many");
            stop(id);
            threads[thread_count++].id = id;
        }
        closedir(folder);
    }
    // The first is the process itself.
    if (thread_count == 0 || threads[0].id != process) refuse("threads", "the first is another");
}

// What the kernel would do with a system call that was interrupted, when the thread goes on.
static void finish_call(struct user_regs_struct *registers) {
    if ((int64_t)registers->orig_rax < 0) return;
    switch (-(int64_t)registers->rax) {
    case 512: case 513: case 514: // ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND
        registers->rax = registers->orig_rax;
        registers->rip -= 2;
        break;
    case 516: // ERESTART_RESTARTBLOCK: how long is left is not known
        registers->rax = (uint64_t)-EINTR;
    }
}

static uint64_t thread_number(pid_t id) {
    char path[64];
    const char *line = strstr(read_text(path_of(path, "task/%d/status", id)), "\nNSpid:");
    if (!line) refuse("threads", "no numbers");
    uint64_t number = 0;
    for (char *at = (char *)line + 7; *at != '\n';) number = strtoull(at, &at, 10);
    return number;
}

// Of glibc's description of a thread: where it keeps the thread's number.
#define NUMBER_OFFSET 0x2d0

static void describe(uint32_t index) {
    pid_t id = threads[index].id;
    struct image_thread *saved = &threads[index].saved;
    struct user_regs_struct *registers = &threads[index].registers;
    struct iovec vector = {registers, sizeof *registers};
    if (ptrace(PTRACE_GETREGSET, id, NT_PRSTATUS, &vector) < 0) fail("registers");
    static char extended[64 << 10];
    vector = (struct iovec){extended, sizeof extended};
    if (ptrace(PTRACE_GETREGSET, id, NT_X86_XSTATE, &vector) < 0) fail("extended registers");
    uint64_t mask;
    if (ptrace(PTRACE_GETSIGMASK, id, sizeof mask, &mask) < 0) fail("signal mask");
    struct { uint64_t pointer; uint32_t size, signature, flags, pad; } sequence;
    if (ptrace(0x420f, id, sizeof sequence, &sequence) < 0) fail("restartable sequences"); // GET_RSEQ_CONFIGURATION
    saved->sequence = sequence.pointer;
    saved->sequence_bytes = sequence.size;
    ((struct image *)description)->signature = sequence.signature;
    if (syscall(SYS_get_robust_list, id, &saved->robust, &saved->robust_bytes) < 0) fail("robust list");
    saved->base = registers->fs_base;
    saved->number = registers->fs_base + NUMBER_OFFSET;
    int32_t number;
    read_memory(&number, saved->number, sizeof number);
    if ((uint64_t)number != thread_number(id)) refuse("the C library", "keeps threads' numbers elsewhere");
    char path[64];
    strncpy(saved->name, read_text(path_of(path, "task/%d/comm", id)), sizeof saved->name - 1);
    saved->name[strcspn(saved->name, "\n")] = 0;

    struct user_regs_struct later = *registers;
    finish_call(&later);
    uint64_t floating = put(extended, vector.iov_len, 64);
    struct { uint32_t magic, bytes; uint64_t features; uint32_t size, pad[7]; } software = {
        0x46505853, (uint32_t)vector.iov_len + 4, 0, (uint32_t)vector.iov_len, {0}};
    memcpy(&software.features, extended + 464, 8);
    memcpy(description + floating + 464, &software, 48);
    uint32_t end = 0x46505845;
    put(&end, 4, 1);

    ucontext_t context = {.uc_flags = 7, .uc_stack = {.ss_flags = SS_DISABLE}};
    greg_t *general = context.uc_mcontext.gregs;
    general[REG_R8] = (greg_t)later.r8, general[REG_R9] = (greg_t)later.r9, general[REG_R10] = (greg_t)later.r10;
    general[REG_R11] = (greg_t)later.r11, general[REG_R12] = (greg_t)later.r12, general[REG_R13] = (greg_t)later.r13;
    general[REG_R14] = (greg_t)later.r14, general[REG_R15] = (greg_t)later.r15, general[REG_RDI] = (greg_t)later.rdi;
    general[REG_RSI] = (greg_t)later.rsi, general[REG_RBP] = (greg_t)later.rbp, general[REG_RBX] = (greg_t)later.rbx;
    general[REG_RDX] = (greg_t)later.rdx, general[REG_RAX] = (greg_t)later.rax, general[REG_RCX] = (greg_t)later.rcx;
    general[REG_RSP] = (greg_t)later.rsp, general[REG_RIP] = (greg_t)later.rip, general[REG_EFL] = (greg_t)later.eflags;
    general[REG_CSGSFS] = (greg_t)(later.cs | later.ss << 48);
    context.uc_mcontext.fpregs = (fpregset_t)(IMAGE_ADDRESS + floating);
    memcpy(&context.uc_sigmask, &mask, sizeof mask);
    // 16 bytes, so that the context lies where a handler's return address would have been taken off.
    saved->frame = IMAGE_ADDRESS + put(&context, sizeof context, 64);
}

// Has the stopped process make a system call; it is where it was afterwards.
static int64_t call(long number, uint64_t first, uint64_t second, uint64_t third, uint64_t fourth) {
    struct user_regs_struct registers = threads[0].registers;
    uint16_t instruction;
    read_memory(&instruction, registers.rip - 2, 2);
    if (instruction != 0x050f) refuse("the process", "is not in a system call");
    registers.rip -= 2;
    registers.orig_rax = UINT64_MAX;
    registers.rax = (uint64_t)number;
    registers.rdi = first, registers.rsi = second, registers.rdx = third, registers.r10 = fourth;
    struct iovec vector = {&registers, sizeof registers};
    if (ptrace(PTRACE_SETREGSET, process, NT_PRSTATUS, &vector) < 0) fail("set registers");
    int status;
    if (ptrace(PTRACE_SINGLESTEP, process, 0, 0) < 0) fail("step");
    if (waitpid(process, &status, __WALL) != process || !WIFSTOPPED(status)) refuse("the process", "has ended");
    if (ptrace(PTRACE_GETREGSET, process, NT_PRSTATUS, &vector) < 0) fail("registers");
    struct iovec before = {&threads[0].registers, sizeof registers};
    if (ptrace(PTRACE_SETREGSET, process, NT_PRSTATUS, &before) < 0) fail("set registers");
    return (int64_t)registers.rax;
}

static uint32_t save_actions(uint64_t *at) {
    static struct image_action actions[64];
    uint32_t count = 0;
    uint64_t scratch = (threads[0].registers.rsp - 4096) & ~15ull;
    for (uint64_t signal = 1; signal <= 64; signal++) {
        if (signal == SIGKILL || signal == SIGSTOP) continue;
        if (call(SYS_rt_sigaction, signal, 0, scratch, 8) < 0) refuse("signals", "cannot be read");
        struct image_action *action = &actions[count];
        read_memory(action->action, scratch, sizeof action->action);
        action->signal = signal;
        if (action->action[0]) count++;
    }
    *at = put(actions, count * sizeof *actions, 8);
    return count;
}

// The filters that the process gave itself; the first is the one it was started with, and a restored one has it already.
static uint32_t save_filter(uint64_t *at) {
    static struct sock_filter code[BPF_MAXINSNS];
    long first = ptrace(PTRACE_SECCOMP_GET_FILTER, process, 0, 0);
    if (first < 0 && errno != EINVAL && errno != ENOENT) fail("seccomp filters");
    long length = first < 0 ? 0 : ptrace(PTRACE_SECCOMP_GET_FILTER, process, 1, code);
    if (length < 0 && errno != ENOENT) fail("the second seccomp filter");
    if (length <= 0) return 0;
    if (ptrace(PTRACE_SECCOMP_GET_FILTER, process, 2, 0) >= 0) refuse("seccomp filters", "more than two");
    *at = put(code, (uint64_t)length * sizeof *code, 8);
    return (uint32_t)length;
}

// MARK: descriptors

struct known { const char *path; uint32_t source; };

static const char *socket_path(const char *link) {
    char path[64];
    unsigned long inode = strtoul(link + 8, 0, 10);
    for (char *line = strtok(read_text(path_of(path, "net/unix", 0)), "\n"); line; line = strtok(0, "\n")) {
        static char name[128];
        unsigned long number;
        unsigned flags;
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %lu %127s", &flags, &number, name) == 3 && flags & 0x10000
            && number == inode)
            return name;
    }
    return 0;
}

// Whether a descriptor is of that file, which may have several names, or called so.
static int is_known(const struct known *known, int number, const char *link) {
    struct stat wanted, found;
    char path[64];
    if (stat(known->path, &wanted) < 0 || !S_ISREG(wanted.st_mode)) return strcmp(known->path, link) == 0;
    return stat(path_of(path, "fd/%d", number), &found) == 0 && wanted.st_dev == found.st_dev
        && wanted.st_ino == found.st_ino;
}

static uint64_t field(const char *text, const char *name, int base) {
    const char *at = strstr(text, name);
    if (!at) refuse("no", name);
    return strtoull(at + strlen(name), 0, base);
}

static uint32_t save_files(uint64_t *at, const struct known *known, size_t known_count) {
    static struct image_file files[MAXIMUM_FILES];
    uint32_t count = 0;
    char path[64];
    DIR *folder = opendir(path_of(path, "fd", 0));
    if (!folder) fail("descriptors");
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.' || atoi(entry->d_name) < FIRST_NUMBER) continue;
        if (count == MAXIMUM_FILES) refuse("descriptors", "too many");
        struct image_file *file = &files[count++];
        file->number = atoi(entry->d_name);
        char link[512];
        ssize_t length = readlink(path_of(path, "fd/%d", file->number), link, sizeof link - 1);
        if (length < 0) fail("descriptors");
        link[length] = 0;
        char *text = read_text(path_of(path, "fdinfo/%d", file->number));
        file->flags = (int32_t)field(text, "flags:", 8);
        size_t index = 0;
        while (index < known_count && !is_known(&known[index], file->number, link)) index++;
        if (index < known_count) {
            file->kind = FILE_INHERITED;
            file->source = known[index].source;
        } else if (strcmp(link, "anon_inode:[eventfd]") == 0) {
            file->kind = FILE_EVENT;
            file->value = field(text, "eventfd-count:", 16);
        } else if (strcmp(link, "anon_inode:[signalfd]") == 0) {
            file->kind = FILE_SIGNAL;
            file->value = field(text, "sigmask:", 16);
        } else if (strcmp(link, RANDOM) == 0) {
            file->kind = FILE_RANDOM;
        } else if (strcmp(link, "anon_inode:[eventpoll]") == 0 && !strstr(text, "tfd:")) {
            file->kind = FILE_POLL;
        } else {
            if (strncmp(link, "socket:[", 8) != 0) refuse("a descriptor that cannot be kept", link);
            const char *name = socket_path(link);
            file->kind = name ? FILE_SOCKET : FILE_ENDED;
            if (name) file->path = put_text(name);
        }
    }
    closedir(folder);
    *at = put(files, count * sizeof *files, 8);
    return count;
}

// MARK: areas

static struct image_area areas[MAXIMUM_AREAS];
static uint32_t area_count;
static uint64_t saved_bytes;

static uint64_t stamp; // of the file that is being looked at

static void add(uint32_t kind, uint64_t start, uint64_t end, uint64_t offset, uint32_t protection, uint64_t path) {
    if (start == end) return;
    if (area_count == MAXIMUM_AREAS) refuse("memory", "in too many pieces");
    if (kind == AREA_SAVED) offset = saved_bytes, saved_bytes += end - start;
    if (saved_bytes > MAXIMUM_SAVED) refuse("memory", "too much");
    areas[area_count++] = (struct image_area){start, end - start, offset, path, stamp, kind, protection};
}

// Divides a private area into what the process has written, and what is as it was: nothing, or a file's.
static void divide(uint64_t start, uint64_t end, uint64_t offset, uint32_t protection, uint64_t path, int map) {
    uint32_t rest = path ? AREA_FILE : AREA_ANONYMOUS;
    uint64_t done = start, from = 0, to = 0;
    for (uint64_t at = start; at < end;) {
        static uint64_t entries[4096];
        uint64_t count = (end - at) / PAGE < 4096 ? (end - at) / PAGE : 4096;
        if (pread(map, entries, count * 8, (off_t)(at / PAGE * 8)) != (ssize_t)(count * 8)) fail("the page map");
        for (uint64_t index = 0; index < count; index++) {
            if (!(entries[index] >> 62) || entries[index] >> 61 & 1) continue;
            uint64_t page = at + index * PAGE;
            if (to && page - to <= SMALLEST_GAP * PAGE) {
                to = page + PAGE;
                continue;
            }
            if (to) {
                add(rest, done, from, offset + (done - start), protection, path);
                add(AREA_SAVED, from, to, 0, protection, 0);
                done = to;
            }
            from = page, to = page + PAGE;
        }
        at += count * PAGE;
    }
    if (to) {
        add(rest, done, from, offset + (done - start), protection, path);
        add(AREA_SAVED, from, to, 0, protection, 0);
        done = to;
    }
    add(rest, done, end, offset + (done - start), protection, path);
}

// How much further the first thread's stack may grow.
#define STACK_ROOM (4ull << 20)

static void find_areas(const char *guest) {
    char path[64];
    int map = open(path_of(path, "pagemap", 0), O_RDONLY | O_CLOEXEC);
    if (map < 0) fail("the page map");
    struct stat program, own;
    int is_restored = stat(path_of(path, "exe", 0), &program) == 0 && stat("/proc/self/exe", &own) == 0
        && program.st_dev == own.st_dev && program.st_ino == own.st_ino;
    char *text = strdup(read_text(path_of(path, "maps", 0)));
    for (char *line = strtok(text, "\n"); line; line = strtok(0, "\n")) {
        uint64_t start, end, offset;
        unsigned long inode;
        char modes[5], name[512] = "";
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %lu %511[^\n]", &start, &end, modes, &offset,
                &inode, name) < 5)
            refuse("memory map", line);
        uint32_t protection = (modes[0] == 'r' ? PROT_READ : 0) | (modes[1] == 'w' ? PROT_WRITE : 0)
            | (modes[2] == 'x' ? PROT_EXEC : 0);
        if (start > LAST_ADDRESS) continue; // the kernel's own page
        if (modes[3] != 'p' && (protection & PROT_WRITE || name[0] != '/')) refuse("shared memory", name);
        // What it was restored by: the program, the description of what it was, the stack with the program's arguments.
        if (is_restored && (start < FIRST_FOREIGN_ADDRESS || strcmp(name, "[stack]") == 0)) continue;
        if (start < FIRST_FOREIGN_ADDRESS) refuse("memory at a low address", line);
        if (strncmp(name, "[v", 2) == 0) {
            add(AREA_CLOCK, start, end, 0, protection, 0);
        } else if (strcmp(name, guest) == 0) {
            add(AREA_GUEST, start, end, offset, protection, 0);
        } else if (strcmp(name, OWN_IMAGE) == 0) {
            add(AREA_SAVED, start, end, 0, protection, 0);
        } else if (name[0] == '/') {
            struct stat status;
            if (stat(name, &status) < 0 || status.st_ino != inode) refuse("a library is not what it was", name);
            stamp = STAMP(status);
            divide(start, end, offset, protection, put_text(name), map);
        } else {
            if (strcmp(name, "[stack]") == 0) add(AREA_ANONYMOUS, start - STACK_ROOM, start, 0, protection, 0);
            divide(start, end, 0, protection, 0, map);
        }
    }
    free(text);
    close(map);
}

static void write_areas(int target) {
    static char buffer[1 << 20];
    for (uint32_t index = 0; index < area_count; index++) {
        struct image_area *area = &areas[index];
        if (area->kind != AREA_SAVED) continue;
        for (uint64_t done = 0; done < area->bytes;) {
            size_t count = area->bytes - done < sizeof buffer ? area->bytes - done : sizeof buffer;
            read_memory(buffer, area->start + done, count);
            if (pwrite(target, buffer, count, (off_t)(area->offset + done)) != (ssize_t)count) fail("write");
            done += count;
        }
    }
}

// PID IMAGE GUEST NUMBER=FILE...: GUEST is what /proc calls the guest's memory, which is not part of the image; FILE, a path
// or what /proc calls it, is inherited as NUMBER by a restored process.
int save(int count, char **arguments, int goes_on) {
    if (count < 3) refuse("save", "PID IMAGE GUEST NUMBER=FILE...");
    process = atoi(arguments[0]);
    process_goes_on = goes_on;
    char path[64];
    memory_file = open(path_of(path, "mem", 0), O_RDONLY | O_CLOEXEC);
    if (memory_file < 0) fail("the process's memory");
    struct known known[16];
    size_t known_count = 0;
    for (int index = 3; index < count && known_count < 16; index++) {
        char *equals = strchr(arguments[index], '=');
        if (!equals) refuse("not NUMBER=FILE", arguments[index]);
        known[known_count++] = (struct known){equals + 1, (uint32_t)atoi(arguments[index])};
    }
    struct image image = {.magic = IMAGE_MAGIC};
    put(&image, sizeof image, 8);
    stop_all();
    for (uint32_t index = 0; index < thread_count; index++) describe(index);
    image.signature = ((struct image *)description)->signature;
    image.timer_slack = strtoull(read_text(path_of(path, "timerslack_ns", 0)), 0, 10);
    image.files = save_files(&image.file_at, known, known_count);
    image.filter_length = save_filter(&image.filter_at);
    find_areas(arguments[2]);
    // After what is saved was found: this writes into the process.
    image.actions = save_actions(&image.action_at);
    image.threads = thread_count;
    image.thread_at = put(0, 0, 8);
    for (uint32_t index = 0; index < thread_count; index++) put(&threads[index].saved, sizeof threads[index].saved, 8);
    image.areas = area_count;
    uint64_t tables = put(0, area_count * sizeof *areas, 8);
    image.area_at = tables;
    image.bytes = (used + PAGE - 1) / PAGE * PAGE;
    put(0, 0, PAGE);
    for (uint32_t index = 0; index < area_count; index++)
        if (areas[index].kind == AREA_SAVED) areas[index].offset += image.bytes;
    memcpy(description + tables, areas, area_count * sizeof *areas);
    memcpy(description, &image, sizeof image);
    int target = open(arguments[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (target < 0 || pwrite(target, description, image.bytes, 0) != (ssize_t)image.bytes) fail(arguments[1]);
    write_areas(target);
    if (close(target) < 0) fail(arguments[1]);
    return 0; // and the process ends with us, or goes on
}

#endif
