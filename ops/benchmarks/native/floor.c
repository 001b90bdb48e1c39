/* The client `floor`: shows the least possible cost of audio over WebSocket and TLS, in C with epoll and OpenSSL.
 *
 * It is a subject of ops.benchmarks.subjects, with the same arguments and the same two lines of output. Streams
 * are in a timer wheel with a slot for each millisecond of a chunk's length. A chunk is read from a shared
 * buffer, masked with new random bytes, and written. Received frames are parsed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

enum { RATE = 32000, AUDIO_SIZE = 10 * RATE, READ_SIZE = 1 << 16, EVENTS = 512, MAX_MESSAGE = 1 << 20 };
static const double SPREAD = 0.618034; /* the fractions of its multiples fill an interval evenly, for any number of them */

static const char CONFIG[] =
    "{\"type\":\"config\",\"configuration\":{\"transcription\":{\"primaryLanguage\":\"en\",\"isDiarization\":false,"
    "\"isMultichannel\":false,\"participants\":[{\"channel\":0,\"role\":\"multiple\"}]},\"mode\":{\"type\":\"facts\","
    "\"outputLocale\":\"en\"},\"audioFormat\":\"audio/pcm; rate=16000; channels=1; bits=16\"}}";

typedef enum { SHAKING, UPGRADING, CONFIGURING, STREAMING, LOST } Phase;

typedef struct Stream {
    Phase phase;
    int fd;
    SSL *ssl;
    bool writing;
    double began;
    FrameHead head;
    Buffer in, out; /* a message or HTTP answer that is being received; bytes that the socket did not take */
    size_t audio_at;
    char *url; /* path and query */
    struct Stream *next; /* in the same slot of the wheel */
} Stream;

static struct {
    const char *ca;
    int port, streams, chunk_ms;
    double seconds, ramp;
} options = {.chunk_ms = 250};

static int epoll, started, connected, failures;
static size_t chunk_size;
static SSL_CTX *context;
static Stream *streams, **wheel;
static uint8_t *audio, *frame;
static double *connects; /* seconds */
static unsigned long transcripts;
static volatile sig_atomic_t stopping;

static void on_signal(int number) {
    (void)number;
    stopping = 1;
}

/* -- masking -- */

static uint32_t fresh_mask(void) {
    static uint32_t pool[1024];
    static unsigned at = 1024;
    if (at == 1024) {
        if (getrandom(pool, sizeof pool, 0) != sizeof pool) die("floor: getrandom");
        at = 0;
    }
    return pool[at++];
}

/* Writes a masked frame; returns its size. `out` needs 14 bytes more than the payload. */
static size_t masked_frame(uint8_t *out, int opcode, const void *data, size_t size) {
    uint32_t mask = fresh_mask();
    size_t head = frame_head_write(out, opcode, size, 128);
    memcpy(out + head, &mask, 4);
    uint8_t *to = out + head + 4;
    const uint8_t *from = data;
    size_t i = 0;
    for (uint64_t wide = mask | (uint64_t)mask << 32, word; i + 8 <= size; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < size; i++) to[i] = from[i] ^ (uint8_t)(mask >> (8 * (i & 3)));
    return head + 4 + size;
}

/* -- one stream -- */

static void lose(Stream *s) {
    if (s->phase == LOST) return;
    s->phase = LOST;
    SSL_free(s->ssl);
    close(s->fd);
    buffer_free(&s->in);
    buffer_free(&s->out);
    failures++;
}

static bool must_wait(Stream *s, int result) {
    int error = SSL_get_error(s->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void watch(Stream *s, bool writing) {
    if (s->writing == writing) return;
    s->writing = writing;
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = s};
    epoll_ctl(epoll, EPOLL_CTL_MOD, s->fd, &event);
}

/* Writes as much as the socket takes; returns the number of bytes, or -1 if the connection is lost. */
static ssize_t write_some(Stream *s, const void *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        ERR_clear_error();
        int n = SSL_write(s->ssl, (const char *)data + done, (int)(size - done));
        if (n <= 0) return must_wait(s, n) ? (ssize_t)done : -1;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static void send_bytes(Stream *s, const void *data, size_t size) {
    ssize_t n = s->out.size ? 0 : write_some(s, data, size);
    if (n < 0) {
        lose(s);
    } else if ((size_t)n < size) {
        buffer_add(&s->out, (const char *)data + n, size - (size_t)n);
        watch(s, true);
    }
}

static void send_rest(Stream *s) {
    ssize_t n = write_some(s, s->out.data, s->out.size);
    if (n < 0) {
        lose(s);
        return;
    }
    s->out.size -= (size_t)n;
    memmove(s->out.data, s->out.data + n, s->out.size);
    if (!s->out.size) {
        buffer_free(&s->out);
        watch(s, false);
    }
}

static void send_frame(Stream *s, int opcode, const void *data, size_t size) {
    static uint8_t small[2048];
    send_bytes(s, small, masked_frame(small, opcode, data, size > 1024 ? 1024 : size));
}

static void send_chunk(Stream *s) {
    if (s->audio_at + chunk_size > AUDIO_SIZE) s->audio_at = 0;
    send_bytes(s, frame, masked_frame(frame, OP_BINARY, audio + s->audio_at, chunk_size));
    s->audio_at += chunk_size;
}

static void on_accepted(Stream *s) {
    s->phase = STREAMING;
    double now = monotonic();
    connects[connected++] = now - s->began;
    double turns = now * 1e3 / options.chunk_ms + SPREAD * (double)(s - streams);
    int slot = (int)((turns - (double)(uint64_t)turns) * options.chunk_ms);
    s->next = wheel[slot];
    wheel[slot] = s;
}

static void on_message(Stream *s) {
    FrameHead h = s->head;
    s->head = (FrameHead){0};
    if (h.opcode == OP_PING) send_frame(s, OP_PONG, s->in.data, s->in.size);
    if (h.opcode == OP_CLOSE) {
        lose(s);
        return;
    }
    if (h.opcode == OP_TEXT) {
        buffer_add(&s->in, "", 1);
        if (strstr(s->in.data, "\"transcript\"")) transcripts++;
        else if (s->phase == CONFIGURING && strstr(s->in.data, "\"CONFIG_ACCEPTED\"")) on_accepted(s);
    }
    if (s->phase != LOST) buffer_free(&s->in);
}

static void on_frames(Stream *s, const uint8_t *data, size_t size) {
    while (size && s->phase != LOST) {
        FrameHead *h = &s->head;
        if (!h->complete) {
            size_t used = frame_head_take(h, data, size);
            data += used, size -= used;
            if (!h->complete) return;
            /* The load server does not mask, and does not fragment messages. */
            if (h->masked || !h->fin || h->left > MAX_MESSAGE) {
                lose(s);
                return;
            }
        }
        size_t part = h->left < size ? (size_t)h->left : size;
        buffer_add(&s->in, data, part);
        data += part, size -= part, h->left -= part;
        if (!h->left) on_message(s);
    }
}

static void on_answer(Stream *s, const uint8_t *data, size_t size) {
    buffer_add(&s->in, data, size);
    char *end = memmem(s->in.data, s->in.size, "\r\n\r\n", 4);
    if (!end) return;
    if (strncmp(s->in.data, "HTTP/1.1 101", 12)) {
        lose(s);
        return;
    }
    Buffer rest = s->in;
    s->in = (Buffer){0};
    s->phase = CONFIGURING;
    send_frame(s, OP_TEXT, CONFIG, sizeof CONFIG - 1);
    on_frames(s, (uint8_t *)end + 4, rest.size - (size_t)(end + 4 - rest.data));
    buffer_free(&rest);
}

static void upgrade(Stream *s) {
    char text[4096];
    int size = snprintf(text, sizeof text,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                        s->url, options.port);
    s->phase = UPGRADING;
    send_bytes(s, text, (size_t)size);
}

static void on_event(Stream *s, uint32_t events) {
    static uint8_t data[READ_SIZE];
    if (s->phase == LOST) return;
    if (s->phase == SHAKING) {
        ERR_clear_error();
        int done = SSL_connect(s->ssl);
        if (done <= 0) {
            if (!must_wait(s, done)) lose(s);
            else watch(s, SSL_get_error(s->ssl, done) == SSL_ERROR_WANT_WRITE);
            return;
        }
        watch(s, false);
        upgrade(s);
    }
    if (s->phase != LOST && s->out.size && events & EPOLLOUT) send_rest(s);
    if (s->phase == LOST || !(events & ~(uint32_t)EPOLLOUT)) return;
    /* epoll is level-triggered: a read that would certainly find nothing can be left out. */
    do {
        ERR_clear_error();
        int n = SSL_read(s->ssl, data, sizeof data);
        if (n <= 0) {
            if (!must_wait(s, n)) lose(s);
            return;
        }
        if (s->phase == UPGRADING) on_answer(s, data, (size_t)n);
        else on_frames(s, data, (size_t)n);
    } while (s->phase != LOST && SSL_has_pending(s->ssl));
}

/* -- set-up -- */

static int connect_here(bool blocking) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) die("floor: socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) die("floor: connect");
    return fd;
}

static SSL *tls_on(int fd) {
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    return ssl;
}

static void open_stream(Stream *s) {
    s->began = monotonic();
    s->fd = connect_here(false);
    s->ssl = tls_on(s->fd);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = s};
    s->writing = true;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &event) < 0) die("floor: epoll_ctl");
}

/* Sends a POST on a blocking connection; returns a copy of a text member of the JSON answer. */
static char *post(SSL *ssl, const char *path, const char *headers, const char *body, const char *member) {
    static char text[1 << 16];
    int size = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n%s",
                        path, headers, strlen(body), body);
    if (SSL_write(ssl, text, size) != size) goto broken;
    size_t have = 0, whole = 0;
    while (!whole || have < whole) {
        int n = SSL_read(ssl, text + have, (int)(sizeof text - 1 - have));
        if (n <= 0) goto broken;
        text[have += (size_t)n] = 0;
        char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "Content-Length:");
        if (end && length) whole = (size_t)(end + 4 - text) + strtoul(length + 15, NULL, 10);
    }
    char *value = strstr(text, member), *stop;
    if (value && (value = strchr(value + strlen(member), ':')) && (value = strchr(value, '"')) &&
        (stop = strchr(value + 1, '"')))
        return strndup(value + 1, (size_t)(stop - value - 1));
broken:
    ERR_print_errors_fp(stderr);
    fprintf(stderr, "floor: unexpected answer from %s\n", path);
    exit(1);
}

/* Fetches a token and creates all interactions, before the measurement. */
static void create_interactions(void) {
    int fd = connect_here(true);
    SSL *ssl = tls_on(fd);
    char headers[2048], body[256];
    char *token = post(ssl, "/realms/base/protocol/openid-connect/token",
                       "Content-Type: application/x-www-form-urlencoded\r\n",
                       "grant_type=client_credentials&client_id=bench&client_secret=bench&scope=openid",
                       "\"access_token\"");
    snprintf(headers, sizeof headers,
             "Authorization: Bearer %s\r\nTenant-Name: base\r\nContent-Type: application/json\r\n", token);
    for (int i = 0; i < options.streams; i++) {
        snprintf(body, sizeof body,
                 "{\"encounter\":{\"identifier\":\"floor-%d-%d\",\"status\":\"planned\",\"type\":\"consultation\"}}",
                 getpid(), i);
        char *url = post(ssl, "/v2/interactions/", headers, body, "\"websocketUrl\"");
        char *path = strchr(url + strlen("wss://"), '/');
        if (asprintf(&streams[i].url, "%s&token=Bearer%%20%s", path, token) < 0) die("floor: memory");
        free(url);
    }
    free(token);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

static void make_context(void) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(context), "127.0.0.1");
    if (SSL_CTX_load_verify_locations(context, options.ca, NULL) != 1) {
        fprintf(stderr, "floor: --ca must name a PEM file\n");
        exit(2);
    }
}

static void read_options(int count, char **words) {
    static const struct option known[] = {{"url", 1, 0, 'u'}, {"ca", 1, 0, 'c'}, {"streams", 1, 0, 'n'},
                                          {"seconds", 1, 0, 's'}, {"ramp", 1, 0, 'r'}, {"chunk-ms", 1, 0, 'm'}, {0}};
    for (int option; (option = getopt_long(count, words, "", known, NULL)) != -1;) {
        switch (option) {
        case 'u': options.port = strrchr(optarg, ':') ? atoi(strrchr(optarg, ':') + 1) : 0; break;
        case 'c': options.ca = optarg; break;
        case 'n': options.streams = atoi(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'r': options.ramp = atof(optarg); break;
        case 'm': options.chunk_ms = atoi(optarg); break;
        default: exit(2);
        }
    }
    if (!options.ca || !options.port || options.streams < 1 || options.chunk_ms < 1 || options.chunk_ms > 10000) {
        fprintf(stderr, "usage: floor --url wss://127.0.0.1:PORT --ca FILE --streams N --seconds S"
                        " [--ramp R] [--chunk-ms 250]\n");
        exit(2);
    }
}

static void make_audio(void) {
    chunk_size = ((size_t)RATE * (size_t)options.chunk_ms / 1000) & ~(size_t)1;
    audio = malloc(AUDIO_SIZE);
    frame = malloc(chunk_size + 14);
    uint32_t x = 4;
    for (size_t i = 0; i < AUDIO_SIZE; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        audio[i] = (uint8_t)x;
    }
}

/* -- running -- */

/* Returns the milliseconds until the next slot with a stream, at most `most`. The next tick begins within a
 * millisecond, so chunks are sent at most one millisecond late. */
static int until_due(uint64_t tick, int most) {
    for (int ms = 0; ms + 1 < most; ms++)
        if (wheel[(tick + (uint64_t)ms) % (uint64_t)options.chunk_ms]) return ms + 1;
    return most;
}

static void turn_to(uint64_t *tick, uint64_t now) {
    for (; *tick <= now; ++*tick) {
        Stream **place = &wheel[*tick % (uint64_t)options.chunk_ms];
        while (*place) {
            Stream *s = *place;
            if (s->phase == STREAMING) send_chunk(s);
            if (s->phase == LOST) *place = s->next;
            else place = &s->next;
        }
    }
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void finish(void) {
    qsort(connects, (size_t)connected, sizeof *connects, by_size);
    printf("{\"failures\": %d, \"connect_ms\": {\"n\": %d", failures, connected);
    if (connected)
        printf(", \"p50\": %.3f, \"p99\": %.3f", connects[connected / 2] * 1e3,
               connects[(size_t)(0.99 * connected)] * 1e3);
    else printf(", \"p50\": null, \"p99\": null");
    printf("}}\n");
    fflush(stdout);
}

int main(int count, char **words) {
    read_options(count, words);
    raise_file_limit();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    make_context();
    make_audio();
    streams = calloc((size_t)options.streams, sizeof *streams);
    connects = calloc((size_t)options.streams, sizeof *connects);
    wheel = calloc((size_t)options.chunk_ms, sizeof *wheel);
    create_interactions();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    static struct epoll_event events[EVENTS];
    double start = monotonic(), end = 0;
    uint64_t tick = (uint64_t)(start * 1e3);
    while (!stopping && (!end || monotonic() < end)) {
        bool opening = started < options.streams;
        int n = epoll_wait(epoll, events, EVENTS, until_due(tick, opening ? 1 : 100));
        for (int i = 0; i < n; i++) on_event(events[i].data.ptr, events[i].events);
        double now = monotonic();
        turn_to(&tick, (uint64_t)(now * 1e3));
        while (started < options.streams && now >= start + options.ramp * started / options.streams)
            open_stream(&streams[started++]);
        if (!end && connected + failures >= options.streams) {
            printf("{\"ready\": true, \"failures\": %d}\n", failures);
            fflush(stdout);
            end = now + options.seconds;
        }
    }
    finish();
    return 0;
}
