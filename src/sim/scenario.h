/* Named stories. A scenario is a function that reads like a logbook: what happens to the cluster, one line
 * after the other, and what must be seen. Afterwards everything heals and all invariants are checked, as in
 * every run. README.md says how to write one. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "model/ring_value.h"
#include "sim/fault.h"
#include "sim/workload.h"

struct run;

struct scenario {
    const char *name;
    const char *text; /* one line for `kvsim list` */
    uint32_t nodes;
    void (*play)(struct run *r);
};

/* All of them; `name` NULL behind the last. */
extern const struct scenario *const scenarios[];
const struct scenario *scenario_find(const char *name);

/* The topology that it is a story of; `any` for one that can be told of any. */
enum topology scenario_topology(const struct scenario *scenario, enum topology any);

/* ---- what a script may say: nodes are 1.., times in milliseconds ---- */

void say(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rest(struct run *r, uint64_t ms);
void load(struct run *r, uint32_t ops_per_s); /* clients begin to work in the background */

void crash(struct run *r, uint32_t node);
void power_cut(struct run *r, uint32_t node);
void start(struct run *r, uint32_t node);
void stop(struct run *r, uint32_t node); /* gracefully; until it has left */
void hold(struct run *r, uint32_t node); /* pauses it */
void resume(struct run *r, uint32_t node);
void wipe(struct run *r, uint32_t node);
void cut_one_way(struct run *r, uint32_t from, uint32_t to);
void cut(struct run *r, uint32_t a, uint32_t b);
void split(struct run *r, uint32_t group); /* bit i: node i is on the other side; bit 0: the clients */
void heal(struct run *r);                  /* the network */
struct sim_link *link_of(struct run *r, uint32_t from, uint32_t to);
void shift_clock(struct run *r, uint32_t node, int64_t ms);
void slow_disk(struct run *r, uint32_t node, uint64_t ms);
void fill_disk(struct run *r, uint32_t node, bool full);
void damage(struct run *r, uint32_t node, const char *key); /* its row is gone, and the node does not know */

/* Changes of the ring, as an operator asks for them. */
uint32_t join(struct run *r); /* the node that does */
void leave(struct run *r, uint32_t node);
void lose(struct run *r, uint32_t node); /* machine and disk are gone for ever; it is removed */
void reweigh(struct run *r, uint32_t node, uint32_t weight);
void put_back(struct run *r, uint32_t node, uint64_t ms); /* then it crashes, its disk is as it is now */

/* It is killed as soon as it has sent `count` more messages; after a minute without so many, too. */
void crash_after(struct run *r, uint32_t node, uint64_t count);

/* The node that hands most partitions over in the change that is under way. */
uint32_t displaced(struct run *r);
uint64_t epoch_of(struct run *r, uint32_t node); /* of its ring; 0: it has none */

/* A request of the scenario's own client, and its status. A get's value stays until the next request. */
int put(struct run *r, const char *key, const char *value, bool strict);
int del(struct run *r, const char *key, bool strict);
int get(struct run *r, const char *key, bool strict, const char **value);

/* ---- what must be seen: the first that is not ends the run ---- */

void expect_put(struct run *r, const char *key, const char *value, bool strict);
void expect_value(struct run *r, const char *key, const char *value, bool strict);
void expect_absent(struct run *r, const char *key);
void expect(struct run *r, bool seen, const char *what);

/* Within `ms` so many stores have a row of the key, dead or alive: 0 is that all have purged it. */
void expect_rows(struct run *r, const char *key, uint32_t count, uint64_t ms);

/* Every other live node believes so within `ms`. */
void expect_dead(struct run *r, uint32_t node, uint64_t ms);
void expect_alive(struct run *r, uint32_t node, uint64_t ms);

/* Within `ms` the newest ring is in this phase. */
void expect_phase(struct run *r, enum ring_phase phase, uint64_t ms);

/* Within `ms` all changes are over, and the newest ring has so many members. */
void expect_members(struct run *r, uint32_t count, uint64_t ms);

/* Within `ms` the node, with another store under its old name, is a member in the place of `before`. */
void expect_replaced(struct run *r, uint32_t node, uint32_t before, uint64_t ms);

/* No node has called `node` dead so far. */
void expect_never_dead(struct run *r, uint32_t node);

/* How far a node takes its wall clock to be ahead of its peers'. */
int64_t lead_of(struct run *r, uint32_t node);

/* The homes of a key, in order, and its fallbacks. */
uint32_t places_of(struct run *r, const char *key, uint32_t out[PREFERENCE_MAX]);

struct sim *sim_of(struct run *r);
uint64_t seed_of(const struct run *r);

#endif
