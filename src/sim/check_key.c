/* Going through a history key by key. */
#include "sim/check_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "kv_error.h"

static bool is_put(const struct history_op *op)
{
    return op->kind == HISTORY_PUT;
}

/* Enters the puts of a key. False: one of its values was put twice, so that a get says nothing. A put that
 * surely did nothing may be repeated. */
static bool enter_writers(struct check_key *k)
{
    bool distinct = true;
    for (uint32_t i = 0; i < k->count; i++) {
        const struct history_op *op = check_op(k, k->ops[i]);
        uint32_t *held = is_put(op) ? &k->writers[op->value] : NULL;
        if (!held)
            continue;
        if (*held == CHECK_NONE || check_op(k, *held)->outcome == HISTORY_REFUSED)
            *held = k->ops[i];
        else if (op->outcome != HISTORY_REFUSED)
            distinct = false;
    }
    return distinct;
}

static void leave_writers(struct check_key *k)
{
    for (uint32_t i = 0; i < k->count; i++)
        if (is_put(check_op(k, k->ops[i])))
            k->writers[check_op(k, k->ops[i])->value] = CHECK_NONE;
}

int check_each_key(const struct history *h, const struct check_options *o, struct check_report *out,
                   int (*look)(struct check_key *k, void *arg), void *arg)
{
    KV_ASSERT(h->sorted);
    *out = (struct check_report){0};
    struct check_key k = {.history = h, .options = o, .report = out};
    size_t size = (h->values.count + 1) * sizeof *k.writers;
    int rc = KV_OK;
    k.writers = malloc(size);
    if (!k.writers)
        return KV_E_NO_MEMORY;
    memset(k.writers, 0xff, size); /* CHECK_NONE */
    for (uint32_t number = 0; number < h->keys.count && rc == KV_OK; number++) {
        k.number = number;
        k.ops = h->order + h->first[number];
        k.count = h->first[number + 1] - h->first[number];
        if (enter_writers(&k))
            rc = look(&k, arg);
        else
            out->skipped++;
        leave_writers(&k);
    }
    free(k.writers);
    return rc;
}

/* ---- which write is newer ---- */

bool check_is_older(const struct check_key *k, uint32_t a, uint32_t b)
{
    if (a == CHECK_NONE || b == CHECK_NONE || a == b)
        return a == CHECK_NONE && b != CHECK_NONE;
    const struct history_op *older = check_op(k, a), *newer = check_op(k, b);
    /* A strict write asks a majority for the newest stamp first, so it cannot miss one that a majority
     * holds; a client's clock never goes back. */
    bool exact =
        older->client == newer->client || (older->strict && newer->strict && older->outcome == HISTORY_OK);
    return older->end_ns + (exact ? 0 : k->options->skew_ns) < newer->start_ns;
}

/* ---- what may have made it absent ---- */

static int compare_gone(const void *left, const void *right)
{
    const struct check_gone *a = left, *b = right;
    if (a->from_ns != b->from_ns)
        return a->from_ns < b->from_ns ? -1 : 1;
    return (a->op > b->op) - (a->op < b->op);
}

static struct check_gone gone_of(const struct check_key *k, uint32_t at, bool forever)
{
    const struct history_op *op = check_op(k, at);
    struct check_gone gone = {op->start_ns, op->end_ns, at};
    if (op->kind == HISTORY_PUT) {
        uint64_t due = op->start_ns + op->ttl_ns, slack = k->options->expiry_slack_ns;
        gone.from_ns = due > op->start_ns + slack ? due - slack : op->start_ns;
    }
    if (op->outcome != HISTORY_OK && forever)
        gone.until_ns = UINT64_MAX;
    else if (op->outcome != HISTORY_OK || !op->strict)
        gone.until_ns += forever ? 0 : k->options->skew_ns;
    return gone;
}

static bool may_make_absent(const struct history_op *op)
{
    return op->outcome != HISTORY_REFUSED && (op->kind == HISTORY_DEL || (is_put(op) && op->ttl_ns));
}

int check_gone_list(const struct check_key *k, bool forever, struct check_gone **out, uint32_t *out_count)
{
    uint32_t count = 0;
    *out = NULL;
    *out_count = 0;
    for (uint32_t i = 0; i < k->count; i++)
        count += may_make_absent(check_op(k, k->ops[i]));
    if (count == 0)
        return KV_OK;
    struct check_gone *gone = malloc(count * sizeof *gone);
    if (!gone)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < k->count; i++)
        if (may_make_absent(check_op(k, k->ops[i])))
            gone[(*out_count)++] = gone_of(k, k->ops[i], forever);
    qsort(gone, count, sizeof *gone, compare_gone);
    *out = gone;
    return KV_OK;
}

uint32_t check_gone_by(const struct check_gone *gone, uint32_t count, uint64_t ns)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (gone[middle].from_ns <= ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
