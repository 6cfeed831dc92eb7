/* See coord_support.h. */
#include "coord_support.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define START_MS UINT64_C(1700000000000)

/* Row stamps of the tests are small numbers, so they are written on top of this. */
static uint64_t hlc_base(void)
{
    return hlc_from_ms(START_MS - 1000);
}

static struct ring *make_ring(uint64_t epoch, uint32_t replicas, const uint32_t *members, uint32_t count)
{
    struct ring_spec spec = {.epoch = epoch, .replicas = replicas};
    for (uint32_t i = 0; i < count; i++)
        spec.after |= id_bit(members[i]);
    return rings_make(&spec);
}

static void learn_list(struct world *w)
{
    uint32_t partition = ring_partition(w->ring, key_token(w->key));
    w->width = ring_preference(w->ring, partition, w->list);
    memset(w->twins, 0, sizeof w->twins);
    for (uint32_t i = 0; i < w->ring->twin_width; i++) {
        uint16_t index = w->ring->twins[partition * w->ring->twin_width + i];
        w->twins[i] = index == RING_NOBODY ? 0 : w->ring->value.members[index].id;
    }
}

static struct world *create(uint32_t members, uint32_t replicas, uint32_t position, uint32_t self_id)
{
    struct world *w = calloc(1, sizeof *w);
    uint32_t ids[WORLD_MEMBERS_MAX];
    assert_non_null(w);
    for (uint32_t i = 0; i < members; i++)
        ids[i] = i + 1;
    w->key = bytes_str("key");
    w->ring = make_ring(1, replicas, ids, members);
    learn_list(w);
    w->now = (struct now){.mono_us = 5000000, .wall_ms = START_MS};
    w->hlc = hlc_from_ms(START_MS);
    w->next_id = 1000;
    w->self = self_id ? self_id : w->list[position];
    assert_int_equal(outbox_init(&w->out), KV_OK);
    struct coord_config config = {.self = w->self, .value_max_bytes = VALUE_MAX_BYTES};
    assert_int_equal(coord_create(&config, &w->coord), KV_OK);
    coord_ring_set(w->coord, w->now, w->ring, &w->out);
    for (uint32_t i = 0; i < members; i++)
        coord_peer_set(w->coord, w->now, ids[i], true, &w->out);
    assert_int_equal(w->out.count, 0);
    return w;
}

struct world *world_create(uint32_t members, uint32_t replicas, uint32_t self)
{
    return create(members, replicas, self, 0);
}

struct world *world_create_on(uint32_t members, uint32_t replicas, uint32_t self_id)
{
    return create(members, replicas, 0, self_id);
}

void world_destroy(struct world *w)
{
    coord_check(w->coord);
    coord_destroy(w->coord);
    outbox_deinit(&w->out);
    for (uint32_t i = 0; i < w->letter_count; i++)
        message_release(&w->letters[i].message);
    for (uint32_t i = 0; i < w->answer_count; i++)
        row_release(&w->answers[i].response.row);
    for (uint32_t i = 0; i <= WORLD_MEMBERS_MAX; i++)
        row_release(&w->replicas[i].row);
    for (uint32_t i = 0; i < w->blob_count; i++) {
        assert_int_equal(w->blobs[i]->refs, 1);
        blob_unref(w->blobs[i]);
    }
    for (uint32_t i = 0; i < w->old_ring_count; i++)
        ring_destroy(w->old_rings[i]);
    ring_destroy(w->ring);
    free(w);
}

/* Moves what was sent into the trays. */
static void collect(struct world *w)
{
    for (uint32_t i = 0; i < w->out.count; i++) {
        struct effect *e = &w->out.effects[i];
        assert_int_equal(e->type, EF_SEND);
        struct message *m = &e->send.message;
        if (e->send.to.conn) {
            assert_true(w->answer_count < ANSWERS_MAX);
            assert_int_equal(m->type, MSG_RESPONSE);
            struct answer *a = &w->answers[w->answer_count++];
            a->id = m->id;
            a->response = m->response;
            for (uint32_t l = 0; l < m->response.trace_count; l++)
                a->trace[l] = m->response.trace[l];
            a->response.trace = a->trace;
        } else {
            assert_true(w->letter_count < LETTERS_MAX);
            struct bytes key = m->type == MSG_WRITE ? m->write.key : m->read.key;
            assert_true(m->type == MSG_WRITE || m->type == MSG_READ);
            assert_true(bytes_eq(key, w->key));
            assert_true(coord_peer_reachable(w->coord, e->send.to.peer));
            struct letter *l = &w->letters[w->letter_count++];
            l->member = e->send.to.peer;
            l->message = *m;
            if (m->type == MSG_WRITE)
                l->message.write.key = w->key;
            else
                l->message.read.key = w->key;
        }
        e->type = EF_NONE;
    }
    outbox_reset(&w->out);
    coord_check(w->coord);
}

struct row world_row(struct world *w, uint64_t hlc, const char *text)
{
    struct row row = {.kind = ROW_REGISTER, .stamp = {hlc_base() + hlc, 7}};
    if (!text) {
        row.flags = ROW_TOMBSTONE;
        return row;
    }
    assert_true(w->blob_count < BLOBS_MAX);
    row.payload = blob_copy(bytes_str(text));
    row.raw_size = (uint32_t)strlen(text);
    if (row.payload)
        w->blobs[w->blob_count++] = blob_ref(row.payload);
    return row;
}

uint64_t world_request(struct world *w, const struct msg_request *request)
{
    struct message m = {.type = MSG_REQUEST, .id = w->next_id++, .request = *request};
    coord_request(w->coord, w->now, w->hlc, to_conn(1), &m, &w->out);
    collect(w);
    return m.id;
}

static uint64_t read_request(struct world *w, enum op op, uint8_t flags, uint8_t quorum)
{
    struct msg_request q = {
        .op = (uint8_t)op, .flags = flags, .r = quorum, .timeout_us = 2000000, .key = w->key};
    return world_request(w, &q);
}

uint64_t world_get(struct world *w, uint8_t flags, uint8_t quorum)
{
    return read_request(w, OP_GET, flags, quorum);
}

uint64_t world_stamp(struct world *w, uint8_t flags, uint8_t quorum)
{
    return read_request(w, OP_STAMP, flags, quorum);
}

uint64_t world_put(struct world *w, uint8_t flags, uint8_t quorum, uint64_t hlc, const char *text)
{
    struct row row = world_row(w, hlc, text);
    struct msg_request q = {
        .op = OP_PUT, .flags = flags, .w = quorum, .timeout_us = 2000000, .key = w->key, .row = row};
    uint64_t id = world_request(w, &q);
    row_release(&row);
    return id;
}

void world_wait(struct world *w, uint64_t us)
{
    uint64_t end = w->now.mono_us + us;
    while (coord_deadline_us(w->coord) <= end) {
        uint64_t at = coord_deadline_us(w->coord);
        if (at > w->now.mono_us)
            w->now.mono_us = at;
        coord_tick(w->coord, w->now, w->hlc, &w->out);
        collect(w);
    }
    w->now.mono_us = end;
}

void world_peer(struct world *w, uint32_t member, bool reachable)
{
    coord_peer_set(w->coord, w->now, member, reachable, &w->out);
    collect(w);
}

static void set_ring(struct world *w, struct ring *next)
{
    assert_true(w->old_ring_count < sizeof w->old_rings / sizeof w->old_rings[0]);
    w->old_rings[w->old_ring_count++] = w->ring;
    w->ring = next;
    learn_list(w);
    coord_ring_set(w->coord, w->now, w->ring, &w->out);
    collect(w);
}

void world_ring(struct world *w, uint32_t replicas, const uint32_t *members, uint32_t count)
{
    set_ring(w, make_ring(w->ring->value.epoch + 1, replicas, members, count));
}

void world_change(struct world *w, const struct ring_spec *spec)
{
    struct ring_spec next = *spec;
    const struct ring_value *v = &w->ring->value;
    next.epoch = spec->epoch ? spec->epoch : v->epoch + 1;
    next.replicas = v->replicas;
    next.since = spec->since ? spec->since : v->since ? v->since : next.epoch;
    set_ring(w, rings_make(&next));
}

void world_pick(struct world *w, const struct ring_spec *spec, uint32_t movers)
{
    static char names[64][16];
    static uint32_t used;
    struct ring_spec next = *spec;
    next.epoch = next.since = 2;
    next.replicas = w->ring->value.replicas;
    struct ring *ring = rings_make(&next);
    char *name = names[used++ % 64];
    for (uint32_t i = 0, found = UINT32_MAX; found != movers; i++) {
        assert_true(i < 10000);
        snprintf(name, sizeof names[0], "key%u", i);
        uint32_t partition = ring_partition(ring, key_token(bytes_str(name)));
        found = 0;
        for (uint32_t t = 0; t < ring->twin_width; t++)
            found += ring->twins[partition * ring->twin_width + t] != RING_NOBODY;
    }
    ring_destroy(ring);
    w->key = bytes_str(name);
    learn_list(w);
}

struct letter *world_letter(struct world *w, uint32_t member)
{
    for (uint32_t i = 0; i < w->letter_count; i++) {
        if (w->letters[i].member == member)
            return &w->letters[i];
    }
    return NULL;
}

uint32_t world_letters(const struct world *w, uint32_t member, enum message_type type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->letter_count; i++) {
        const struct letter *l = &w->letters[i];
        count += (member == 0 || l->member == member) && l->message.type == type;
    }
    return count;
}

void world_lose(struct world *w, uint32_t member)
{
    struct letter *l = world_letter(w, member);
    assert_non_null(l);
    message_release(&l->message);
    uint32_t i = (uint32_t)(l - w->letters);
    memmove(l, l + 1, (w->letter_count - i - 1) * sizeof *l);
    w->letter_count--;
}

/* Who says WRONG_RING has the next ring, unless the test says otherwise. */
static void answer_it(struct world *w, uint32_t member, struct message *m)
{
    uint64_t epoch = w->ring->value.epoch;
    int status = m->type == MSG_WRITE_ACK ? m->write_ack.status : m->read_reply.status;
    m->ring_epoch = w->answer_epoch ? w->answer_epoch : epoch + (status == KV_E_WRONG_RING);
    coord_answer(w->coord, w->now, w->hlc, member, m, &w->out);
    collect(w);
}

void world_ack_id(struct world *w, uint32_t member, uint64_t id, int status)
{
    struct message m = {.type = MSG_WRITE_ACK, .id = id, .write_ack = {.status = status}};
    answer_it(w, member, &m);
}

void world_reply_id(struct world *w, uint32_t member, uint64_t id, int status, const struct row *row)
{
    struct message m = {.type = MSG_READ_REPLY, .id = id, .read_reply = {.status = status}};
    if (row)
        m.read_reply.row = *row;
    answer_it(w, member, &m);
}

void world_ack(struct world *w, uint32_t member, int status)
{
    struct letter *l = world_letter(w, member);
    assert_non_null(l);
    assert_int_equal(l->message.type, MSG_WRITE);
    uint64_t id = l->message.id;
    world_lose(w, member);
    world_ack_id(w, member, id, status);
}

void world_reply(struct world *w, uint32_t member, int status, const struct row *row)
{
    struct letter *l = world_letter(w, member);
    assert_non_null(l);
    assert_int_equal(l->message.type, MSG_READ);
    uint64_t id = l->message.id;
    world_lose(w, member);
    world_reply_id(w, member, id, status, row);
}

uint64_t world_hlc_of(const struct row *row)
{
    return row_is_absent(row) ? 0 : row->stamp.hlc - hlc_base();
}

static void replica_write(struct world *w, uint32_t member, const struct msg_write *m)
{
    struct replica *rep = &w->replicas[member];
    uint64_t hlc = world_hlc_of(&m->row);
    assert_true(hlc > 0 && hlc < ACCEPTED_MAX);
    w->accepted[hlc] |= 1u << member;
    rep->writes++;
    if (row_wins(&m->row, &rep->row)) {
        row_release(&rep->row);
        rep->row = row_ref(&m->row);
    }
    for (uint32_t i = 0; i < m->hint_count; i++)
        rep->hints[m->hints[i]]++;
}

void world_serve(struct world *w, uint32_t member)
{
    struct letter *l = world_letter(w, member);
    struct replica *rep = &w->replicas[member];
    assert_non_null(l);
    if (l->message.type == MSG_WRITE) {
        if (!rep->refuses)
            replica_write(w, member, &l->message.write);
        world_ack(w, member, rep->refuses);
    } else {
        rep->reads++;
        world_reply(w, member, rep->refuses, rep->refuses ? NULL : &rep->row);
    }
}

void world_apply(struct world *w, uint32_t member)
{
    struct letter *l = world_letter(w, member);
    assert_non_null(l);
    if (l->message.type == MSG_WRITE && !w->replicas[member].refuses)
        replica_write(w, member, &l->message.write);
    world_lose(w, member);
}

void world_serve_all(struct world *w)
{
    for (uint32_t i = 0; i < w->letter_count;) {
        uint32_t member = w->letters[i].member;
        if (!coord_peer_reachable(w->coord, member)) {
            i++;
            continue;
        }
        world_serve(w, member);
        i = 0;
    }
}

const struct msg_response *world_answer(const struct world *w)
{
    assert_true(w->answer_count > 0);
    return &w->answers[w->answer_count - 1].response;
}

bool letter_hints(const struct letter *l, uint32_t member)
{
    if (!l || l->message.type != MSG_WRITE)
        return false;
    for (uint32_t i = 0; i < l->message.write.hint_count; i++) {
        if (l->message.write.hints[i] == member)
            return true;
    }
    return false;
}

void answer_is(const struct msg_response *a, int status, uint8_t asked, uint8_t acked, uint8_t needed)
{
    assert_int_equal(a->status, status);
    assert_int_equal(a->asked, asked);
    assert_int_equal(a->acked, acked);
    assert_int_equal(a->needed, needed);
}

void answer_holds(const struct msg_response *a, const char *text)
{
    assert_int_equal(a->status, KV_OK);
    assert_int_equal(blob_bytes(a->row.payload).len, strlen(text));
    assert_memory_equal(a->row.payload->data, text, strlen(text));
}

void world_holds(struct world *w, uint32_t position, uint64_t hlc, const char *text)
{
    struct row row = world_row(w, hlc, text);
    row_release(&w->replicas[AT(w, position)].row);
    w->replicas[AT(w, position)].row = row;
}
