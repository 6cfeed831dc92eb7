/* One connection to one node: names are looked up, the socket connected, frames cut out of what is received,
 * and what a turn of the loop gathered is written in one go.
 *
 * Receiving: bytes come into the handle's one buffer and are taken apart there: header, body (gathered here
 * when it comes in pieces), payload, which goes into the blob that travels on; the rest of a large one is
 * received right into it. Lengths are checked before anything is allocated.
 *
 * A connection that was closed lives on, deaf and mute, until libuv has let go of it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "client/uv_handle.h"

#define COPY_MAX_BYTES   1024u       /* payloads up to this go behind their header: fewer vectors */
#define DIRECT_MIN_BYTES (16u << 10) /* a rest of payload above this is received in place */
#define KEEP_BYTES       (1u << 20)  /* an output buffer larger than this is given back when it is empty */

/* A payload that goes between two bytes of an output buffer. */
struct cut {
    size_t at;
    struct blob *blob;
};

struct output {
    struct buf bytes;
    struct cut *cuts;
    uint32_t cut_count;
    uint32_t cut_cap;
};

enum conn_state { CONN_OPENING, CONN_OPEN, CONN_CLOSED };

struct kv_conn {
    struct kv *kv;
    uint32_t peer;
    enum conn_state state;
    struct addr addr;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_getaddrinfo_t lookup;
    bool cut; /* what goes through it is lost (uv_reach.c) */
    bool looking_up;
    bool tcp_closed;
    struct list dirty;
    /* Receiving: one frame at a time. */
    uint8_t header_bytes[WIRE_HEADER_BYTES];
    uint32_t header_have;
    struct wire_header header;
    struct buf body;
    struct blob *payload;
    uint32_t payload_have;
    /* Sending. */
    struct output out;
    struct output writing; /* handed to libuv */
    bool write_out;
    uv_write_t write;
};

/* ---- output buffers ---- */

static void output_clear(struct output *o)
{
    for (uint32_t i = 0; i < o->cut_count; i++)
        blob_unref(o->cuts[i].blob);
    o->cut_count = 0;
    if (o->bytes.cap > KEEP_BYTES)
        buf_deinit(&o->bytes);
    else
        buf_clear(&o->bytes);
}

static void output_deinit(struct output *o)
{
    output_clear(o);
    buf_deinit(&o->bytes);
    free(o->cuts);
}

static int output_cut(struct output *o, struct blob *blob)
{
    if (blob->len <= COPY_MAX_BYTES)
        return buf_append(&o->bytes, blob_bytes(blob));
    if (o->cut_count == o->cut_cap) {
        uint32_t cap = o->cut_cap ? o->cut_cap * 2 : 8;
        struct cut *cuts = realloc(o->cuts, cap * sizeof *cuts);
        if (!cuts)
            return KV_E_NO_MEMORY;
        o->cuts = cuts;
        o->cut_cap = cap;
    }
    o->cuts[o->cut_count++] = (struct cut){o->bytes.len, blob_ref(blob)};
    return KV_OK;
}

/* Vectors over everything from byte `skip` on; the array is the caller's to free. Returns how many. */
static int output_vectors(const struct output *o, uv_buf_t **out)
{
    uv_buf_t *v = malloc((2 * (size_t)o->cut_count + 1) * sizeof *v);
    unsigned count = 0;
    size_t at = 0;
    if (!v)
        return UV_ENOMEM;
    for (uint32_t i = 0; i <= o->cut_count; i++) {
        size_t end = i < o->cut_count ? o->cuts[i].at : o->bytes.len;
        if (end > at)
            v[count++] = uv_buf_init((char *)o->bytes.data + at, (unsigned)(end - at));
        if (i < o->cut_count)
            v[count++] = uv_buf_init((char *)o->cuts[i].blob->data, o->cuts[i].blob->len);
        at = end;
    }
    *out = v;
    return (int)count;
}

/* ---- the end of a connection ---- */

static void free_when_over(struct kv_conn *c)
{
    struct kv *kv = c->kv;
    if (!c->tcp_closed || c->looking_up)
        return;
    output_deinit(&c->out);
    output_deinit(&c->writing);
    buf_deinit(&c->body);
    blob_unref(c->payload);
    free(c);
    kv_conn_freed(kv);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct kv_conn *c = handle->data;
    c->tcp_closed = true;
    free_when_over(c);
}

static void shut(struct kv_conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    c->kv->conns[c->peer] = NULL;
    list_remove(&c->dirty);
    if (c->looking_up)
        uv_cancel((uv_req_t *)&c->lookup);
    uv_close((uv_handle_t *)&c->tcp, on_tcp_closed);
}

/* It ended by itself: the core is told. */
static void lost(struct kv_conn *c, const char *reason)
{
    struct kv *kv = c->kv;
    if (c->state == CONN_CLOSED)
        return;
    uint32_t peer = c->peer;
    shut(c);
    client_lost(kv->core, kv_now_us(), peer, reason);
    kv_effects(kv);
}

void kv_conn_close(struct kv *kv, uint32_t peer)
{
    if (peer < kv->conn_cap && kv->conns[peer])
        shut(kv->conns[peer]);
}

/* ---- receiving ---- */

static void frame_over(struct kv_conn *c)
{
    blob_unref(c->payload);
    c->payload = NULL;
    c->payload_have = 0;
    c->header_have = 0;
    buf_clear(&c->body);
}

static int deliver(struct kv_conn *c)
{
    struct kv *kv = c->kv;
    struct message m;
    arena_reset(&kv->arena);
    int rc =
        wire_decode(&c->header, buf_bytes(&c->body), c->payload, VALUE_MAX_CEILING_BYTES, &kv->arena, &m);
    frame_over(c);
    if (rc)
        return rc;
    client_message(kv->core, kv_now_us(), c->peer, &m);
    message_release(&m);
    kv_effects(kv);
    return KV_OK;
}

static size_t take(size_t want, struct bytes *in)
{
    return want < in->len ? want : in->len;
}

static void advance(struct bytes *in, size_t n)
{
    in->data += n;
    in->len -= n;
}

static int take_header(struct kv_conn *c, struct bytes *in)
{
    size_t n = take(WIRE_HEADER_BYTES - c->header_have, in);
    memcpy(c->header_bytes + c->header_have, in->data, n);
    c->header_have += (uint32_t)n;
    advance(in, n);
    if (c->header_have < WIRE_HEADER_BYTES)
        return KV_OK;
    int rc = wire_decode_header(c->header_bytes, client_frame_max_bytes(c->kv->core, c->peer), &c->header);
    uint32_t payload = rc ? 0 : wire_payload_bytes(&c->header);
    if (payload && !(c->payload = blob_create(payload)))
        rc = KV_E_NO_MEMORY;
    return rc;
}

/* Takes what it can of one frame, and delivers it when it is whole. */
static int take_frame(struct kv_conn *c, struct bytes *in)
{
    int rc = KV_OK;
    if (c->header_have < WIRE_HEADER_BYTES)
        rc = take_header(c, in);
    if (rc || c->header_have < WIRE_HEADER_BYTES)
        return rc;
    size_t n = take(c->header.body_size - c->body.len, in);
    rc = buf_append(&c->body, bytes_of(in->data, n));
    if (rc)
        return rc;
    advance(in, n);
    if (c->body.len < c->header.body_size)
        return KV_OK;
    if (c->payload) {
        n = take(c->payload->len - c->payload_have, in);
        memcpy(c->payload->data + c->payload_have, in->data, n);
        c->payload_have += (uint32_t)n;
        advance(in, n);
        if (c->payload_have < c->payload->len)
            return KV_OK;
    }
    return deliver(c);
}

static bool receives_in_place(const struct kv_conn *c)
{
    return c->header_have == WIRE_HEADER_BYTES && c->body.len == c->header.body_size && c->payload &&
           c->payload->len - c->payload_have >= DIRECT_MIN_BYTES;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct kv_conn *c = handle->data;
    (void)suggested;
    if (receives_in_place(c))
        *out = uv_buf_init((char *)c->payload->data + c->payload_have, c->payload->len - c->payload_have);
    else
        *out = uv_buf_init((char *)c->kv->received, KV_RECEIVE_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct kv_conn *c = stream->data;
    struct kv *kv = c->kv;
    int rc = KV_OK;
    if (c->cut)
        return;
    if (n < 0) {
        lost(c, n == UV_EOF ? "it closed the connection" : uv_strerror((int)n));
        return;
    }
    if (n == 0)
        return;
    if ((uint8_t *)buf->base != kv->received) {
        c->payload_have += (uint32_t)n;
        if (c->payload_have == c->payload->len)
            rc = deliver(c);
    } else {
        struct bytes in = bytes_of(buf->base, (size_t)n);
        while (rc == KV_OK && in.len > 0 && c->state == CONN_OPEN)
            rc = take_frame(c, &in);
    }
    if (c->state != CONN_OPEN)
        return;
    if (rc) {
        kv_log_line(kv, "node=%s event=bad_frame error=%s", client_peer_label(kv->core, c->peer),
                    kv_error_word(rc));
        lost(c, rc == KV_E_VERSION ? "it speaks another protocol, or another version of ours"
                                   : "it sent bytes that are no message");
    } else if (c->header_have > 0) {
        client_heard(kv->core, kv_now_us(), c->peer);
        kv_effects(kv);
    }
}

/* ---- sending ---- */

void kv_conn_send(struct kv *kv, uint32_t peer, const struct message *m)
{
    struct kv_conn *c = peer < kv->conn_cap ? kv->conns[peer] : NULL;
    struct wire_frame frame;
    if (!c || c->state != CONN_OPEN)
        return; /* it went down meanwhile, which the core hears or has heard */
    size_t start = c->out.bytes.len;
    int rc = wire_encode(m, &c->out.bytes, &frame);
    for (uint32_t i = 0; rc == KV_OK && i < frame.payload_count; i++)
        rc = output_cut(&c->out, frame.payloads[i]);
    if (rc) {
        /* Half a frame must not stay: nothing behind it could be read. */
        c->out.bytes.len = start;
        kv_log_line(kv, "node=%s event=not_sent error=%s", client_peer_label(kv->core, peer),
                    kv_error_word(rc));
        return;
    }
    if (!list_linked(&c->dirty))
        list_push_back(&kv->dirty, &c->dirty);
}

static void on_written(uv_write_t *request, int status)
{
    struct kv_conn *c = request->data;
    c->write_out = false;
    output_clear(&c->writing);
    if (c->state != CONN_OPEN)
        return;
    if (status < 0 && !c->cut)
        lost(c, uv_strerror(status));
    else
        kv_conn_flush(c);
}

/* Writes what is left of `vectors` behind the first `done` bytes in the background. */
static int write_rest(struct kv_conn *c, uv_buf_t *vectors, int count, size_t done)
{
    int first = 0;
    while (first < count && done >= vectors[first].len)
        done -= vectors[first++].len;
    if (first == count) {
        output_clear(&c->out);
        return 0;
    }
    vectors[first].base += done;
    vectors[first].len -= done;
    struct output spare = c->writing; /* empty, with its capacity */
    c->writing = c->out;
    c->out = spare;
    c->write.data = c;
    c->write_out = true;
    return uv_write(&c->write, (uv_stream_t *)&c->tcp, vectors + first, (unsigned)(count - first),
                    on_written);
}

void kv_conn_flush(struct kv_conn *c)
{
    list_remove(&c->dirty);
    if (c->state != CONN_OPEN || c->write_out || c->out.bytes.len == 0)
        return; /* on_written comes back to it */
    if (c->cut) {
        output_clear(&c->out);
        return;
    }
    uv_buf_t *vectors = NULL;
    int count = output_vectors(&c->out, &vectors);
    int rc = count < 0 ? count : uv_try_write((uv_stream_t *)&c->tcp, vectors, (unsigned)count);
    if (count > 0 && (rc >= 0 || rc == UV_EAGAIN)) {
        rc = write_rest(c, vectors, count, rc > 0 ? (size_t)rc : 0);
        if (rc < 0)
            c->write_out = false;
    }
    free(vectors);
    if (rc < 0)
        lost(c, uv_strerror(rc));
}

struct kv_conn *kv_conn_of_dirty(struct list *link)
{
    return container_of(link, struct kv_conn, dirty);
}

void kv_conn_reach(struct kv *kv, uint32_t peer)
{
    struct kv_conn *c = kv->conns[peer];
    if (!c)
        return;
    bool was = c->cut;
    c->cut = !kv_reaches(kv, &c->addr);
    if (was && !c->cut)
        lost(c, "the line was cut");
}

/* ---- connecting ---- */

static void on_connect(uv_connect_t *request, int status)
{
    struct kv_conn *c = request->data;
    if (c->state == CONN_CLOSED || c->cut)
        return;
    if (status == 0)
        status = uv_tcp_nodelay(&c->tcp, 1);
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (status < 0) {
        lost(c, uv_strerror(status));
        return;
    }
    c->state = CONN_OPEN;
    client_connected(c->kv->core, kv_now_us(), c->peer);
    kv_effects(c->kv);
}

static void connect_to(struct kv_conn *c, const struct sockaddr *sa)
{
    c->connect.data = c;
    int rc = uv_tcp_connect(&c->connect, &c->tcp, sa, on_connect);
    if (rc < 0)
        lost(c, uv_strerror(rc));
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct kv_conn *c = request->data;
    c->looking_up = false;
    if (c->state == CONN_CLOSED)
        free_when_over(c);
    else if (status < 0)
        lost(c, uv_strerror(status));
    else
        connect_to(c, found->ai_addr);
    uv_freeaddrinfo(found);
}

static void look_up(struct kv_conn *c)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    (void)snprintf(port, sizeof port, "%u", c->addr.port);
    c->lookup.data = c;
    int rc = uv_getaddrinfo(c->kv->loop, &c->lookup, on_lookup, c->addr.host, port, &hints);
    if (rc < 0)
        lost(c, uv_strerror(rc));
    else
        c->looking_up = true;
}

static int reserve(struct kv *kv, uint32_t peer)
{
    if (peer < kv->conn_cap)
        return KV_OK;
    uint32_t cap = kv->conn_cap ? kv->conn_cap : 8;
    while (cap <= peer)
        cap *= 2;
    struct kv_conn **conns = realloc(kv->conns, cap * sizeof(struct kv_conn *));
    if (!conns)
        return KV_E_NO_MEMORY;
    memset(conns + kv->conn_cap, 0, (cap - kv->conn_cap) * sizeof(struct kv_conn *));
    kv->conns = conns;
    kv->conn_cap = cap;
    return KV_OK;
}

void kv_conn_dial(struct kv *kv, uint32_t peer, const struct addr *addr)
{
    struct sockaddr_storage sa;
    kv_conn_close(kv, peer);
    struct kv_conn *c = reserve(kv, peer) == KV_OK ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        client_lost(kv->core, kv_now_us(), peer, "out of memory");
        return;
    }
    c->kv = kv;
    c->peer = peer;
    c->addr = *addr;
    c->cut = !kv_reaches(kv, addr);
    uv_tcp_init(kv->loop, &c->tcp);
    uv_unref((uv_handle_t *)&c->tcp); /* only requests keep the loop alive */
    c->tcp.data = c;
    kv->conns[peer] = c;
    kv->conn_count++;
    if (c->cut)
        return; /* nobody answers */
    if (uv_ip4_addr(addr->host, addr->port, (struct sockaddr_in *)&sa) == 0 ||
        uv_ip6_addr(addr->host, addr->port, (struct sockaddr_in6 *)&sa) == 0)
        connect_to(c, (struct sockaddr *)&sa);
    else
        look_up(c);
}
