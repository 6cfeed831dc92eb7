/* A framed TCP connection: accepted, or dialled to a peer. Reads frames (the header and the protobuf body
 * from the loop's one receive buffer, a payload straight into the blob that travels on), and writes what a
 * turn of the loop queued with one gathered write.
 *
 * Bounds: a stranger may send STRANGER_MAX_BYTES before its HELLO is accepted; half-received frames of all
 * connections stay under RECEIVE_MAX_BYTES (who would pass it is not read from until there is room again);
 * what waits to be written is at most CONN_QUEUE_MAX_BYTES, then the connection is closed; a frame that takes
 * too long closes it too. */
#ifndef UV_CONN_H
#define UV_CONN_H

#include <uv.h>

#include "base/list.h"
#include "model/event.h"
#include "wire/wire.h"

#define CONN_QUEUE_MAX_BYTES   (96u << 20) /* a reader slower than this is closed */
#define CONN_COPY_MAX_BYTES    1024u /* payloads up to this are copied behind their header: fewer vectors */
#define CONN_SCRATCH_BYTES     (64u << 10) /* the loop's receive buffer */
#define CONN_DIRECT_MIN_BYTES  (16u << 10) /* a rest of payload above this is received in place */
#define CONN_WRITE_VECTORS_MAX 512

struct shell;

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
    enum conn_state state;
    bool accepted; /* a valid HELLO was there: no stranger any more */
    bool close_when_flushed;
    uint32_t member;   /* who it is; 0: a client */
    uint64_t since_us; /* opened */
    uint64_t stranger_bytes;
    struct list dirty;   /* in shell->dirty: has output */
    struct list starved; /* in shell->starved: waits for receive memory */
    /* Reading: one frame at a time. */
    uint8_t header_bytes[WIRE_HEADER_BYTES];
    uint32_t header_have;
    bool begun; /* the header is checked and memory for the rest is booked */
    struct wire_header header;
    struct buf body;
    struct blob *payload;
    uint32_t payload_have;
    uint64_t frame_since_us; /* 0: between frames */
    uint32_t charged_bytes;  /* of shell->receive_bytes */
    struct buf held;         /* received, but not looked at while starved */
    /* Writing. */
    struct conn_output out;
    struct conn_output in_kernel; /* handed to uv_write, not finished */
    bool writing;
    uv_write_t write_request;
    /* Dialled only. */
    uv_connect_t connect_request;
};

void conn_init(struct conn *c, struct shell *shell);

/* Starts reading; the socket is connected. */
void conn_open(struct conn *c);

/* Queues a message; it is written at the end of the turn. Takes no ownership: payloads are referenced. A
 * connection that cannot take it is closed. */
void conn_send(struct conn *c, const struct message *m);

/* Writes everything queued. Called once per turn. */
void conn_flush(struct conn *c);

/* Closes now; shell_conn_gone is called once, later, when libuv has let go of it. */
void conn_close(struct conn *c);

/* Reads on after receive memory became free. */
void conn_feed(struct conn *c);

/* Whether the connection has been too slow: a stranger that does not introduce itself, a frame that does not
 * end. */
bool conn_stalled(const struct conn *c, uint64_t now_us);

void conn_deinit(struct conn *c);

#endif
