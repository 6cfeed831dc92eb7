/* The view as one line of JSON. */
#include <inttypes.h>

#include "cmd/kvcli.h"
#include "cmd/kvcli_watch.h"

static json_t *words_json(const struct watch_view *v, uint32_t slot)
{
    json_t *o = json_object();
    for (uint32_t i = 0; i < v->node_count; i++) {
        uint8_t word = watch_word(v, v->order[i], slot);
        if (word <= KV_LEFT && v->order[i] != slot)
            json_object_set_new(o, v->nodes[v->order[i]].name, json_string(cli_state_word(word)));
    }
    return o;
}

static json_t *node_json(const struct watch_view *v, uint32_t slot)
{
    const struct watch_node *n = &v->nodes[slot];
    bool answers = n->stats_round && n->stats_round + 1 >= v->round;
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:o, s:s, s:i, s:f, s:b}", "name", n->name, "addr", n->address, "state",
                  cli_state_word(watch_state(v, slot)), "seen_by", words_json(v, slot), "ring", n->ring,
                  "partitions", (int)n->partitions, "share", n->share, "answers", answers);
    if (answers)
        json_object_update_new(o, json_pack("{s:I, s:I, s:I}", "hints_waiting", (json_int_t)n->last.hints,
                                            "hints_bytes", (json_int_t)n->last.hints_bytes, "rows",
                                            (json_int_t)n->last.rows));
    if (answers && n->rated)
        json_object_update_new(o, json_pack("{s:f, s:f, s:f}", "ops_per_s", n->ok_per_s + n->failed_per_s,
                                            "failures_per_s", n->failed_per_s, "gossip_bytes_per_s",
                                            n->gossip_per_s));
    if (n->gains)
        json_object_update_new(
            o, json_pack("{s:i, s:i}", "partitions_done", (int)n->taken, "partitions_total", (int)n->gains));
    return o;
}

void watch_json(const struct watch_view *v)
{
    struct watch_total t = watch_total(v, 1);
    char hash[24];
    json_t *nodes = json_array(), *queue = json_array();
    snprintf(hash, sizeof hash, "%016" PRIx64, v->ring_hash);
    for (uint32_t i = 0; i < v->node_count; i++)
        json_array_append_new(nodes, node_json(v, v->order[i]));
    for (uint32_t i = 0; i < v->queue_count; i++)
        json_array_append_new(queue, json_string(v->queue[i]));
    json_print(json_pack("{s:s, s:s, s:s, s:I, s:s, s:o, s:f, s:f, s:I, s:f, s:I, s:o}", "cluster",
                         v->cluster, "seen_by", v->seen_by, "ring_hash", hash, "epoch", (json_int_t)v->epoch,
                         "phase", cli_phase_word(v->phase), "queue", queue, "ops_per_s",
                         t.ok_per_s + t.failed_per_s, "failures_per_s", t.failed_per_s, "hints_waiting",
                         (json_int_t)t.hints, "gossip_bytes_per_s", t.gossip_per_s, "moved_bytes",
                         (json_int_t)v->progress.bytes, "nodes", nodes));
}
