/* kvbench names: a table of names that changes all the time, as DNS is. Each name is changed through one
 * node, drawn at random, at a fixed rate; when that is acknowledged, every node is asked for it,
 * again and again, until all have answered with the new value. Times count from when the change was due.
 *
 * "Through a node" is --via, when nodes take requests: where a centre does, all go there (--any-node), and
 * what is asked is what a client beside that node would be told. */
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "cmd/kvbench.h"
#include "cmd/common_stop.h"

#define NAMES_NODES_MAX   128u
#define NAMES_DEFAULT     10000u
#define NAMES_RATE        1000.0
#define NAMES_TIMEOUT_MS  2000u /* of one request, and for a name to be known everywhere */
#define NAMES_VALUE_BYTES 24u

struct names {
    const struct bench_options *o;
    uv_loop_t loop;
    uv_timer_t clock;
    struct stop stop;
    struct prng prng;
    struct kv *node[NAMES_NODES_MAX];
    char text[NAMES_NODES_MAX][64]; /* their addresses */
    uint32_t node_count;
    uint64_t begun_ns, started, over, limit;
    double rate;
    uint64_t late;
    struct bench_tally puts;
    struct histogram *put, *known; /* us from when it was due: acknowledged, known at every node */
};

struct change {
    struct names *names;
    uint64_t number, due_ns;
    uint32_t waits; /* nodes that have not answered with it yet */
    bool lost;      /* given up */
    char key[64], value[NAMES_VALUE_BYTES];
};

/* One node asked for one name. */
struct asking {
    struct change *change;
    uint32_t node;
};

static uint64_t us_since(uint64_t ns)
{
    return (uv_hrtime() - ns) / 1000;
}

static void names_close(struct names *n)
{
    uv_close((uv_handle_t *)&n->clock, NULL);
    stop_unwatch(&n->stop);
    for (uint32_t i = 0; i < n->node_count; i++)
        kv_close(n->node[i], NULL, NULL);
}

static void change_over(struct change *c)
{
    struct names *n = c->names;
    if (c->lost)
        n->late++;
    else
        histogram_record(n->known, us_since(c->due_ns));
    free(c);
    if (++n->over == n->limit)
        names_close(n);
}

static void ask(struct asking *a);

static void on_answer(const struct kv_result *r, void *arg)
{
    struct asking *a = arg;
    struct change *c = a->change;
    bool known = r->status == KV_OK && r->value_len == strlen(c->value) &&
                 memcmp(r->value, c->value, r->value_len) == 0;
    bool late = us_since(c->due_ns) > (uint64_t)NAMES_TIMEOUT_MS * 1000;
    if (!known && !late) {
        ask(a);
        return;
    }
    free(a);
    c->lost = c->lost || !known;
    if (--c->waits == 0)
        change_over(c);
}

static void ask(struct asking *a)
{
    struct change *c = a->change;
    struct kv_request request = {.r = c->names->o->r, .timeout_ms = NAMES_TIMEOUT_MS};
    int rc = kv_get(c->names->node[a->node], c->key, strlen(c->key), &request, on_answer, a);
    if (rc != KV_OK)
        on_answer(&(struct kv_result){.status = KV_E_TIMEOUT}, a);
}

static void ask_all(struct change *c)
{
    c->waits = c->names->node_count;
    for (uint32_t i = 0, n = c->waits; i < n; i++) {
        struct asking *a = malloc(sizeof *a);
        if (!a)
            abort(); /* a bench has no use for half a figure */
        *a = (struct asking){c, i};
        ask(a);
    }
}

static void on_changed(const struct kv_result *r, void *arg)
{
    struct change *c = arg;
    struct names *n = c->names;
    bench_tally_add(&n->puts, bench_status_of(r->status), 1, bytes_str(r->message));
    if (r->status == KV_OK) {
        histogram_record(n->put, us_since(c->due_ns));
        ask_all(c);
        return;
    }
    free(c);
    if (++n->over == n->limit)
        names_close(n);
}

static void change_one(struct names *n, uint64_t due_ns)
{
    struct change *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    *c = (struct change){.names = n, .number = n->started++, .due_ns = due_ns};
    snprintf(c->key, sizeof c->key, "%s%llu", n->o->key_prefix, (unsigned long long)c->number);
    snprintf(c->value, sizeof c->value, "%llx", (unsigned long long)prng_u64(&n->prng));
    struct kv_request request = {.timeout_ms = NAMES_TIMEOUT_MS};
    struct kv *through = n->node[prng_below(&n->prng, n->node_count)];
    int rc = kv_put(through, c->key, strlen(c->key), c->value, strlen(c->value), &request, on_changed, c);
    if (rc != KV_OK)
        on_changed(&(struct kv_result){.status = rc, .message = kv_error_text(rc)}, c);
}

static void on_clock(uv_timer_t *timer)
{
    struct names *n = timer->data;
    uint64_t now = uv_hrtime();
    while (n->started < n->limit) {
        uint64_t due = n->begun_ns + (uint64_t)((double)n->started / n->rate * 1e9);
        if (due > now)
            return;
        change_one(n, due);
    }
    uv_timer_stop(timer);
}

/* What has begun ends by itself, in NAMES_TIMEOUT_MS. */
static void on_stop(int times, void *arg)
{
    struct names *n = arg;
    if (times > 1)
        return;
    n->limit = n->started;
    if (n->over == n->limit)
        names_close(n);
}

/* A handle for each node of the list. */
static int open_nodes(struct names *n)
{
    const char *list = n->o->nodes ? n->o->nodes : KV_NODES_DEFAULT;
    for (const char *at = list; at && n->node_count < NAMES_NODES_MAX;) {
        const char *comma = strchr(at, ',');
        char *text = n->text[n->node_count];
        snprintf(text, sizeof n->text[0], "%.*s", (int)(comma ? comma - at : (long)strlen(at)), at);
        struct kv_options options = {.nodes = list, .via = n->o->any_node ? NULL : text};
        int rc = kv_open(&n->loop, &options, &n->node[n->node_count]);
        if (rc != KV_OK)
            return rc;
        n->node_count++;
        at = comma ? comma + 1 : NULL;
    }
    return KV_OK;
}

static void report(const struct names *n)
{
    const struct histogram *h[] = {n->put, n->known};
    static const char *const WORDS[] = {"acknowledged", "known"};
    printf("{\"names\":%llu,\"nodes\":%u,\"rate\":%.0f,\"refused\":%llu,\"late\":%llu",
           (unsigned long long)n->limit, n->node_count, n->rate,
           (unsigned long long)bench_tally_failed(&n->puts), (unsigned long long)n->late);
    for (int i = 0; i < 2; i++)
        printf(",\"%s\":{\"count\":%llu,\"p50_us\":%llu,\"p99_us\":%llu,\"max_us\":%llu}", WORDS[i],
               (unsigned long long)h[i]->count, (unsigned long long)histogram_quantile(h[i], 0.5),
               (unsigned long long)histogram_quantile(h[i], 0.99), (unsigned long long)h[i]->max);
    printf("}\n");
}

int bench_names(const struct bench_options *o)
{
    static struct histogram put, known; /* large */
    static struct names n;
    n = (struct names){.o = o,
                       .limit = o->ops ? o->ops : NAMES_DEFAULT,
                       .rate = o->rate > 0 ? o->rate : NAMES_RATE,
                       .put = &put,
                       .known = &known};
    prng_init(&n.prng, o->seed ^ uv_hrtime()); /* values differ from run to run */
    uv_loop_init(&n.loop);
    stop_hold();
    int rc = open_nodes(&n);
    if (rc == KV_OK && stop_watch(&n.stop, &n.loop, on_stop, &n) != 0)
        rc = KV_E_IO;
    if (rc != KV_OK) {
        fprintf(stderr, "kvbench: %s: %s\n", o->nodes ? o->nodes : "", kv_error_text(rc));
        return 2;
    }
    uv_timer_init(&n.loop, &n.clock);
    n.clock.data = &n;
    n.begun_ns = uv_hrtime();
    uv_timer_start(&n.clock, on_clock, 0, 1);
    uv_run(&n.loop, UV_RUN_DEFAULT);
    uv_loop_close(&n.loop);
    report(&n);
    rc = bench_verdict("names", &n.puts);
    fflush(stdout);
    stop_release();
    return rc;
}
