/* The second half of a run: everything heals, the cluster comes to rest, and every invariant is looked at. */
#include <stdio.h>

#include "repair/entropy.h"
#include "sim/run_internal.h"

/* ---- members ---- */

static bool is_member(const struct run *r, uint32_t node)
{
    return sim_node(r->sim, node) && sim_member(r->sim, node);
}

static bool sees_rightly(const struct run *r, uint32_t viewer, uint32_t member)
{
    const struct node *n = sim_node(r->sim, viewer);
    uint32_t node = sim_process_of(r->sim, member);
    if (node && is_member(r, node))
        return sim_look_sees(n, member) == MEMBER_ALIVE && (viewer == node || sim_look_reaches(n, member));
    enum member_state state = sim_look_sees(n, member);
    return (state == MEMBER_DEAD || state == MEMBER_LEFT) && !sim_look_reaches(n, member);
}

static bool misjudged(const struct run *r, uint32_t *viewer, uint32_t *member)
{
    const struct ring_value *v = &sim_ring(r->sim)->value;
    for (uint32_t i = 1; i <= r->nodes; i++) {
        if (!is_member(r, i))
            continue;
        for (uint32_t j = 0; j < v->member_count; j++) {
            *viewer = i;
            *member = v->members[j].id;
            if (!sees_rightly(r, i, *member))
                return true;
        }
    }
    return false;
}

bool run_settled(struct sim *s, void *run)
{
    const struct run *r = run;
    uint32_t viewer, member;
    for (uint32_t i = 1; i <= r->nodes; i++)
        if (is_member(r, i) && !sim_look_ready(sim_node(s, i), 1000000 + s->now_us))
            return false;
    return sim_ring(s) && !misjudged(r, &viewer, &member);
}

/* ---- the ring ---- */

/* All that was asked for is made, undone or dropped, and everybody has the ring that came of it. The first
 * process of which this is not true; 0: none. */
static uint32_t straggler(const struct run *r)
{
    const struct ring *newest = sim_ring(r->sim);
    for (uint32_t i = 1; i <= r->nodes; i++) {
        const struct node *n = sim_node(r->sim, i);
        if (faults_present(r->faults, i) &&
            (!n || !sim_member(r->sim, i) || !node_ring(n) || node_ring(n)->hash != newest->hash))
            return i;
    }
    return 0;
}

/* Who has left by itself comes back, as a service does. One that leaves at every start does not for ever. */
static void revive(struct run *r)
{
    if (sim_now_us(r->sim) < r->revive_us)
        return;
    r->revive_us = sim_now_us(r->sim) + REVIVE_US;
    for (uint32_t i = 1; i <= r->nodes; i++)
        faults_revive(r->faults, i);
}

static bool is_at_rest(struct sim *s, void *run)
{
    struct run *r = run;
    const struct ring *newest = sim_ring(s);
    revive(r); /* first: a change may wait for it */
    return newest && newest->value.phase == RING_STABLE && newest->value.queue_count == 0 &&
           !operator_waiting(faults_operator(r->faults)) && straggler(r) == 0;
}

static void verify_ring(struct run *r)
{
    if (sim_run_until(r->sim, is_at_rest, r, RING_LIMIT_US))
        return;
    const struct ring *newest = sim_ring(r->sim);
    run_violated(
        r, "ring", "%llu s after healing: epoch %llu, phase %u, %u changes queued, %u not taken on; n%u lags",
        (unsigned long long)(RING_LIMIT_US / 1000000), (unsigned long long)(newest ? newest->value.epoch : 0),
        newest ? newest->value.phase : 0, newest ? newest->value.queue_count : 0,
        operator_waiting(faults_operator(r->faults)), straggler(r));
}

static void verify_members(struct run *r)
{
    uint64_t began_us = sim_now_us(r->sim);
    uint32_t viewer = 0, member = 0;
    if (sim_run_until(r->sim, run_settled, r, SETTLE_LIMIT_US)) {
        r->result->settled_us += sim_now_us(r->sim) - began_us;
        return;
    }
    if (sim_ring(r->sim) && misjudged(r, &viewer, &member))
        run_violated(
            r, "members", "%llu s after healing n%u sees member %u as %s and can%s send to it; it is n%u",
            (unsigned long long)(SETTLE_LIMIT_US / 1000000), viewer, member,
            member_state_name(sim_look_sees(sim_node(r->sim, viewer), member)),
            sim_look_reaches(sim_node(r->sim, viewer), member) ? "" : "not", sim_process_of(r->sim, member));
    else
        run_violated(r, "members", "%llu s after healing a node does not serve",
                     (unsigned long long)(SETTLE_LIMIT_US / 1000000));
}

/* ---- homes ---- */

/* The processes that are homes of a key and live. */
static uint32_t homes_of(const struct run *r, struct bytes key, uint32_t out[PREFERENCE_MAX])
{
    const struct ring *ring = sim_ring(r->sim);
    uint32_t all[PREFERENCE_MAX], count = 0;
    ring_preference(ring, ring_partition(ring, key_token(key)), all);
    for (uint32_t i = 0; i < ring->homes; i++) {
        uint32_t node = sim_process_of(r->sim, all[i]);
        if (node && is_member(r, node))
            out[count++] = node;
    }
    return count;
}

/* ---- hints ---- */

static uint64_t hints_left(const struct run *r, uint32_t *keeper)
{
    for (uint32_t i = 1; i <= r->nodes; i++) {
        uint64_t count = is_member(r, i) ? sim_look_hints(sim_node(r->sim, i), 0) : 0;
        *keeper = i;
        if (count)
            return count;
    }
    return 0;
}

static bool is_handed_over(struct sim *s, void *run)
{
    uint32_t keeper;
    (void)s;
    return hints_left(run, &keeper) == 0;
}

static void verify_hints(struct run *r)
{
    uint32_t keeper;
    if (sim_run_until(r->sim, is_handed_over, r, HINTS_LIMIT_US))
        return;
    uint64_t count = hints_left(r, &keeper);
    run_violated(r, "converged", "%llu s after healing n%u still keeps %llu hints",
                 (unsigned long long)(HINTS_LIMIT_US / 1000000), keeper, (unsigned long long)count);
}

/* What clients were told is true of the homes alone, now that all hints are handed over: as many of them as
 * it takes have the newest row of a key, or the put of it was not acknowledged. A key that has lost a row, or
 * may have expired, says nothing. */

static const struct row *newest_of(const struct run *r, struct bytes key)
{
    const struct row *newest = NULL;
    for (uint32_t i = 1; i <= r->nodes; i++) {
        const struct row *row = is_member(r, i) ? sim_store_row(sim_store(r->sim, i), key) : NULL;
        if (row && (!newest || stamp_cmp(row->stamp, newest->stamp) > 0))
            newest = row;
    }
    return newest;
}

static uint32_t homes_with(const struct run *r, struct bytes key, struct stamp stamp)
{
    uint32_t homes[PREFERENCE_MAX], count = homes_of(r, key, homes), have = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct row *row = sim_store_row(sim_store(r->sim, homes[i]), key);
        have += row && stamp_cmp(row->stamp, stamp) == 0;
    }
    return have;
}

static void verify_placed(struct run *r)
{
    uint32_t replicas = r->sim->config.replicas, needed = replicas / 2 + 1;
    if (r->founders < replicas)
        return;
    for (uint32_t k = 0; k < workload_keys(r->workload) && !run_failed(r); k++) {
        struct bytes key = workload_key(r->workload, k);
        const struct row *row = newest_of(r, key);
        if (!row || row->flags & ROW_TOMBSTONE || row->expires_hlc ||
            !workload_acked(r->workload, k, blob_bytes(row->payload)))
            continue;
        r->result->judged++;
        uint32_t have = homes_with(r, key, row->stamp);
        if (have < needed)
            run_violated(r, "placed", "all hints are handed over, and %u homes of %.*s have its newest put",
                         have, (int)key.len, (const char *)key.data);
    }
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
        uint32_t viewer, member;
        if (!misjudged(r, &viewer, &member))
            continue;
        if (sim_look_sees(sim_node(r->sim, viewer), member) == MEMBER_DEAD)
            run_violated(r, "members", "all is healed and was seen so, and now n%u calls member %u dead",
                         viewer, member);
    }
}

/* ---- all homes equal ---- */

/* A key of which two homes hold different rows; HISTORY_NO_NAME: there is none. */
static uint32_t unequal(const struct run *r, uint32_t *one, uint32_t *other)
{
    for (uint32_t k = 0; k < workload_keys(r->workload); k++) {
        struct bytes key = workload_key(r->workload, k);
        uint32_t homes[PREFERENCE_MAX], count = homes_of(r, key, homes);
        const struct row *a = count ? sim_store_row(sim_store(r->sim, homes[0]), key) : NULL;
        for (uint32_t i = 1; i < count; i++) {
            const struct row *b = sim_store_row(sim_store(r->sim, homes[i]), key);
            if ((!a && !b) || (a && b && stamp_cmp(a->stamp, b->stamp) == 0))
                continue;
            *one = homes[0];
            *other = homes[i];
            return k;
        }
    }
    return HISTORY_NO_NAME;
}

static void note_newest(struct bytes key, const struct row *row, void *newest_hlc)
{
    uint64_t *newest = newest_hlc;
    (void)key;
    *newest = row->stamp.hlc > *newest ? row->stamp.hlc : *newest;
}

/* Whether somebody has a row that is young by somebody's clock: a comparison leaves it alone. What was
 * stamped by a clock that ran ahead is so for long. */
static bool any_young(const struct run *r)
{
    uint64_t newest = 0, slowest = UINT64_MAX;
    for (uint32_t i = 1; i <= r->nodes; i++) {
        if (!is_member(r, i))
            continue;
        uint64_t hlc = sim_look_hlc(sim_node(r->sim, i));
        slowest = hlc < slowest ? hlc : slowest;
        sim_store_each(sim_store(r->sim, i), note_newest, &newest);
    }
    return !hlc_is_older(newest, slowest, ENTROPY_YOUNG_MS);
}

/* Where nothing is compared by itself, an operator has every node do it. */
static void order_repairs(struct run *r)
{
    uint32_t client = sim_client(r->sim);
    for (uint32_t i = 1; i <= r->nodes && !run_failed(r); i++) {
        if (!is_member(r, i))
            continue;
        int status = sim_wait(r->sim, sim_repair(r->sim, client, i))->status;
        if (status != KV_OK && sim_ring(r->sim)->value.member_count > 1)
            run_violated(r, "converged", "n%u does not compare what it has: %s", i, kv_error_word(status));
    }
}

/* A put that was acknowledged by the others while a home was slow left no hint. */
static void verify_equal(struct run *r)
{
    uint32_t one = 0, other = 0, key = unequal(r, &one, &other);
    for (uint64_t us = 0; us < YOUNG_LIMIT_US && key != HISTORY_NO_NAME && any_young(r); us += EQUAL_LOOK_US)
        sim_run(r->sim, EQUAL_LOOK_US);
    if (key != HISTORY_NO_NAME && !r->repairs)
        order_repairs(r);
    for (uint64_t us = 0; us < EQUAL_LIMIT_US && key != HISTORY_NO_NAME; us += EQUAL_LOOK_US) {
        sim_run(r->sim, EQUAL_LOOK_US);
        key = unequal(r, &one, &other);
    }
    if (key == HISTORY_NO_NAME)
        return;
    struct bytes text = workload_key(r->workload, key);
    run_violated(r, "converged", "%llu s after healing n%u and n%u, homes of %.*s, hold different rows",
                 (unsigned long long)(EQUAL_LIMIT_US / 1000000), one, other, (int)text.len,
                 (const char *)text.data);
}

/* ---- what is dead is forgotten ---- */

/* Dead rows, or rows that will be. */
struct mortal {
    uint32_t rows, node; /* the last of them */
    struct bytes key;
};

static void note_mortal(struct bytes key, const struct row *row, void *arg)
{
    struct mortal *m = arg;
    if (!(row->flags & ROW_TOMBSTONE) && !row->expires_hlc)
        return;
    m->rows++;
    m->key = key;
}

static struct mortal mortal_rows(const struct run *r)
{
    struct mortal m = {0};
    for (uint32_t i = 1; i <= r->nodes; i++) {
        uint32_t before = m.rows;
        if (is_member(r, i))
            sim_store_each(sim_store(r->sim, i), note_mortal, &m);
        if (m.rows != before)
            m.node = i;
    }
    return m;
}

/* Clients let nothing live for long, so all that will expire has. Where nothing is compared, a home that
 * missed the end of a purge is not told. */
static void verify_purged(struct run *r)
{
    if (!r->purges || !r->repairs)
        return;
    struct mortal m = mortal_rows(r);
    for (uint64_t us = 0; us < PURGED_LIMIT_US && m.rows; us += EQUAL_LOOK_US) {
        sim_run(r->sim, EQUAL_LOOK_US);
        m = mortal_rows(r);
    }
    if (m.rows)
        run_violated(r, "purged", "%llu s after all were equal %u dead rows are left, n%u has one of %.*s",
                     (unsigned long long)(PURGED_LIMIT_US / 1000000), m.rows, m.node, (int)m.key.len,
                     (const char *)m.key.data);
}

/* ---- and all that can be read is read ---- */

static int read_key(struct run *r, uint32_t number, bool final, uint32_t homes)
{
    struct bytes key = workload_key(r->workload, number);
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)key.len, (const char *)key.data);
    struct workload_answer answer = {0};
    struct workload_ask ask = {
        .kind = HISTORY_GET, .key = text, .strict = true, .final = final, .r = (uint8_t)homes};
    workload_ask(r->workload, &ask, &answer);
    while (!answer.done)
        sim_run(r->sim, 1000);
    buf_deinit(&answer.value);
    return answer.status;
}

/* Before anything is compared: of as many homes as any strict get asks. What is answered is evidence. */
static void read_as_clients(struct run *r)
{
    for (uint32_t k = 0; k < workload_keys(r->workload); k++)
        (void)read_key(r, k, false, 0);
}

static void read_finally(struct run *r)
{
    for (uint32_t k = 0; k < workload_keys(r->workload) && !run_failed(r); k++) {
        struct bytes key = workload_key(r->workload, k);
        uint32_t nodes[PREFERENCE_MAX], homes = homes_of(r, key, nodes);
        int status = read_key(r, k, true, homes);
        /* Fewer homes than can prove an absence: strict does not say "not found" then. */
        uint32_t all = sim_ring(r->sim)->homes, proof = all - all / 2;
        if (status != KV_OK && status != KV_E_NOT_FOUND && homes >= proof)
            run_violated(r, "converged", "a get of %.*s of all its %u living homes ended as %s", (int)key.len,
                         (const char *)key.data, homes, kv_error_word(status));
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

static void verify_scans(struct run *r)
{
    struct bytes missed;
    uint64_t start_ns;
    r->result->judged += workload_scans(r->workload, &missed, &start_ns);
    if (missed.data)
        run_violated(r, "scanned", "a complete scan that began at %.6f missed %.*s, acknowledged before",
                     (double)start_ns / 1e9, (int)missed.len, (const char *)missed.data);
}

/* ---- what must never have been ---- */

static void verify_never(struct run *r, const struct table *seen, const char *invariant, const char *what)
{
    for (size_t i = 0; i < seen->count; i++) {
        const struct record *at = &seen->records[i];
        if (workload_whole(r->workload, at->at.key))
            run_violated(r, invariant, "%s: %.*s, stamped %llx", what, (int)at->at.key.len,
                         (const char *)at->at.key.data, (unsigned long long)at->stamp.hlc);
    }
}

static void verify_witness(struct run *r)
{
    const char *unsettled = workload_unsettled(r->workload);
    if (unsettled)
        run_violated(r, "settled", "%s", unsettled);
    verify_never(r, &r->witness.risen, "risen", "a store took a row that is older than one that was purged");
    verify_never(r, &r->witness.twins, "stamped", "one put has two stamps");
}

void run_verify(struct run *r)
{
    const char *why;
    sim_say(r->sim, 0, "everything heals");
    workload_look(r->workload);
    workload_end(r->workload);
    faults_heal(r->faults);
    /* Whose store the others refuse finds out after its start, and comes back as a new member: so the ring
     * and its members are looked at twice. */
    static void (*const steps[])(struct run *) = {
        verify_ring,  verify_drained,   verify_members,  verify_ring,    verify_members,
        verify_hints, verify_placed,    read_as_clients, verify_equal,   verify_purged,
        read_finally, verify_leftovers, verify_stays,    verify_history, verify_scans};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !run_failed(r); i++)
        steps[i](r);
    verify_witness(r);
    if (sim_two_rings(r->sim))
        run_violated(r, "ring", "epoch %llu has two values", (unsigned long long)sim_two_rings(r->sim));
    if (sim_crossed(r->sim))
        run_violated(r, "crossed", "n%u has answered under another ring than it was asked under",
                     sim_crossed(r->sim));
    if (sim_gullible(r->sim))
        run_violated(r, "members", "n%u went back to an older belief of a member", sim_gullible(r->sim));
    if (sim_backwards(r->sim))
        run_violated(r, "clock", "what n%u says of the time has gone back", sim_backwards(r->sim));
    uint32_t failed = sim_failed(r->sim, &why);
    if (failed)
        run_violated(r, "alive", "n%u has left by itself: %s", failed, why);
}
