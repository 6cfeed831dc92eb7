/* The second half of a run: everything heals, the cluster comes to rest, and every invariant is looked at. */
#include <stdio.h>

#include "sim/run_internal.h"

/* ---- members ---- */

/* The wiped node's process is a stranger now; as a member it is dead for good. */
static bool is_member(const struct run *r, uint32_t node)
{
    return sim_node(r->sim, node) && node != faults_wiped(r->faults);
}

static bool sees_rightly(const struct run *r, uint32_t viewer, uint32_t node)
{
    const struct node *n = sim_node(r->sim, viewer);
    if (is_member(r, node))
        return sim_look_sees(n, node) == MEMBER_ALIVE && (viewer == node || sim_look_reaches(n, node));
    enum member_state state = sim_look_sees(n, node);
    return (state == MEMBER_DEAD || state == MEMBER_LEFT) && !sim_look_reaches(n, node);
}

static bool misjudged(const struct run *r, uint32_t *viewer, uint32_t *node)
{
    for (uint32_t i = 1; i <= r->nodes; i++) {
        if (!is_member(r, i))
            continue;
        for (uint32_t j = 1; j <= r->nodes; j++) {
            *viewer = i;
            *node = j;
            if (!sees_rightly(r, i, j))
                return true;
        }
    }
    return false;
}

bool run_settled(struct sim *s, void *run)
{
    const struct run *r = run;
    uint32_t viewer, node;
    for (uint32_t i = 1; i <= r->nodes; i++)
        if (is_member(r, i) && !sim_look_ready(sim_node(s, i), 1000000 + s->now_us))
            return false;
    return !misjudged(r, &viewer, &node);
}

static void verify_members(struct run *r)
{
    uint64_t began_us = sim_now_us(r->sim);
    uint32_t viewer = 0, node = 0;
    if (sim_run_until(r->sim, run_settled, r, SETTLE_LIMIT_US)) {
        r->result->settled_us = sim_now_us(r->sim) - began_us;
        return;
    }
    if (misjudged(r, &viewer, &node))
        run_violated(r, "members", "%llu s after healing n%u sees n%u as %s and can%s send to it; it is %s",
                     (unsigned long long)(SETTLE_LIMIT_US / 1000000), viewer, node,
                     member_state_name(sim_look_sees(sim_node(r->sim, viewer), node)),
                     sim_look_reaches(sim_node(r->sim, viewer), node) ? "" : "not",
                     is_member(r, node) ? "alive" : "gone");
    else
        run_violated(r, "members", "%llu s after healing a node does not serve",
                     (unsigned long long)(SETTLE_LIMIT_US / 1000000));
}

/* ---- hints ---- */

/* Hints for the living; those for a lost member wait for a ring without it. */
static uint64_t hints_left(const struct run *r, uint32_t *keeper, uint32_t *home)
{
    for (uint32_t i = 1; i <= r->nodes; i++)
        for (uint32_t j = 1; is_member(r, i) && j <= r->nodes; j++) {
            uint64_t count = is_member(r, j) ? sim_look_hints(sim_node(r->sim, i), j) : 0;
            *keeper = i;
            *home = j;
            if (count)
                return count;
        }
    return 0;
}

static bool is_handed_over(struct sim *s, void *run)
{
    uint32_t keeper, home;
    (void)s;
    return hints_left(run, &keeper, &home) == 0;
}

static void verify_hints(struct run *r)
{
    uint32_t keeper, home;
    if (sim_run_until(r->sim, is_handed_over, r, HINTS_LIMIT_US))
        return;
    uint64_t count = hints_left(r, &keeper, &home);
    run_violated(r, "converged", "%llu s after healing n%u still keeps %llu hints for n%u",
                 (unsigned long long)(HINTS_LIMIT_US / 1000000), keeper, (unsigned long long)count, home);
}

/* ---- every request ends ---- */

static bool is_drained(struct sim *s, void *run)
{
    (void)s;
    return workload_pending(((const struct run *)run)->workload) == 0;
}

static void verify_drained(struct run *r)
{
    if (!sim_run_until(r->sim, is_drained, r, DRAIN_LIMIT_US))
        run_violated(r, "bounded", "%u requests have not ended %llu s after healing",
                     workload_pending(r->workload), (unsigned long long)(DRAIN_LIMIT_US / 1000000));
}

static const char *leftover(const struct run *r, uint32_t *node, uint64_t *amount)
{
    for (*node = 1; *node <= r->nodes; ++*node) {
        const char *what = is_member(r, *node) ? sim_look_leftover(sim_node(r->sim, *node), amount) : NULL;
        if (what)
            return what;
    }
    return NULL;
}

static bool is_clean(struct sim *s, void *run)
{
    uint32_t node;
    uint64_t amount;
    (void)s;
    return !leftover(run, &node, &amount);
}

static void verify_leftovers(struct run *r)
{
    uint32_t node;
    uint64_t amount;
    if (sim_run_until(r->sim, is_clean, r, DRAIN_LIMIT_US))
        return;
    const char *what = leftover(r, &node, &amount);
    run_violated(r, "bounded", "n%u at rest keeps %s: %llu", node, what, (unsigned long long)amount);
}

/* ---- and it stays so ---- */

/* A healthy member may be suspected for a moment, for what was lost before; called dead it may not be. */
static void verify_stays(struct run *r)
{
    for (uint64_t looked = 0; looked < STAY_US / STAY_LOOK_US && !run_failed(r); looked++) {
        sim_run(r->sim, STAY_LOOK_US);
        for (uint32_t i = 1; i <= r->nodes; i++)
            for (uint32_t j = 1; is_member(r, i) && j <= r->nodes; j++)
                if (is_member(r, j) && sim_look_sees(sim_node(r->sim, i), j) == MEMBER_DEAD)
                    run_violated(r, "members", "all is healed and was seen so, and now n%u calls n%u dead", i,
                                 j);
    }
}

/* ---- all homes equal ---- */

static const struct ring *any_ring(const struct run *r)
{
    for (uint32_t i = 1; i <= r->nodes; i++)
        if (is_member(r, i) && node_serving(sim_node(r->sim, i)))
            return node_ring(sim_node(r->sim, i));
    return NULL;
}

/* The homes of a key that live. */
static uint32_t homes_of(const struct run *r, struct bytes key, uint32_t out[PREFERENCE_MAX])
{
    const struct ring *ring = any_ring(r);
    uint32_t all[PREFERENCE_MAX], count = 0;
    ring_preference(ring, ring_partition(ring, key_token(key)), all);
    for (uint32_t i = 0; i < ring->homes; i++)
        if (is_member(r, all[i]))
            out[count++] = all[i];
    return count;
}

static void read_finally(struct run *r, const char *key, uint32_t homes)
{
    struct workload_answer answer = {0};
    struct workload_ask ask = {
        .kind = HISTORY_GET, .key = key, .strict = true, .final = true, .r = (uint8_t)homes};
    workload_ask(r->workload, &ask, &answer);
    while (!answer.done)
        sim_run(r->sim, 1000);
    /* Fewer homes than can prove an absence: strict does not say "not found" then. */
    uint32_t all = any_ring(r)->homes, proof = all - all / 2;
    if (answer.status != KV_OK && answer.status != KV_E_NOT_FOUND && homes >= proof)
        run_violated(r, "converged", "a get of %s of all its %u living homes ended as %s", key, homes,
                     kv_error_word(answer.status));
    buf_deinit(&answer.value);
}

/* Reading everything from all homes repairs what hints do not: a put that was acknowledged by the others
 * while a home was slow. */
static void read_everything(struct run *r)
{
    uint32_t count = workload_keys(r->workload);
    for (uint32_t k = 0; k < count && !run_failed(r); k++) {
        struct bytes key = workload_key(r->workload, k);
        uint32_t homes[PREFERENCE_MAX];
        char text[64];
        snprintf(text, sizeof text, "%.*s", (int)key.len, (const char *)key.data);
        read_finally(r, text, homes_of(r, key, homes));
    }
}

static void verify_equal(struct run *r)
{
    for (uint32_t k = 0; k < workload_keys(r->workload); k++) {
        struct bytes key = workload_key(r->workload, k);
        uint32_t homes[PREFERENCE_MAX], count = homes_of(r, key, homes);
        const struct row *first = sim_store_row(sim_store(r->sim, homes[0]), key);
        for (uint32_t i = 1; i < count; i++) {
            const struct row *other = sim_store_row(sim_store(r->sim, homes[i]), key);
            if ((!first && !other) || (first && other && stamp_cmp(first->stamp, other->stamp) == 0))
                continue;
            run_violated(r, "converged", "key %.*s: n%u and n%u, two of its homes, hold different rows",
                         (int)key.len, (const char *)key.data, homes[0], homes[i]);
            return;
        }
    }
}

/* ---- what clients saw ---- */

typedef int (*checker)(const struct history *h, const struct check_options *o, struct check_report *out);

static void check(struct run *r, const struct history *h, const char *invariant, checker check_it)
{
    uint64_t spread_ns = (uint64_t)(r->sim->skew_max_ms - r->sim->skew_min_ms) * 1000000;
    struct check_options options = {
        .skew_ns = spread_ns + 1000000000, .expiry_slack_ns = spread_ns + 1000000000, .blank = true};
    struct check_report report;
    KV_ASSERT(check_it(h, &options, &report) == KV_OK);
    r->result->judged += report.judged;
    if (!report.found)
        return;
    struct buf text = {0};
    KV_ASSERT(check_text(h, &report.shown[0], &text) == KV_OK);
    run_violated(r, invariant, "%.*s    (%llu violations in all)", (int)text.len, (const char *)text.data,
                 (unsigned long long)report.found);
    buf_deinit(&text);
}

static void verify_history(struct run *r)
{
    struct history safe, kept;
    workload_history(r->workload, false, &safe);
    workload_history(r->workload, true, &kept);
    check(r, &kept, "durable", check_durable);
    check(r, &safe, "linear", check_linear);
    check(r, &safe, "own", check_own);
    check(r, &safe, "absent", check_absent);
    history_deinit(&safe);
    history_deinit(&kept);
}

void run_verify(struct run *r)
{
    const char *why;
    sim_say(r->sim, 0, "everything heals");
    workload_end(r->workload);
    faults_heal(r->faults);
    static void (*const steps[])(struct run *) = {verify_drained,  verify_members,   verify_hints,
                                                  read_everything, verify_leftovers, verify_stays,
                                                  verify_equal,    verify_history};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !run_failed(r); i++)
        steps[i](r);
    if (sim_gullible(r->sim))
        run_violated(r, "members", "n%u went back to an older belief of a member", sim_gullible(r->sim));
    if (sim_backwards(r->sim))
        run_violated(r, "clock", "what n%u says of the time has gone back", sim_backwards(r->sim));
    uint32_t failed = sim_failed(r->sim, &why);
    if (failed)
        run_violated(r, "alive", "n%u has left by itself: %s", failed, why);
}
