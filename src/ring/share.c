/* Fair shares with bounds: see share.h. Each round divides what is left in proportion; if more is missing at
 * the lower bounds than is too much at the upper ones, those below settle at their bound, else those above.
 * The side that settles can never want to leave its bound again, because what remains for the others moves
 * away from it. */
#include "ring/share.h"

#include "base/assert.h"

static uint64_t clamp(uint64_t amount, const struct ring_share *s)
{
    if (amount < s->least)
        return s->least;
    return amount > s->most ? s->most : amount;
}

/* What the bounds have not decided: left to divide, and the weight that divides it. */
struct rest {
    uint64_t amount;
    uint64_t weight;
};

static struct rest unsettled(uint64_t total, const struct ring_share *shares, uint32_t count)
{
    struct rest rest = {total, 0};
    for (uint32_t i = 0; i < count; i++) {
        if (!shares[i].settled)
            rest.weight += shares[i].weight;
        else
            rest.amount -= shares[i].amount;
    }
    return rest;
}

/* Divides the rest. Returns what the lower bounds add minus what the upper bounds take away. */
static int64_t divide(struct rest rest, struct ring_share *shares, uint32_t count)
{
    int64_t balance = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct ring_share *s = &shares[i];
        if (s->settled)
            continue;
        s->amount = rest.amount * s->weight / rest.weight;
        balance += (int64_t)clamp(s->amount, s) - (int64_t)s->amount;
    }
    return balance;
}

/* Settles those beyond the heavier bound. Returns whether there was one. */
static bool settle(int64_t balance, struct ring_share *shares, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        struct ring_share *s = &shares[i];
        bool beyond = (balance >= 0 && s->amount < s->least) || (balance <= 0 && s->amount > s->most);
        if (s->settled || !beyond)
            continue;
        s->amount = clamp(s->amount, s);
        s->settled = any = true;
    }
    return any;
}

void ring_share_out(uint64_t total, struct ring_share *shares, uint32_t count)
{
    uint64_t least = 0, most = 0;
    for (uint32_t i = 0; i < count; i++) {
        KV_ASSERT(shares[i].weight >= 1 && shares[i].least <= shares[i].most);
        shares[i].settled = false;
        least += shares[i].least;
        most += shares[i].most;
    }
    KV_ASSERT(least <= total && total <= most);

    for (;;) {
        struct rest rest = unsettled(total, shares, count);
        if (rest.weight == 0)
            return;
        int64_t balance = divide(rest, shares, count);
        if (!settle(balance, shares, count))
            return;
    }
}
