/* Hinted handoff (Dynamo 4.6): rows that this node keeps for members that could not be reached go to them
 * when they are back. Per member: pages of notes are read from the store, each row is sent as a WRITE with
 * WRITE_HANDOFF (id ID_HINTS), and when it is acknowledged the note is forgotten, and the row too if this
 * node is no home of its key.
 *
 * A pass goes over all notes of a member, page by page, and a page is finished before the next is read.
 * A row that the member refuses, or does not acknowledge in time, or that has changed meanwhile, keeps its
 * note, and another pass follows after HINTS_RETRY_US; a member that is full, overloaded or silent ends the
 * pass at once.
 *
 * What the store cannot read is not handed over from here: this disk has lost it, as if it were one of the W
 * that may be lost. Other homes that took the put give it to the member by anti-entropy, other fallbacks by
 * their own notes. But that is not known to have happened, so the note stays, and hints_waiting goes on
 * counting it; the others are handed over. It is tried again with the next pass that somebody's return or a
 * new note begins. A node that leaves the ring waits for it: to end that, it has to be stopped and removed as
 * dead.
 *
 * Bounded: HINTS_WINDOW rows in flight per member and HINTS_RATE_BYTES a second, so that a node that just
 * came back is not drowned; all notes together at most `max_bytes`, else hints_room is false and the write is
 * refused, and then does not count. A page's rows are released as soon as they are sent.
 *
 * Counts are upper bounds while notes overwrite each other, and become exact (0) when a pass over a member's
 * notes has handed over all of them and none was added meanwhile. A key that is put again and again while its
 * home is away would so use up all room with one note. Therefore the store is asked to count when the room
 * runs out; that is a walk over all notes, so it rests for longer than it takes, and is not done when nothing
 * was added since.
 *
 * A note for a member that is no home of the key any more (it has left the ring, or the key was moved from
 * it) goes to all homes of it; while the ring changes, one for a home of a slot that moves goes to both homes
 * of the slot. It is forgotten when all of them have acknowledged. Where one cannot be reached the note
 * stays, and is tried again when somebody is back. Notes for a member that is given up wait for the end of
 * the change.
 *
 * A node that leaves the ring takes no more notes (the caller sees to that), and hands over those that it
 * has: where an heir cannot be reached, another member keeps the row and a note for it. The node may go when
 * hints_waiting is 0. */
#ifndef REPAIR_HINTS_H
#define REPAIR_HINTS_H

#include "model/outbox.h"
#include "ring/ring.h"

#define HINTS_WINDOW         64u
#define HINTS_RATE_BYTES     (UINT64_C(8) << 20) /* a second, per member */
#define HINTS_ACK_TIMEOUT_US UINT64_C(2000000)
#define HINTS_RETRY_US       UINT64_C(500000) /* after a failed hand-over, and after late notes */

struct hints;

/* KV_E_NO_MEMORY. */
int hints_create(uint32_t self, uint64_t max_bytes, struct hints **out);
void hints_destroy(struct hints *h);

/* What the store holds at start (store_hint_totals). KV_E_NO_MEMORY. */
int hints_total_add(struct hints *h, uint32_t member, uint64_t count, uint64_t bytes);

/* Borrowed until the next call. Passes begin anew. */
void hints_ring_set(struct hints *h, const struct ring *ring);

/* On a loss the pass is given up; on a return, a pass is due at once if notes wait. */
void hints_peer_set(struct hints *h, struct now now, uint32_t member, bool reachable);

/* Whether notes of `bytes` more may be kept. If not, the store may be asked to count. */
bool hints_room(struct hints *h, struct now now, uint64_t bytes);

/* A row with a note for `member` was written (EV_STORE_WRITTEN ok). KV_E_NO_MEMORY only when the member is
 * new here. */
int hints_noted(struct hints *h, struct now now, uint32_t member, uint64_t bytes);

/* EV_STORE_PAGE of EF_STORE_HINTS; EV_STORE_WRITTEN of EF_STORE_HINT_DONE; WRITE_ACK; all with ID_HINTS's
 * ids; late ones are ignored. `hlc` is sent as began_hlc: the content was read now. */
void hints_page(struct hints *h, struct now now, uint64_t hlc, const struct event *in, struct outbox *out);
void hints_written(struct hints *h, struct now now, const struct event *in, struct outbox *out);
void hints_acked(struct hints *h, struct now now, uint32_t member, const struct message *m,
                 struct outbox *out);

/* EV_STORE_TOTALS. */
void hints_counted(struct hints *h, struct now now, const struct event *in);

void hints_tick(struct hints *h, struct now now, struct outbox *out);
uint64_t hints_deadline_us(const struct hints *h);

uint64_t hints_waiting(const struct hints *h, uint32_t member); /* member 0: all */
uint64_t hints_bytes(const struct hints *h);
uint64_t hints_handed_over(const struct hints *h); /* rows acknowledged and their notes forgotten */
uint64_t hints_unreadable(const struct hints *h);  /* rows that the latest passes could not read */

void hints_check(const struct hints *h);

#endif
