// Counts the allocations of the program it is preloaded into, in a file that whoever measures maps as well.
//
//   ALLOCATION_COUNTS=FILE LD_PRELOAD=allocations.so PROGRAM…      FILE: sizeof(struct counts) bytes or more
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SAMPLES = 64, FRAMES = 12 };

// As in probes.py.
struct counts {
    _Atomic uint64_t allocations;  // malloc, calloc, realloc, and the aligned ones
    _Atomic uint64_t sampling;     // set from outside: note where allocations come from
    _Atomic uint64_t sampled;      // how many since then; the first of them are noted
    void *stacks[SAMPLES][FRAMES];
};

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static struct counts *counts;
static _Thread_local int is_sampling;

static void take_sample(void) {
    uint64_t index = atomic_fetch_add(&counts->sampled, 1);
    if (index >= SAMPLES) return;
    is_sampling = 1;  // a walk over the stack may allocate
    int taken = backtrace(counts->stacks[index], FRAMES);
    for (int frame = taken; frame < FRAMES; frame++) counts->stacks[index][frame] = NULL;
    is_sampling = 0;
}

static void count(void) {
    if (!counts || is_sampling) return;
    atomic_fetch_add_explicit(&counts->allocations, 1, memory_order_relaxed);
    if (atomic_load_explicit(&counts->sampling, memory_order_relaxed)) take_sample();
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count();
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    *result = memalign(alignment, size);
    return *result ? 0 : ENOMEM;
}

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("ALLOCATION_COUNTS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *first[1];
    backtrace(first, 1);  // loads the unwinder, which allocates
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) counts = mapped;
}
