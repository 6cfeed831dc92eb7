/* Who is alive, as the cluster's topology tells it: SWIM, where all judge all, or the hub, which judges
 * alone. The two are called here and nowhere else; the rest of the node knows members only. */
#include "node/internal.h"

/* The same times for both, so that they can be compared: how often one is asked or speaks, how long it may be
 * silent, how long a suspect has. */
static int create_hub(struct node *n)
{
    const struct swim_config *s = &n->swim_config;
    struct hub_config config = {
        .self = n->self,
        .hub = n->ring->value.hub,
        .generation = n->generation,
        .addr = n->addr,
        .seed = prng_u64(&n->prng),
        .heartbeat_interval_us = s->probe_interval_us,
        .answer_timeout_us = s->probe_timeout_us,
        .deadline_us = s->probe_deadline_us,
        .suspicion_mult = s->suspicion_mult,
        .push_interval_us = s->gossip_interval_us,
    };
    return hub_create(&config, &n->membership.hub);
}

static int create_swim(struct node *n)
{
    struct swim_config config = n->swim_config;
    config.self = n->self;
    config.generation = n->generation;
    config.addr = n->addr;
    config.seed = prng_u64(&n->prng);
    return swim_create(&config, &n->membership.swim);
}

int membership_create(struct node *n)
{
    return n->ring->value.hub ? create_hub(n) : create_swim(n);
}

void membership_destroy(struct node *n)
{
    swim_destroy(n->membership.swim);
    hub_destroy(n->membership.hub);
}

bool membership_there(const struct node *n)
{
    return n->membership.swim || n->membership.hub;
}

int membership_add(struct node *n, uint32_t member, const struct addr *addr)
{
    if (n->membership.hub)
        return hub_add(n->membership.hub, n->now, member, addr);
    return swim_add(n->membership.swim, n->now, member, addr, false);
}

void membership_remove(struct node *n, uint32_t member)
{
    if (n->membership.hub)
        hub_remove(n->membership.hub, member);
    else
        swim_remove(n->membership.swim, member);
}

void membership_heard(struct node *n, uint32_t member, uint64_t generation, const struct addr *addr)
{
    if (n->membership.hub)
        hub_heard(n->membership.hub, n->now, member, generation, addr);
    else if (n->membership.swim)
        swim_heard(n->membership.swim, n->now, member, generation, addr);
}

void membership_lost(struct node *n, uint32_t member)
{
    if (n->membership.swim)
        swim_lost(n->membership.swim, n->now, member);
}

int membership_lookup(const struct node *n, uint32_t member, struct member_view *out)
{
    if (n->membership.hub)
        return hub_lookup(n->membership.hub, member, out);
    return n->membership.swim ? swim_lookup(n->membership.swim, member, out) : KV_E_NOT_FOUND;
}

bool membership_alive(const struct node *n, uint32_t member)
{
    struct member_view view;
    return membership_lookup(n, member, &view) == KV_OK && view.state <= MEMBER_SUSPECT;
}

bool membership_next_change(struct node *n, struct member_change *out)
{
    if (n->membership.hub)
        return hub_next_change(n->membership.hub, out);
    return n->membership.swim && swim_next_change(n->membership.swim, out);
}

/* ---- messages */

/* Of the kind of membership that this cluster has. */
static bool concerns_us(const struct node *n, const struct message *m)
{
    bool hub = m->type >= MSG_HEARTBEAT && m->type <= MSG_LIST;
    return membership_there(n) && hub == (n->membership.hub != NULL) && !n->stopping;
}

void membership_datagram(struct node *n, const struct addr *from, const struct message *m)
{
    if (!concerns_us(n, m))
        return;
    if (n->membership.hub)
        hub_datagram(n->membership.hub, n->now, from, m, n->out);
    else
        swim_datagram(n->membership.swim, n->now, from, m, n->out);
}

void membership_message(struct node *n, struct endpoint from, const struct message *m)
{
    if (!concerns_us(n, m))
        return;
    if (n->membership.hub)
        hub_message(n->membership.hub, n->now, from, m, n->out);
    else
        swim_sync(n->membership.swim, n->now, from, m, n->out);
}

void membership_leave(struct node *n)
{
    if (n->membership.hub)
        hub_leave(n->membership.hub, n->now, n->out);
    else if (n->membership.swim)
        swim_leave(n->membership.swim, n->now, n->out);
}

/* ---- time */

/* Who has been welcomed by nobody says nothing: it may be a second process of a member. */
static bool runs(const struct node *n)
{
    return membership_there(n) && n->peers.introduced && !n->stopping;
}

void membership_tick(struct node *n)
{
    if (membership_deadline_us(n) > n->now.mono_us)
        return;
    if (n->membership.hub)
        hub_tick(n->membership.hub, n->now, n->out);
    else
        swim_tick(n->membership.swim, n->now, n->out);
}

uint64_t membership_deadline_us(const struct node *n)
{
    if (!runs(n))
        return UINT64_MAX;
    return n->membership.hub ? hub_deadline_us(n->membership.hub) : swim_deadline_us(n->membership.swim);
}

void membership_check(const struct node *n)
{
    KV_ASSERT(!n->membership.swim || !n->membership.hub);
    if (n->membership.swim)
        swim_check(n->membership.swim);
    if (n->membership.hub)
        hub_check(n->membership.hub);
}
