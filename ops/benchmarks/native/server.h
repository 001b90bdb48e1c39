/* The load server: declarations that its source files share. */
#pragma once

#include <openssl/ssl.h>

#include "common.h"

enum { RING = 1 << 14, ID_SIZE = 37, NAME_SIZE = 160, MAX_TEXT = 1 << 20 };

/* -- options, counters, records -- */

typedef struct {
    const char *cert, *key;
    int port;
    double pace, bytes_per_second, segment_every, token_lifetime;
} Options;

typedef struct {
    uint64_t opened, ended, failed, tokens, interactions, chunks, audio_bytes;
    double longest_silence, last_audio_at;
    Histogram lateness;
} Counters;

/* An interaction. The newest RING of them are kept. */
typedef struct {
    char id[ID_SIZE], identifier[NAME_SIZE];
    double created_at;
    time_t created; /* wall clock */
} Interaction;

/* A WebSocket of an interaction. The newest RING of them are kept. Times are monotonic; 0 means never. */
typedef struct {
    char interaction[ID_SIZE];
    uint64_t serial, audio_bytes;
    double created_at, upgraded_at, first_audio_at, last_audio_at, ended_at, closed_at;
} Record;

typedef struct Stream Stream;

extern Options options;
extern Counters counters;
extern uint64_t interactions_made, streams_made;
extern Interaction interactions[RING];
extern Record records[RING];
extern Stream *open_streams;

/* -- connections (loadserver.c) -- */

typedef struct {
    int fd;
    SSL *ssl;
    bool shaken, writing; /* the TLS handshake is done; the socket's send buffer is full */
    bool last; /* close as soon as everything is written */
    Buffer in, out;
    size_t out_at;
    Stream *stream; /* after an upgrade */
} Connection;

/* -- HTTP (http.c) -- */

/* Answers the complete requests in `in`; returns false if the connection must be closed. */
bool http_take(Connection *c);

/* -- streams (stream.c) -- */

struct Stream {
    char id[ID_SIZE];
    uint64_t serial;
    FrameHead head;
    int opcode; /* of the message that is being received */
    uint64_t chunk; /* bytes so far of the audio message that is being received */
    Buffer text, control;
    bool configured, ended, closing, facts;
    uint64_t audio_bytes;
    double least; /* smallest (arrival - due time) so far, in seconds */
    double last_audio_at;
    double transcribed, facts_until; /* seconds of audio answered */
    unsigned lines, facts_sent;
    Stream *next, *previous;
};

void stream_open(Connection *c, const Interaction *interaction);
/* Handles what the client sent; returns false if the connection must be closed. */
bool stream_take(Connection *c, const uint8_t *data, size_t size);
/* Called when the connection is closed or lost. */
void stream_lost(Connection *c);

/* -- reports (stats.c) -- */

void write_stats(Buffer *out);
void write_streams(Buffer *out);
void reset_counters(void);
