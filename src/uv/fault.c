/* The fault table. A rule names the sender; `to` is this node or 0 (anybody), else the order is not for us.
 */
#include "uv/fault.h"

#include "kv_error.h"

void faults_init(struct faults *f, uint64_t seed)
{
    *f = (struct faults){0};
    prng_init(&f->prng, seed);
}

static void remove_rules(struct faults *f, uint8_t kind, uint32_t from)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct msg_fault *r = &f->rules[i];
        bool hit = (kind == FAULT_CLEAR || r->kind == kind) && (from == 0 || r->from == from);
        if (!hit)
            f->rules[kept++] = *r;
    }
    f->count = kept;
}

/* Slow disk and skew are settings rather than rules; they stand in the table so that a listing shows them. */
static void recompute_settings(struct faults *f)
{
    f->slow_disk_ms = 0;
    f->skew_ms = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->rules[i].kind == FAULT_SLOW_DISK)
            f->slow_disk_ms = f->rules[i].amount;
        if (f->rules[i].kind == FAULT_SKEW)
            f->skew_ms = (int64_t)f->rules[i].amount - (int64_t)FAULT_SKEW_ZERO;
    }
}

static bool order_is_nothing(const struct msg_fault *o)
{
    switch (o->kind) {
    case FAULT_DELAY: return o->amount == 0 || o->percent == 0;
    case FAULT_SLOW_DISK: return o->amount == 0;
    case FAULT_SKEW: return o->amount == FAULT_SKEW_ZERO;
    default: return o->percent == 0;
    }
}

int faults_order(struct faults *f, const struct msg_fault *order)
{
    if (order->kind > FAULT_CLEAR || order->percent > 100)
        return KV_E_INVALID;
    if ((order->kind == FAULT_DELAY || order->kind == FAULT_SLOW_DISK) && order->amount > FAULT_DELAY_MAX_MS)
        return KV_E_INVALID;
    if (order->kind == FAULT_LIST)
        return KV_OK;
    if (order->to != 0 && f->self != 0 && order->to != f->self)
        return KV_E_INVALID;
    bool setting = order->kind == FAULT_SLOW_DISK || order->kind == FAULT_SKEW;
    uint32_t from = setting ? 0 : order->from;
    if (order->kind == FAULT_CLEAR || setting || from != 0) {
        remove_rules(f, order->kind, from);
    } else { /* from anybody: replaces only the rule for anybody */
        uint32_t kept = 0;
        for (uint32_t i = 0; i < f->count; i++)
            if (f->rules[i].kind != order->kind || f->rules[i].from != 0)
                f->rules[kept++] = f->rules[i];
        f->count = kept;
    }
    int rc = KV_OK;
    if (order->kind != FAULT_CLEAR && !order_is_nothing(order)) {
        if (f->count == FAULT_RULES_MAX)
            rc = KV_E_OVERLOADED;
        else
            f->rules[f->count++] = *order;
    }
    recompute_settings(f);
    return rc;
}

struct verdict faults_judge(struct faults *f, uint32_t member)
{
    struct verdict v = {0};
    if (f->count == 0 || member == 0)
        return v;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct msg_fault *r = &f->rules[i];
        if (r->kind > FAULT_DUPLICATE || (r->from != 0 && r->from != member))
            continue;
        if (prng_below(&f->prng, 100) >= r->percent)
            continue;
        if (r->kind == FAULT_DROP)
            v.drop = true;
        else if (r->kind == FAULT_DUPLICATE)
            v.twice = true;
        else if (r->amount > v.delay_ms)
            v.delay_ms = r->amount;
    }
    f->dropped += v.drop;
    f->duplicated += !v.drop && v.twice;
    f->delayed += !v.drop && v.delay_ms > 0;
    return v;
}
