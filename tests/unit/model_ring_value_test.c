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

static bool same_member(const struct member *a, const struct member *b)
{
    return a->id == b->id && a->store_id == b->store_id && a->weight == b->weight &&
           addr_eq(&a->addr, &b->addr) && strcmp(a->name, b->name) == 0 && strcmp(a->zone, b->zone) == 0;
}

static bool same_value(const struct ring_value *a, const struct ring_value *b)
{
    if (a->epoch != b->epoch || a->partitions != b->partitions || a->replicas != b->replicas ||
        a->next_id != b->next_id || a->phase != b->phase || a->member_count != b->member_count)
        return false;
    for (uint32_t i = 0; i < a->member_count; i++)
        if (!same_member(&a->members[i], &b->members[i]))
            return false;
    return true;
}

static void decoding_gives_back_what_was_encoded(void **state)
{
    (void)state;
    const uint32_t counts[] = {1, 2, 5, 100, MEMBERS_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct ring_value v = make_value(counts[i]), back;
        v.phase = (uint8_t)(i % 3);
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
    struct ring_value v = make_value(4);
    uint64_t seen[16];
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
#undef REFUSED
    memset(members[2].name, 'x', sizeof members[2].name); /* no end: cannot even be encoded */
    assert_int_equal(ring_value_check(&v), KV_E_INVALID);
    ring_value_deinit(&good);
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
    struct ring_value v = make_value(5), back;
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
static void random_mutations_decode_canonically_or_not_at_all(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 11);
    struct ring_value v = make_value(4);
    struct buf good = {0}, again = {0};
    assert_int_equal(ring_value_encode(&v, &good), KV_OK);
    uint8_t bytes[512];
    assert_true(good.len < sizeof bytes);
    uint32_t decoded = 0;
    for (int i = 0; i < 300000; i++) {
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
    assert_true(decoded > 10000);
    buf_deinit(&good);
    buf_deinit(&again);
    ring_value_deinit(&v);
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

static void a_copy_is_its_own(void **state)
{
    (void)state;
    struct ring_value v = make_value(3), copy, none = {0};
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
        cmocka_unit_test(too_many_members_are_refused),
        cmocka_unit_test(cut_or_longer_bytes_are_refused),
        cmocka_unit_test(random_mutations_decode_canonically_or_not_at_all),
        cmocka_unit_test(members_are_found_by_id_and_name),
        cmocka_unit_test(a_copy_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
