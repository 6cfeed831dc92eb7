/* kvcli watch: what its files share.
 *
 *     kvcli_watch.c        the command: a loop, a second's tick, keys and signals; asks the nodes
 *     kvcli_watch_view.c   the view: what the nodes said, rates, the timeline (pure)
 *     kvcli_watch_draw.c   the view as lines of text (pure)
 *     kvcli_watch_json.c   the view as JSON
 *     kvcli_screen.c       the terminal
 *
 * A round a second: every member is asked how it sees the others and what its counters are. What is shown of
 * a node's state is what most of them say; the matrix shows each word. */
#ifndef CMD_KVCLI_WATCH_H
#define CMD_KVCLI_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cmd/common_progress.h"
#include "kv.h"

#define WATCH_NODES_MAX   128u /* shown and asked; of more members the first in order of id */
#define WATCH_HISTORY_MAX 512u /* columns of the timeline that are kept */
#define WATCH_QUEUE_MAX   32u  /* changes of the ring that wait */
#define WATCH_TEXT_MAX    160u
#define WATCH_UNKNOWN     255u /* no word, beside enum kv_member_state */
#define WATCH_ABSENT      254u /* of a strip: the node was not known then */

/* A node's counters at one time. */
struct watch_sample {
    uint64_t at_us; /* 0: none yet */
    uint64_t ok, failed;
    uint64_t gossip_bytes;
    uint64_t hints, hints_bytes;
    uint64_t rows;
    uint64_t generation;
};

struct watch_node {
    bool used; /* this slot holds a node */
    uint32_t id;
    char name[64];
    char address[80];
    const char *ring; /* static: "normal", ... */
    uint32_t partitions;
    uint32_t taken, gains; /* while the ring changes: partitions taken over, of those it gains */
    double share;
    uint64_t named_round;          /* some answer named it last */
    uint64_t heard_round;          /* it told how it sees the others last */
    uint64_t stats_round;          /* and its counters */
    uint8_t sees[WATCH_NODES_MAX]; /* its word on each slot */
    struct watch_sample last;
    bool rated; /* two samples of the same process: the rates below mean something */
    double ok_per_s, failed_per_s, gossip_per_s;
    uint8_t strip[WATCH_HISTORY_MAX]; /* its state in each round, as watch_state says */
};

/* A round of the timeline. */
struct watch_column {
    bool heard; /* somebody answered */
    uint64_t ok, failed;
};

struct watch_view {
    uint64_t round;                           /* from 1 */
    uint64_t ended;                           /* the last one that is over: what the timeline ends with */
    struct watch_node nodes[WATCH_NODES_MAX]; /* a slot keeps its place while it is used */
    uint32_t node_count;
    uint32_t order[WATCH_NODES_MAX]; /* slots in order of id, then name */
    uint64_t heard_round;            /* 0: nobody has answered yet */
    /* From the answer with the newest ring. */
    char cluster[64];
    char seen_by[64];
    uint64_t facts_round;
    uint64_t epoch;
    uint64_t ring_hash;
    uint8_t phase;
    uint32_t queue_count;
    char queue[WATCH_QUEUE_MAX][WATCH_TEXT_MAX];
    struct progress progress;
    char trouble[WATCH_TEXT_MAX];                   /* why the last try found nobody */
    uint64_t ok, failed;                            /* in this round, so far */
    struct watch_column columns[WATCH_HISTORY_MAX]; /* as a ring: column i is at i % WATCH_HISTORY_MAX */
};

void watch_view_init(struct watch_view *v);

/* A round: answers come in between. Answers that come late count where they come. */
void watch_round_begin(struct watch_view *v);
void watch_round_end(struct watch_view *v);

/* A node's word on all others. */
void watch_heard_status(struct watch_view *v, uint64_t now_us, const struct kv_status *s);

/* A node's counters. `slot`: whose they are. */
void watch_heard_stats(struct watch_view *v, uint32_t slot, uint64_t now_us, const struct kv_stats *s);

/* Nobody could be asked. */
void watch_heard_nobody(struct watch_view *v, const char *why);

/* The slot of a node that is shown; WATCH_NODES_MAX: none. */
uint32_t watch_find(const struct watch_view *v, uint32_t id, const char *name);

/* What most nodes that answered in this round say of it, itself included; the worse of equals. WATCH_UNKNOWN:
 * nobody says anything. */
uint8_t watch_state(const struct watch_view *v, uint32_t slot);

/* A word of this round: how `observer` sees `slot`. */
uint8_t watch_word(const struct watch_view *v, uint32_t observer, uint32_t slot);

/* Sums over all nodes. */
struct watch_total {
    uint32_t states[4]; /* nodes by enum kv_member_state */
    uint32_t unknown;
    double ok_per_s, failed_per_s, gossip_per_s;
    uint64_t hints, hints_bytes, rows;
    uint64_t ok, failed; /* in the rounds that the timeline holds */
    double peak_per_s;   /* operations of its busiest round */
};
struct watch_total watch_total(const struct watch_view *v, uint32_t columns);

struct watch_page {
    uint32_t width, height; /* height 0: as many lines as it takes */
    uint32_t first;         /* node row to begin with, when not all fit */
    bool color;
    bool utf8;
    const char *clock; /* the time of day */
};

/* The page as lines, each ended by \n, none wider than page->width. KV_E_NO_MEMORY leaves it short. */
int watch_draw(const struct watch_view *v, const struct watch_page *page, struct buf *out);

void watch_json(const struct watch_view *v); /* one line on standard output */

#endif
