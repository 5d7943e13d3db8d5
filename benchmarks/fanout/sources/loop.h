/* How clients connect, and the loop that reads from all of them. */

#ifndef LOOP_H
#define LOOP_H

#include "receiving.h"
#include "sending.h"
#include "state.h"

static void watch(struct client *client, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(poll_fd, operation, client->fd, &event)) fail("epoll_ctl");
}

static void connect_one(int is_slow) {
    struct client *client = calloc(1, sizeof *client);
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1, small = 4096;
    if (!client) fail("no memory");
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (is_slow) setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    /* an address of its own: no run meets the ports of an earlier one */
    address.sin_addr = source;
    if (bind(client->fd, (struct sockaddr *)&address, sizeof address))
        fail("bind: %s", strerror(errno));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address)
        && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    client->number = client_count;
    client->is_slow = is_slow;
    clients = with_room(clients, client_count, &client_room, sizeof *clients);
    clients[client_count++] = client;
    pending++;
    watch(client, EPOLLOUT, EPOLL_CTL_ADD);
}

static void upgrade(struct client *client) {
    char head[2048];
    int error = 0, size;
    socklen_t length = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) fail("client %u cannot connect: %s", client->number, strerror(error));
    size = snprintf(head, sizeof head,
                    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: %08uAAAAAAAAAAAAAA==\r\n%s\r\n",
                    path, port, client->number, is_deflating ? OFFER : "");
    if (size >= (int)sizeof head) fail("the path is too long");
    send_whole(client, head, size);
    client->state = UPGRADING;
    watch(client, EPOLLIN, EPOLL_CTL_MOD);
}

/* Returns whether the one file that is no client is readable. */
static int turn(int wait) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poll_fd, events, EVENTS, wait), is_other = 0, i;
    if (count < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
    for (i = 0; i < count; i++) {
        struct client *client = events[i].data.ptr;
        if (!client)
            is_other = 1;
        else if (client->state == CONNECTING)
            upgrade(client);
        else
            receive(client);
    }
    return is_other;
}

static void watch_other(int fd, int operation) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(poll_fd, operation, fd, &event))
        fail("epoll_ctl of %d: %s", fd, strerror(errno));
}

static int start_timer(double rate) {
    uint64_t period = SECOND / rate;
    struct timespec time = {period / SECOND, period % SECOND};
    struct itimerspec setting = {time, time};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (fd < 0 || timerfd_settime(fd, 0, &setting, NULL)) fail("no timer");
    watch_other(fd, EPOLL_CTL_ADD);
    return fd;
}

static uint64_t due(int timer) {
    uint64_t count = 0;
    if (read(timer, &count, sizeof count) < 0) return 0;
    return count;
}

#endif
