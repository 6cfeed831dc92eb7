/* Histories for the tests of the checkers. */
#include "sim_check_support.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"

static uint32_t story_key_number;

void story_key(struct history *h, const char *key)
{
    assert_int_equal(history_key(h, bytes_str(key), &story_key_number), KV_OK);
}

void story_begin(struct history *h)
{
    history_init(h, 100000000);
    story_key(h, "a");
}

void story_end(struct history *h)
{
    history_deinit(h);
}

static uint32_t append(struct history *h, struct history_op op, const char *value, int flags)
{
    op.key = story_key_number;
    op.value = HISTORY_ABSENT;
    op.strict = !(flags & SLOPPY);
    op.outcome = flags & UNKNOWN ? HISTORY_UNKNOWN : flags & REFUSED ? HISTORY_REFUSED : HISTORY_OK;
    if (value)
        assert_int_equal(history_value(h, bytes_str(value), &op.value), KV_OK);
    assert_int_equal(history_append(h, &op), KV_OK);
    return (uint32_t)h->count - 1;
}

uint32_t put_at(struct history *h, uint32_t client, const char *value, uint64_t start, uint64_t end,
                int flags)
{
    struct history_op op = {.kind = HISTORY_PUT, .client = client, .start_ns = start, .end_ns = end};
    return append(h, op, value, flags);
}

uint32_t ttl_at(struct history *h, uint32_t client, const char *value, uint64_t ttl, uint64_t start,
                uint64_t end)
{
    struct history_op op = {
        .kind = HISTORY_PUT, .client = client, .start_ns = start, .end_ns = end, .ttl_ns = ttl};
    return append(h, op, value, 0);
}

uint32_t del_at(struct history *h, uint32_t client, uint64_t start, uint64_t end, int flags)
{
    struct history_op op = {.kind = HISTORY_DEL, .client = client, .start_ns = start, .end_ns = end};
    return append(h, op, NULL, flags);
}

uint32_t get_at(struct history *h, uint32_t client, const char *value, uint64_t start, uint64_t end,
                int flags)
{
    struct history_op op = {.kind = HISTORY_GET, .client = client, .start_ns = start, .end_ns = end};
    return append(h, op, value, flags);
}

uint32_t final_get(struct history *h, const char *value)
{
    struct history_op op = {.kind = HISTORY_GET, .client = HISTORY_NOBODY, .final = true};
    op.start_ns = op.end_ns = HISTORY_TIME_MAX_NS;
    return append(h, op, value, SLOPPY);
}

/* ---- expectations ---- */

static const struct check_options STORY = {.skew_ns = STORY_SKEW_NS, .expiry_slack_ns = 10, .blank = true};

static void print_found(const struct history *h, const struct check_report *r)
{
    struct buf text = {0};
    for (uint32_t i = 0; i < r->shown_count; i++)
        assert_int_equal(check_text(h, &r->shown[i], &text), KV_OK);
    print_error("%llu found\n%.*s", (unsigned long long)r->found, (int)text.len, (const char *)text.data);
    buf_deinit(&text);
}

void expect_clean(struct history *h, checker_fn check)
{
    struct check_report r;
    assert_int_equal(history_sort(h), KV_OK);
    assert_int_equal(check(h, &STORY, &r), KV_OK);
    if (r.found)
        print_found(h, &r);
    assert_int_equal(r.found, 0);
}

static bool is_proof(const struct check_violation *v, const uint32_t *ops, uint32_t count)
{
    bool same = v->count == count;
    for (uint32_t i = 0; i < count && same; i++) {
        bool there = false;
        for (uint32_t j = 0; j < v->count; j++)
            there = there || v->ops[j] == ops[i];
        same = there;
    }
    return same;
}

void expect_found(struct history *h, checker_fn check, enum check_rule rule, ...)
{
    struct check_report r;
    uint32_t ops[CHECK_PROOF_MAX], count = 0;
    va_list args;
    va_start(args, rule);
    for (int op; (op = va_arg(args, int)) >= 0;)
        ops[count++] = (uint32_t)op;
    va_end(args);
    assert_int_equal(history_sort(h), KV_OK);
    assert_int_equal(check(h, &STORY, &r), KV_OK);
    bool right = r.found == 1 && r.shown[0].rule == rule && is_proof(&r.shown[0], ops, count);
    if (!right)
        print_found(h, &r);
    assert_true(right);
}

void expect_all_clean(struct history *h, const struct check_options *o, uint64_t seed)
{
    static const checker_fn CHECKERS[] = {check_linear, check_own, check_absent, check_durable};
    struct check_report r;
    assert_int_equal(history_sort(h), KV_OK);
    for (size_t i = 0; i < sizeof CHECKERS / sizeof *CHECKERS; i++) {
        assert_int_equal(CHECKERS[i](h, o, &r), KV_OK);
        if (r.found) {
            print_error("seed %llu, checker %zu: ", (unsigned long long)seed, i);
            print_found(h, &r);
        }
        assert_int_equal(r.found, 0);
        assert_int_equal(r.skipped, 0);
    }
}

/* ---- an atomic store ---- */

struct register_ {
    uint64_t stamp;
    uint64_t expires_ns; /* 0: never */
    uint32_t value;
};

enum step { STEP_START, STEP_MINT, STEP_APPLY, STEP_END };

/* An operation on its way. */
struct flight {
    struct heap_node at;
    enum step step;
    struct history_op op;
    uint64_t stamp, expires_ns;
    uint64_t apply_ns; /* UINT64_MAX: never */
};

struct atomic_store {
    struct history *history;
    const struct store_load *load;
    struct prng *prng;
    struct heap events;
    struct register_ registers[sizeof STORY_KEYS];
    int64_t *offsets;      /* of the clients' clocks */
    uint64_t *last_stamps; /* of the clients */
    uint32_t started, values;
    uint64_t last_ns;
};

static uint64_t below(struct atomic_store *s, uint64_t bound)
{
    return prng_below(s->prng, bound);
}

/* Some clock's deviation: at most half of what two may differ by. */
static int64_t deviation(struct atomic_store *s)
{
    return (int64_t)below(s, s->load->skew_ns + 1) - (int64_t)(s->load->skew_ns / 2);
}

static void go(struct atomic_store *s, struct flight *f, enum step step, uint64_t at)
{
    f->step = step;
    assert_int_equal(heap_set(&s->events, &f->at, at), KV_OK);
}

static void plan(struct atomic_store *s, struct flight *f, uint64_t now)
{
    uint64_t length = 1 + below(s, 400);
    uint32_t client = f->op.client, percent = (uint32_t)below(s, 100);
    const struct store_load *load = s->load;
    f->op = (struct history_op){.start_ns = now,
                                .end_ns = now + length,
                                .key = (uint32_t)below(s, load->keys),
                                .value = HISTORY_ABSENT,
                                .client = client,
                                .kind = HISTORY_GET,
                                .strict = !load->sloppy};
    if (percent < 45) {
        char text[32];
        snprintf(text, sizeof text, "v%u", ++s->values);
        assert_int_equal(history_value(s->history, bytes_str(text), &f->op.value), KV_OK);
        f->op.kind = HISTORY_PUT;
        f->op.ttl_ns = below(s, 100) < load->ttl_percent ? 1000 + below(s, 2000) : 0;
    } else if (percent < 45 + load->del_percent) {
        f->op.kind = HISTORY_DEL;
    }
    uint64_t mint = now + below(s, length + 1);
    f->apply_ns = mint;
    if (below(s, 100) < load->unknown_percent) {
        f->op.outcome = HISTORY_UNKNOWN;
        if (below(s, 3) == 0)
            f->apply_ns = UINT64_MAX;
        else if (below(s, 2) == 0)
            f->apply_ns = mint + below(s, 5000);
    }
    go(s, f, STEP_MINT, mint);
}

/* A stamp is above the client's own last and the client's clock, and a strict one above the newest in the
 * store. */
static void mint(struct atomic_store *s, struct flight *f, uint64_t now)
{
    uint32_t client = f->op.client;
    uint64_t clock = (uint64_t)((int64_t)now + s->offsets[client]) * 1000 + client;
    uint64_t seen = s->load->sloppy ? 0 : s->registers[f->op.key].stamp + 1;
    f->stamp = clock > seen ? clock : seen;
    f->stamp = f->stamp > s->last_stamps[client] ? f->stamp : s->last_stamps[client] + 1;
    s->last_stamps[client] = f->stamp;
    f->expires_ns = f->op.ttl_ns ? (uint64_t)((int64_t)(now + f->op.ttl_ns) + deviation(s)) : 0;
}

static void apply(struct atomic_store *s, const struct flight *f)
{
    struct register_ *r = &s->registers[f->op.key];
    if (f->stamp > r->stamp)
        *r = (struct register_){f->stamp, f->expires_ns, f->op.value};
}

static uint32_t look(struct atomic_store *s, uint32_t key, uint64_t now)
{
    const struct register_ *r = &s->registers[key];
    bool expired = r->expires_ns && (int64_t)r->expires_ns <= (int64_t)now + deviation(s);
    return expired || r->stamp == 0 ? HISTORY_ABSENT : r->value;
}

static void take_effect(struct atomic_store *s, struct flight *f, uint64_t now)
{
    if (f->op.kind == HISTORY_GET) {
        bool sees = f->op.outcome == HISTORY_OK && !(s->load->sloppy && below(s, 4) == 0);
        f->op.value = sees ? look(s, f->op.key, now) : HISTORY_ABSENT;
        return;
    }
    mint(s, f, now);
    if (f->apply_ns == now)
        apply(s, f);
}

/* A write in doubt goes on by itself; its client does something else. */
static void finish(struct atomic_store *s, struct flight *f, uint64_t now)
{
    assert_int_equal(history_append(s->history, &f->op), KV_OK);
    if (f->op.kind != HISTORY_GET && f->apply_ns != UINT64_MAX) {
        struct flight *late = malloc(sizeof *late);
        assert_non_null(late);
        *late = *f;
        late->at = (struct heap_node){0};
        go(s, late, STEP_APPLY, f->apply_ns > now ? f->apply_ns : now);
    }
    if (s->started++ < s->load->ops)
        go(s, f, STEP_START, now + below(s, 100));
    else
        free(f);
}

static void advance(struct atomic_store *s, struct flight *f, uint64_t now)
{
    switch (f->step) {
    case STEP_START: plan(s, f, now); break;
    case STEP_MINT:
        take_effect(s, f, now);
        go(s, f, STEP_END, f->op.end_ns);
        break;
    case STEP_END: finish(s, f, now); break;
    case STEP_APPLY:
        apply(s, f); /* once more does not matter */
        free(f);
        break;
    }
}

static void read_finally(struct atomic_store *s)
{
    for (uint32_t key = 0; key < s->load->keys; key++) {
        uint64_t now = s->last_ns + 1;
        uint32_t value = look(s, key, now);
        struct history_op op = {.start_ns = now,
                                .end_ns = now,
                                .key = key,
                                .value = value,
                                .client = HISTORY_NOBODY,
                                .final = true};
        assert_int_equal(history_append(s->history, &op), KV_OK);
    }
}

void record_atomic_store(struct history *h, const struct store_load *load, struct prng *prng)
{
    struct atomic_store s = {.history = h, .load = load, .prng = prng};
    uint32_t number;
    for (uint32_t i = 0; i < load->keys; i++)
        assert_int_equal(history_key(h, bytes_of(&STORY_KEYS[i], 1), &number), KV_OK);
    heap_init(&s.events);
    s.offsets = calloc(load->clients, sizeof *s.offsets);
    s.last_stamps = calloc(load->clients, sizeof *s.last_stamps);
    assert_true(s.offsets && s.last_stamps);
    for (uint32_t i = 0; i < load->clients * load->depth; i++) {
        struct flight *f = calloc(1, sizeof *f);
        assert_non_null(f);
        f->op.client = i % load->clients;
        s.offsets[f->op.client] = deviation(&s);
        s.started++;
        go(&s, f, STEP_START, 100000 + below(&s, 200));
    }
    for (struct heap_node *next; (next = heap_first(&s.events));) {
        s.last_ns = next->at;
        heap_remove(&s.events, next);
        advance(&s, (struct flight *)next, s.last_ns);
    }
    read_finally(&s);
    heap_deinit(&s.events);
    free(s.offsets);
    free(s.last_stamps);
}
