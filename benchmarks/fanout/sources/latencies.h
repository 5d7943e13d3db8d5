/* Latencies in buckets that keep their FINE upper bits: an error below one percent. */

#ifndef LATENCIES_H
#define LATENCIES_H

#include <stdint.h>
#include <string.h>

#define FINE 7
#define BUCKETS ((65 - FINE) << FINE)

static uint64_t latencies[BUCKETS];

static unsigned bucket_of(uint64_t value) {
    int exponent;
    if (value < (1u << FINE)) return value;
    exponent = 63 - __builtin_clzll(value) - FINE;
    return ((exponent + 1) << FINE) + (value >> exponent) - (1u << FINE);
}

static double value_of(unsigned bucket) {
    unsigned exponent = bucket >> FINE;
    if (!exponent) return bucket;
    return ((bucket & ((1u << FINE) - 1)) + (1u << FINE) + 0.5)
        * (double)(1ull << (exponent - 1));
}

static void forget_latencies(void) { memset(latencies, 0, sizeof latencies); }

static void note_latency(uint64_t nanoseconds) { latencies[bucket_of(nanoseconds)]++; }

/* In microseconds; 0 if there was none. */
static double percentile(double share) {
    uint64_t total = 0, seen = 0;
    unsigned i;
    for (i = 0; i < BUCKETS; i++) total += latencies[i];
    if (!total) return 0;
    for (i = 0; i < BUCKETS; i++)
        if ((seen += latencies[i]) >= share * total) return value_of(i) / 1e3;
    return 0;
}

#endif
