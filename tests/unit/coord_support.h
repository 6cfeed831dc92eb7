/* A coordinator on a table: a real ring, virtual time, and what it sends lies in a tray until the test
 * answers it, by hand or as replicas would. All tests are about one key, so that members can be named by
 * their position on its preference list: AT(w, 0) is its first home. */
#ifndef TESTS_UNIT_COORD_SUPPORT_H
#define TESTS_UNIT_COORD_SUPPORT_H

#include "coord/coord.h"
#include "kv_error.h"
#include "unit/rings.h"

#define WORLD_MEMBERS_MAX 16u
#define LETTERS_MAX       4096u
#define ANSWERS_MAX       4096u
#define BLOBS_MAX         4096u
#define ACCEPTED_MAX      4096u
#define MS                UINT64_C(1000)

struct letter {
    uint32_t member;
    struct message message; /* owns its row; the key is world.key */
};

struct answer {
    uint64_t id;
    struct msg_response response; /* owns its row; the trace is below */
    struct trace_line trace[TRACE_MAX];
};

/* A member's store, as far as the key goes. */
struct replica {
    struct row row;
    uint32_t hints[WORLD_MEMBERS_MAX + 1]; /* notes by member id */
    int refuses;                           /* the status it answers everything with; KV_OK: it serves */
    uint32_t writes, reads;
};

struct world {
    struct coord *coord;
    struct ring *ring, *old_rings[16];
    uint32_t old_ring_count;
    struct outbox out;
    struct now now;
    uint64_t hlc;
    uint32_t self;
    struct bytes key;
    uint32_t list[PREFERENCE_MAX]; /* of the key */
    uint32_t width;
    uint32_t twins[REPLICAS_MAX]; /* of its slots, and extras behind them; 0: none */
    struct letter letters[LETTERS_MAX];
    uint32_t letter_count;
    struct answer answers[ANSWERS_MAX];
    uint32_t answer_count;
    struct replica replicas[WORLD_MEMBERS_MAX + 1]; /* by member id */
    struct blob *blobs[BLOBS_MAX];                  /* payloads made, one reference kept of each */
    uint32_t blob_count;
    uint64_t next_id;
    uint64_t answer_epoch;           /* of those who answer by hand; 0: ours, or with WRONG_RING the next */
    uint32_t accepted[ACCEPTED_MAX]; /* by the hlc a row was made with: the members that took it, bit by id */
};

#define AT(w, position) ((w)->list[position])

/* Members 1..`members`, N = `replicas`; all can be reached. The coordinator runs on the member at position
 * `self` of the key's list. */
struct world *world_create(uint32_t members, uint32_t replicas, uint32_t self);

/* The same, the coordinator being on member `self_id`. */
struct world *world_create_on(uint32_t members, uint32_t replicas, uint32_t self_id);

/* Also checks that no payload has an owner left. */
void world_destroy(struct world *w);

/* A row with `text` as payload (NULL: a tombstone). The caller owns it. */
struct row world_row(struct world *w, uint64_t hlc, const char *text);

/* Requests. What is sent lands in `letters`, what the client is told in `answers`. Returns the request's id.
 */
uint64_t world_put(struct world *w, uint8_t flags, uint8_t quorum, uint64_t hlc, const char *text);
uint64_t world_get(struct world *w, uint8_t flags, uint8_t quorum);
uint64_t world_stamp(struct world *w, uint8_t flags, uint8_t quorum);
uint64_t world_request(struct world *w, const struct msg_request *request);

/* Time goes by, with a tick at every deadline on the way. */
void world_wait(struct world *w, uint64_t us);

void world_peer(struct world *w, uint32_t member, bool reachable);

/* Another ring: the next epoch, over the members listed. */
void world_ring(struct world *w, uint32_t replicas, const uint32_t *members, uint32_t count);

/* The next ring of a change: phase, before, after, dead as `spec` says; epoch, since: as follows from the
 * ring before, unless they are given. */
void world_change(struct world *w, const struct ring_spec *spec);

/* Before any request: takes another key, one with so many twins and extras in the ring of `spec`. */
void world_pick(struct world *w, const struct ring_spec *spec, uint32_t movers);

/* The oldest letter to a member, or NULL; how many of a type there are for it (member 0: for all). */
struct letter *world_letter(struct world *w, uint32_t member);
uint32_t world_letters(const struct world *w, uint32_t member, enum message_type type);

/* Answers the oldest letter to `member`, which must be of that type. */
void world_ack(struct world *w, uint32_t member, int status);
void world_reply(struct world *w, uint32_t member, int status, const struct row *row);

/* The same for a letter that is not in the tray any more: an answer that comes twice, or late. */
void world_ack_id(struct world *w, uint32_t member, uint64_t id, int status);
void world_reply_id(struct world *w, uint32_t member, uint64_t id, int status, const struct row *row);

/* Drops the oldest letter to a member. */
void world_lose(struct world *w, uint32_t member);

/* The member's replica answers its oldest letter. */
void world_serve(struct world *w, uint32_t member);
/* It does what it was sent, but its answer is lost. */
void world_apply(struct world *w, uint32_t member);
/* All do, until there is no letter left for a member that can be reached. */
void world_serve_all(struct world *w);

/* The hlc that a row was made with, as world_row was told it. */
uint64_t world_hlc_of(const struct row *row);

/* What the client was told last; fails the test when nothing was. */
const struct msg_response *world_answer(const struct world *w);

/* What a get was told: status and numbers; that it is this value. */
void answer_is(const struct msg_response *a, int status, uint8_t asked, uint8_t acked, uint8_t needed);
void answer_holds(const struct msg_response *a, const char *text);

/* The replica at this position holds a row, and nothing else. */
void world_holds(struct world *w, uint32_t position, uint64_t hlc, const char *text);

/* Whether a letter carries a hint for `member`. */
bool letter_hints(const struct letter *l, uint32_t member);

#endif
