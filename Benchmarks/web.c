// A web server for the tasks of services: answers every request with its host's name, after a time of waiting or of work.
//
//   web PORT [MILLISECONDS]   /       answers after so many milliseconds (default 0), as one that waits for a database
//                             /work   uses a millisecond of CPU time first
//
// One thread, epoll, HTTP/1.1 with connections that stay. On SIGTERM it takes the connections that have come already, answers
// their requests, and ends: what a well-behaved server does.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT = 4096 };

static struct connection {
    int open;
    int asked;
    int closes;
    int works;
    size_t length;
    long long since, due;
    char request[2048];
} connections[LIMIT];
static int loop, listener, delay, ending;
static char body[128];

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static void drop(int fd) {
    connections[fd].open = 0;
    close(fd);
}

static void answer(int fd) {
    struct connection *one = &connections[fd];
    if (one->works) {
        struct timespec time;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        long long end = time.tv_sec * 1000000000ll + time.tv_nsec + 1000000;
        do
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        while (time.tv_sec * 1000000000ll + time.tv_nsec < end);
    }
    char text[512];
    int closes = one->closes || ending;
    int size = snprintf(
        text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n%s", strlen(body),
        closes ? "Connection: close\r\n" : "", body);
    if (send(fd, text, size, MSG_NOSIGNAL) != size || closes) return drop(fd);
    one->asked = 0;
    one->length = 0;
}

static void take(int fd) {
    struct connection *one = &connections[fd];
    ssize_t count = read(fd, one->request + one->length, sizeof one->request - 1 - one->length);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return drop(fd);
    one->length += count;
    one->request[one->length] = 0;
    if (!strstr(one->request, "\r\n\r\n")) {
        if (one->length == sizeof one->request - 1) drop(fd);
        return;
    }
    one->closes = strstr(one->request, "Connection: close") != 0;
    one->works = !strncmp(one->request, "GET /work", 9);
    one->asked = 1;
    one->due = now() + delay * 1000000ll;
    if (!delay) answer(fd);
}

static int accept_all(void) {
    int fd, some = 0;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        if (fd >= LIMIT) {
            close(fd);
            continue;
        }
        some = 1;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        memset(&connections[fd], 0, offsetof(struct connection, request));
        connections[fd].open = 1;
        connections[fd].since = now();
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
    }
    return some;
}

int main(int count, char **arguments) {
    int port = count > 1 ? atoi(arguments[1]) : 80;
    delay = count > 2 ? atoi(arguments[2]) : 0;
    gethostname(body, sizeof body - 1);
    strcat(body, "\n");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, 0);
    int signals = signalfd(-1, &set, 0);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
        perror("web");
        return 1;
    }
    loop = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = signals;
    epoll_ctl(loop, EPOLL_CTL_ADD, signals, &event);
    long long end = 0;
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(loop, events, 64, delay || ending ? 1 : -1);
        for (int index = 0; index < ready; index++) {
            int fd = events[index].data.fd;
            if (fd == listener)
                accept_all();
            else if (fd == signals) {
                struct signalfd_siginfo information;
                if (read(signals, &information, sizeof information) > 0) ending = 1;
                end = now() + 2000000000ll;
            } else if (connections[fd].open && !connections[fd].asked)
                take(fd);
            else if (connections[fd].open && events[index].events & (EPOLLHUP | EPOLLERR))
                drop(fd);
        }
        if (delay)
            for (int fd = 0; fd < LIMIT; fd++)
                if (connections[fd].open && connections[fd].asked && connections[fd].due <= now()) answer(fd);
        if (!ending || (ready && now() < end)) continue;
        if (accept_all()) continue;
        // Idle connections are closed; a young one's first request is on its way.
        int waiting = 0;
        for (int fd = 0; fd < LIMIT; fd++)
            if (connections[fd].open && (connections[fd].asked || now() - connections[fd].since < 100000000)) waiting = 1;
        if (!waiting || now() > end) return 0;
    }
}
