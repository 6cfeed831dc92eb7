/* The list, as it travels. Every entry knows the version that first had it, so what is pushed, or told to who
 * has fallen behind, is only what has changed since; who has the list of another life of the hub gets it
 * whole.
 *
 * Changes are gathered for push_interval_us: a crowd that comes or goes at once is one push. A push of many
 * members that does not fit into one step goes on in the next. */
#include "base/mutant.h"
#include "hub/internal.h"

static struct gossip entry(uint32_t id, const struct member_view *v)
{
    return (struct gossip){
        .member = id, .generation = v->generation, .state = (uint8_t)v->state, .addr = v->addr};
}

/* Those that changed after `since`; all for 0. Without `members` when there is no memory. */
static struct msg_list list_since(struct hub *h, uint64_t since, struct outbox *out)
{
    struct msg_list list = {.generation = h->list_generation, .since = since, .version = h->version};
    struct gossip *items = arena_alloc(&out->arena, (h->count + 1) * sizeof *items);
    if (!items)
        return (struct msg_list){0};
    for (size_t i = 0; i < h->count; i++)
        if (since == 0 || h->members[i]->version > since)
            items[list.count++] = entry(h->members[i]->id, &h->members[i]->view);
    list.members = items;
    return list;
}

void hub_list_send(struct hub *h, struct endpoint to, uint64_t id, const struct msg_list *asked,
                   struct outbox *out)
{
    bool mine = asked->generation == h->list_generation && asked->since <= h->version;
    if (h->phase != HUB_JUDGING || outbox_room(out) == 0)
        return; /* it asks again with the next heartbeat */
    struct msg_list list = list_since(h, mine ? asked->since : 0, out);
    if (!list.members)
        return;
    outbox_send(out, to, MSG_LIST, id)->list = list;
    h->counters.lists++;
}

uint64_t hub_list_push_us(const struct hub *h)
{
    if (h->push_next < h->count)
        return h->now_us;
    return h->pushed_version < h->version ? h->next_push_us : UINT64_MAX;
}

static void begin_push(struct hub *h)
{
    h->push_base = h->pushed_version;
    h->pushed_version = h->version;
    h->push_next = 0;
    h->next_push_us = h->now_us + h->config.push_interval_us;
}

/* A list built later in the same push tells more, and is no less right. */
void hub_list_push(struct hub *h, struct outbox *out)
{
    if (h->phase != HUB_JUDGING || hub_list_push_us(h) > h->now_us)
        return;
    if (h->push_next >= h->count)
        begin_push(h);
    struct msg_list list = list_since(h, h->push_base, out);
    if (!list.members)
        return;
    for (; h->push_next < h->count && outbox_room(out) > OUT_MAX / 2; h->push_next++) {
        const struct hub_member *m = h->members[h->push_next];
        if (!hub_present(m->view.state))
            continue;
        outbox_send(out, to_peer(m->id), MSG_LIST, 0)->list = list;
        h->counters.lists++;
    }
}

/* ---- at a member */

static void take_entry(struct hub *h, const struct gossip *g)
{
    struct hub_member *m = hub_find(h, g->member);
    if (!m || m->id == h->config.hub || g->state > MEMBER_LEFT)
        return; /* of the hub we know better; others that are not in our ring yet will be asked for then */
    struct member_view view = {
        .state = (enum member_state)g->state,
        /* A hub that has started anew may not have heard of any life of it yet. */
        .generation = g->generation > m->view.generation ? g->generation : m->view.generation,
        .addr = addr_ok(&g->addr) ? g->addr : m->view.addr,
    };
    hub_set_view(h, m, view);
}

/* One with a gap before it waits: the version in the next answer of the hub shows that something is missed.
 */
void hub_list_take(struct hub *h, const struct msg_list *list)
{
    bool next = list->generation == h->list_generation &&
                MUTANT(list_with_gap, list->since <= h->version, true) && list->version > h->version &&
                h->version;
    bool whole = list->since == 0 && list->generation >= h->list_generation &&
                 (list->generation > h->list_generation || list->version >= h->version);
    if (!next && !whole) {
        h->counters.ignored++;
        return;
    }
    for (uint32_t i = 0; i < list->count; i++)
        take_entry(h, &list->members[i]);
    h->list_generation = list->generation;
    h->version = list->version;
    h->counters.lists++;
}
