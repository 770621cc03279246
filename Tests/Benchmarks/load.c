// The one client of all measurements: a closed loop over many connections, one thread, one epoll. Every
// connection has `depth` calls in flight and sends the next when one is answered. Each answer is matched to
// its call by the id (over HTTP: by its connection) and counts only when it is a result.
//
//   load SOCKET  [NAME=VALUE...]     JSON lines on a Unix socket
//   load PORT    [NAME=VALUE...]     HTTP/1.1 POST on 127.0.0.1, connections kept alive, depth 1
//   load SOCKET hold=1 ...           makes the calls, prints a line, and waits for the end of its input
//
// Prints one JSON object: calls answered with a result within the window, errors, what was never answered,
// calls per second, latencies, and the share of a processor that this client took.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { READ = 1 << 20, EVENTS = 256, STEPS = 64, OCTAVES = 36, PATIENCE = 5, LONGEST_BODY = 1024 };

static int connections = 8, depth = 1, bytes = 32, keys = 1000, idle = 0, holds = 0, isRaw = 0;
static double seconds = 2, warmup = 0.3;
static const char *method = "rag.execute", *path = "/";
static int isHTTP;

typedef struct {
    char *bytes;
    size_t start, end, capacity;
} Buffer;

typedef struct {
    unsigned long id;  // 0: free
    double since;
} Call;

typedef struct {
    int descriptor, waitsToWrite;
    Buffer input, output;
    Call *calls;
} Connection;

static Connection *all;
static int poller;
static char *query;
static unsigned long serial, open_, results, errors, strays, chunks, histogram[OCTAVES * STEPS];
static double begin, end_, now_;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void quit(const char *why) {
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

static void reserve(Buffer *buffer, size_t count) {
    if (buffer->start == buffer->end) buffer->start = buffer->end = 0;
    if (buffer->end + count <= buffer->capacity) return;
    buffer->capacity = (buffer->end + count) * 2;
    buffer->bytes = realloc(buffer->bytes, buffer->capacity);
    if (!buffer->bytes) fail("realloc");
}

// MARK: Latencies: a histogram whose steps are 1/64 of a power of two, in nanoseconds

static void record(double latency) {
    unsigned long value = latency * 1e9;
    int octave = value < STEPS ? 0 : 63 - __builtin_clzl(value) - 5;
    unsigned long index = octave == 0 ? value : (unsigned long)octave * STEPS + (value >> octave) - STEPS / 2;
    histogram[index < OCTAVES * STEPS ? index : OCTAVES * STEPS - 1]++;
}

static double quantile(double share) {
    unsigned long total = 0, seen = 0;
    for (int i = 0; i < OCTAVES * STEPS; i++) total += histogram[i];
    for (int i = 0; i < OCTAVES * STEPS; i++) {
        seen += histogram[i];
        if (!seen || seen < share * total) continue;
        int octave = i / STEPS;
        return (octave ? (double)((unsigned long)(i % STEPS + STEPS / 2) << octave) : i) / 1e3;
    }
    return 0;
}

// MARK: Sending

#define PARAMS "{\"technique\":\"echo\",\"query\":\"%06lu%s\"}"

static void append(Connection *connection, unsigned long id) {
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"method\":\"%s\",\"params\":" PARAMS "}\n";
    static const char post[] =
        "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s";
    Buffer *output = &connection->output;
    size_t room = bytes + 512;
    reserve(output, room);
    char *at = output->bytes + output->end;
    if (!isHTTP) {
        output->end += snprintf(at, room, line, id, method, id % keys, query);
        return;
    }
    char body[LONGEST_BODY];
    int count = snprintf(body, sizeof body, PARAMS, id % keys, query);
    output->end += snprintf(at, room, post, path, count, body);
}

static void watch(Connection *connection, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poller, operation, connection->descriptor, &event)) fail("epoll_ctl");
}

static void flush(Connection *connection) {
    Buffer *output = &connection->output;
    while (output->start < output->end) {
        ssize_t count = send(
            connection->descriptor, output->bytes + output->start, output->end - output->start, MSG_NOSIGNAL);
        if (count >= 0) output->start += count;
        else if (errno == EAGAIN) break;
        else if (errno != EINTR) fail("send");
    }
    int waits = output->start < output->end;
    if (waits == connection->waitsToWrite) return;
    connection->waitsToWrite = waits;
    watch(connection, EPOLL_CTL_MOD, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void call(Connection *connection, int slot) {
    unsigned long slots = (unsigned long)connections * depth;
    unsigned long id = ++serial * slots + (unsigned long)(connection - all) * depth + slot;
    connection->calls[slot] = (Call){id, now_};
    open_++;
    append(connection, id);
}

// MARK: Judging

static void answered(Connection *connection, unsigned long id, int isResult) {
    unsigned long slots = (unsigned long)connections * depth;
    long slot = (long)(id % slots) - (connection - all) * depth;
    if (slot < 0 || slot >= depth || connection->calls[slot].id != id) {
        strays++;
        return;
    }
    open_--;
    connection->calls[slot].id = 0;
    if (!isResult) errors++;
    else if (now_ >= begin && now_ < end_) {
        results++;
        record(now_ - connection->calls[slot].since);
    }
    if (now_ < end_ && !holds) call(connection, slot);
}

// The servers that are measured all begin their answers so; the floor sends the call itself back.
static void judge(Connection *connection, const char *line, size_t count) {
    static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":";
    static const char chunk[] = "{\"jsonrpc\":\"2.0\",\"method\":\"stream_chunk\"";
    if (count > sizeof head && !memcmp(line, head, sizeof head - 1)) {
        char *behind;
        unsigned long id = strtoul(line + sizeof head - 1, &behind, 10);
        int isResult = !strncmp(behind, isRaw ? ",\"method\":" : ",\"result\":", 10);
        answered(connection, id, isResult);
    } else if (count > sizeof chunk && !memcmp(line, chunk, sizeof chunk - 1)) {
        if (now_ >= begin && now_ < end_) chunks++;
    } else {
        strays++;
    }
}

static size_t takeLines(Connection *connection, const char *at, size_t count, size_t searched) {
    const char *line = at, *end = at + count, *from = at + searched, *newline;
    while ((newline = memchr(from, '\n', end - from))) {
        judge(connection, line, newline - line);
        line = from = newline + 1;
    }
    return line - at;
}

// Behind the body at `at`, which has so many bytes or, in chunks, ends with an empty one; NULL: not all is there.
static char *behindBody(char *head, char *at, size_t count) {
    char *length = strcasestr(head, "\r\ncontent-length:");
    if (length) {
        size_t size = strtoul(length + 17, NULL, 10);
        return size <= count ? at + size : NULL;
    }
    if (!strcasestr(head, "\r\ntransfer-encoding: chunked")) quit("a response without a length");
    char *last = memmem(at, count, "\r\n0\r\n\r\n", 7);
    return last ? last + 7 : NULL;
}

static size_t takeResponse(Connection *connection, char *at, size_t count) {
    char *body = memmem(at, count, "\r\n\r\n", 4);
    if (!body) return 0;
    *body = 0;
    char *end = behindBody(at, body + 4, at + count - body - 4);
    *body = '\r';
    if (!end) return 0;
    int isResult = !strncmp(at, "HTTP/1.1 200", 12) && memmem(body, end - body, "\"query\"", 7);
    answered(connection, connection->calls[0].id, isResult);
    return end - at;
}

static void receive(Connection *connection) {
    static char bytes_[READ + 1];
    Buffer *input = &connection->input;
    ssize_t count = read(connection->descriptor, bytes_, READ);
    if (count == 0) quit("the server closed a connection");
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count < 0) fail("read");
    now_ = now();
    size_t kept = input->end - input->start;
    if (!isHTTP && kept == 0) {
        size_t taken = takeLines(connection, bytes_, count, 0);
        reserve(input, count - taken);
        memcpy(input->bytes + input->end, bytes_ + taken, count - taken);
        input->end += count - taken;
    } else {
        reserve(input, count + 1);
        memcpy(input->bytes + input->end, bytes_, count);
        input->end += count;
        char *at = input->bytes + input->start;
        at[kept + count] = 0;
        input->start += isHTTP ? takeResponse(connection, at, kept + count)
                               : takeLines(connection, at, kept + count, kept);
    }
    flush(connection);
}

// MARK: Running

static int connectTo(const char *target) {
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in remote = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    remote.sin_port = htons(atoi(target));
    strncpy(local.sun_path, target, sizeof local.sun_path - 1);
    int descriptor = socket(isHTTP ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    const struct sockaddr *address = isHTTP ? (struct sockaddr *)&remote : (struct sockaddr *)&local;
    socklen_t length = isHTTP ? sizeof remote : sizeof local;
    if (descriptor < 0 || connect(descriptor, address, length)) fail(target);
    if (isHTTP) setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(descriptor, F_SETFL, O_NONBLOCK);
    return descriptor;
}

static void open_connections(const char *target) {
    for (int i = 0; i < idle; i++) connectTo(target);
    all = calloc(connections, sizeof *all);
    for (int i = 0; i < connections; i++) {
        all[i].descriptor = connectTo(target);
        all[i].calls = calloc(depth, sizeof(Call));
        watch(&all[i], EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void loop(void) {
    struct epoll_event events[EVENTS];
    while ((now_ = now()) < end_ + PATIENCE && (now_ < end_ || open_ > 0)) {
        int ready = epoll_wait(poller, events, EVENTS, 20);
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) flush(connection);
            if (events[i].events & ~EPOLLOUT) receive(connection);
        }
    }
}

// Until its input ends, which is also looked at while calls still wait to be written.
static void hold(void) {
    struct epoll_event events[EVENTS];
    struct pollfd input = {.fd = 0, .events = POLLIN};
    int isSaid = 0;
    while (poll(&input, 1, 0) == 0) {
        int ready = epoll_wait(poller, events, EVENTS, 50);
        for (int i = 0; i < ready; i++) {
            if (events[i].events & EPOLLOUT) flush(events[i].data.ptr);
            if (events[i].events & ~EPOLLOUT) receive(events[i].data.ptr);
        }
        int waiting = 0;
        for (int i = 0; i < connections; i++) waiting += all[i].waitsToWrite;
        if (!waiting && !isSaid++) printf("sent\n"), fflush(stdout);
    }
}

static void parse(const char *argument) {
    const char *equals = strchr(argument, '=');
    if (!equals) quit("expected NAME=VALUE");
    const struct { const char *name; int *value; } numbers[] = {
        {"connections", &connections}, {"depth", &depth}, {"bytes", &bytes}, {"keys", &keys},
        {"idle", &idle}, {"hold", &holds}, {"raw", &isRaw}};
    size_t length = equals - argument;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strlen(numbers[i].name) == length && !strncmp(argument, numbers[i].name, length)) {
            *numbers[i].value = atoi(equals + 1);
            return;
        }
    if (!strncmp(argument, "seconds=", 8)) seconds = atof(equals + 1);
    else if (!strncmp(argument, "warmup=", 7)) warmup = atof(equals + 1);
    else if (!strncmp(argument, "method=", 7)) method = equals + 1;
    else if (!strncmp(argument, "path=", 5)) path = equals + 1;
    else quit("an option that does not exist");
}

static double processorTime(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void report(double busy) {
    printf(
        "{\"results\":%lu,\"errors\":%lu,\"unanswered\":%lu,\"strays\":%lu,\"chunks\":%lu,\"per_second\":%.1f,"
        "\"p50_us\":%.2f,\"p99_us\":%.2f,\"client\":%.3f}\n",
        results, errors, open_, strays, chunks, results / seconds, quantile(0.5), quantile(0.99), busy);
}

int main(int count, char **arguments) {
    if (count < 2) quit("usage: load SOCKET|PORT [NAME=VALUE...]");
    for (int i = 2; i < count; i++) parse(arguments[i]);
    isHTTP = atoi(arguments[1]) > 0;
    if (connections < 1 || depth < 1 || bytes < 6 || keys < 1 || (isHTTP && (depth > 1 || bytes > LONGEST_BODY / 2)))
        quit("a number that makes no sense");
    query = malloc(bytes - 5);
    memset(query, 'q', bytes - 6);
    query[bytes - 6] = 0;
    poller = epoll_create1(EPOLL_CLOEXEC);
    open_connections(arguments[1]);
    now_ = now();
    begin = now_ + warmup;
    end_ = begin + seconds;
    double before = processorTime();
    for (int i = 0; i < connections; i++) {
        for (int slot = 0; slot < depth; slot++) call(&all[i], slot);
        flush(&all[i]);
    }
    if (holds) hold();
    else loop();
    report((processorTime() - before) / (now_ - begin + warmup));
    return 0;
}
