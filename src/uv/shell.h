/* The libuv shell: turns sockets, timers, signals and storage into events for one node, and its effects into
 * system calls (DESIGN section 2). Everything runs on one loop; only storage has a thread.
 *
 * A turn: events are stepped as they come; every effect is consumed before the next step; what completes
 * meanwhile waits in the storage's list of finished jobs. Just before the loop sleeps (uv_prepare) the turn
 * ends: what was gathered for the disk is handed over, finished jobs are stepped, at most TURN_EVENTS_MAX of
 * them and until there is much to write, and then each connection with output is written once. */
#ifndef UV_SHELL_H
#define UV_SHELL_H

#include <uv.h>

#include "base/map.h"
#include "node/node.h"
#include "uv/alarm.h"
#include "uv/conn.h"
#include "uv/fault.h"
#include "uv/names.h"
#include "uv/rowcount.h"
#include "uv/storage.h"

#define TURN_EVENTS_MAX       1024u
#define TURN_OUTPUT_MAX_BYTES (UINT64_C(4) << 20) /* then what there is to write is written first */
#define TURN_ROUNDS_MAX       4u                  /* of writing and stepping: each may sync the disk */
#define DIAL_BACKOFF_MIN_MS   50u
#define DIAL_BACKOFF_MAX_MS   1000u
#define DIAL_TIMEOUT_US       UINT64_C(1000000)
#define STOP_GRACE_US         UINT64_C(8000000) /* after SIGTERM: then it leaves whatever is in flight */
#define ACCEPT_EXTRA          64u   /* connections beside the clients': members, and who has not said HELLO */
#define FEED_MAX              64u   /* connections that a turn lets read on */
#define DELAYED_MAX           4096u /* messages held back by a fault; more are lost */
#define CLOCK_JUMP_WARN_MS    500   /* wall against monotonic, between two looks */
#define LOOP_STALL_WARN_US    UINT64_C(1000000) /* the clock of seconds this late: who is called dead sooner */
#define RECEIVE_CLIENTS       (RECEIVE_MAX_BYTES / 2) /* members have the other half */

struct shell_options {
    struct addr listen;
    uint32_t value_max_bytes;
    uint32_t clients_max;
    uint64_t stall_us; /* 0: FRAME_STALL_MAX_US */
    enum sync_mode sync;
    bool lab;              /* take fault orders */
    int64_t clock_skew_ms; /* lab: the wall clock is off from the start */
    struct log log;
};

struct shell_counters {
    uint64_t tcp_bytes_in, tcp_bytes_out, udp_bytes_in, udp_bytes_out, udp_packets_in, udp_packets_out;
    uint64_t reads, writes, frames_in, frames_out, malformed, refused_connections, slow_readers, stalled,
        answers_refused;
    uint64_t connections; /* open now */
    struct traffic {
        uint64_t messages_in, messages_out, bytes_in, bytes_out;
    } traffic[CLASSES]; /* what it is for: enum message_class */
};

/* A whole message, frame and payloads, came or was sent. */
static inline void traffic_in(struct shell_counters *c, enum message_type type, uint64_t bytes)
{
    struct traffic *t = &c->traffic[message_class(type)];
    t->messages_in++;
    t->bytes_in += bytes;
}

static inline void traffic_out(struct shell_counters *c, enum message_type type, uint64_t bytes)
{
    struct traffic *t = &c->traffic[message_class(type)];
    t->messages_out++;
    t->bytes_out += bytes;
}

/* A dialled connection to a member, made again for as long as the core wants it. */
struct peer {
    uint32_t member;
    struct addr addr;
    struct shell *shell;
    struct conn *conn; /* NULL: between two attempts */
    bool wanted;
    uint32_t backoff_ms;
    uint64_t dialled_us;
    uint64_t connected_us; /* 0: not since the last attempt began */
    uv_timer_t retry;
};

/* Who sent something malformed, when it was last said. */
struct complaint {
    const char *event;
    char host[HOST_MAX_BYTES + 1];
    uint64_t last_us;
    uint64_t suppressed;
};
#define COMPLAINTS_MAX     64u
#define COMPLAINT_EVERY_US UINT64_C(60000000)

struct shell {
    uv_loop_t *loop;
    struct shell_options options;
    struct node *node;
    struct outbox out;
    struct storage *storage;
    struct faults faults;
    struct rowcount rows;
    struct shell_counters counters;
    /* Sockets. */
    uv_tcp_t listener;
    uv_udp_t udp;
    struct conn **conns; /* accepted, by the low half of their id */
    uint32_t conn_cap;
    uint32_t *conn_free; /* a stack of free places */
    uint32_t conn_free_count;
    uint64_t conn_serial;
    uint32_t accepted_count; /* all of them */
    uint32_t client_count;   /* those that said a client's HELLO */
    bool accept_owed;
    struct list strangers; /* no HELLO yet, the oldest first */
    struct map peers;      /* member id -> struct peer */
    struct names names;
    struct list dirty;            /* have output */
    struct list resumed;          /* read on in this turn: their answers have been taken */
    struct receive_pool pools[2]; /* of clients, of members */
    bool feed_wanted;             /* somebody may be able to read on */
    uint64_t held_bytes;          /* of all connections */
    uint64_t turn_output_bytes;   /* queued in this turn, for anybody */
    uint64_t output_bytes;        /* queued for all clients */
    uint8_t scratch[CONN_SCRATCH_BYTES];
    uint8_t udp_scratch[2048];
    struct arena receive_arena;
    struct buf udp_out;
    struct complaint complaints[COMPLAINTS_MAX];
    uint64_t complaints_lost; /* there was no place for their hosts */
    /* Time. */
    struct alarm tick; /* the node's deadline */
    uv_timer_t second;
    int64_t wall_ahead_ms;             /* wall - monotonic clock, a second ago */
    uint64_t second_us;                /* when that was */
    uint64_t slow_writes;              /* of the storage, that were spoken of */
    uint64_t slow_us, slow_suppressed; /* log_allowed's */
    uv_prepare_t prepare;
    uv_idle_t again; /* runs only while a turn was cut short: keeps the loop from sleeping */
    uv_signal_t sigterm, sigint;
    struct list delayed; /* messages held back by a fault */
    uint32_t delayed_count;
    /* The end. */
    bool stepping;
    bool stopping;
    bool ended;
    uint64_t stop_us;
    int exit_status;
};

/* Binds, listens, starts the clockwork and steps EV_START. `error` gets a sentence. The node and store stay
 * the caller's. */
int shell_start(struct shell *s, uv_loop_t *loop, const struct shell_options *options, struct node *node,
                struct store *store, char error[256]);

/* After uv_run has returned. */
void shell_deinit(struct shell *s);

/* ---- between the files of this folder ---- */

uint64_t shell_now_us(void);
struct now shell_now(const struct shell *s);

/* Steps the node and carries out what it wants. */
void shell_step(struct shell *s, const struct event *e);

/* A whole frame on a connection. */
void shell_message(struct shell *s, struct conn *c, struct message *m, struct bytes body);
void shell_refuse_frame(struct shell *s, struct conn *c, int rc);
void shell_log(struct shell *s, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void shell_end(struct shell *s, int status);

/* A complaint about what a host sends; `event` is static. Once per host, event and minute, and at most
 * COMPLAINTS_MAX a minute in all. */
void shell_complain(struct shell *s, const char *host, const char *event, int rc, const char *text);

/* tcp.c: accepting and dialling. */
int tcp_listen(struct shell *s, char error[256]);
void tcp_want_peer(struct shell *s, uint32_t member, const struct addr *addr);
struct conn *tcp_find(struct shell *s, struct endpoint e);
void tcp_conn_gone(struct shell *s, struct conn *c);
void tcp_accept_client(struct shell *s, struct conn *c);
struct conn *tcp_slowest_client(struct shell *s); /* with most bytes queued; NULL: nobody has any */
void tcp_check(struct shell *s);
void tcp_close_all(struct shell *s);
void tcp_deinit(struct shell *s);
const char *tcp_remote_host(const struct conn *c, char out[HOST_MAX_BYTES + 1]);

/* udp.c */
int udp_listen(struct shell *s, char error[256]);
void udp_send(struct shell *s, const struct addr *to, const struct message *m);

/* delay.c: messages held back by a fault; each is delivered later as if it had just come. */
void delay_message(struct shell *s, struct conn *c, struct bytes body, uint32_t ms);
void delay_datagram(struct shell *s, const struct addr *from, struct bytes datagram, uint32_t ms);
void delay_deinit(struct shell *s);
void udp_deliver(struct shell *s, const struct addr *from, struct bytes datagram);

/* effects.c */
void effects_run(struct shell *s);

/* lab.c: MSG_FAULT. */
void lab_order(struct shell *s, struct conn *c, const struct message *m);

#endif
