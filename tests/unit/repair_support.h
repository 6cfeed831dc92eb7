/* Hints over a simulated store and members that answer when the test says so: what hints.c asked for lies in
 * three trays, rows sent, notes to forget, and the page to read. */
#ifndef TESTS_UNIT_REPAIR_SUPPORT_H
#define TESTS_UNIT_REPAIR_SUPPORT_H

#include "base/prng.h"
#include "kv_error.h"
#include "model/id.h"
#include "repair/hints.h"
#include "unit/rings.h"

enum { MEMBERS = 5, SELF = 1, KEYS_MAX = 1000, MAIL_MAX = 1024 };

#define HLC UINT64_C(123456)

/* A key of the store: its row, and the stamps of the notes on it, by member. */
struct item {
    uint64_t token;
    char text[16];
    struct row row;
    struct stamp notes[MEMBERS + 2];
    bool damaged;                   /* the row */
    uint32_t reached;               /* the members that were sent it and acknowledged, bit by id */
    uint32_t moved_to[MEMBERS + 2]; /* by member: who was sent a note for it, as bits */
};

struct mail {
    uint32_t member;
    uint64_t id;
    uint32_t item;
    struct stamp stamp;
};

struct world {
    struct hints *hints;
    struct ring *ring;
    struct outbox out;
    struct now now;
    struct item items[KEYS_MAX]; /* in token order */
    uint32_t item_count;
    /* What was asked for, oldest first. */
    struct mail sent[MAIL_MAX], forget[MAIL_MAX];
    uint32_t sent_count, forget_count;
    struct effect read; /* the page asked for */
    char read_key[16];
    bool reading, counting;
    uint32_t in_flight_max, dropped, pages, log_lines;
    uint64_t bytes_sent;
};

/* Members 1..MEMBERS but `without`. */
struct ring *world_ring(uint64_t epoch, uint32_t without);

/* Another ring comes into force. */
void world_ring_set(struct world *w, const struct ring_spec *spec);

struct world *world_create(void);
struct world *world_create_with(uint64_t max_bytes); /* of hints */
/* Also checks that no payload has another owner left. */
void world_destroy(struct world *w);

uint64_t item_weight(const struct item *it);

/* `count` rows with `bytes` of payload that `member` is a home of, each with a note for it that the store
 * told of. */
void world_fill(struct world *w, uint32_t count, size_t bytes, uint32_t member);

void world_peer(struct world *w, uint32_t member, bool reachable);
void world_tick(struct world *w);
/* Lets time go by to the next deadline. */
void world_wait(struct world *w);

/* The store answers: the page asked for; forget[i], which it does unless the note is newer. */
void world_page(struct world *w, int status);
void world_forget(struct world *w, uint32_t i, int status);

/* It has counted all notes. */
void world_count(struct world *w, int status);

/* The member answers sent[i], or something that was taken from there. */
void world_ack(struct world *w, uint32_t i, int status);
void world_ack_mail(struct world *w, struct mail m, int status);
struct mail world_take(struct mail *list, uint32_t *count, uint32_t i);

/* Store and members answer everything, until there is nothing to do without time going by. */
void world_serve(struct world *w);

uint32_t world_notes_left(const struct world *w, uint32_t member);
void world_nothing_waits(struct world *w, uint32_t member);

#endif
