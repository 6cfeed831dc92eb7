/* The end of a process that has found itself wrong. The only code below the shell that writes anywhere: there
 * is nobody left to hand the text to. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void kv_assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "level=error event=assertion_failed at=%s:%d expr=\"%s\"\n", file, line, expr);
    abort();
}
