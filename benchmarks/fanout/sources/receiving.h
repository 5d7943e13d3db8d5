/* What clients receive: the answer to a handshake, frames, messages, deliveries. */

#ifndef RECEIVING_H
#define RECEIVING_H

#include "inflate.h"
#include "latencies.h"
#include "sending.h"
#include "state.h"

static uint32_t read_number(const char *text) {
    uint32_t number = 0;
    int i;
    for (i = 0; i < 8; i++) {
        unsigned digit = (unsigned char)text[i];
        number = number << 4 | (digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    return number;
}

static void note_delivery(struct client *client, uint32_t number) {
    uint32_t *left = &missing[number % RING];
    if (number != client->wanted) disordered++;
    client->wanted = number + 1;
    deliveries++;
    if (is_counting)
        note_latency(last_input - sent_at[number % RING]);
    if (!*left) fail("client %u got broadcast %u too often", client->number, number);
    if (!--*left) {
        completed++;
        outstanding--;
        left_at_once++;
    }
}

static void note_answer(struct client *client, uint32_t number) {
    if (number != client->wanted) disordered++;
    client->wanted++;
    deliveries++;
    completed++;
    outstanding--;
    if (is_counting) note_latency(last_input - client->asked);
    if (!is_ending) request(client);
}

static void add_member(struct client *client) {
    pending--;
    if (client->is_slow) {
        client->state = SLOW;
        if (epoll_ctl(poll_fd, EPOLL_CTL_DEL, client->fd, NULL)) fail("epoll_ctl");
        if (slow_count == SLOW_MOST) fail("more than %d are slow", SLOW_MOST);
        slow_list[slow_count++] = client;
        return;
    }
    client->state = MEMBER;
    client->wanted = next_number;
    member_list = with_room(member_list, members, &member_room, sizeof *member_list);
    member_list[members++] = client;
}

static void take_step(struct client *client) {
    char text[4096];
    while (client->step < steps) {
        const char *from = step_sends[client->step], *number = strstr(from, "%n");
        int size;
        if (number)
            size = snprintf(text, sizeof text, "%.*s%u%s", (int)(number - from), from,
                            client->number, number + 2);
        else
            size = snprintf(text, sizeof text, "%s", from);
        if (size >= (int)sizeof text) fail("a step is too long");
        if (size) send_text(client, text, size);
        if (*step_wants[client->step]) return;
        client->step++;
    }
    add_member(client);
}

static void take_message(struct client *client, const char *data, size_t size) {
    const char *body;
    messages++;
    if (client->state == MEMBER && (body = memchr(data, '~', size))) {
        if (data + size - body < SHORTEST) fail("a body was cut off");
        if (is_echo)
            note_answer(client, read_number(body + 1));
        else
            note_delivery(client, read_number(body + 1));
    } else if (ping_text && size == strlen(ping_text)
               && !memcmp(data, ping_text, size)) {
        send_text(client, pong_text, strlen(pong_text));
    } else if (client->state == JOINING) {
        const char *want = step_wants[client->step];
        if (memmem(data, size, want, strlen(want))) {
            client->step++;
            take_step(client);
        }
    }
}

static void take_frame(struct client *client, int opcode, const char *data,
                       size_t size) {
    const char *end;
    switch (opcode) {
    case 1:
    case 2:
        while (is_batch && (end = memchr(data, '\n', size))) {
            take_message(client, data, end - data);
            size -= end + 1 - data;
            data = end + 1;
        }
        take_message(client, data, size);
        break;
    case 8:
        fail("client %u was closed with %d: %.*s", client->number,
             size < 2 ? 1005 : (unsigned char)data[0] << 8 | (unsigned char)data[1],
             size < 2 ? 0 : (int)(size - 2), data + 2);
    case 9:
        memcpy(frame_for(size), data, size);
        send_frame(client, 10, size);
        break;
    case 10:
        break;
    default:
        fail("client %u got a frame with opcode %d", client->number, opcode);
    }
}

static void take_compressed(struct client *client, const char *data, size_t size) {
    size_t text_size = 0;
    const char *text = inflated(data, size, &text_size);
    if (!text) fail("client %u got what cannot be inflated", client->number);
    take_frame(client, 1, text, text_size);
}

/* Returns how many bytes were whole frames. */
static size_t take_frames(struct client *client, const char *data, size_t size) {
    size_t at = 0;
    while (size - at >= 2) {
        const unsigned char *head = (const unsigned char *)data + at;
        size_t start = 2, i;
        uint64_t length = head[1];
        if (!(head[0] & 0x80)) fail("client %u got a fragment", client->number);
        if (head[0] & (is_deflating ? 0x30 : 0x70))
            fail("client %u got a reserved bit", client->number);
        if (length & 0x80) fail("client %u got a masked frame", client->number);
        if (length >= 126) {
            size_t width = length == 126 ? 2 : 8;
            if (size - at < 2 + width) break;
            for (length = 0, i = 0; i < width; i++) length = length << 8 | head[2 + i];
            start += width;
        }
        if (length > size - at - start) {
            if (length <= LARGE) break;
            client->skipped = length - (size - at - start);
            messages++;
            return size;
        }
        if (head[0] & 0x40)
            take_compressed(client, data + at + start, length);
        else
            take_frame(client, head[0] & 15, data + at + start, length);
        at += start + length;
    }
    return at;
}

static size_t take_answer(struct client *client, const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    if (strncmp(data, "HTTP/1.1 101", 12))
        fail("the handshake was answered with %.*s", (int)(end - data), data);
    if (is_deflating && !memmem(data, end - data, EXTENSION, strlen(EXTENSION)))
        fail("the server does not compress");
    client->state = JOINING;
    take_step(client);
    return end + 4 - data;
}

static void receive(struct client *client) {
    size_t size = client->holds, taken = 0;
    ssize_t got;
    if (size) memcpy(input, client->held, size);
    got = recv(client->fd, input + size, INPUT - size, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0)
        fail("client %u was cut off: %s", client->number,
             got ? strerror(errno) : "end of file");
    last_input = now();
    bytes += got;
    reads++;
    if (client->skipped) {
        uint64_t skipped = got;
        if (skipped > client->skipped) skipped = client->skipped;
        client->skipped -= skipped;
        taken = skipped;
    }
    size += got;
    if (client->state == UPGRADING) taken = take_answer(client, input, size);
    if (client->state != UPGRADING)
        taken += take_frames(client, input + taken, size - taken);
    client->holds = size - taken;
    if (client->holds > client->room)
        client->held = grown(client->held, client->room = client->holds + 512);
    if (client->holds) memcpy(client->held, input + taken, client->holds);
}

#endif
