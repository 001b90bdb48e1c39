/* Streams: receives WebSocket frames, answers as Corti does, and measures how late each chunk of audio is. */
#include "server.h"

Counters counters;
uint64_t streams_made;
Record records[RING];
Stream *open_streams;

static const double FACTS_EVERY = 60; /* PROTOCOL.md 4.5 */
/* Invented transcripts of a realistic size. */
static const char *const LINES[] = {
    "So the pain in your chest started about three days ago, mostly when you climb the stairs at home.",
    "It gets better after a few minutes of rest, and I have not had any trouble with it during the night.",
    "I would like to listen to your heart and lungs now, then we will take your blood pressure again.",
    "You told me that you take one tablet of amlodipine in the morning, is that still the right dose?",
};
enum { LINE_COUNT = sizeof LINES / sizeof LINES[0] };

static Record *record_of(const Stream *s) {
    Record *r = &records[s->serial % RING];
    return r->serial == s->serial ? r : NULL;
}

/* -- sending -- */

static void send_frame(Connection *c, int opcode, const void *data, size_t size) {
    uint8_t head[10];
    buffer_add(&c->out, head, frame_head_write(head, opcode, size, 0));
    buffer_add(&c->out, data, size);
}

__attribute__((format(printf, 2, 3))) static void say(Connection *c, const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    send_frame(c, OP_TEXT, text, (size_t)size);
}

static void say_closed(Connection *c, unsigned code) {
    uint8_t raw[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    send_frame(c, OP_CLOSE, raw, sizeof raw);
    c->stream->closing = true;
}

/* -- the protocol -- */

static double heard(const Stream *s) { return (double)s->audio_bytes / options.bytes_per_second; }

static void transcribe(Connection *c, double until) {
    Stream *s = c->stream;
    say(c,
        "{\"type\":\"transcript\",\"data\":[{\"id\":\"%s\",\"transcript\":\"%s\",\"final\":true,"
        "\"speakerId\":-1,\"participant\":{\"channel\":0},\"time\":{\"start\":%.3f,\"end\":%.3f}}]}",
        s->id, LINES[s->lines++ % LINE_COUNT], s->transcribed, until);
    s->transcribed = until;
}

static void extract(Connection *c) {
    Stream *s = c->stream;
    char at[32];
    time_t now = time(NULL);
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    say(c,
        "{\"type\":\"facts\",\"fact\":[{\"id\":\"%.24sfac%09x\",\"text\":\"Exertional chest pain for three days, "
        "relieved by rest.\",\"group\":\"history-of-present-illness\",\"groupId\":\"%.24sa00000000001\","
        "\"isDiscarded\":false,\"source\":\"core\",\"createdAt\":\"%s\",\"updatedAt\":\"%s\"}]}",
        s->id, s->facts_sent++, s->id, at, at);
    s->facts_until = heard(s);
}

static void on_audio(Connection *c, uint64_t size, double now) {
    Stream *s = c->stream;
    Record *r = record_of(s);
    if (!s->configured) {
        say(c, "{\"type\":\"CONFIG_MISSING\",\"reason\":\"send a config first\"}");
        return;
    }
    if (s->ended) return;
    /* A chunk is due when its first byte would have been spoken. When the client's clock started is not known, so
     * the smallest delay so far counts as 0: after a late first chunk, the next ones do not count as early. */
    double delay = now - heard(s) / options.pace;
    if (!s->audio_bytes) {
        if (r) r->first_audio_at = now;
        s->least = delay;
    } else if (now - s->last_audio_at > counters.longest_silence) {
        counters.longest_silence = now - s->last_audio_at;
    }
    if (delay < s->least) s->least = delay;
    histogram_add(&counters.lateness, delay - s->least);
    s->last_audio_at = counters.last_audio_at = now;
    s->audio_bytes += size;
    counters.chunks++;
    counters.audio_bytes += size;
    if (r) r->last_audio_at = now, r->audio_bytes = s->audio_bytes;
    while (heard(s) >= s->transcribed + options.segment_every) transcribe(c, s->transcribed + options.segment_every);
    if (s->facts && heard(s) >= s->facts_until + FACTS_EVERY) extract(c);
}

/* Returns the JSON object that follows a key, and its size. Finds its end by counting braces outside of strings. */
static const char *object_after(const char *text, const char *key, size_t *size) {
    const char *start = strstr(text, key);
    if (!start || !(start = strchr(start, '{'))) return NULL;
    bool quoted = false;
    int depth = 0;
    for (const char *at = start; *at; at++) {
        if (quoted && *at == '\\' && at[1]) at++;
        else if (*at == '"') quoted = !quoted;
        else if (!quoted && *at == '{') depth++;
        else if (!quoted && *at == '}' && !--depth) {
            *size = (size_t)(at + 1 - start);
            return start;
        }
    }
    return NULL;
}

static void configure(Connection *c, const char *text) {
    static const char accepted[] = "{\"type\":\"CONFIG_ACCEPTED\",\"configuration\":";
    Stream *s = c->stream;
    if (s->configured) {
        say(c, "{\"type\":\"CONFIG_ALREADY_RECEIVED\"}");
        return;
    }
    size_t size;
    const char *value = object_after(text, "\"configuration\"", &size);
    if (!value || !strstr(text, "\"primaryLanguage\"")) {
        say(c, "{\"type\":\"CONFIG_DENIED\",\"reason\":\"configuration.transcription.primaryLanguage is required\"}");
        say_closed(c, 1000);
        return;
    }
    s->configured = true;
    s->facts = strstr(value, "\"facts\"") != NULL;
    Buffer message = {0};
    buffer_add(&message, accepted, sizeof accepted - 1);
    buffer_add(&message, value, size);
    buffer_add(&message, "}", 1);
    send_frame(c, OP_TEXT, message.data, message.size);
    buffer_free(&message);
}

static void finish(Connection *c) {
    Stream *s = c->stream;
    Record *r = record_of(s);
    if (s->ended) return;
    if (heard(s) > s->transcribed) transcribe(c, heard(s));
    if (s->facts && s->audio_bytes) extract(c);
    say(c, "{\"type\":\"usage\",\"credits\":%.4f}", heard(s) / 60);
    say(c, "{\"type\":\"ENDED\"}");
    say_closed(c, 1000);
    s->ended = true;
    counters.ended++;
    if (r) r->ended_at = monotonic();
}

static void on_text(Connection *c, const char *text) {
    Stream *s = c->stream;
    const char *type = strstr(text, "\"type\"");
    if (strstr(text, "\"configuration\"")) {
        configure(c, text);
    } else if (!s->configured) {
        say(c, "{\"type\":\"CONFIG_MISSING\",\"reason\":\"send a config first\"}");
    } else if (type && strstr(type, "\"end\"")) {
        finish(c);
    } else if (type && strstr(type, "\"flush\"")) {
        if (heard(s) > s->transcribed) transcribe(c, heard(s));
        say(c, "{\"type\":\"flushed\"}");
    }
}

/* -- receiving -- */

static bool on_control(Connection *c, int opcode, const Buffer *payload) {
    if (opcode == OP_PING) send_frame(c, OP_PONG, payload->data, payload->size);
    if (opcode != OP_CLOSE) return true;
    if (!c->stream->closing) send_frame(c, OP_CLOSE, payload->data, payload->size < 2 ? 0 : 2);
    c->stream->closing = true;
    c->last = true; /* the server closes TCP first (RFC 6455, section 7.1.1) */
    return true;
}

static bool on_frame(Connection *c, double now) {
    Stream *s = c->stream;
    FrameHead h = s->head;
    s->head = (FrameHead){0};
    if (h.opcode >= OP_CLOSE) {
        Buffer payload = s->control;
        s->control = (Buffer){0};
        bool good = on_control(c, h.opcode, &payload);
        buffer_free(&payload);
        return good;
    }
    if (!h.fin) return true;
    if (s->opcode == OP_BINARY) {
        on_audio(c, s->chunk, now);
        s->chunk = 0;
    } else {
        buffer_add(&s->text, "", 1);
        on_text(c, s->text.data);
        buffer_free(&s->text);
    }
    return true;
}

/* Stores a piece of payload, unmasked. Audio is only counted. Returns false if a message is too long. */
static bool on_payload(Stream *s, const uint8_t *data, size_t size) {
    FrameHead *h = &s->head;
    if (h->opcode < OP_CLOSE && s->opcode == OP_BINARY) {
        s->chunk += size;
        return true;
    }
    Buffer *kept = h->opcode >= OP_CLOSE ? &s->control : &s->text;
    if (kept->size + size > MAX_TEXT) return false;
    buffer_add(kept, data, size);
    for (size_t i = 0; i < size; i++) kept->data[kept->size - size + i] ^= (char)h->mask[(h->at + i) & 3];
    return true;
}

bool stream_take(Connection *c, const uint8_t *data, size_t size) {
    Stream *s = c->stream;
    double now = monotonic();
    while (size && !c->last) {
        FrameHead *h = &s->head;
        if (!h->complete) {
            size_t used = frame_head_take(h, data, size);
            data += used, size -= used;
            if (!h->complete) return true;
            if (!h->masked) return false; /* RFC 6455, section 5.1 */
            if (h->opcode == OP_TEXT || h->opcode == OP_BINARY) s->opcode = h->opcode;
        }
        size_t part = h->left < size ? (size_t)h->left : size;
        if (part && !on_payload(s, data, part)) return false;
        data += part, size -= part;
        h->left -= part, h->at += part;
        if (h->left) return true;
        if (!on_frame(c, now)) return false;
    }
    return true;
}

void stream_open(Connection *c, const Interaction *interaction) {
    Stream *s = calloc(1, sizeof *s);
    if (!s) die("loadserver: a stream's memory");
    memcpy(s->id, interaction->id, ID_SIZE);
    s->serial = ++streams_made;
    records[s->serial % RING] = (Record){
        .serial = s->serial, .created_at = interaction->created_at, .upgraded_at = monotonic()};
    memcpy(records[s->serial % RING].interaction, s->id, ID_SIZE);
    s->next = open_streams;
    if (open_streams) open_streams->previous = s;
    open_streams = s;
    c->stream = s;
    counters.opened++;
}

void stream_lost(Connection *c) {
    Stream *s = c->stream;
    Record *r = record_of(s);
    if (r) r->closed_at = monotonic();
    if (!s->ended) counters.failed++;
    if (s->previous) s->previous->next = s->next;
    else open_streams = s->next;
    if (s->next) s->next->previous = s->previous;
    buffer_free(&s->text);
    buffer_free(&s->control);
    free(s);
    c->stream = NULL;
}
