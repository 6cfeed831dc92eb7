/* Ctrl-C and SIGTERM of kvbench: whenever they come, and however often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/common_stop.h"

struct heard {
    int calls, times;
};

static void on_stop(int times, void *arg)
{
    struct heard *h = arg;
    h->calls++;
    h->times = times;
}

static void end_watch(struct stop *s, uv_loop_t *loop)
{
    stop_unwatch(s);
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(loop), 0);
}

static void one_that_comes_before_the_run_is_heard_of_in_it(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct stop s;
    struct heard h = {0};
    stop_hold();
    assert_int_equal(stop_signal(), 0);
    raise(SIGTERM);
    uv_loop_init(&loop);
    assert_int_equal(stop_watch(&s, &loop, on_stop, &h), 0);
    assert_int_equal(h.calls, 0);
    uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.times, 1);
    end_watch(&s, &loop);
    stop_release();
}

static void the_second_is_told_apart_and_does_not_kill(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct stop s;
    struct heard h = {0};
    stop_hold();
    uv_loop_init(&loop);
    assert_int_equal(stop_watch(&s, &loop, on_stop, &h), 0);
    raise(SIGTERM);
    uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(h.times, 1);
    raise(SIGINT);
    uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(h.times, 2);
    assert_int_equal(stop_signal(), SIGTERM);
    end_watch(&s, &loop);
    stop_release();
}

/* Of a process of its own; the status is that of wait. */
static int how_it_ends(void (*life)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        life();
        _exit(7);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void is_told_after_the_run(void)
{
    stop_hold();
    raise(SIGINT);
    raise(SIGINT);
    stop_release();
}

static void is_told_three_times(void)
{
    stop_hold();
    for (int i = 0; i < 3; i++)
        raise(SIGINT);
}

static void is_told_twice(void)
{
    stop_hold();
    for (int i = 0; i < 2; i++)
        raise(SIGINT);
}

static void ignores_it(void)
{
    signal(SIGINT, SIG_IGN);
    stop_hold();
    for (int i = 0; i < 5; i++)
        raise(SIGINT);
    if (stop_signal() != 0)
        _exit(1);
    stop_release();
    raise(SIGINT);
}

static void is_released(void)
{
    stop_hold();
    stop_release();
    raise(SIGTERM);
}

static void a_process_ends_by_it_when_all_is_said(void **state)
{
    (void)state;
    int status = how_it_ends(is_told_after_the_run);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    status = how_it_ends(is_told_twice);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void the_third_kills(void **state)
{
    (void)state;
    int status = how_it_ends(is_told_three_times);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

static void a_job_in_the_background_goes_on_ignoring_it(void **state)
{
    (void)state;
    int status = how_it_ends(ignores_it);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void released_they_act_as_before(void **state)
{
    (void)state;
    int status = how_it_ends(is_released);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_comes_before_the_run_is_heard_of_in_it),
        cmocka_unit_test(the_second_is_told_apart_and_does_not_kill),
        cmocka_unit_test(a_process_ends_by_it_when_all_is_said),
        cmocka_unit_test(the_third_kills),
        cmocka_unit_test(a_job_in_the_background_goes_on_ignoring_it),
        cmocka_unit_test(released_they_act_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
