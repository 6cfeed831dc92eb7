/* The ring in force and how this node comes by a newer one: every header carries the sender's epoch, so who
 * is behind hears of it from anybody and fetches it (DESIGN section 4).
 *
 * While some members have put a ring in force and others have not yet, who is behind refuses what the others
 * ask, and requests wait. To compute it and to write it down takes each of them a time of its own, so it is
 * put in force not when that is done, but when somebody else has: every message says so, so it goes through
 * the cluster as fast as messages do. Who hears nothing of the kind goes first, TOGETHER_US after it came to
 * know the ring.
 *
 * Invariants: an epoch is on disk before it is served; the epoch in force never goes back; one is written at
 * a time. */
#include "base/mutant.h"
#include "node/internal.h"

#include <stdlib.h>

/* Longer than it usually takes to write a ring down, and not felt by whoever asked for the change. */
#define TOGETHER_US UINT64_C(30000)

uint64_t adopt_epoch(const struct node *n)
{
    return n->ring ? n->ring->value.epoch : 0;
}

bool adopt_leaving(const struct node *n)
{
    const struct member *m = n->ring ? ring_value_find(&n->ring->value, n->self) : NULL;
    return m && m->weight == 0;
}

bool adopt_stays(const struct node *n)
{
    const struct member *m = n->ring ? ring_value_find(&n->ring->value, n->self) : NULL;
    return m && m->weight > 0 && (n->ring->value.phase == RING_STABLE || m->old_weight > 0);
}

/* ---- asking, answering ---- */

void adopt_heard(struct node *n, struct endpoint from, uint64_t epoch)
{
    if (epoch <= adopt_epoch(n) || (n->adopt.next && epoch <= n->adopt.next->value.epoch))
        return;
    if (n->adopt.asked_us && n->now.mono_us < n->adopt.asked_us + RING_FETCH_US)
        return;
    n->adopt.asked_us = n->now.mono_us;
    outbox_send(n->out, from, MSG_RING_GET, id_make(ID_NODE, epoch));
}

void adopt_send(struct node *n, struct endpoint to, uint64_t id)
{
    struct message *m = outbox_send(n->out, to, MSG_RING, id);
    m->ring.value = blob_ref(n->adopt.value);
}

/* ---- taking one over ---- */

static void write_next(struct node *n)
{
    struct effect *e = outbox_add(n->out, EF_STORE_META);
    e->op = id_make(ID_NODE, OP_RING);
    e->meta.name = META_RING;
    e->meta.value = arena_copy(&n->out->arena, blob_bytes(n->adopt.next_value));
    n->adopt.retry_us = UINT64_MAX;
}

static int decode(const struct node *n, struct bytes value, struct ring **out)
{
    struct ring_value v;
    int rc = ring_value_decode(value, &v);
    if (rc != KV_OK)
        return rc;
    rc = ring_create_after(&v, n->ring, out);
    ring_value_deinit(&v);
    return rc;
}

static void drop_next(struct node *n)
{
    if (n->adopt.next)
        ring_destroy(n->adopt.next);
    blob_unref(n->adopt.next_value);
    n->adopt.next = NULL;
    n->adopt.next_value = NULL;
    n->adopt.retry_us = UINT64_MAX;
}

void adopt_begin(struct node *n, struct bytes value)
{
    if (n->adopt.next)
        return; /* one at a time; what is newer will be heard of again */
    int rc = decode(n, value, &n->adopt.next);
    if (rc == KV_OK &&
        (n->adopt.next->value.partitions != n->partitions || !centre_same(n, &n->adopt.next->value)))
        rc = KV_E_WRONG_CLUSTER;
    if (rc == KV_OK && n->adopt.next->value.epoch > adopt_epoch(n)) {
        n->adopt.next_value = blob_copy(value);
        rc = n->adopt.next_value ? KV_OK : KV_E_NO_MEMORY;
    }
    if (rc != KV_OK)
        outbox_log(n->out, LOG_ERROR, "event=ring_refused status=%s text=\"%s\"", kv_error_word(rc),
                   kv_error_text(rc));
    if (!n->adopt.next_value) {
        drop_next(n);
        return;
    }
    n->adopt.known_us = n->now.mono_us;
    write_next(n);
}

void adopt_message(struct node *n, const struct message *m)
{
    if (m->ring.value)
        adopt_begin(n, blob_bytes(m->ring.value));
}

/* ---- in force ---- */

/* By its store: whoever has our name with another one is in our place, or we in its. */
static const struct member *find_self(const struct node *n, const struct ring *r)
{
    for (uint32_t i = 0; i < r->value.member_count; i++) {
        const struct member *m = &r->value.members[i];
        if (strcmp(m->name, n->name) == 0 && MUTANT(wrong_store, m->store_id == n->store_id, true))
            return m;
    }
    return NULL;
}

/* ---- in the ring, and out of it for ever */

/* A store that is taken into a ring is marked: when a later ring is without it, what it holds is of the past,
 * and it must never come back as if it were blank. Written before the ring that may say so can be. */
static void mark_member(struct node *n)
{
    if (!n->self || n->adopt.member == n->self)
        return;
    n->adopt.mark_us = UINT64_MAX;
    uint8_t id[8];
    be64_put(id, n->self);
    struct effect *e = outbox_add(n->out, EF_STORE_META);
    e->op = id_make(ID_NODE, OP_MEMBER);
    e->meta.name = META_MEMBER;
    e->meta.value = arena_copy(&n->out->arena, bytes_of(id, sizeof id));
}

void adopt_marked(struct node *n, int status)
{
    if (status == KV_OK)
        n->adopt.member = n->self;
    else
        n->adopt.mark_us = n->now.mono_us + META_RETRY_US;
}

/* Given up for the change that is under way, the others go on as if this node did not exist: so it must not.
 * It may come back, and waits, without a part in anything, for the end of the change, when it is a member as
 * before or none.
 */
static bool given_up(const struct member *self)
{
    return self && self->dead;
}

/* The new ring has no place for this node: `old` is the one before, NULL at the start of a life. */
static void leave(struct node *n, const struct ring *old, const struct ring *next)
{
    if (find_self(n, next)) {
        node_exit(n, KV_E_NOT_MEMBER,
                  "this node was not heard of, and is given up for the change of the ring that is under way. "
                  "Started "
                  "again, it waits for the end of it");
        return;
    }
    const struct member *before = old ? ring_value_find(&old->value, n->self) : NULL;
    bool asked = before && before->weight == 0 && old->value.phase != RING_STABLE;
    if (asked && next->value.phase == RING_STABLE) {
        outbox_log(n->out, LOG_INFO, "event=left name=%s epoch=%llu text=\"left the ring\"", n->name,
                   (unsigned long long)next->value.epoch);
        node_exit(n, KV_OK, "left the ring");
        return;
    }
    if (centre_is_here(n)) {
        node_exit(n, KV_E_NOT_MEMBER,
                  "this node is the hub, and its store is not the one that the ring knows: nobody else could "
                  "take it in. Start it with the store that it had; if that is lost, found a new cluster, "
                  "with what kvcli get --local still reads from the others");
        return;
    }
    node_exit(
        n, KV_E_NOT_MEMBER,
        arena_printf(&n->out->arena,
                     "this store is out of the ring since epoch %llu: the others have taken its place. Start "
                     "with a blank store, to join as new",
                     (unsigned long long)next->value.epoch));
}

static void log_place(struct node *n)
{
    const struct ring *r = n->ring;
    if (n->self)
        outbox_log(n->out, LOG_INFO,
                   "event=ring epoch=%llu members=%u replicas=%u id=%u partitions=%u hash=%016llx",
                   (unsigned long long)r->value.epoch, r->value.member_count, r->value.replicas, n->self,
                   ring_owned(r, n->self), (unsigned long long)r->hash);
    else
        outbox_log(n->out, LOG_WARN,
                   "event=newcomer epoch=%llu name=%s store=%016llx text=\"this store has no part in the "
                   "cluster's ring\"",
                   (unsigned long long)r->value.epoch, n->name, (unsigned long long)n->store_id);
}

/* Who is a member now, and who not any more. A founder that has welcomed us is known to be alive; everybody
 * else is unproven until first heard of. */
static int tell_members(struct node *n, const struct ring *old)
{
    const struct ring_value *v = &n->ring->value;
    for (uint32_t i = 0; old && i < old->value.member_count; i++) {
        const struct member *m = ring_value_find(v, old->value.members[i].id);
        if (!m || m->dead)
            membership_remove(n, old->value.members[i].id);
    }
    for (uint32_t i = 0; i < v->member_count; i++) {
        if (v->members[i].id == n->self || v->members[i].dead)
            continue;
        int rc = membership_add(n, v->members[i].id, &v->members[i].addr);
        if (rc != KV_OK)
            return rc;
        const struct peer *p = peers_find(n, v->members[i].id);
        if (p && p->up)
            membership_heard(n, p->id, p->generation, &p->addr);
    }
    return KV_OK;
}

/* The ring of n->ring is told to everybody; `old` is the one before, or NULL. */
static int tell_all(struct node *n, const struct ring *old)
{
    int rc = n->self && !n->coord ? parts_create(n) : KV_OK;
    if (rc == KV_OK)
        rc = peers_set(n);
    if (rc != KV_OK || !n->self)
        return rc;
    rc = tell_members(n, old);
    if (rc == KV_OK)
        rc = paxos_ring_set(n->paxos, &n->ring->value);
    coord_ring_set(n->coord, n->now, n->ring, n->out);
    scans_ring_set(n->scans, n->now, n->ring);
    hints_ring_set(n->hints, n->ring);
    rc = rc == KV_OK ? move_ring_set(n) : rc;
    rc = rc == KV_OK ? sweep_ring_set(n) : rc; /* releases its holds before these are forgotten */
    return rc == KV_OK ? heal_ring_set(n) : rc;
}

static void put_in_force(struct node *n, struct ring *next, struct blob *value)
{
    struct ring *old = n->ring;
    bool founding = form_active(n);
    const struct member *self = find_self(n, next);
    bool gone = !self && (n->self || n->adopt.member || centre_is_here(n));
    if (gone || (n->self && given_up(self))) {
        leave(n, old, next);
        ring_destroy(next);
        blob_unref(value);
        return;
    }
    n->ring = next;
    n->self = self && !given_up(self) ? self->id : 0;
    blob_unref(n->adopt.value);
    n->adopt.value = value;
    int rc = tell_all(n, old);
    if (old)
        ring_destroy(old);
    if (rc != KV_OK) {
        node_exit(n, rc, "no memory for the newest ring");
        return;
    }
    log_place(n);
    mark_member(n);
    conns_ring_changed(n);
    stores_ring_changed(n);
    change_ring_changed(n);
    for (uint32_t i = 0; founding && i < n->peers.count; i++)
        if (n->peers.items[i].up)
            adopt_send(n, to_peer(n->peers.items[i].id), 0); /* others may still be waiting for it */
}

/* Whether what is written down is to be put in force now. Who serves nothing, or nobody's peer, waits for
 * nobody. */
static bool is_time(const struct node *n)
{
    bool alone = true;
    for (uint32_t i = 0; i < n->peers.count; i++) {
        if (n->peers.items[i].epoch >= n->adopt.next->value.epoch)
            return true;
        alone = alone && !n->peers.items[i].up;
    }
    return alone || !n->self || n->now.mono_us >= n->adopt.known_us + TOGETHER_US;
}

void adopt_look(struct node *n)
{
    if (!n->adopt.written || !is_time(n))
        return;
    struct ring *next = n->adopt.next;
    struct blob *value = n->adopt.next_value;
    n->adopt.next = NULL;
    n->adopt.next_value = NULL;
    n->adopt.written = false;
    put_in_force(n, next, value);
}

void adopt_written(struct node *n, int status)
{
    KV_ASSERT(n->adopt.next && !n->adopt.written);
    if (status != KV_OK) {
        n->adopt.retry_us = n->now.mono_us + META_RETRY_US;
        return;
    }
    n->adopt.written = true;
    adopt_look(n);
}

void adopt_tick(struct node *n)
{
    adopt_look(n);
    if (n->adopt.retry_us <= n->now.mono_us)
        write_next(n);
    if (n->adopt.mark_us <= n->now.mono_us)
        mark_member(n);
}

uint64_t adopt_deadline_us(const struct node *n)
{
    uint64_t force_us = n->adopt.written ? n->adopt.known_us + TOGETHER_US : UINT64_MAX;
    uint64_t again_us = n->adopt.retry_us < n->adopt.mark_us ? n->adopt.retry_us : n->adopt.mark_us;
    return force_us < again_us ? force_us : again_us;
}

/* ---- at the start of a life ---- */

int adopt_restore(struct node *n, struct bytes value)
{
    int rc = decode(n, value, &n->ring);
    if (rc != KV_OK)
        return rc == KV_E_NO_MEMORY ? rc : KV_E_CORRUPT;
    n->adopt.value = blob_copy(value);
    if (!n->adopt.value)
        return KV_E_NO_MEMORY;
    n->partitions = n->ring->value.partitions;
    const struct member *self = find_self(n, n->ring);
    if (!self)
        return KV_OK;
    /* Given up, it waits, and with it what it keeps for others: as a member again it hands that over. */
    rc = hints_create(self->id, n->hints_max_bytes, &n->hints);
    if (rc != KV_OK || given_up(self))
        return rc;
    n->self = self->id;
    return parts_create(n);
}

void adopt_start(struct node *n)
{
    if (!n->ring)
        return;
    if ((n->adopt.member || centre_is_here(n)) && !find_self(n, n->ring)) {
        leave(n, NULL, n->ring);
        return;
    }
    int rc = tell_all(n, NULL);
    if (rc != KV_OK) {
        node_exit(n, rc, "no memory for the ring");
        return;
    }
    log_place(n);
    mark_member(n);
    change_ring_changed(n);
}

void adopt_deinit(struct node *n)
{
    drop_next(n);
    blob_unref(n->adopt.value);
    if (n->ring)
        ring_destroy(n->ring);
}
