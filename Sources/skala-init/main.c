// The init process of a container with `--init`: starts the program, passes signals on to it, reaps every process that
// is left to it, and ends with the program's exit code.
//
//     docker-init -- PROGRAM ARGUMENTS...
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// The program gets a process group of its own, in the foreground when there is a terminal, and default signals.
static void execute(char **arguments) {
    setpgid(0, 0);
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(0, getpgrp());
    signal(SIGTTOU, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    execvp(arguments[0], arguments);
    int error = errno;
    fprintf(stderr, "docker-init: cannot execute '%s': %s\n", arguments[0], strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

// Reaps whatever has ended; returns the program's exit code once it has, else -1.
static int reap(pid_t program) {
    int code = -1, status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == program) code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return code;
}

int main(int count, char **arguments) {
    if (count > 1 && strcmp(arguments[1], "--") == 0) arguments++, count--;
    if (count < 2) {
        fprintf(stderr, "usage: docker-init -- PROGRAM ARGUMENTS...\n");
        return 2;
    }
    // Not process 1 with `--pid host`: orphans are still ours.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    pid_t program = fork();
    if (program == 0) execute(arguments + 1);
    if (program < 0) {
        perror("docker-init: fork");
        return 1;
    }
    for (;;) {
        int number = sigwaitinfo(&all, 0);
        if (number < 0) continue;
        if (number == SIGCHLD) {
            int code = reap(program);
            if (code >= 0) return code;
        } else if (number != SIGTTIN && number != SIGTTOU) {
            kill(program, number);
        }
    }
}
