/* The topologies that have a centre (DESIGN section 11): which node is the hub, and what only the hub may do.
 * Founders agree on it, the ring value has it, and every header's cluster hash does: nodes of another opinion
 * are strangers.
 *
 *                       ring          directory                        central
 *     who is alive      all, SWIM     the hub                          the hub
 *     next ring         a majority    the hub                          the hub
 *     ring, status      any node      the hub                          the hub
 *     coordinates       any node      any, for who has a ring's epoch  the hub */
#include "base/mutant.h"
#include "node/internal.h"

#include "base/hash.h"

#include <stdio.h>

/* ---- at create */

static const char *first_founder(const struct node_config *c)
{
    const char *first = "";
    for (uint32_t i = 0; i < c->founder_count; i++)
        if (!first[0] || strcmp(c->founders[i].name, first) < 0)
            first = c->founders[i].name;
    return first;
}

/* What a store that has a ring says; it cannot become another. */
static int take_from_ring(struct node *n, const struct node_config *c, char error[256])
{
    const struct ring_value *v = &n->ring->value;
    const struct member *hub = ring_value_find(v, v->hub);
    n->topology = (enum topology)v->topology;
    memcpy(n->hub, hub ? hub->name : "", hub ? strlen(hub->name) + 1 : 1);
    bool other = c->topology && *c->topology != n->topology;
    bool moved = hub && c->hub && c->hub[0] && strcmp(c->hub, n->hub) != 0;
    if (!other && !moved)
        return KV_OK;
    snprintf(error, 256, "this store's ring is %s%s%s: start it like that", topology_name(n->topology),
             hub ? ", its hub " : "", n->hub);
    return KV_E_INVALID;
}

int centre_config(struct node *n, const struct node_config *c, char error[256])
{
    if (n->ring)
        return take_from_ring(n, c, error);
    n->topology = c->topology ? *c->topology : TOPOLOGY_RING;
    if (n->topology == TOPOLOGY_RING)
        return KV_OK;
    const char *hub = c->hub && c->hub[0] ? c->hub : first_founder(c);
    if (!name_ok(hub)) {
        snprintf(error, 256, "a node that joins a %s cluster must be told which node is the hub",
                 topology_name(n->topology));
        return KV_E_INVALID;
    }
    memcpy(n->hub, hub, strlen(hub) + 1);
    if (n->form.count == 0 || form_find(n, hub))
        return KV_OK;
    snprintf(error, 256, "the hub %s is not among the founders", hub);
    return KV_E_INVALID;
}

uint64_t centre_cluster_hash(const struct node *n)
{
    uint64_t hash = cluster_hash(n->cluster, n->partitions);
    return n->hub[0] ? hash64_seeded(bytes_str(n->hub), hash + n->topology) : hash;
}

/* ---- who it is */

/* By id; 0: there is none, or it is not known yet. */
static uint32_t hub_id(const struct node *n)
{
    if (n->ring || !n->hub[0])
        return n->ring ? n->ring->value.hub : 0;
    const struct founder *f = form_find(n, n->hub);
    return f ? form_id(n, f) : 0;
}

bool centre_is_here(const struct node *n)
{
    return n->hub[0] && strcmp(n->hub, n->name) == 0;
}

bool centre_is_elsewhere(const struct node *n)
{
    return n->hub[0] && strcmp(n->hub, n->name) != 0;
}

bool centre_same(const struct node *n, const struct ring_value *v)
{
    const struct member *hub = ring_value_find(v, v->hub);
    return v->topology == (uint8_t)n->topology && strcmp(hub ? hub->name : "", n->hub) == 0;
}

static struct addr hub_addr(const struct node *n, uint32_t id)
{
    struct member_view view;
    if (!centre_is_elsewhere(n))
        return n->addr;
    if (membership_lookup(n, id, &view) == KV_OK && view.addr.port)
        return view.addr;
    return n->ring ? ring_value_find(&n->ring->value, id)->addr : form_find(n, n->hub)->addr;
}

void centre_welcome(const struct node *n, struct msg_welcome *w)
{
    uint32_t id = hub_id(n);
    w->topology = (uint8_t)n->topology;
    if (id == 0)
        return;
    w->hub = id;
    w->hub_name = n->hub;
    w->hub_addr = hub_addr(n, id);
}

const char *centre_text(const struct node *n)
{
    char text[ADDR_TEXT_MAX] = "an address not known here";
    uint32_t id = hub_id(n);
    struct addr addr = id ? hub_addr(n, id) : (struct addr){0};
    if (addr.port)
        addr_format(&addr, text);
    return arena_printf(&n->out->arena, "the topology is %s: the hub, %s at %s, answers that",
                        topology_name(n->topology), n->hub, text);
}

/* ---- a client that should ask the hub */

bool centre_coordinates(const struct node *n, const struct message *m)
{
    if (!centre_is_elsewhere(n) || (m->type == MSG_REQUEST && (m->request.flags & REQ_LOCAL)))
        return true;
    return MUTANT(any_coordinates, n->topology == TOPOLOGY_DIRECTORY && m->ring_epoch != 0, true);
}

bool centre_refuses(struct node *n, struct endpoint from, const struct message *m)
{
    if (!centre_is_elsewhere(n) || (m->type != MSG_RING_GET && m->type != MSG_STATUS_GET))
        return false;
    n->centre_refused++;
    struct message *r = outbox_send(n->out, from, MSG_REFUSED, m->id);
    r->refused.status = KV_E_NOT_COORDINATOR;
    r->refused.text = centre_text(n);
    return true;
}
