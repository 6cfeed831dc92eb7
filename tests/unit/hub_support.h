/* A little network for the tests of hub/: nodes on a virtual clock, of which 1 is the hub; packets that are
 * lost and late, kills, pauses, cut lines. Everything is drawn from one seed. Node i (from 1) has member id
 * i. */
#ifndef TESTS_UNIT_HUB_SUPPORT_H
#define TESTS_UNIT_HUB_SUPPORT_H

#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "hub/internal.h"

#define STAR_NODES_MAX 1000u
#define SECOND_US      UINT64_C(1000000)

struct star_node {
    struct hub *hub; /* NULL: not running */
    uint64_t generation;
    bool paused, cut; /* cut: nothing comes or goes */
    struct heap_node timer;
    struct list inbox; /* what came while it was paused */
};

struct star {
    uint32_t count;
    struct prng prng;
    uint64_t now_us;
    uint32_t loss_percent; /* of datagrams; what travels over TCP is late instead */
    struct star_node nodes[STAR_NODES_MAX + 1];
    struct heap events;
    struct outbox out;
    uint64_t datagrams, lists, entries; /* sent */
    uint32_t died[STAR_NODES_MAX + 1];  /* told by the hub of each */
};

struct star *star_create(uint32_t count, uint64_t seed);
void star_destroy(struct star *s);
void star_start(struct star *s, uint32_t i); /* a new life; knows of all others */
void star_start_all(struct star *s);
void star_kill(struct star *s, uint32_t i);
void star_pause(struct star *s, uint32_t i);
void star_resume(struct star *s, uint32_t i);
void star_leave(struct star *s, uint32_t i); /* and stop */
void star_run(struct star *s, uint64_t us);

enum member_state star_sees(const struct star *s, uint32_t observer, uint32_t member);

/* Whether all running nodes see it so. */
bool star_all_see(const struct star *s, uint32_t member, enum member_state state);

/* Whether the hub is right about everybody, and all agree with it. */
bool star_agrees(const struct star *s);

/* Runs until then; how long it took, or UINT64_MAX after `limit_us`. */
uint64_t star_until_seen(struct star *s, uint32_t member, enum member_state state, uint64_t limit_us);
uint64_t star_until_agreed(struct star *s, uint64_t limit_us);

struct hub_config star_config(uint32_t self, uint64_t generation);
struct addr star_addr(uint32_t i);

#endif
