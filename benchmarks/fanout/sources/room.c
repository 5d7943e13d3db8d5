/* A room in C: what the system calls of a fan-out cost, and nothing else.
 *
 *     room send|join
 *
 * Prints its port and serves until its standard input ends. Each client is told
 * "hello". What one sends goes to all clients, to the sender too; from clients that
 * connected to /echo it comes back to them alone. With "send", each message is one
 * send() for each member; with "join", the messages of one turn of the event loop are
 * joined to one send() for each member. What a socket does not take waits, and is
 * bounded by nothing.
 *
 * One thread, one epoll. It speaks of RFC 6455 what a benchmark needs: whole text
 * frames, pings, the end.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT (1u << 18)
#define EVENTS 256
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct buffer {
    char *data;
    size_t size, room;
};

struct member {
    int fd;
    int is_open, is_echo;
    unsigned place;
    struct buffer held;         /* the beginning of a frame */
    struct buffer unsent;
};

static int poll_fd, listener, is_joining;
static struct member **room;
static unsigned room_size, room_room;
static struct buffer turn_frames; /* of this turn, for everybody */
static char input[INPUT];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void append(struct buffer *buffer, const void *data, size_t size) {
    if (buffer->size + size > buffer->room) {
        buffer->room = (buffer->size + size) * 2;
        buffer->data = realloc(buffer->data, buffer->room);
        if (!buffer->data) fail("realloc");
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

static void watch(struct member *member, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = member};
    if (epoll_ctl(poll_fd, operation, member->fd, &event)) fail("epoll_ctl");
}

/* The handshake: SHA-1 as in RFC 3174, Base64 as in RFC 4648 */

static uint32_t rotated(uint32_t value, int by) {
    return value << by | value >> (32 - by);
}

static void hash_block(uint32_t state[5], const unsigned char *block) {
    uint32_t w[80], v[5];
    int i;
    for (i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16
            | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (; i < 80; i++) w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(v, state, sizeof v);
    for (i = 0; i < 80; i++) {
        uint32_t mixed, constant, next;
        if (i < 20) {
            mixed = (v[1] & v[2]) | (~v[1] & v[3]);
            constant = 0x5a827999;
        } else if (i < 40) {
            mixed = v[1] ^ v[2] ^ v[3];
            constant = 0x6ed9eba1;
        } else if (i < 60) {
            mixed = (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]);
            constant = 0x8f1bbcdc;
        } else {
            mixed = v[1] ^ v[2] ^ v[3];
            constant = 0xca62c1d6;
        }
        next = rotated(v[0], 5) + mixed + v[4] + w[i] + constant;
        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotated(v[1], 30);
        v[1] = v[0];
        v[0] = next;
    }
    for (i = 0; i < 5; i++) state[i] += v[i];
}

/* Hashes at most 119 bytes. */
static void hash(const char *data, size_t size, unsigned char digest[20]) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char blocks[128] = {0};
    size_t whole = size + 9 <= 64 ? 64 : 128, i;
    memcpy(blocks, data, size);
    blocks[size] = 0x80;
    blocks[whole - 2] = size * 8 >> 8;
    blocks[whole - 1] = size * 8;
    for (i = 0; i < whole; i += 64) hash_block(state, blocks + i);
    for (i = 0; i < 20; i++) digest[i] = state[i / 4] >> (24 - 8 * (i % 4));
}

static void encode(const unsigned char digest[20], char text[29]) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char padded[21] = {0};
    int i;
    memcpy(padded, digest, 20);
    for (i = 0; i < 28; i++) {
        int bit = i * 6, at = bit / 8;
        unsigned pair = padded[at] << 8 | (at < 20 ? padded[at + 1] : 0);
        text[i] = letters[pair >> (10 - bit % 8) & 63];
    }
    text[27] = '=';
    text[28] = 0;
}

/* Writing */

static void leave(struct member *member) {
    room[member->place] = room[--room_size];
    room[member->place]->place = member->place;
    close(member->fd);
    free(member->held.data);
    free(member->unsent.data);
    free(member);
}

static void write_out(struct member *member, const char *data, size_t size) {
    ssize_t sent = 0;
    if (!member->unsent.size) {
        sent = send(member->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) return; /* its end will be read */
            sent = 0;
        }
        if ((size_t)sent == size) return;
        watch(member, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    }
    append(&member->unsent, data + sent, size - sent);
}

static void write_on(struct member *member) {
    struct buffer *unsent = &member->unsent;
    ssize_t sent = send(member->fd, unsent->data, unsent->size, MSG_NOSIGNAL);
    if (sent <= 0) return;
    unsent->size -= sent;
    memmove(unsent->data, unsent->data + sent, unsent->size);
    if (!unsent->size) watch(member, EPOLLIN, EPOLL_CTL_MOD);
}

static void write_to_all(const char *data, size_t size) {
    unsigned i;
    for (i = 0; i < room_size; i++)
        if (room[i]->is_open && !room[i]->is_echo) write_out(room[i], data, size);
}

/* Reading */

static void take_message(struct member *member, int opcode, char *payload,
                         size_t size) {
    /* a server's head is no longer than the client's, which has a mask */
    char *start;
    size_t i;
    if (size < 126) {
        start = payload - 2;
        start[1] = size;
    } else if (size < 65536) {
        start = payload - 4;
        start[1] = 126;
        start[2] = size >> 8;
        start[3] = size;
    } else {
        start = payload - 10;
        start[1] = 127;
        for (i = 0; i < 8; i++) start[2 + i] = (uint64_t)size >> (56 - 8 * i);
    }
    start[0] = (char)(0x80 | opcode);
    size += payload - start;
    if (member->is_echo || opcode == 10)
        write_out(member, start, size);
    else if (is_joining)
        append(&turn_frames, start, size);
    else
        write_to_all(start, size);
}

/* Returns how many bytes were whole frames, -1 at the end. */
static ssize_t take_frames(struct member *member, char *data, size_t size) {
    size_t at = 0;
    while (size - at >= 2) {
        unsigned char *head = (unsigned char *)data + at;
        size_t start = 2, i;
        uint64_t length = head[1] & 0x7f;
        int opcode = head[0] & 15;
        char *payload;
        if (!(head[0] & 0x80) || !(head[1] & 0x80) || opcode == 8) return -1;
        if (length >= 126) {
            size_t width = length == 126 ? 2 : 8;
            if (size - at < 2 + width) break;
            for (length = 0, i = 0; i < width; i++) length = length << 8 | head[2 + i];
            start += width;
        }
        if (length > INPUT / 2) return -1;
        if (size - at < start + 4 + length) break;
        payload = data + at + start + 4;
        for (i = 0; i < length; i++) payload[i] ^= payload[(int)(i & 3) - 4];
        at += start + 4 + length;
        if (opcode == 9) opcode = 10;
        else if (opcode == 10) continue;
        take_message(member, opcode, payload, length);
    }
    return at;
}

static ssize_t take_request(struct member *member, char *data, size_t size) {
    static const char name[] = "sec-websocket-key:";
    char *end = memmem(data, size, "\r\n\r\n", 4), *key, keyed[96], accept[29];
    char answer[256];
    unsigned char digest[20];
    int length;
    if (!end) return 0;
    *end = 0;
    key = strcasestr(data, name);
    if (!key || sscanf(key + sizeof name - 1, " %32s", keyed) != 1) return -1;
    strcat(keyed, ACCEPT_GUID);
    hash(keyed, strlen(keyed), digest);
    encode(digest, accept);
    length = snprintf(answer, sizeof answer,
                      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                      accept);
    member->is_echo = !strncmp(data, "GET /echo", 9);
    member->is_open = 1;
    write_out(member, answer, length);
    write_out(member, "\x81\x05hello", 7);
    return end + 4 - data;
}

static void receive(struct member *member) {
    size_t size = member->held.size;
    ssize_t taken = 0, more, got;
    if (size) memcpy(input, member->held.data, size);
    got = recv(member->fd, input + size, INPUT - size, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        leave(member);
        return;
    }
    size += got;
    member->held.size = 0;
    if (!member->is_open) taken = take_request(member, input, size);
    if (member->is_open && taken >= 0) {
        more = take_frames(member, input + taken, size - taken);
        taken = more < 0 ? more : taken + more;
    }
    if (taken < 0)
        leave(member);
    else if ((size_t)taken < size)
        append(&member->held, input + taken, size - taken);
}

static void accept_all(void) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct member *member = calloc(1, sizeof *member);
        if (!member) fail("calloc");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        member->fd = fd;
        if (room_size == room_room) {
            room_room = room_room ? room_room * 2 : 1024;
            room = realloc(room, room_room * sizeof *room);
            if (!room) fail("realloc");
        }
        member->place = room_size;
        room[room_size++] = member;
        watch(member, EPOLLIN, EPOLL_CTL_ADD);
    }
}

static void listen_somewhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024))
        fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(int count, char **values) {
    struct member stands_for_listener = {0}, stands_for_input = {0};
    struct epoll_event events[EVENTS];
    struct rlimit limit;
    int i;
    is_joining = count == 2 && !strcmp(values[1], "join");
    if (!is_joining && (count != 2 || strcmp(values[1], "send"))) {
        fputs("usage: room send|join\n", stderr);
        return 2;
    }
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    poll_fd = epoll_create1(0);
    listen_somewhere();
    stands_for_listener.fd = listener;
    watch(&stands_for_listener, EPOLLIN, EPOLL_CTL_ADD);
    stands_for_input.fd = STDIN_FILENO;
    watch(&stands_for_input, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        int ready = epoll_wait(poll_fd, events, EVENTS, -1);
        for (i = 0; i < ready; i++) {
            struct member *member = events[i].data.ptr;
            if (member == &stands_for_input) return 0;
            if (member == &stands_for_listener) {
                accept_all();
            } else {
                if (events[i].events & EPOLLOUT) write_on(member);
                if (events[i].events & ~EPOLLOUT) receive(member);
            }
        }
        if (turn_frames.size) write_to_all(turn_frames.data, turn_frames.size);
        turn_frames.size = 0;
    }
}
