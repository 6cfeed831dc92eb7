/* The node's hybrid clock (DESIGN section 3): whom it believes, what it says, and the floor that keeps it
 * from running backwards over a restart.
 *
 * What a node says (in every header) is what clients mint from, so it never goes back: not within a life,
 * because each step's word is received into the clock, and not over a restart, because nothing above the
 * durable floor is ever said. While a raised floor is on its way to the disk the node's word stands still.
 *
 * A wall clock that is behind the median of its peers' is taken to be the median: otherwise a node whose
 * clock was set back an hour would refuse every stamp its peers' clients bring. One that is far ahead of it
 * is reported, and taken to be CLOCK_WARN_MS ahead: otherwise the clients that learn the time from this node
 * mint stamps which all others refuse. So no two nodes' clocks differ by more than a stamp may be ahead.
 *
 * A life begins without its wall clock, until half of the peers were asked for theirs: one that starts a day
 * ahead would otherwise carry that day on its floor for ever. */
#include "node/internal.h"

#include <stdlib.h>

/* The floor is raised this much earlier than it must be, so that the sync's duration does not show. */
#define FLOOR_EARLY_MS 100u

/* Two nodes whose clocks run ahead of all wall clocks after a restart stand at most this far apart: a
 * reserve, and what the one that lived on was told meanwhile. */
#define HANDSHAKE_STEP_MS (HLC_RESERVE_MS + CLOCK_DRIFT_MAX_MS)

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t own_offset_ms(const struct node *n)
{
    return (int64_t)n->hlc.raw_wall_ms - (int64_t)(n->now.mono_us / 1000);
}

/* Our wall clock against the lower median of what we know of the members', our own included: half of them
 * must be known, so that no single one moves anybody. */
static void compare_clocks(struct node *n)
{
    int64_t offsets[MEMBERS_MAX];
    uint32_t count = 0;
    offsets[count++] = own_offset_ms(n);
    for (uint32_t i = 0; i < n->peers.count && count < MEMBERS_MAX; i++)
        if (n->peers.items[i].offset_known)
            offsets[count++] = n->peers.items[i].wall_offset_ms;
    n->hlc.median_known = count > 1 && count > (n->peers.count + 1) / 2;
    if (!n->hlc.median_known)
        return;
    qsort(offsets, count, sizeof offsets[0], compare_i64);
    n->hlc.median_ms = offsets[(count - 1) / 2];
}

/* In every step, because our own wall clock may jump between two looks. */
static void measure_lead(struct node *n)
{
    n->hlc.ahead_ms = n->hlc.median_known ? own_offset_ms(n) - n->hlc.median_ms : 0;
    if (n->hlc.ahead_ms > (int64_t)CLOCK_WARN_MS && log_may(n, &n->hlc.warn))
        outbox_log(n->out, LOG_WARN,
                   "event=clock_ahead ms=%lld text=\"this node's wall clock is ahead of its peers'\"",
                   (long long)n->hlc.ahead_ms);
}

void hlc_look(struct node *n)
{
    n->hlc.looked_us = n->now.mono_us;
    compare_clocks(n);
}

/* The wall clock as this node takes it. */
static void take_wall(struct node *n)
{
    measure_lead(n);
    n->now.wall_ms = n->hlc.raw_wall_ms;
    if (n->hlc.ahead_ms < 0)
        n->now.wall_ms += (uint64_t)-n->hlc.ahead_ms;
    else if (n->hlc.ahead_ms > (int64_t)CLOCK_WARN_MS)
        n->now.wall_ms -= (uint64_t)n->hlc.ahead_ms - CLOCK_WARN_MS;
}

void hlc_begin(struct node *n, struct now now)
{
    n->now = now;
    n->hlc.raw_wall_ms = now.wall_ms;
    if (now.mono_us >= n->hlc.looked_us + CLOCK_LOOK_US)
        hlc_look(n);
    take_wall(n);
}

uint64_t hlc_now(const struct node *n)
{
    return clock_peek(&n->clock, n->now.wall_ms);
}

uint64_t hlc_said(const struct node *n)
{
    uint64_t now = hlc_now(n);
    return now < n->clock.floor ? now : n->clock.floor;
}

void hlc_heard(struct node *n, uint64_t hlc)
{
    if (clock_accepts(&n->clock, n->now.wall_ms, hlc))
        clock_receive(&n->clock, hlc);
    else
        n->hlc.refused++;
}

/* When two members meet, one may stand on a floor above the other's clock with all wall clocks behind both.
 * A bounded step once per connection brings them together; afterwards they stay within a millisecond. */
void hlc_handshake(struct node *n, uint64_t hlc)
{
    uint64_t step = hlc_from_ms(HANDSHAKE_STEP_MS);
    if (hlc > n->clock.hlc && hlc - n->clock.hlc <= step)
        clock_receive(&n->clock, hlc);
    else
        hlc_heard(n, hlc);
}

bool hlc_settled(const struct node *n)
{
    return n->now.mono_us >= n->hlc.settled_us;
}

/* When the wall clock alone will have used up half of the reserve. */
static uint64_t floor_due_us(const struct node *n)
{
    uint64_t floor_ms = hlc_to_ms(n->clock.floor);
    uint64_t used_ms = n->now.wall_ms + FLOOR_EARLY_MS + HLC_RESERVE_MS / 2;
    return n->now.mono_us + (floor_ms > used_ms ? (floor_ms - used_ms) * 1000 : 1000);
}

/* Whether the wall clock may be used: peers were heard, or there is nobody to be heard. */
static bool may_begin(struct node *n)
{
    if (!n->ring)
        return false; /* nothing is served yet */
    if (!n->hlc.wait_until_us)
        n->hlc.wait_until_us = n->now.mono_us + CLOCK_WAIT_US;
    n->hlc.due_us = n->hlc.wait_until_us;
    return n->peers.count == 0 || n->hlc.median_known || n->now.mono_us >= n->hlc.wait_until_us;
}

void hlc_end(struct node *n)
{
    if (!n->hlc.begun) {
        if (!may_begin(n))
            return;
        n->hlc.begun = true;
        take_wall(n); /* the peers may have been heard in this very step */
    }
    clock_receive(&n->clock, hlc_said(n));
    if (n->hlc.writing)
        return;
    uint64_t wanted = clock_floor_wanted(&n->clock, n->now.wall_ms + FLOOR_EARLY_MS);
    if (!wanted) {
        n->hlc.due_us = floor_due_us(n);
        return;
    }
    if (n->hlc.due_us > n->now.mono_us && n->hlc.retrying)
        return;
    uint8_t *value = arena_alloc(&n->out->arena, 8);
    if (!value || outbox_room(n->out) == 0)
        return;
    be64_put(value, wanted);
    struct effect *e = outbox_add(n->out, EF_STORE_META);
    e->op = id_make(ID_NODE, OP_FLOOR);
    e->meta.name = META_FLOOR;
    e->meta.value = bytes_of(value, 8);
    n->hlc.writing = wanted;
    n->hlc.retrying = false;
    n->hlc.due_us = UINT64_MAX;
}

void hlc_written(struct node *n, int status)
{
    KV_ASSERT(n->hlc.writing != 0);
    uint64_t floor = n->hlc.writing;
    n->hlc.writing = 0;
    if (status != KV_OK) {
        n->hlc.retrying = true;
        n->hlc.due_us = n->now.mono_us + META_RETRY_US;
        return;
    }
    if (n->hlc.settled_us == UINT64_MAX)
        n->hlc.settled_us = n->now.mono_us + clock_settle_ms(&n->clock, n->now.wall_ms) * UINT64_C(1000);
    clock_floor_written(&n->clock, floor);
}
