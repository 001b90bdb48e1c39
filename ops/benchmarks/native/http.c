/* HTTP/1.1: tokens, interactions, the upgrade to a stream, and the pages for the benchmarks. */
#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <strings.h>

#include "server.h"

enum { MAX_REQUEST = 1 << 20, MAX_TARGET = 4096, TOKEN_PADDING = 900 };

uint64_t interactions_made;
Interaction interactions[RING];

typedef struct {
    char method[8], target[MAX_TARGET];
    const char *head, *body; /* the head ends with a zero byte */
    size_t body_size;
} Request;

/* -- reading -- */

/* Copies a header's value; returns false if the request does not have the header. */
static bool header(const Request *r, const char *name, char *value, size_t room) {
    size_t size = strlen(name);
    for (const char *line = strstr(r->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, size) || line[2 + size] != ':') continue;
        const char *start = line + 3 + size, *end;
        while (*start == ' ' || *start == '\t') start++;
        if (!(end = strstr(start, "\r\n"))) end = start + strlen(start);
        snprintf(value, room, "%.*s", (int)(end - start), start);
        return true;
    }
    return false;
}

static bool ends_with(const char *text, size_t size, const char *end) {
    size_t n = strlen(end);
    return size >= n && !memcmp(text + size - n, end, n);
}

/* Copies the text of a JSON member that follows `from`. This is no full parser, but suffices for Corti's clients. */
static void json_text(const char *from, const char *key, char *value, size_t room) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    value[0] = 0;
    const char *at = from ? strstr(from, quoted) : NULL;
    if (!at || !(at = strchr(at + strlen(quoted), ':'))) return;
    while (isspace((unsigned char)*++at)) {}
    if (*at++ != '"') return;
    size_t n = 0;
    /* Escapes stay as they are, because the value is only written into JSON again. */
    for (; *at && *at != '"' && n + 2 < room; at++) {
        if (*at == '\\' && at[1]) value[n++] = *at++;
        value[n++] = *at;
    }
    value[n] = 0;
}

static double query_number(const char *target, const char *name, double otherwise) {
    size_t size = strlen(name);
    for (const char *at = strchr(target, '?'); at; at = strchr(at + 1, '&'))
        if (!strncmp(at + 1, name, size) && at[1 + size] == '=') return atof(at + 2 + size);
    return otherwise;
}

/* -- answering -- */

static void answer(Connection *c, const char *status, const char *extra, const Buffer *body) {
    buffer_printf(&c->out, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, extra, body->size);
    buffer_add(&c->out, body->data, body->size);
}

__attribute__((format(printf, 3, 4))) static void answer_json(Connection *c, const char *status,
                                                              const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    Buffer body = {text, (size_t)size, sizeof text};
    answer(c, status, "Content-Type: application/json\r\n", &body);
}

static void refuse(Connection *c, const char *status, const char *detail) {
    answer_json(c, status, "{\"requestid\":\"bench\",\"status\":%d,\"type\":\"about:blank\",\"detail\":\"%s\"}",
                atoi(status), detail);
}

/* -- tokens: opaque, of the size of real tokens; they contain the time of issue -- */

static const char *token_prefix(void) {
    static char prefix[40];
    unsigned char random[8];
    if (!prefix[0]) {
        RAND_bytes(random, sizeof random);
        int n = snprintf(prefix, sizeof prefix, "bench.");
        for (int i = 0; i < 8; i++) n += snprintf(prefix + n, sizeof prefix - (size_t)n, "%02x", random[i]);
        snprintf(prefix + n, sizeof prefix - (size_t)n, ".");
    }
    return prefix;
}

static void give_token(Connection *c, const Request *r) {
    if (!r->body_size || !strstr(r->body, "grant_type=client_credentials")) {
        answer_json(c, "400 Bad Request", "{\"error\":\"unsupported_grant_type\"}");
        return;
    }
    counters.tokens++;
    unsigned char random[TOKEN_PADDING / 2];
    char padding[TOKEN_PADDING + 1];
    RAND_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) sprintf(padding + 2 * i, "%02x", random[i]);
    answer_json(c, "200 OK",
                "{\"access_token\":\"%s%.3f.%s\",\"expires_in\":%g,\"refresh_expires_in\":0,"
                "\"token_type\":\"Bearer\",\"not-before-policy\":0,\"scope\":\"openid email profile\"}",
                token_prefix(), monotonic(), padding, options.token_lifetime);
}

static bool token_good(const char *token) {
    size_t size = strlen(token_prefix());
    return !strncmp(token, token_prefix(), size) && monotonic() < atof(token + size) + options.token_lifetime;
}

static bool authorized(const Request *r) {
    char value[2048];
    return header(r, "Authorization", value, sizeof value) && !strncmp(value, "Bearer ", 7) &&
           token_good(value + 7);
}

static bool authorized_by_query(const Request *r) {
    const char *at = strstr(r->target, "&token=Bearer");
    if (!at && !(at = strstr(r->target, "?token=Bearer"))) return false;
    at += strlen("&token=Bearer");
    return token_good(*at == '+' ? at + 1 : strncmp(at, "%20", 3) ? at : at + 3);
}

/* -- interactions -- */

/* The id contains the serial number, so that the interaction is found without an index. */
static Interaction *find_interaction(const char *id) {
    char serial[9] = {0};
    memcpy(serial, id, 8);
    Interaction *found = &interactions[strtoul(serial, NULL, 16) % RING];
    return strncmp(found->id, id, ID_SIZE - 1) ? NULL : found;
}

static void stream_url(const Interaction *i, char *url, size_t room) {
    snprintf(url, room, "wss://127.0.0.1:%d/audio-bridge/v2/interactions/%s/streams?tenant-name=base",
             options.port, i->id);
}

static void create_interaction(Connection *c, const Request *r) {
    char identifier[NAME_SIZE], url[256];
    json_text(r->body_size ? strstr(r->body, "\"encounter\"") : NULL, "identifier", identifier, sizeof identifier);
    if (!identifier[0]) {
        refuse(c, "400 Bad Request", "encounter.identifier is required");
        return;
    }
    uint8_t x[12];
    RAND_bytes(x, sizeof x);
    uint64_t serial = interactions_made++;
    Interaction *i = &interactions[serial % RING];
    snprintf(i->id, ID_SIZE, "%08x-%02x%02x-4%01x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", (unsigned)serial, x[0],
             x[1], x[2] & 15, x[3], (x[4] & 63) | 128, x[5], x[6], x[7], x[8], x[9], x[10], x[11]);
    strcpy(i->identifier, identifier);
    i->created_at = monotonic();
    i->created = time(NULL);
    counters.interactions++;
    stream_url(i, url, sizeof url);
    answer_json(c, "201 Created", "{\"interactionId\":\"%s\",\"websocketUrl\":\"%s\"}", i->id, url);
}

static void write_item(Buffer *out, const Interaction *i) {
    char at[32], url[256];
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", gmtime(&i->created));
    stream_url(i, url, sizeof url);
    buffer_printf(out,
                  "{\"id\":\"%s\",\"encounter\":{\"identifier\":\"%s\",\"status\":\"planned\","
                  "\"type\":\"consultation\",\"title\":\"\"},\"createdAt\":\"%s\",\"updatedAt\":\"%s\","
                  "\"endedAt\":null,\"websocketUrl\":\"%s\"}",
                  i->id, i->identifier, at, at, url);
}

/* Lists interactions newest first, and ignores a requested order: clients use only this order. */
static void list_interactions(Connection *c, const Request *r) {
    double size = query_number(r->target, "pageSize", 10), index = query_number(r->target, "index", 1);
    uint64_t kept = interactions_made < RING ? interactions_made : RING;
    uint64_t from = size >= 1 && index >= 1 ? (uint64_t)(size * (index - 1)) : kept;
    Buffer body = {0};
    buffer_printf(&body, "{\"interactions\":[");
    for (uint64_t n = from; n < kept && (double)(n - from) < size; n++) {
        if (n > from) buffer_add(&body, ",", 1);
        write_item(&body, &interactions[(interactions_made - 1 - n) % RING]);
    }
    buffer_printf(&body, "]}");
    answer(c, "200 OK", "Content-Type: application/json\r\n", &body);
    buffer_free(&body);
}

static void upgrade(Connection *c, const Request *r, const Interaction *i) {
    char key[64];
    if (!header(r, "Sec-WebSocket-Key", key, sizeof key - 1)) {
        refuse(c, "426 Upgrade Required", "a stream is a WebSocket");
        return;
    }
    char text[128];
    unsigned char digest[SHA_DIGEST_LENGTH], accept[64];
    int size = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    SHA1((unsigned char *)text, (size_t)size, digest);
    EVP_EncodeBlock(accept, digest, sizeof digest);
    buffer_printf(&c->out,
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Accept: %s\r\n\r\n",
                  accept);
    stream_open(c, i);
}

static void on_interactions(Connection *c, const Request *r, const char *rest, size_t size) {
    bool streams = size >= ID_SIZE - 1 && ends_with(rest, size, "/streams");
    if (!(streams ? authorized_by_query(r) : authorized(r))) {
        Buffer nothing = {0}; /* PROTOCOL.md 2.4: no body */
        answer(c, "401 Unauthorized", "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n", &nothing);
        return;
    }
    bool post = !strcmp(r->method, "POST");
    if (!size) {
        if (post) create_interaction(c, r);
        else list_interactions(c, r);
        return;
    }
    Interaction *found = size >= ID_SIZE - 1 ? find_interaction(rest) : NULL;
    Buffer body = {0};
    if (!found) {
        refuse(c, "404 Not Found", "no such interaction");
    } else if (streams) {
        upgrade(c, r, found);
    } else if (!strcmp(r->method, "DELETE")) {
        answer(c, "204 No Content", "", &body);
    } else {
        write_item(&body, found);
        answer(c, "200 OK", "Content-Type: application/json\r\n", &body);
    }
    buffer_free(&body);
}

static void on_request(Connection *c, const Request *r) {
    static const char collection[] = "/interactions";
    size_t size = strcspn(r->target, "?");
    bool post = !strcmp(r->method, "POST");
    char path[MAX_TARGET];
    snprintf(path, sizeof path, "%.*s", (int)size, r->target);
    const char *rest = strstr(path, collection);
    if (post && ends_with(path, size, "/protocol/openid-connect/token")) {
        give_token(c, r);
    } else if (rest) {
        rest += sizeof collection - 1;
        rest += *rest == '/';
        on_interactions(c, r, rest, strlen(rest));
    } else if (!strcmp(path, "/stats") || !strcmp(path, "/streams")) {
        Buffer body = {0};
        if (path[4] == 't') write_stats(&body);
        else write_streams(&body);
        answer(c, "200 OK", "Content-Type: application/json\r\n", &body);
        buffer_free(&body);
    } else if (post && !strcmp(path, "/reset")) {
        reset_counters();
        answer_json(c, "200 OK", "{}");
    } else {
        refuse(c, "404 Not Found", "no such page");
    }
}

bool http_take(Connection *c) {
    for (;;) {
        if (c->in.size > MAX_REQUEST) return false;
        /* The zero byte lets the head and the body be read as strings. It does not count as received. */
        buffer_reserve(&c->in, 1);
        c->in.data[c->in.size] = 0;
        char *end = strstr(c->in.data, "\r\n\r\n");
        if (!end) return true;
        Request r = {.head = c->in.data, .body = end + 4};
        *end = 0;
        char value[64];
        if (header(&r, "Content-Length", value, sizeof value)) r.body_size = strtoul(value, NULL, 10);
        size_t whole = (size_t)(r.body - c->in.data) + r.body_size;
        if (r.body_size > MAX_REQUEST || header(&r, "Transfer-Encoding", value, sizeof value)) {
            refuse(c, "411 Length Required", "send a Content-Length");
            c->last = true;
            return true;
        }
        if (whole > c->in.size) {
            *end = '\r';
            return true;
        }
        char after = c->in.data[whole];
        c->in.data[whole] = 0;
        if (sscanf(r.head, "%7s %4095s", r.method, r.target) != 2) return false;
        on_request(c, &r);
        if (header(&r, "Connection", value, sizeof value) && !strcasecmp(value, "close")) c->last = true;
        c->in.data[whole] = after;
        c->in.size -= whole;
        memmove(c->in.data, c->in.data + whole, c->in.size);
        if (!c->in.size) buffer_free(&c->in);
        if (c->stream || c->last || !c->in.size) return true;
    }
}
