/* Each process starts others until the kernel refuses, and goes on trying. Only ever run where the number of processes is limited. */
#include <unistd.h>

int main(void) {
    for (;;) fork();
}
