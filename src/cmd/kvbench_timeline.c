/* See kvbench_timeline.h. Pure: a history in, figures out. */
#include "cmd/kvbench_timeline.h"

#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"

/* ---- what became of each operation ---- */

/* An acknowledged put, by its end; `newest_ns` is the latest begin of all up to it. */
struct acked {
    uint64_t end_ns, newest_ns;
};

struct judge {
    struct history *h;
    uint64_t skew_ns;
    uint32_t *put_of; /* by value: the operation that put it, or HISTORY_NO_NAME */
    struct acked *acked;
    struct timeline_op *ops; /* by number in the history */
};

static int by_end(const void *a, const void *b)
{
    uint64_t x = ((const struct acked *)a)->end_ns, y = ((const struct acked *)b)->end_ns;
    return (x > y) - (x < y);
}

/* The latest begin of an acknowledged put that had ended before `ns`. False: there is none. */
static bool newest_before(const struct acked *acked, size_t count, uint64_t ns, uint64_t *out)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (acked[middle].end_ns < ns)
            low = middle + 1;
        else
            high = middle;
    }
    if (low)
        *out = acked[low - 1].newest_ns;
    return low > 0;
}

static enum timeline_verdict judge_get(const struct judge *j, const struct history_op *op, size_t acked_count)
{
    uint64_t newest_ns;
    if (!newest_before(j->acked, acked_count, op->start_ns, &newest_ns))
        return TIMELINE_ANSWERED;
    if (op->value == HISTORY_ABSENT)
        return TIMELINE_MISSED;
    uint32_t put = j->put_of[op->value];
    bool older = put != HISTORY_NO_NAME && j->h->ops[put].end_ns + j->skew_ns < newest_ns;
    return older ? TIMELINE_STALE : TIMELINE_ANSWERED;
}

static void judge_key(struct judge *j, const uint32_t *order, size_t count)
{
    size_t acked_count = 0;
    bool dies = false;
    for (size_t i = 0; i < count; i++) {
        const struct history_op *op = &j->h->ops[order[i]];
        j->ops[order[i]] = (struct timeline_op){
            op->start_ns, op->end_ns, op->outcome == HISTORY_OK ? TIMELINE_ANSWERED : TIMELINE_FAILED};
        dies = dies || op->kind == HISTORY_DEL || op->ttl_ns;
        if (op->kind == HISTORY_PUT && op->outcome == HISTORY_OK)
            j->acked[acked_count++] = (struct acked){op->end_ns, op->start_ns};
    }
    if (dies)
        return;
    qsort(j->acked, acked_count, sizeof *j->acked, by_end);
    for (size_t i = 1; i < acked_count; i++)
        if (j->acked[i].newest_ns < j->acked[i - 1].newest_ns)
            j->acked[i].newest_ns = j->acked[i - 1].newest_ns;
    for (size_t i = 0; i < count; i++) {
        const struct history_op *op = &j->h->ops[order[i]];
        if (op->kind == HISTORY_GET && op->outcome == HISTORY_OK)
            j->ops[order[i]].verdict = judge_get(j, op, acked_count);
    }
}

static int judge_all(struct history *h, uint64_t skew_ns, struct timeline_op *ops)
{
    struct judge j = {.h = h,
                      .skew_ns = skew_ns,
                      .put_of = malloc((h->values.count + 1) * sizeof *j.put_of),
                      .acked = malloc((h->count + 1) * sizeof *j.acked),
                      .ops = ops};
    int rc = j.put_of && j.acked ? history_sort(h) : KV_E_NO_MEMORY;
    if (rc == KV_OK) {
        for (size_t v = 0; v < h->values.count; v++)
            j.put_of[v] = HISTORY_NO_NAME;
        for (size_t i = 0; i < h->count; i++)
            if (h->ops[i].kind == HISTORY_PUT)
                j.put_of[h->ops[i].value] = (uint32_t)i;
        for (size_t k = 0; k < h->keys.count; k++)
            judge_key(&j, h->order + h->first[k], h->first[k + 1] - h->first[k]);
    }
    free(j.put_of);
    free(j.acked);
    return rc;
}

/* ---- the timeline ---- */

static int by_start(const void *a, const void *b)
{
    uint64_t x = ((const struct timeline_op *)a)->start_ns, y = ((const struct timeline_op *)b)->start_ns;
    return (x > y) - (x < y);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool is_answered(enum timeline_verdict verdict)
{
    return verdict == TIMELINE_ANSWERED || verdict == TIMELINE_STALE;
}

int timeline_init(struct timeline *t, struct history *h, uint64_t skew_ns)
{
    *t = (struct timeline){.ops = malloc((h->count + 1) * sizeof *t->ops),
                           .answered_ns = malloc((h->count + 1) * sizeof *t->answered_ns),
                           .count = h->count};
    int rc = t->ops && t->answered_ns ? judge_all(h, skew_ns, t->ops) : KV_E_NO_MEMORY;
    if (rc != KV_OK) {
        timeline_deinit(t);
        return rc;
    }
    for (size_t i = 0; i < t->count; i++)
        if (is_answered(t->ops[i].verdict))
            t->answered_ns[t->answered_count++] = t->ops[i].end_ns;
    qsort(t->ops, t->count, sizeof *t->ops, by_start);
    qsort(t->answered_ns, t->answered_count, sizeof *t->answered_ns, by_number);
    return KV_OK;
}

void timeline_deinit(struct timeline *t)
{
    free(t->ops);
    free(t->answered_ns);
    *t = (struct timeline){0};
}

/* ---- spans ---- */

/* The first operation that began at `ns` or later. */
static size_t first_from(const struct timeline *t, uint64_t ns)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->ops[middle].start_ns < ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t first_answered_from(const struct timeline *t, uint64_t ns)
{
    size_t low = 0, high = t->answered_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->answered_ns[middle] < ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The nearest rank: the least of all that `percent` of them are not above. */
static uint64_t quantile(const uint64_t *sorted, size_t count, unsigned percent)
{
    return count ? sorted[(count * percent + 99) / 100 - 1] : 0;
}

static int latencies(const struct timeline *t, size_t from, size_t to, struct timeline_span *s)
{
    uint64_t *us = malloc((to - from + 1) * sizeof *us);
    size_t count = 0;
    if (!us)
        return KV_E_NO_MEMORY;
    for (size_t i = from; i < to; i++)
        if (is_answered(t->ops[i].verdict))
            us[count++] = (t->ops[i].end_ns - t->ops[i].start_ns) / 1000;
    qsort(us, count, sizeof *us, by_number);
    s->p50_us = quantile(us, count, 50);
    s->p99_us = quantile(us, count, 99);
    s->max_us = quantile(us, count, 100);
    free(us);
    return KV_OK;
}

/* Ends of answered operations inside the span, whenever they began, cut it into gaps. */
static void longest_gap(const struct timeline *t, struct timeline_span *s)
{
    uint64_t last = s->begin_ns;
    for (size_t i = first_answered_from(t, s->begin_ns); last < s->end_ns; i++) {
        bool inside = i < t->answered_count && t->answered_ns[i] < s->end_ns;
        uint64_t end = inside ? t->answered_ns[i] : s->end_ns;
        s->gap_ns = end - last > s->gap_ns ? end - last : s->gap_ns;
        last = end;
    }
}

int timeline_measure(const struct timeline *t, struct timeline_span *s)
{
    KV_ASSERT(s->begin_ns < s->end_ns);
    size_t from = first_from(t, s->begin_ns), to = first_from(t, s->end_ns);
    uint64_t begun_ns = 0, ended_ns = s->begin_ns; /* of the last that went wrong */
    *s = (struct timeline_span){.begin_ns = s->begin_ns, .end_ns = s->end_ns, .ops = to - from};
    for (size_t i = from; i < to; i++) {
        const struct timeline_op *op = &t->ops[i];
        s->failed += op->verdict == TIMELINE_FAILED;
        s->missed += op->verdict == TIMELINE_MISSED;
        s->stale += op->verdict == TIMELINE_STALE;
        if (!is_answered(op->verdict)) {
            begun_ns = op->start_ns;
            ended_ns = op->end_ns > ended_ns ? op->end_ns : ended_ns;
        }
    }
    bool wrong = s->failed + s->missed > 0;
    s->recovery_ns =
        wrong && begun_ns + TIMELINE_QUIET_NS > s->end_ns ? TIMELINE_NEVER : ended_ns - s->begin_ns;
    longest_gap(t, s);
    return latencies(t, from, to, s);
}

double timeline_available_percent(const struct timeline_span *s)
{
    return s->ops ? 100.0 * (double)(s->ops - s->failed - s->missed) / (double)s->ops : 100.0;
}
