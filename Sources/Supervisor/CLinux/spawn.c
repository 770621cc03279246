#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// glibc's own name of clone: under the thread sanitizer `clone` is intercepted, taken for fork, and aborts.
extern int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

struct child {
    struct clinux_spawn *spawn;
    pid_t parent;
    int error;
    const char *step;
};

static int fail(struct child *child, const char *step) {
    child->error = errno;
    child->step = step;
    // Not _exit: the thread sanitizer intercepts it and, in shared memory, ends the parent as well.
    syscall(SYS_exit, 127);
    return 127;
}

// Runs in the parent's memory while the parent waits (CLONE_VM | CLONE_VFORK), on a stack of its own, with its
// own descriptors and signal handlers. Nothing here allocates or takes a lock.
static int run_child(void *argument) {
    struct child *child = argument;
    struct clinux_spawn *spawn = child->spawn;

    if (setpgid(0, 0)) return fail(child, "setpgid");
    if (spawn->death_signal) {
        if (prctl(PR_SET_PDEATHSIG, spawn->death_signal)) return fail(child, "prctl(PR_SET_PDEATHSIG)");
        // The parent may have ended before the line above.
        if (getppid() != child->parent) {
            errno = ESRCH;
            return fail(child, "the supervisor is gone");
        }
    }
    if (dup2(spawn->standard_input, 0) < 0) return fail(child, "dup2(stdin)");
    if (dup2(spawn->standard_output, 1) < 0) return fail(child, "dup2(stdout)");
    if (dup2(spawn->standard_error, 2) < 0) return fail(child, "dup2(stderr)");
    // Close-on-exec would do, but not for descriptors that whoever started the supervisor left open.
    close_range(3, ~0U, 0);
    if (spawn->directory && chdir(spawn->directory)) return fail(child, "chdir");
    for (int i = 0; i < spawn->limit_count; i++) {
        struct rlimit limit = {.rlim_cur = spawn->limits[i].soft, .rlim_max = spawn->limits[i].hard};
        if (setrlimit(spawn->limits[i].resource, &limit)) return fail(child, "setrlimit");
    }
    // The kernel's own call: glibc's refuses the two signals it keeps for itself, and an ignored one survives exec.
    const unsigned long standard[8] = {0};  // the kernel's struct: SIG_DFL, no flags, no mask
    for (int number = 1; number < _NSIG; number++) syscall(SYS_rt_sigaction, number, standard, NULL, _NSIG / 8);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(spawn->path, spawn->argv, spawn->envp);
    return fail(child, "exec");
}

int clinux_spawn(struct clinux_spawn *spawn) {
    // The stack is in this frame, so that two threads (in tests) can spawn at once.
    _Alignas(16) char stack[32 * 1024];
    struct child child = {.spawn = spawn, .parent = getpid(), .error = 0, .step = NULL};
    spawn->pid = 0;
    spawn->pidfd = -1;
    spawn->failure = NULL;

    // No handler of ours may run in the child, which has our memory.
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    int pidfd = -1;
    int pid = __clone(run_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, &pidfd);
    int error = pid < 0 ? errno : child.error;
    sigprocmask(SIG_SETMASK, &before, NULL);

    if (pid < 0) {
        spawn->failure = "clone";
        return error;
    }
    if (error) {
        // It ended at that step: nothing is left of it but what has to be reaped.
        siginfo_t info;
        while (waitid(P_PID, (id_t)pid, &info, WEXITED) && errno == EINTR) {}
        close(pidfd);
        spawn->failure = child.step;
        return error;
    }
    spawn->pid = pid;
    spawn->pidfd = pidfd;
    return 0;
}

pid_t clinux_fork(void) { return fork(); }

int clinux_peer(int socket, struct clinux_peer *peer) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size)) return errno;
    peer->pid = credentials.pid;
    peer->uid = credentials.uid;
    peer->gid = credentials.gid;
    return 0;
}

static int wait_for(int pidfd, int options, int *code, int *signaled) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | options)) {
        if (errno != EINTR) return -errno;
    }
    if (info.si_pid == 0) return 0;
    *code = info.si_status;
    *signaled = info.si_code != CLD_EXITED;
    return 1;
}

int clinux_reap(int pidfd, int *code, int *signaled) { return wait_for(pidfd, 0, code, signaled); }

int clinux_peek(int pidfd, int *code, int *signaled) { return wait_for(pidfd, WNOWAIT, code, signaled); }

int clinux_ended_child(void) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT)) {
        if (errno != EINTR) return 0;  // ECHILD: there are no children
    }
    return info.si_pid;
}

void clinux_reap_child(int pid) {
    siginfo_t info;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) && errno == EINTR) {}
}

void clinux_set_name(const char *name) { prctl(PR_SET_NAME, name); }
