/* The sentence that a request ends with, for people. */
#include "client/state.h"

/* `unavailable` says that nothing was done, which is not to say that nobody was asked. */
static const char *unavailable(struct client_request *r)
{
    const struct refusal *last = &r->refusal;
    const char *undone = client_is_write(r) ? "; nothing was written" : "";
    switch (last->status) {
    case KV_OK:
    case KV_E_TIMEOUT: /* of a write, before anything could be written */
        return r->round == ROUND_STAMP
                   ? "too few of its homes have said in time what they hold; nothing was written"
                   : "no answer in time; nothing was written";
    case KV_E_NOT_COORDINATOR: return kv_error_text(KV_E_UNAVAILABLE);
    case KV_E_UNAVAILABLE:
        if (r->done.op == CLIENT_SCAN)
            return "too few nodes can be reached to know all keys";
        if (last->asked == 0)
            return kv_error_text(KV_E_UNAVAILABLE);
        return arena_printf(&r->arena, "too few of the nodes that were asked have answered%s", undone);
    default:
        return arena_printf(&r->arena, "asked in vain, %s last: %s%s", client_peer_name(last->peer),
                            kv_error_text(last->status), undone);
    }
}

#define REASONS_NODES_MAX 5u /* named; of the others it is said how many there are */

/* Whether the peer is one of those why `status` is said. */
static bool is_why(const struct client_request *r, const struct peer *p, int status)
{
    if ((r->via_peer && p != r->via_peer) || p->failures == 0 || !p->reason[0])
        return false;
    return status == KV_E_NO_NODE || p->refusal == status;
}

/* The first of them that has this reason too. */
static const struct peer *first_alike(const struct client *c, const struct client_request *r,
                                      const struct peer *p, int status)
{
    uint32_t i = 0;
    while (!is_why(r, c->peers[i], status) || strcmp(c->peers[i]->reason, p->reason) != 0)
        i++;
    return c->peers[i];
}

/* "A, B: connection refused; C: no connection in time": each reason once. "": none is known. */
static const char *reasons(const struct client *c, struct client_request *r, int status)
{
    const char *text = "";
    uint32_t named = 0, others = 0;
    for (uint32_t i = 0; i < c->peer_count; i++) {
        const struct peer *first = c->peers[i];
        if (!is_why(r, first, status) || first_alike(c, r, first, status) != first)
            continue;
        uint32_t before = named;
        for (uint32_t k = i; k < c->peer_count; k++) {
            const struct peer *p = c->peers[k];
            if (!is_why(r, p, status) || first_alike(c, r, p, status) != first)
                continue;
            if (named == REASONS_NODES_MAX) {
                others++;
                continue;
            }
            const char *comma = named > before ? ", " : named ? "; " : "";
            text = arena_printf(&r->arena, "%s%s%s", text, comma, p->addr_text);
            named++;
        }
        if (named > before)
            text = arena_printf(&r->arena, "%s: %s", text, first->reason);
    }
    return others ? arena_printf(&r->arena, "%s; and %u more", text, others) : text;
}

/* A sentence; with what is known about why nobody could be reached. */
const char *client_sentence(struct client *c, struct client_request *r, int status)
{
    if (status == KV_E_INVALID && r->via && !r->via_peer)
        return arena_printf(&r->arena, "no node is named %s", r->via_name);
    if (status == KV_E_NOT_COORDINATOR && c->hub)
        return arena_printf(&r->arena, "the topology is %s: the hub, %s at %s, answers that",
                            topology_name(c->topology), client_peer_name(c->hub), c->hub->addr_text);
    bool silent = (r->refusal.status == KV_OK || r->refusal.peer != c->hub) && !r->unanswered;
    if (status == KV_E_UNAVAILABLE && silent && client_needs_hub(c, r))
        return arena_printf(&r->arena, "the hub %s at %s cannot be reached%s%s; nothing was tried",
                            client_peer_name(c->hub), c->hub->addr_text, c->hub->reason[0] ? ": " : "",
                            c->hub->reason);
    if (status == KV_E_UNAVAILABLE)
        return unavailable(r);
    bool connection = status == KV_E_NO_NODE || status == KV_E_WRONG_CLUSTER || status == KV_E_VERSION;
    const char *why = connection ? reasons(c, r, status) : "";
    if (!*why)
        return kv_error_text(status);
    return arena_printf(&r->arena, "%s (%s)", kv_error_text(status), why);
}
