/* One note on its way: see hints.h. */
#include "base/assert.h"
#include "base/mutant.h"
#include "kv_error.h"
#include "model/id.h"
#include "model/key.h"
#include "repair/heirs.h"
#include "repair/hints_internal.h"

uint64_t hints_op(const struct keeper *k, uint32_t entry)
{
    uint64_t serial = ((uint64_t)k->index << PAGE_BITS | k->page) << ENTRY_BITS | entry;
    return id_make(ID_HINTS, serial);
}

void hints_entry_close(struct keeper *k, struct entry *e, bool failed)
{
    KV_ASSERT(e->state != ENTRY_DONE && k->open > 0);
    e->state = ENTRY_DONE;
    k->open--;
    k->failed |= failed;
}

static void entry_forget(struct keeper *k, uint32_t i, struct outbox *out)
{
    struct entry *e = &k->entries[i];
    struct bytes key = arena_copy(&out->arena, buf_bytes(&e->key));
    e->state = ENTRY_FORGETTING;
    if (key.len != e->key.len) {
        hints_entry_close(k, e, true);
        return;
    }
    struct effect *f = outbox_add(out, EF_STORE_HINT_DONE);
    f->op = hints_op(k, i);
    f->hint_done.member = k->member;
    f->hint_done.key = key;
    f->hint_done.stamp = e->stamp;
    f->hint_done.drop_row = e->drop_row;
}

/* All heirs that could be reached have it. */
static void entry_handed_over(struct keeper *k, uint32_t i, struct outbox *out)
{
    k->blocked |= k->entries[i].missed;
    if (k->entries[i].missed)
        hints_entry_close(k, &k->entries[i], false);
    else
        entry_forget(k, i, out);
}

/* ---- to whom */

static bool stays(const struct hints *h, uint32_t member)
{
    const struct member *m = ring_value_find(&h->ring->value, member);
    return m && !m->dead && m->weight > 0 && m->old_weight > 0; /* this node leaves: the ring changes */
}

/* Who could keep notes in this node's place: an heir that gets the row anyway, or the next on the list. 0:
 * nobody can be reached. */
static uint32_t substitute(const struct hints *h, const struct entry *e, uint32_t partition)
{
    uint32_t list[PREFERENCE_MAX];
    for (uint32_t at = 0; at < e->count; at++) {
        if (e->waiting & (1u << at) && stays(h, e->to[at]))
            return e->to[at];
    }
    uint32_t count = ring_preference(h->ring, partition, list);
    for (uint32_t p = 0; p < count; p++) {
        if (list[p] != h->self && stays(h, list[p]) && hints_reachable(h, list[p]))
            return list[p];
    }
    return 0;
}

/* Heirs that cannot be reached. */
struct missed {
    uint32_t count;
    uint32_t members[HOLDERS_MAX];
};

/* Finds out whom the row goes to: of the heirs, those that can be reached; this node itself has it. A member
 * that is given up may yet be a home again: its note is never inherited, only kept by somebody else. */
static struct missed address(const struct hints *h, const struct keeper *k, struct entry *e,
                             uint32_t partition)
{
    struct missed missed = {0};
    const struct member *m = ring_value_find(&h->ring->value, k->member);
    bool given_up = m && m->dead;
    e->waiting = 0;
    e->to[0] = k->member;
    e->count = given_up ? 1 : (uint8_t)heirs_of(h->ring, partition, k->member, e->to);
    for (uint32_t at = 0; at < e->count; at++) {
        if (e->to[at] == h->self)
            continue;
        if (!given_up && hints_reachable(h, e->to[at]))
            e->waiting |= (uint16_t)(1u << at);
        else
            missed.members[missed.count++] = e->to[at];
    }
    return missed;
}

/* Its word is waited for too: in the place of one who is missed, if it is no heir. */
static void add(const struct hints *h, struct entry *e, uint32_t member)
{
    uint32_t place = HOLDERS_MAX;
    for (uint32_t at = 0; at < e->count; at++) {
        bool waiting = e->waiting & (1u << at);
        if (waiting && e->to[at] == member)
            return;
        if (!waiting && e->to[at] != h->self)
            place = at;
    }
    KV_ASSERT(place < e->count);
    e->to[place] = member;
    e->waiting |= (uint16_t)(1u << place);
}

/* ---- the row */

static void entry_send(const struct hints *h, struct keeper *k, uint32_t i, const struct row *row,
                       uint64_t hlc, struct outbox *out)
{
    struct entry *e = &k->entries[i];
    struct bytes key = arena_copy(&out->arena, buf_bytes(&e->key));
    e->state = ENTRY_SENT;
    if (key.len != e->key.len) {
        hints_entry_close(k, e, true);
        return;
    }
    uint32_t partition = ring_partition(h->ring, key_token(key));
    struct missed missed = address(h, k, e, partition);
    uint32_t instead = h->leaving && missed.count ? substitute(h, e, partition) : 0;
    e->missed = missed.count && !instead;
    if (instead)
        add(h, e, instead);
    for (uint32_t at = 0; at < e->count; at++) {
        if (!(e->waiting & (1u << at)))
            continue;
        struct message *m = outbox_send(out, to_peer(e->to[at]), MSG_WRITE, hints_op(k, i));
        m->write.key = key;
        m->write.row = row_ref(row);
        m->write.began_hlc = hlc;
        m->write.flags = WRITE_HANDOFF;
        m->write.hint_count = (uint8_t)(e->to[at] == instead ? missed.count : 0);
        memcpy(m->write.hints, missed.members, m->write.hint_count * sizeof missed.members[0]);
        k->page_bytes += e->bytes;
    }
    if (!e->waiting)
        entry_handed_over(k, i, out);
}

/* The row is never older than its note. Were it, the note could not be met: then it goes with what there is,
 * and the row stays. */
void hints_entry_begin(const struct hints *h, struct keeper *k, uint32_t i, const struct page_entry *p,
                       uint64_t hlc, struct outbox *out)
{
    struct entry *e = &k->entries[i];
    if (p->unreadable) {
        k->found++;
        k->blocked = true;
        return;
    }
    uint32_t partition = ring_partition(h->ring, key_token(p->key));
    bool current = stamp_cmp(p->row.stamp, p->hint) >= 0;
    if (buf_set(&e->key, p->key)) {
        k->failed = true;
        return;
    }
    e->purged = row_is_absent(&p->row);
    e->drop_row = !e->purged && current && !ring_is_home(h->ring, partition, h->self);
    e->stamp = current ? p->row.stamp : p->hint;
    e->bytes = p->key.len + blob_bytes(p->row.payload).len;
    k->open++;
    if (e->purged)
        entry_forget(k, i, out);
    else
        entry_send(h, k, i, &p->row, hlc, out);
}

/* ---- its answers */

/* Whether this member's word is waited for; it is not any more. */
static bool take_word(struct entry *e, uint32_t member)
{
    for (uint32_t at = 0; at < e->count; at++) {
        if (e->to[at] != member || !(e->waiting & (1u << at)))
            continue;
        e->waiting &= (uint16_t) ~(1u << at);
        return true;
    }
    return false;
}

bool hints_entry_acked(struct keeper *k, uint32_t i, uint32_t member, int status, struct outbox *out)
{
    struct entry *e = &k->entries[i];
    if (e->state != ENTRY_SENT || !take_word(e, member))
        return false;
    if (MUTANT(handoff_refused, status != KV_OK, false))
        hints_entry_close(k, e, true);
    else if (!e->waiting)
        entry_handed_over(k, i, out);
    return true;
}
