/* Zones, shares and caps: see cap.h. */
#include "ring/cap.h"

#include <stdlib.h>

#include "kv_error.h"
#include "ring/share.h"

/* 21/20 is 1.05. */
#define CAP_NUMERATOR   21u
#define CAP_DENOMINATOR 20u

/* Shares are whole numbers of 1/65536 of a partition. */
#define SHARE_BITS 16

static uint64_t whole_ring(const struct ring_value *v)
{
    return (uint64_t)v->partitions << SHARE_BITS;
}

static void number_zones(struct ring_caps *c, const struct ring_value *v)
{
    for (uint32_t i = 0; i < v->member_count; i++) {
        const char *zone = v->members[i].zone;
        uint32_t same = zone[0] == '\0' ? i : 0;
        while (same < i && strcmp(v->members[same].zone, zone) != 0)
            same++;
        c->zone_of[i] = same < i ? c->zone_of[same] : c->zone_count++;
    }
}

/* With enough zones, no partition is twice in one. With too few, every partition is in each, and what is left
 * over may go anywhere. */
static void bound_zones(const struct ring_caps *c, const struct ring_value *v, uint32_t homes,
                        struct ring_share *zones)
{
    bool enough = c->zone_count >= homes;
    uint64_t most = enough ? whole_ring(v) : (homes - c->zone_count + 1) * whole_ring(v);
    for (uint32_t i = 0; i < v->member_count; i++) {
        struct ring_share *z = &zones[c->zone_of[i]];
        z->weight += v->members[i].weight;
        z->most = z->most + whole_ring(v) < most ? z->most + whole_ring(v) : most;
        z->least = enough ? 0 : whole_ring(v);
    }
}

/* The members of one zone divide what the zone has. `shares` is scratch. */
static void divide_zone(const struct ring_caps *c, const struct ring_value *v, uint32_t zone, uint64_t amount,
                        struct ring_share *shares)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->member_count; i++)
        if (c->zone_of[i] == zone)
            shares[count++] = (struct ring_share){.weight = v->members[i].weight, .most = whole_ring(v)};
    ring_share_out(amount, shares, count);
}

/* `zone_whole`: every partition has exactly one home in this zone. */
static void cap_zone(struct ring_caps *c, const struct ring_value *v, uint32_t zone, bool zone_whole,
                     const struct ring_share *shares)
{
    const uint64_t unit = (uint64_t)CAP_DENOMINATOR << SHARE_BITS;
    for (uint32_t i = 0; i < v->member_count; i++) {
        if (c->zone_of[i] != zone)
            continue;
        uint64_t amount = (shares++)->amount;
        c->cap[i] = (uint32_t)((amount * CAP_NUMERATOR + unit - 1) / unit);
        c->whole[i] = zone_whole || amount == whole_ring(v);
        c->any_whole |= c->whole[i];
    }
}

int ring_caps_init(struct ring_caps *c, const struct ring_value *v, uint32_t homes)
{
    *c = (struct ring_caps){0};
    struct ring_share *zones = calloc(v->member_count, sizeof *zones);
    struct ring_share *members = calloc(v->member_count, sizeof *members);
    c->zone_of = calloc(v->member_count, sizeof *c->zone_of);
    c->cap = calloc(v->member_count, sizeof *c->cap);
    c->whole = calloc(v->member_count, sizeof *c->whole);
    int status = zones && members && c->zone_of && c->cap && c->whole ? KV_OK : KV_E_NO_MEMORY;
    if (status != KV_OK)
        goto out;

    number_zones(c, v);
    bound_zones(c, v, homes, zones);
    ring_share_out(homes * whole_ring(v), zones, c->zone_count);
    for (uint32_t z = 0; z < c->zone_count; z++) {
        divide_zone(c, v, z, zones[z].amount, members);
        cap_zone(c, v, z, c->zone_count >= homes && zones[z].amount == whole_ring(v), members);
    }
out:
    free(zones);
    free(members);
    return status;
}

void ring_caps_deinit(struct ring_caps *c)
{
    free(c->zone_of);
    free(c->cap);
    free(c->whole);
    *c = (struct ring_caps){0};
}
