/* One member's view of the others, as its topology has it: SWIM, or heartbeats to a hub. For members.c, which
 * does to both the same. The calls mean what those of swim/ and hub/ mean. */
#ifndef SIM_ROSTER_H
#define SIM_ROSTER_H

#include "hub/hub.h"
#include "model/topology.h"
#include "swim/swim.h"

#define ROSTER_HUB 1u /* who the hub is, where there is one */

/* One of the two is there; neither: the member is not running. */
struct roster {
    struct swim *swim;
    struct hub *hub;
};

static inline bool roster_runs(const struct roster *r)
{
    return r->swim || r->hub;
}

/* With the same times for both (node/membership.c). Asserts that there is memory. */
void roster_create(struct roster *r, const struct swim_config *config, enum topology topology);
void roster_destroy(struct roster *r);

/* They have met before: `member` is taken to be alive, where that is for this one to say. */
void roster_add(struct roster *r, struct now now, uint32_t member, const struct addr *addr);

/* As if they had met long ago, and all of it were told. */
void roster_met(struct roster *r, struct now now, uint32_t member, const struct addr *addr);
void roster_hush(struct roster *r);

void roster_tick(struct roster *r, struct now now, struct outbox *out);
uint64_t roster_deadline_us(const struct roster *r);
void roster_datagram(struct roster *r, struct now now, const struct addr *from, const struct message *message,
                     struct outbox *out);
void roster_stream(struct roster *r, struct now now, uint32_t from, struct message *message,
                   struct outbox *out);

bool roster_absent(const struct roster *r, uint32_t member); /* false for a stranger */
bool roster_next_change(struct roster *r, struct member_change *out);
void roster_check(const struct roster *r);

#endif
