/* See clock.h; Kulkarni et al. 2014, with the nodes' wall clocks in the place of one's own. */
#include "client/clock.h"

#include "base/assert.h"

#define US_PER_MS 1000u

static void insert_sorted(int64_t *values, uint32_t count, int64_t value)
{
    uint32_t i = count;
    for (; i > 0 && values[i - 1] > value; i--)
        values[i] = values[i - 1];
    values[i] = value;
}

static int64_t lower_median(const struct client_clock *c)
{
    int64_t sorted[CLIENT_CLOCK_SOURCES];
    for (uint32_t i = 0; i < c->count; i++)
        insert_sorted(sorted, i, c->offsets[i].offset_ms);
    return sorted[(c->count - 1) / 2];
}

void client_clock_set(struct client_clock *c, uint32_t source, uint64_t wall_ms, uint64_t now_us)
{
    uint32_t i = 0;
    while (i < c->count && c->offsets[i].source != source)
        i++;
    if (i == c->count) {
        if (c->count < CLIENT_CLOCK_SOURCES) {
            c->count++;
        } else {
            i = c->next;
            c->next = (c->next + 1) % CLIENT_CLOCK_SOURCES;
        }
    }
    c->offsets[i].source = source;
    c->offsets[i].offset_ms = (int64_t)wall_ms - (int64_t)(now_us / US_PER_MS);
}

void client_clock_receive(struct client_clock *c, uint64_t hlc)
{
    if (hlc > c->hlc)
        c->hlc = hlc;
}

bool client_clock_known(const struct client_clock *c)
{
    return c->count > 0;
}

uint64_t client_clock_peek(const struct client_clock *c, uint64_t now_us)
{
    if (c->count == 0)
        return c->hlc;
    int64_t wall_ms = (int64_t)(now_us / US_PER_MS) + lower_median(c);
    uint64_t wall = wall_ms > 0 ? hlc_from_ms((uint64_t)wall_ms) : 0;
    return wall > c->hlc ? wall : c->hlc;
}

uint64_t client_clock_mint(struct client_clock *c, uint64_t now_us)
{
    KV_ASSERT(client_clock_known(c));
    uint64_t now = client_clock_peek(c, now_us);
    c->hlc = now > c->hlc ? now : c->hlc + 1;
    return c->hlc;
}
