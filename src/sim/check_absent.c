/* Nothing that is gone comes back. Three ways to be gone:
 *
 *     deleted   a delete was acknowledged before the get began; what was put before that delete must not be
 *               there. Strict deletes bind strict gets; in the end, all of them bind the final get.
 *     seen gone a strict get found the key absent after the value had surely been there; no later strict get
 *               may return that value.
 *     expired   its time to live had passed before the get began; this binds every get, for the expiry is
 *               part of the row. */
#include <stdlib.h>
#include <string.h>

#include "kv_error.h"
#include "sim/check_key.h"

struct moment {
    uint64_t at_ns;
    uint32_t op;
    bool learn; /* the operation ends; otherwise it begins */
};

struct absent {
    uint32_t *there; /* by number of the value: the strict put or get that first proved it to be there */
    uint32_t deleted, any_deleted; /* of the deletes that have ended, the one that began last: strict, any */
    uint32_t gone;                 /* of the strict gets that found nothing, the one that began last */
};

/* At one time, those who begin come first: they cannot know what ends only then. */
static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;
    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    if (a->learn != b->learn)
        return a->learn ? 1 : -1;
    return (a->op > b->op) - (a->op < b->op);
}

static bool is_answered_get(const struct history_op *op)
{
    return op->kind == HISTORY_GET && op->outcome == HISTORY_OK;
}

static uint32_t moments_of(const struct check_key *k, struct moment *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        const struct history_op *op = check_op(k, k->ops[i]);
        bool found = is_answered_get(op) && op->value != HISTORY_ABSENT;
        bool gone = is_answered_get(op) && op->value == HISTORY_ABSENT && op->strict;
        if (found)
            out[count++] = (struct moment){op->start_ns, k->ops[i], false};
        else if (gone || (op->kind == HISTORY_DEL && check_is_acked(op)))
            out[count++] = (struct moment){op->end_ns, k->ops[i], true};
    }
    qsort(out, count, sizeof *out, compare_moments);
    return count;
}

/* What first proved each value to be there: a strict put of it was acknowledged, or a strict get returned it.
 */
static void note_there(const struct check_key *k, uint32_t *there)
{
    for (uint32_t i = 0; i < k->count; i++) {
        const struct history_op *op = check_op(k, k->ops[i]);
        if (op->value == HISTORY_ABSENT || !op->strict || op->outcome != HISTORY_OK)
            continue;
        uint32_t *held = &there[op->value];
        if (*held == CHECK_NONE || op->end_ns < check_op(k, *held)->end_ns)
            *held = k->ops[i];
    }
}

static void forget_there(const struct check_key *k, uint32_t *there)
{
    for (uint32_t i = 0; i < k->count; i++)
        if (check_op(k, k->ops[i])->value != HISTORY_ABSENT)
            there[check_op(k, k->ops[i])->value] = CHECK_NONE;
}

static void keep_latest(const struct check_key *k, uint32_t *held, uint32_t op)
{
    if (*held == CHECK_NONE || check_op(k, op)->start_ns > check_op(k, *held)->start_ns)
        *held = op;
}

static void learn(const struct check_key *k, struct absent *a, uint32_t op)
{
    if (check_op(k, op)->kind == HISTORY_GET) {
        keep_latest(k, &a->gone, op);
        return;
    }
    keep_latest(k, &a->any_deleted, op);
    if (check_op(k, op)->strict)
        keep_latest(k, &a->deleted, op);
}

static bool has_expired(const struct check_key *k, uint32_t put, const struct history_op *get)
{
    const struct history_op *op = put == CHECK_NONE ? NULL : check_op(k, put);
    return op && op->ttl_ns && get->start_ns > op->end_ns + op->ttl_ns + k->options->expiry_slack_ns;
}

/* Whether a strict get found nothing although the value had been there and was not about to expire: near its
 * time, some clocks say that it has expired and some do not. */
static bool was_seen_gone(const struct check_key *k, const struct absent *a, uint32_t put, uint32_t value)
{
    const struct history_op *op = put == CHECK_NONE ? NULL : check_op(k, put);
    if (a->gone == CHECK_NONE || a->there[value] == CHECK_NONE)
        return false;
    const struct history_op *gone = check_op(k, a->gone);
    if (op && op->ttl_ns && gone->end_ns + k->options->expiry_slack_ns >= op->start_ns + op->ttl_ns)
        return false;
    return check_op(k, a->there[value])->end_ns < gone->start_ns;
}

static void judge(struct check_key *k, const struct absent *a, uint32_t at)
{
    const struct history_op *get = check_op(k, at);
    uint32_t put = check_writer(k, get->value);
    uint32_t deleted = get->final ? a->any_deleted : get->strict ? a->deleted : CHECK_NONE;
    k->report->judged++;
    if (has_expired(k, put, get))
        check_found(k, CHECK_ABSENT_EXPIRED, (uint32_t[]){put, at}, 2);
    else if (check_is_older(k, put, deleted))
        check_found(k, CHECK_ABSENT_DELETED, (uint32_t[]){put, deleted, at}, 3);
    else if (get->strict && was_seen_gone(k, a, put, get->value))
        check_found(k, CHECK_ABSENT_GONE, (uint32_t[]){put, a->there[get->value], a->gone, at}, 4);
}

static int look(struct check_key *k, void *arg)
{
    struct absent a = {arg, CHECK_NONE, CHECK_NONE, CHECK_NONE};
    struct moment *moments = malloc((k->count + (size_t)1) * sizeof *moments);
    if (!moments)
        return KV_E_NO_MEMORY;
    uint32_t count = moments_of(k, moments);
    note_there(k, a.there);
    for (uint32_t i = 0; i < count; i++) {
        if (moments[i].learn)
            learn(k, &a, moments[i].op);
        else
            judge(k, &a, moments[i].op);
    }
    forget_there(k, a.there);
    free(moments);
    return KV_OK;
}

int check_absent(const struct history *h, const struct check_options *o, struct check_report *out)
{
    size_t size = (h->values.count + 1) * sizeof(uint32_t);
    uint32_t *there = malloc(size);
    if (!there)
        return KV_E_NO_MEMORY;
    memset(there, 0xff, size); /* CHECK_NONE */
    int rc = check_each_key(h, o, out, look, there);
    free(there);
    return rc;
}
