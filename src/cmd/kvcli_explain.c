/* explain: a get or a put, and its own story: who coordinated, whom it asked, what each answered and when. */
#include <stdlib.h>
#include <string.h>

#include "cmd/kvcli.h"
#include "cmd/kvcli_bars.h"
#include "cmd/kvcli_screen.h"

/* "n3" when it is known, else what there is. */
static const char *who(const char *name)
{
    return *name ? name : "?";
}

static void describe(const struct kv_trace *t, char *out, size_t size)
{
    char stamp[40] = "no row";
    if (t->stamp.hlc)
        stamp_text(t->stamp, stamp);
    switch (t->kind) {
    case KV_TRACE_SEND: snprintf(out, size, "client sends the request to %s", who(t->node)); break;
    case KV_TRACE_ASK:
        if (*t->other)
            snprintf(out, size, "asks %s too: the key moves between it and %s", who(t->node), who(t->other));
        else
            snprintf(out, size, "asks %s", who(t->node));
        break;
    case KV_TRACE_ANSWER:
        snprintf(out, size, "%s answers %s, %s", who(t->node), kv_error_word(t->status), stamp);
        break;
    case KV_TRACE_HEDGE:
        snprintf(out, size, "asks %s too: an answer is slower than usual", who(t->node));
        break;
    case KV_TRACE_HINT:
        snprintf(out, size, "asks %s to keep the row for %s, as a hint", who(t->node), who(t->other));
        break;
    case KV_TRACE_WRITE_BACK: snprintf(out, size, "writes the newest row back to %s", who(t->node)); break;
    case KV_TRACE_SKIP: snprintf(out, size, "does not ask %s: it cannot be reached", who(t->node)); break;
    case KV_TRACE_DECIDE: snprintf(out, size, "has its answer: %s", kv_error_word(t->status)); break;
    case KV_TRACE_LOST: snprintf(out, size, "client loses its connection to %s", who(t->node)); break;
    case KV_TRACE_REPLY:
        snprintf(out, size, "%s answers the client: %s", who(t->node), kv_error_word(t->status));
        break;
    default: snprintf(out, size, "event %u", t->kind);
    }
}

static json_t *trace_json(const struct kv_result *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->trace_count; i++) {
        const struct kv_trace *t = &r->trace[i];
        char text[256], stamp[40];
        describe(t, text, sizeof text);
        json_t *o = json_pack("{s:i, s:s, s:s, s:s}", "at_us", (int)t->at_us, "by",
                              t->client ? "client" : r->coordinator, "node", t->node, "text", text);
        if (t->stamp.hlc)
            json_object_set_new(o, "stamp", json_string(stamp_text(t->stamp, stamp)));
        json_array_append_new(list, o);
    }
    return list;
}

static void print_story(const char *what, const char *key, const struct kv_result *r)
{
    char text[256], stamp[40];
    printf("%s %s: %s", what, key, kv_error_word(r->status));
    if (*r->coordinator)
        printf(", coordinated by %s, %u us (%u us of them in the coordinator)\n", r->coordinator, r->us,
               r->coordinator_us);
    else
        printf(", no coordinator had a say, %u us\n", r->us);
    struct buf bars = {0};
    if (bars_draw(r->trace, r->trace_count, r->us, screen_utf8(), &bars) == KV_OK && bars.len > 0)
        fwrite(bars.data, 1, bars.len, stdout);
    buf_deinit(&bars);
    for (uint32_t i = 0; i < r->trace_count; i++) {
        const struct kv_trace *t = &r->trace[i];
        describe(t, text, sizeof text);
        printf("  %8u us  %-8s %s\n", t->at_us, t->client ? "client" : who(r->coordinator), text);
    }
    if (r->needed)
        printf("  asked %u, acknowledged %u of %u needed, %u hinted\n", r->asked, r->acked, r->needed,
               r->hinted);
    if (r->stamp.hlc)
        printf("  stamp %s\n", stamp_text(r->stamp, stamp));
    if (r->status != KV_OK)
        printf("  %s\n", r->message);
}

static int report(struct cli *cli, const char *what, const char *key, const struct kv_result *r)
{
    if (cli->json) {
        json_t *o = json_result(key, r, false);
        json_object_set_new(o, "trace", trace_json(r));
        json_print(o);
    } else {
        print_story(what, key, r);
    }
    return cli_exit_of(r->status);
}

int cmd_explain(struct cli *cli)
{
    const char *what = cli->argv[1], *key = cli->argv[2];
    bool put = strcmp(what, "put") == 0;
    if (!put && strcmp(what, "get") != 0)
        return cli_usage(cli, "explain get KEY, or explain put KEY VALUE; not '%s'", what);
    if (cli->argc != (put ? 4 : 3))
        return cli_usage(cli, put ? "explain put: KEY and VALUE" : "explain get: just a KEY");
    int exit;
    if (!cli_key_ok(cli, key, &exit))
        return exit;
    struct kv *kv = cli_kv(cli);
    if (!kv)
        return EXIT_USAGE;
    struct kv_request request = cli_request(cli);
    struct kv_result r;
    request.flags |= KV_EXPLAIN;
    if (!put) {
        kv_get_wait(kv, key, strlen(key), &request, &r);
        return report(cli, what, key, &r);
    }
    void *value = NULL;
    size_t len = 0;
    if (cli_read_value(cli, cli->argv[3], &value, &len) != KV_OK)
        return EXIT_USAGE;
    kv_put_wait(kv, key, strlen(key), value, len, &request, &r);
    free(value);
    return report(cli, what, key, &r);
}
