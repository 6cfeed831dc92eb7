/* For what must stop the process: runs `statement` in a child and says whether it ended in abort(). */
#ifndef UNIT_DEATH_H
#define UNIT_DEATH_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

/* True in the child, whose standard error is closed to keep the test's own output readable. */
static inline bool death_begin(pid_t *child)
{
    *child = fork();
    if (*child != 0)
        return false;
    int null = open("/dev/null", O_WRONLY);
    if (null >= 0)
        dup2(null, STDERR_FILENO);
    signal(SIGABRT, SIG_DFL); /* cmocka catches it */
    return true;
}

static inline bool death_seen(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#define assert_dies(statement)           \
    do {                                 \
        pid_t child_;                    \
        if (death_begin(&child_)) {      \
            statement;                   \
            _exit(0);                    \
        }                                \
        assert_true(death_seen(child_)); \
    } while (0)

#endif
