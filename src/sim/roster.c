#include "sim/roster.h"

#include "base/assert.h"
#include "kv_error.h"

static int create_hub(const struct swim_config *s, struct hub **out)
{
    struct hub_config config = {
        .self = s->self,
        .hub = ROSTER_HUB,
        .generation = s->generation,
        .addr = s->addr,
        .seed = s->seed,
        .heartbeat_interval_us = s->probe_interval_us,
        .answer_timeout_us = s->probe_timeout_us,
        .deadline_us = s->probe_deadline_us,
        .suspicion_mult = s->suspicion_mult,
        .push_interval_us = s->gossip_interval_us,
    };
    return hub_create(&config, out);
}

void roster_create(struct roster *r, const struct swim_config *config, enum topology topology)
{
    *r = (struct roster){0};
    int rc = topology == TOPOLOGY_RING ? swim_create(config, &r->swim) : create_hub(config, &r->hub);
    KV_ASSERT(rc == KV_OK);
}

void roster_destroy(struct roster *r)
{
    swim_destroy(r->swim);
    hub_destroy(r->hub);
    *r = (struct roster){0};
}

void roster_add(struct roster *r, struct now now, uint32_t member, const struct addr *addr)
{
    int rc = r->hub ? hub_add(r->hub, now, member, addr) : swim_add(r->swim, now, member, addr, true);
    KV_ASSERT(rc == KV_OK);
}

void roster_met(struct roster *r, struct now now, uint32_t member, const struct addr *addr)
{
    if (r->hub)
        hub_heard(r->hub, now, member, 1, addr);
    else
        swim_heard(r->swim, now, member, 1, addr);
}

void roster_hush(struct roster *r)
{
    if (r->swim)
        swim_hush(r->swim);
}

void roster_tick(struct roster *r, struct now now, struct outbox *out)
{
    if (r->hub)
        hub_tick(r->hub, now, out);
    else
        swim_tick(r->swim, now, out);
}

uint64_t roster_deadline_us(const struct roster *r)
{
    return r->hub ? hub_deadline_us(r->hub) : swim_deadline_us(r->swim);
}

void roster_datagram(struct roster *r, struct now now, const struct addr *from, const struct message *message,
                     struct outbox *out)
{
    if (r->hub)
        hub_datagram(r->hub, now, from, message, out);
    else
        swim_datagram(r->swim, now, from, message, out);
}

void roster_stream(struct roster *r, struct now now, uint32_t from, struct message *message,
                   struct outbox *out)
{
    message->from = from;
    if (r->hub)
        hub_message(r->hub, now, to_conn(from), message, out);
    else
        swim_sync(r->swim, now, to_conn(from), message, out);
}

bool roster_absent(const struct roster *r, uint32_t member)
{
    struct member_view view;
    int rc = r->hub ? hub_lookup(r->hub, member, &view) : swim_lookup(r->swim, member, &view);
    return rc == KV_OK && (view.state == MEMBER_DEAD || view.state == MEMBER_LEFT);
}

bool roster_next_change(struct roster *r, struct member_change *out)
{
    return r->hub ? hub_next_change(r->hub, out) : swim_next_change(r->swim, out);
}

void roster_check(const struct roster *r)
{
    if (r->hub)
        hub_check(r->hub);
    else
        swim_check(r->swim);
}
