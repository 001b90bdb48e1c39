/* The counters as JSON. Durations are in milliseconds; points in time are in seconds of the monotonic clock. */
#include "server.h"

void write_stats(Buffer *out) {
    const Histogram *h = &counters.lateness;
    double now = monotonic(), silence = counters.longest_silence;
    uint64_t open = 0;
    for (const Stream *s = open_streams; s; s = s->next) {
        open += !s->ended;
        /* A stream that has stopped sending has no next chunk that would update longest_silence. */
        if (s->audio_bytes && !s->ended && now - s->last_audio_at > silence) silence = now - s->last_audio_at;
    }
    buffer_printf(out,
                  "{\"now\": %.6f, \"cpu_seconds\": %.6f, \"open\": %lu, \"opened\": %lu, \"ended\": %lu, "
                  "\"failed\": %lu, \"tokens\": %lu, \"interactions\": %lu, \"chunks\": %lu, \"audio_bytes\": %lu, "
                  "\"last_audio_at\": %.6f, \"longest_silence_ms\": %.3f, ",
                  now, cpu_seconds(), open, counters.opened, counters.ended, counters.failed, counters.tokens,
                  counters.interactions, counters.chunks, counters.audio_bytes, counters.last_audio_at,
                  silence * 1e3);
    buffer_printf(out,
                  "\"lateness\": {\"n\": %lu, \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"p999\": %.3f, "
                  "\"max\": %.3f}}\n",
                  h->n, histogram_ms(h, 0.5), histogram_ms(h, 0.9), histogram_ms(h, 0.99), histogram_ms(h, 0.999),
                  h->max * 1e3);
}

void write_streams(Buffer *out) {
    buffer_add(out, "[", 1);
    uint64_t first = streams_made > RING ? streams_made - RING : 0;
    for (uint64_t serial = first + 1; serial <= streams_made; serial++) {
        const Record *r = &records[serial % RING];
        buffer_printf(out,
                      "%s{\"interaction\": \"%s\", \"audio_bytes\": %lu, \"created_at\": %.6f, \"upgraded_at\": %.6f, "
                      "\"first_audio_at\": %.6f, \"last_audio_at\": %.6f, \"ended_at\": %.6f, \"closed_at\": %.6f}",
                      serial > first + 1 ? ",\n" : "", r->interaction, r->audio_bytes, r->created_at,
                      r->upgraded_at, r->first_audio_at, r->last_audio_at, r->ended_at, r->closed_at);
    }
    buffer_add(out, "]\n", 2);
}

/* Does not reset the CPU time, open streams and records: callers compute differences of the CPU time. */
void reset_counters(void) { counters = (Counters){.last_audio_at = counters.last_audio_at}; }
