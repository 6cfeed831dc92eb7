/* What may be asked of the ring, and what it would do: see change.h. */
#include "ring/change.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "ring/step.h"

#define ERROR_BYTES 128

/* ---- asking ---------------------------------------------------------------------------------- */

/* What a member will be once everything that is queued is done. */
struct outlook {
    bool leaves;
    bool removed; /* as one that is dead */
    uint32_t weight;
    const char *zone;
};

/* Those of the queue that the members do not show yet. */
static uint32_t first_waiting(const struct ring_value *v)
{
    return v->phase == RING_STABLE ? 0 : 1;
}

static struct outlook outlook_of(const struct ring_value *v, const struct member *m)
{
    struct outlook o = {.weight = v->undo ? m->old_weight : m->weight,
                        .zone = v->undo ? m->old_zone : m->zone};
    o.leaves = o.weight == 0;
    o.removed = o.leaves && m->dead;
    for (uint32_t i = first_waiting(v); i < v->queue_count; i++) {
        const struct ring_change *c = &v->queue[i];
        bool replaced = c->kind == RING_JOIN && strcmp(c->name, m->name) == 0;
        bool removed = (c->kind == RING_REMOVE && c->member == m->id) || replaced;
        o.removed = o.removed || removed;
        o.leaves = o.leaves || removed || (c->kind == RING_LEAVE && c->member == m->id);
        if (c->kind == RING_WEIGHT && c->member == m->id)
            o.weight = c->weight;
        if (c->kind == RING_ZONE && c->member == m->id)
            o.zone = c->zone;
    }
    return o;
}

/* Members, once everything that is queued is done. */
static uint32_t members_then(const struct ring_value *v)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->member_count; i++)
        count += !outlook_of(v, &v->members[i]).leaves;
    for (uint32_t i = first_waiting(v); i < v->queue_count; i++)
        count += v->queue[i].kind == RING_JOIN;
    return count;
}

static int refuse(char error[ERROR_BYTES], const char *sentence)
{
    snprintf(error, ERROR_BYTES, "%s", sentence);
    return KV_E_INVALID;
}

static int check_join(const struct ring_value *v, const struct ring_change *c, bool *known,
                      char error[ERROR_BYTES])
{
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct member *m = &v->members[i];
        bool undone = v->undo && m->old_weight == 0;
        *known = *known || (m->store_id == c->store_id && !undone);
    }
    for (uint32_t i = first_waiting(v); i < v->queue_count; i++)
        *known = *known || (v->queue[i].kind == RING_JOIN && v->queue[i].store_id == c->store_id);
    if (!*known && members_then(v) >= MEMBERS_MAX) {
        snprintf(error, ERROR_BYTES, "a ring has at most %u members", MEMBERS_MAX);
        return KV_E_INVALID;
    }
    return KV_OK;
}

static int check_member(const struct ring_value *v, const struct ring_change *c, bool *known,
                        char error[ERROR_BYTES])
{
    const struct member *m = ring_value_find(v, c->member);
    if (!m || (v->undo && m->old_weight == 0)) {
        snprintf(error, ERROR_BYTES, "no member has the id %u", c->member);
        return KV_E_INVALID;
    }
    struct outlook o = outlook_of(v, m);
    switch (c->kind) {
    case RING_LEAVE: *known = o.leaves; break;
    case RING_REMOVE:
        *known = o.removed; /* who dies while it leaves may have to be removed */
        break;
    case RING_WEIGHT: *known = o.weight == c->weight; break;
    default: *known = strcmp(o.zone, c->zone) == 0;
    }
    bool goes = c->kind == RING_LEAVE || c->kind == RING_REMOVE;
    if (o.leaves && !goes) {
        snprintf(error, ERROR_BYTES, "%s is leaving the ring", m->name);
        return KV_E_INVALID;
    }
    if (!o.leaves && goes && members_then(v) <= 1)
        return refuse(error, "no member would be left");
    return KV_OK;
}

static const char *what_is_wrong(const struct ring_change *c)
{
    bool weighs = c->kind == RING_JOIN || c->kind == RING_WEIGHT;
    if (weighs && (c->weight < 1 || c->weight > WEIGHT_MAX))
        return "a weight is a number from 1 to 16";
    if (c->kind == RING_JOIN || c->kind == RING_ZONE)
        return "a name or zone is up to 31 letters, digits, dots, dashes and underscores";
    return "there is no such change of the ring";
}
_Static_assert(WEIGHT_MAX == 16 && NAME_MAX_BYTES == 31, "as the sentences say");

int ring_change_check(const struct ring_value *v, const struct ring_change *c, bool *known,
                      char error[ERROR_BYTES])
{
    *known = false;
    error[0] = '\0';
    if (!ring_change_ok(c))
        return refuse(error, what_is_wrong(c));
    int status = c->kind == RING_JOIN ? check_join(v, c, known, error) : check_member(v, c, known, error);
    if (status != KV_OK || *known)
        return status;
    if (v->queue_count < RING_QUEUE_MAX)
        return KV_OK;
    snprintf(error, ERROR_BYTES, "%u changes of the ring are waiting already", RING_QUEUE_MAX);
    return KV_E_OVERLOADED;
}

int ring_change_ask(const struct ring_value *v, const struct ring_change *c, struct ring_value *out)
{
    return ring_step_ask(v, c, out);
}

/* ---- planning -------------------------------------------------------------------------------- */

/* A home that somebody gains has to be copied, so no placement with members as busy as these moves less. */
static void compare(const struct ring *before, const struct ring *after, struct ring_plan *out)
{
    *out = (struct ring_plan){.moved = ring_moved(before, after),
                              .total = after->value.partitions * after->homes,
                              .max_over_mean = ring_max_over_mean(after)};
    for (uint32_t i = 0; i < after->value.member_count; i++) {
        uint32_t had = ring_owned(before, after->value.members[i].id), has = after->owned[i];
        out->least += has > had ? has - had : 0;
    }
}

static int plan(struct ring_value *from, const struct ring_change *c, struct ring_plan *out)
{
    struct ring_value begun = {0}, to = {0};
    struct ring *before = NULL, *after = NULL;
    from->queue[from->queue_count++] = *c; /* as if it were its turn */
    int status = ring_step_begin(from, c, &begun);
    if (status == KV_OK)
        status = ring_step_settled(&begun, &to);
    if (status == KV_OK)
        status = ring_create(from, &before);
    if (status == KV_OK)
        status = ring_create_after(&to, before, &after);
    if (status == KV_OK)
        compare(before, after, out);
    ring_destroy(before);
    ring_destroy(after);
    ring_value_deinit(&begun);
    ring_value_deinit(&to);
    return status;
}

/* As it is: what is asked for is known already. */
static int plan_nothing(const struct ring_value *from, struct ring_plan *out)
{
    struct ring *r;
    int status = ring_create(from, &r);
    if (status == KV_OK)
        compare(r, r, out);
    ring_destroy(r);
    return status;
}

int ring_change_plan(const struct ring_value *v, const struct ring_change *c, struct ring_plan *out,
                     char error[ERROR_BYTES])
{
    *out = (struct ring_plan){0};
    error[0] = '\0';
    struct ring_change planned = *c;
    if (c->kind == RING_JOIN && c->store_id == 0)
        planned.store_id = UINT64_MAX;
    struct ring_value from;
    int status = ring_step_settled(v, &from);
    if (status != KV_OK)
        return status;
    bool known;
    status = ring_change_check(&from, &planned, &known, error);
    if (status == KV_OK)
        status = known ? plan_nothing(&from, out) : plan(&from, &planned, out);
    if (status == KV_E_INVALID && error[0] == '\0')
        refuse(error, "the change makes no sense for this ring");
    ring_value_deinit(&from);
    return status;
}

/* ---- words ----------------------------------------------------------------------------------- */

const char *ring_change_kind_name(uint8_t kind)
{
    static const char *const names[] = {"?", "join", "leave", "remove", "weight", "zone"};
    return names[kind < sizeof names / sizeof names[0] ? kind : 0];
}

const char *ring_step_name(enum ring_step step)
{
    static const char *const names[] = {"wait",   "begin",   "drop", "switch",
                                        "finish", "give_up", "back", "undo"};
    KV_ASSERT((uint32_t)step < sizeof names / sizeof names[0]);
    return names[step];
}
