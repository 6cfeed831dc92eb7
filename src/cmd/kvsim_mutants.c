/* Planted bugs (base/mutant.h), each woken in turn: how many seeds until an invariant is violated. */
#include "cmd/kvsim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mutant.h"
#include "sim/run.h"
#include "sim/scenario.h"

#ifdef MUTANTS

#define SEEDS_MAX          500u
#define SCENARIO_SEEDS_MAX 10u

static const struct {
    const char *name, *text;
    bool hub; /* a bug of topologies with a hub */
} mutants[] = {{"none", "no bug: nothing may be found", false},
#define MUTANT_ROW(name, text) {#name, text, false},
               MUTANT_TABLE(MUTANT_ROW)
#undef MUTANT_ROW
#define MUTANT_ROW(name, text) {#name, text, true},
                   MUTANT_HUB_TABLE(MUTANT_ROW)
#undef MUTANT_ROW
};

/* What a child, which may end by an assertion, leaves behind. */
struct finding {
    uint64_t seed;
    char invariant[32];
    char scenario[40]; /* in which; "": a run of random faults */
};

/* Where there is a hub, it coordinates in every other run. */
static enum topology topology_of(uint64_t seed, bool hub)
{
    if (!hub)
        return TOPOLOGY_RING;
    return seed % 2 ? TOPOLOGY_DIRECTORY : TOPOLOGY_CENTRAL;
}

static bool hunt(struct finding *f, uint64_t seeds, bool hub, const struct scenario *scenario)
{
    snprintf(f->scenario, sizeof f->scenario, "%s", scenario ? scenario->name : "");
    for (f->seed = 1; f->seed <= seeds; f->seed++) {
        struct run_config config = {.seed = f->seed,
                                    .nodes = scenario ? 0 : 5,
                                    .topology = topology_of(f->seed, hub && !scenario),
                                    .classes = FAULT_ALL,
                                    .ops = 1200,
                                    .seconds = 45,
                                    .scenario = scenario};
        struct run_result r;
        run_seed(&config, &r);
        snprintf(f->invariant, sizeof f->invariant, "%s", r.invariant ? r.invariant : "");
        run_result_deinit(&r);
        if (f->invariant[0])
            return true;
    }
    return false;
}

/* What random faults do not find may be in one of the stories. */
static void hunt_all(struct finding *f, uint64_t seeds, bool hub)
{
    bool found = hunt(f, seeds, hub, NULL);
    for (uint32_t i = 0; scenarios[i] && !found; i++)
        found = hunt(f, SCENARIO_SEEDS_MAX, hub, scenarios[i]);
}

/* A process of its own: a bug may end in an assertion. */
static void try_mutant(uint32_t number, struct finding *f, uint64_t seeds)
{
    memset(f, 0, sizeof *f);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        mutant_awake = (enum mutant)number;
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        hunt_all(f, seeds, mutants[number].hub);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0)
        abort();
    if (WIFSIGNALED(status))
        snprintf(f->invariant, sizeof f->invariant, "assertion");
}

int kvsim_mutants(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : NULL;
    struct finding *f = mmap(NULL, sizeof *f, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t escaped = 0;
    if (f == MAP_FAILED)
        return 2;
    printf("%-24s %-10s %5s  %s\n", "bug", "found by", "seeds", "what it does");
    for (uint32_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++) {
        if (only && strcmp(only, mutants[i].name) != 0)
            continue;
        uint64_t seeds = i ? SEEDS_MAX : SEEDS_MAX / 5;
        try_mutant(i, f, seeds);
        bool found = f->invariant[0];
        escaped += found == (i == 0);
        printf("%-24s %-10s %5llu  %s%s%s\n", mutants[i].name,
               found ? f->invariant
               : i   ? "ESCAPED"
                     : "-",
               (unsigned long long)(found ? f->seed : seeds), mutants[i].text,
               f->scenario[0] && found ? "; in " : "", found ? f->scenario : "");
    }
    munmap(f, sizeof *f);
    return escaped ? 1 : 0;
}

#else

int kvsim_mutants(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fprintf(stderr, "usage: make mutants\nkvsim: this build has no planted bugs in it\n");
    return 2;
}

#endif
