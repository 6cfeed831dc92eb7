#include "sim/fault.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/list.h"
#include "sim/internal.h"
#include "sim/operator.h"
#include "sim/rings.h"

#define ACTIVE_MAX    16u
#define DOOM_US       UINT64_C(40000) /* shorter than any fault */
#define STOP_LIMIT_US UINT64_C(10000000)

/* What befalls a change of the ring on purpose. */
#define AT_TURNS                                                                                 \
    (FAULT_BIT(CRASH) | FAULT_BIT(POWER) | FAULT_BIT(STOP) | FAULT_BIT(PAUSE) | FAULT_BIT(CUT) | \
     FAULT_BIT(ONE_WAY) | FAULT_BIT(PARTITION) | FAULT_BIT(PARTIAL) | FAULT_BIT(CLOG) |          \
     FAULT_BIT(SLOW_DISK))

struct fault {
    bool active;
    enum fault_class class;
    uint32_t a, b;   /* the node; or the two ends of a link, 0: the clients */
    uint32_t groups; /* partition, partial: bit i set when node i is on the other side */
    int64_t amount;
    uint64_t until_us;
};

struct faults {
    struct sim *sim;
    uint32_t nodes;
    uint32_t classes;
    uint64_t gap_us;
    bool on;
    uint32_t wiped;               /* whose disk was lost; 0: nobody's */
    bool born[SIM_NODES_MAX + 1]; /* it was started, or is a founder */
    bool lost[SIM_NODES_MAX + 1]; /* with the whole machine */
    struct ring_operator *ring_operator;
    struct sim_store *backup; /* of the node that a RESTORE will strike; NULL: none */
    struct sim_timer next;    /* a new one begins */
    struct sim_timer end;     /* the next of the active ones ends */
    struct sim_timer turn;    /* the ring has just changed */
    struct fault active[ACTIVE_MAX];
    int64_t jumped_ms[SIM_NODES_MAX + 1]; /* jumps stay */
};

static const struct {
    const char *word, *text;
    enum tally_item shows;
} classes[FAULT_CLASSES] = {
#define FAULT_ROW(name, word, text, shows) {word, text, TALLY_##shows},
    FAULT_TABLE(FAULT_ROW)
#undef FAULT_ROW
};

const char *fault_word(enum fault_class c)
{
    return classes[c].word;
}

const char *fault_text(enum fault_class c)
{
    return classes[c].text;
}

enum tally_item fault_shows(enum fault_class c)
{
    return classes[c].shows;
}

/* ---- what is in force ---- */

static void shape_link(struct sim *s, const struct fault *f, uint32_t from, uint32_t to)
{
    struct sim_link *l = sim_link(s, from, to);
    switch (f->class) {
    case FAULT_DELAY:
        if (f->amount < 10) {
            l->tail_percent = (uint8_t)(5 + f->amount * 5);
        } else {
            l->delay_min_us = (uint64_t)f->amount * 100;
            l->delay_max_us = (uint64_t)f->amount * 1000;
        }
        break;
    case FAULT_LOSS: l->loss_percent = (uint8_t)f->amount; break;
    case FAULT_DUPLICATE: l->duplicate_percent = (uint8_t)f->amount; break;
    case FAULT_REORDER: l->reorder_percent = (uint8_t)f->amount; break;
    case FAULT_CLOG: l->clogged = true; break;
    default: l->cut = true; break;
    }
}

static bool apart(const struct fault *f, uint32_t i, uint32_t j)
{
    return ((f->groups >> i) & 1u) != ((f->groups >> j) & 1u);
}

static void shape_network(struct faults *f, const struct fault *one)
{
    switch (one->class) {
    case FAULT_PARTITION:
        for (uint32_t i = 0; i <= f->nodes; i++)
            for (uint32_t j = 0; j <= f->nodes; j++)
                if (apart(one, i, j))
                    shape_link(f->sim, one, i, j);
        break;
    case FAULT_PARTIAL:
        for (uint32_t i = 1; i <= f->nodes; i++)
            if (i != one->a && (one->groups >> i & 1u)) {
                shape_link(f->sim, one, one->a, i);
                shape_link(f->sim, one, i, one->a);
            }
        break;
    case FAULT_RING:
        for (uint32_t i = 0; i < f->nodes; i++)
            for (uint32_t j = 0; j < f->nodes; j++)
                if (i != j && (i + 1) % f->nodes != j && (j + 1) % f->nodes != i)
                    shape_link(f->sim, one, i + 1, j + 1);
        break;
    case FAULT_ONE_WAY:
    case FAULT_CLOG: shape_link(f->sim, one, one->a, one->b); break;
    default:
        shape_link(f->sim, one, one->a, one->b);
        shape_link(f->sim, one, one->b, one->a);
        break;
    }
}

static void shape_node(struct faults *f, const struct fault *one)
{
    struct sim_setup *setup = sim_setup(f->sim, one->a);
    switch (one->class) {
    case FAULT_SLOW_DISK: setup->disk_extra_us = (uint64_t)one->amount; break;
    case FAULT_FULL_DISK: sim_store_full(sim_store(f->sim, one->a), true); break;
    case FAULT_REFUSED_DISK: setup->disk_refuses = true; break;
    case FAULT_OFFSET: setup->skew_ms += one->amount; break;
    case FAULT_DRIFT: setup->drift_ppm = one->amount; break;
    default: break;
    }
}

static void shape(struct faults *f)
{
    sim_heal(f->sim);
    for (uint32_t i = 1; i <= f->nodes; i++) {
        struct sim_setup *setup = sim_setup(f->sim, i);
        setup->skew_ms = f->jumped_ms[i];
        setup->disk_extra_us = 0;
        setup->disk_refuses = false;
        sim_store_full(sim_store(f->sim, i), false);
    }
    for (uint32_t i = 0; i < ACTIVE_MAX; i++) {
        const struct fault *one = &f->active[i];
        if (!one->active)
            continue;
        if (one->class <= FAULT_CLOG)
            shape_network(f, one);
        else
            shape_node(f, one);
    }
}

/* ---- beginning ---- */

static bool is_process_fault(enum fault_class c)
{
    return c == FAULT_CRASH || c == FAULT_POWER || c == FAULT_STOP || c == FAULT_PAUSE || c == FAULT_WIPE ||
           c == FAULT_REFUSED_DISK || c == FAULT_RESTORE;
}

/* Whether something has been done to the node's process that is not over. */
static bool is_struck(const struct faults *f, uint32_t node)
{
    for (uint32_t i = 0; i < ACTIVE_MAX; i++)
        if (f->active[i].active && f->active[i].a == node && is_process_fault(f->active[i].class))
            return true;
    return false;
}

static bool is_taken(const struct faults *f, uint32_t node)
{
    return is_struck(f, node) || !sim_node(f->sim, node) || sim_paused(f->sim, node);
}

bool faults_present(const struct faults *f, uint32_t node)
{
    bool left = operator_dismissed(f->ring_operator, node) && !sim_member(f->sim, node);
    return f->born[node] && !f->lost[node] && !left;
}

/* Members that nobody has told to go: fewer than the homes of a key are not asked for. */
static bool can_spare_one(const struct faults *f)
{
    uint32_t staying = 0;
    for (uint32_t i = 1; i <= f->nodes; i++)
        staying += faults_present(f, i) && sim_member(f->sim, i) && !operator_dismissed(f->ring_operator, i);
    return staying > f->sim->config.replicas;
}

struct ring_operator *faults_operator(struct faults *f)
{
    return f->ring_operator;
}

uint32_t faults_join(struct faults *f)
{
    for (uint32_t i = 1; i <= f->nodes; i++) {
        if (f->born[i])
            continue;
        f->born[i] = true;
        f->sim->tally.counts[TALLY_JOIN]++;
        (void)sim_start(f->sim, i);
        return i;
    }
    return 0;
}

void faults_lose(struct faults *f, uint32_t node)
{
    f->sim->tally.counts[TALLY_REMOVE]++;
    (void)operator_ask(f->ring_operator, RING_REMOVE, node, 0);
    sim_kill(f->sim, node);
    sim_wipe(f->sim, node);
    f->wiped = node;
    f->lost[node] = true;
}

static bool is_drifting(const struct faults *f, uint32_t node)
{
    for (uint32_t i = 0; i < ACTIVE_MAX; i++)
        if (f->active[i].active && f->active[i].a == node && f->active[i].class == FAULT_DRIFT)
            return true;
    return false;
}

static void strike(struct faults *f, const struct fault *one)
{
    struct sim *s = f->sim;
    struct tally *t = sim_tally(s);
    struct sim_setup *setup = sim_setup(s, one->a);
    switch (one->class) {
    case FAULT_REFUSED_DISK:
    case FAULT_CRASH:
        t->counts[TALLY_CRASH]++;
        if (one->class == FAULT_CRASH)
            sim_doom(s, one->a, false, DOOM_US);
        else
            sim_kill(s, one->a);
        break;
    case FAULT_POWER:
        t->counts[TALLY_POWER_CUT]++;
        sim_doom(s, one->a, true, DOOM_US);
        break;
    case FAULT_WIPE:
        sim_kill(s, one->a);
        sim_wipe(s, one->a);
        f->wiped = one->a;
        break;
    case FAULT_JOIN: (void)faults_join(f); break;
    case FAULT_LEAVE:
        if (can_spare_one(f))
            t->counts[TALLY_LEAVE] += operator_ask(f->ring_operator, RING_LEAVE, one->a, 0);
        break;
    case FAULT_WEIGHT:
        t->counts[TALLY_WEIGHT] +=
            operator_ask(f->ring_operator, RING_WEIGHT, one->a, (uint32_t)sim_between(s, 1, 3));
        break;
    case FAULT_REMOVE: faults_lose(f, one->a); break;
    case FAULT_RESTORE:
        f->backup = sim_store_copy(sim_store(s, one->a));
        f->wiped = one->a;
        break;
    case FAULT_STOP:
        t->counts[TALLY_STOP]++;
        sim_stop(s, one->a);
        break;
    case FAULT_PAUSE:
        t->counts[TALLY_PAUSE]++;
        sim_pause(s, one->a);
        break;
    case FAULT_OFFSET: t->counts[TALLY_CLOCK_OFFSET]++; break;
    case FAULT_DRIFT:
        t->counts[TALLY_CLOCK_DRIFT]++;
        setup->drift_us = sim_now_us(s);
        break;
    case FAULT_JUMP:
        t->counts[TALLY_CLOCK_JUMP]++;
        f->jumped_ms[one->a] = one->amount; /* where it stands now, not how far it went */
        break;
    default: break;
    }
}

/* ---- the end ---- */

/* Whose store was refused gets a blank one, as it was told. */
void faults_revive(struct faults *f, uint32_t node)
{
    if (sim_node(f->sim, node) || !faults_present(f, node))
        return;
    if (sim_store_refused(f->sim, node))
        sim_wipe(f->sim, node);
    (void)sim_start(f->sim, node);
}

static void put_back(struct faults *f, uint32_t node)
{
    sim_kill(f->sim, node);
    if (faults_present(f, node))
        sim_put_back(f->sim, node, f->backup);
    else
        sim_store_destroy(f->backup); /* it has left meanwhile */
    f->backup = NULL;
}

static void wind_up(struct faults *f, struct fault *one)
{
    one->active = false;
    if (one->class == FAULT_DRIFT) /* it keeps what it has gained, as a clock does */
        f->jumped_ms[one->a] += (int64_t)(sim_now_us(f->sim) - sim_setup(f->sim, one->a)->drift_us) / 1000 *
                                one->amount / 1000000;
    if (one->class == FAULT_DRIFT)
        sim_setup(f->sim, one->a)->drift_ppm = 0;
    if (one->class == FAULT_PAUSE)
        sim_resume(f->sim, one->a);
    if (one->class == FAULT_RESTORE)
        put_back(f, one->a);
    shape(f);
    if (is_process_fault(one->class))
        faults_revive(f, one->a);
}

static void fire_end(struct sim *s, struct sim_timer *t)
{
    struct faults *f = container_of(t, struct faults, end);
    uint64_t next_us = UINT64_MAX;
    for (uint32_t i = 0; i < ACTIVE_MAX; i++)
        if (f->active[i].active && f->active[i].until_us <= s->now_us) {
            sim_say(s, f->active[i].a, "fault ends: %s", fault_word(f->active[i].class));
            wind_up(f, &f->active[i]);
        }
    for (uint32_t i = 0; i < ACTIVE_MAX; i++)
        if (f->active[i].active && f->active[i].until_us < next_us)
            next_us = f->active[i].until_us;
    if (next_us != UINT64_MAX)
        sim_schedule(s, &f->end, next_us);
}

static struct fault *free_place(struct faults *f)
{
    for (uint32_t i = 0; i < ACTIVE_MAX; i++)
        if (!f->active[i].active)
            return &f->active[i];
    return NULL;
}

/* What a hub does not come back from, and must not be asked of it (DESIGN section 11: it has no standby). */
static bool ends_the_hub(const struct faults *f, const struct fault *one)
{
    bool hub = f->sim->config.topology != TOPOLOGY_RING && one->a == SIM_HUB;
    return hub && (one->class == FAULT_WIPE || one->class == FAULT_REMOVE || one->class == FAULT_RESTORE ||
                   one->class == FAULT_LEAVE);
}

static void begin(struct faults *f, struct fault one)
{
    struct fault *place = free_place(f);
    if (!place || ends_the_hub(f, &one) || (is_process_fault(one.class) && is_taken(f, one.a)) ||
        (one.class == FAULT_DRIFT && is_drifting(f, one.a)) ||
        ((one.class == FAULT_WIPE || one.class == FAULT_REMOVE || one.class == FAULT_RESTORE) &&
         (f->wiped || !sim_member(f->sim, one.a) || !can_spare_one(f))))
        return;
    one.active = true;
    *place = one;
    sim_say(f->sim, one.a, "fault begins: %s (%u-%u, %lld) for %.3f s", fault_word(one.class), one.a, one.b,
            (long long)one.amount, (double)(one.until_us - sim_now_us(f->sim)) / 1e6);
    strike(f, &one);
    shape(f);
    if (one.class == FAULT_REFUSED_DISK)
        (void)sim_start(f->sim, one.a); /* the service manager tries, and fails */
    uint64_t end_us = heap_contains(&f->end.at) && f->end.at.at < one.until_us ? f->end.at.at : one.until_us;
    sim_schedule(f->sim, &f->end, end_us);
}

/* How far a wall clock may be off, in proportion to how old a row may be: else its node refuses all rows of
 * the others for as long as it takes them to come up to it. */
static int64_t draw_off_ms(struct sim *s, uint64_t most_ms)
{
    most_ms = most_ms * s->config.row_age_max_ms / ROW_AGE_MAX_MS;
    return (int64_t)sim_between(s, 0, 2 * most_ms) - (int64_t)most_ms;
}

/* How much of it: percent, microseconds, milliseconds, millionths; see the class. */
static int64_t draw_amount(struct sim *s, enum fault_class c)
{
    switch (c) {
    case FAULT_DELAY:
        return (int64_t)sim_between(s, 1, 10) < 6 ? (int64_t)sim_between(s, 1, 9)
                                                  : (int64_t)sim_between(s, 10, 150);
    case FAULT_LOSS: return (int64_t)sim_between(s, 5, 90);
    case FAULT_DUPLICATE:
    case FAULT_REORDER: return (int64_t)sim_between(s, 5, 60);
    case FAULT_SLOW_DISK: return (int64_t)sim_between(s, 5000, 200000);
    case FAULT_OFFSET: return draw_off_ms(s, 5000);
    case FAULT_DRIFT: return (int64_t)sim_between(s, 0, 100000) - 50000;
    case FAULT_JUMP: return draw_off_ms(s, 60000);
    default: return 0;
    }
}

/* Who is cut off from some only is missed by nobody, and may be so for long. */
static uint64_t draw_duration_us(struct sim *s, enum fault_class c)
{
    uint64_t most_us = prng_below(&s->prng, 3) && c != FAULT_PARTIAL ? 4000000 : 15000000;
    return sim_between(s, 50000, most_us);
}

/* What is not there yet feels nothing. */
static uint32_t draw_process(struct faults *f, uint32_t least)
{
    uint32_t node;
    do
        node = (uint32_t)sim_between(f->sim, least, f->nodes);
    while (node && !f->born[node]);
    return node;
}

/* One of these classes, if any is enabled, somewhere. */
static void begin_any(struct faults *f, uint32_t enabled)
{
    struct sim *s = f->sim;
    enum fault_class c;
    if (!enabled)
        return;
    do
        c = (enum fault_class)prng_below(&s->prng, FAULT_CLASSES);
    while (!(enabled >> c & 1u));
    struct fault one = {.class = c};
    bool link = c <= FAULT_CLOG;
    one.a = draw_process(f, 1);
    one.b = link ? draw_process(f, 0) : 0;
    if (link && one.b == one.a)
        one.b = one.a % f->nodes + 1;
    if (link && c != FAULT_PARTIAL && prng_below(&s->prng, 2)) { /* what clients send may be late, too */
        uint32_t end = one.a;
        one.a = one.b;
        one.b = end;
    }
    one.groups = (uint32_t)prng_below(&s->prng, UINT64_C(2) << f->nodes);
    one.amount = draw_amount(s, c);
    one.until_us = s->now_us + draw_duration_us(s, c);
    begin(f, one);
}

static void fire_next(struct sim *s, struct sim_timer *t)
{
    struct faults *f = container_of(t, struct faults, next);
    if (!f->on)
        return;
    sim_schedule(s, t, s->now_us + sim_between(s, 0, 2 * f->gap_us));
    for (uint32_t i = 1; i <= f->nodes; i++)
        if (!is_struck(f, i)) /* it has left by itself: as a service, it comes back */
            faults_revive(f, i);
    begin_any(f, f->classes);
}

/* The phases of a change are short: what strikes at any time strikes none of them. */
static void fire_turn(struct sim *s, struct sim_timer *t)
{
    struct faults *f = container_of(t, struct faults, turn);
    if (f->on && sim_ring(s)->value.phase != RING_STABLE && prng_below(&s->prng, 2))
        begin_any(f, f->classes & AT_TURNS);
}

void faults_begin(struct faults *f, enum fault_class c, uint32_t a, uint32_t b, uint64_t us)
{
    struct fault one = {.class = c, .a = a, .b = b, .until_us = sim_now_us(f->sim) + us};
    one.amount = draw_amount(f->sim, c);
    begin(f, one);
}

struct faults *faults_create(struct sim *s, uint32_t enabled, uint64_t gap_us)
{
    struct faults *f = sim_must(calloc(1, sizeof *f));
    f->sim = s;
    f->nodes = s->config.nodes;
    f->ring_operator = operator_create(s);
    for (uint32_t i = 1; i <= s->config.founders; i++)
        f->born[i] = true;
    f->classes = enabled;
    f->gap_us = gap_us;
    f->next = (struct sim_timer){.fire = fire_next, .embedded = true};
    f->end = (struct sim_timer){.fire = fire_end, .embedded = true};
    f->turn = (struct sim_timer){.fire = fire_turn, .embedded = true};
    if (enabled & AT_TURNS)
        s->rings.alarm = &f->turn;
    return f;
}

void faults_destroy(struct faults *f)
{
    if (!f)
        return;
    f->sim->rings.alarm = NULL;
    sim_cancel(f->sim, &f->turn);
    sim_cancel(f->sim, &f->next);
    sim_cancel(f->sim, &f->end);
    operator_destroy(f->ring_operator);
    sim_store_destroy(f->backup);
    free(f);
}

void faults_on(struct faults *f)
{
    f->on = f->classes != 0;
    if (f->on)
        sim_schedule(f->sim, &f->next, f->sim->now_us + sim_between(f->sim, 0, f->gap_us));
}

static bool all_stopped(struct sim *s, void *arg)
{
    const struct faults *f = arg;
    for (uint32_t i = 0; i < ACTIVE_MAX; i++)
        if (f->active[i].active && f->active[i].class == FAULT_STOP && sim_node(s, f->active[i].a))
            return false;
    return true;
}

/* A process that is about to end does so first: nobody would start it again afterwards. */
void faults_heal(struct faults *f)
{
    f->on = false;
    sim_cancel(f->sim, &f->next);
    sim_cancel(f->sim, &f->end);
    (void)sim_run_until(f->sim, all_stopped, f, STOP_LIMIT_US);
    for (uint32_t i = 0; i < ACTIVE_MAX; i++)
        if (f->active[i].active)
            wind_up(f, &f->active[i]);
    memset(f->jumped_ms, 0, sizeof f->jumped_ms);
    shape(f);
    for (uint32_t i = 1; i <= f->nodes; i++) {
        sim_spare(f->sim, i);
        sim_resume(f->sim, i);
        faults_revive(f, i);
    }
}
