/* A request's targets: the preference list of its key under the ring in force. */
#include "base/mutant.h"
#include "coord/internal.h"

static uint8_t quorum_of(const struct request *r)
{
    return r->quorum ? r->quorum : (uint8_t)plan_majority(r->homes);
}

/* Every target new; straight from the ring's table, whose indexes find the peers without a search. */
void request_place(struct coord *c, struct request *r)
{
    const struct ring *ring = c->ring;
    uint32_t partition = ring_partition(ring, r->token);
    const uint16_t *list = &ring->table[(size_t)partition * ring->width];
    KV_ASSERT(ring->width <= COORD_TARGETS_MAX && ring->homes <= REPLICAS_MAX);
    KV_ASSERT(ring->homes >= 1 && ring->homes <= ring->width);
    r->homes = (uint8_t)ring->homes;
    r->width = (uint8_t)ring->width;
    r->needed = quorum_of(r);
    for (uint32_t p = 0; p < r->width; p++)
        r->targets[p] = (struct target){.peer = c->by_index[list[p]]};
}

/* A set of homes by their old positions, by their new ones. Who is no home any more needs no hint. */
static uint8_t moved(uint8_t homes, const uint8_t where[REPLICAS_MAX])
{
    uint8_t result = 0;
    for (uint32_t p = 0; p < REPLICAS_MAX; p++) {
        if ((homes & position_bit(p)) && where[p] < REPLICAS_MAX)
            result |= (uint8_t)position_bit(where[p]);
    }
    return result;
}

/* Who said WRONG_RING is asked again, and a get judges anew whether enough have answered; everything else
 * that is known stays true under the new ring: a member that has the row has it. */
void request_place_again(struct coord *c, struct request *r)
{
    struct target old[COORD_TARGETS_MAX];
    uint8_t where[REPLICAS_MAX];
    uint32_t width = r->width, homes = r->homes, dropped = 0;
    memcpy(old, r->targets, width * sizeof *old);
    memset(where, REPLICAS_MAX, sizeof where);
    request_place(c, r);
    for (uint32_t i = 0; i < width; i++) {
        uint32_t p = request_position(r, old[i].peer->member);
        if (p == PLAN_NONE) {
            dropped += old[i].asked;
            continue;
        }
        if (i < homes && p < r->homes)
            where[i] = (uint8_t)p;
        r->targets[p] = old[i];
        if (old[i].state == TARGET_HELD)
            target_move(&r->targets[p], TARGET_IDLE);
    }
    for (uint32_t p = 0; p < r->width; p++) {
        struct target *g = &r->targets[p];
        g->hints_sent = moved(g->hints_sent, where);
        g->hints_kept = moved(g->hints_kept, where);
    }
    dropped += r->asked_before;
    if (r->phase == PHASE_WRITE_BACK)
        r->phase = PHASE_READ;
    r->asked_before = (uint8_t)(dropped < UINT8_MAX / 2 ? dropped : UINT8_MAX / 2);
    c->counters.replans++;
}

uint32_t request_position(const struct request *r, uint32_t member)
{
    for (uint32_t p = 0; p < r->width; p++) {
        if (r->targets[p].peer->member == member)
            return p;
    }
    return PLAN_NONE;
}

uint32_t request_reachable(const struct request *r)
{
    position_set up = 0;
    for (uint32_t p = 0; p < r->width; p++) {
        if (r->targets[p].peer->reachable)
            up |= position_bit(p);
    }
    return position_count(plan_window(r->homes, up, request_strict(r)));
}

uint32_t request_asked(const struct request *r)
{
    uint32_t asked = r->asked_before;
    for (uint32_t p = 0; p < r->width; p++)
        asked += r->targets[p].asked;
    return asked;
}

position_set request_counted(const struct request *r)
{
    return positions_below(MUTANT(strict_counts_fallbacks, request_strict(r), false) ? r->homes : r->width);
}

position_set request_ok(const struct request *r)
{
    position_set ok = 0;
    for (uint32_t p = 0; p < r->width; p++) {
        if (r->targets[p].ok)
            ok |= position_bit(p);
    }
    return ok;
}

uint32_t request_acked(const struct request *r)
{
    return position_count(request_ok(r) & request_counted(r));
}

bool request_expects(const struct request *r, uint64_t now_us)
{
    for (uint32_t p = 0; p < r->width; p++) {
        const struct target *g = &r->targets[p];
        if (!g->ok && g->state == TARGET_SENT && !target_silent(g, now_us, COORD_WRITE_PATIENCE_US))
            return true;
    }
    return false;
}
