#include <string.h>
#include <unistd.h>

#include "image.h"

// Keeps a running process as a file, from which other processes continue it:
//
//   skala-checkpoint save PID IMAGE GUEST NUMBER=FILE...   writes it down; the process ends
//   skala-checkpoint copy PID IMAGE GUEST NUMBER=FILE...   writes it down; the process goes on
//   skala-checkpoint restore IMAGE GUEST TAP COUNT         becomes it
//
// It is made for QEMU while its VM is stopped, and for nothing else: a process whose threads all wait in system calls, whose
// memory is private, and whose descriptors are of few kinds. What is not so is refused when it is written down. Restored
// processes have the image's memory as a private mapping, so that what none of them changes is there once.
int main(int count, char **arguments) {
#ifdef __x86_64__
    if (count > 1 && strcmp(arguments[1], "save") == 0) return save(count - 2, arguments + 2, 0);
    if (count > 1 && strcmp(arguments[1], "copy") == 0) return save(count - 2, arguments + 2, 1);
    if (count > 1 && strcmp(arguments[1], "restore") == 0) return restore(count - 2, arguments + 2);
#endif
    static const char text[] = "usage: skala-checkpoint save|copy|restore ..., on x86-64\n";
    return write(2, text, sizeof text - 1) < 0 ? 1 : 2;
}
