/* What clients send: frames that are masked, and bodies with a number in them. */

#ifndef SENDING_H
#define SENDING_H

#include "state.h"

static void send_whole(struct client *client, const char *data, size_t size) {
    ssize_t sent = send(client->fd, data, size, MSG_NOSIGNAL);
    if (sent < 0) fail("client %u cannot send: %s", client->number, strerror(errno));
    if ((size_t)sent != size) fail("the server does not read from client %u",
                                   client->number);
}

/* Masks the payload that lies at frame + 14, where the longest head ends, and puts its
   head before it; returns where that begins. */
static char *finish_frame(int opcode, size_t size) {
    char *payload = frame + 14, *start;
    size_t i;
    for (i = 0; i < size; i++) payload[i] ^= MASK[i & 3];
    memcpy(payload - 4, MASK, 4);
    if (size < 126) {
        start = payload - 6;
        start[1] = 0x80 | size;
    } else if (size < 65536) {
        start = payload - 8;
        start[1] = (char)(0x80 | 126);
        start[2] = size >> 8;
        start[3] = size;
    } else {
        start = payload - 14;
        start[1] = (char)(0x80 | 127);
        for (i = 0; i < 8; i++) start[2 + i] = (uint64_t)size >> (56 - 8 * i);
    }
    start[0] = (char)(0x80 | opcode);
    return start;
}

static void send_frame(struct client *client, int opcode, size_t size) {
    char *start = finish_frame(opcode, size);
    send_whole(client, start, frame + 14 + size - start);
}

static char *frame_for(size_t size) {
    if (frame_room < size + 14) frame = grown(frame, frame_room = size + 14);
    return frame + 14;
}

static void send_text(struct client *client, const char *data, size_t size) {
    memcpy(frame_for(size), data, size);
    send_frame(client, 1, size);
}

static void send_burst(void) {
    if (burst_size) send_whole(burst_sender, burst, burst_size);
    burst_size = 0;
}

/* To be followed by send_burst(): what a client says at once is one send(). */
static void add_body(struct client *client, struct text text, uint32_t number) {
    size_t before = strlen(text.before), after = strlen(text.after);
    size_t size = before + body_size + after;
    char *at = frame_for(size), *start, *end = frame + 14 + size;
    int i;
    memcpy(at, text.before, before);
    at += before;
    memset(at, 'x', body_size);
    at[0] = '~';
    for (i = 0; i < 8; i++) at[1 + i] = "0123456789abcdef"[number >> (28 - 4 * i) & 15];
    memcpy(at + body_size, text.after, after);
    start = finish_frame(1, size);
    if (burst_sender != client) send_burst();
    burst_sender = client;
    if (burst_room < burst_size + (end - start))
        burst = grown(burst, burst_room = (burst_size + (end - start)) * 2);
    memcpy(burst + burst_size, start, end - start);
    burst_size += end - start;
}

static void broadcast(void) {
    uint32_t number = next_number++;
    if (outstanding == RING - 1) fail("%u broadcasts are on their way", outstanding);
    missing[number % RING] = members;
    outstanding++;
    sent_at[number % RING] = now();
    add_body(member_list[number % senders], say, number);
}

static void request(struct client *client) {
    client->asked = now();
    outstanding++;
    add_body(client, ask, client->wanted);
    send_burst();
}

#endif
