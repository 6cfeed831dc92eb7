/* What the two files of a session share: entropy_session.c has its life and finds where two homes differ,
 * entropy_rows.c brings the rows. */
#ifndef REPAIR_ENTROPY_SESSION_H
#define REPAIR_ENTROPY_SESSION_H

#include "repair/entropy_internal.h"

/* Leaves that differ: where only the peer has rows, both have, only we have. */
enum leaves { LEAVES_PULL = 1, LEAVES_BOTH = 2, LEAVES_PUSH = 4 };

/* ---- entropy_session.c */

void session_end(struct entropy *e, struct session *s, const struct turn *t);
void session_fail(struct entropy *e, struct session *s, int why, const struct turn *t);
void session_go_to(struct session *s, enum session_state state);

/* The id of the next question or storage operation. */
uint64_t session_op(struct entropy *e, struct session *s);

/* The store always answers; a peer does or does not; arena or heap are exhausted, and a little later may not
 * be. */
void session_wait_for_store(struct session *s);
void session_wait_for_peer(struct session *s, const struct turn *t);
void session_wait_for_memory(struct session *s, const struct turn *t);

/* Into s->span: those leaves, from s->from to `upto`, of partitions that this touches. KV_E_NO_MEMORY. */
int session_span(const struct entropy *e, struct session *s, unsigned which, const struct place *upto);

/* Which of these trees is of the partition; ENTROPY_SLICE_MAX: none. */
uint32_t session_tree(const struct entropy *e, uint64_t trees, uint32_t partition);

/* ---- entropy_rows.c: what a state does when it is its turn, and what is made of the answer */

void session_compare(struct entropy *e, struct session *s, const struct turn *t);
void session_compared(struct entropy *e, struct session *s, const struct message *m, const struct turn *t);
void session_begin_push(struct entropy *e, struct session *s, const struct turn *t);
void session_push(struct entropy *e, struct session *s, const struct turn *t);
void session_push_page(struct entropy *e, struct session *s, const struct event *in, const struct turn *t);
void session_fetch(struct entropy *e, struct session *s, const struct turn *t);
void session_fetched(struct entropy *e, struct session *s, const struct message *m, const struct turn *t);

#endif
