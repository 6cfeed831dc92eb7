/* kvbench check: recorded histories, and what the store holds now, held against what the store promises. What
 * is looked for is in sim/check_history.h; here are the files, the reading of the final values, and the
 * words. */
#include <stdlib.h>
#include <string.h>

#include "cmd/common_file.h"
#include "cmd/common_lines.h"
#include "cmd/kvbench.h"
#include "cmd/kvbench_history.h"
#include "sim/check_history.h"

#define CHECK_WINDOW     256u
#define CHECK_OPS_MAX    100000000u
#define CHECK_TIMEOUT_MS 5000u
#define NO_FINAL         UINT32_MAX
#define EXPIRY_SLACK_MS  1000u /* clocks, and the time until a node looks */

/* What a key holds in the end. */
struct final {
    bool put;       /* somebody put it: it must be looked at */
    bool read;      /* the store has said what it holds */
    uint32_t value; /* HISTORY_ABSENT: nothing */
};

struct check {
    const struct bench_options *o;
    struct history history;
    uint32_t file;    /* the one that is read, from 0 */
    uint64_t last_ns; /* the latest end */
    uint64_t put_count, acked_count, key_count;
    struct final *finals; /* by key */
    /* Asking the store. */
    struct kv *kv;
    uint32_t next_key, in_flight;
    uint64_t unread;
    int rc;
};

/* ---- the histories ---- */

static int on_line(const struct history_line *l, void *arg)
{
    struct check *c = arg;
    struct history_op op;
    int rc = history_enter(&c->history, l, c->file, &op);
    c->put_count += l->op == HISTORY_PUT;
    c->acked_count += l->op == HISTORY_PUT && op.outcome == HISTORY_OK;
    c->last_ns = l->end_ns > c->last_ns ? l->end_ns : c->last_ns;
    return rc;
}

static int read_histories(struct check *c)
{
    int rc = KV_OK;
    for (int i = 1; i < c->o->file_count && rc == KV_OK; i++) {
        c->file = (uint32_t)i - 1;
        rc = history_read_file(c->o->files[i], on_line, c);
    }
    if (rc != KV_OK)
        return rc;
    c->finals = calloc(c->history.keys.count + 1, sizeof *c->finals);
    if (!c->finals)
        return KV_E_NO_MEMORY;
    for (size_t i = 0; i < c->history.count; i++)
        if (c->history.ops[i].kind == HISTORY_PUT)
            c->finals[c->history.ops[i].key].put = true;
    for (size_t k = 0; k < c->history.keys.count; k++)
        c->key_count += c->finals[k].put;
    return KV_OK;
}

/* ---- what the store holds now ---- */

static int set_final(struct check *c, uint32_t key, const void *value, size_t len)
{
    char tag[HISTORY_TAG_MAX];
    c->finals[key].read = true;
    return history_value(&c->history, bytes_str(history_tag(value, len, tag)), &c->finals[key].value);
}

static void read_more(struct check *c);

struct reading {
    struct check *check;
    uint32_t key;
};

static void not_read(struct check *c, uint32_t key, int status, const char *message)
{
    struct bytes name = history_names_text(&c->history.keys, key);
    if (c->unread++ < CHECK_SHOWN_MAX)
        fprintf(stderr, "kvbench: cannot read %.*s: %s\n", (int)name.len, (const char *)name.data, message);
    c->rc = status;
}

static void on_get(const struct kv_result *r, void *arg)
{
    struct reading reading = *(struct reading *)arg;
    struct check *c = reading.check;
    free(arg);
    c->in_flight--;
    int rc = r->status;
    if (rc == KV_OK)
        rc = set_final(c, reading.key, r->value, r->value_len);
    else if (rc == KV_E_NOT_FOUND)
        c->finals[reading.key] = (struct final){true, true, HISTORY_ABSENT};
    if (rc != KV_OK && rc != KV_E_NOT_FOUND)
        not_read(c, reading.key, rc, r->status == rc ? r->message : kv_error_text(rc));
    read_more(c);
}

static int read_one(struct check *c, uint32_t key)
{
    struct kv_request request = {.r = c->o->r,
                                 .flags = c->o->strict ? (uint32_t)KV_STRICT : 0,
                                 .timeout_ms = c->o->timeout_ms ? c->o->timeout_ms : CHECK_TIMEOUT_MS};
    struct bytes name = history_names_text(&c->history.keys, key);
    struct reading *reading = malloc(sizeof *reading);
    if (!reading)
        return KV_E_NO_MEMORY;
    *reading = (struct reading){c, key};
    int rc = kv_get(c->kv, name.data, name.len, &request, on_get, reading);
    if (rc == KV_OK)
        c->in_flight++;
    else
        free(reading);
    return rc;
}

static void read_more(struct check *c)
{
    while (c->next_key < c->history.keys.count && c->in_flight < CHECK_WINDOW) {
        uint32_t key = c->next_key++;
        int rc = c->finals[key].put ? read_one(c, key) : KV_OK;
        if (rc != KV_OK)
            not_read(c, key, rc, kv_error_text(rc));
    }
}

static int read_live(struct check *c)
{
    struct kv_options options = {.nodes = c->o->nodes};
    int rc = kv_connect(&options, &c->kv);
    if (rc != KV_OK)
        return rc;
    read_more(c);
    while (c->in_flight)
        kv_wait(c->kv);
    kv_disconnect(c->kv);
    return c->rc;
}

static int read_dump(struct check *c)
{
    FILE *f = file_open(c->o->final);
    if (!f) {
        fprintf(stderr, "kvbench: cannot read %s: %m\n", c->o->final);
        return KV_E_IO;
    }
    for (size_t k = 0; k < c->history.keys.count; k++)
        c->finals[k] = (struct final){c->finals[k].put, true, HISTORY_ABSENT};
    struct lines l;
    lines_init(&l, f);
    int rc;
    while ((rc = lines_next(&l)) == 1) {
        uint32_t key = history_names_find(&c->history.keys, buf_bytes(&l.key));
        if (key != HISTORY_NO_NAME && (rc = set_final(c, key, l.value.data, l.value.len)) != KV_OK)
            break;
    }
    if (rc == KV_E_MALFORMED)
        fprintf(stderr, "kvbench: %s:%llu is no line of a dump\n", c->o->final, (unsigned long long)l.number);
    lines_deinit(&l);
    fclose(f);
    return rc;
}

/* Enters what was read as gets after everything else. */
static int enter_finals(struct check *c)
{
    int rc = KV_OK;
    for (uint32_t k = 0; k < c->history.keys.count && rc == KV_OK; k++) {
        struct history_op op = {.kind = HISTORY_GET,
                                .client = HISTORY_NOBODY,
                                .final = true,
                                .start_ns = c->last_ns + 1,
                                .end_ns = c->last_ns + 1,
                                .key = k,
                                .value = c->finals[k].value};
        if (c->finals[k].put && c->finals[k].read)
            rc = history_append(&c->history, &op);
    }
    return rc;
}

static int read_finals(struct check *c)
{
    if (c->o->no_final || c->key_count == 0)
        return KV_OK;
    int rc = c->o->final ? read_dump(c) : read_live(c);
    if (rc != KV_OK)
        fprintf(stderr, "kvbench: the final values could not all be read: %s; --no-final does without them\n",
                kv_error_text(rc));
    int entered = enter_finals(c);
    return rc != KV_OK ? rc : entered;
}

/* ---- the verdict ---- */

static int tell(const struct check *c, const char *name, const struct check_report *r)
{
    struct buf text = {0};
    int rc = KV_OK;
    for (uint32_t i = 0; i < r->shown_count && rc == KV_OK; i++) {
        buf_clear(&text);
        rc = check_text(&c->history, &r->shown[i], &text);
        if (rc == KV_OK)
            printf("%s: %.*s", name, (int)text.len, (const char *)text.data);
    }
    if (r->found > r->shown_count)
        printf("%s: and %llu more\n", name, (unsigned long long)(r->found - r->shown_count));
    buf_deinit(&text);
    return rc;
}

static void sum_up(const struct check *c, const struct check_report *lost, const struct check_report *own,
                   const struct check_report *linear, const struct check_report *absent)
{
    printf("own: %llu strict gets of what their client knew: %llu too old\n", (unsigned long long)own->judged,
           (unsigned long long)own->found);
    printf("linear: %llu all-strict keys: %llu contradictions\n", (unsigned long long)linear->judged,
           (unsigned long long)linear->found);
    printf("absent: %llu values read: %llu back from the dead\n", (unsigned long long)absent->judged,
           (unsigned long long)absent->found);
    if (linear->skipped)
        printf("%llu keys not judged: a value was put on them twice\n", (unsigned long long)linear->skipped);
    printf("%llu keys, %llu puts, %llu acknowledged", (unsigned long long)c->key_count,
           (unsigned long long)c->put_count, (unsigned long long)c->acked_count);
    if (c->o->no_final)
        printf("; what the store holds was not looked at\n");
    else if (c->unread)
        printf("; %llu could not be read, of the others %llu lost\n", (unsigned long long)c->unread,
               (unsigned long long)lost->found);
    else
        printf(": %llu lost\n", (unsigned long long)lost->found);
}

/* KV_OK or negative; `*found` is set when a promise was broken. */
static int judge(struct check *c, bool *found)
{
    static struct check_report lost, own, linear, absent; /* large */
    const struct check_options options = {
        .skew_ns = (uint64_t)c->o->skew_ms * 1000000,
        .expiry_slack_ns = (uint64_t)EXPIRY_SLACK_MS * 1000000,
    };
    const struct {
        const char *name;
        int (*check)(const struct history *h, const struct check_options *o, struct check_report *out);
        struct check_report *report;
    } CHECKS[] = {{"lost", check_durable, &lost},
                  {"own", check_own, &own},
                  {"linear", check_linear, &linear},
                  {"absent", check_absent, &absent}};
    int rc = history_sort(&c->history);
    for (size_t i = 0; i < sizeof CHECKS / sizeof *CHECKS && rc == KV_OK; i++) {
        rc = CHECKS[i].check(&c->history, &options, CHECKS[i].report);
        if (rc == KV_OK)
            rc = tell(c, CHECKS[i].name, CHECKS[i].report);
        *found = *found || CHECKS[i].report->found;
    }
    if (rc == KV_OK)
        sum_up(c, &lost, &own, &linear, &absent);
    else
        fprintf(stderr, "kvbench: %s\n", kv_error_text(rc));
    return rc;
}

int bench_check(const struct bench_options *o)
{
    struct check c = {.o = o};
    bool found = false;
    history_init(&c.history, CHECK_OPS_MAX);
    int rc = read_histories(&c);
    if (rc == KV_OK) {
        rc = read_finals(&c);
        int judged = judge(&c, &found);
        rc = rc != KV_OK ? rc : judged;
    }
    free(c.finals);
    history_deinit(&c.history);
    return found ? 1 : rc == KV_OK ? 0 : rc == KV_E_NO_NODE ? 7 : 2;
}
