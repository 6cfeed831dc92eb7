/* Notes: paged with their rows, forgotten only for what was handed over, and a row dropped only when nobody
 * else waits for it. */
#include "unit/store_support.h"

#include "model/key.h"
#include "model/limits.h"

#include <stdlib.h>

enum { ARENA_BYTES = 4 << 20, ALICE = 2, BOB = 7, CAROL = 1024 };

static const struct stamp at_5 = {5, 1}, at_6 = {6, 1}, at_9 = {9, 1};

/* How many notes wait for a member, in pages of `limit`; checks order and rows. */
static uint32_t notes_of(struct store *s, uint32_t member, uint32_t limit)
{
    struct arena arena;
    struct buf at = {0};
    struct cursor after = {0};
    uint32_t total = 0;
    arena_init(&arena, ARENA_BYTES);
    for (bool done = false; !done;) {
        struct page_entry *entries;
        struct cursor next;
        uint32_t count;
        assert_int_equal(store_hints(s, member, after, limit, &arena, &entries, &count, &next, &done), KV_OK);
        assert_true(count <= limit);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(key_token(entries[i].key) >= after.token);
            after.token = key_token(entries[i].key);
            if (!row_is_absent(&entries[i].row))
                assert_true(stamp_cmp(entries[i].row.stamp, entries[i].hint) >= 0);
            row_release(&entries[i].row);
        }
        total += count;
        assert_int_equal(buf_set(&at, next.key), KV_OK);
        after = (struct cursor){next.token, buf_bytes(&at)};
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    buf_deinit(&at);
    return total;
}

static bool row_there(struct store *s, struct bytes key)
{
    struct row row;
    assert_int_equal(store_read(s, key, STORE_ANY, true, &row), KV_OK);
    return !row_is_absent(&row);
}

/* The one note for a member; fails when there is not exactly one. */
static struct page_entry only_note(struct store *s, uint32_t member)
{
    struct arena arena;
    struct page_entry *entries, first;
    struct cursor next;
    uint32_t count;
    bool done;
    arena_init(&arena, ARENA_BYTES);
    assert_int_equal(store_hints(s, member, (struct cursor){0}, 10, &arena, &entries, &count, &next, &done),
                     KV_OK);
    assert_int_equal(count, 1);
    first = entries[0];
    row_release(&entries[0].row);
    first.row.payload = NULL;
    arena_deinit(&arena);
    return first;
}

static void pages_hold_each_members_notes(void **state)
{
    enum { NOTES = 500 };
    struct store *s = open_ok(*state);
    for (uint32_t i = 0; i < NOTES; i++) {
        char text[KEY_TEXT_BYTES];
        uint32_t second = i % 2 ? BOB : i % 10 == 0 ? UINT32_MAX : 0;
        assert_int_equal(put_noted(s, key_number(i, text), row_text(i + 1, "v"), ALICE, second), KV_OK);
        if (i == NOTES / 2)
            flush_rows(s);
    }
    for (int round = 0; round < 2; round++) {
        assert_int_equal(notes_of(s, ALICE, 1), NOTES);
        assert_int_equal(notes_of(s, ALICE, 64), NOTES);
        assert_int_equal(notes_of(s, ALICE, SCAN_PAGE_MAX), NOTES);
        assert_int_equal(notes_of(s, BOB, 64), NOTES / 2);
        assert_int_equal(notes_of(s, UINT32_MAX, 64), NOTES / 10);
        assert_int_equal(notes_of(s, CAROL, 64), 0);
        assert_int_equal(notes_of(s, 0, 64), 0);
        store_close(s);
        s = open_ok(*state);
    }
    store_close(s);
}

static void a_note_brings_its_row(void **state)
{
    struct store *s = open_ok(*state);
    struct arena arena;
    struct page_entry *entries;
    struct cursor next;
    uint32_t count;
    bool done;
    arena_init(&arena, ARENA_BYTES);
    assert_int_equal(put_noted(s, bytes_str("k"), row_text(5, "five"), ALICE, 0), KV_OK);
    assert_int_equal(put(s, bytes_str("k"), row_text(9, "nine"), false), KV_OK);
    assert_int_equal(store_hints(s, ALICE, (struct cursor){0}, 10, &arena, &entries, &count, &next, &done),
                     KV_OK);
    assert_int_equal(count, 1);
    assert_true(bytes_eq(entries[0].key, bytes_str("k")));
    assert_int_equal(stamp_cmp(entries[0].hint, at_5), 0);
    assert_int_equal(stamp_cmp(entries[0].row.stamp, at_9), 0);
    assert_true(bytes_eq(blob_bytes(entries[0].row.payload), bytes_str("nine")));
    row_release(&entries[0].row);
    assert_true(done);
    arena_deinit(&arena);
    store_close(s);
}

static void a_page_is_bounded_by_payload(void **state)
{
    enum { NOTES = 9, VALUE_BYTES = 400000 };
    struct store *s = open_ok(*state);
    uint8_t *value = calloc(1, VALUE_BYTES);
    for (uint32_t i = 0; i < NOTES; i++) {
        char text[KEY_TEXT_BYTES];
        assert_int_equal(put_noted(s, key_number(i, text), row_of(1, value, VALUE_BYTES), ALICE, 0), KV_OK);
    }
    free(value);
    struct arena arena;
    struct page_entry *entries;
    struct cursor next;
    uint32_t count;
    bool done;
    arena_init(&arena, ARENA_BYTES);
    assert_int_equal(store_hints(s, ALICE, (struct cursor){0}, 100, &arena, &entries, &count, &next, &done),
                     KV_OK);
    assert_int_equal(count, 3);
    assert_false(done);
    for (uint32_t i = 0; i < count; i++)
        row_release(&entries[i].row);
    assert_int_equal(notes_of(s, ALICE, 100), NOTES);
    arena_deinit(&arena);
    store_close(s);
}

/* A late duplicate of an older write must not make a note look older: what is in flight for the old stamp
 * would then be taken for all there is to hand over. */
static void a_note_keeps_its_newest_stamp(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes key = bytes_str("k");
    assert_int_equal(put_noted(s, key, row_text(9, "nine"), ALICE, 0), KV_OK);
    assert_int_equal(put_noted(s, key, row_text(5, "five"), ALICE, 0), KV_OK);
    assert_int_equal(stamp_cmp(only_note(s, ALICE).hint, at_9), 0);
    flush_rows(s);
    assert_int_equal(put_noted(s, key, row_text(6, "six"), ALICE, 0), KV_OK);
    assert_int_equal(stamp_cmp(only_note(s, ALICE).hint, at_9), 0);
    assert_int_equal(store_hint_done(s, ALICE, key, at_6, true), KV_OK);
    assert_int_equal(notes_of(s, ALICE, 10), 1);
    assert_true(row_there(s, key));
    assert_int_equal(store_hint_done(s, ALICE, key, at_9, true), KV_OK);
    assert_int_equal(notes_of(s, ALICE, 10), 0);
    assert_false(row_there(s, key));
    store_close(s);
}

static void a_done_note_is_forgotten(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes key = bytes_str("k");
    assert_int_equal(put_noted(s, key, row_text(5, "v"), ALICE, 0), KV_OK);
    assert_int_equal(store_hint_done(s, BOB, key, at_9, true), KV_OK); /* nobody's */
    assert_int_equal(notes_of(s, ALICE, 10), 1);
    assert_int_equal(store_hint_done(s, ALICE, key, at_5, false), KV_OK);
    assert_int_equal(notes_of(s, ALICE, 10), 0);
    assert_true(row_there(s, key));
    assert_int_equal(store_hint_done(s, ALICE, key, at_5, true), KV_OK); /* twice: no note, nothing happens */
    assert_true(row_there(s, key));
    store_close(s);
    s = open_ok(*state);
    assert_int_equal(notes_of(s, ALICE, 10), 0);
    assert_true(row_there(s, key));
    store_close(s);
}

/* With its note, which is all that says that it has to go. */
static void a_row_that_changed_stays(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes key = bytes_str("k");
    assert_int_equal(put_noted(s, key, row_text(5, "v"), ALICE, 0), KV_OK);
    assert_int_equal(put_noted(s, key, row_text(6, "w"), BOB, 0), KV_OK);
    assert_int_equal(store_hint_done(s, BOB, key, at_6, true), KV_OK);
    assert_int_equal(store_hint_done(s, ALICE, key, at_5, true), KV_E_AGAIN);
    assert_int_equal(notes_of(s, ALICE, 10), 1);
    assert_true(row_there(s, key));
    assert_int_equal(store_hint_done(s, ALICE, key, at_6, true), KV_OK);
    assert_int_equal(notes_of(s, ALICE, 10), 0);
    assert_false(row_there(s, key));
    store_close(s);
}

/* Who else waits must be known after a restart too, and whoever it is. */
static void a_row_that_others_wait_for_stays(void **state)
{
    for (int reopened = 0; reopened < 2; reopened++) {
        for (int order = 0; order < 2; order++) {
            struct store *s = open_ok(*state);
            struct bytes key = bytes_str("k");
            uint32_t first = order ? UINT32_MAX : ALICE, second = order ? ALICE : UINT32_MAX;
            assert_int_equal(put_noted(s, bytes_str("other"), row_text(5, "v"), BOB, CAROL), KV_OK);
            assert_int_equal(put_noted(s, key, row_text(5, "v"), ALICE, UINT32_MAX), KV_OK);
            if (reopened) {
                store_close(s);
                s = open_ok(*state);
            }
            assert_int_equal(store_hint_done(s, first, key, at_5, true), KV_OK);
            assert_true(row_there(s, key));
            assert_int_equal(notes_of(s, second, 10), 1);
            assert_int_equal(store_hint_done(s, second, key, at_5, true), KV_OK);
            assert_false(row_there(s, key));
            store_close(s);
        }
    }
}

static void a_dropped_row_can_come_again(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes key = bytes_str("k");
    for (uint64_t hlc = 5; hlc > 2; hlc--) { /* older ones too: it is as if the key had never been */
        assert_int_equal(put_noted(s, key, row_text(hlc, "v"), ALICE, 0), KV_OK);
        assert_int_equal(stamp_cmp(only_note(s, ALICE).hint, (struct stamp){hlc, 1}), 0);
        assert_int_equal(store_hint_done(s, ALICE, key, (struct stamp){hlc, 1}, true), KV_OK);
        assert_false(row_there(s, key));
        flush_rows(s);
    }
    store_close(s);
}

/* A note whose row was purged meanwhile comes with an absent row. */
static void a_note_may_outlive_its_row(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes key = bytes_str("k");
    assert_int_equal(put_noted(s, key, row_text(6, "v"), ALICE, 0), KV_OK);
    assert_int_equal(put_noted(s, key, row_text(6, "v"), BOB, 0), KV_OK);
    purge_row(s, key);
    struct page_entry note = only_note(s, ALICE);
    assert_true(row_is_absent(&note.row));
    assert_int_equal(stamp_cmp(note.hint, at_6), 0);
    assert_int_equal(store_hint_done(s, ALICE, key, at_6, true), KV_OK);
    assert_int_equal(notes_of(s, ALICE, 10), 0);
    assert_int_equal(notes_of(s, BOB, 10), 1);
    store_close(s);
}

struct totals {
    uint32_t members[8];
    uint64_t counts[8], bytes[8];
    size_t count;
};

static void add_total(uint32_t member, uint64_t count, uint64_t bytes, void *arg)
{
    struct totals *t = arg;
    assert_true(t->count < 8);
    t->members[t->count] = member;
    t->counts[t->count] = count;
    t->bytes[t->count++] = bytes;
}

static void totals_are_counted(void **state)
{
    struct store *s = open_ok(*state);
    struct totals t = {0};
    assert_int_equal(store_hint_totals(s, add_total, &t), KV_OK);
    assert_int_equal(t.count, 0);

    assert_int_equal(put_noted(s, bytes_str("k"), row_text(5, "12345"), BOB, ALICE), KV_OK);
    assert_int_equal(put_noted(s, bytes_str("k"), row_text(6, "123456"), BOB, 0), KV_OK);
    assert_int_equal(put_noted(s, bytes_str("other"), row_text(6, ""), UINT32_MAX, BOB), KV_OK);
    assert_int_equal(put_noted(s, bytes_str("gone"), row_text(6, "v"), CAROL, 0), KV_OK);
    assert_int_equal(store_hint_done(s, CAROL, bytes_str("gone"), at_6, true), KV_OK);
    assert_int_equal(store_hint_totals(s, add_total, &t), KV_OK);
    assert_int_equal(t.count, 3);
    static const uint32_t members[] = {ALICE, BOB, UINT32_MAX};
    static const uint64_t counts[] = {1, 2, 1};
    const uint64_t bytes[] = {1 + ROW_HEADER_BYTES + 5, 1 + ROW_HEADER_BYTES + 6 + 5 + ROW_HEADER_BYTES,
                              5 + ROW_HEADER_BYTES};
    assert_memory_equal(t.members, members, sizeof members);
    assert_memory_equal(t.counts, counts, sizeof counts);
    assert_memory_equal(t.bytes, bytes, sizeof bytes);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        CASE(pages_hold_each_members_notes),    CASE(a_note_brings_its_row),
        CASE(a_page_is_bounded_by_payload),     CASE(a_note_keeps_its_newest_stamp),
        CASE(a_done_note_is_forgotten),         CASE(a_row_that_changed_stays),
        CASE(a_row_that_others_wait_for_stays), CASE(a_dropped_row_can_come_again),
        CASE(a_note_may_outlive_its_row),       CASE(totals_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
