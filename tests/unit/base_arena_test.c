/* The bump allocator: alignment, limit, reuse after a reset, and what a reset gives back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    enum { COUNT = 500 };
    uint8_t *pieces[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        pieces[i] = arena_alloc(&a, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_equal(pieces[i][j], i & 0xff);
    assert_ptr_not_equal(pieces[0], pieces[1]); /* empty pieces have an address of their own too */
    arena_deinit(&a);
}

static void limit_is_exact_and_survives_hostile_sizes(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1000); /* 62 whole units of 16 */
    for (int i = 0; i < 62; i++)
        assert_non_null(arena_alloc(&a, 9));
    assert_int_equal(a.used_bytes, 992);
    assert_null(arena_alloc(&a, 1));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 992));
    arena_reset(&a);
    assert_null(arena_alloc(&a, 993)); /* rounds up to 1008 */
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 15));
    assert_int_equal(a.used_bytes, 0);
    arena_deinit(&a);

    arena_init(&a, SIZE_MAX);
    assert_null(arena_alloc(&a, SIZE_MAX)); /* must not wrap around to a small piece */
    arena_deinit(&a);
}

static void a_reset_gives_the_same_memory_again(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    void *first = arena_alloc(&a, 100);
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_alloc(&a, 3000));
    arena_reset(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    arena_deinit(&a);
    assert_null(a.first);
}

static void a_big_piece_is_not_kept(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64 << 20);
    assert_non_null(arena_alloc(&a, 16));
    struct arena_chunk *small = a.first;
    void *big = arena_alloc(&a, 8 << 20);
    assert_non_null(big);
    memset(big, 0xab, 8 << 20);
    assert_int_equal(a.used_bytes, (8 << 20) + 16);
    arena_reset(&a);
    assert_ptr_equal(a.first, small); /* kept; the sanitizer build would show a leak of the big one */
    /* A second big piece as the only chunk: nothing may be left of it. */
    arena_deinit(&a);
    assert_non_null(arena_alloc(&a, 2 << 20));
    arena_reset(&a);
    assert_null(a.first);
    assert_non_null(arena_alloc(&a, 16));
    arena_deinit(&a);
}

static void copies_and_texts(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64);
    char text[] = "k\0v";
    struct bytes copy = arena_copy(&a, bytes_of(text, sizeof text));
    memset(text, 'x', sizeof text);
    assert_true(bytes_eq(copy, bytes_of("k\0v", 4)));
    assert_null(arena_copy(&a, (struct bytes){NULL, 0}).data);
    assert_string_equal(arena_printf(&a, "%s=%d", "n", 42), "n=42");
    assert_string_equal(arena_printf(&a, "%0100d", 1), ""); /* does not fit */
    assert_null(arena_copy(&a, bytes_of(text, 1000)).data);
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(limit_is_exact_and_survives_hostile_sizes),
        cmocka_unit_test(a_reset_gives_the_same_memory_again),
        cmocka_unit_test(a_big_piece_is_not_kept),
        cmocka_unit_test(copies_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
