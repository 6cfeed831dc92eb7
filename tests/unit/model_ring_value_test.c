/* The ring value: one encoding for each value, no value for any other bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "kv_error.h"
#include "model/ring_value.h"

/* `count` members with ids 1, 3, 5, ... and every optional part present in some. */
static struct ring_value make_value(uint32_t count)
{
    struct ring_value v = {
        .epoch = 7, .partitions = 4096, .replicas = 3, .next_id = 2 * count + 5, .member_count = count};
    v.members = calloc(count, sizeof *v.members);
    assert_non_null(v.members);
    for (uint32_t i = 0; i < count; i++) {
        struct member *m = &v.members[i];
        *m = (struct member){
            .id = 2 * i + 1, .store_id = UINT64_C(0x1234567890) * i, .weight = 1 + i % WEIGHT_MAX};
        snprintf(m->name, sizeof m->name, "n%u", i);
        if (i % 3 == 1)
            snprintf(m->zone, sizeof m->zone, "zone-%u", i % 7);
        if (i % 4 != 3) {
            snprintf(m->addr.host, sizeof m->addr.host, "10.0.%u.%u", i / 256, i % 256);
            m->addr.port = (uint16_t)(7600 + i);
        }
    }
    return v;
}

static const struct ring_change some_changes[] = {
    {.kind = RING_JOIN, .store_id = 99, .weight = 3, .name = "new", .zone = "z", .addr = {"10.1.1.1", 7600}},
    {.kind = RING_LEAVE, .member = 3},
    {.kind = RING_REMOVE, .member = 5},
    {.kind = RING_WEIGHT, .member = 1, .weight = WEIGHT_MAX},
    {.kind = RING_ZONE, .member = 3, .zone = "elsewhere"},
    {.kind = RING_ZONE, .member = 3},
    {.kind = RING_JOIN, .store_id = 100, .weight = 1, .name = "newer"},
};
#define SOME_CHANGES (sizeof some_changes / sizeof some_changes[0])

/* In the midst of a change: of each three members one stays, one joins, one leaves, and of those before it
 * some are given up. */
static struct ring_value make_changing(uint32_t count, enum ring_phase phase)
{
    struct ring_value v = make_value(count);
    v.phase = (uint8_t)phase;
    v.since = 4;
    v.source_epoch = 6;
    v.switched = phase == RING_PENDING;
    for (uint32_t i = 0; i < count; i++) {
        struct member *m = &v.members[i];
        m->old_weight = i % 3 == 1 ? 0 : 1 + (i + 5) % WEIGHT_MAX;
        if (i % 3 == 2)
            m->weight = 0;
        if (i % 3 == 0)
            snprintf(m->old_zone, sizeof m->old_zone, "old-%u", i % 5);
        m->dead = m->old_weight > 0 && i % 4 == 2;
    }
    v.queue_count = SOME_CHANGES;
    memcpy(v.queue, some_changes, sizeof some_changes);
    return v;
}

/* With a hub: one of the members, in the midst of a change or not. */
static struct ring_value with_hub(struct ring_value v, enum topology topology)
{
    v.topology = (uint8_t)topology;
    v.hub = v.members[0].id; /* one that stays */
    return v;
}

static bool same_member(const struct member *a, const struct member *b)
{
    return a->id == b->id && a->store_id == b->store_id && a->weight == b->weight &&
           addr_eq(&a->addr, &b->addr) && strcmp(a->name, b->name) == 0 && strcmp(a->zone, b->zone) == 0 &&
           a->old_weight == b->old_weight && strcmp(a->old_zone, b->old_zone) == 0 && a->dead == b->dead;
}

static bool same_change(const struct ring_change *a, const struct ring_change *b)
{
    return a->kind == b->kind && a->member == b->member && a->store_id == b->store_id &&
           a->weight == b->weight && addr_eq(&a->addr, &b->addr) && strcmp(a->name, b->name) == 0 &&
           strcmp(a->zone, b->zone) == 0;
}

static bool same_value(const struct ring_value *a, const struct ring_value *b)
{
    if (a->epoch != b->epoch || a->partitions != b->partitions || a->replicas != b->replicas ||
        a->next_id != b->next_id || a->phase != b->phase || a->member_count != b->member_count ||
        a->undo != b->undo || a->switched != b->switched || a->since != b->since ||
        a->source_epoch != b->source_epoch || a->queue_count != b->queue_count ||
        a->topology != b->topology || a->hub != b->hub)
        return false;
    for (uint32_t i = 0; i < a->member_count; i++)
        if (!same_member(&a->members[i], &b->members[i]))
            return false;
    for (uint32_t i = 0; i < a->queue_count; i++)
        if (!same_change(&a->queue[i], &b->queue[i]))
            return false;
    return true;
}

static void comes_back(struct ring_value v)
{
    struct ring_value back;
    struct buf bytes = {0};
    assert_int_equal(ring_value_check(&v), KV_OK);
    assert_int_equal(ring_value_encode(&v, &bytes), KV_OK);
    assert_int_equal(ring_value_decode(buf_bytes(&bytes), &back), KV_OK);
    assert_true(same_value(&v, &back));
    assert_true(ring_value_hash(&v) == ring_value_hash(&back));
    ring_value_deinit(&back);
    ring_value_deinit(&v);
    buf_deinit(&bytes);
}

static void decoding_gives_back_what_was_encoded(void **state)
{
    (void)state;
    const uint32_t counts[] = {1, 2, 5, 100, MEMBERS_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        comes_back(make_value(counts[i]));
        comes_back(with_hub(make_value(counts[i]), TOPOLOGY_CENTRAL));
        comes_back(with_hub(make_changing(counts[i], RING_PENDING), TOPOLOGY_DIRECTORY));
        comes_back(make_changing(counts[i], RING_PENDING));
        comes_back(make_changing(counts[i], RING_SWITCH));
    }
    struct ring_value asked = make_value(2);
    for (; asked.queue_count < RING_QUEUE_MAX; asked.queue_count++)
        asked.queue[asked.queue_count] = some_changes[asked.queue_count % SOME_CHANGES];
    comes_back(asked);
}

static void encoding_appends(void **state)
{
    (void)state;
    struct ring_value v = make_value(2), back;
    struct buf bytes = {0};
    assert_int_equal(buf_append(&bytes, bytes_str("before")), KV_OK);
    assert_int_equal(ring_value_encode(&v, &bytes), KV_OK);
    assert_true(bytes_starts_with(buf_bytes(&bytes), bytes_str("before")));
    assert_int_equal(ring_value_decode(bytes_of(bytes.data + 6, bytes.len - 6), &back), KV_OK);
    ring_value_deinit(&back);
    ring_value_deinit(&v);
    buf_deinit(&bytes);
}

/* Bytes behind a name's end are no part of the value. */
static void rubbish_behind_texts_does_not_count(void **state)
{
    (void)state;
    struct ring_value a = make_value(3), b = make_value(3);
    struct buf x = {0}, y = {0};
    memset(b.members[0].name + 4, 'x', 10);
    memset(b.members[0].zone + 1, 'x', 10);
    memset(b.members[0].addr.host + 20, 'x', 10);
    assert_int_equal(ring_value_encode(&a, &x), KV_OK);
    assert_int_equal(ring_value_encode(&b, &y), KV_OK);
    assert_true(bytes_eq(buf_bytes(&x), buf_bytes(&y)));
    assert_true(ring_value_hash(&a) == ring_value_hash(&b));
    buf_deinit(&x);
    buf_deinit(&y);
    ring_value_deinit(&a);
    ring_value_deinit(&b);
}

static void every_field_is_in_the_hash(void **state)
{
    (void)state;
    struct ring_value v = make_changing(4, RING_PENDING);
    uint64_t seen[40];
    uint32_t count = 0;
    seen[count++] = ring_value_hash(&v);
#define CHANGED(change, undo)                   \
    do {                                        \
        change;                                 \
        uint64_t hash_ = ring_value_hash(&v);   \
        for (uint32_t k_ = 0; k_ < count; k_++) \
            assert_true(seen[k_] != hash_);     \
        seen[count++] = hash_;                  \
        undo;                                   \
    } while (0)
    CHANGED(v.epoch++, v.epoch--);
    CHANGED(v.phase++, v.phase--);
    CHANGED(v.partitions *= 2, v.partitions /= 2);
    CHANGED(v.replicas++, v.replicas--);
    CHANGED(v.next_id++, v.next_id--);
    CHANGED(v.member_count--, v.member_count++);
    CHANGED(v.members[3].id++, v.members[3].id--);
    CHANGED(v.members[3].store_id++, v.members[3].store_id--);
    CHANGED(v.members[3].weight++, v.members[3].weight--);
    CHANGED(v.members[3].name[0]++, v.members[3].name[0]--);
    CHANGED(v.members[1].zone[0]++, v.members[1].zone[0]--);
    CHANGED(v.members[1].addr.host[0]++, v.members[1].addr.host[0]--);
    CHANGED(v.members[1].addr.port++, v.members[1].addr.port--);
    CHANGED(v.undo = true, v.undo = false);
    CHANGED(v.switched = false, v.switched = true);
    CHANGED(v.topology = TOPOLOGY_CENTRAL, v.topology = TOPOLOGY_RING);
    CHANGED((v.topology = TOPOLOGY_DIRECTORY, v.hub = 1), (v.topology = TOPOLOGY_RING, v.hub = 0));
    CHANGED(v.since++, v.since--);
    CHANGED(v.source_epoch++, v.source_epoch--);
    CHANGED(v.members[3].old_weight++, v.members[3].old_weight--);
    CHANGED(v.members[3].old_zone[0]++, v.members[3].old_zone[0]--);
    CHANGED(v.members[3].dead = true, v.members[3].dead = false);
    CHANGED(v.queue_count--, v.queue_count++);
    CHANGED(v.queue[0].kind++, v.queue[0].kind--);
    CHANGED(v.queue[0].member++, v.queue[0].member--);
    CHANGED(v.queue[0].store_id++, v.queue[0].store_id--);
    CHANGED(v.queue[0].weight++, v.queue[0].weight--);
    CHANGED(v.queue[0].name[0]++, v.queue[0].name[0]--);
    CHANGED(v.queue[0].zone[0]++, v.queue[0].zone[0]--);
    CHANGED(v.queue[0].addr.host[0]++, v.queue[0].addr.host[0]--);
    CHANGED(v.queue[6].addr.port++, v.queue[6].addr.port--);
#undef CHANGED
    assert_true(seen[0] == ring_value_hash(&v));
    ring_value_deinit(&v);
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* The encoding does not judge, so that what check refuses can be shown to decode. */
static void refused(const struct ring_value *v)
{
    struct ring_value back = {.epoch = 99};
    struct buf bytes = {0};
    assert_int_equal(ring_value_check(v), KV_E_INVALID);
    assert_int_equal(ring_value_encode(v, &bytes), KV_OK);
    assert_int_equal(ring_value_decode(buf_bytes(&bytes), &back), KV_E_MALFORMED);
    assert_null(back.members);
    assert_int_equal(back.epoch, 0);
    buf_deinit(&bytes);
}

static void check_refuses_what_is_no_ring(void **state)
{
    (void)state;
    struct ring_value good = make_value(5), v = good;
    struct member members[5];
    memcpy(members, good.members, sizeof members);
    v.members = members;
    assert_int_equal(ring_value_check(&v), KV_OK);
#define REFUSED(change)                                \
    do {                                               \
        change;                                        \
        refused(&v);                                   \
        v = good;                                      \
        v.members = members;                           \
        memcpy(members, good.members, sizeof members); \
    } while (0)
    REFUSED(v.epoch = 0);
    REFUSED(v.member_count = 0);
    REFUSED(v.phase = RING_SWITCH + 1);
    REFUSED(v.partitions = 0);
    REFUSED(v.partitions = 4095);
    REFUSED(v.partitions = 2 * RING_PARTITIONS_MAX);
    REFUSED(v.replicas = 0);
    REFUSED(v.replicas = REPLICAS_MAX + 1);
    REFUSED(v.next_id = members[4].id);
    REFUSED(members[0].id = 0);
    REFUSED(members[1].id = members[0].id);
    REFUSED(members[1].id = members[2].id + 1); /* unsorted */
    REFUSED(members[2].weight = 0);
    REFUSED(members[2].weight = WEIGHT_MAX + 1);
    REFUSED(members[2].name[0] = '\0');
    REFUSED(members[2].name[0] = ' ');
    REFUSED(strcpy(members[4].name, members[0].name));
    REFUSED(strcpy(members[2].zone, "a/b"));
    REFUSED(members[2].addr.port = 0);
    REFUSED(members[3].addr.port = 80);
    REFUSED(members[2].addr.host[0] = '/');
    REFUSED(members[2].old_weight = 1);
    REFUSED(strcpy(members[2].old_zone, "a"));
    REFUSED(members[2].dead = true);
    REFUSED(v.undo = true);
    REFUSED(v.switched = true);
    REFUSED(v.since = 1);
    REFUSED(v.source_epoch = 1);
    REFUSED(v.topology = TOPOLOGY_CENTRAL);
    REFUSED((v.topology = TOPOLOGY_CENTRAL, v.hub = members[1].id + 1)); /* nobody's */
    assert_int_equal((v.topology = TOPOLOGY_DIRECTORY, v.hub = members[1].id, ring_value_check(&v)), KV_OK);
    v = good;
    v.members = members;
    v.hub = members[1].id; /* a ring has none, and encodes none */
    assert_int_equal(ring_value_check(&v), KV_E_INVALID);
#undef REFUSED
    memset(members[2].name, 'x', sizeof members[2].name); /* no end: cannot even be encoded */
    assert_int_equal(ring_value_check(&v), KV_E_INVALID);
    ring_value_deinit(&good);
}

static void check_refuses_what_is_no_change(void **state)
{
    (void)state;
    struct ring_value good = make_changing(7, RING_PENDING), v = good;
    struct member members[7];
    memcpy(members, good.members, sizeof members);
    v.members = members;
    assert_int_equal(ring_value_check(&v), KV_OK);
#define RESET()                                        \
    do {                                               \
        v = good;                                      \
        v.members = members;                           \
        memcpy(members, good.members, sizeof members); \
    } while (0)
#define REFUSED(change) \
    do {                \
        change;         \
        refused(&v);    \
        RESET();        \
    } while (0)
#define FINE(change)                                   \
    do {                                               \
        change;                                        \
        assert_int_equal(ring_value_check(&v), KV_OK); \
        RESET();                                       \
    } while (0)
    /* Phases and epochs: the value's is 7. */
    FINE(v.undo = true);
    FINE(v.switched = false);
    FINE(v.source_epoch = v.since = v.epoch);
    FINE((v.phase = RING_SWITCH, v.switched = false));
    REFUSED(v.phase = RING_SWITCH);
    REFUSED((v.phase = RING_SWITCH, v.switched = false, v.undo = true));
    REFUSED((v.phase = RING_SWITCH, v.switched = false, v.source_epoch = v.epoch));
    REFUSED(v.phase = RING_STABLE);
    REFUSED(v.since = 0);
    REFUSED(v.since = v.source_epoch + 1);
    REFUSED(v.source_epoch = v.epoch + 1);
    REFUSED(v.queue_count = 0);
    /* Members: 1, 4 join; 2, 5 leave; 0, 3, 6 stay. */
    REFUSED(members[1].weight = 0);
    REFUSED(members[2].old_weight = 0);
    REFUSED(members[0].old_weight = WEIGHT_MAX + 1);
    REFUSED(members[0].weight = WEIGHT_MAX + 1);
    REFUSED(strcpy(members[0].old_zone, "a b"));
    REFUSED(strcpy(members[1].old_zone, "a"));
    REFUSED(members[1].dead = true);
    FINE(strcpy(members[4].name, members[2].name)); /* replaced */
    REFUSED(strcpy(members[4].name, members[1].name));
    REFUSED(strcpy(members[5].name, members[2].name));
    REFUSED(strcpy(members[0].name, members[1].name));
    REFUSED(strcpy(members[0].name, members[2].name));
    /* Nobody before, nobody after. */
    REFUSED((v.member_count = 2, members[0] = members[1], members[1] = members[4]));
    REFUSED((v.member_count = 2, members[0] = members[2], members[1] = members[5]));
    REFUSED(v.queue[6].kind = 0);
#undef FINE
#undef REFUSED
#undef RESET
    ring_value_deinit(&good);
}

/* What is of another kind, or out of range. */
static void changes_are_of_one_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOME_CHANGES; i++) {
        const struct ring_change *good = &some_changes[i];
        bool join = good->kind == RING_JOIN;
        assert_true(ring_change_ok(good));
        struct ring_change c = *good;
#define REFUSED(change)                   \
    do {                                  \
        change;                           \
        assert_false(ring_change_ok(&c)); \
        c = *good;                        \
    } while (0)
        REFUSED(c.kind = 0);
        REFUSED(c.kind = RING_ZONE + 1);
        REFUSED(c.kind = join ? RING_LEAVE : RING_JOIN);
        REFUSED(c.member = join);
        REFUSED(c.store_id = !join);
        REFUSED(strcpy(c.name, join ? "" : "a"));
        REFUSED(strcpy(c.zone, good->kind == RING_ZONE || join ? "a b" : "a"));
        REFUSED(c.weight = good->kind == RING_WEIGHT || join ? 0 : 1);
        REFUSED(c.weight = WEIGHT_MAX + 1);
        REFUSED(c.addr = (join ? (struct addr){"a", 0} : (struct addr){"a", 1}));
#undef REFUSED
    }
}

/* The encoding has room for 255 changes and eight flags. */
static void what_no_encoding_has_is_refused(void **state)
{
    (void)state;
    struct ring_value v = make_changing(3, RING_PENDING), back;
    struct buf bytes = {0};
    assert_int_equal(ring_value_encode(&v, &bytes), KV_OK);
    const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 1}, {0, 3}, {2, 12}, {2, 0x80}, {3, RING_QUEUE_MAX + 1}, {3, 255}, {44 + 20, 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t was = bytes.data[wrong[i].at];
        bytes.data[wrong[i].at] = wrong[i].value;
        assert_int_equal(ring_value_decode(buf_bytes(&bytes), &back), KV_E_MALFORMED);
        bytes.data[wrong[i].at] = was;
    }
    assert_int_equal(ring_value_decode(buf_bytes(&bytes), &back), KV_OK);
    ring_value_deinit(&back);
    ring_value_deinit(&v);
    buf_deinit(&bytes);
    v = make_value(1);
    v.queue_count = RING_QUEUE_MAX + 1;
    assert_int_equal(ring_value_check(&v), KV_E_INVALID);
    ring_value_deinit(&v);
}

static void too_many_members_are_refused(void **state)
{
    (void)state;
    struct ring_value v = make_value(MEMBERS_MAX + 1);
    refused(&v);
    ring_value_deinit(&v);
}

/* A count that promises more members than there are bytes allocates nothing. */
static void cut_or_longer_bytes_are_refused(void **state)
{
    (void)state;
    struct ring_value v = make_changing(5, RING_SWITCH), back;
    struct buf bytes = {0};
    assert_int_equal(ring_value_encode(&v, &bytes), KV_OK);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(ring_value_decode(bytes_of(bytes.data, len), &back), KV_E_MALFORMED);
    assert_int_equal(ring_value_decode((struct bytes){NULL, 0}, &back), KV_E_MALFORMED);
    assert_int_equal(buf_append_byte(&bytes, 0), KV_OK);
    assert_int_equal(ring_value_decode(buf_bytes(&bytes), &back), KV_E_MALFORMED);
    buf_deinit(&bytes);
    ring_value_deinit(&v);
}

/* Canonical: whatever decodes is a ring, and encodes to exactly the bytes it came from. */
static void random_mutations(struct ring_value v, uint64_t seed)
{
    struct prng p;
    prng_init(&p, seed);
    struct buf good = {0}, again = {0};
    assert_int_equal(ring_value_encode(&v, &good), KV_OK);
    uint8_t bytes[1024];
    assert_true(good.len < sizeof bytes);
    uint32_t decoded = 0;
    for (int i = 0; i < 150000; i++) {
        memcpy(bytes, good.data, good.len);
        size_t len = prng_below(&p, 8) ? good.len : prng_below(&p, sizeof bytes);
        for (uint64_t n = 1 + prng_below(&p, 3); n > 0; n--)
            bytes[prng_below(&p, good.len)] = (uint8_t)(prng_below(&p, 2) ? prng_below(&p, 4) : prng_u64(&p));
        struct bytes in = bytes_of(bytes, len < good.len ? len : good.len);
        struct ring_value back;
        int status = ring_value_decode(in, &back);
        if (status != KV_OK) {
            assert_int_equal(status, KV_E_MALFORMED);
            assert_null(back.members);
            continue;
        }
        decoded++;
        assert_int_equal(ring_value_check(&back), KV_OK);
        buf_clear(&again);
        assert_int_equal(ring_value_encode(&back, &again), KV_OK);
        assert_true(bytes_eq(buf_bytes(&again), in));
        ring_value_deinit(&back);
    }
    assert_true(decoded > 5000);
    buf_deinit(&good);
    buf_deinit(&again);
    ring_value_deinit(&v);
}

static void random_mutations_decode_canonically_or_not_at_all(void **state)
{
    (void)state;
    random_mutations(make_value(4), 11);
    random_mutations(make_changing(4, RING_PENDING), 12);
    random_mutations(make_changing(3, RING_SWITCH), 13);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void members_are_found_by_id_and_name(void **state)
{
    (void)state;
    struct ring_value v = make_value(37);
    for (uint32_t i = 0; i < v.member_count; i++) {
        assert_ptr_equal(ring_value_find(&v, v.members[i].id), &v.members[i]);
        assert_ptr_equal(ring_value_find_name(&v, v.members[i].name), &v.members[i]);
        assert_null(ring_value_find(&v, v.members[i].id + 1));
    }
    assert_null(ring_value_find(&v, 0));
    assert_null(ring_value_find(&v, UINT32_MAX));
    assert_null(ring_value_find_name(&v, "n"));
    struct ring_value none = {0};
    assert_null(ring_value_find(&none, 1));
    ring_value_deinit(&v);
}

/* By name: the replacement, wherever the two are in the order of ids. */
static void of_two_of_one_name_the_replacement_is_found(void **state)
{
    (void)state;
    struct ring_value v = make_changing(6, RING_PENDING);
    strcpy(v.members[4].name, v.members[2].name);
    assert_ptr_equal(ring_value_find_name(&v, "n2"), &v.members[4]);
    strcpy(v.members[4].name, "n4");
    assert_ptr_equal(ring_value_find_name(&v, "n2"), &v.members[2]); /* it leaves */
    strcpy(v.members[1].name, v.members[2].name);
    assert_ptr_equal(ring_value_find_name(&v, "n2"), &v.members[1]);
    ring_value_deinit(&v);
}

static void a_copy_is_its_own(void **state)
{
    (void)state;
    struct ring_value v = make_changing(3, RING_PENDING), copy, none = {0};
    assert_int_equal(ring_value_copy(&v, &copy), KV_OK);
    assert_true(same_value(&v, &copy));
    copy.members[0].weight = 16;
    assert_int_equal(v.members[0].weight, 1);
    ring_value_deinit(&copy);
    ring_value_deinit(&v);
    assert_int_equal(ring_value_copy(&none, &copy), KV_OK);
    assert_null(copy.members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_gives_back_what_was_encoded),
        cmocka_unit_test(encoding_appends),
        cmocka_unit_test(rubbish_behind_texts_does_not_count),
        cmocka_unit_test(every_field_is_in_the_hash),
        cmocka_unit_test(check_refuses_what_is_no_ring),
        cmocka_unit_test(check_refuses_what_is_no_change),
        cmocka_unit_test(changes_are_of_one_kind),
        cmocka_unit_test(what_no_encoding_has_is_refused),
        cmocka_unit_test(too_many_members_are_refused),
        cmocka_unit_test(cut_or_longer_bytes_are_refused),
        cmocka_unit_test(random_mutations_decode_canonically_or_not_at_all),
        cmocka_unit_test(members_are_found_by_id_and_name),
        cmocka_unit_test(of_two_of_one_name_the_replacement_is_found),
        cmocka_unit_test(a_copy_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
