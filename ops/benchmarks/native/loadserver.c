/* The load server: speaks Corti's protocol (tokens, interactions, streams) over TLS, with little CPU.
 *
 * It must never limit the clients that are measured. So it is one thread with epoll, and only counts audio.
 * It checks less than the sandbox (ops/sandbox): it recognises no speech, knows no tenants, and accepts the
 * same encounter identifier again. Its transcripts are invented lines of a realistic size.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

enum { READ_SIZE = 1 << 16, EVENTS = 1024, BACKLOG = 8192 };

Options options = {.pace = 1, .bytes_per_second = 32000, .segment_every = 1, .token_lifetime = 300};

static int epoll;
static SSL_CTX *context;
static volatile sig_atomic_t stopping;

static void on_signal(int number) {
    (void)number;
    stopping = 1;
}

static void drop(Connection *c) {
    if (c->stream) stream_lost(c);
    SSL_free(c->ssl);
    close(c->fd);
    buffer_free(&c->in);
    buffer_free(&c->out);
    free(c);
}

/* Returns whether the last call of OpenSSL failed only because the socket is not ready. */
static bool must_wait(Connection *c, int result) {
    int error = SSL_get_error(c->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void watch(Connection *c, bool writing) {
    if (c->writing == writing) return;
    c->writing = writing;
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static bool write_out(Connection *c) {
    while (c->out_at < c->out.size) {
        size_t left = c->out.size - c->out_at;
        ERR_clear_error();
        int n = SSL_write(c->ssl, c->out.data + c->out_at, left > INT32_MAX ? INT32_MAX : (int)left);
        if (n <= 0) {
            if (!must_wait(c, n)) return false;
            watch(c, true);
            return true;
        }
        c->out_at += (size_t)n;
    }
    watch(c, false);
    if (c->out.data) buffer_free(&c->out); /* most of thousands of streams have nothing to send, and need no memory for it */
    c->out_at = 0;
    if (!c->last) return true;
    SSL_shutdown(c->ssl);
    return false;
}

static bool take(Connection *c, const uint8_t *data, size_t size) {
    if (c->stream) return stream_take(c, data, size);
    buffer_add(&c->in, data, size);
    if (!http_take(c)) return false;
    if (!c->stream) return true;
    Buffer rest = c->in; /* bytes that arrived after the upgrade request */
    c->in = (Buffer){0};
    bool good = stream_take(c, (const uint8_t *)rest.data, rest.size);
    buffer_free(&rest);
    return good;
}

static bool read_in(Connection *c) {
    static uint8_t data[READ_SIZE];
    if (!c->shaken) {
        ERR_clear_error();
        int done = SSL_accept(c->ssl);
        if (done <= 0) return must_wait(c, done);
        c->shaken = true;
    }
    /* epoll is level-triggered: a read that would certainly find nothing can be left out. */
    do {
        ERR_clear_error();
        int n = SSL_read(c->ssl, data, sizeof data);
        if (n <= 0) return must_wait(c, n);
        if (!c->last && !take(c, data, (size_t)n)) return false;
    } while (SSL_has_pending(c->ssl));
    return true;
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) perror("loadserver: accept");
            return;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Connection *c = calloc(1, sizeof *c);
        if (!c || !(c->ssl = SSL_new(context))) die("loadserver: a connection's memory");
        c->fd = fd;
        SSL_set_fd(c->ssl, fd);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("loadserver: epoll_ctl");
    }
}

static void make_context(void) {
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One system call reads a TLS record's header and body, and several records that arrive together. */
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_SIZE);
    static const unsigned char name[] = "loadserver";
    SSL_CTX_set_session_id_context(context, name, sizeof name - 1);
    if (SSL_CTX_use_certificate_chain_file(context, options.cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, options.key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        fprintf(stderr, "loadserver: --cert and --key must name PEM files of a certificate and its key\n");
        exit(2);
    }
}

static int listen_here(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("loadserver: bind");
    if (listen(fd, BACKLOG) < 0) die("loadserver: listen");
    socklen_t size = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &size);
    options.port = ntohs(address.sin_port);
    return fd;
}

static void read_options(int count, char **words) {
    static const struct option known[] = {
        {"cert", 1, 0, 'c'}, {"key", 1, 0, 'k'}, {"port", 1, 0, 'p'}, {"pace", 1, 0, 'a'},
        {"bytes-per-second", 1, 0, 'b'}, {"segment-every", 1, 0, 's'}, {"token-lifetime", 1, 0, 't'}, {0}};
    for (int option; (option = getopt_long(count, words, "", known, NULL)) != -1;) {
        switch (option) {
        case 'c': options.cert = optarg; break;
        case 'k': options.key = optarg; break;
        case 'p': options.port = atoi(optarg); break;
        case 'a': options.pace = atof(optarg); break;
        case 'b': options.bytes_per_second = atof(optarg); break;
        case 's': options.segment_every = atof(optarg); break;
        case 't': options.token_lifetime = atof(optarg); break;
        default: exit(2);
        }
    }
    if (optind < count || !options.cert || !options.key || !(options.pace > 0) ||
        !(options.bytes_per_second > 0) || !(options.segment_every > 0) || !(options.token_lifetime > 0)) {
        fprintf(stderr, "usage: loadserver --cert FILE --key FILE [--port 0] [--pace 1.0]"
                        " [--bytes-per-second 32000] [--segment-every 1.0] [--token-lifetime 300]\n");
        exit(2);
    }
}

int main(int count, char **words) {
    read_options(count, words);
    raise_file_limit();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    make_context();
    int listener = listen_here();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    printf("{\"port\": %d}\n", options.port);
    fflush(stdout);
    static struct epoll_event events[EVENTS];
    while (!stopping) {
        /* The time-out is needed for a signal that arrives just before epoll_wait. */
        int n = epoll_wait(epoll, events, EVENTS, 500);
        for (int i = 0; i < n; i++) {
            Connection *c = events[i].data.ptr;
            if (!c) accept_all(listener);
            else if (!(read_in(c) && write_out(c))) drop(c);
        }
    }
    return 0;
}
