/* A round, from the driver's side. Its states, and which may follow which: the table below; what each rules
 * out: purge.h. */
#include "base/mutant.h"
#include "repair/purge_internal.h"

#include "model/key.h"

#include <stdlib.h>

#define BIT(state) (1u << (state))

static const uint16_t follows[ROUND_STATES] = {
    [ROUND_FREE] = BIT(ROUND_FENCED),
    [ROUND_FENCED] = BIT(ROUND_LISTING) | BIT(ROUND_FREE),
    [ROUND_LISTING] = BIT(ROUND_PAUSED) | BIT(ROUND_SAME) | BIT(ROUND_FREE),
    [ROUND_PAUSED] = BIT(ROUND_LISTING) | BIT(ROUND_FREE),
    [ROUND_SAME] = BIT(ROUND_NONE) | BIT(ROUND_WAITING) | BIT(ROUND_FREE),
    [ROUND_NONE] = BIT(ROUND_WAITING) | BIT(ROUND_FREE),
    [ROUND_WAITING] = BIT(ROUND_STILL) | BIT(ROUND_FREE),
    [ROUND_STILL] = BIT(ROUND_DELETING) | BIT(ROUND_WAITING) | BIT(ROUND_FREE),
    [ROUND_DELETING] = BIT(ROUND_FREE),
};

static bool lists(enum round_state state)
{
    return state == ROUND_FENCED || state == ROUND_LISTING || state == ROUND_PAUSED;
}

/* Moves along the table, and counts. */
static void move(struct purge *p, struct round *r, enum round_state to)
{
    KV_ASSERT(follows[r->state] & BIT(to));
    p->talking -= round_talks(r);
    p->listing -= lists(r->state);
    r->state = (uint8_t)to;
    p->talking += round_talks(r);
    p->listing += lists(to);
}

/* The heap has room for every round. */
static void wake(struct purge *p, struct round *r, uint64_t at_us)
{
    int rc = heap_set(&p->timers, &r->timer, at_us);
    KV_ASSERT(rc == KV_OK);
}

static uint64_t next_id(struct purge *p, struct round *r)
{
    r->serial = ++p->serial;
    return purge_id(SIDE_ROUND, r->index, r->serial);
}

/* ---- the end */

/* What was asked for may still be answered: it is late then. */
static void round_free(struct purge *p, const struct purge_turn *t, struct round *r)
{
    move(p, r, ROUND_FREE);
    heap_remove(&p->timers, &r->timer);
    p->held_bytes -= r->keys.len;
    p->round_count--;
    p->rounds[r->index] = NULL;
    buf_deinit(&r->keys);
    free(r);
    purge_look(p, t->now.mono_us + PURGE_PACE_US);
}

void round_end(struct purge *p, const struct purge_turn *t, struct round *r, enum purge_end why)
{
    struct mark *m = &p->marks[r->partition];
    p->counters.ends[why]++;
    if (lists(r->state))
        m->looking = false; /* it begins again */
    if (why == PURGE_DONE)
        m->idle = 0;
    if (why != PURGE_DONE || r->left)
        mark_again(p, t, r->partition);
    if (why == PURGE_EMPTY && m->idle < PURGE_BACKOFF_MAX)
        m->idle++;
    round_free(p, t, r);
}

void rounds_end(struct purge *p, const struct purge_turn *t, enum purge_end why)
{
    for (uint32_t i = 0; i < PURGE_ROUNDS_MAX; i++) {
        if (p->rounds[i])
            round_end(p, t, p->rounds[i], why);
    }
}

/* ---- listing */

/* A row on its way into the store has marked its partition, and a look takes the mark away: it must see that
 * row. Looking for keys, be it for none, waits its turn among the writes; pages do not. */
static void fence_ask(struct purge *p, const struct purge_turn *t, struct round *r)
{
    struct effect *e = outbox_add(t->out, EF_STORE_HAS);
    e->op = next_id(p, r);
}

/* There is no time limit on the store: it always answers. */
static void page_ask(struct purge *p, const struct purge_turn *t, struct round *r)
{
    uint64_t token = p->marks[r->partition].resume_token;
    heap_remove(&p->timers, &r->timer);
    struct effect *e = outbox_add(t->out, EF_STORE_ROWS);
    e->op = next_id(p, r);
    e->rows.after.token = token;
    if (r->partition + 1 < p->partitions)
        e->rows.until_token = partition_first_token(r->partition + 1, p->partitions);
    e->rows.limit = SCAN_PAGE_MAX;
    e->rows.headers = true;
}

static uint32_t free_place(const struct purge *p)
{
    uint32_t i = 0;
    while (p->rounds[i])
        i++;
    return i;
}

bool round_begin(struct purge *p, const struct purge_turn *t, uint32_t partition)
{
    struct round *r = calloc(1, sizeof *r);
    if (!r)
        return false;
    r->index = free_place(p);
    KV_ASSERT(r->index < PURGE_ROUNDS_MAX);
    r->partition = partition;
    r->name = t->hlc > p->last_name ? t->hlc : p->last_name + 1;
    p->last_name = r->name;
    p->rounds[r->index] = r;
    p->round_count++;
    p->counters.rounds++;
    move(p, r, ROUND_FENCED);
    fence_ask(p, t, r);
    return true;
}

/* Room for any key in both the list and the keys. */
static bool has_room(const struct round *r)
{
    return r->count < STORE_KEYS_MAX && r->keys.len + KEY_MAX_BYTES <= PURGE_PAGE_BYTES;
}

/* KV_E_NO_MEMORY. */
static int take_row(struct purge *p, struct round *r, const struct page_entry *e, uint64_t due_hlc)
{
    uint32_t at = (uint32_t)r->keys.len;
    int rc = buf_append(&r->keys, e->key);
    if (rc != KV_OK)
        return rc;
    p->held_bytes += e->key.len;
    p->counters.seen++;
    if (due_hlc > r->after_hlc)
        r->after_hlc = due_hlc;
    r->rows[r->count++] = (struct round_row){.at = at, .len = (uint16_t)e->key.len, .stamp = e->row.stamp};
    return KV_OK;
}

/* Takes the dead ones; of those that will be, the mark is told. False: the page is not finished, for the
 * round is full (`resume_token` says where it stands) or there is no memory. */
static bool take_page(struct purge *p, const struct purge_turn *t, struct round *r, const struct event *in)
{
    for (uint32_t i = 0; i < in->page.count; i++) {
        const struct page_entry *e = &in->page.entries[i];
        uint64_t due = mark_due_hlc(&e->row), token = key_token(e->key);
        if (due == 0)
            continue;
        if (!turn_past(t, due)) {
            mark_set(p, t, r->partition, due);
            continue;
        }
        p->marks[r->partition].resume_token = token;
        if (!has_room(r) || take_row(p, r, e, due) != KV_OK)
            return false;
    }
    p->marks[r->partition].resume_token = in->page.next.token + 1;
    return true;
}

static void ask_same(struct purge *p, const struct purge_turn *t, struct round *r);

static void fence_passed(struct purge *p, const struct purge_turn *t, struct round *r, int status)
{
    if (status != KV_OK) {
        round_end(p, t, r, PURGE_REFUSED);
        return;
    }
    move(p, r, ROUND_LISTING);
    page_ask(p, t, r);
}

/* Rows of one token that a page ends between are passed over until the next look: hardly ever are there two.
 */
static void page_listed(struct purge *p, const struct purge_turn *t, struct round *r, const struct event *in)
{
    struct mark *m = &p->marks[r->partition];
    bool finished = in->page.status == KV_OK && take_page(p, t, r, in);
    bool all_listed = finished && (in->page.done || m->resume_token == 0);
    if (all_listed)
        m->looking = false;
    if (finished && !all_listed) {
        move(p, r, ROUND_PAUSED);
        wake(p, r, t->now.mono_us + PURGE_PACE_US);
    } else if (r->count) {
        ask_same(p, t, r);
    } else if (finished) {
        p->counters.ends[PURGE_EMPTY]++;
        round_free(p, t, r);
    } else {
        round_end(p, t, r, PURGE_REFUSED);
    }
}

void round_stored(struct purge *p, const struct purge_turn *t, struct round *r, const struct event *in)
{
    if (in->type == EV_STORE_HAS) {
        KV_ASSERT(r->state == ROUND_FENCED);
        fence_passed(p, t, r, in->has.status);
    } else {
        KV_ASSERT(r->state == ROUND_LISTING && in->type == EV_STORE_PAGE);
        page_listed(p, t, r, in);
    }
}

/* ---- asking */

static bool is_home(const struct purge *p, const struct round *r, uint32_t member)
{
    return ring_is_home(p->ring, r->partition, member);
}

static bool bit_get(const uint64_t words[MEMBER_WORDS], uint32_t i)
{
    return words[i / 64] >> i % 64 & 1;
}

static void bit_set(uint64_t words[MEMBER_WORDS], uint32_t i)
{
    words[i / 64] |= UINT64_C(1) << i % 64;
}

static void bit_clear(uint64_t words[MEMBER_WORDS], uint32_t i)
{
    words[i / 64] &= ~(UINT64_C(1) << i % 64);
}

static bool bit_any(const uint64_t words[MEMBER_WORDS])
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < MEMBER_WORDS; i++)
        any |= words[i];
    return any != 0;
}

/* Whom a state's messages go to. Returns how many. */
static uint32_t whom(const struct purge *p, struct round *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->ring->value.member_count; i++) {
        bool home = is_home(p, r, p->ring->value.members[i].id);
        if (r->state == ROUND_STILL || home == (r->state != ROUND_NONE)) {
            bit_set(r->missing, i);
            count++;
        }
    }
    return count;
}

/* The keys as a message has them; NULL: no memory. */
static const struct row_version *versions(const struct purge_turn *t, const struct round *r)
{
    struct row_version *rows = arena_alloc(&t->out->arena, r->count * sizeof *rows);
    struct bytes keys = arena_copy(&t->out->arena, buf_bytes(&r->keys));
    if (!rows || !keys.data)
        return NULL;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct round_row *row = &r->rows[i];
        rows[i] = (struct row_version){bytes_of(keys.data + row->at, row->len), row->stamp};
    }
    return rows;
}

static enum purge_step step_of(enum round_state state)
{
    switch (state) {
    case ROUND_SAME: return PURGE_SAME;
    case ROUND_NONE: return PURGE_NONE;
    case ROUND_STILL: return PURGE_STILL;
    default: return PURGE_DELETE;
    }
}

/* The state's message to all who have not done its step. */
static void send(struct purge *p, const struct purge_turn *t, struct round *r)
{
    const struct row_version *rows = versions(t, r);
    if (!rows || outbox_room(t->out) < p->ring->value.member_count) {
        round_end(p, t, r, PURGE_REFUSED);
        return;
    }
    uint64_t id = next_id(p, r);
    r->lagging = false;
    for (uint32_t i = 0; i < p->ring->value.member_count; i++) {
        if (!bit_get(r->missing, i))
            continue;
        bit_set(r->pending, i);
        struct message *m = outbox_send(t->out, to_peer(p->ring->value.members[i].id), MSG_PURGE, id);
        m->purge = (struct msg_purge){
            .step = (uint8_t)step_of(r->state),
            .partition = r->partition,
            .round = r->name,
            .after_hlc = r->after_hlc,
            .count = r->count,
            .rows = rows,
        };
    }
    wake(p, r, t->now.mono_us + PURGE_ANSWER_US);
}

static void ask_same(struct purge *p, const struct purge_turn *t, struct round *r)
{
    r->clock_hlc = r->after_hlc;
    move(p, r, ROUND_SAME);
    (void)whom(p, r);
    send(p, t, r);
}

/* All that began before somebody was asked will be too old then, on every clock that is past it; the margin
 * is for what a member read whose clock was refused by the one that it read from. */
static void wait_for_clocks(struct purge *p, const struct purge_turn *t, struct round *r)
{
    uint64_t wait_ms = MUTANT(purge_no_wait, p->config.row_age_max_ms + PURGE_MARGIN_MS, 0);
    r->after_hlc = r->clock_hlc + hlc_from_ms(wait_ms);
    uint64_t at_us = turn_when_us(t, r->after_hlc), least_us = t->now.mono_us + wait_ms * 1000;
    r->lag_end_us = least_us + PURGE_LAG_MAX_US;
    move(p, r, ROUND_WAITING);
    wake(p, r, at_us > least_us && at_us < r->lag_end_us ? at_us : least_us);
}

/* Those that are left close up, for the next message. */
static void drop_lost(struct purge *p, struct round *r)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        if (!r->rows[i].lost)
            r->rows[kept++] = r->rows[i];
        else if (r->state == ROUND_NONE)
            p->counters.found++;
        else
            p->counters.differed++;
    }
    r->left |= kept < r->count;
    r->count = kept;
}

/* Everybody has answered. */
static void step_done(struct purge *p, const struct purge_turn *t, struct round *r)
{
    drop_lost(p, r);
    if (r->count == 0) {
        round_end(p, t, r, PURGE_EMPTY);
        return;
    }
    switch ((enum round_state)r->state) {
    case ROUND_SAME:
        if (p->ring->value.member_count > p->ring->homes) {
            move(p, r, ROUND_NONE);
            (void)whom(p, r);
            send(p, t, r);
            break;
        }
        /* fall through */
    case ROUND_NONE: wait_for_clocks(p, t, r); break;
    case ROUND_STILL:
        move(p, r, ROUND_DELETING);
        (void)whom(p, r);
        send(p, t, r);
        break;
    default: round_end(p, t, r, PURGE_DONE);
    }
}

/* Some have done it, the clocks of others are not there yet: only these are asked again. */
static void wait_for_laggards(struct purge *p, const struct purge_turn *t, struct round *r)
{
    if (r->state != ROUND_STILL || t->now.mono_us >= r->lag_end_us) {
        round_end(p, t, r, PURGE_CLOCK);
        return;
    }
    move(p, r, ROUND_WAITING);
    wake(p, r, t->now.mono_us + PURGE_LAG_US);
}

/* ---- answers */

static enum purge_end end_for(int status)
{
    switch (status) {
    case KV_E_BUSY: return PURGE_BUSY;
    case KV_E_WRONG_RING: return PURGE_RING;
    case KV_E_NOT_FOUND: return PURGE_FORGOTTEN;
    default: return PURGE_REFUSED;
    }
}

static void take_bits(struct round *r, struct bytes passed)
{
    for (uint32_t i = 0; i < r->count; i++) {
        bool yes = i / 8 < passed.len && passed.data[i / 8] >> i % 8 & 1;
        r->rows[i].lost |= !yes;
    }
}

static uint32_t member_index(const struct purge *p, uint32_t member)
{
    uint32_t i = 0;
    while (i < p->ring->value.member_count && p->ring->value.members[i].id != member)
        i++;
    return i;
}

void round_answered(struct purge *p, const struct purge_turn *t, struct round *r, uint32_t member,
                    const struct msg_purge_reply *reply)
{
    uint32_t i = member_index(p, member);
    if (i == p->ring->value.member_count || !bit_get(r->pending, i))
        return;
    bit_clear(r->pending, i);
    if (reply->status == KV_OK) {
        bit_clear(r->missing, i);
        if (r->state != ROUND_DELETING)
            take_bits(r, reply->passed);
        if (reply->hlc > r->clock_hlc)
            r->clock_hlc = reply->hlc; /* it matters until the wait */
    } else if (reply->status == KV_E_AGAIN) {
        r->lagging = true;
    } else {
        round_end(p, t, r, end_for(reply->status));
        return;
    }
    if (bit_any(r->pending))
        return;
    if (r->lagging)
        wait_for_laggards(p, t, r);
    else
        step_done(p, t, r);
}

void rounds_member_lost(struct purge *p, const struct purge_turn *t, uint32_t member)
{
    if (!p->ring || p->talking == 0)
        return;
    uint32_t index = member_index(p, member);
    for (uint32_t i = 0; i < PURGE_ROUNDS_MAX && index < p->ring->value.member_count; i++) {
        if (p->rounds[i] && bit_get(p->rounds[i]->pending, index))
            round_end(p, t, p->rounds[i], PURGE_SILENCE);
    }
}

/* ---- time */

/* The driver's own clock is asked like any other's; but while it is not there, the others need not be. */
static void waited(struct purge *p, const struct purge_turn *t, struct round *r)
{
    if (!p->all_up) {
        round_end(p, t, r, PURGE_SILENCE);
    } else if (!turn_past(t, r->after_hlc)) {
        if (t->now.mono_us >= r->lag_end_us)
            round_end(p, t, r, PURGE_CLOCK);
        else
            wake(p, r, t->now.mono_us + PURGE_LAG_US);
    } else if (p->talking >= PURGE_TALKING_MAX) {
        wake(p, r, t->now.mono_us + PURGE_PACE_US * (1 + r->index)); /* not all of them at once */
    } else {
        move(p, r, ROUND_STILL);
        if (!bit_any(r->missing))
            (void)whom(p, r);
        send(p, t, r);
    }
}

void round_due(struct purge *p, const struct purge_turn *t, struct round *r)
{
    switch ((enum round_state)r->state) {
    case ROUND_PAUSED:
        move(p, r, ROUND_LISTING);
        page_ask(p, t, r);
        break;
    case ROUND_WAITING: waited(p, t, r); break;
    default: round_end(p, t, r, PURGE_SILENCE);
    }
}
