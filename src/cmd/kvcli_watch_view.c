/* What the nodes said, and what follows from it. Pure: time comes in with the answers. */
#include "cmd/kvcli_watch.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cmd/kvcli_words.h"

#define FORGET_ROUNDS 3u /* a node that no answer has named for so long is gone */

void watch_view_init(struct watch_view *v)
{
    memset(v, 0, sizeof *v);
}

/* ---- nodes ---- */

uint32_t watch_find(const struct watch_view *v, uint32_t id, const char *name)
{
    for (uint32_t i = 0; i < WATCH_NODES_MAX; i++)
        if (v->nodes[i].used && v->nodes[i].id == id && (id || strcmp(v->nodes[i].name, name) == 0))
            return i;
    return WATCH_NODES_MAX;
}

static bool before(const struct watch_node *a, const struct watch_node *b)
{
    /* Who has no id yet comes last. */
    if (a->id != b->id)
        return a->id - 1 < b->id - 1;
    return strcmp(a->name, b->name) < 0;
}

static void sort_in(struct watch_view *v, uint32_t slot)
{
    uint32_t k = v->node_count++;
    for (; k > 0 && before(&v->nodes[slot], &v->nodes[v->order[k - 1]]); k--)
        v->order[k] = v->order[k - 1];
    v->order[k] = slot;
}

static uint32_t add_node(struct watch_view *v, uint32_t id, const char *name)
{
    uint32_t slot = 0;
    while (slot < WATCH_NODES_MAX && v->nodes[slot].used)
        slot++;
    if (slot == WATCH_NODES_MAX)
        return slot;
    struct watch_node *n = &v->nodes[slot];
    memset(n, 0, sizeof *n);
    memset(n->sees, WATCH_UNKNOWN, sizeof n->sees);
    memset(n->strip, WATCH_ABSENT, sizeof n->strip);
    for (uint32_t i = 0; i < WATCH_NODES_MAX; i++)
        v->nodes[i].sees[slot] = WATCH_UNKNOWN;
    n->used = true;
    n->id = id;
    n->ring = "";
    (void)snprintf(n->name, sizeof n->name, "%s", name);
    sort_in(v, slot);
    return slot;
}

static void forget(struct watch_view *v, uint32_t place)
{
    v->nodes[v->order[place]].used = false;
    v->node_count--;
    memmove(&v->order[place], &v->order[place + 1], (v->node_count - place) * sizeof *v->order);
}

/* ---- rounds ---- */

/* Words of the last round count until those of this one are there. */
static bool fresh(const struct watch_view *v, uint64_t round)
{
    return round && round + 1 >= v->round;
}

void watch_round_begin(struct watch_view *v)
{
    v->round++;
    v->ok = v->failed = 0;
}

void watch_round_end(struct watch_view *v)
{
    uint64_t at = v->round % WATCH_HISTORY_MAX;
    bool heard = v->heard_round == v->round;
    bool named = v->facts_round == v->round; /* a hub that is away names nobody, and so nobody has gone */
    v->ended = v->round;
    v->columns[at] = (struct watch_column){heard, v->ok, v->failed};
    for (uint32_t i = v->node_count; i-- > 0;) {
        uint32_t slot = v->order[i];
        struct watch_node *n = &v->nodes[slot];
        n->strip[at] = watch_state(v, slot);
        if (named && n->named_round + FORGET_ROUNDS < v->round)
            forget(v, i);
    }
}

/* ---- answers ---- */

/* What the newest ring says of everybody, and so of itself. */
static void take_facts(struct watch_view *v, uint64_t now_us, const struct kv_status *s)
{
    uint64_t done = 0, total = 0, bytes = 0;
    v->facts_round = v->round;
    v->epoch = s->epoch;
    v->ring_hash = s->ring_hash;
    v->phase = s->phase;
    (void)snprintf(v->cluster, sizeof v->cluster, "%s", s->cluster);
    (void)snprintf(v->seen_by, sizeof v->seen_by, "%s", s->seen_by);
    v->queue_count = s->queue_count < WATCH_QUEUE_MAX ? s->queue_count : WATCH_QUEUE_MAX;
    for (uint32_t i = 0; i < v->queue_count; i++)
        (void)snprintf(v->queue[i], sizeof v->queue[i], "%s", s->queue[i]);
    for (uint32_t i = 0; i < s->count; i++) {
        done += s->members[i].partitions_done;
        total += s->members[i].partitions_total;
        bytes += s->members[i].moved_bytes;
    }
    progress_look(&v->progress, now_us, done, total, bytes);
}

static void name_member(struct watch_view *v, uint32_t slot, const struct kv_member *m, bool newest)
{
    struct watch_node *n = &v->nodes[slot];
    n->named_round = v->round;
    if (!newest)
        return;
    (void)snprintf(n->address, sizeof n->address, "%s", m->address);
    n->ring = cli_ring_word(m);
    n->partitions = m->partitions;
    n->share = m->share;
    n->taken = m->partitions_done;
    n->gains = m->partitions_total;
}

void watch_heard_status(struct watch_view *v, uint64_t now_us, const struct kv_status *s)
{
    bool newest = v->facts_round != v->round || s->epoch >= v->epoch;
    v->heard_round = v->round;
    if (newest)
        take_facts(v, now_us, s);
    uint32_t slots[WATCH_NODES_MAX], count = s->count < WATCH_NODES_MAX ? s->count : WATCH_NODES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct kv_member *m = &s->members[i];
        slots[i] = watch_find(v, m->id, m->name);
        if (slots[i] == WATCH_NODES_MAX)
            slots[i] = add_node(v, m->id, m->name);
        if (slots[i] < WATCH_NODES_MAX)
            name_member(v, slots[i], m, newest);
    }
    uint32_t observer = watch_find(v, s->seen_by_id, s->seen_by);
    if (observer == WATCH_NODES_MAX)
        return;
    v->nodes[observer].heard_round = v->round;
    memset(v->nodes[observer].sees, WATCH_UNKNOWN, WATCH_NODES_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (slots[i] < WATCH_NODES_MAX)
            v->nodes[observer].sees[slots[i]] = s->members[i].state;
}

static struct watch_sample sample_of(uint64_t now_us, const struct kv_stats *s)
{
    static const char *const FAILED[] = {"ops_get_unavailable", "ops_get_timeout",     "ops_get_overloaded",
                                         "ops_get_refused",     "ops_put_unavailable", "ops_put_timeout",
                                         "ops_put_overloaded",  "ops_put_refused",     "requests_refused",
                                         "requests_unavailable"};
    static const char *const OK[] = {"ops_get_ok", "ops_get_not_found", "ops_put_ok"};
    struct watch_sample out = {.at_us = now_us};
    for (uint32_t i = 0; i < s->count; i++) {
        const struct kv_stat *c = &s->stats[i];
        for (size_t k = 0; k < sizeof FAILED / sizeof *FAILED; k++)
            out.failed += strcmp(c->name, FAILED[k]) == 0 ? c->value : 0;
        for (size_t k = 0; k < sizeof OK / sizeof *OK; k++)
            out.ok += strcmp(c->name, OK[k]) == 0 ? c->value : 0;
        if (strcmp(c->name, "udp_bytes_in") == 0 || strcmp(c->name, "udp_bytes_out") == 0)
            out.gossip_bytes += c->value;
        else if (strcmp(c->name, "hints_waiting") == 0)
            out.hints = c->value;
        else if (strcmp(c->name, "hints_bytes") == 0)
            out.hints_bytes = c->value;
        else if (strcmp(c->name, "rows") == 0)
            out.rows = c->value;
        else if (strcmp(c->name, "generation") == 0)
            out.generation = c->value;
    }
    return out;
}

void watch_heard_stats(struct watch_view *v, uint32_t slot, uint64_t now_us, const struct kv_stats *s)
{
    struct watch_node *n = &v->nodes[slot];
    struct watch_sample now = sample_of(now_us, s), was = n->last;
    KV_ASSERT(slot < WATCH_NODES_MAX && n->used);
    v->heard_round = v->round;
    n->stats_round = v->round;
    n->last = now;
    /* A process that was started anew counts from 0 again. */
    n->rated = was.at_us && was.at_us < now.at_us && was.generation == now.generation && was.ok <= now.ok &&
               was.failed <= now.failed && was.gossip_bytes <= now.gossip_bytes;
    if (!n->rated)
        return;
    double seconds = (double)(now.at_us - was.at_us) / 1e6;
    n->ok_per_s = (double)(now.ok - was.ok) / seconds;
    n->failed_per_s = (double)(now.failed - was.failed) / seconds;
    n->gossip_per_s = (double)(now.gossip_bytes - was.gossip_bytes) / seconds;
    v->ok += now.ok - was.ok;
    v->failed += now.failed - was.failed;
}

void watch_heard_nobody(struct watch_view *v, const char *why)
{
    (void)snprintf(v->trouble, sizeof v->trouble, "%s", why);
}

/* ---- what follows ---- */

uint8_t watch_word(const struct watch_view *v, uint32_t observer, uint32_t slot)
{
    return fresh(v, v->nodes[observer].heard_round) ? v->nodes[observer].sees[slot] : WATCH_UNKNOWN;
}

uint8_t watch_state(const struct watch_view *v, uint32_t slot)
{
    uint32_t votes[4] = {0}, most = 0;
    uint8_t state = WATCH_UNKNOWN;
    for (uint32_t i = 0; i < v->node_count; i++) {
        uint8_t word = watch_word(v, v->order[i], slot);
        if (word < 4)
            votes[word]++;
    }
    for (uint8_t i = 0; i < 4; i++) {
        if (votes[i] && votes[i] >= most) {
            most = votes[i];
            state = i;
        }
    }
    return state;
}

struct watch_total watch_total(const struct watch_view *v, uint32_t columns)
{
    struct watch_total t = {0};
    for (uint32_t i = 0; i < v->node_count; i++) {
        const struct watch_node *n = &v->nodes[v->order[i]];
        uint8_t state = watch_state(v, v->order[i]);
        if (state < 4)
            t.states[state]++;
        else
            t.unknown++;
        if (!fresh(v, n->stats_round))
            continue;
        t.hints += n->last.hints;
        t.hints_bytes += n->last.hints_bytes;
        t.rows += n->last.rows;
        if (n->rated) {
            t.ok_per_s += n->ok_per_s;
            t.failed_per_s += n->failed_per_s;
            t.gossip_per_s += n->gossip_per_s;
        }
    }
    for (uint32_t i = 0; i < columns && i < v->ended; i++) {
        const struct watch_column *c = &v->columns[(v->ended - i) % WATCH_HISTORY_MAX];
        t.ok += c->ok;
        t.failed += c->failed;
        double all = (double)(c->ok + c->failed);
        t.peak_per_s = all > t.peak_per_s ? all : t.peak_per_s;
    }
    return t;
}
