/* What the tests on the simulated cluster share. A failed expectation prints the seed and the virtual time:
 * the same seed replays the run; SIM_LOG=1 in the environment prints what the nodes log. */
#ifndef TESTS_UNIT_SIM_SUPPORT_H
#define TESTS_UNIT_SIM_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kv_error.h"
#include "node/internal.h"
#include "sim/cluster.h"

#define SECOND_US UINT64_C(1000000)

/* A simulation of `nodes` nodes; none is running. */
struct sim *world(uint64_t seed, uint32_t nodes);
struct sim *world_with(struct sim_config config);

/* All of them started, one ring, everybody reaches everybody, clients are served. */
struct sim *cluster(uint64_t seed, uint32_t nodes);

/* Whether all running nodes serve under one ring and each reaches every running member, and no other. */
bool is_settled(struct sim *s, void *arg);

/* ... and no note waits for a running member. */
bool is_handed_over(struct sim *s, void *arg);

#define expect(s, ok) expect_at((s), (ok), #ok, __FILE__, __LINE__)
void expect_at(struct sim *s, bool ok, const char *text, const char *file, int line);

/* The status must be this one. */
#define expect_status(s, reply, want) expect_status_at((s), (reply), (want), __FILE__, __LINE__)
void expect_status_at(struct sim *s, const struct sim_reply *r, int want, const char *file, int line);

/* Put or get and wait; the answer must be ok (and the value this one). */
#define put_ok(s, client, node, key, value, options) \
    put_ok_at((s), (client), (node), (key), (value), (options), __FILE__, __LINE__)
const struct sim_reply *put_ok_at(struct sim *s, uint32_t client, uint32_t node, const char *key,
                                  const char *value, const struct sim_options *options, const char *file,
                                  int line);
#define get_is(s, client, node, key, value, options) \
    get_is_at((s), (client), (node), (key), (value), (options), __FILE__, __LINE__)
const struct sim_reply *get_is_at(struct sim *s, uint32_t client, uint32_t node, const char *key,
                                  const char *value, const struct sim_options *options, const char *file,
                                  int line);

/* Homes of a key under the ring in force, and the fallbacks behind them; returns how many there are in all.
 */
uint32_t places(struct sim *s, const char *key, uint32_t out[PREFERENCE_MAX]);

/* What node `viewer` believes of `member`. */
enum member_state sees(struct sim *s, uint32_t viewer, uint32_t member);

uint32_t random_node(struct sim *s); /* any that is running */

#endif
