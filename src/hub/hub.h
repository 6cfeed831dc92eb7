/* Membership with a centre: one member, the hub, keeps the list of all (DESIGN section 11). Members send it a
 * heartbeat now and then; it alone judges who is alive, suspect or dead, with the same time-outs as SWIM has
 * for so many members, and pushes what changed to all. Members have no opinion: while the hub is away its
 * last list is in force.
 *
 *     member                                        hub
 *     HEARTBEAT                      ->             every interval; it lives
 *                                    <-             HEARTBEAT_ACK: the list is at this version
 *     LIST_GET: I have that version  ->             only who has missed a push
 *                                    <-             LIST: what is new since then
 *                                    <-             LIST: pushed, at most once in push_interval_us
 *                                    <-             HEARTBEAT_ACK, a call: a suspect answers at once
 *
 * A hub that has just started has no list: for one interval it listens, or until everybody was heard, and
 * meanwhile the list of its former life stays in force. So its restart needs nobody's help, and buries
 * nobody.
 *
 * A sibling of swim/, with the same calls: node/ has the one or the other. Pure: outputs are EF_DATAGRAM
 * (heartbeats), EF_SEND of LIST_GET and LIST to a peer, and changes to be fetched with hub_next_change.
 * Cluster, and that a sender is who it says, are checked by the caller. */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include "model/outbox.h"

/* To be stepped with hub_tick at hub_deadline_us. When a call comes much later than that, this process did
 * not run meanwhile: then nobody is blamed for it (hub.c). */
struct hub_config {
    uint32_t self;
    uint32_t hub;        /* who it is; self: this node */
    uint64_t generation; /* of this process: grows at each start, synced before it speaks */
    struct addr addr;
    uint64_t seed;
    uint64_t heartbeat_interval_us; /* as SWIM's probe interval */
    uint64_t answer_timeout_us;     /* an answer is expected within: SWIM's probe time-out */
    uint64_t deadline_us;      /* a heartbeat that is later by so much: suspected; as SWIM's probe deadline */
    uint32_t suspicion_mult;   /* dead after mult x max(1, log10 n) x deadline, as SWIM's minimum */
    uint64_t push_interval_us; /* SWIM's gossip interval */
};

struct hub;

/* KV_E_INVALID: no id, generation 0, a time of 0; KV_E_NO_MEMORY. */
int hub_create(const struct hub_config *config, struct hub **out);
void hub_destroy(struct hub *h);

/* Tells of a member of the ring (not self). It is dead until it is heard of, by the hub or in its list; but
 * to members the hub itself is always alive: there is nobody to say otherwise. KV_E_NO_MEMORY. */
int hub_add(struct hub *h, struct now now, uint32_t member, const struct addr *addr);
void hub_remove(struct hub *h, uint32_t member);

/* HEARTBEAT, HEARTBEAT_ACK. `from` is where the datagram came from. Strangers are ignored and counted. */
void hub_datagram(struct hub *h, struct now now, const struct addr *from, const struct message *m,
                  struct outbox *out);

/* LIST_GET (answered on `from`) and LIST, from the member m->from. */
void hub_message(struct hub *h, struct now now, struct endpoint from, const struct message *m,
                 struct outbox *out);

/* A member said HELLO over TCP, or answered ours: to the hub that is as good as a heartbeat; the others learn
 * only where the hub lives. */
void hub_heard(struct hub *h, struct now now, uint32_t member, uint64_t generation, const struct addr *addr);

/* A graceful stop: the hub is told. When it is the hub that stops there is nobody to tell. */
void hub_leave(struct hub *h, struct now now, struct outbox *out);

void hub_tick(struct hub *h, struct now now, struct outbox *out);
uint64_t hub_deadline_us(const struct hub *h);

/* KV_E_NOT_FOUND for a stranger. Self is alive. */
int hub_lookup(const struct hub *h, uint32_t member, struct member_view *out);

/* Changes since the last call. False: none left. A member has at most one pending change, the latest. */
bool hub_next_change(struct hub *h, struct member_change *out);

struct hub_counters {
    uint64_t heartbeats, acks, calls, suspicions, deaths;
    uint64_t lists;   /* sent, or taken over */
    uint64_t ignored; /* from strangers, of former lives, of a former hub */
    uint64_t version; /* of the list in force here; 0: none */
};
struct hub_counters hub_counters(const struct hub *h);

/* The invariants: a member has a timer exactly while this is the hub and it is present; the list's version is
 * the newest of its entries; only the hub listens and judges, and it shows no list while it listens. Asserts.
 */
void hub_check(const struct hub *h);

#endif
