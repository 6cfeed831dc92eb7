/* Packs of rows: there and back, how many fit, and that nothing damaged is taken for a row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "kv_error.h"
#include "model/pack.h"

enum { ENTRIES = 50 };

static char keys[ENTRIES][16];
static struct page_entry entries[ENTRIES];

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        bool dead = i % 7 == 3;
        uint32_t size = dead ? 0 : i * 10;
        snprintf(keys[i], sizeof keys[i], "key%u", i);
        entries[i] = (struct page_entry){
            .key = bytes_str(keys[i]),
            .row = {.kind = ROW_REGISTER,
                    .flags = dead ? ROW_TOMBSTONE : 0,
                    .raw_size = size,
                    .stamp = {100 + i, i},
                    .expires_hlc = i},
        };
        struct blob *value = size ? blob_create(size) : NULL;
        if (value)
            memset(value->data, (int)i, size);
        entries[i].row.payload = value;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < ENTRIES; i++)
        row_release(&entries[i].row);
    return 0;
}

static void assert_same(const struct packed_row *p, const struct page_entry *e)
{
    assert_true(bytes_eq(p->key, e->key));
    assert_int_equal(stamp_cmp(p->row.stamp, e->row.stamp), 0);
    assert_int_equal(p->row.flags, e->row.flags);
    assert_int_equal(p->row.raw_size, e->row.raw_size);
    assert_int_equal(p->row.expires_hlc, e->row.expires_hlc);
    assert_null(p->row.payload);
    assert_true(bytes_eq(p->payload, blob_bytes(e->row.payload)));
}

static void rows_come_back_as_they_were(void **state)
{
    (void)state;
    struct blob *pack = pack_rows(entries, ENTRIES);
    struct bytes rest = blob_bytes(pack);
    struct packed_row p;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(pack_take(&rest, &p), KV_OK);
        assert_same(&p, &entries[i]);
    }
    assert_int_equal(rest.len, 0);
    assert_int_equal(pack_take(&rest, &p), KV_E_MALFORMED);
    blob_unref(pack);
}

static void as_many_as_fit_and_one_whatever_its_size(void **state)
{
    (void)state;
    size_t three = 0;
    for (uint32_t i = 0; i < 3; i++)
        three += pack_row_bytes(entries[i].key, &entries[i].row);
    assert_int_equal(pack_fit(entries, ENTRIES, three), 3);
    assert_int_equal(pack_fit(entries, ENTRIES, three - 1), 2);
    assert_int_equal(pack_fit(entries, 2, three), 2);
    assert_int_equal(pack_fit(entries, ENTRIES, 0), 1);
    assert_int_equal(pack_fit(entries, 0, 0), 0);
    struct blob *pack = pack_rows(entries, 3);
    assert_int_equal(pack->len, three);
    blob_unref(pack);
    assert_null(pack_rows(entries, 0));
}

static void there_is_a_bound_on_rows(void **state)
{
    (void)state;
    struct page_entry *many = calloc(PACK_ROWS_MAX + 1, sizeof *many);
    assert_non_null(many);
    assert_int_equal(pack_fit(many, PACK_ROWS_MAX + 1, SIZE_MAX), PACK_ROWS_MAX);
    free(many);
}

static void what_is_cut_off_is_no_row(void **state)
{
    (void)state;
    struct blob *pack = pack_rows(&entries[5], 1);
    for (size_t len = 0; len < pack->len; len++) {
        struct bytes cut = bytes_of(pack->data, len);
        struct packed_row p;
        assert_int_equal(pack_take(&cut, &p), KV_E_MALFORMED);
    }
    blob_unref(pack);
}

/* Whatever a flipped bit makes of it: what is taken could be a row, and lies in the pack. */
static void damage_is_refused_or_harmless(void **state)
{
    (void)state;
    struct blob *pack = pack_rows(entries, 8);
    uint32_t refused = 0;
    for (size_t bit = 0; bit < 8 * (size_t)pack->len; bit++) {
        struct bytes rest = blob_bytes(pack);
        struct packed_row p;
        int rc = KV_OK;
        pack->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        while (rc == KV_OK && rest.len) {
            rc = pack_take(&rest, &p);
            if (rc != KV_OK)
                continue;
            assert_in_range(p.key.len, 1, KEY_MAX_BYTES);
            assert_true(p.payload.data >= pack->data && p.payload.data + p.payload.len <= rest.data);
            assert_false(row_is_absent(&p.row));
        }
        refused += rc != KV_OK;
        pack->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(refused > 300); /* sizes, kinds, flags */
    blob_unref(pack);
}

static void the_largest_row_fits(void **state)
{
    (void)state;
    static char key[KEY_MAX_BYTES];
    struct page_entry e = {.key = bytes_of(key, sizeof key),
                           .row = {.kind = ROW_REGISTER,
                                   .raw_size = VALUE_MAX_CEILING_BYTES,
                                   .stamp = {1, 1},
                                   .payload = blob_create(VALUE_MAX_CEILING_BYTES)}};
    assert_int_equal(pack_row_bytes(e.key, &e.row), PACK_MAX_BYTES);
    row_release(&e.row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_as_they_were),
        cmocka_unit_test(as_many_as_fit_and_one_whatever_its_size),
        cmocka_unit_test(there_is_a_bound_on_rows),
        cmocka_unit_test(what_is_cut_off_is_no_row),
        cmocka_unit_test(damage_is_refused_or_harmless),
        cmocka_unit_test(the_largest_row_fits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
