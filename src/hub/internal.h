/* What the files of hub/ share; the contract is hub.h.
 *
 *     hub.c    create, own time, the table       judge.c   the hub: who is alive
 *     list.c   the list: pushed, asked for,      member.c  everybody else: heartbeats
 *              taken over
 *
 * Time inside is the node's own: monotonic time less the spells in which this process did not run. */
#ifndef HUB_INTERNAL_H
#define HUB_INTERNAL_H

#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "hub/hub.h"
#include "kv_error.h"

/* A heartbeat whose generation is further ahead of the last seen one is refused; a HELLO is always right. */
#define HUB_GENERATION_JUMP (UINT64_C(1) << 20)

struct hub_member {
    uint32_t id;
    size_t place; /* in hub.members */
    struct member_view view;
    uint64_t version;       /* hub: of the list that first had it like this */
    struct heap_node timer; /* hub: alive: suspected then; suspect: called, or buried */
    uint64_t bury_us;       /* suspect */
    struct list changed;    /* in hub.changes, or in none */
    struct member_view before;
};

/*  phase       who              what ends it
 *  NEW         all              the first tick                          -> LISTENING, FOLLOWING
 *  LISTENING   the hub          everybody was heard, or `listen_us`     -> JUDGING
 *  JUDGING     the hub          a graceful stop                         -> LEFT
 *  FOLLOWING   everybody else   a graceful stop                         -> LEFT
 *  LEFT        all              nothing; it has no deadline any more
 *
 * Only who is JUDGING has a list to show. A hub that listens suspects already whom it has heard. */
enum hub_phase { HUB_NEW, HUB_LISTENING, HUB_JUDGING, HUB_FOLLOWING, HUB_LEFT };

struct hub {
    struct hub_config config;
    struct prng prng;
    enum hub_phase phase;
    uint64_t now_us;     /* own time, as of the last call */
    uint64_t stalled_us; /* monotonic time less own time */

    struct hub_member **members;
    size_t count, cap;
    struct map by_id;
    struct list changes;

    /* The list in force: the hub's own, or the last one that was heard. */
    uint64_t list_generation; /* of the hub's life; 0: none yet */
    uint64_t version;
    /* The hub. */
    struct heap timers;
    uint64_t listen_us;      /* LISTENING: until then, at most */
    uint32_t unheard;        /* members not heard in this life */
    uint64_t pushed_version; /* what those that missed nothing have */
    uint64_t push_base, push_version;
    size_t push_next; /* of a push that did not fit into one step: goes on here; count: none under way */
    uint64_t next_push_us;
    /* Everybody else. */
    uint64_t next_heartbeat_us;
    struct hub_counters counters;
};

static inline bool hub_is_judge(const struct hub *h)
{
    return h->config.self == h->config.hub;
}

static inline bool hub_present(enum member_state state)
{
    return state == MEMBER_ALIVE || state == MEMBER_SUSPECT;
}

/* ---- hub.c */

void hub_enter(struct hub *h, struct now now);
struct hub_member *hub_find(const struct hub *h, uint32_t id);
void hub_set_view(struct hub *h, struct hub_member *m, struct member_view view);
bool hub_say(struct hub *h, enum message_type type, const struct addr *to, uint8_t flags, struct outbox *out);

/* ---- judge.c */

void hub_judge_heartbeat(struct hub *h, struct hub_member *m, const struct addr *from,
                         const struct msg_heartbeat *beat, struct outbox *out);
void hub_judge_heard(struct hub *h, struct hub_member *m, uint64_t generation, const struct addr *addr);
void hub_judge_forget(struct hub *h, struct hub_member *m);
void hub_judge_tick(struct hub *h, struct outbox *out);
uint64_t hub_judge_deadline_us(const struct hub *h);

/* ---- list.c */

void hub_list_send(struct hub *h, struct endpoint to, uint64_t id, const struct msg_list *asked,
                   struct outbox *out);
void hub_list_push(struct hub *h, struct outbox *out);
uint64_t hub_list_push_us(const struct hub *h);
void hub_list_take(struct hub *h, const struct msg_list *list);

/* ---- member.c */

void hub_member_ack(struct hub *h, const struct msg_heartbeat *ack, struct outbox *out);
void hub_member_tick(struct hub *h, struct outbox *out);

#endif
