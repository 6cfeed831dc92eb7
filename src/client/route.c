/* Which peer a request goes to next.
 *
 * A put or delete goes to the first home of its key that can be reached, so that one client's puts of one key
 * queue on one node. A get goes to the better of two homes drawn at random (the power of two choices,
 * Mitzenmacher 2001), better by mean answer time x requests in flight: near and idle nodes are preferred, and
 * none is starved or swamped. Then come the other homes, the fallbacks, and anybody. Without a ring: anybody.
 *
 * With a hub (DESIGN section 11) there are requests that only the hub answers: they go there and nowhere
 * else, and each of them dials it when it is away, so that it is found out at once, and the moment it is
 * back.
 *
 * Peers are taken in four passes, from good to hopeless; a pass is only made when those before found nobody.
 * A peer that this request has used is left out, until the request begins a new pass over all. */
#include "client/state.h"

enum fitness {
    FIT_GOOD,    /* connected, and answers */
    FIT_OPENING, /* being dialled, for the first time */
    FIT_NEW,     /* never dialled */
    FIT_POOR,    /* silent, or being dialled again after a failure */
    FIT_FAILED,  /* not to be reached, waits to be dialled again */
};

static enum fitness fitness(const struct peer *p, uint64_t now_us)
{
    switch (p->state) {
    case PEER_IDLE: return FIT_NEW;
    case PEER_DIALLING:
    case PEER_GREETED:
        return p->failures > 0 || now_us - p->dialled_us > CLIENT_HEDGE_MIN_US ? FIT_POOR : FIT_OPENING;
    case PEER_READY: return p->silent ? FIT_POOR : FIT_GOOD;
    case PEER_WAITING: break;
    }
    return FIT_FAILED;
}

bool client_route_tried(const struct client_request *r, const struct peer *p)
{
    for (uint32_t i = 0; i < r->tried_count; i++)
        if (r->tried[i] == p->slot)
            return true;
    return false;
}

/* Members that left are not asked any more; a seed whose identity is unknown may be anyone. */
static bool belongs(const struct client *c, const struct peer *p)
{
    return c->ring_value.epoch == 0 || p->in_ring || (p->seed && p->member == 0);
}

static uint64_t load(const struct peer *p)
{
    return ((uint64_t)p->mean_us + 1) * ((uint64_t)p->in_flight + 1);
}

/* The peers of a key's preference list that may be asked, homes first; how many of them are homes. */
struct choice {
    struct peer *peers[PREFERENCE_MAX];
    uint32_t count;
    uint32_t homes;
};

static void choose(struct client *c, const struct client_request *r, struct choice *out)
{
    *out = (struct choice){0};
    const struct ring *ring = client_has_home(r) ? client_ring(c) : NULL;
    if (!ring)
        return;
    uint32_t ids[PREFERENCE_MAX];
    uint32_t count = ring_preference(ring, ring_partition(ring, key_token(blob_bytes(r->key))), ids);
    for (uint32_t i = 0; i < count; i++) {
        struct peer *p = map_get(&c->members, ids[i]);
        if (!p || client_route_tried(r, p))
            continue;
        out->peers[out->count++] = p;
        out->homes = i < ring->homes ? out->count : out->homes;
    }
}

/* The better of two homes drawn at random from those that can be asked. */
static struct peer *near_home(struct client *c, uint64_t now_us, const struct choice *choice)
{
    struct peer *fit[PREFERENCE_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < choice->homes; i++)
        if (fitness(choice->peers[i], now_us) <= FIT_NEW)
            fit[count++] = choice->peers[i];
    if (count == 0)
        return NULL;
    uint32_t a = (uint32_t)prng_below(&c->prng, count);
    if (count == 1)
        return fit[a];
    uint32_t b = (a + 1 + (uint32_t)prng_below(&c->prng, count - 1)) % count;
    return load(fit[a]) <= load(fit[b]) ? fit[a] : fit[b];
}

static struct peer *first_fit(const struct choice *choice, uint64_t now_us, enum fitness least)
{
    for (uint32_t i = 0; i < choice->count; i++)
        if (fitness(choice->peers[i], now_us) <= least)
            return choice->peers[i];
    return NULL;
}

/* Anybody of exactly this fitness, in turn. */
static struct peer *anybody(struct client *c, uint64_t now_us, const struct client_request *r,
                            enum fitness wanted)
{
    for (uint32_t i = 0; i < c->peer_count; i++) {
        uint32_t slot = (c->rotor + i) % c->peer_count;
        struct peer *p = c->peers[slot];
        if (fitness(p, now_us) != wanted || !belongs(c, p) || client_route_tried(r, p))
            continue;
        c->rotor = slot + 1;
        return p;
    }
    return NULL;
}

/* A node that was there once is dialled again in the background, and requests wait for that (request.c); one
 * that was never there is dialled by each request that has nobody else, so that it can say at once that
 * nobody is there. */
static bool may_dial_failed(const struct client *c, const struct peer *via)
{
    return via ? !via->ever_ready : !c->ever_ready;
}

bool client_needs_hub(const struct client *c, const struct client_request *r)
{
    if (!c->hub || r->via_peer)
        return false;
    switch (r->done.op) {
    case CLIENT_STATS:
    case CLIENT_FAULT:
    case CLIENT_REPAIR: return r->round == ROUND_RING;
    case CLIENT_GET:
    case CLIENT_PUT:
    case CLIENT_DEL:
    case CLIENT_SCAN:
        return c->topology == TOPOLOGY_CENTRAL || r->round == ROUND_RING || c->ring_value.epoch == 0;
    default: return true;
    }
}

struct peer *client_route(struct client *c, uint64_t now_us, const struct client_request *r)
{
    if (client_needs_hub(c, r))
        return client_route_tried(r, c->hub) ? NULL : c->hub;
    if (r->via_peer) {
        struct peer *p = r->via_peer;
        bool hopeless = fitness(p, now_us) == FIT_FAILED && !may_dial_failed(c, p);
        return client_route_tried(r, p) || hopeless ? NULL : p;
    }
    struct choice choice;
    choose(c, r, &choice);
    struct peer *p = client_is_write(r) ? NULL : near_home(c, now_us, &choice);
    if (!p)
        p = first_fit(&choice, now_us, FIT_NEW);
    for (enum fitness wanted = FIT_GOOD; !p && wanted <= FIT_NEW; wanted++)
        p = anybody(c, now_us, r, wanted);
    if (!p)
        p = first_fit(&choice, now_us, FIT_POOR);
    if (!p)
        p = anybody(c, now_us, r, FIT_POOR);
    if (!p && may_dial_failed(c, NULL))
        p = anybody(c, now_us, r, FIT_FAILED);
    return p;
}
