/* The ring, as any node tells it: fetched after the first WELCOME and whenever a header carries a newer
 * epoch. No request waits for it unless it asks about the ring itself; without it any node is asked, which
 * forwards. Placement is computed when the first request after its arrival is routed: a program that asks one
 * thing never pays for it.
 *
 * All clients hear of a newer one at the same moment. So that they do not ask for it, and compute it, all at
 * once, each waits a random part of CLIENT_RING_SPREAD_US; what it has serves until then, since any node
 * takes any request. */
#include <stdio.h>

#include "client/state.h"

static struct peer *any_ready(const struct client *c)
{
    struct peer *silent = NULL;
    for (uint32_t i = 0; i < c->peer_count; i++) {
        struct peer *p = c->peers[(c->rotor + i) % c->peer_count];
        if (p->state != PEER_READY)
            continue;
        if (!p->silent)
            return p;
        silent = p;
    }
    return silent;
}

void client_ring_want(struct client *c, uint64_t now_us, struct peer *p)
{
    c->ring_stale = true;
    if (now_us < c->ring_due_us || (c->ring_asked_us && now_us - c->ring_asked_us < CLIENT_RING_RETRY_US))
        return;
    if (c->hub)
        p = c->hub; /* nobody else tells it */
    if (!p)
        p = any_ready(c);
    if (!p || p->state != PEER_READY || p->ping_out)
        return;
    c->ring_asked_us = now_us;
    p->ping_out = true;
    client_send(c, p, MSG_RING_GET, CLIENT_PING_ID);
}

void client_ring_heard(struct client *c, uint64_t now_us, struct peer *p, uint64_t epoch)
{
    if (epoch <= c->ring_value.epoch)
        return;
    if (c->ring_value.epoch && !c->ring_stale)
        c->ring_due_us = now_us + prng_below(&c->prng, CLIENT_RING_SPREAD_US);
    client_ring_want(c, now_us, p);
}

/* One that is given up is nobody to be asked; who replaces it may live at its address. */
static void map_member(struct client *c, const struct member *member)
{
    if (member->dead) {
        map_remove(&c->members, member->id);
        return;
    }
    struct peer *p = map_get(&c->members, member->id);
    if (!p && client_peer_add(c, &member->addr, &p) != KV_OK)
        return; /* no memory: this member is reached through the others */
    if (p->state != PEER_READY) {
        if (!addr_eq(&p->addr, &member->addr) && p->state != PEER_DIALLING && p->state != PEER_GREETED) {
            p->addr = member->addr;
            addr_format(&p->addr, p->addr_text);
        }
        p->member = member->id;
        (void)snprintf(p->name, sizeof p->name, "%s", member->name);
    }
    p->in_ring = p->member == member->id;
    if (p->in_ring)
        (void)map_set(&c->members, member->id, p);
}

int client_ring_adopt(struct client *c, const struct blob *blob)
{
    struct ring_value value;
    if (!blob)
        return KV_E_AGAIN;
    int rc = ring_value_decode(blob_bytes(blob), &value);
    if (rc)
        return rc;
    if (value.epoch <= c->ring_value.epoch) {
        c->ring_stale = c->ring_stale && value.epoch < c->ring_value.epoch;
        ring_value_deinit(&value);
        return KV_OK;
    }
    ring_value_deinit(&c->ring_value);
    c->ring_value = value;
    c->ring_hash = ring_value_hash(&value);
    c->ring_stale = false;
    for (uint32_t i = 0; i < c->peer_count; i++)
        c->peers[i]->in_ring = false;
    for (uint32_t i = 0; i < value.member_count; i++)
        map_member(c, &value.members[i]);
    return KV_OK;
}

const struct ring *client_ring(struct client *c)
{
    if (c->ring_value.epoch == 0 || (c->ring && c->ring->value.epoch == c->ring_value.epoch))
        return c->ring;
    struct ring *earlier = c->ring;
    (void)ring_create_after(&c->ring_value, earlier, &c->ring); /* no memory: route as if there were none */
    ring_destroy(earlier);
    return c->ring;
}

const char *client_member_name(const struct client *c, uint32_t member, struct arena *arena)
{
    if (member == 0)
        return "";
    const struct member *m = ring_value_find(&c->ring_value, member);
    if (m)
        return (const char *)arena_copy(arena, bytes_of(m->name, strlen(m->name) + 1)).data;
    const struct peer *p = map_get(&c->members, member);
    return p ? client_peer_name(p) : arena_printf(arena, "#%u", member);
}
