/* The intrusive list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"

struct item {
    int number;
    struct list link;
};

static int number_of(struct list *node)
{
    return container_of(node, struct item, link)->number;
}

/* The list forwards and backwards is exactly `numbers`. */
static void assert_list(struct list *head, const int *numbers, int count)
{
    int seen = 0;
    list_each (it, head) {
        assert_true(seen < count);
        assert_int_equal(number_of(it), numbers[seen++]);
    }
    assert_int_equal(seen, count);
    for (struct list *it = head->prev; it != head; it = it->prev)
        assert_int_equal(number_of(it), numbers[--seen]);
    assert_int_equal(seen, 0);
    assert_int_equal(list_empty(head), count == 0);
}

static void pushes_at_both_ends_and_pops_in_front(void **state)
{
    (void)state;
    struct list head;
    list_init(&head);
    assert_list(&head, NULL, 0);
    assert_null(list_pop_front(&head));
    struct item items[] = {{.number = 0}, {.number = 1}, {.number = 2}};
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    assert_list(&head, (int[]){0, 1, 2}, 3);
    assert_ptr_equal(list_pop_front(&head), &items[0].link);
    assert_false(list_linked(&items[0].link));
    assert_true(list_linked(&items[1].link));
    assert_list(&head, (int[]){1, 2}, 2);
}

static void removing_twice_is_harmless(void **state)
{
    (void)state;
    struct list head;
    list_init(&head);
    struct item items[] = {{.number = 0}, {.number = 1}, {.number = 2}};
    for (int i = 0; i < 3; i++)
        list_push_back(&head, &items[i].link);
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    assert_list(&head, (int[]){0, 2}, 2);
    list_push_back(&head, &items[1].link);
    assert_list(&head, (int[]){0, 2, 1}, 3);
}

static void the_visited_node_may_be_removed(void **state)
{
    (void)state;
    struct list head;
    list_init(&head);
    struct item items[6];
    for (int i = 0; i < 6; i++) {
        items[i] = (struct item){.number = i};
        list_push_back(&head, &items[i].link);
    }
    int seen = 0;
    list_each_safe (it, &head) {
        assert_int_equal(number_of(it), seen++);
        if (number_of(it) % 2 == 1)
            list_remove(it);
    }
    assert_int_equal(seen, 6);
    assert_list(&head, (int[]){0, 2, 4}, 3);
    list_each_safe (it, &head)
        list_remove(it);
    assert_list(&head, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_at_both_ends_and_pops_in_front),
        cmocka_unit_test(removing_twice_is_harmless),
        cmocka_unit_test(the_visited_node_may_be_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
