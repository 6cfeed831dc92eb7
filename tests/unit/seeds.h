/* A test of random runs, each from its seed, which it tells when one fails. NAME SEED replays that, NAME SEED
 * COUNT tries more. */
#ifndef UNIT_SEEDS_H
#define UNIT_SEEDS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t first_seed = 1, runs, seed;

static void take_seeds(int argc, char **argv, uint32_t otherwise)
{
    runs = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : otherwise;
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
}

/* A teardown: the test's loop did not come to its end. */
static int tell_seed(void **state)
{
    (void)state;
    if (seed < first_seed + runs)
        print_message("failed; replay with: %s %llu\n", program_invocation_short_name,
                      (unsigned long long)seed);
    return 0;
}

#endif
