/* Reading one's own writes and monotonic reads (Terry et al. 1994, "Session guarantees"), for strict gets: a
 * client never gets anything older than its last acknowledged strict put or delete, nor than what an earlier
 * strict get of its own returned. Holds whatever the clocks do, because both ask a majority of the homes.
 *
 * One key at a time, each client's operations are gone through in the order of time: what has ended raises
 * the client's floor, what begins must not be below it. */
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "sim/check_key.h"

enum moment_kind { MOMENT_ASK, MOMENT_LEARN }; /* at one time, who asks cannot know yet */

struct moment {
    uint64_t at_ns;
    uint32_t client;
    uint32_t op;
    enum moment_kind kind;
};

/* The newest write a client knows of, and how it knows: that write itself, or a get. */
struct floor {
    uint32_t write;
    uint32_t witness;
};

struct own {
    struct check_key *key;
    struct check_gone *gone;
    uint64_t *gone_until; /* the largest until_ns of the first i + 1 */
    uint32_t gone_count;
};

static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;
    if (a->client != b->client)
        return a->client < b->client ? -1 : 1;
    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return (a->op > b->op) - (a->op < b->op);
}

static bool is_strict_get(const struct history_op *op)
{
    return op->kind == HISTORY_GET && op->strict && !op->final && op->outcome == HISTORY_OK;
}

static uint32_t moments_of(const struct check_key *k, struct moment *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        const struct history_op *op = check_op(k, k->ops[i]);
        bool get = is_strict_get(op);
        if (get)
            out[count++] = (struct moment){op->start_ns, op->client, k->ops[i], MOMENT_ASK};
        if (get || (op->strict && check_is_acked(op)))
            out[count++] = (struct moment){op->end_ns, op->client, k->ops[i], MOMENT_LEARN};
    }
    qsort(out, count, sizeof *out, compare_moments);
    return count;
}

/* Of the writes that a client knows, the one that began last is the newest it can be sure of. */
static void learn(const struct check_key *k, struct floor *f, uint32_t at)
{
    const struct history_op *op = check_op(k, at);
    uint32_t write = at;
    if (op->kind == HISTORY_GET)
        write = op->value == HISTORY_ABSENT ? CHECK_NONE : check_writer(k, op->value);
    if (write == CHECK_NONE)
        return;
    if (f->write == CHECK_NONE || check_op(k, write)->start_ns > check_op(k, f->write)->start_ns)
        *f = (struct floor){write, at};
}

static bool may_be_absent(const struct own *o, const struct floor *f, const struct history_op *get)
{
    const struct history_op *floor = check_op(o->key, f->write);
    if (floor->kind == HISTORY_DEL)
        return true;
    uint32_t begun = check_gone_by(o->gone, o->gone_count, get->end_ns);
    uint64_t margin = floor->strict ? 0 : o->key->options->skew_ns;
    return begun > 0 && (o->gone_until[begun - 1] >= floor->start_ns ||
                         floor->start_ns - o->gone_until[begun - 1] <= margin);
}

static void ask(const struct own *o, const struct floor *f, uint32_t at)
{
    const struct history_op *get = check_op(o->key, at);
    if (f->write == CHECK_NONE)
        return;
    o->key->report->judged++;
    uint32_t seen = CHECK_NONE;
    bool wrong;
    if (get->value == HISTORY_ABSENT) {
        wrong = !may_be_absent(o, f, get);
    } else {
        seen = check_writer(o->key, get->value);
        wrong = check_is_older(o->key, seen, f->write);
    }
    if (wrong)
        check_found(o->key, f->witness == f->write ? CHECK_OWN_OLDER : CHECK_OWN_BACK,
                    (uint32_t[]){seen, f->write, f->witness, at}, 4);
}

static int judge(struct own *o, struct moment *moments, uint32_t count)
{
    struct floor floor = {CHECK_NONE, CHECK_NONE};
    uint64_t until = 0;
    int rc = check_gone_list(o->key, false, &o->gone, &o->gone_count);
    o->gone_until = malloc((o->gone_count + 1) * sizeof *o->gone_until);
    if (rc == KV_OK && !o->gone_until)
        rc = KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < o->gone_count && rc == KV_OK; i++) {
        until = o->gone[i].until_ns > until ? o->gone[i].until_ns : until;
        o->gone_until[i] = until;
    }
    for (uint32_t i = 0; i < count && rc == KV_OK; i++) {
        if (i > 0 && moments[i].client != moments[i - 1].client)
            floor = (struct floor){CHECK_NONE, CHECK_NONE};
        if (moments[i].kind == MOMENT_ASK)
            ask(o, &floor, moments[i].op);
        else
            learn(o->key, &floor, moments[i].op);
    }
    free(o->gone_until);
    free(o->gone);
    return rc;
}

static int look(struct check_key *k, void *arg)
{
    (void)arg;
    struct own o = {.key = k};
    struct moment *moments = malloc((2 * (size_t)k->count + 1) * sizeof *moments);
    if (!moments)
        return KV_E_NO_MEMORY;
    uint32_t count = moments_of(k, moments);
    int rc = count ? judge(&o, moments, count) : KV_OK;
    free(moments);
    return rc;
}

int check_own(const struct history *h, const struct check_options *o, struct check_report *out)
{
    return check_each_key(h, o, out, look, NULL);
}
