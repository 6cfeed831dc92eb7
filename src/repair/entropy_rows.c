/* A session's rows: what is compared one by one, and who gets what (see entropy_session.h). */
#include "repair/entropy_session.h"

#include "base/assert.h"
#include "kv_error.h"

/* ---- COMPARE, and FETCH, which is the same question for single keys */

static struct blob *digests_of(const struct session *s, uint64_t salt)
{
    struct blob *digests = blob_create((size_t)s->own_count * DIGEST_BYTES);
    for (uint32_t i = 0; digests && i < s->own_count; i++) {
        be32_put(digests->data + i * DIGEST_BYTES, digest_key(s->own[i].token, salt));
        be32_put(digests->data + i * DIGEST_BYTES + 4, digest_stamp(s->own[i].stamp, salt));
    }
    return digests;
}

static uint32_t count_fate(const struct session *s, enum fate fate)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->own_count; i++)
        count += s->own[i].fate == fate;
    return count;
}

static struct blob *keys_to_fetch(const struct session *s, uint64_t salt)
{
    struct blob *keys = blob_create((size_t)count_fate(s, FATE_FETCH) * DIGEST_KEY_BYTES);
    uint8_t *at = keys ? keys->data : NULL;
    for (uint32_t i = 0; keys && i < s->own_count; i++) {
        if (s->own[i].fate != FATE_FETCH)
            continue;
        be32_put(at, digest_key(s->own[i].token, salt));
        at += DIGEST_KEY_BYTES;
    }
    return keys;
}

/* Asks about s->span. */
static void ask_compare(struct entropy *e, struct session *s, bool fetch, const struct turn *t)
{
    uint64_t op = session_op(e, s);
    struct blob *digests = fetch ? keys_to_fetch(s, op) : s->own_count ? digests_of(s, op) : NULL;
    struct partition_leaf_set *sets = arena_alloc(&t->out->arena, s->span.count * sizeof *sets);
    struct cursor after = place_at(&s->span.after), upto = place_at(&s->span.upto);
    struct bytes after_key = arena_copy(&t->out->arena, after.key);
    struct bytes upto_key = arena_copy(&t->out->arena, upto.key);
    if (!sets || (!digests && (fetch || s->own_count)) || after_key.len != after.key.len ||
        upto_key.len != upto.key.len) {
        blob_unref(digests);
        session_wait_for_memory(s, t);
        return;
    }
    memcpy(sets, s->span.sets, s->span.count * sizeof *sets);
    struct message *m = outbox_send(t->out, to_peer(s->member), MSG_COMPARE, op);
    m->compare = (struct msg_compare){
        .after = {after.token, after_key},
        .upto = {upto.token, upto_key},
        .until_hlc = s->until_hlc,
        .fetch = fetch,
        .count = s->span.count,
        .sets = sets,
        .digests = digests,
    };
    entropy_sent(e, m, 0, t->now_us);
    session_wait_for_peer(s, t);
}

static const struct place *range_end(const struct session *s)
{
    return s->partly ? &s->next : &s->upto;
}

void session_begin_push(struct entropy *e, struct session *s, const struct turn *t)
{
    unsigned which = LEAVES_PUSH | (count_fate(s, FATE_PUSH) ? LEAVES_BOTH : 0);
    parcel_begin(&s->parcel, t->hlc);
    session_go_to(s, SESSION_PUSH);
    if (session_span(e, s, which, range_end(s)) != KV_OK)
        session_fail(e, s, KV_E_NO_MEMORY, t);
}

void session_compare(struct entropy *e, struct session *s, const struct turn *t)
{
    for (uint32_t i = 0; i < s->own_count; i++)
        s->own[i].fate = FATE_NONE;
    s->partly = false;
    if (session_span(e, s, LEAVES_PULL | LEAVES_BOTH, &s->upto) != KV_OK)
        session_wait_for_memory(s, t);
    else if (s->span.count)
        ask_compare(e, s, false, t);
    else
        session_begin_push(e, s, t);
}

/* A row that the peer misses may go to it, unless it is on its way there as a client's write; or, by our
 * clock, is of the future. */
static bool may_push(struct entropy *e, const struct session *s, struct stamp stamp)
{
    bool young = stamp.hlc > s->until_hlc;
    e->counters.rows_young += young;
    return !young;
}

/* What the peer has said is true up to its `next` only, and an own row there may lie behind it. */
static bool was_compared(const struct session *s, const struct own_row *row)
{
    return !s->partly || row->token < s->next.token;
}

static void take_wants(struct entropy *e, struct session *s, struct bytes wants)
{
    for (uint32_t i = 0; i < s->own_count && i < wants.len * 8; i++)
        if ((wants.data[i / 8] >> i % 8 & 1) && was_compared(s, &s->own[i]) &&
            may_push(e, s, s->own[i].stamp))
            s->own[i].fate = FATE_PUSH;
}

static int take_conflicts(struct entropy *e, struct session *s, const struct msg_compared *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->conflicts[i].index >= s->own_count)
            return KV_E_MALFORMED;
        struct own_row *own = &s->own[m->conflicts[i].index];
        int c = stamp_cmp(own->stamp, m->conflicts[i].stamp);
        if (c < 0)
            own->fate = FATE_FETCH;
        else if (c > 0 && may_push(e, s, own->stamp))
            own->fate = FATE_PUSH;
    }
    return KV_OK;
}

/* How far the peer got: forward, and not beyond what was asked. KV_E_MALFORMED. */
static int check_next(const struct session *s, const struct msg_compared *m)
{
    struct cursor after = place_at(&s->span.after), upto = place_at(&s->span.upto);
    if (m->done)
        return KV_OK;
    if (cursor_cmp(&m->next, &after) <= 0 || (!cursor_is_zero(&upto) && cursor_cmp(&m->next, &upto) > 0))
        return KV_E_MALFORMED;
    return KV_OK;
}

/* Books and checks an answer. The rows in it are those of s->span, which was asked about. */
static int check_compared(struct entropy *e, const struct session *s, const struct message *m,
                          const struct turn *t)
{
    const struct msg_compared *c = &m->compared;
    struct pack_facts facts = {0};
    int rc = c->status;
    if (rc == KV_OK)
        rc = check_next(s, c);
    if (rc == KV_OK)
        rc = entropy_pack_check(e, c->pack, c->began_hlc, t->hlc, &s->span, s->member, &facts);
    entropy_received(e, m, facts.rows, t->now_us);
    return rc;
}

/* Rows that came become durable before anything else is done. */
static void write_rows(struct entropy *e, struct session *s, struct blob *pack, enum session_state state,
                       const struct turn *t)
{
    session_go_to(s, state);
    entropy_merge(pack, session_op(e, s), t->out);
    session_wait_for_store(s);
}

static int take_compared(struct entropy *e, struct session *s, const struct msg_compared *m)
{
    s->partly = !m->done;
    int rc = s->partly ? place_set(&s->next, m->next) : KV_OK;
    if (rc != KV_OK)
        return rc;
    take_wants(e, s, m->wants);
    return take_conflicts(e, s, m);
}

void session_compared(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    int rc = check_compared(e, s, m, t);
    if (rc == KV_OK)
        rc = take_compared(e, s, &m->compared);
    e->counters.malformed += rc == KV_E_MALFORMED;
    if (rc != KV_OK)
        session_fail(e, s, rc, t);
    else if (m->compared.pack)
        write_rows(e, s, m->compared.pack, SESSION_WRITE, t);
    else
        session_begin_push(e, s, t);
}

/* ---- PUSH, MERGE: what the peer misses */

/* The first of our rows with that token or a larger one. */
static uint32_t own_at(const struct session *s, uint64_t token)
{
    uint32_t low = 0, high = s->own_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->own[mid].token < token)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_missed(const struct entropy *e, const struct session *s, const struct page_entry *p)
{
    uint64_t token = key_token(p->key);
    uint32_t partitions = e->ring->value.partitions;
    uint32_t tree = session_tree(e, s->trees, token_partition(token, partitions));
    if (tree == ENTROPY_SLICE_MAX)
        return false;
    if (s->push[tree] >> token_leaf(token, partitions) & 1)
        return true;
    for (uint32_t i = own_at(s, token); i < s->own_count && s->own[i].token == token; i++)
        if (s->own[i].fate == FATE_PUSH)
            return true;
    return false;
}

static void send_rows(struct entropy *e, struct session *s, const struct turn *t)
{
    struct blob *pack = parcel_pack(&s->parcel);
    if (!pack) {
        session_fail(e, s, KV_E_NO_MEMORY, t);
        return;
    }
    session_go_to(s, SESSION_MERGE);
    struct message *m = outbox_send(t->out, to_peer(s->member), MSG_MERGE, session_op(e, s));
    m->merge = (struct msg_merge){.began_hlc = s->parcel.began_hlc, .pack = pack};
    entropy_sent(e, m, s->parcel.rows, t->now_us);
    parcel_begin(&s->parcel, t->hlc);
    session_wait_for_peer(s, t);
}

/* Page after page, until there is enough for a message. */
void session_push(struct entropy *e, struct session *s, const struct turn *t)
{
    if (s->parcel.rows == 0)
        parcel_begin(&s->parcel, t->hlc);
    if (s->parcel.pack.len < ENTROPY_PAGE_BYTES &&
        span_ask(&s->span, session_op(e, s), ENTROPY_PAGE_BYTES, false, t->out))
        session_wait_for_store(s);
    else if (s->parcel.rows)
        send_rows(e, s, t);
    else
        session_go_to(s, SESSION_FETCH);
}

/* Those of the page's rows that are wanted are taken, as many as fit; what does not is read again. */
static int take_wanted(struct entropy *e, struct session *s, const struct event *in, bool *full)
{
    uint32_t count = span_count(&s->span, in), i = 0;
    int rc = KV_OK;
    for (; i < count && rc == KV_OK; i++) {
        const struct page_entry *p = &in->page.entries[i];
        if (!is_missed(e, s, p) || !may_push(e, s, p->row.stamp))
            continue;
        *full = parcel_full(&s->parcel, p, ENTROPY_PAGE_BYTES);
        if (*full)
            break;
        rc = parcel_add(&s->parcel, p);
    }
    if (rc != KV_OK || !*full)
        return rc ? rc : span_next(&s->span, in);
    return i > 0 ? span_behind(&s->span, in->page.entries[i - 1].key) : KV_OK;
}

void session_push_page(struct entropy *e, struct session *s, const struct event *in, const struct turn *t)
{
    bool full = false;
    int rc = in->page.status ? in->page.status : take_wanted(e, s, in, &full);
    if (rc != KV_OK)
        session_fail(e, s, rc, t);
    else if (full)
        send_rows(e, s, t);
    else
        session_go_to(s, SESSION_PUSH);
}

/* ---- FETCH, and on to the next range */

/* What was compared, or fetched, is done with; rows at `next` itself are asked about again. */
static int leave_behind(struct session *s)
{
    uint32_t keep = own_at(s, s->next.token);
    memmove(s->own, s->own + keep, (s->own_count - keep) * sizeof *s->own);
    s->own_count -= keep;
    return place_set(&s->from, place_at(&s->next));
}

static void next_range(struct entropy *e, struct session *s, const struct turn *t)
{
    struct cursor upto = place_at(&s->upto);
    if (s->partly) {
        session_go_to(s, SESSION_COMPARE);
        if (leave_behind(s) != KV_OK)
            session_fail(e, s, KV_E_NO_MEMORY, t);
    } else if (cursor_is_zero(&upto)) {
        session_end(e, s, t);
    } else {
        session_go_to(s, SESSION_DIGESTS);
        if (place_set(&s->from, upto) != KV_OK)
            session_fail(e, s, KV_E_NO_MEMORY, t);
    }
}

void session_fetch(struct entropy *e, struct session *s, const struct turn *t)
{
    if (count_fate(s, FATE_FETCH) == 0)
        next_range(e, s, t);
    else if (session_span(e, s, LEAVES_BOTH, range_end(s)) != KV_OK)
        session_wait_for_memory(s, t);
    else
        ask_compare(e, s, true, t);
}

/* When a page of them was full the rest is asked for. */
static int take_fetched(struct session *s, const struct msg_compared *m)
{
    for (uint32_t i = 0; i < s->own_count; i++)
        if (s->own[i].fate == FATE_FETCH && (m->done || s->own[i].token < m->next.token))
            s->own[i].fate = FATE_NONE;
    return m->done ? KV_OK : place_set(&s->from, m->next);
}

void session_fetched(struct entropy *e, struct session *s, const struct message *m, const struct turn *t)
{
    int rc = check_compared(e, s, m, t);
    if (rc == KV_OK)
        rc = take_fetched(s, &m->compared);
    e->counters.malformed += rc == KV_E_MALFORMED;
    if (rc != KV_OK)
        session_fail(e, s, rc, t);
    else if (m->compared.pack)
        write_rows(e, s, m->compared.pack, SESSION_FETCH_WRITE, t);
    else
        session_go_to(s, SESSION_FETCH);
}
