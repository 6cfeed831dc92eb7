/* What clients do to a cluster, and the record of it. Several clients, each a libkv of its own, several
 * requests at a time. The kinds of keys, told apart by their names:
 *
 *     reg-3     put, got and deleted, all strict: linearizable registers
 *     any-3     the same, all sloppy
 *     mix-3     sloppy puts and deletes, strict and sloppy gets
 *     ttl-3     put with a time to live
 *     gone-17   put once and deleted, soon after or at once or never: nothing later hides what comes back
 *     set-17    written once, by one client, odd ones strictly, and read again in the end: later writes hide
 * a lost one. All of them are scanned, page by page, again and again
 *
 * Every value is put once. */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "sim/check_history.h"
#include "sim/kv.h"

struct workload;

/* `ops` requests in all, over `us`. Nothing happens before workload_begin. */
struct workload *workload_create(struct sim *s, uint32_t clients, uint32_t ops, uint64_t us);
void workload_destroy(struct workload *w);
void workload_begin(struct workload *w);
void workload_end(struct workload *w); /* no more requests; those under way go on */

/* Requests that have not ended. */
uint32_t workload_pending(const struct workload *w);

/* A request of client 0, the scenario's own, or with `final` the settled store's reader. Recorded as all
 * others are. */
struct workload_ask {
    enum history_kind kind;
    const char *key, *value;
    bool strict, final;
    uint8_t r;
    uint32_t timeout_ms;
    uint64_t ttl_ms;
};
struct workload_answer {
    bool done;
    int status;
    bool unknown, proven;
    struct buf value; /* with a NUL behind it */
};
void workload_ask(struct workload *w, const struct workload_ask *ask, struct workload_answer *out);

/* Keys in order of their first use. */
uint32_t workload_keys(const struct workload *w);
struct bytes workload_key(const struct workload *w, uint32_t number);

/* A disk has lost a row of this key; `wiped`: with all others. */
void workload_lost(struct workload *w, struct bytes key, bool wiped);

/* Whether no disk has lost a row of this key. */
bool workload_whole(const struct workload *w, struct bytes key);

/* Whether a put of this value was acknowledged, and no disk has lost a row of its key. */
bool workload_acked(const struct workload *w, uint32_t key, struct bytes value);

/* Looks again whether all that strict requests were told still is so. Each is looked up when it is told, too.
 */
void workload_look(struct workload *w);

/* What was found not to be so: in words, NULL for nothing. */
const char *workload_unsettled(const struct workload *w);

/* How many have acknowledged, and how many there were. */
uint64_t workload_ok(const struct workload *w);
uint64_t workload_done(const struct workload *w);

/* Whether complete scans had every key of the set that was strictly acknowledged before they began: the first
 * that one of them has missed, {NULL, 0} for none, and when it began. Returns how many keys were looked for.
 */
uint64_t workload_scans(const struct workload *w, struct bytes *missed, uint64_t *start_ns);

/* The evidence, of all keys of which no disk has lost a row; or, with `kept`, at most one disk: a row that W
 * = 2 disks had is then still on one of them. A hint for the wiped node's member may be all that is left of a
 * row; it waits for a ring without that member, and until then counts as lost. */
void workload_history(const struct workload *w, bool kept, struct history *out);

#endif
