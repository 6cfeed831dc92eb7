/* What becomes of a process's disk: new, blank, put back, copied. */
#include "sim/internal.h"

void process_new_store(struct sim *s, struct process *p)
{
    p->put_back = false;
    p->store = sim_store_create(prng_u64(&s->prng) | 1);
    sim_store_lazy(p->store, s->config.sync != SIM_SYNC_ALWAYS);
    sim_store_on_loss(p->store, s->config.lost, s->config.lost_arg);
    sim_store_witness(p->store, s->config.witness);
}

struct sim_store *sim_store(struct sim *s, uint32_t node)
{
    return s->processes[node].store;
}

static void tell_lost(struct bytes key, const struct row *row, void *arg)
{
    const struct sim *s = arg;
    (void)row;
    s->config.lost(key, true, s->config.lost_arg);
}

void sim_wipe(struct sim *s, uint32_t node)
{
    struct process *p = &s->processes[node];
    KV_ASSERT(!p->node);
    if (s->config.lost)
        sim_store_each(p->store, tell_lost, s);
    s->tally.counts[TALLY_STORE_WIPED]++;
    sim_store_destroy(p->store);
    p->said_hlc = 0;
    process_new_store(s, p);
}

void sim_put_back(struct sim *s, uint32_t node, struct sim_store *backup)
{
    struct process *p = &s->processes[node];
    KV_ASSERT(!p->node);
    if (s->config.lost)
        sim_store_each(p->store, tell_lost, s);
    s->tally.counts[TALLY_RESTORED]++;
    sim_store_destroy(p->store);
    p->store = backup;
    p->put_back = true;
    p->said_hlc = 0;
}

/* Whether the newest ring has a store, if only as one that is given up. */
static bool is_known(const struct sim *s, uint64_t store_id)
{
    const struct ring_value *v = &s->rings.newest->value;
    for (uint32_t i = 0; i < v->member_count; i++)
        if (v->members[i].store_id == store_id)
            return true;
    return false;
}

bool sim_store_refused(const struct sim *s, uint32_t node)
{
    const struct process *p = &s->processes[node];
    if (!p->exited || !s->rings.newest)
        return false;
    return (p->exit_status == KV_E_STALE_STORE && p->put_back) ||
           (p->exit_status == KV_E_NOT_MEMBER && !is_known(s, sim_store_id(p->store)));
}

void sim_copy_store(struct sim *s, uint32_t from, uint32_t to)
{
    static const char *const names[] = {META_GENERATION, META_FLOOR,  META_RING,  META_ACCEPTED,
                                        META_TRANSFER,   META_MEMBER, META_PAXOS, META_STORES};
    struct process *p = &s->processes[to];
    KV_ASSERT(!p->node);
    sim_store_destroy(p->store);
    p->store = sim_store_create(sim_store_id(s->processes[from].store));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        sim_store_meta_put(p->store, names[i], sim_store_meta(s->processes[from].store, names[i]));
}
