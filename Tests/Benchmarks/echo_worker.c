// The worker behind the supervisor, and behind whatever else takes JSON lines: its answer's result is the
// call's params, as they were written. It looks for the two members and parses nothing else, so that the
// time measured is that of what stands before it. All that one read brings is answered by one write.
//
//   echo_worker [METHOD]        METHOD: results of it may be cached
//
// The methods that it knows: health.check; hold, which is never answered; rag.stream, answered in 16 chunks;
// and all others.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ = 1 << 18, CHUNKS = 16 };

typedef struct {
    char *bytes;
    size_t count, capacity;
} Buffer;

static Buffer input, output;
static const char *cacheable = "";

static void reserve(Buffer *buffer, size_t count) {
    if (buffer->count + count <= buffer->capacity) return;
    buffer->capacity = (buffer->count + count) * 2;
    buffer->bytes = realloc(buffer->bytes, buffer->capacity);
    if (!buffer->bytes) exit(1);
}

static void append(const char *bytes, size_t count) {
    reserve(&output, count);
    memcpy(output.bytes + output.count, bytes, count);
    output.count += count;
}

static void appendText(const char *text) { append(text, strlen(text)); }

// Behind a string whose opening quote is at `at`.
static const char *skipString(const char *at, const char *end) {
    while ((at = memchr(at + 1, '"', end - at - 1))) {
        const char *backslash = at;
        while (backslash[-1] == '\\') backslash--;
        if ((at - backslash) % 2 == 0) return at + 1;
    }
    return end;
}

// Behind the object or array at `at`.
static const char *skipValue(const char *at, const char *end) {
    for (int depth = 0; at < end;) {
        if (*at == '"') {
            at = skipString(at, end);
            continue;
        }
        if (*at == '{' || *at == '[') depth++;
        if ((*at == '}' || *at == ']') && --depth == 0) return at + 1;
        at++;
    }
    return end;
}

static void answer(const char *id, size_t idLength, const char *result, size_t count) {
    appendText("{\"jsonrpc\":\"2.0\",\"id\":");
    append(id, idLength);
    appendText(",\"result\":");
    append(result, count);
    appendText("}\n");
}

static void answerHealth(const char *id, size_t idLength) {
    static char text[256];
    int count = snprintf(
        text, sizeof text,
        "{\"status\":\"healthy\",\"capabilities\":{\"max_concurrency\":1000,\"cacheable\":[%s%s%s]}}",
        *cacheable ? "\"" : "", cacheable, *cacheable ? "\"" : "");
    answer(id, idLength, text, count);
}

static void stream(const char *id, size_t idLength, const char *params, size_t count) {
    for (int i = 0; i < CHUNKS; i++) {
        appendText("{\"jsonrpc\":\"2.0\",\"method\":\"stream_chunk\",\"params\":{\"request_id\":");
        append(id, idLength);
        appendText(",\"chunk_type\":\"partial_answer\",\"data\":");
        append(params, count);
        appendText("}}\n");
    }
    answer(id, idLength, params, count);
}

static int names(const char *method, const char *name) { return !strncmp(method, name, strlen(name)); }

static void serve(const char *line, const char *end) {
    const char *id = memmem(line, end - line, "\"id\":", 5);
    const char *method = memmem(line, end - line, "\"method\":\"", 10);
    if (!id || !method || id > method) return;  // a notification, or an answer
    id += 5;
    method += 10;
    size_t idLength = strcspn(id, ",}");
    const char *params = memmem(method, end - method, "\"params\":", 9);
    const char *behind = params ? skipValue(params + 9, end) : NULL;
    params = params ? params + 9 : "null";
    size_t count = behind ? (size_t)(behind - params) : 4;
    if (names(method, "health.check\"")) answerHealth(id, idLength);
    else if (names(method, "rag.stream\"")) stream(id, idLength, params, count);
    else if (!names(method, "hold\"")) answer(id, idLength, params, count);
}

static int flush(void) {
    for (size_t sent = 0; sent < output.count;) {
        ssize_t count = write(1, output.bytes + sent, output.count - sent);
        if (count <= 0) return 0;
        sent += count;
    }
    output.count = 0;
    return 1;
}

int main(int count, char **arguments) {
    if (count > 1) cacheable = arguments[1];
    for (;;) {
        reserve(&input, READ);
        ssize_t got = read(0, input.bytes + input.count, READ);
        if (got <= 0) return 0;
        size_t searched = input.count;
        input.count += got;
        char *line = input.bytes, *end = input.bytes + input.count, *newline;
        char *from = input.bytes + searched;
        while ((newline = memchr(from, '\n', end - from))) {
            serve(line, newline);
            line = from = newline + 1;
        }
        memmove(input.bytes, line, end - line);
        input.count = end - line;
        if (!flush()) return 1;
    }
}
