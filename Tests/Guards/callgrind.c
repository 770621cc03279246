// Lets a supervisor run under callgrind, and has its instructions counted between two moments.
//
//   CALLGRIND_CONTROL=FILE LD_PRELOAD=callgrind.so valgrind --tool=callgrind … PROGRAM…
//
// Valgrind 3.19 knows neither pidfds nor a clone that shares memory: children are forked here, and their pidfds never
// become readable. A supervisor that runs so does not see a worker's end, which a measurement does not need.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

// As in probes.py, which writes `asked`; `done` follows.
enum command { NOTHING, ZERO, DUMP };
struct control {
    _Atomic uint64_t asked;  // number of the request in the upper half, command in the lower
    _Atomic uint64_t done;
};

static struct control *control;

int pidfd_open(pid_t pid, unsigned flags) {
    (void)pid, (void)flags;
    return eventfd(0, EFD_CLOEXEC);
}

int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...) {
    (void)stack, (void)flags;
    va_list rest;
    va_start(rest, argument);
    int *pidfd = va_arg(rest, int *);
    va_end(rest);
    pid_t pid = fork();
    if (pid == 0) _exit(function(argument));
    if (pid > 0) *pidfd = pidfd_open(pid, 0);
    return pid;
}

// The loop waits once a tick: the counts are taken between two ticks.
static void obey(void) {
    if (!control) return;
    uint64_t asked = atomic_load(&control->asked);
    if (asked == atomic_load(&control->done)) return;
    switch ((enum command)(asked & UINT32_MAX)) {
    case ZERO:
        CALLGRIND_START_INSTRUMENTATION;
        CALLGRIND_ZERO_STATS;
        break;
    case DUMP:
        CALLGRIND_DUMP_STATS;
        break;
    case NOTHING:
        break;
    }
    atomic_store(&control->done, asked);
}

// Valgrind does not know it either.
int epoll_pwait2(
    int epoll, struct epoll_event *events, int capacity, const struct timespec *timeout, const sigset_t *mask) {
    obey();
    int milliseconds = timeout ? (int)(timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000) : -1;
    int count = epoll_pwait(epoll, events, capacity, milliseconds, mask);
    obey();
    return count;
}

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("CALLGRIND_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) control = mapped;
}
