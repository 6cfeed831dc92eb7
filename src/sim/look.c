#include "sim/look.h"

#include "node/internal.h"

static uint64_t sum(const uint64_t outcomes[8], enum coord_outcome which)
{
    return outcomes[which];
}

void sim_look_counters(const struct node *n, struct tally *t)
{
    t->counts[TALLY_STAMP_REFUSED] += n->front.invalid_stamps;
    t->counts[TALLY_CLOCK_REFUSED] += n->hlc.refused;
    if (!n->coord)
        return;
    struct coord_counters c = coord_counters(n->coord);
    t->counts[TALLY_HEDGE] += c.hedges;
    t->counts[TALLY_WRITE_BACK] += c.write_backs;
    t->counts[TALLY_HINT] += c.hinted;
    t->counts[TALLY_LATE_ANSWER] += c.late_answers;
    t->counts[TALLY_HANDED_OVER] += hints_handed_over(n->hints);
    t->counts[TALLY_PUT_UNAVAILABLE] += sum(c.gets, OUTCOME_UNAVAILABLE) + sum(c.puts, OUTCOME_UNAVAILABLE);
    t->counts[TALLY_TIMEOUT] += sum(c.gets, OUTCOME_TIMEOUT) + sum(c.puts, OUTCOME_TIMEOUT);
    t->counts[TALLY_OVERLOADED] += sum(c.gets, OUTCOME_OVERLOADED) + sum(c.puts, OUTCOME_OVERLOADED);
    struct purge_counters p = purge_counters(n->purge);
    t->counts[TALLY_PURGED] += p.purged;
    t->counts[TALLY_PURGE_SPARED] += p.differed + p.found;
    if (n->membership.hub) {
        struct hub_counters h = hub_counters(n->membership.hub);
        t->counts[TALLY_SUSPICION] += h.suspicions;
        t->counts[TALLY_DEATH] += h.deaths;
        t->counts[TALLY_SYNC] += h.lists;
        return;
    }
    struct swim_counters m = swim_counters(n->membership.swim);
    t->counts[TALLY_SUSPICION] += m.suspicions;
    t->counts[TALLY_DEATH] += m.deaths;
    t->counts[TALLY_REFUTATION] += m.refutations;
    t->counts[TALLY_INDIRECT] += m.indirect_probes;
    t->counts[TALLY_SYNC] += m.syncs;
}

bool sim_look_ready(const struct node *n, uint64_t mono_us)
{
    return node_serving(n) && n->started && n->hlc.settled_us <= mono_us;
}

enum member_state sim_look_sees(const struct node *n, uint32_t member)
{
    struct member_view view;
    return membership_lookup(n, member, &view) == KV_OK ? view.state : MEMBER_DEAD;
}

bool sim_look_belief(const struct node *n, uint32_t member, uint64_t *generation, uint32_t *incarnation)
{
    struct member_view view;
    if (membership_lookup(n, member, &view) != KV_OK)
        return false;
    *generation = view.generation;
    *incarnation = view.incarnation;
    return true;
}

bool sim_look_reaches(const struct node *n, uint32_t member)
{
    return n->coord && coord_peer_reachable(n->coord, member);
}

int64_t sim_look_lead_ms(const struct node *n)
{
    return n->hlc.ahead_ms;
}

uint64_t sim_look_hlc(const struct node *n)
{
    return hlc_now(n);
}

uint64_t sim_look_hints(const struct node *n, uint32_t member)
{
    return n->hints ? hints_waiting(n->hints, member) : 0;
}

const char *sim_look_leftover(const struct node *n, uint64_t *amount)
{
    if (n->coord && (*amount = coord_in_flight(n->coord)))
        return "requests in flight";
    if (n->coord && (*amount = coord_bytes_in_flight(n->coord)))
        return "bytes of requests in flight";
    if ((*amount = n->replica.active))
        return "storage operations in flight";
    if ((*amount = n->replica.bytes))
        return "bytes of storage operations";
    return NULL;
}
