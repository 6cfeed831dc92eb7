/* A stranger who means harm, for hostile_test.sh: one connection after another to one port, each with frames
 * that are random, truncated, oversized, bit-flipped or replayed, and as many datagrams of the same kinds.
 *
 *     attack frames HOST PORT CLUSTER COUNT SEED    TCP; says what the node answered
 *     attack datagrams HOST PORT CLUSTER COUNT SEED UDP; fails when anything was answered with more bytes
 *     attack idle HOST PORT CLUSTER COUNT SECONDS   that many connections: silent, or a byte a second
 *     attack deaf HOST PORT CLUSTER KEY SECONDS     asks for KEY again and again and never reads
 *     attack hello HOST PORT CLUSTER version|cluster|partitions   prints how that HELLO is refused
 *
 * It never says FAULT, which a node under test would obey. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/prng.h"
#include "kv_error.h"
#include "model/limits.h"
#include "wire/wire.h"

#define STRANGE_MEMBER   77u
#define FRAMES_PER_CONN  4u /* the first that is none ends the connection */
#define FRAME_RANDOM_MAX 2000u
#define TYPE_AT          5 /* in a header */

static struct prng prng;
static uint64_t cluster;
static const char *cluster_name;
static struct sockaddr_in target;

static uint64_t below(uint64_t bound)
{
    return prng_below(&prng, bound);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void die(const char *what)
{
    fprintf(stderr, "attack: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- valid frames, to be spoilt ---- */

static void frame_append(struct buf *out, const struct message *m)
{
    struct wire_frame f;
    if (wire_encode(m, out, &f) != KV_OK)
        die("encode");
    for (uint32_t i = 0; i < f.payload_count; i++)
        if (buf_append(out, blob_bytes(f.payloads[i])) != KV_OK)
            die("encode");
}

static struct message of_type(enum message_type type)
{
    return (struct message){.type = type, .id = prng_u64(&prng), .cluster = cluster, .ring_epoch = 1};
}

static void hello_append(struct buf *out)
{
    struct message m = of_type(MSG_HELLO);
    m.hello = (struct msg_hello){.role = ROLE_CLIENT, .cluster = cluster_name, .name = ""};
    frame_append(out, &m);
}

static struct row some_row(void)
{
    struct row row = {0};
    char value[3000];
    memset(value, (int)below(256), sizeof value);
    if (wire_pack_value(bytes_of(value, below(sizeof value)), &row) != KV_OK)
        die("row");
    row.kind = ROW_REGISTER;
    row.stamp = (struct stamp){below(2) ? prng_u64(&prng) : 0, prng_u64(&prng)};
    row.expires_hlc = below(4) ? 0 : prng_u64(&prng);
    return row;
}

/* Anything that anybody might say on a connection, as a whole frame. */
static void some_frame(struct buf *out)
{
    static const enum message_type types[] = {
        MSG_HELLO,     MSG_WELCOME, MSG_REFUSED, MSG_RING_GET,   MSG_RING,      MSG_REQUEST,
        MSG_REQUEST,   MSG_REQUEST, MSG_SCAN,    MSG_STATUS_GET, MSG_STATS_GET, MSG_WRITE,
        MSG_WRITE_ACK, MSG_READ,    MSG_RANGE,   MSG_SYNC,       MSG_PING,      MSG_READ_REPLY};
    struct message m = of_type(types[below(sizeof types / sizeof *types)]);
    char key[32];
    snprintf(key, sizeof key, "hostile-%u", (unsigned)below(100));
    switch (m.type) {
    case MSG_HELLO: {
        struct addr a = {.host = "127.0.0.1", .port = 9};
        m.hello = (struct msg_hello){ROLE_MEMBER, cluster_name,  "n2", 2, prng_u64(&prng), 1, a,
                                     1,           TOPOLOGY_RING, ""};
        break;
    }
    case MSG_REQUEST:
        m.request.op = (uint8_t)(1 + below(3));
        m.request.timeout_us = 1000000;
        m.request.key = bytes_str(key);
        if (m.request.op == OP_PUT)
            m.request.row = some_row();
        break;
    case MSG_WRITE:
        m.write.key = bytes_str(key);
        m.write.row = some_row();
        break;
    case MSG_READ: m.read.key = bytes_str(key); break;
    case MSG_SYNC: m.sync.from = 2; break;
    case MSG_PING: m.probe.from = STRANGE_MEMBER; break;
    default: break; /* an empty body is a valid one, or a good beginning */
    }
    frame_append(out, &m);
    message_release(&m);
}

/* ---- spoiling ---- */

static void append_random(struct buf *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf_append_byte(out, (uint8_t)below(256));
}

static void flip_bits(struct buf *b, size_t from, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        b->data[from + below(b->len - from)] ^= (uint8_t)(1u << below(8));
    if (b->len > from + TYPE_AT && b->data[from + TYPE_AT] == MSG_FAULT)
        b->data[from + TYPE_AT] = MSG_NONE;
}

/* One more frame of a run: whole, spoilt, or no frame at all. */
static void hostile_append(struct buf *out)
{
    size_t from = out->len;
    switch (below(6)) {
    case 0: append_random(out, 1 + below(FRAME_RANDOM_MAX)); break;
    case 1: /* truncated: what follows is read as its rest */
        some_frame(out);
        out->len = from + 1 + below(out->len - from);
        break;
    case 2: /* says that it is larger than it is, or may be */
        some_frame(out);
        be32_put(out->data + from, (uint32_t)(prng_u64(&prng) >> below(32)));
        break;
    case 3: /* another size of the body */
        some_frame(out);
        be32_put(out->data + from + 40, (uint32_t)(prng_u64(&prng) >> below(32)));
        break;
    case 4:
        some_frame(out);
        flip_bits(out, from, 1 + below(8));
        break;
    default: some_frame(out); break;
    }
    if (out->len > from + TYPE_AT && out->data[from + TYPE_AT] == MSG_FAULT)
        out->data[from + TYPE_AT] = MSG_NONE;
}

/* ---- connections ---- */

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (fd < 0 || connect(fd, (struct sockaddr *)&target, sizeof target) != 0)
        die("connect");
    return fd;
}

/* Sends all that the node takes. */
static void say(int fd, struct bytes b)
{
    for (ssize_t n; b.len > 0; b = bytes_of(b.data + n, b.len - (size_t)n)) {
        n = send(fd, b.data, b.len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
    }
}

/* Reads what is there, at most until `ms` have passed without anything. Returns the bytes. */
static uint64_t listen_to(int fd, int ms)
{
    static uint8_t bytes[65536];
    uint64_t sum = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, ms) > 0) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            break;
        sum += (uint64_t)n;
    }
    return sum;
}

static void frames(uint64_t count)
{
    uint64_t sent = 0, connections = 0, bytes_out = 0, bytes_in = 0;
    struct buf b = {0}, replay = {0};
    while (sent < count) {
        buf_clear(&b);
        if (below(2))
            hello_append(&b);
        for (uint64_t n = 1 + below(FRAMES_PER_CONN); n > 0; n--, sent++)
            hostile_append(&b);
        if (below(8) == 0 && replay.len)
            buf_append(&b, buf_bytes(&replay)); /* said once already, on another connection */
        int fd = dial();
        say(fd, buf_bytes(&b));
        bytes_in += listen_to(fd, below(16) ? 1 : 20);
        close(fd);
        bytes_out += b.len;
        connections++;
        if (below(4) == 0)
            buf_set(&replay, buf_bytes(&b));
    }
    printf("frames=%llu connections=%llu bytes_out=%llu bytes_in=%llu\n", (unsigned long long)sent,
           (unsigned long long)connections, (unsigned long long)bytes_out, (unsigned long long)bytes_in);
    buf_deinit(&b);
    buf_deinit(&replay);
}

static void datagrams(uint64_t count)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    uint64_t bytes_out = 0, bytes_in = 0, refused = 0;
    struct buf b = {0}, replay = {0};
    for (uint64_t sent = 0; sent < count; sent++) {
        buf_clear(&b);
        hostile_append(&b);
        if (below(50) == 0)
            append_random(&b, 1000 + below(60000));
        if (below(8) == 0 && replay.len)
            buf_set(&b, buf_bytes(&replay));
        ssize_t n = sendto(fd, b.data, b.len, 0, (struct sockaddr *)&target, sizeof target);
        bytes_out += n > 0 ? (uint64_t)n : 0;
        refused += n < 0;
        bytes_in += listen_to(fd, 0);
        if (sent % 64 == 0)
            usleep(1000); /* else the socket's buffer drops most of them */
        if (below(4) == 0)
            buf_set(&replay, buf_bytes(&b));
    }
    bytes_in += listen_to(fd, 200);
    printf("datagrams=%llu unsent=%llu bytes_out=%llu bytes_in=%llu\n", (unsigned long long)count,
           (unsigned long long)refused, (unsigned long long)bytes_out, (unsigned long long)bytes_in);
    buf_deinit(&b);
    buf_deinit(&replay);
    if (bytes_in > 0)
        exit(1);
}

/* Half of them clients; of each half, half say nothing and half drip the beginning of a frame. */
static void idle(uint64_t count, uint64_t seconds)
{
    static const uint8_t drip[WIRE_HEADER_BYTES] = {0, 0, 1, 0, PROTOCOL_VERSION, MSG_REQUEST};
    int *fds = calloc(count, sizeof *fds);
    struct buf hello = {0};
    uint64_t open = 0;
    if (!fds)
        die("memory");
    hello_append(&hello);
    for (uint64_t i = 0; i < count; i++) {
        fds[i] = dial();
        if (i % 2)
            say(fds[i], buf_bytes(&hello));
    }
    printf("open=%llu\n", (unsigned long long)count);
    fflush(stdout);
    for (uint64_t second = 0; second < seconds; second++) {
        for (uint64_t i = 0; i < count; i++)
            if (i / 2 % 2 && second < sizeof drip)
                send(fds[i], drip + second, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        sleep(1);
    }
    for (uint64_t i = 0; i < count; i++) {
        uint8_t byte[4096];
        ssize_t n;
        while ((n = recv(fds[i], byte, sizeof byte, MSG_DONTWAIT)) > 0)
            ;
        open += n < 0 && errno == EAGAIN;
    }
    printf("still_open=%llu\n", (unsigned long long)open);
    free(fds);
    buf_deinit(&hello);
}

static void deaf(const char *key, uint64_t seconds)
{
    struct buf b = {0};
    int fd = dial(), small = 65536;
    uint64_t asked = 0, end = now_ms() + seconds * 1000;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    hello_append(&b);
    while (now_ms() < end) {
        ssize_t n = b.len ? send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        if (n < 0 && errno != EAGAIN)
            break;
        if (n > 0) { /* whole frames only, or the rest of one first */
            memmove(b.data, b.data + n, b.len - (size_t)n);
            b.len -= (size_t)n;
        }
        if (b.len == 0) {
            struct message m = of_type(MSG_REQUEST);
            m.request.op = OP_GET;
            m.request.timeout_us = 2000000;
            m.request.key = bytes_str(key);
            frame_append(&b, &m);
            asked++;
        } else {
            usleep(10000);
        }
    }
    printf("asked=%llu closed=%d\n", (unsigned long long)asked, now_ms() < end);
    buf_deinit(&b);
    close(fd);
}

/* ---- how a HELLO is refused ---- */

static void hello(const char *what)
{
    struct buf b = {0};
    struct message m = of_type(MSG_HELLO);
    m.hello = (struct msg_hello){.role = ROLE_MEMBER,
                                 .cluster = cluster_name,
                                 .name = "n2",
                                 .store_id = 1,
                                 .generation = 1,
                                 .addr = {.host = "127.0.0.1", .port = 9}};
    if (strcmp(what, "cluster") == 0) {
        m.hello.cluster = "another";
        m.cluster = cluster_hash("another", RING_PARTITIONS);
    } else if (strcmp(what, "partitions") == 0) {
        m.cluster = cluster_hash(cluster_name, 2 * RING_PARTITIONS);
    }
    frame_append(&b, &m);
    if (strcmp(what, "version") == 0)
        b.data[4] = PROTOCOL_VERSION + 1;
    int fd = dial();
    say(fd, buf_bytes(&b));
    static uint8_t in[65536];
    size_t have = 0;
    for (ssize_t n; have < sizeof in && (n = recv(fd, in + have, sizeof in - have, 0)) > 0;)
        have += (size_t)n;
    struct arena arena;
    arena_init(&arena, WIRE_ARENA_MAX_BYTES);
    for (size_t at = 0; have - at >= WIRE_HEADER_BYTES; at += 4 + be32_get(in + at)) {
        struct wire_header h;
        struct message answer;
        if (wire_decode_header(in + at, sizeof in, &h) != KV_OK || h.type != MSG_REFUSED)
            continue;
        if (wire_decode(&h, bytes_of(in + at + WIRE_HEADER_BYTES, h.body_size), NULL, 0, &arena, &answer) ==
            KV_OK)
            printf("refused: %s: %s\n", kv_error_word(answer.refused.status), answer.refused.text);
    }
    arena_deinit(&arena);
    buf_deinit(&b);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: attack frames|datagrams|idle|deaf|hello HOST PORT CLUSTER ARGUMENT...\n");
        return 2;
    }
    const char *what = argv[1];
    uint64_t first = strtoull(argv[5], NULL, 10), second = argc > 6 ? strtoull(argv[6], NULL, 10) : 1;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
    if (inet_pton(AF_INET, argv[2], &target.sin_addr) != 1)
        die("address");
    cluster_name = argv[4];
    cluster = cluster_hash(cluster_name, RING_PARTITIONS);
    prng_init(&prng, second);
    if (strcmp(what, "frames") == 0)
        frames(first);
    else if (strcmp(what, "datagrams") == 0)
        datagrams(first);
    else if (strcmp(what, "idle") == 0)
        idle(first, second);
    else if (strcmp(what, "deaf") == 0)
        deaf(argv[5], second);
    else if (strcmp(what, "hello") == 0)
        hello(argv[5]);
    else
        return 2;
    return 0;
}
