/* A framed TCP connection: accepted, or dialled to a peer. Reads frames (the header and the protobuf body
 * from the loop's one receive buffer, a payload straight into the blob that travels on), and writes what a
 * turn of the loop queued with one gathered write.
 *
 * Bounds, for whoever sends:
 *   - a stranger may send STRANGER_MAX_BYTES of frames before its HELLO is accepted;
 *   - half-received frames book their memory from one of two pools, clients' and members', so that clients
 *     cannot keep members from each other; who finds no room waits in line and is not read from meanwhile.
 *     Frames up to FRAME_SMALL_BYTES, and those that are here whole, need no booking and never wait;
 *   - a frame that takes too long closes the connection.
 * For whoever reads:
 *   - a client with CONN_PAUSE_BYTES of answers waiting is not read from until it has taken half of them; nor
 * is one while the answers it has asked for already may be more than CONN_WINDOW_BYTES, going by the last
 * ones;
 *   - an answer whose value finds no room in the queue is sent without it, as `overloaded`; what waits to be
 *     written is bounded for each connection, and for all clients together (OUTPUT_MAX_BYTES: then the one
 * with most is closed); who takes nothing at all for too long is closed.
 *
 * Three files: conn.c opens, closes and judges; conn_read.c is the frame machine; conn_write.c the output. */
#ifndef UV_CONN_H
#define UV_CONN_H

#include <uv.h>

#include "base/list.h"
#include "model/event.h"
#include "wire/wire.h"

#define FRAME_SMALL_BYTES       4096u       /* times CLIENTS_MAX: 40 MiB at the very most */
#define CONN_VALUES_MAX_BYTES   (32u << 20) /* values queued for a client: this and four of the largest */
#define MEMBER_VALUES_MAX_BYTES (64u << 20) /* values of READ_REPLY queued for a member */
#define CONN_QUEUE_EXTRA_BYTES  (16u << 20) /* what else may be queued for a client */
#define CONN_WINDOW_BYTES       (UINT64_C(16) << 20)
#define CONN_WINDOW_MIN         4u         /* requests that are always taken */
#define CONN_ANSWER_FIRST_BYTES (4u << 20) /* what an answer may be before the first one is seen */
#define CONN_PAUSE_BYTES        (1u << 20)
#define OUTPUT_MAX_BYTES        (UINT64_C(192) << 20)
#define HELD_MAX_BYTES          (UINT64_C(16) << 20) /* received but not looked at: then reads become short */
#define CONN_COPY_MAX_BYTES     1024u /* payloads up to this are copied behind their header: fewer vectors */
#define CONN_SCRATCH_BYTES      (64u << 10) /* the loop's receive buffer */
#define CONN_READ_SHORT_BYTES   4096u
#define CONN_DIRECT_MIN_BYTES   (16u << 10) /* a rest of payload above this is received in place */
#define CONN_WRITE_VECTORS_MAX  512
#define CONN_IDLE_KEEP_BYTES    4096u /* of buffers, by a connection that is quiet */

struct shell;

/* What half-received frames of one kind of sender may hold. A frame larger than the pool is taken alone. */
struct receive_pool {
    uint64_t max_bytes;
    uint64_t used_bytes;
    struct list waiting; /* first come, first served */
};

enum conn_state { CONN_DIALLING, CONN_OPEN, CONN_CLOSING };

/* A payload that goes between two bytes of the output buffer. */
struct conn_cut {
    size_t at;
    struct blob *blob;
};

struct conn_output {
    struct buf bytes;
    struct conn_cut *cuts;
    size_t cut_count;
    size_t cut_cap;
    size_t total_bytes;
};

struct conn {
    uv_tcp_t tcp;
    struct shell *shell;
    struct endpoint self; /* how the core calls it */
    uint64_t serial;      /* never used twice, dialled ones included */
    enum conn_state state;
    bool accepted; /* a valid HELLO was there: no stranger any more */
    bool close_when_flushed;
    uint32_t member;      /* who it is; 0: a client */
    uint64_t since_us;    /* opened, or told to close when flushed */
    struct list stranger; /* in shell->strangers */
    struct list dirty;    /* in shell->dirty: has output */
    /* Reading: one frame at a time. */
    bool reading;
    bool paused;         /* for it does not read its answers */
    struct list waiting; /* in a pool's line, or in shell->resumed */
    struct buf held;     /* received, but not looked at while it waits or is paused */
    uint64_t stranger_bytes;
    uint8_t header_bytes[WIRE_HEADER_BYTES];
    uint32_t header_have;
    bool begun;   /* the header is checked, memory for the rest is booked */
    bool granted; /* its turn in the line has come */
    struct wire_header header;
    struct buf body;
    struct blob *payload;
    uint32_t payload_have;
    uint64_t frame_since_us;   /* 0: between frames */
    struct receive_pool *pool; /* of `booked_bytes` */
    uint32_t booked_bytes;
    /* Writing. */
    struct conn_output out;
    struct conn_output in_kernel; /* handed to uv_write, not finished */
    uint64_t counted_bytes;       /* of both, in shell->output_bytes */
    bool writing;
    uint32_t unanswered;    /* requests of a client */
    uint32_t answer_bytes;  /* of its largest answer lately */
    size_t unwritten_bytes; /* of in_kernel, when it was last looked at, */
    uint64_t unwritten_us;  /* and when that last changed */
    uv_write_t write_request;
    /* Dialled only. */
    uv_connect_t connect_request;
};

/* ---- conn.c ---- */

void conn_init(struct conn *c, struct shell *shell);

/* Starts reading; the socket is connected. */
void conn_open(struct conn *c);

/* A valid HELLO was there. */
void conn_accept(struct conn *c, uint32_t member);

/* Closes now; tcp_conn_gone is called once, later, when libuv has let go of it. */
void conn_close(struct conn *c);

/* Reads and sends no more, and closes when what is queued has left. */
void conn_close_when_flushed(struct conn *c);

/* Whether the connection has been too slow: a stranger that does not introduce itself, a frame that does not
 * end, a reader that takes nothing. Asked once a second. */
bool conn_stalled(struct conn *c, uint64_t now_us);

void conn_deinit(struct conn *c);

/* ---- conn_read.c ---- */

/* Starts or stops reading, as its state wants it. */
void conn_read_update(struct conn *c);

/* Reads on: its turn for memory has come, or its answers have been taken. */
void conn_feed(struct conn *c);

/* Whether the first in a pool's line can have its memory now. */
bool pool_ready(const struct receive_pool *pool);

/* Forgets the frame at hand and gives its memory back. */
void conn_read_reset(struct conn *c);

/* ---- conn_write.c ---- */

/* Queues a message; it is written at the end of the turn. Takes no ownership: payloads are referenced. A
 * connection that cannot take it is closed. */
void conn_send(struct conn *c, const struct message *m);

/* Takes the value out of an answer for which there is no room, which is then a refusal. */
void conn_bound_answer(struct conn *c, struct message *m);

/* Whether a client has to take answers before it may ask for more. */
bool conn_crowded(const struct conn *c);

/* Writes everything queued. Called once per turn. */
void conn_flush(struct conn *c);

/* Bytes that wait to be written. */
static inline size_t conn_queued(const struct conn *c)
{
    return c->out.total_bytes + c->in_kernel.total_bytes;
}

/* Keeps shell->output_bytes right. */
void conn_write_count(struct conn *c);

/* Gives back what a connection keeps that has nothing to write. */
void conn_write_trim(struct conn *c);
void conn_write_deinit(struct conn *c);

#endif
