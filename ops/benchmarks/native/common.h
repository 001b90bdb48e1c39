/* What the load server and the client `floor` share: a clock, buffers, WebSocket frame headers, a histogram. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

/* Seconds on CLOCK_MONOTONIC: the same clock as Python's time.monotonic(). */
static inline double monotonic(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* Raises the limit of open files, and so of sockets, to the hard limit. */
static inline void raise_file_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* -- growing buffers -- */

typedef struct {
    char *data;
    size_t size, room;
} Buffer;

static inline void buffer_reserve(Buffer *b, size_t more) {
    if (b->size + more <= b->room) return;
    b->room = (b->size + more) * 3 / 2 + 256;
    b->data = realloc(b->data, b->room);
    if (!b->data) die("realloc");
}

static inline void buffer_add(Buffer *b, const void *data, size_t size) {
    buffer_reserve(b, size);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

__attribute__((format(printf, 2, 3))) static inline void buffer_printf(Buffer *b, const char *format, ...) {
    for (size_t room = 512;; room *= 2) {
        buffer_reserve(b, room);
        va_list arguments;
        va_start(arguments, format);
        size_t size = (size_t)vsnprintf(b->data + b->size, room, format, arguments);
        va_end(arguments);
        if (size < room) {
            b->size += size;
            return;
        }
    }
}

static inline void buffer_free(Buffer *b) {
    free(b->data);
    *b = (Buffer){0};
}

/* -- WebSocket frames, RFC 6455 section 5.2 -- */

/* Parses a frame's header incrementally. The caller handles the payload. */
typedef struct {
    uint8_t raw[14], have;
    bool complete, fin, masked;
    uint8_t opcode, mask[4];
    uint64_t left, at; /* payload bytes to come, and payload bytes received */
} FrameHead;

static inline size_t frame_head_size(const FrameHead *h) {
    if (h->have < 2) return 2;
    uint8_t length = h->raw[1] & 127;
    return 2u + (length == 126 ? 2u : length == 127 ? 8u : 0u) + (h->raw[1] & 128 ? 4u : 0u);
}

/* Takes bytes until the header is complete; returns the number of bytes taken. */
static inline size_t frame_head_take(FrameHead *h, const uint8_t *data, size_t size) {
    size_t used = 0;
    while (used < size && h->have < frame_head_size(h)) h->raw[h->have++] = data[used++];
    if (h->have < frame_head_size(h)) return used;
    h->complete = true;
    h->fin = h->raw[0] & 128;
    h->opcode = h->raw[0] & 15;
    h->masked = h->raw[1] & 128;
    uint8_t length = h->raw[1] & 127;
    size_t bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    h->left = bytes ? 0 : length;
    for (size_t i = 0; i < bytes; i++) h->left = h->left << 8 | h->raw[2 + i];
    if (h->masked) memcpy(h->mask, h->raw + 2 + bytes, 4);
    h->at = 0;
    return used;
}

/* Writes the header of a final frame, without the mask; returns its size, at most 10. `mask_bit` is 128 or 0. */
static inline size_t frame_head_write(uint8_t *out, int opcode, uint64_t size, uint8_t mask_bit) {
    out[0] = (uint8_t)(128 | opcode);
    if (size < 126) {
        out[1] = (uint8_t)(mask_bit | size);
        return 2;
    }
    size_t bytes = size < 65536 ? 2 : 8;
    out[1] = (uint8_t)(mask_bit | (bytes == 2 ? 126 : 127));
    for (size_t i = 0; i < bytes; i++) out[2 + i] = (uint8_t)(size >> (8 * (bytes - 1 - i)));
    return 2 + bytes;
}

/* -- a histogram of microseconds; buckets are about 3 % wide -- */

enum { SUB_BITS = 5, SUBS = 1 << SUB_BITS, BUCKETS = 64 * SUBS };

typedef struct {
    uint64_t n, count[BUCKETS];
    double max; /* seconds */
} Histogram;

static inline void histogram_add(Histogram *h, double seconds) {
    uint64_t us = seconds > 0 ? (uint64_t)(seconds * 1e6) : 0;
    int top = us < SUBS ? 0 : 63 - __builtin_clzll(us) - SUB_BITS;
    h->count[(uint64_t)top * SUBS + (us >> top)]++;
    h->n++;
    if (seconds > h->max) h->max = seconds;
}

/* Returns the milliseconds that a share of the values do not exceed: the upper edge of the bucket, so that the
 * result is never too small. */
static inline double histogram_ms(const Histogram *h, double share) {
    uint64_t rank = (uint64_t)((double)h->n * share), seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += h->count[i];
        if (seen > rank || (seen == h->n && h->n)) {
            int top = i < 2 * SUBS ? 0 : i / SUBS - 1;
            double edge = (double)(((uint64_t)(i - top * SUBS) + 1) << top) / 1e3;
            return edge < h->max * 1e3 ? edge : h->max * 1e3;
        }
    }
    return 0;
}
