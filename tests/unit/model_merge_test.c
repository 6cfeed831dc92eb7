/* The merge law, on a million random triples: commutative, associative, idempotent, for rows as structs and
 * as the engine sees them. And the order of questions: who wins first, whether it is dead second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/prng.h"
#include "model/limits.h"
#include "model/row.h"

#define TRIPLES     1000000
#define PAYLOAD_MAX 12
#define NOW_HLC     1000

/* One version in both forms. Everything in it follows from the stamp, because a stamp names one write: two
 * rows with the same stamp are the same row. */
struct version {
    struct row row;
    uint8_t bytes[ROW_HEADER_BYTES + PAYLOAD_MAX];
    size_t len;
    uint8_t blob_space[sizeof(struct blob) + PAYLOAD_MAX] __attribute__((aligned(8)));
};

/* A quarter of the versions each: live, tombstone, expired, expiring later. */
static void make_version(struct version *v, struct stamp stamp)
{
    uint64_t content = hash64_mix(stamp.hlc * 31 + stamp.origin);
    uint32_t len = 1 + (uint32_t)(content >> 8) % PAYLOAD_MAX;
    struct row r = {.kind = ROW_REGISTER, .stamp = stamp, .raw_size = len};
    switch (content % 4) {
    case 0: break;
    case 1: r.flags = ROW_TOMBSTONE, r.raw_size = len = 0; break;
    case 2: r.expires_hlc = 1 + content % NOW_HLC; break;
    case 3: r.expires_hlc = NOW_HLC + 1 + content % NOW_HLC; break;
    }
    if (len > 0) {
        r.payload = (struct blob *)(void *)v->blob_space;
        r.payload->refs = 1;
        r.payload->len = len;
        memset(r.payload->data, (uint8_t)content, len);
        memcpy(v->bytes + ROW_HEADER_BYTES, r.payload->data, len);
    }
    v->row = r;
    v->len = ROW_HEADER_BYTES + len;
    row_encode_header(&r, v->bytes);
}

/* Half of the stamps are from a few neighbours, so that equal ones, and equal hlcs of different origins, are
 * common. */
static struct stamp random_stamp(struct prng *p)
{
    if (prng_below(p, 2) == 0)
        return (struct stamp){1 + prng_below(p, 4), prng_below(p, 3)};
    return (struct stamp){1 + prng_u64(p) / 2, prng_u64(p)};
}

static const struct row *merge(const struct row *a, const struct row *b)
{
    return row_wins(b, a) ? b : a;
}

static struct bytes merge_encoded(struct bytes a, struct bytes b)
{
    return row_merge_encoded(a, b) == 1 ? b : a;
}

static bool same_row(const struct row *a, const struct row *b)
{
    return a->kind == b->kind && a->flags == b->flags && a->raw_size == b->raw_size &&
           stamp_cmp(a->stamp, b->stamp) == 0 && a->expires_hlc == b->expires_hlc &&
           bytes_eq(blob_bytes(a->payload), blob_bytes(b->payload));
}

static struct bytes encoded(const struct version *v)
{
    return bytes_of(v->bytes, v->len);
}

static void laws_hold_for_structs(const struct row *a, const struct row *b, const struct row *c)
{
    assert_true(same_row(merge(a, b), merge(b, a)));
    assert_true(same_row(merge(merge(a, b), c), merge(a, merge(b, c))));
    assert_true(same_row(merge(a, a), a));
    assert_true(same_row(merge(merge(a, b), b), merge(a, b)));
    assert_true(same_row(merge(a, &(struct row){0}), a));
}

static void laws_hold_for_bytes(struct bytes a, struct bytes b, struct bytes c)
{
    assert_true(bytes_eq(merge_encoded(a, b), merge_encoded(b, a)));
    assert_true(bytes_eq(merge_encoded(merge_encoded(a, b), c), merge_encoded(a, merge_encoded(b, c))));
    assert_true(bytes_eq(merge_encoded(a, a), a));
    assert_true(bytes_eq(merge_encoded(merge_encoded(a, b), b), merge_encoded(a, b)));
}

/* The two forms are one law. */
static void forms_agree(const struct version *a, const struct version *b)
{
    struct row decoded;
    assert_int_equal(row_decode_header(merge_encoded(encoded(a), encoded(b)), &decoded), 0);
    assert_true(stamp_cmp(decoded.stamp, merge(&a->row, &b->row)->stamp) == 0);
}

static void a_million_triples(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 20240607);
    uint32_t equal_stamps = 0, equal_hlcs = 0, dead_winners = 0;
    for (uint32_t i = 0; i < TRIPLES; i++) {
        struct version a, b, c;
        make_version(&a, random_stamp(&p));
        make_version(&b, random_stamp(&p));
        make_version(&c, random_stamp(&p));
        laws_hold_for_structs(&a.row, &b.row, &c.row);
        laws_hold_for_bytes(encoded(&a), encoded(&b), encoded(&c));
        forms_agree(&a, &b);
        assert_int_equal(row_check(&a.row, VALUE_MAX_BYTES), 0);
        equal_stamps += stamp_cmp(a.row.stamp, b.row.stamp) == 0;
        equal_hlcs += a.row.stamp.hlc == b.row.stamp.hlc && a.row.stamp.origin != b.row.stamp.origin;
        dead_winners += row_is_dead(merge(&a.row, &b.row), NOW_HLC);
    }
    /* The interesting cases were among them. */
    assert_true(equal_stamps > TRIPLES / 100);
    assert_true(equal_hlcs > TRIPLES / 100);
    assert_true(dead_winners > TRIPLES / 4);
}

/* Every order of arrival at a replica, with repeats, ends with the same row. */
static void any_order_of_arrival_ends_alike(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 5);
    for (int round = 0; round < 2000; round++) {
        struct version v[6];
        uint32_t order[18];
        for (uint32_t i = 0; i < 18; i++)
            order[i] = i % 6;
        for (int i = 0; i < 6; i++)
            make_version(&v[i], random_stamp(&p));
        struct stamp expected = {0};
        for (int i = 0; i < 6; i++)
            if (stamp_cmp(v[i].row.stamp, expected) > 0)
                expected = v[i].row.stamp;
        prng_shuffle_u32(&p, order, 18);
        const struct row *held = &(struct row){0};
        for (int i = 0; i < 18; i++)
            held = merge(held, &v[order[i]].row);
        assert_true(stamp_cmp(held->stamp, expected) == 0);
    }
}

static struct row at(uint64_t hlc, uint8_t flags, uint64_t expires_hlc)
{
    return (struct row){.kind = ROW_REGISTER, .flags = flags, .stamp = {hlc, 1}, .expires_hlc = expires_hlc};
}

/* Were the dead dropped before the winner is picked, what they replaced would come back. */
static void the_winner_is_picked_before_death_is_tested(void **state)
{
    (void)state;
    struct row old = at(10, 0, 0), tombstone = at(20, ROW_TOMBSTONE, 0), expired = at(30, 0, 40),
               put = at(50, 0, 0);

    assert_true(merge(&old, &tombstone) == &tombstone);
    assert_true(merge(&tombstone, &old) == &tombstone);
    assert_true(row_is_dead(merge(&old, &tombstone), 100));

    assert_true(merge(&old, &expired) == &expired);
    assert_true(merge(&tombstone, &expired) == &expired);
    assert_false(row_is_dead(merge(&old, &expired), 39));
    assert_true(row_is_dead(merge(&old, &expired), 40));

    assert_true(merge(&expired, &put) == &put);
    assert_false(row_is_dead(merge(merge(&old, &tombstone), merge(&expired, &put)), 100));
}

static void a_put_that_expires_sooner_still_wins(void **state)
{
    (void)state;
    struct row lasting = at(10, 0, 0), brief = at(11, 0, 12);
    assert_true(merge(&lasting, &brief) == &brief);
    assert_true(row_is_dead(merge(&brief, &lasting), 12));
}

static void equal_hlcs_are_decided_by_origin(void **state)
{
    (void)state;
    struct row low = at(10, 0, 0), high = at(10, ROW_TOMBSTONE, 0);
    high.stamp.origin = UINT64_MAX;
    assert_true(row_wins(&high, &low));
    assert_false(row_wins(&low, &high));
    assert_false(row_wins(&low, &low));
}

static void bytes_that_are_no_row_lose(void **state)
{
    (void)state;
    struct version v;
    make_version(&v, (struct stamp){1, 0});
    uint8_t junk[ROW_HEADER_BYTES + 8];
    memset(junk, 0xff, sizeof junk);
    const struct bytes bad[] = {
        {NULL, 0},
        bytes_of(junk, 5),
        bytes_of(junk, sizeof junk),
        bytes_of(v.bytes, ROW_HEADER_BYTES - 1),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(row_merge_encoded(encoded(&v), bad[i]), 0);
        assert_int_equal(row_merge_encoded(bad[i], encoded(&v)), 1);
        assert_int_equal(row_merge_encoded(bad[i], bad[i]), 0);
    }
    /* A newer row whose payload was cut off is none. */
    struct version newer;
    uint64_t hlc = 2;
    do
        make_version(&newer, (struct stamp){hlc++, 0});
    while (newer.len == ROW_HEADER_BYTES);
    assert_int_equal(row_merge_encoded(encoded(&v), encoded(&newer)), 1);
    assert_int_equal(row_merge_encoded(encoded(&v), bytes_of(newer.bytes, newer.len - 1)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_triples),
        cmocka_unit_test(any_order_of_arrival_ends_alike),
        cmocka_unit_test(the_winner_is_picked_before_death_is_tested),
        cmocka_unit_test(a_put_that_expires_sooner_still_wins),
        cmocka_unit_test(equal_hlcs_are_decided_by_origin),
        cmocka_unit_test(bytes_that_are_no_row_lose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
