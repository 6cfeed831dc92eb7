/* status, ring, where, stats: looking at the cluster. */
#include <inttypes.h>
#include <string.h>

#include "cmd/common_human.h"
#include "cmd/kvcli.h"

/* A callback's answer on its way to the command: printed there and then, since it is borrowed. */
struct view {
    struct cli *cli;
    int exit;
};

static json_t *member_json(const struct kv_member *m, bool with_state)
{
    char id[24];
    snprintf(id, sizeof id, "%u", m->id);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s}", "name", m->name, "id", id, "addr", m->address, "zone", m->zone);
    if (with_state)
        json_object_set_new(o, "state", json_string(cli_state_word(m->state)));
    json_object_set_new(o, "ring", json_string(cli_ring_word(m)));
    json_object_set_new(o, "partitions", json_integer(m->partitions));
    json_object_set_new(o, "share", json_real(m->share));
    json_object_set_new(o, "weight", json_integer(m->weight));
    if (m->partitions_total)
        json_object_update_new(o, json_pack("{s:i, s:i, s:I}", "partitions_done", (int)m->partitions_done,
                                            "partitions_total", (int)m->partitions_total, "moved_bytes",
                                            (json_int_t)m->moved_bytes));
    return o;
}

static json_t *names_json(const char *const *names, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(names[i]));
    return list;
}

static json_t *hash_json(uint64_t hash)
{
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return json_string(text);
}

/* What is asked for, and how far the first of it is. */
static void print_change(const struct kv_status *s)
{
    if (s->phase != KV_STABLE)
        printf("the ring changes (%s): %s\n", cli_phase_word(s->phase), s->queue_count ? s->queue[0] : "?");
    for (uint32_t i = s->phase != KV_STABLE; i < s->queue_count; i++)
        printf("waits: %s\n", s->queue[i]);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct kv_member *m = &s->members[i];
        char bytes[HUMAN_MAX];
        if (m->partitions_total)
            printf("%s has taken over %u of %u partitions, %s\n", m->name, m->partitions_done,
                   m->partitions_total, human_bytes((double)m->moved_bytes, bytes));
    }
}

static void print_status(const struct kv_status *s)
{
    printf("cluster %s, seen by %s", s->cluster, s->seen_by);
    if (*s->hub)
        printf("; topology %s, its hub is %s", s->topology, s->hub);
    printf("\n");
    printf("%-8s %-22s %-10s %-8s %-8s %10s %7s %9s\n", "node", "address", "zone", "state", "ring",
           "partitions", "share", "rtt us");
    for (uint32_t i = 0; i < s->count; i++) {
        const struct kv_member *m = &s->members[i];
        printf("%-8s %-22s %-10s %-8s %-8s %10u %6.1f%% ", m->name, m->address, *m->zone ? m->zone : "-",
               cli_state_word(m->state), cli_ring_word(m), m->partitions, 100 * m->share);
        if (m->rtt_us)
            printf("%9u\n", m->rtt_us);
        else
            printf("%9s\n", "-");
    }
    print_change(s);
}

static void on_status(const struct kv_status *s, void *arg)
{
    struct view *v = arg;
    if (s->status != KV_OK) {
        v->exit = cli_fail_status(v->cli, s->status, s->message);
    } else if (v->cli->json) {
        json_t *list = json_array();
        for (uint32_t i = 0; i < s->count; i++)
            json_array_append_new(list, member_json(&s->members[i], true));
        json_print(json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:s, s:o}", "cluster", s->cluster,
                             "seen_by", s->seen_by, "topology", s->topology, "hub", s->hub, "ring_hash",
                             hash_json(s->ring_hash), "members", list, "epoch", (json_int_t)s->epoch, "phase",
                             cli_phase_word(s->phase), "queue", names_json(s->queue, s->queue_count)));
    } else if (v->cli->given & OPT_TSV) {
        for (uint32_t i = 0; i < s->count; i++) {
            const struct kv_member *m = &s->members[i];
            printf("%s\t%u\t%s\t%s\t%s\t%s\t%u\t%.4f\t%u\t%u\t%" PRIu64 "\n", m->name, m->id, m->address,
                   m->zone, cli_state_word(m->state), cli_ring_word(m), m->partitions, m->share,
                   m->partitions_done, m->partitions_total, m->moved_bytes);
        }
    } else {
        print_status(s);
    }
}

static void on_ring(const struct kv_ring *r, void *arg)
{
    struct view *v = arg;
    if (r->status != KV_OK) {
        v->exit = cli_fail_status(v->cli, r->status, r->message);
        return;
    }
    if (v->cli->json) {
        json_t *list = json_array();
        for (uint32_t i = 0; i < r->count; i++)
            json_array_append_new(list, member_json(&r->members[i], false));
        json_print(json_pack("{s:o, s:I, s:i, s:i, s:f, s:o}", "ring_hash", hash_json(r->ring_hash), "epoch",
                             (json_int_t)r->epoch, "partitions", (int)r->partitions, "replicas",
                             (int)r->replicas, "max_over_mean", r->max_over_mean, "members", list));
        return;
    }
    bool tsv = v->cli->given & OPT_TSV;
    if (!tsv) {
        printf("ring %016" PRIx64 ", epoch %" PRIu64
               ": %u partitions, %u replicas; busiest member %.2f of the mean\n",
               r->ring_hash, r->epoch, r->partitions, r->replicas, r->max_over_mean);
        printf("%-8s %-22s %6s %10s %7s\n", "node", "address", "weight", "partitions", "share");
    }
    for (uint32_t i = 0; i < r->count; i++) {
        const struct kv_member *m = &r->members[i];
        if (tsv)
            printf("%s\t%u\t%s\t%u\t%u\t%.4f\n", m->name, m->id, m->address, m->weight, m->partitions,
                   m->share);
        else
            printf("%-8s %-22s %6u %10u %6.1f%%\n", m->name, m->address, m->weight, m->partitions,
                   100 * m->share);
    }
}

static void print_names(const char *title, const char *const *names, uint32_t count)
{
    printf("%-10s", title);
    for (uint32_t i = 0; i < count; i++)
        printf(" %s", names[i]);
    putchar('\n');
}

static json_t *moves_json(const struct kv_where *w)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < w->move_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "from", w->moves[i].from, "to", w->moves[i].to));
    return list;
}

static void print_moves(const struct kv_where *w)
{
    for (uint32_t i = 0; i < w->move_count; i++) {
        const struct kv_move *m = &w->moves[i];
        if (*m->from && *m->to)
            printf("%-10s from %s to %s\n", "moving", m->from, m->to);
        else
            printf("%-10s %s %s\n", "moving", *m->to ? "to" : "away from", *m->to ? m->to : m->from);
    }
}

static void on_where(const struct kv_where *w, void *arg)
{
    struct view *v = arg;
    const char *key = v->cli->argv[1];
    if (w->status != KV_OK) {
        v->exit = cli_fail_status(v->cli, w->status, w->message);
    } else if (v->cli->json) {
        json_print(json_pack("{s:o, s:o, s:i, s:o, s:o, s:o}", "key", json_bytes(key, strlen(key)), "token",
                             hash_json(w->token), "partition", (int)w->partition, "homes",
                             names_json(w->homes, w->home_count), "fallbacks",
                             names_json(w->fallbacks, w->fallback_count), "moving", moves_json(w)));
    } else {
        printf("%-10s %016" PRIx64 "\n%-10s %u\n", "token", w->token, "partition", w->partition);
        print_names("homes", w->homes, w->home_count);
        print_names("fallbacks", w->fallbacks, w->fallback_count);
        print_moves(w);
    }
}

static void on_stats(const struct kv_stats *s, void *arg)
{
    struct view *v = arg;
    if (s->status != KV_OK) {
        v->exit = cli_fail_status(v->cli, s->status, s->message);
        return;
    }
    if (v->cli->json) {
        json_t *o = json_pack("{s:s}", "node", s->node);
        for (uint32_t i = 0; i < s->count; i++)
            json_object_set_new(o, s->stats[i].name, json_integer((json_int_t)s->stats[i].value));
        json_print(o);
        return;
    }
    bool tsv = v->cli->given & OPT_TSV;
    if (!tsv)
        printf("counters of %s\n", s->node);
    for (uint32_t i = 0; i < s->count; i++)
        printf(tsv ? "%s\t%" PRIu64 "\n" : "%-28s %16" PRIu64 "\n", s->stats[i].name, s->stats[i].value);
}

/* Sends off, waits, and gives the exit status. */
static int finish(struct view *v, struct kv *kv, int rc)
{
    if (rc != KV_OK)
        return cli_fail_status(v->cli, rc, kv_error_text(rc));
    kv_wait(kv);
    return v->exit;
}

int cmd_status(struct cli *cli)
{
    struct view v = {cli, EXIT_OK};
    struct kv *kv = cli_kv(cli);
    struct kv_request request = cli_request(cli);
    return kv ? finish(&v, kv, kv_status(kv, &request, on_status, &v)) : EXIT_USAGE;
}

int cmd_ring(struct cli *cli)
{
    struct view v = {cli, EXIT_OK};
    struct kv *kv = cli_kv(cli);
    struct kv_request request = cli_request(cli);
    return kv ? finish(&v, kv, kv_ring(kv, &request, on_ring, &v)) : EXIT_USAGE;
}

int cmd_where(struct cli *cli)
{
    struct view v = {cli, EXIT_OK};
    struct kv *kv = cli_kv(cli);
    struct kv_request request = cli_request(cli);
    const char *key = cli->argv[1];
    return kv ? finish(&v, kv, kv_where(kv, key, strlen(key), &request, on_where, &v)) : EXIT_USAGE;
}

int cmd_stats(struct cli *cli)
{
    struct view v = {cli, EXIT_OK};
    struct kv *kv = cli_kv(cli);
    struct kv_request request = cli_request(cli);
    if (cli->argc > 1)
        request.via = cli->argv[1];
    return kv ? finish(&v, kv, kv_stats(kv, &request, on_stats, &v)) : EXIT_USAGE;
}
