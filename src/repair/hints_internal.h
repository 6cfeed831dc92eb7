/* What the files of hinted handoff share. Private: nobody else includes it.
 *
 *     hints.c         what is kept for whom, and passes over it
 *     hints_entry.c   one note of a pass: the row goes to its heirs, then the note goes
 *     heirs.c         who they are
 *     hints_room.c    how much is kept */
#ifndef REPAIR_HINTS_INTERNAL_H
#define REPAIR_HINTS_INTERNAL_H

#include "base/buf.h"
#include "base/heap.h"
#include "base/map.h"
#include "repair/hints.h"

/* The serial of an id: whose notes, which page of them, which entry of it. */
#define ENTRY_BITS  8u
#define PAGE_BITS   32u
#define KEEPERS_MAX (1u << (ID_SERIAL_BITS - PAGE_BITS - ENTRY_BITS))
#define WHOLE_PAGE  ((1u << ENTRY_BITS) - 1) /* the entry of the page's own operation */
_Static_assert(HINTS_WINDOW < WHOLE_PAGE, "an entry's index fits its bits");

enum entry_state {
    ENTRY_DONE,       /* or unused */
    ENTRY_SENT,       /* the row is on its way to its heirs */
    ENTRY_FORGETTING, /* it is there; the note is being deleted */
};

/* One note of the page at hand. */
struct entry {
    uint8_t state; /* enum entry_state */
    bool purged;   /* there is no row any more: only the note is to go */
    bool drop_row; /* this node is no home of the key */
    bool missed;   /* an heir could not be reached: the note stays */
    uint8_t count;
    uint16_t waiting; /* for the words of these, by index */
    uint32_t to[HOLDERS_MAX];
    struct buf key;
    struct stamp stamp; /* of the row; purged: of the note */
    uint64_t bytes;
};

enum pass_state {
    PASS_NONE,
    PASS_READING, /* the store was asked for a page */
    PASS_SENDING, /* entries are open */
    PASS_PAUSED,  /* the page is finished; the next would be above the rate now */
};

/* What is kept for one member. */
struct keeper {
    struct heap_node timer;
    uint32_t index; /* in hints.keepers */
    uint32_t member;
    bool reachable;
    uint64_t count, bytes;
    uint64_t bound_count, bound_bytes; /* noted since the store was last asked to count; then what it found */
    uint8_t state;                     /* enum pass_state */
    bool failed;                       /* a note of this pass stays */
    bool blocked;                      /* ... that another pass would not help, until somebody is back */
    bool stopping;                     /* no further page in this pass */
    bool noted;                        /* a note was added since the pass began */
    bool last_page;                    /* the page at hand is the pass's last */
    uint32_t unreadable;               /* notes whose rows the store could not read, as known; */
    uint32_t found;      /* and in this pass so far; a whole page that cannot be read is one too */
    uint32_t page;       /* serial of the page at hand */
    uint32_t open;       /* entries that are not done */
    uint64_t page_bytes; /* sent of it */
    uint64_t next_page_us;
    struct buf after_key;
    uint64_t after_token;
    struct entry *entries; /* HINTS_WINDOW of them, allocated for the first pass and kept */
};

/* The store counts what is kept. */
struct recount {
    bool asked;
    uint64_t asked_us;
    uint64_t due_us;        /* UINT64_MAX: it need not */
    uint64_t rest_until_us; /* not sooner */
    uint64_t noted_bytes;   /* since it was last asked */
    uint64_t before_bytes;  /* ... and before that, should it fail */
};

struct hints {
    uint32_t self;
    bool leaving;            /* this node leaves the ring: everything it keeps has to go */
    const struct ring *ring; /* NULL: none yet */
    struct map by_member;
    struct keeper **keepers;
    uint32_t count, cap;
    struct heap timers;
    uint64_t bytes, max_bytes;
    struct recount recount;
    uint64_t handed_over;
};

/* The id of the operation about an entry of the page at hand. */
uint64_t hints_op(const struct keeper *k, uint32_t entry);

bool hints_reachable(const struct hints *h, uint32_t member);

/* ---- hints_room.c */

void room_noted(struct hints *h, struct keeper *k, uint64_t now_us, uint64_t bytes);
void room_tick(struct hints *h, uint64_t now_us, struct outbox *out);

/* ---- hints_entry.c */

/* Takes up a note: its row is sent. */
void hints_entry_begin(const struct hints *h, struct keeper *k, uint32_t i, const struct page_entry *p,
                       uint64_t hlc, struct outbox *out);

/* A member's word on it. False: it was not waited for. */
bool hints_entry_acked(struct keeper *k, uint32_t i, uint32_t member, int status, struct outbox *out);

/* Nothing more is done about it in this pass; `failed`: the note stays. */
void hints_entry_close(struct keeper *k, struct entry *e, bool failed);

#endif
