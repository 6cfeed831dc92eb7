#include "sim/workload.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/internal.h"
#include "sim/settled.h"

#define CLIENTS_AT_MOST   8u
#define AT_A_TIME         4u /* requests of one client */
#define MORTALS_AT_A_TIME 4u /* the latest keys that are deleted, and then left alone */
#define SET_PREFIX        "set-"
#define SWEEP_US          UINT64_C(4000000) /* at most, between two scans */
#define SWEEP_PAGE        16u               /* keys */

struct user {
    struct workload *workload;
    struct sim_timer timer;
    struct sim_kv *kv;
    uint32_t number;
    uint32_t values; /* given out */
};

/* A scan of all keys of the set, page by page, again and again. */
struct sweep {
    struct workload *workload;
    struct sim_timer timer;
    struct sim_kv *kv;
    bool running;
    struct buf after; /* the key behind which the next page begins, and its token */
    uint64_t after_token;
    uint64_t start_ns;
    bool *seen; /* by key */
    size_t seen_count;
};

/* One that was complete. */
struct swept {
    uint64_t start_ns;
    bool *seen;
    size_t seen_count;
};

/* One request, from its beginning to the end of the run: the record. */
struct deed {
    struct workload *workload;
    struct history_op seen; /* key and value are numbers of `keys` and `values` */
    struct workload_answer *answer;
    struct stamp stamp; /* strict: of the value that was put or got, once that was told; 0: not known */
    bool done;
};

struct workload {
    struct sim *sim;
    uint32_t user_count;
    uint32_t limit;
    uint64_t gap_us; /* between two requests of one client, on average */
    bool on;
    struct user users[CLIENTS_AT_MOST + 1]; /* 0: the scenario's */
    struct deed **ops;
    uint32_t count, cap, begun;
    uint32_t pending;
    uint64_t ok;
    struct history_names keys, values;
    struct loss {
        uint32_t rows;
        bool wiped;
    } * losses; /* by key */
    bool wiped;
    size_t losses_cap;
    uint32_t members; /* of the set */
    uint32_t mortals; /* keys that are to go */
    struct sweep sweep;
    struct swept *swept;
    uint32_t swept_count;
    char unsettled[300]; /* the first; "": none */
};

/* ---- the record ---- */

static struct deed *new_deed(struct workload *w)
{
    if (w->count == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 256;
        w->ops = sim_must(realloc(w->ops, w->cap * sizeof *w->ops));
    }
    struct deed *op = sim_must(calloc(1, sizeof *op));
    op->workload = w;
    w->ops[w->count++] = op;
    return op;
}

static uint32_t number_of(struct workload *w, struct history_names *names, struct bytes text)
{
    uint32_t number;
    KV_ASSERT(history_names_add(names, text, &number) == KV_OK);
    if (names == &w->keys && number >= w->losses_cap) {
        size_t cap = w->losses_cap ? 2 * w->losses_cap : 256;
        w->losses = sim_must(realloc(w->losses, cap * sizeof *w->losses));
        memset(w->losses + w->losses_cap, 0, (cap - w->losses_cap) * sizeof *w->losses);
        w->losses_cap = cap;
    }
    return number;
}

static uint8_t outcome_of(const struct deed *op, const struct kv_result *r)
{
    if (r->status == KV_OK)
        return HISTORY_OK;
    if (op->seen.kind != HISTORY_GET)
        return r->unknown ? HISTORY_UNKNOWN : HISTORY_REFUSED;
    return r->status == KV_E_NOT_FOUND && r->proven ? HISTORY_OK : HISTORY_UNKNOWN;
}

/* ---- what was told, looked up ---- */

static bool is_evidence(const struct workload *w, uint32_t key, bool kept)
{
    const struct loss *l = &w->losses[key];
    return kept ? l->rows + w->wiped <= 1 : l->rows == 0 && !l->wiped;
}

static void look(struct workload *w, const struct deed *op)
{
    struct bytes key = history_names_text(&w->keys, op->seen.key);
    struct settled found;
    if (w->unsettled[0] || stamp_is_zero(op->stamp) || !is_evidence(w, op->seen.key, false) ||
        !settled_broken(w->sim, key, op->stamp, &found))
        return;
    snprintf(
        w->unsettled, sizeof w->unsettled,
        "%.6f: a strict %s of %.*s was told at %.6f, and %u of %u who may answer under epoch %llu have it",
        (double)w->sim->now_us / 1e6, op->seen.kind == HISTORY_PUT ? "put" : "get", (int)key.len,
        (const char *)key.data, (double)op->seen.end_ns / 1e9, found.have, found.homes,
        (unsigned long long)found.epoch);
    sim_say(w->sim, 0, "%s", w->unsettled);
}

/* A row that will expire says nothing later, nor does one that is absent. */
static void look_up(struct workload *w, struct deed *op)
{
    if (!op->seen.strict || op->seen.final || op->seen.outcome != HISTORY_OK ||
        op->seen.value == HISTORY_ABSENT)
        return;
    const struct row *row = settled_row(w->sim, history_names_text(&w->keys, op->seen.key),
                                        history_names_text(&w->values, op->seen.value));
    if (!row || row->expires_hlc)
        return;
    op->stamp = row->stamp;
    look(w, op);
}

void workload_look(struct workload *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        look(w, w->ops[i]);
}

const char *workload_unsettled(const struct workload *w)
{
    return w->unsettled[0] ? w->unsettled : NULL;
}

static const char *const kinds[] = {"get", "put", "del"};

static void tell(struct deed *op, const struct kv_result *r)
{
    struct workload *w = op->workload;
    struct bytes key = history_names_text(&w->keys, op->seen.key);
    struct bytes value =
        op->seen.value == HISTORY_ABSENT ? bytes_str("") : history_names_text(&w->values, op->seen.value);
    sim_say(w->sim, 0,
            "client %u: %s %.*s %.*s%s: %s%s, began at %.6f, asked %u acked %u needed %u hinted %u, %u tries",
            op->seen.client, kinds[op->seen.kind], (int)key.len, (const char *)key.data, (int)value.len,
            (const char *)value.data, op->seen.strict ? " strict" : "", kv_error_word(r->status),
            r->unknown ? " (unknown)" : "", (double)op->seen.start_ns / 1e9, r->asked, r->acked, r->needed,
            r->hinted, r->attempts);
}

static void on_result(const struct kv_result *r, void *arg)
{
    struct deed *op = arg;
    struct workload *w = op->workload;
    op->done = true;
    op->seen.end_ns = w->sim->now_us * 1000;
    op->seen.outcome = outcome_of(op, r);
    if (op->seen.kind == HISTORY_GET && r->status == KV_OK)
        op->seen.value = number_of(w, &w->values, bytes_of(r->value, r->value_len));
    w->pending--;
    w->ok += r->status == KV_OK || r->status == KV_E_NOT_FOUND;
    bool two_rounds = op->seen.strict && op->seen.kind != HISTORY_GET;
    if (r->attempts > (two_rounds ? 2 : 1))
        w->sim->tally.counts[TALLY_RETRY]++;
    sim_note(w->sim, op->seen.key, (uint64_t)(int64_t)r->status);
    if (w->sim->config.log)
        tell(op, r);
    look_up(w, op);
    if (!op->answer)
        return;
    op->answer->done = true;
    op->answer->status = r->status;
    op->answer->unknown = r->unknown;
    op->answer->proven = r->proven;
    buf_clear(&op->answer->value);
    KV_ASSERT(buf_append(&op->answer->value, bytes_of(r->value, r->value_len)) == KV_OK);
    KV_ASSERT(buf_append_byte(&op->answer->value, 0) == KV_OK);
    op->answer->value.len--;
}

static void submit(struct user *u, const struct workload_ask *ask, struct workload_answer *answer)
{
    struct workload *w = u->workload;
    struct deed *op = new_deed(w);
    op->answer = answer;
    op->seen = (struct history_op){
        .start_ns = w->sim->now_us * 1000,
        .ttl_ns = ask->ttl_ms * 1000000,
        .key = number_of(w, &w->keys, bytes_str(ask->key)),
        .value = HISTORY_ABSENT,
        .client = ask->final ? HISTORY_NOBODY : u->number,
        .kind = (uint8_t)ask->kind,
        .strict = ask->strict && !ask->r,
        .final = ask->final,
    };
    if (ask->kind == HISTORY_PUT)
        op->seen.value = number_of(w, &w->values, bytes_str(ask->value));
    struct kv_request request = {
        .r = ask->r,
        .flags = ask->strict ? KV_STRICT : 0,
        .timeout_ms = ask->timeout_ms,
        .ttl_ms = ask->ttl_ms,
    };
    static const enum client_op ops[] = {CLIENT_GET, CLIENT_PUT, CLIENT_DEL};
    struct client_order order = {
        .op = ops[ask->kind],
        .key = bytes_str(ask->key),
        .value = ask->kind == HISTORY_PUT ? bytes_str(ask->value) : (struct bytes){NULL, 0},
        .request = &request,
        .callback.result = on_result,
        .arg = op,
    };
    w->pending++;
    KV_ASSERT(sim_kv_submit(u->kv, &order) == KV_OK);
}

void workload_ask(struct workload *w, const struct workload_ask *ask, struct workload_answer *out)
{
    out->done = false;
    submit(&w->users[0], ask, out);
}

/* ---- what they do ---- */

static void ask_register(struct user *u, const char *kind, uint32_t keys, bool strict_gets, bool strict_puts)
{
    struct sim *s = u->workload->sim;
    char key[32], value[32];
    uint32_t one = (uint32_t)prng_below(&s->prng, keys), other = (uint32_t)prng_below(&s->prng, keys);
    snprintf(key, sizeof key, "%s-%u", kind, one < other ? one : other); /* some are hotter than others */
    snprintf(value, sizeof value, "c%u-%u", u->number, ++u->values);
    uint32_t dice = (uint32_t)prng_below(&s->prng, 20);
    struct workload_ask ask = {.key = key, .value = value};
    ask.kind = dice < 9 ? HISTORY_GET : dice < 18 ? HISTORY_PUT : HISTORY_DEL;
    ask.strict = ask.kind == HISTORY_GET ? strict_gets : strict_puts;
    submit(u, &ask, NULL);
}

static void ask_ttl(struct user *u)
{
    struct sim *s = u->workload->sim;
    char key[32], value[32];
    snprintf(key, sizeof key, "ttl-%u", (unsigned)prng_below(&s->prng, 6));
    snprintf(value, sizeof value, "c%u-%u", u->number, ++u->values);
    struct workload_ask ask = {.key = key, .value = value, .strict = prng_below(&s->prng, 2)};
    ask.kind = prng_below(&s->prng, 5) < 3 ? HISTORY_GET : HISTORY_PUT;
    if (ask.kind == HISTORY_PUT)
        ask.ttl_ms = sim_between(s, 500, 8000);
    submit(u, &ask, NULL);
}

/* A new key, or one of the latest: deleted by anybody, through whatever node, and looked for afterwards. All
 * that is done to an odd one is strict, so that its delete is known to be the later one. */
static void ask_mortal(struct user *u)
{
    struct workload *w = u->workload;
    struct sim *s = w->sim;
    char key[32], value[32];
    uint32_t dice = (uint32_t)prng_below(&s->prng, 10),
             back = (uint32_t)prng_below(&s->prng, MORTALS_AT_A_TIME);
    bool birth = dice < 4 || w->mortals <= back;
    uint32_t number = birth ? ++w->mortals : w->mortals - back;
    snprintf(key, sizeof key, "gone-%u", number);
    snprintf(value, sizeof value, "c%u-%u", u->number, ++u->values);
    struct workload_ask ask = {.key = key, .value = value, .strict = number % 2};
    ask.kind = birth ? HISTORY_PUT : dice < 8 ? HISTORY_DEL : HISTORY_GET;
    submit(u, &ask, NULL);
}

static void ask_member(struct user *u)
{
    struct workload *w = u->workload;
    char key[32], value[32];
    snprintf(key, sizeof key, "set-%u", ++w->members);
    snprintf(value, sizeof value, "c%u-%u", u->number, ++u->values);
    bool strict = w->members % 2;
    submit(u, &(struct workload_ask){.kind = HISTORY_PUT, .key = key, .value = value, .strict = strict},
           NULL);
}

static void fire_user(struct sim *s, struct sim_timer *t)
{
    struct user *u = container_of(t, struct user, timer);
    struct workload *w = u->workload;
    if (!w->on || w->begun >= w->limit)
        return;
    sim_schedule(s, t, s->now_us + sim_between(s, 0, 2 * w->gap_us));
    if (sim_kv_pending(u->kv) >= AT_A_TIME)
        return;
    w->begun++;
    uint32_t dice = (uint32_t)prng_below(&s->prng, 24);
    if (dice < 8)
        ask_register(u, "reg", 4, true, true);
    else if (dice < 12)
        ask_register(u, "any", 6, false, false);
    else if (dice < 14)
        ask_register(u, "mix", 4, prng_below(&s->prng, 2), false);
    else if (dice < 17)
        ask_ttl(u);
    else if (dice < 20)
        ask_member(u);
    else
        ask_mortal(u);
}

/* ---- scans ---- */

static void sweep_end(struct sweep *v, bool complete)
{
    struct workload *w = v->workload;
    v->running = false;
    if (!complete) {
        free(v->seen);
    } else {
        w->swept = sim_must(realloc(w->swept, (w->swept_count + 1) * sizeof *w->swept));
        w->swept[w->swept_count++] =
            (struct swept){.start_ns = v->start_ns, .seen = v->seen, .seen_count = v->seen_count};
    }
    v->seen = NULL;
    v->seen_count = 0;
}

static void on_page(const struct kv_scan_page *page, void *arg)
{
    struct sweep *v = arg;
    struct workload *w = v->workload;
    w->pending--;
    for (uint32_t i = 0; i < page->count; i++) {
        struct bytes key = bytes_of(page->entries[i].key, page->entries[i].key_len);
        uint32_t number = history_names_find(&w->keys, key);
        if (number < v->seen_count)
            v->seen[number] = true; /* those that came later are not looked for */
    }
    bool complete = page->status == KV_OK && page->complete;
    v->after_token = page->next.token;
    buf_clear(&v->after);
    KV_ASSERT(buf_append(&v->after, bytes_of(page->next.key, page->next.key_len)) == KV_OK);
    sim_note(w->sim, page->count, (uint64_t)(int64_t)page->status);
    if (!complete || page->done)
        sweep_end(v, complete);
    uint64_t pause_us = v->running ? 1 : sim_between(w->sim, 0, SWEEP_US);
    sim_schedule(w->sim, &v->timer, w->sim->now_us + pause_us);
}

static void sweep_begin(struct sweep *v)
{
    struct workload *w = v->workload;
    v->running = true;
    v->start_ns = w->sim->now_us * 1000;
    v->after_token = 0;
    buf_clear(&v->after);
    v->seen_count = w->keys.count;
    v->seen = sim_must(calloc(v->seen_count + 1, sizeof *v->seen));
}

static void fire_sweep(struct sim *s, struct sim_timer *t)
{
    struct sweep *v = container_of(t, struct sweep, timer);
    (void)s;
    if (!v->workload->on && !v->running)
        return;
    if (!v->running)
        sweep_begin(v);
    struct kv_request request = {.flags = KV_STRICT};
    struct client_order order = {
        .op = CLIENT_SCAN,
        .key = bytes_str(SET_PREFIX),
        .after = {.token = v->after_token, .key = v->after.data, .key_len = v->after.len},
        .limit = SWEEP_PAGE,
        .request = &request,
        .callback.scan = on_page,
        .arg = v,
    };
    v->workload->pending++;
    KV_ASSERT(sim_kv_submit(v->kv, &order) == KV_OK);
}

/* A scan, in terms of the history's keys. */
static uint64_t judge_scan(const struct workload *w, const struct history *h, const struct swept *v,
                           uint32_t *missed)
{
    bool *seen = sim_must(calloc(h->keys.count + 1, sizeof *seen));
    for (uint32_t k = 0; k < h->keys.count; k++) {
        uint32_t key = history_names_find(&w->keys, history_names_text(&h->keys, k));
        seen[k] = key < v->seen_count && v->seen[key];
    }
    struct history_scan scan = {.start_ns = v->start_ns, .prefix = bytes_str(SET_PREFIX), .seen = seen};
    uint64_t judged = check_scanned(h, &scan, missed);
    free(seen);
    return judged;
}

uint64_t workload_scans(const struct workload *w, struct bytes *missed, uint64_t *start_ns)
{
    struct history h;
    uint64_t judged = 0;
    uint32_t key = HISTORY_NO_NAME;
    workload_history(w, false, &h);
    for (uint32_t i = 0; i < w->swept_count && key == HISTORY_NO_NAME; i++) {
        *start_ns = w->swept[i].start_ns;
        judged += judge_scan(w, &h, &w->swept[i], &key);
    }
    *missed = (struct bytes){NULL, 0};
    if (key != HISTORY_NO_NAME) /* as this knows it: the history does not live on */
        *missed =
            history_names_text(&w->keys, history_names_find(&w->keys, history_names_text(&h.keys, key)));
    history_deinit(&h);
    return judged;
}

/* ---- its life ---- */

struct workload *workload_create(struct sim *s, uint32_t clients, uint32_t ops, uint64_t us)
{
    struct workload *w = sim_must(calloc(1, sizeof *w));
    KV_ASSERT(clients <= CLIENTS_AT_MOST);
    w->sim = s;
    w->user_count = clients;
    w->limit = ops;
    w->gap_us = ops ? us * (clients ? clients : 1) / ops : us;
    for (uint32_t i = 0; i <= clients; i++) {
        w->users[i] = (struct user){.workload = w, .number = i, .kv = sim_kv_create(s)};
        w->users[i].timer = (struct sim_timer){.fire = fire_user, .embedded = true};
    }
    w->sweep = (struct sweep){.workload = w, .kv = sim_kv_create(s)};
    w->sweep.timer = (struct sim_timer){.fire = fire_sweep, .embedded = true};
    return w;
}

void workload_destroy(struct workload *w)
{
    if (!w)
        return;
    for (uint32_t i = 0; i <= w->user_count; i++) {
        sim_cancel(w->sim, &w->users[i].timer);
        sim_kv_destroy(w->users[i].kv);
    }
    sim_cancel(w->sim, &w->sweep.timer);
    sim_kv_destroy(w->sweep.kv);
    free(w->sweep.seen);
    buf_deinit(&w->sweep.after);
    for (uint32_t i = 0; i < w->swept_count; i++)
        free(w->swept[i].seen);
    free(w->swept);
    for (uint32_t i = 0; i < w->count; i++)
        free(w->ops[i]);
    free(w->ops);
    free(w->losses);
    history_names_deinit(&w->keys);
    history_names_deinit(&w->values);
    free(w);
}

void workload_begin(struct workload *w)
{
    w->on = true;
    for (uint32_t i = 1; i <= w->user_count; i++)
        sim_schedule(w->sim, &w->users[i].timer, w->sim->now_us + sim_between(w->sim, 0, w->gap_us));
    if (w->user_count && w->limit)
        sim_schedule(w->sim, &w->sweep.timer, w->sim->now_us + sim_between(w->sim, 0, SWEEP_US));
}

void workload_end(struct workload *w)
{
    w->on = false;
}

uint32_t workload_pending(const struct workload *w)
{
    return w->pending;
}

uint32_t workload_keys(const struct workload *w)
{
    return (uint32_t)w->keys.count;
}

struct bytes workload_key(const struct workload *w, uint32_t number)
{
    return history_names_text(&w->keys, number);
}

void workload_lost(struct workload *w, struct bytes key, bool wiped)
{
    uint32_t number = history_names_find(&w->keys, key);
    w->wiped = w->wiped || wiped;
    if (number == HISTORY_NO_NAME)
        return;
    if (wiped)
        w->losses[number].wiped = true;
    else
        w->losses[number].rows++;
}

bool workload_whole(const struct workload *w, struct bytes key)
{
    uint32_t number = history_names_find(&w->keys, key);
    return number != HISTORY_NO_NAME && is_evidence(w, number, false);
}

bool workload_acked(const struct workload *w, uint32_t key, struct bytes value)
{
    uint32_t number = history_names_find(&w->values, value);
    for (uint32_t i = 0; number != HISTORY_NO_NAME && i < w->count; i++) {
        const struct deed *op = w->ops[i];
        if (op->seen.kind == HISTORY_PUT && op->seen.value == number && op->seen.key == key)
            return op->done && op->seen.outcome == HISTORY_OK && is_evidence(w, key, false);
    }
    return false;
}

uint64_t workload_ok(const struct workload *w)
{
    return w->ok;
}

uint64_t workload_done(const struct workload *w)
{
    return w->count - w->pending;
}

/* A request that has not ended is one that may still have any effect. */
void workload_history(const struct workload *w, bool kept, struct history *out)
{
    history_init(out, (size_t)w->count + 1);
    for (uint32_t i = 0; i < w->count; i++) {
        struct history_op op = w->ops[i]->seen;
        if (!is_evidence(w, op.key, kept))
            continue;
        if (!w->ops[i]->done) {
            op.outcome = HISTORY_UNKNOWN;
            op.end_ns = w->sim->now_us * 1000;
        }
        KV_ASSERT(history_key(out, history_names_text(&w->keys, op.key), &op.key) == KV_OK);
        if (op.value != HISTORY_ABSENT)
            KV_ASSERT(history_value(out, history_names_text(&w->values, op.value), &op.value) == KV_OK);
        KV_ASSERT(history_append(out, &op) == KV_OK);
    }
    KV_ASSERT(history_sort(out) == KV_OK);
}
