/* One node on a bench: events are put in by hand, effects looked at one by one. No network, no disk. */
#ifndef TESTS_UNIT_NODE_SUPPORT_H
#define TESTS_UNIT_NODE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kv_error.h"
#include "node/internal.h"

#define WALL_MS       UINT64_C(1700000000000)
#define SELF_STORE(i) (UINT64_C(0x1000) + (i)) /* the store id of member i */

struct bench {
    struct node *node;
    struct outbox out;
    struct now now;
    uint64_t next_conn;
};

/* Node n1 of `members`, in ring 1 of them; started, its clock's first floor written, settled. */
void bench_member(struct bench *b, uint32_t members);
void bench_member_of(struct bench *b, uint32_t members, enum topology topology, uint32_t hub);

/* Node n1 of `founders` with a blank store; started. */
void bench_founder(struct bench *b, uint32_t founders);

/* What both are made of: a configuration to be changed. Static: the last one made is valid. */
struct node_config *bench_config(uint32_t founders);
struct bytes bench_ring(uint32_t members);
void bench_start(struct bench *b, const struct node_config *config);
void bench_destroy(struct bench *b);

/* Steps; what was in the outbox is gone. */
void step(struct bench *b, const struct event *e);
void tick_at(struct bench *b, uint64_t mono_us);                    /* the wall clock goes along */
void say(struct bench *b, struct endpoint from, struct message *m); /* releases the message */
void written(struct bench *b, uint64_t op, int status);

/* The first effect, or sent message, of a type; NULL: none. */
struct effect *effect(struct bench *b, enum effect_type type);
struct message *sent(struct bench *b, enum message_type type);
struct message *sent_to(struct bench *b, enum message_type type, struct endpoint to);
uint32_t count_of(struct bench *b, enum effect_type type);
struct effect *meta_write(struct bench *b, const char *name);

/* An accepted connection of a client; one of member i. */
struct endpoint client(struct bench *b);
struct endpoint member(struct bench *b, uint32_t i);

/* The dialled connection to member i is there and welcomed. */
void peer_up(struct bench *b, uint32_t i);

/* Messages with a right header; addresses as in the ring. */
struct message message_of(struct bench *b, enum message_type type);
struct message member_hello(struct bench *b, uint32_t i);
struct message put_of(struct bench *b, const char *key, const char *value);
struct message write_of(struct bench *b, const char *key, const char *value);
struct addr addr_of(uint32_t i);

#endif
