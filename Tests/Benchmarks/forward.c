// The floor: the least that a process between clients and workers can cost: the same hops as through a supervisor
// (client -> Unix socket -> one process -> stdin of a child -> its stdout -> the process -> client), and
// nothing but "which line is whose". Not a byte is parsed, neither here nor in the children, which send
// back what they read. Lines go round robin; the answers of a child come in the order of its lines.
//
//   forward SOCKET WORKERS [COMMAND [ARG...]]     COMMAND: another child than the one below
//   forward                                       the child: sends back its input
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WORKERS = 64, CLIENTS = 4096, READ = 1 << 16, EVENTS = 256 };

typedef struct {
    char *bytes;
    size_t start, end, capacity;
} Buffer;

// The clients whose lines a worker has, in order: a ring that grows.
typedef struct {
    int *clients;
    size_t head, count, capacity;
} Owners;

typedef struct {
    int input, output;  // of the child
    Buffer toChild, line;
    Owners owners;
} Worker;

typedef struct {
    int isOpen, isDirty;
    Buffer toClient, line;
} Client;

static Worker workers[WORKERS];
static Client clients[CLIENTS];
static int workerCount, nextWorker, dirty[CLIENTS], dirtyCount, poller;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void append(Buffer *buffer, const char *bytes, size_t count) {
    if (buffer->start == buffer->end) buffer->start = buffer->end = 0;
    if (buffer->end + count > buffer->capacity) {
        buffer->capacity = (buffer->end + count) * 2 + 4096;
        buffer->bytes = realloc(buffer->bytes, buffer->capacity);
        if (!buffer->bytes) fail("realloc");
    }
    memcpy(buffer->bytes + buffer->end, bytes, count);
    buffer->end += count;
}

// What does not fit now is sent when there is room: epoll says so once, at that moment.
static void flush(int descriptor, Buffer *buffer) {
    while (buffer->start < buffer->end) {
        ssize_t count = write(descriptor, buffer->bytes + buffer->start, buffer->end - buffer->start);
        if (count >= 0) {
            buffer->start += count;
        } else if (errno != EINTR) {
            if (errno != EAGAIN) buffer->start = buffer->end;
            return;
        }
    }
}

static void push(Owners *owners, int client) {
    if (owners->count == owners->capacity) {
        size_t capacity = owners->capacity ? owners->capacity * 2 : 1024;
        int *grown = malloc(capacity * sizeof *grown);
        if (!grown) fail("malloc");
        for (size_t i = 0; i < owners->count; i++)
            grown[i] = owners->clients[(owners->head + i) % owners->capacity];
        free(owners->clients);
        *owners = (Owners){grown, 0, owners->count, capacity};
    }
    owners->clients[(owners->head + owners->count++) % owners->capacity] = client;
}

static int pop(Owners *owners) {
    if (!owners->count) fail("a line that nobody asked for");
    int client = owners->clients[owners->head];
    owners->head = (owners->head + 1) % owners->capacity;
    owners->count--;
    return client;
}

// Appends the next whole line to where it goes.
static void move(Buffer *target, Buffer *begun, const char *bytes, size_t count) {
    if (begun->start < begun->end) {
        append(target, begun->bytes + begun->start, begun->end - begun->start);
        begun->start = begun->end = 0;
    }
    append(target, bytes, count);
}

static void readClient(int descriptor) {
    static char bytes[READ];
    Client *client = &clients[descriptor];
    for (;;) {
        ssize_t count = read(descriptor, bytes, sizeof bytes);
        if (count < 0) break;
        if (count == 0) {
            close(descriptor);
            client->isOpen = 0;
            return;
        }
        char *line = bytes, *end = bytes + count, *newline;
        while ((newline = memchr(line, '\n', end - line))) {
            Worker *worker = &workers[nextWorker];
            nextWorker = (nextWorker + 1) % workerCount;
            push(&worker->owners, descriptor);
            move(&worker->toChild, &client->line, line, newline + 1 - line);
            line = newline + 1;
        }
        if (line < end) append(&client->line, line, end - line);
        if (count < READ) break;
    }
    for (int i = 0; i < workerCount; i++) flush(workers[i].input, &workers[i].toChild);
}

static void readWorker(Worker *worker) {
    static char bytes[READ];
    ssize_t count = read(worker->output, bytes, sizeof bytes);
    if (count == 0) fail("a child has ended");
    if (count < 0) return;
    char *line = bytes, *end = bytes + count, *newline;
    while ((newline = memchr(line, '\n', end - line))) {
        int owner = pop(&worker->owners);
        Client *client = &clients[owner];
        move(&client->toClient, &worker->line, line, newline + 1 - line);
        if (!client->isOpen) client->toClient.start = client->toClient.end;
        if (client->isOpen && !client->isDirty) {
            client->isDirty = 1;
            dirty[dirtyCount++] = owner;
        }
        line = newline + 1;
    }
    if (line < end) append(&worker->line, line, end - line);
    while (dirtyCount > 0) {
        int descriptor = dirty[--dirtyCount];
        clients[descriptor].isDirty = 0;
        flush(descriptor, &clients[descriptor].toClient);
    }
}

static void watch(int descriptor, unsigned events, unsigned long tag) {
    struct epoll_event event = {.events = events, .data.u64 = tag};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event)) fail("epoll_ctl");
}

// What an event is about: the tag is one of these, and a number.
enum { CLIENT = 0, INPUT = 1 << 20, OUTPUT = 2 << 20, LISTENER = 3 << 20 };

static void start(int index, char **command) {
    int input[2], output[2];
    if (pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC)) fail("pipe2");
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(input[0], 0);
        dup2(output[1], 1);
        if (*command) execvp(*command, command);
        if (!*command) execl("/proc/self/exe", "forward", (char *)NULL);
        fail("exec");
    }
    close(input[0]);
    close(output[1]);
    workers[index].input = input[1];
    workers[index].output = output[0];
    fcntl(input[1], F_SETFL, O_NONBLOCK);
    fcntl(output[0], F_SETFL, O_NONBLOCK);
    watch(output[0], EPOLLIN, OUTPUT + index);
    watch(input[1], EPOLLOUT | EPOLLET, INPUT + index);
}

static int listenAt(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 512))
        fail(path);
    return listener;
}

static void acceptClient(int listener) {
    int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return;
    if (descriptor >= CLIENTS) {
        close(descriptor);
        return;
    }
    Client *client = &clients[descriptor];
    client->isOpen = 1;
    client->line.start = client->line.end = client->toClient.start = client->toClient.end = 0;
    watch(descriptor, EPOLLIN | EPOLLOUT | EPOLLET, CLIENT + descriptor);
}

static void forward(const char *path, int count, char **command) {
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(EPOLL_CLOEXEC);
    workerCount = count;
    for (int i = 0; i < count; i++) start(i, command);
    int listener = listenAt(path);
    watch(listener, EPOLLIN, LISTENER);
    struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            unsigned long tag = events[i].data.u64, number = tag & (INPUT - 1);
            if (tag == LISTENER) acceptClient(listener);
            else if (tag >= OUTPUT) readWorker(&workers[number]);
            else if (tag >= INPUT) flush(workers[number].input, &workers[number].toChild);
            else {
                if (events[i].events & EPOLLOUT) flush(number, &clients[number].toClient);
                if (events[i].events & (EPOLLIN | EPOLLHUP)) readClient(number);
            }
        }
    }
}

static int work(void) {
    static char bytes[READ];
    ssize_t count;
    while ((count = read(0, bytes, sizeof bytes)) > 0)
        for (ssize_t sent = 0, part; sent < count; sent += part)
            if ((part = write(1, bytes + sent, count - sent)) <= 0) return 1;
    return 0;
}

int main(int count, char **arguments) {
    if (count == 1) return work();
    int number = count > 2 ? atoi(arguments[2]) : 0;
    if (number >= 1 && number <= WORKERS) forward(arguments[1], number, arguments + 3);
    fprintf(stderr, "usage: forward SOCKET WORKERS [COMMAND [ARG...]] | forward\n");
    return 2;
}
