// What `import Glibc` does not show to Swift, and the one function that has to be C.
//
// Never define _GNU_SOURCE here: the Glibc module was built without it, and the two would disagree about
// types. What needs it is declared again below, or wrapped in spawn.c.
// After an edit of this file, touch Sources/Supervisor/System/*.swift: SwiftPM does not see the change.
#ifndef CLINUX_H
#define CLINUX_H

#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>

extern int accept4(int, struct sockaddr *, socklen_t *, int);
extern int pipe2(int[2], int);
extern int close_range(unsigned int, unsigned int, int);

/// SO_PEERCRED's answer.
struct clinux_peer {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

/// The credentials of the peer of a connected Unix socket; 0 or an errno.
int clinux_peer(int socket, struct clinux_peer *peer);

/// One resource limit of a new process.
struct clinux_limit {
    int resource;
    uint64_t soft;
    uint64_t hard;
};

/// What to start and how; the last members are the answer.
struct clinux_spawn {
    const char *path;
    char *const *argv;
    char *const *envp;
    const char *directory;  // NULL: the caller's
    int standard_input;     // all three at least 3, and close-on-exec
    int standard_output;
    int standard_error;
    int death_signal;  // sent when the calling thread ends; 0: none
    const struct clinux_limit *limits;
    int limit_count;

    int pid;
    int pidfd;            // close-on-exec
    const char *failure;  // which step failed, when the result is not 0
};

/// Starts a process in a group of its own, with default signals and an empty mask, no descriptor but the three,
/// and a death signal. Returns 0, or the errno of the step that failed; then there is no process.
int clinux_spawn(struct clinux_spawn *spawn);

/// fork(2), which Swift hides. Safe only while the process has one thread.
pid_t clinux_fork(void);

/// Waits for the exit of a child by its pidfd, without blocking: 1 and its status when it was reaped, 0 when it
/// still runs, -errno otherwise. `code` is an exit code or, when `signaled` is not 0, a signal.
int clinux_reap(int pidfd, int *code, int *signaled);

/// The same, but the child stays to be reaped.
int clinux_peek(int pidfd, int *code, int *signaled);

/// The pid of a child that has ended, whatever child it is, which stays to be reaped; 0 when there is none. While one
/// stays, others may be hidden behind it.
int clinux_ended_child(void);

/// Reaps a child by its pid, if it has ended.
void clinux_reap_child(int pid);

/// The name of this process in ps and top, at most 15 bytes.
void clinux_set_name(const char *name);

#endif
