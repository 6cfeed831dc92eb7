#include "sim/run.h"

#include <stdarg.h>
#include <stdio.h>

#include "sim/run_internal.h"

#define FORM_LIMIT_US UINT64_C(60000000)
#define SPARES        3u /* nodes that may join */
#define STORY_SPARES  4u /* … in a scenario */

const char *const run_invariants[] = {"formed",  "alive",   "members", "ring",     "converged",
                                      "placed",  "settled", "crossed", "purged",   "risen",
                                      "stamped", "bounded", "clock",   "durable",  "own",
                                      "linear",  "absent",  "scanned", "scenario", NULL};
const char *const run_invariant_texts[] = {
    "the founders agree on a ring within a minute",
    "no node leaves by itself",
    "after healing: no live node stays dead, and no dead one alive",
    "no epoch has two rings; after healing all changes come to an end, and all have the same ring",
    "after healing: hints are handed over, and anti-entropy makes all homes of all keys equal",
    "after healing: as many homes have an acknowledged put as acknowledged it, before they compare anything",
    "what a strict request told is on a majority of the homes read from, then and under every later ring",
    "what is asked under one ring is not answered under another",
    "after healing: no store has a dead row, where rows grow old soon enough",
    "no store takes a row that is older than one that was purged",
    "a put has one stamp, however often it is tried",
    "every request ends; what is at rest keeps nothing",
    "what a node says of the time never goes back, not even over a restart",
    "an acknowledged put is there in the end, or was overwritten by a later one",
    "a client reads its own last strict put or something newer, whatever the clocks",
    "a key whose requests are all strict is a linearizable register",
    "nothing that was deleted or has expired comes back",
    "a complete scan misses no key that was strictly put before it began",
    "what a scenario's script expects",
    NULL,
};

void run_violated(struct run *r, const char *invariant, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sim_say(r->sim, 0, "VIOLATED %s: %s", invariant, text);
    if (r->result->invariant)
        return;
    r->result->invariant = invariant;
    KV_ASSERT(buf_printf(&r->result->story, "%s\n", text) == KV_OK);
}

/* ---- forming ---- */

static bool is_ready(struct sim *s, void *arg)
{
    const struct run *r = arg;
    for (uint32_t i = 1; i <= r->founders; i++)
        if (!sim_node(s, i) || !sim_look_ready(sim_node(s, i), 1000000 + s->now_us))
            return false;
    return run_settled(s, arg);
}

static void form(struct run *r)
{
    if (r->early)
        faults_on(r->faults);
    for (uint32_t i = 1; i <= r->founders; i++) {
        if (!sim_node(r->sim, i)) /* a fault may have come and gone */
            (void)sim_start(r->sim, i);
        sim_run(r->sim, sim_between(r->sim, 0, 500000));
    }
    if (!r->early && !sim_run_until(r->sim, is_ready, r, FORM_LIMIT_US))
        run_violated(r, "formed", "no ring that everybody serves after %llu s",
                     (unsigned long long)(FORM_LIMIT_US / 1000000));
}

/* ---- safety ---- */

/* Some classes, not all at once: a cluster in which everything fails shows little. */
static uint32_t choose_classes(struct prng *prng, uint32_t from)
{
    uint32_t chosen = 0;
    while (from && !chosen)
        chosen =
            from & (uint32_t)prng_u64(prng) & (prng_below(prng, 3) ? (uint32_t)prng_u64(prng) : UINT32_MAX);
    return chosen;
}

static void suffer(struct run *r)
{
    uint64_t us = (uint64_t)r->config->seconds * 1000000;
    workload_begin(r->workload);
    if (!r->early)
        faults_on(r->faults);
    sim_run(r->sim, us);
}

/* ---- one run ---- */

static enum sim_sync choose_sync(struct prng *prng)
{
    uint64_t dice = prng_below(prng, 10);
    return dice < 7 ? SIM_SYNC_ALWAYS : dice < 9 ? SIM_SYNC_INTERVAL : SIM_SYNC_NONE;
}

static void lost(struct bytes key, bool wiped, void *arg)
{
    const struct run *r = arg;
    if (r->workload)
        workload_lost(r->workload, key, wiped);
}

/* What was told holds until the ring is another, and under that one, too. */
static void turns(void *arg)
{
    const struct run *r = arg;
    if (r->workload)
        workload_look(r->workload);
}

/* How long a message, or a disk, takes: a rack, a busy rack, a house, two towns. */
static const struct {
    uint64_t min_us, max_us;
} paces[] = {{100, 500}, {100, 3000}, {500, 10000}, {10000, 30000}};

static void set_up(struct run *r)
{
    const struct run_config *config = r->config;
    struct prng prng; /* for the choice of a world; the world has its own */
    prng_init(&prng, config->seed ^ UINT64_C(0x9e3779b97f4a7c15));
    uint32_t any_nodes = 3 + (uint32_t)prng_below(&prng, 7);
    r->founders = config->nodes ? config->nodes : config->scenario ? config->scenario->nodes : any_nodes;
    r->nodes = r->founders + (config->scenario ? STORY_SPARES : SPARES);
    r->result->nodes = r->founders;
    r->result->classes = config->scenario ? 0 : choose_classes(&prng, config->classes);
    /* Now and then there is no quiet hour to found a cluster in. A founder that loses its disk then is none
     * any more, and the others wait for it: that is not asked for. */
    r->early = !config->scenario && prng_below(&prng, 5) == 0;
    if (r->early)
        r->result->classes &= ~(FAULT_BIT(WIPE) | FAULT_BIT(REMOVE) | FAULT_BIT(RESTORE));
    uint32_t net = (uint32_t)prng_below(&prng, 4), disk = (uint32_t)prng_below(&prng, 4);
    if (config->scenario)
        net = disk = 0;
    /* What is compared all the time hides what was never written; so half the runs are without. */
    r->repairs = config->scenario || prng_below(&prng, 2);
    /* In real time a row may be a minute old, and a purge waits for longer: no run would see the end of one.
     * Any age does for the proof, so long as it is the same everywhere (repair/purge.h). */
    r->purges = !config->scenario && prng_below(&prng, 2);
    uint32_t row_age_ms = 2000 + (uint32_t)prng_below(&prng, 3000);
    uint64_t purge_us = 100000 + prng_below(&prng, 1000000);
    struct sim_config world = {
        .seed = config->seed,
        .nodes = r->nodes,
        .founders = r->founders,
        .partitions = 64,
        .delay_min_us = paces[net].min_us,
        .delay_max_us = paces[net].max_us,
        .disk_min_us = 0,
        .disk_max_us = paces[disk].max_us,
        .sync = config->scenario ? SIM_SYNC_ALWAYS : choose_sync(&prng),
        .topology = scenario_topology(config->scenario, config->topology),
        .purge_us = r->purges ? purge_us : 0,
        .row_age_max_ms = r->purges ? row_age_ms : 0,
        .repair_round_us = r->repairs ? 0 : UINT64_MAX,
        .log = config->log,
        .lost = lost,
        .lost_arg = r,
        .witness = &r->witness,
        .turns = turns,
        .turns_arg = r,
    };
    r->witness.unique = !config->scenario;
    r->sim = sim_create(&world);
    uint32_t clients = 2 + (uint32_t)prng_below(&prng, 4);
    uint64_t gap_us = 500000 + prng_below(&prng, 5000000);
    r->faults = faults_create(r->sim, r->result->classes, gap_us);
    r->workload = workload_create(r->sim, clients, config->ops, (uint64_t)config->seconds * 1000000);
    if (!config->log)
        return;
    sim_say(r->sim, 0, "seed %llu: %u nodes, %u clients, sync %d", (unsigned long long)config->seed,
            r->founders, clients, world.sync);
    for (uint32_t c = 0; c < FAULT_CLASSES; c++)
        if (r->result->classes >> c & 1u)
            sim_say(r->sim, 0, "enabled: %s", fault_word((enum fault_class)c));
}

static void tear_down(struct run *r)
{
    struct run_result *out = r->result;
    out->trace = sim_trace(r->sim);
    out->virtual_us = sim_now_us(r->sim);
    out->ops = workload_done(r->workload);
    out->ops_ok = workload_ok(r->workload);
    out->tally = *sim_tally(r->sim);
    for (uint32_t i = 1; i <= r->nodes; i++)
        if (sim_node(r->sim, i))
            sim_look_counters(sim_node(r->sim, i), &out->tally);
    workload_destroy(r->workload);
    r->workload = NULL;
    faults_destroy(r->faults);
    sim_destroy(r->sim);
    witness_deinit(&r->witness);
    buf_deinit(&r->answer.value);
}

void run_seed(const struct run_config *config, struct run_result *out)
{
    *out = (struct run_result){0};
    struct run r = {.config = config, .result = out};
    set_up(&r);
    form(&r);
    if (!run_failed(&r)) {
        if (config->scenario)
            config->scenario->play(&r);
        else
            suffer(&r);
    }
    if (!run_failed(&r))
        run_verify(&r);
    tear_down(&r);
}

void run_result_deinit(struct run_result *r)
{
    buf_deinit(&r->story);
}
