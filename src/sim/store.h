/* A store in memory with the meaning of the storage effects (model/outbox.h, store/store.h).
 *
 * What is durable and what is not: a submitted write is volatile until it is finished; finishing makes it
 * durable and is the moment it becomes visible. A crash keeps what was finished, and of the rest a prefix, as
 * a log does: a write may survive though nobody was told. Writes finish in the order of submission. */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/prng.h"
#include "model/outbox.h"
#include "sim/witness.h"

struct sim_store;
struct sim_job; /* one storage effect on its way */

struct sim_store *sim_store_create(uint64_t store_id);

/* As it is now: a backup. */
struct sim_store *sim_store_copy(const struct sim_store *st);
void sim_store_destroy(struct sim_store *st);
uint64_t sim_store_id(const struct sim_store *st);
uint64_t sim_store_sequence(const struct sim_store *st);

/* Takes over the effect's row; copies the rest. */
struct sim_job *sim_store_submit(struct sim_store *st, struct effect *e);
bool sim_job_is_write(const struct sim_job *job);

/* Carries the job out. `out` borrows from the store, the job and `arena` until sim_job_release. */
void sim_store_finish(struct sim_store *st, struct sim_job *job, struct arena *arena, struct event *out);
void sim_job_release(struct sim_job *job, struct event *done);

/* The process is gone: of the writes that were not finished, the seed says how many are in the log. Returns
 * how many are not. */
uint32_t sim_store_crash(struct sim_store *st, struct prng *prng);

/* With `lazy`, what is finished is not durable before the next sync: sim_store_sync, or the write of a meta
 * value, which is always synced, and with it the log before it. A power cut, after the crash, loses the end
 * of what is not, from a place that the seed says. Returns how many writes that were. */
void sim_store_lazy(struct sim_store *st, bool lazy);
void sim_store_sync(struct sim_store *st);
uint32_t sim_store_power_cut(struct sim_store *st, struct prng *prng);

/* Told of every row that a power cut takes away, or puts back to an older one. NULL: nobody is. */
typedef void (*sim_store_lost_fn)(struct bytes key, bool wiped, void *arg); /* wiped: with the whole disk */
void sim_store_on_loss(struct sim_store *st, sim_store_lost_fn lost, void *arg);

/* Who sees all that it takes. NULL: nobody does. */
void sim_store_witness(struct sim_store *st, struct witness *w);

/* Shows all rows, in token order. */
void sim_store_each(const struct sim_store *st,
                    void (*visit)(struct bytes key, const struct row *row, void *arg), void *arg);

/* For the start of a process, and for tests that look behind the curtain. */
struct bytes sim_store_meta(const struct sim_store *st, const char *name); /* {NULL, 0}: none */
void sim_store_meta_put(struct sim_store *st, const char *name, struct bytes value);
const struct row *sim_store_row(const struct sim_store *st, struct bytes key); /* NULL: none */
uint32_t sim_store_notes(const struct sim_store *st, uint32_t member, uint64_t *bytes);
void sim_store_full(struct sim_store *st, bool full); /* writes fail with KV_E_FULL while it is */

/* Behind the node's back, as a bad disk or a hand does it: the row is gone, nobody is told. */
void sim_store_damage(struct sim_store *st, struct bytes key);

#endif
