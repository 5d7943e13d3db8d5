/* A load of WebSocket clients that is lighter than any server it meets.
 *
 *     load [options] PORT PHASE...
 *
 * One thread, one epoll. The phases are run one after the other; each prints one line
 * of JSON. Members are clients that have connected and joined and that read.
 *
 *     join:COUNT[:RATE]        connect and join so many more, RATE per second if given
 *     slow:COUNT[:SIZE:TIMES]  connect and join so many that read nothing from then on;
 *                              each first asks so often for an answer of so many bytes
 *     gone                     cut off the slow ones
 *     fan:FLIGHT:SIZE:SECONDS  keep FLIGHT broadcasts on their way; one is complete as
 *                              soon as every member has it
 *     rate:RATE:SIZE:SECONDS   so many broadcasts per second, whatever becomes of them
 *     echo:SIZE:SECONDS        every member has one request on its way
 *     count:COUNT:SIZE         so many broadcasts, until every member has all of them
 *     settle:SECONDS           read until nothing has come for so long
 *     idle                     read until a line comes on standard input
 *
 * Options:
 *
 *     --path PATH        of the handshake
 *     --step SEND WANT   of joining: send a text, unless it is empty, and wait for a
 *                        message that contains the other one, unless that is empty;
 *                        %n in SEND is the number of the client
 *     --say TEXT         what makes the server broadcast; %b in it is the body
 *     --ask TEXT         what makes the server answer; %b in it is the body
 *     --ping TEXT PONG   a text to be answered, in protocols that have their own pings
 *     --batch            a text frame may hold several messages, separated by newlines
 *     --deflate          insist on messages that are compressed, each by itself
 *     --senders COUNT    the first so many members take turns to send (1)
 *     --pending COUNT    clients that connect at the same time (64)
 *     --warm SECONDS     of a phase that are not counted (0.3)
 *     --server PID       whose processor time is to be told
 *
 * A body is "~", eight hexadecimal digits of a number, and filling. That is how a
 * delivery is known: no other message holds a "~". Deliveries of a number that a member
 * had already, or had to get later, are counted as "disordered".
 */

#define _GNU_SOURCE
#include "latencies.h"
#include "loop.h"
#include "sending.h"
#include "state.h"

/* Phases */

static void tell(const char *phase, const char *arguments, struct snapshot from,
                 struct snapshot to) {
    double seconds = (to.at - from.at) / 1e9;
    printf("{\"phase\": \"%s\", \"arguments\": \"%s\", \"members\": %u, "
           "\"seconds\": %.6f, \"messages\": %llu, \"deliveries\": %llu, "
           "\"completed\": %llu, \"bytes\": %llu, \"reads\": %llu, "
           "\"per_second\": %.1f, \"cpu\": %.6f, \"server_cpu\": %.6f, "
           "\"p50\": %.1f, \"p99\": %.1f, \"disordered\": %llu}\n",
           phase, arguments, members, seconds,
           (unsigned long long)(to.messages - from.messages),
           (unsigned long long)(to.deliveries - from.deliveries),
           (unsigned long long)(to.completed - from.completed),
           (unsigned long long)(to.bytes - from.bytes),
           (unsigned long long)(to.reads - from.reads),
           seconds > 0 ? (to.deliveries - from.deliveries) / seconds : 0.0,
           (to.own - from.own) / 1e9, (to.server - from.server) / 1e9,
           percentile(0.5), percentile(0.99), (unsigned long long)disordered);
    fflush(stdout);
}

static void start_phase(void) {
    forget_latencies();
    is_counting = is_ending = is_echo = 0;
    left_at_once = 0;
    disordered = 0;
}

static void connect_all(unsigned count, double rate, int is_slow) {
    unsigned left, allowed, last = 0;
    uint64_t progress = now();
    int timer = rate > 0 ? start_timer(rate) : -1;
    for (left = count, allowed = 0; left || pending;) {
        while (left && pending < most_pending && (timer < 0 || allowed)) {
            connect_one(is_slow);
            left--;
            if (allowed) allowed--;
        }
        if (turn(100)) allowed += due(timer);
        if (left + pending != last) {
            last = left + pending;
            progress = now();
        } else if (now() - progress > PATIENCE * SECOND) {
            fail("%u of %u clients never joined", left + pending, count);
        }
    }
    if (timer >= 0) close(timer);
}

static void join_phase(const char *arguments) {
    unsigned count = 0;
    double rate = 0;
    struct snapshot from, to;
    if (sscanf(arguments, "%u:%lf", &count, &rate) < 1) fail("join:COUNT[:RATE]");
    start_phase();
    from = look();
    connect_all(count, rate, 0);
    to = look();
    to.deliveries = from.deliveries + count; /* its figure per second is of joins */
    tell("join", arguments, from, to);
}

/* Asks until the server has closed the connection, or all was asked. */
static void ask_blindly(struct client *client, unsigned times) {
    struct timeval patience = {.tv_sec = PATIENCE};
    int flags = fcntl(client->fd, F_GETFL);
    if (flags < 0 || fcntl(client->fd, F_SETFL, flags & ~O_NONBLOCK)
        || setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience))
        fail("fcntl: %s", strerror(errno));
    for (; times; times--) {
        const char *left;
        burst_sender = client;
        add_body(client, ask, 0);
        for (left = burst; burst_size;) {
            ssize_t sent = send(client->fd, left, burst_size, MSG_NOSIGNAL);
            if (sent < 0 && errno == EAGAIN)
                fail("the server does not read from client %u", client->number);
            if (sent < 0) {
                burst_size = 0;
                return;
            }
            left += sent;
            burst_size -= sent;
        }
    }
}

static void slow_phase(const char *arguments) {
    unsigned count = 0, size = 0, times = 0, i;
    struct snapshot from;
    int read_values = sscanf(arguments, "%u:%u:%u", &count, &size, &times);
    if (read_values != 1 && read_values != 3) fail("slow:COUNT[:SIZE:TIMES]");
    if (times && size < SHORTEST) fail("a body has %d bytes at the least", SHORTEST);
    start_phase();
    from = look();
    connect_all(count, 0, 1);
    body_size = size;
    for (i = slow_count - count; i < slow_count; i++) ask_blindly(slow_list[i], times);
    tell("slow", arguments, from, look());
}

static void gone_phase(void) {
    struct snapshot from;
    start_phase();
    from = look();
    while (slow_count) close(slow_list[--slow_count]->fd);
    tell("gone", "", from, look());
}

static void drain(void) {
    uint64_t until = now() + PATIENCE * SECOND;
    is_ending = 1;
    while (outstanding) {
        turn(100);
        if (now() > until) fail("%u are still on their way", outstanding);
    }
}

static void load_phase(const char *phase, const char *arguments) {
    unsigned flight = 0, size = 64, i;
    double seconds = 1, rate = 0;
    uint64_t begin, end;
    struct snapshot from = {0}, to;
    int timer = -1, read_values;
    start_phase();
    if (!strcmp(phase, "fan"))
        read_values = sscanf(arguments, "%u:%u:%lf", &flight, &size, &seconds) == 3;
    else if (!strcmp(phase, "rate"))
        read_values = sscanf(arguments, "%lf:%u:%lf", &rate, &size, &seconds) == 3;
    else
        read_values = sscanf(arguments, "%u:%lf", &size, &seconds) == 2;
    if (!read_values) fail("%s needs other arguments than %s", phase, arguments);
    if (members < senders) fail("%u members, %u senders", members, senders);
    if (size < SHORTEST) fail("a body has %d bytes at the least", SHORTEST);
    body_size = size;
    begin = now() + warm * SECOND;
    end = begin + seconds * SECOND;
    is_echo = !strcmp(phase, "echo");
    if (is_echo)
        for (i = 0; i < members; i++) request(member_list[i]);
    if (rate > 0) timer = start_timer(rate);
    for (i = 0; i < flight; i++) broadcast();
    send_burst();
    for (;;) {
        uint64_t at;
        if (turn(10))
            for (uint64_t count = due(timer); count; count--) broadcast();
        /* the next ones, once everything that came was looked at */
        for (; flight && left_at_once; left_at_once--) broadcast();
        send_burst();
        at = now();
        if (!is_counting && at >= begin) {
            from = look();
            is_counting = 1;
        }
        if (at >= end) break;
    }
    to = look();
    is_counting = 0;
    if (timer >= 0) close(timer);
    drain();
    if (is_echo)
        for (i = 0; i < members; i++) member_list[i]->wanted = next_number;
    tell(phase, arguments, from, to);
}

static void count_phase(const char *arguments) {
    unsigned count = 0, size = 0;
    uint64_t until = now() + PATIENCE * SECOND;
    struct snapshot from;
    if (sscanf(arguments, "%u:%u", &count, &size) != 2) fail("count:COUNT:SIZE");
    if (size < SHORTEST || !members)
        fail("count:%s with %u members", arguments, members);
    start_phase();
    body_size = size;
    from = look();
    is_counting = 1;
    for (; count; count--) broadcast();
    send_burst();
    while (outstanding) {
        turn(100);
        if (now() > until) fail("%u are still on their way", outstanding);
    }
    is_counting = 0;
    tell("count", arguments, from, look());
}

static void settle_phase(const char *arguments) {
    uint64_t quiet = atof(arguments) * SECOND;
    struct snapshot from, to;
    start_phase();
    from = look();
    last_input = from.at;
    while (now() - last_input < quiet) turn(10);
    to = look();
    to.at = last_input;
    tell("settle", arguments, from, to);
}

static void idle_phase(void) {
    char line[256];
    struct snapshot from;
    start_phase();
    from = look();
    tell("idle", "", from, from);
    watch_other(STDIN_FILENO, EPOLL_CTL_ADD);
    while (!turn(1000)) {}
    if (read(STDIN_FILENO, line, sizeof line) <= 0) exit(0);
    watch_other(STDIN_FILENO, EPOLL_CTL_DEL);
}

static void run_phase(const char *phase) {
    char name[16];
    const char *arguments = strchr(phase, ':');
    snprintf(name, sizeof name, "%.*s",
             (int)(arguments ? (size_t)(arguments - phase) : strlen(phase)), phase);
    arguments = arguments ? arguments + 1 : "";
    if (!strcmp(name, "join"))
        join_phase(arguments);
    else if (!strcmp(name, "slow"))
        slow_phase(arguments);
    else if (!strcmp(name, "gone"))
        gone_phase();
    else if (!strcmp(name, "fan") || !strcmp(name, "rate") || !strcmp(name, "echo"))
        load_phase(name, arguments);
    else if (!strcmp(name, "count"))
        count_phase(arguments);
    else if (!strcmp(name, "settle"))
        settle_phase(arguments);
    else if (!strcmp(name, "idle"))
        idle_phase();
    else
        fail("there is no phase %s", phase);
}

/* The command line */

static struct text read_template(char *text) {
    char *place = strstr(text, "%b");
    if (!place) fail("no %%b in %s", text);
    *place = 0;
    return (struct text){text, place + 2};
}

static int is_option(const char *name, const char *option, int left, int needed) {
    if (strcmp(name, option)) return 0;
    if (left <= needed) fail("%s needs more", option);
    return 1;
}

static int read_options(int count, char **values) {
    int i;
    for (i = 1; i < count && values[i][0] == '-'; i++) {
        int left = count - i;
        if (is_option(values[i], "--path", left, 1)) {
            path = values[++i];
        } else if (is_option(values[i], "--step", left, 2)) {
            if (steps == STEPS) fail("too many steps");
            step_sends[steps] = values[++i];
            step_wants[steps++] = values[++i];
        } else if (is_option(values[i], "--say", left, 1)) {
            say = read_template(values[++i]);
        } else if (is_option(values[i], "--ask", left, 1)) {
            ask = read_template(values[++i]);
        } else if (is_option(values[i], "--ping", left, 2)) {
            ping_text = values[++i];
            pong_text = values[++i];
        } else if (is_option(values[i], "--batch", left, 0)) {
            is_batch = 1;
        } else if (is_option(values[i], "--deflate", left, 0)) {
            if (!CAN_INFLATE) fail("this was compiled without zlib");
            is_deflating = 1;
        } else if (is_option(values[i], "--senders", left, 1)) {
            senders = atoi(values[++i]);
        } else if (is_option(values[i], "--pending", left, 1)) {
            most_pending = atoi(values[++i]);
        } else if (is_option(values[i], "--warm", left, 1)) {
            warm = atof(values[++i]);
        } else if (is_option(values[i], "--server", left, 1)) {
            server = atoi(values[++i]);
        } else {
            fail("there is no option %s", values[i]);
        }
    }
    return i;
}

int main(int count, char **values) {
    int i = read_options(count, values);
    struct rlimit limit;
    if (count - i < 2) fail("expected a port and phases");
    port = atoi(values[i++]);
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    source.s_addr = htonl(127u << 24 | (1 + getpid() % 250) << 16
                          | (getpid() / 250 % 250) << 8 | 1);
    poll_fd = epoll_create1(0);
    if (poll_fd < 0) fail("epoll_create1");
    for (; i < count; i++) run_phase(values[i]);
    return 0;
}
