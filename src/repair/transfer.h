/* Taking partitions over (DESIGN section 7, "Moving"): while the ring changes, a new home of a partition
 * pulls the rows of it from those who were its homes before, page by page in token order (MSG_PULL,
 * MSG_ROWS), and merges them into its store. When all that it gains is there and durable it is WHOLE.
 *
 * Whom it has to read says ring_takes_over: the old home of the slot that it takes, or, where that is given
 * up (dead) or there is none, a majority of the old homes; each completely. Of several it chooses those that
 * can be reached; too few within reach are waited for. When fewer are left at all, what they have is taken,
 * and the loss is logged.
 *
 * No snapshot is held over the pages: every page is read by a source that has adopted the change, merges only
 * go up, and what is acknowledged later was sent to the new home as well. For the same reason a partition
 * that was taken over stays taken over when another home is given up midway (a new source_epoch): only those
 * that are not finished ask other sources then.
 *
 * What is finished, and how far the others are, is noted in the store, at most once in TRANSFER_NOTE_US and
 * before WHOLE is said: a restart, of either end, goes on at the last token that is durable here. A page that
 * is lost, refused or damaged is asked for again.
 *
 * Bounded: per source TRANSFER_WINDOW partitions at once, each with one page in flight; one, and a smaller
 * page, while this node has foreground requests, whose writes are in the same batches;
 * TRANSFER_HELD_MAX_BYTES of pages that are not durable yet; and a rate. */
#ifndef REPAIR_TRANSFER_H
#define REPAIR_TRANSFER_H

#include "model/outbox.h"
#include "ring/ring.h"

#define TRANSFER_WINDOW          4u           /* partitions in flight per source */
#define TRANSFER_PAGE_BYTES      (256u << 10) /* of a page, but for a single row that is larger */
#define TRANSFER_BUSY_PAGE_BYTES (64u << 10)  /* ... while there are foreground requests */
#define TRANSFER_HELD_MAX_BYTES  (16u << 20)
#define TRANSFER_RATE_BYTES      (UINT64_C(32) << 20) /* a second, of all sources together; the default */
#define TRANSFER_NOTE_US         UINT64_C(1000000)
#define TRANSFER_ANSWER_US       UINT64_C(5000000) /* doubled with each page that does not come */
#define TRANSFER_BUSY_RETRY_US   UINT64_C(50000)   /* a source that is busy is asked again */
#define TRANSFER_RETRY_US        UINT64_C(500000)  /* ... that refused otherwise; a disk that was full */
#define TRANSFER_LOG_US          UINT64_C(60000000)

struct transfer;

struct transfer_config {
    uint32_t self;
    uint64_t rate_bytes;     /* a second; 0: TRANSFER_RATE_BYTES */
    uint32_t page_bytes;     /* of a page at most; 0, or more than that: TRANSFER_PAGE_BYTES */
    uint32_t row_age_max_ms; /* rows read longer ago than this are refused */
    const char *meta;        /* static: the name under which the store keeps how far this is, */
    struct bytes noted;      /* and what it keeps; empty: nothing. Copied */
};

int transfer_create(const struct transfer_config *config, struct transfer **out);
void transfer_destroy(struct transfer *t);

/* A ring was adopted. KV_E_NO_MEMORY: nothing is under way then. */
int transfer_ring_set(struct transfer *t, struct now now, const struct ring *ring, struct outbox *out);

void transfer_peer_set(struct transfer *t, struct now now, uint32_t member, bool reachable,
                       struct outbox *out);

/* Whether this node has foreground requests in flight: looked at whenever a page could be asked for. */
void transfer_busy_set(struct transfer *t, bool busy);

/* MSG_ROWS, whoever sends it; `clock` is this node's. */
void transfer_rows(struct transfer *t, struct now now, const struct clock *clock, uint32_t member,
                   const struct message *m, struct outbox *out);

/* EV_STORE_WRITTEN of an ID_TRANSFER operation. */
void transfer_written(struct transfer *t, struct now now, const struct event *in, struct outbox *out);

void transfer_tick(struct transfer *t, struct now now, struct outbox *out);
uint64_t transfer_deadline_us(const struct transfer *t);

/* The source_epoch under which this node holds all that it gains, durably; 0: not (yet), or the ring is
 * STABLE. It changes within the calls above that take an outbox only, so whoever tells the peers looks after
 * each step. A node that gains nothing is whole at once. */
uint64_t transfer_whole(const struct transfer *t);

/* Of the change that is under way; all 0 while none is. */
struct transfer_progress {
    uint64_t source_epoch;
    uint32_t partitions_done, partitions_total;
    uint64_t bytes;      /* taken over in this life */
    uint64_t rate_bytes; /* a second, lately */
};
struct transfer_progress transfer_progress(const struct transfer *t);

/* Of this life. */
struct transfer_counters {
    uint64_t pages, rows, bytes;
    uint64_t refused;  /* pages that a source refused */
    uint64_t timeouts; /* that did not come */
    uint64_t damaged;  /* that were not what was asked for */
    uint64_t lost;     /* partitions with fewer old homes left than could prove them complete */
};
struct transfer_counters transfer_counters(const struct transfer *t);

/* The largest stamp of the rows that came, of those that the clock may be told: the others are not refused,
 * but move no clock. */
uint64_t transfer_newest_hlc(const struct transfer *t);

/* Bytes of pages that are not durable yet. */
uint64_t transfer_held_bytes(const struct transfer *t);

void transfer_check(const struct transfer *t);

#endif
