/* Recording a history, and putting it in order of keys. */
#include "sim/history.h"

#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"

enum { HISTORY_MIN = 256 };

void history_init(struct history *h, size_t limit)
{
    KV_ASSERT(limit < UINT64_C(1) << 31);
    *h = (struct history){.limit = limit};
}

static void forget_order(struct history *h)
{
    free(h->order);
    free(h->first);
    h->order = h->first = NULL;
    h->sorted = false;
}

void history_deinit(struct history *h)
{
    forget_order(h);
    free(h->ops);
    history_names_deinit(&h->keys);
    history_names_deinit(&h->values);
    *h = (struct history){0};
}

int history_key(struct history *h, struct bytes text, uint32_t *out)
{
    forget_order(h); /* its table is by key */
    return history_names_add(&h->keys, text, out);
}

int history_value(struct history *h, struct bytes text, uint32_t *out)
{
    return history_names_add(&h->values, text, out);
}

static bool makes_sense(const struct history *h, const struct history_op *op)
{
    bool has_value = op->kind == HISTORY_PUT;
    if (op->kind > HISTORY_DEL || op->outcome > HISTORY_REFUSED || op->key >= h->keys.count)
        return false;
    if (op->start_ns > op->end_ns || op->end_ns > HISTORY_TIME_MAX_NS || op->ttl_ns > HISTORY_TIME_MAX_NS)
        return false;
    if (op->kind == HISTORY_GET)
        has_value = op->value != HISTORY_ABSENT;
    else if (op->final)
        return false;
    return has_value ? op->value < h->values.count : op->value == HISTORY_ABSENT;
}

int history_append(struct history *h, const struct history_op *op)
{
    if (!makes_sense(h, op))
        return KV_E_INVALID;
    if (h->count == h->limit)
        return KV_E_OVERLOADED;
    if (h->count == h->cap) {
        size_t cap = h->cap ? 2 * h->cap : HISTORY_MIN;
        cap = cap < h->limit ? cap : h->limit;
        struct history_op *ops = realloc(h->ops, cap * sizeof *ops);
        if (!ops)
            return KV_E_NO_MEMORY;
        h->ops = ops;
        h->cap = cap;
    }
    h->ops[h->count++] = *op;
    forget_order(h);
    return KV_OK;
}

/* ---- order ---- */

struct by_start {
    uint64_t start_ns;
    uint32_t op;
};

static int compare_start(const void *left, const void *right)
{
    const struct by_start *a = left, *b = right;
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns ? -1 : 1;
    return (a->op > b->op) - (a->op < b->op);
}

/* A counting sort: within a key the order of appending stays. */
static void group_by_key(struct history *h)
{
    size_t keys = h->keys.count;
    for (size_t i = 0; i < h->count; i++)
        h->first[h->ops[i].key + 1]++;
    for (size_t k = 0; k < keys; k++)
        h->first[k + 1] += h->first[k];
    for (size_t i = h->count; i-- > 0;)
        h->order[--h->first[h->ops[i].key + 1]] = (uint32_t)i;
    /* Filling from the back has moved every end to its beginning. */
    for (size_t k = 0; k < keys; k++)
        h->first[k] = h->first[k + 1];
    h->first[keys] = (uint32_t)h->count;
}

static void sort_by_start(const struct history *h, uint32_t *ops, size_t count, struct by_start *scratch)
{
    bool sorted = true;
    for (size_t i = 0; i < count; i++) {
        scratch[i] = (struct by_start){h->ops[ops[i]].start_ns, ops[i]};
        sorted = sorted && (i == 0 || scratch[i - 1].start_ns <= scratch[i].start_ns);
    }
    if (sorted)
        return;
    qsort(scratch, count, sizeof *scratch, compare_start);
    for (size_t i = 0; i < count; i++)
        ops[i] = scratch[i].op;
}

int history_sort(struct history *h)
{
    if (h->sorted)
        return KV_OK;
    size_t most = 0;
    h->order = calloc(h->count + 1, sizeof *h->order);
    h->first = calloc(h->keys.count + 1, sizeof *h->first);
    if (!h->order || !h->first) {
        forget_order(h);
        return KV_E_NO_MEMORY;
    }
    group_by_key(h);
    for (size_t k = 0; k < h->keys.count; k++)
        most = h->first[k + 1] - h->first[k] > most ? h->first[k + 1] - h->first[k] : most;
    struct by_start *scratch = malloc((most + 1) * sizeof *scratch);
    if (!scratch) {
        forget_order(h);
        return KV_E_NO_MEMORY;
    }
    for (size_t k = 0; k < h->keys.count; k++)
        sort_by_start(h, h->order + h->first[k], h->first[k + 1] - h->first[k], scratch);
    free(scratch);
    h->sorted = true;
    return KV_OK;
}

/* ---- text ---- */

static int put_client(uint32_t client, struct buf *out)
{
    uint32_t file = client >> HISTORY_CLIENT_BITS, number = client & ((1u << HISTORY_CLIENT_BITS) - 1);
    if (client == HISTORY_NOBODY)
        return buf_printf(out, "in the end:");
    if (file)
        return buf_printf(out, "client %u of file %u", number, file + 1);
    return buf_printf(out, "client %u", number);
}

int history_text(const struct history *h, uint32_t op, struct buf *out)
{
    static const char *const KINDS[] = {"get", "put", "delete"};
    static const char *const OUTCOMES[] = {"ok", "outcome unknown", "refused"};
    KV_ASSERT(op < h->count);
    const struct history_op *o = &h->ops[op];
    int rc = put_client(o->client, out);
    if (rc == KV_OK)
        rc = buf_printf(out, "  %s%s", o->strict ? "strict " : "", KINDS[o->kind]);
    if (rc == KV_OK && o->value != HISTORY_ABSENT) {
        rc = buf_printf(out, o->kind == HISTORY_GET ? " -> " : " ");
        if (rc == KV_OK)
            rc = buf_append(out, history_names_text(&h->values, o->value));
    }
    if (rc == KV_OK && o->kind == HISTORY_GET && o->value == HISTORY_ABSENT)
        rc = buf_printf(out, o->outcome == HISTORY_OK ? " -> absent" : " failed");
    if (rc == KV_OK && o->kind != HISTORY_GET)
        rc = buf_printf(out, " %s", OUTCOMES[o->outcome]);
    if (rc == KV_OK && o->ttl_ns)
        rc = buf_printf(out, ", for %llu ns", (unsigned long long)o->ttl_ns);
    if (rc == KV_OK && !o->final)
        rc = buf_printf(out, ", %llu to %llu ns", (unsigned long long)o->start_ns,
                        (unsigned long long)o->end_ns);
    return rc;
}
