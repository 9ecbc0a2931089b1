/*
 * The static upstream behind every proxy that is measured: one thread, one epoll, HTTP/1.1 with keep-alive on a unix
 * socket. It does as little as it can, so that what a run shows is the proxy's cost and not the engine's.
 *
 * It answers by the last segment of the path, so the real engine paths can be used and take each proxy's usual way:
 *
 *   GET  …/json                  small fixed JSON answer
 *   GET  …/get?bytes=N           N zero bytes with a Content-Length
 *   POST …/load                  reads the whole body (Content-Length or chunked), answers how long it was
 *   POST …/attach?up=N           101, reads N bytes, answers "done\n"
 *   POST …/attach?down=N         101, sends N zero bytes
 *   POST …/attach                101, echoes
 *   GET  …/events                headers, then silence until the client leaves
 *
 * Usage: upstream SOCKET
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define BLOCK (256 * 1024)
#define TURN_MAX (4 * 1024 * 1024) /* bytes one connection may move before the others get their turn */

static const char JSON[] =
    "[{\"Id\":\"8dfafdbc3a40\",\"Names\":[\"/boring_feynman\"],\"Image\":\"ubuntu:latest\",\"ImageID\":\"d74508fb6632491cea5\","
    "\"Command\":\"echo 1\",\"Created\":1367854155,\"State\":\"Exited\",\"Status\":\"Exit 0\",\"Ports\":[{\"PrivatePort\":2222,"
    "\"PublicPort\":3333,\"Type\":\"tcp\"}],\"Labels\":{\"com.example.vendor\":\"Acme\"},\"SizeRw\":12288,\"SizeRootFs\":0}]\n";

enum state { HEAD, BODY, CHUNKED, ECHO_BACK, COUNT_UP, HOLD };
enum chunk { SIZE, SIZE_LINE, DATA, DATA_END, TRAILER };
enum answer { SMALL, BULK, SINK, TUNNEL, STREAM, MISSING };

struct conn {
    int fd;
    uint32_t events;
    enum state state;
    enum answer answer;
    bool close_after;
    char in[HEAD_MAX + 1];
    size_t in_len;
    char *out; /* text still to be sent */
    size_t out_len, out_off;
    uint64_t zeros; /* zero bytes still to be sent after the text */
    uint64_t body_left, body_seen;
    enum chunk chunk;
    uint64_t chunk_left;
    bool trailer_text;
    uint64_t bytes, up, down;
};

static int loop_fd;
static char zero_block[BLOCK];
static char read_block[BLOCK];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(struct conn *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (c->events == events) return;
    if (epoll_ctl(loop_fd, EPOLL_CTL_MOD, c->fd, &event) < 0) die("epoll_ctl");
    c->events = events;
}

static void drop(struct conn *c) {
    close(c->fd);
    free(c->out);
    free(c);
}

/* Queues text; whatever is queued already stays in front. */
static void queue(struct conn *c, const char *text, size_t len) {
    size_t left = c->out_len - c->out_off;
    char *joined = malloc(left + len);
    if (!joined) die("malloc");
    if (left) memcpy(joined, c->out + c->out_off, left);
    memcpy(joined + left, text, len);
    free(c->out);
    c->out = joined;
    c->out_len = left + len;
    c->out_off = 0;
}

static bool pending(const struct conn *c) { return c->out_off < c->out_len || c->zeros > 0; }

/* Sends what is queued. False when the connection is gone. */
static bool flush_out(struct conn *c) {
    size_t moved = 0;
    while (pending(c) && moved < TURN_MAX) {
        bool text = c->out_off < c->out_len;
        const char *from = text ? c->out + c->out_off : zero_block;
        size_t len = text ? c->out_len - c->out_off : (c->zeros < BLOCK ? (size_t)c->zeros : BLOCK);
        ssize_t n = send(c->fd, from, len, MSG_NOSIGNAL | (text && c->zeros ? MSG_MORE : 0));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN;
        if (text) c->out_off += (size_t)n;
        else c->zeros -= (uint64_t)n;
        moved += (size_t)n;
    }
    return true;
}

static void respond(struct conn *c) {
    char text[1024];
    const char *closing = c->close_after ? "Connection: close\r\n" : "";
    int len = 0;
    switch (c->answer) {
    case SMALL:
        len = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s",
                       sizeof JSON - 1, closing, JSON);
        break;
    case BULK:
        c->zeros = c->bytes;
        len = snprintf(text, sizeof text,
                       "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: %llu\r\n%s\r\n",
                       (unsigned long long)c->bytes, closing);
        break;
    case SINK: {
        char body[64];
        int body_len = snprintf(body, sizeof body, "{\"bytes\":%llu}\n", (unsigned long long)c->body_seen);
        len = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
                       body_len, closing, body);
        break;
    }
    case TUNNEL:
        len = snprintf(text, sizeof text, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
                                          "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
        c->zeros = c->down;
        c->body_left = c->up;
        c->state = c->up ? COUNT_UP : c->down ? HOLD : ECHO_BACK;
        break;
    case STREAM:
        len = snprintf(text, sizeof text,
                       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
        c->state = HOLD;
        break;
    case MISSING:
        len = snprintf(text, sizeof text, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n%s\r\n", closing);
        break;
    }
    queue(c, text, (size_t)len);
}

static uint64_t query_number(const char *query, const char *name, uint64_t otherwise) {
    size_t len = strlen(name);
    for (const char *at = query; at && *at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL)
        if (strncmp(at, name, len) == 0 && at[len] == '=') return strtoull(at + len + 1, NULL, 10);
    return otherwise;
}

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static void route(struct conn *c, const char *method, char *target) {
    char *query = strchr(target, '?');
    if (query) *query++ = 0;
    bool get = strcmp(method, "GET") == 0;
    c->bytes = query_number(query, "bytes", 0);
    c->up = query_number(query, "up", 0);
    c->down = query_number(query, "down", 0);
    if (get && ends_with(target, "/json")) c->answer = SMALL;
    else if (get && ends_with(target, "/get")) c->answer = BULK;
    else if (get && ends_with(target, "/events")) c->answer = STREAM;
    else if (!get && ends_with(target, "/load")) c->answer = SINK;
    else if (!get && ends_with(target, "/attach")) c->answer = TUNNEL;
    else c->answer = MISSING;
}

/* Reads one request head of `len` bytes. False when it is not one. */
static bool read_head(struct conn *c, char *head, size_t len) {
    head[len] = 0;
    char *save_line, *save_word;
    char *line = strtok_r(head, "\r\n", &save_line);
    if (!line) return false;
    char *method = strtok_r(line, " ", &save_word);
    char *target = strtok_r(NULL, " ", &save_word);
    char *version = strtok_r(NULL, " ", &save_word);
    if (!version) return false;
    c->close_after = strcmp(version, "HTTP/1.1") != 0;
    c->body_left = c->body_seen = 0;
    c->state = HEAD;
    route(c, method, target);
    while ((line = strtok_r(NULL, "\r\n", &save_line))) {
        if (strncasecmp(line, "content-length:", 15) == 0) c->body_left = strtoull(line + 15, NULL, 10);
        else if (strncasecmp(line, "transfer-encoding:", 18) == 0 && strcasestr(line + 18, "chunked")) c->state = CHUNKED;
        else if (strncasecmp(line, "connection:", 11) == 0 && strcasestr(line + 11, "close")) c->close_after = true;
    }
    if (c->state == CHUNKED) {
        c->chunk = SIZE;
        c->chunk_left = 0;
    } else if (c->body_left) {
        c->state = BODY;
    }
    return true;
}

/* Walks through a chunked body. Returns the bytes taken; `*ended` says that the last one was the body's last. */
static size_t read_chunked(struct conn *c, const char *data, size_t len, bool *ended) {
    size_t at = 0;
    *ended = false;
    while (at < len) {
        char ch = data[at];
        switch (c->chunk) {
        case SIZE: {
            int digit = ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
            if (digit >= 0) c->chunk_left = c->chunk_left * 16 + (uint64_t)digit;
            else if (ch == '\n') c->chunk = c->chunk_left ? DATA : TRAILER;
            else c->chunk = SIZE_LINE;
            at++;
            break;
        }
        case SIZE_LINE:
            if (ch == '\n') c->chunk = c->chunk_left ? DATA : TRAILER;
            at++;
            c->trailer_text = false;
            break;
        case DATA: {
            size_t take = len - at < c->chunk_left ? len - at : (size_t)c->chunk_left;
            at += take;
            c->body_seen += take;
            c->chunk_left -= take;
            if (!c->chunk_left) c->chunk = DATA_END;
            break;
        }
        case DATA_END:
            if (ch == '\n') c->chunk = SIZE;
            at++;
            break;
        case TRAILER:
            at++;
            if (ch == '\n' && !c->trailer_text) {
                *ended = true;
                return at;
            }
            c->trailer_text = ch == '\n' ? false : ch == '\r' ? c->trailer_text : true;
            break;
        }
    }
    return at;
}

/* Hands received bytes to the state they belong to. False when the connection must go. */
static bool feed(struct conn *c, const char *data, size_t len) {
    while (len > 0) {
        if (c->state == HEAD) {
            size_t room = HEAD_MAX - c->in_len, take = len < room ? len : room, before = c->in_len;
            memcpy(c->in + before, data, take);
            c->in_len += take;
            char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
            if (!end) {
                if (c->in_len == HEAD_MAX) return false;
                return true;
            }
            size_t head = (size_t)(end - c->in) + 4, used = head - before;
            c->in_len = 0;
            if (!read_head(c, c->in, head)) return false;
            data += used;
            len -= used;
            if (c->state == HEAD) respond(c);
        } else if (c->state == BODY || c->state == COUNT_UP) {
            size_t take = len < c->body_left ? len : (size_t)c->body_left;
            c->body_left -= take;
            c->body_seen += take;
            data += take;
            len -= take;
            if (c->body_left) continue;
            if (c->state == COUNT_UP) {
                queue(c, "done\n", 5);
                c->state = HOLD;
            } else {
                c->state = HEAD;
                respond(c);
            }
        } else if (c->state == CHUNKED) {
            bool ended;
            size_t take = read_chunked(c, data, len, &ended);
            data += take;
            len -= take;
            if (ended) {
                c->state = HEAD;
                respond(c);
            }
        } else if (c->state == ECHO_BACK) {
            queue(c, data, len);
            return true;
        } else {
            return true; /* HOLD: nothing more is expected, whatever comes is ignored */
        }
    }
    return true;
}

static bool read_in(struct conn *c) {
    size_t moved = 0;
    while (moved < TURN_MAX) {
        ssize_t n = recv(c->fd, read_block, sizeof read_block, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN;
        if (n == 0) return false;
        if (!feed(c, read_block, (size_t)n)) return false;
        moved += (size_t)n;
        if ((size_t)n < sizeof read_block || pending(c)) return true;
    }
    return true;
}

static void serve(struct conn *c, uint32_t happened) {
    bool alive = true;
    if (happened & (EPOLLIN | EPOLLHUP | EPOLLERR)) alive = read_in(c);
    if (alive && pending(c)) alive = flush_out(c);
    if (alive && !pending(c) && c->close_after && c->state == HEAD && c->out_len) alive = false;
    if (!alive) {
        drop(c);
        return;
    }
    if (!pending(c)) c->out_len = c->out_off = 0;
    /* While an answer waits for room nothing more is read: that is the back-pressure. */
    watch(c, pending(c) ? EPOLLOUT : EPOLLIN);
}

static void welcome(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            die("accept4");
        }
        struct conn *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        c->events = EPOLLIN;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(loop_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: upstream SOCKET\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* never outlive the benchmark */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(argv[1]) >= sizeof address.sun_path) {
        fprintf(stderr, "upstream: the socket's path is too long\n");
        return 2;
    }
    strcpy(address.sun_path, argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) die("socket");
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (chmod(argv[1], 0666) < 0) die("chmod"); /* the proxies' workers run as other users */
    if (listen(listener, 4096) < 0) die("listen");
    loop_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop_fd < 0) die("epoll_create1");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(loop_fd, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    struct epoll_event happened[256];
    for (;;) {
        int n = epoll_wait(loop_fd, happened, 256, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (happened[i].data.ptr) serve(happened[i].data.ptr, happened[i].events);
            else welcome(listener);
        }
    }
}
