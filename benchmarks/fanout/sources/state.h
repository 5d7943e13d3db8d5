/* What all parts of the load share: options, clients, counters, clocks. */

#ifndef STATE_H
#define STATE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define RING (1u << 16)         /* broadcasts that can be on their way */
#define INPUT (1u << 18)        /* bytes of one read */
#define LARGE (INPUT / 2)       /* a payload that is skipped, not looked at */
#define EVENTS 256              /* of one epoll_wait() */
#define STEPS 8                 /* of joining, at most */
#define SHORTEST 9              /* bytes of a body */
#define EXTENSION "permessage-deflate"
#define OFFER "Sec-WebSocket-Extensions: " EXTENSION \
    "; server_no_context_takeover; client_no_context_takeover\r\n"
#define SLOW_MOST 64            /* slow members at a time */
#define PATIENCE 15.0           /* seconds for whatever must happen */
#define SECOND 1000000000ull

enum state { CONNECTING, UPGRADING, JOINING, MEMBER, SLOW };

struct client {
    int fd;
    unsigned number;
    enum state state;
    int step;
    int is_slow;
    uint32_t wanted;            /* the number that is due next */
    uint64_t asked;             /* when, for an echo */
    uint64_t skipped;           /* bytes still to come of a large frame */
    char *held;                 /* the beginning of a frame */
    size_t holds, room;
};

struct text {
    const char *before, *after;
};

struct snapshot {
    uint64_t at, own, server, messages, deliveries, completed, bytes, reads;
};

static const unsigned char MASK[4] = {0x5a, 0x17, 0xc3, 0x88};

static const char *path = "/";
static const char *step_sends[STEPS], *step_wants[STEPS];
static int steps;
static struct text say = {"", ""}, ask = {"", ""};
static const char *ping_text, *pong_text;
static int is_batch, is_deflating;
static unsigned senders = 1, most_pending = 64;
static double warm = 0.3;
static pid_t server;
static int port;

static int poll_fd;
static struct client **clients;
static unsigned client_count, client_room, members, member_room, slow_count;
static struct client *slow_list[SLOW_MOST];
static struct client **member_list;
static unsigned pending;
static struct in_addr source;

static char input[INPUT + 64];
static char *frame;
static size_t frame_room;
static char *burst;             /* what its sender is about to send */
static size_t burst_size, burst_room;
static struct client *burst_sender;

static uint32_t next_number, outstanding, left_at_once;
static uint32_t missing[RING];
static uint64_t sent_at[RING];
static int is_counting, is_ending, is_echo;
static size_t body_size;
static uint64_t messages, deliveries, completed, bytes, reads, disordered;
static uint64_t last_input;

__attribute__((noreturn, format(printf, 1, 2)))
static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void *grown(void *old, size_t size) {
    void *new = realloc(old, size);
    if (!new) fail("no memory");
    return new;
}

/* Returns a list that has room for one more. */
static void *with_room(void *list, unsigned count, unsigned *room, size_t size) {
    if (count < *room) return list;
    *room = *room ? *room * 2 : 1024;
    return grown(list, *room * size);
}

static uint64_t read_clock(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time)) return 0;
    return time.tv_sec * SECOND + time.tv_nsec;
}

static uint64_t now(void) { return read_clock(CLOCK_MONOTONIC); }

static uint64_t server_time(void) {
    clockid_t clock;
    if (!server || clock_getcpuclockid(server, &clock)) return 0;
    return read_clock(clock);
}

static struct snapshot look(void) {
    return (struct snapshot){
        now(), read_clock(CLOCK_PROCESS_CPUTIME_ID), server_time(),
        messages, deliveries, completed, bytes, reads,
    };
}

#endif
