/* Messages that a server compressed (RFC 7692), each by itself.
 *
 * A room's members get the same bytes, so what was inflated is kept: all but the first
 * of them cost a comparison.
 */

#ifndef INFLATE_H
#define INFLATE_H

#include <stdint.h>
#include <string.h>

#ifdef WITH_ZLIB

#include <zlib.h>

#define CAN_INFLATE 1
#define KEPT 64                 /* a power of two */
#define LONGEST 65536           /* of a message, compressed or not */

struct message {
    size_t packed_size, size;
    char packed[LONGEST], text[LONGEST];
};

static struct message kept[KEPT];

static unsigned place_of(const char *data, size_t size) {
    uint32_t hash = 2166136261u;
    size_t i;
    for (i = 0; i < size; i++) hash = (hash ^ (unsigned char)data[i]) * 16777619u;
    return (hash ^ hash >> 16) & (KEPT - 1);
}

static int is_inflated(struct message *message) {
    static z_stream stream;
    static int is_ready;
    static const char tail[4] = {0, 0, (char)0xff, (char)0xff}; /* RFC 7692, 7.2.2 */
    if (!is_ready && inflateInit2(&stream, -15) != Z_OK) return 0;
    is_ready = 1;
    inflateReset(&stream);
    stream.next_out = (Bytef *)message->text;
    stream.avail_out = LONGEST;
    stream.next_in = (Bytef *)message->packed;
    stream.avail_in = message->packed_size;
    if (inflate(&stream, Z_NO_FLUSH) != Z_OK || stream.avail_in) return 0;
    stream.next_in = (Bytef *)tail;
    stream.avail_in = sizeof tail;
    if (inflate(&stream, Z_SYNC_FLUSH) < 0 || !stream.avail_out) return 0;
    message->size = LONGEST - stream.avail_out;
    return 1;
}

/* Returns what a payload says, NULL if it cannot be inflated. It is good until the next
   call. */
static const char *inflated(const char *data, size_t size, size_t *result) {
    struct message *message = &kept[place_of(data, size)];
    if (size > LONGEST) return NULL;
    if (size != message->packed_size || memcmp(data, message->packed, size)) {
        memcpy(message->packed, data, size);
        message->packed_size = size;
        if (!is_inflated(message)) return NULL;
    }
    *result = message->size;
    return message->text;
}

#else

#define CAN_INFLATE 0

static const char *inflated(const char *data, size_t size, size_t *result) {
    (void)data;
    (void)size;
    (void)result;
    return NULL;
}

#endif

#endif
