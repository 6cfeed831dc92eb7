/* Linearizability (Herlihy and Wing 1990) of the keys whose operations are all strict, by the zone test
 * (check_zone.h). Values are distinct, as the test demands, but for one: every delete writes "absent", and so
 * does every expiry. Which of them a get that found nothing has seen is not known; what is known is used:
 *
 *   - a delete whose time is over, and which some other value surely followed before the get began, is not
 * it; where none is left, the get is wrong;
 *   - where one is left, the get belongs to it, and both are a cluster like any other;
 *   - else the get is a cluster of its own, held against the clusters of values alone.
 *
 * Each of these follows from the history, so nothing is called wrong that is not; without deletes the test is
 * exact. A write whose outcome is unknown may happen at any time after its start: it counts with an end at
 * infinity if somebody read it, and not at all otherwise. At most one contradiction is told of each key. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "kv_error.h"
#include "sim/check_key.h"
#include "sim/check_zone.h"

#define NO_ZONE UINT32_MAX

/* Where absence can have come from, best first: the one that can explain the latest gets. */
struct sources {
    uint32_t best, next; /* indexes into `gone`; NO_ZONE: none; INITIAL: the beginning */
};
#define INITIAL (UINT32_MAX - 1)

struct linear {
    /* Room for the largest key, used again for each. */
    struct check_zone *zones; /* the puts by start, then the beginning, then what is absent */
    uint32_t *soonest;        /* of the puts i and after: the zone that ended first */
    struct sources *sources;  /* of the first i of `gone` */
    uint32_t *gone_zones;     /* by `gone`, and at the end the beginning's */
    uint32_t *put_zones;      /* by number of the value: NO_ZONE between keys */
    /* Of the key at hand. */
    struct check_key *key;
    uint32_t zone_count, put_count;
    uint32_t initial; /* the zone of a value from before the history */
    uint32_t initial_value;
    struct check_gone *gone;
    uint32_t gone_count;
};

/* Times are moved by one, so that 0 is before them all. */
static uint64_t began(const struct history_op *op)
{
    return op->start_ns + 1;
}

static uint64_t ended(const struct history_op *op)
{
    return op->kind != HISTORY_GET && op->outcome != HISTORY_OK ? UINT64_MAX : op->end_ns + 1;
}

static uint32_t add_zone(struct linear *l, struct check_zone zone)
{
    l->zones[l->zone_count] = zone;
    return l->zone_count++;
}

/* A get that is not `certain` proves that the value was there, and not until when. */
static void join(const struct linear *l, struct check_zone *z, uint32_t op, bool certain)
{
    const struct history_op *o = check_op(l->key, op);
    if (ended(o) < z->ended) {
        z->ended = ended(o);
        z->first_ended = op;
    }
    if (certain && began(o) > z->began) {
        z->began = began(o);
        z->last_began = op;
    }
}

static struct check_zone zone_of(const struct linear *l, uint32_t op)
{
    const struct history_op *o = check_op(l->key, op);
    return (struct check_zone){ended(o), began(o), op, op, op, o->kind != HISTORY_PUT, false};
}

/* From before all time, until somebody reads it. */
static struct check_zone zone_of_beginning(bool absent)
{
    return (struct check_zone){0, 0, CHECK_NONE, CHECK_NONE, CHECK_NONE, absent, false};
}

/* ---- values ---- */

static bool is_answer(const struct history_op *op)
{
    return op->kind == HISTORY_GET && op->strict && op->outcome == HISTORY_OK;
}

static bool is_all_strict(const struct check_key *k)
{
    for (uint32_t i = 0; i < k->count; i++)
        if (!check_op(k, k->ops[i])->strict && !check_op(k, k->ops[i])->final)
            return false;
    return true;
}

static void add_puts(struct linear *l)
{
    struct check_key *k = l->key;
    for (uint32_t i = 0; i < k->count; i++) {
        const struct history_op *op = check_op(k, k->ops[i]);
        if (op->kind == HISTORY_PUT && op->outcome != HISTORY_REFUSED)
            l->put_zones[op->value] = add_zone(l, zone_of(l, k->ops[i]));
    }
    l->put_count = l->zone_count;
}

static void leave_puts(struct linear *l)
{
    for (uint32_t i = 0; i < l->key->count; i++)
        if (check_op(l->key, l->key->ops[i])->value != HISTORY_ABSENT)
            l->put_zones[check_op(l->key, l->key->ops[i])->value] = NO_ZONE;
}

/* A value that nobody put: the key may have held one when the history began. */
static void add_stranger(struct linear *l, uint32_t get)
{
    uint32_t value = check_op(l->key, get)->value;
    if (!l->key->options->blank && l->initial == NO_ZONE) {
        l->initial = add_zone(l, zone_of_beginning(false));
        l->initial_value = value;
    }
    if (l->initial != NO_ZONE && l->initial_value == value)
        join(l, &l->zones[l->initial], get, true);
    else
        check_found(l->key, CHECK_LINEAR_NOBODY, &get, 1);
}

/* Near its expiry some clocks say that a value is there and some do not: there, a get may find it after
 * another did not. */
static bool is_certain(const struct linear *l, const struct history_op *put, const struct history_op *get)
{
    uint64_t slack_ns = l->key->options->expiry_slack_ns;
    return put->ttl_ns == 0 || get->start_ns + slack_ns < put->start_ns + put->ttl_ns;
}

static void add_value_get(struct linear *l, uint32_t get)
{
    const struct history_op *op = check_op(l->key, get);
    uint32_t put = check_writer(l->key, op->value);
    const struct history_op *write = put == CHECK_NONE ? NULL : check_op(l->key, put);
    if (!write) {
        add_stranger(l, get);
    } else if (write->outcome == HISTORY_REFUSED) {
        check_found(l->key, CHECK_LINEAR_REFUSED, (uint32_t[]){put, get}, 2);
    } else if (op->end_ns < write->start_ns) {
        check_found(l->key, CHECK_LINEAR_FUTURE, (uint32_t[]){put, get}, 2);
    } else {
        join(l, &l->zones[l->put_zones[op->value]], get, is_certain(l, write, op));
    }
}

/* A put in doubt that nobody read may as well not have been. */
static bool is_nothing(const struct check_zone *z)
{
    return z->ended == UINT64_MAX;
}

/* ---- absence ---- */

/* Writes that began from here on are surely later than this source. */
static uint64_t source_until(const struct linear *l, uint32_t source)
{
    if (source == INITIAL)
        return 0;
    uint64_t until = l->gone[source].until_ns;
    return until == UINT64_MAX ? until : until + 1;
}

static struct sources better_sources(const struct linear *l, struct sources s, uint32_t source)
{
    if (s.best == NO_ZONE || source_until(l, source) > source_until(l, s.best))
        return (struct sources){source, s.best};
    if (s.next == NO_ZONE || source_until(l, source) > source_until(l, s.next))
        s.next = source;
    return s;
}

static void rank_sources(struct linear *l)
{
    struct sources s = {l->initial == NO_ZONE ? INITIAL : NO_ZONE, NO_ZONE};
    for (uint32_t i = 0; i < l->gone_count; i++) {
        l->sources[i] = s;
        s = better_sources(l, s, i);
    }
    l->sources[l->gone_count] = s;
    for (uint32_t i = l->put_count; i-- > 0;) {
        bool last = i + 1 == l->put_count;
        l->soonest[i] = last || l->zones[i].ended < l->zones[l->soonest[i + 1]].ended ? i : l->soonest[i + 1];
    }
}

/* The put after `source` that was there first; NULL: there may be none. */
static const struct check_zone *put_after(const struct linear *l, uint32_t source)
{
    uint64_t from = source_until(l, source);
    uint32_t low = 0, high = l->put_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (check_op(l->key, l->zones[middle].write)->start_ns < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < l->put_count ? &l->zones[l->soonest[low]] : NULL;
}

static bool may_come_from(const struct linear *l, uint32_t source, const struct history_op *get)
{
    const struct check_zone *put = source == NO_ZONE ? NULL : put_after(l, source);
    return source != NO_ZONE && !(put && put->ended < began(get));
}

static void found_not_absent(struct linear *l, uint32_t source, uint32_t get)
{
    const struct check_zone *there = source == NO_ZONE ? &l->zones[l->initial] : put_after(l, source);
    uint32_t gone = source < l->gone_count ? l->gone[source].op : CHECK_NONE;
    uint32_t witness = source == NO_ZONE ? there->last_began : there->first_ended;
    check_found(l->key, CHECK_LINEAR_ABSENT, (uint32_t[]){gone, there->write, witness, get}, 4);
}

/* The zone of what a delete, an expiry or the beginning made absent. An expiry has no operation of its own.
 */
static struct check_zone *gone_zone(struct linear *l, uint32_t source)
{
    uint32_t *at = &l->gone_zones[source == INITIAL ? l->gone_count : source];
    if (*at != NO_ZONE)
        return &l->zones[*at];
    struct check_zone zone = zone_of_beginning(true);
    if (source != INITIAL) {
        zone = zone_of(l, l->gone[source].op);
        if (check_op(l->key, zone.write)->kind == HISTORY_PUT)
            zone = (struct check_zone){UINT64_MAX, 0, zone.write, CHECK_NONE, CHECK_NONE, true, false};
    }
    *at = add_zone(l, zone);
    return &l->zones[*at];
}

static void add_absent_get(struct linear *l, uint32_t get)
{
    const struct history_op *op = check_op(l->key, get);
    struct sources s = l->sources[check_gone_by(l->gone, l->gone_count, op->end_ns)];
    if (!may_come_from(l, s.best, op)) {
        found_not_absent(l, s.best, get);
    } else if (!may_come_from(l, s.next, op)) {
        join(l, gone_zone(l, s.best), get, true);
    } else {
        struct check_zone zone = zone_of(l, get);
        zone.loose = true;
        add_zone(l, zone);
    }
}

static void add_absences(struct linear *l)
{
    for (uint32_t i = 0; i <= l->gone_count; i++)
        l->gone_zones[i] = NO_ZONE;
    for (uint32_t i = 0; i < l->gone_count; i++)
        if (check_op(l->key, l->gone[i].op)->kind == HISTORY_DEL &&
            check_op(l->key, l->gone[i].op)->outcome == HISTORY_OK)
            gone_zone(l, i);
    for (uint32_t i = 0; i < l->key->count; i++) {
        const struct history_op *op = check_op(l->key, l->key->ops[i]);
        if (is_answer(op) && op->value == HISTORY_ABSENT)
            add_absent_get(l, l->key->ops[i]);
    }
}

/* ---- one key ---- */

static void test_zones(struct linear *l)
{
    const struct check_zone *a, *b;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->zone_count; i++)
        if (!is_nothing(&l->zones[i]))
            l->zones[kept++] = l->zones[i];
    if (check_zones(l->zones, kept, &a, &b))
        check_found(
            l->key, CHECK_LINEAR_ORDER,
            (uint32_t[]){a->write, a->first_ended, a->last_began, b->write, b->first_ended, b->last_began},
            6);
}

static int look(struct check_key *k, void *arg)
{
    struct linear *l = arg;
    if (!is_all_strict(k))
        return KV_OK;
    k->report->judged++;
    l->key = k;
    l->zone_count = l->put_count = 0;
    l->initial = NO_ZONE;
    int rc = check_gone_list(k, true, &l->gone, &l->gone_count);
    if (rc != KV_OK)
        return rc;
    add_puts(l);
    for (uint32_t i = 0; i < k->count; i++)
        if (is_answer(check_op(k, k->ops[i])) && check_op(k, k->ops[i])->value != HISTORY_ABSENT)
            add_value_get(l, k->ops[i]);
    rank_sources(l);
    add_absences(l);
    test_zones(l);
    leave_puts(l);
    free(l->gone);
    return KV_OK;
}

/* A zone an operation, one more for each put that expires, and two for the beginning. */
static int make_room(struct linear *l, const struct history *h)
{
    size_t most = 0, values = (h->values.count + 1) * sizeof *l->put_zones;
    for (size_t i = 0; i < h->keys.count; i++)
        most = h->first[i + 1] - h->first[i] > most ? h->first[i + 1] - h->first[i] : most;
    l->zones = malloc((2 * most + 2) * sizeof *l->zones);
    l->soonest = malloc((most + 1) * sizeof *l->soonest);
    l->sources = malloc((most + 1) * sizeof *l->sources);
    l->gone_zones = malloc((most + 1) * sizeof *l->gone_zones);
    l->put_zones = malloc(values);
    if (!l->zones || !l->soonest || !l->sources || !l->gone_zones || !l->put_zones)
        return KV_E_NO_MEMORY;
    memset(l->put_zones, 0xff, values); /* NO_ZONE */
    return KV_OK;
}

int check_linear(const struct history *h, const struct check_options *o, struct check_report *out)
{
    struct linear l = {0};
    KV_ASSERT(h->sorted);
    int rc = make_room(&l, h);
    if (rc == KV_OK)
        rc = check_each_key(h, o, out, look, &l);
    free(l.zones);
    free(l.soonest);
    free(l.sources);
    free(l.gone_zones);
    free(l.put_zones);
    return rc;
}
