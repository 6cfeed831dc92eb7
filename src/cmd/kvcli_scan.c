/* scan: keys in token order, resumable. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/kvcli.h"
#include "cmd/common_lines.h"

#define SCAN_PAGE 1000u

struct scan {
    struct cli *cli;
    struct kv_cursor after;
    struct buf key, text;
    uint32_t left; /* still wanted; UINT32_MAX: all */
    bool done, incomplete;
    int status;
};

/* TOKEN in hex, then the key with its escapes: "91ab...:greeting". */
static void cursor_text(const struct kv_cursor *c, struct buf *out)
{
    buf_clear(out);
    if (buf_printf(out, "%016" PRIx64 ":", c->token) == KV_OK)
        lines_escape(bytes_of(c->key, c->key_len), out);
}

static int cursor_parse(const char *text, struct scan *s)
{
    char *end;
    s->after.token = strtoull(text, &end, 16);
    if (end != text + 16 || *end != ':')
        return KV_E_INVALID;
    int rc = lines_unescape(bytes_str(end + 1), &s->key);
    s->after.key = s->key.data;
    s->after.key_len = s->key.len;
    return rc;
}

static void print_key(struct scan *s, const struct kv_scan_entry *e)
{
    char stamp[40];
    if (s->cli->json) {
        json_t *o = json_pack("{s:o, s:I, s:s}", "key", json_bytes(e->key, e->key_len), "size",
                              (json_int_t)e->value_len, "stamp", stamp_text(e->stamp, stamp));
        if (e->ttl_ms)
            json_object_set_new(o, "ttl_ms", json_integer((json_int_t)e->ttl_ms));
        json_print(o);
        return;
    }
    buf_clear(&s->text);
    if (lines_escape(bytes_of(e->key, e->key_len), &s->text) == KV_OK)
        printf("%.*s\n", (int)s->text.len, (const char *)s->text.data);
}

static void on_page(const struct kv_scan_page *page, void *arg)
{
    struct scan *s = arg;
    s->status = page->status;
    if (page->status != KV_OK) {
        s->done = true;
        cli_fail_status(s->cli, page->status, page->message);
        return;
    }
    for (uint32_t i = 0; i < page->count; i++)
        print_key(s, &page->entries[i]);
    s->done = page->done;
    s->incomplete |= !page->complete;
    if (s->left != UINT32_MAX)
        s->left -= page->count < s->left ? page->count : s->left;
    buf_set(&s->key, bytes_of(page->next.key, page->next.key_len));
    s->after = (struct kv_cursor){page->next.token, s->key.data, s->key.len};
}

static void report_end(struct scan *s)
{
    if (s->incomplete)
        fprintf(stderr,
                "kvcli: incomplete: some keys may be missing, because too many of their homes are away\n");
    if (s->done)
        return;
    cursor_text(&s->after, &s->text);
    if (s->cli->json)
        json_print(json_pack("{s:o}", "cursor", json_bytes(s->text.data, s->text.len)));
    else
        fprintf(stderr, "kvcli: more follows: --cursor '%.*s'\n", (int)s->text.len,
                (const char *)s->text.data);
}

int cmd_scan(struct cli *cli)
{
    struct scan s = {.cli = cli, .left = cli->given & OPT_LIMIT ? cli->limit : UINT32_MAX};
    const char *prefix = cli->argc > 1 ? cli->argv[1] : "";
    if (cli->cursor && cursor_parse(cli->cursor, &s) != KV_OK)
        return cli_usage(cli, "--cursor '%s' is none that a scan has printed", cli->cursor);
    struct kv *kv = cli_kv(cli);
    if (!kv)
        return EXIT_USAGE;
    while (!s.done && s.left > 0) {
        struct kv_request request = {.timeout_ms = cli->timeout_ms, .via = cli->via};
        uint32_t limit = s.left < SCAN_PAGE ? s.left : SCAN_PAGE;
        int rc = kv_scan(kv, prefix, strlen(prefix), s.after, limit, &request, on_page, &s);
        if (rc != KV_OK) {
            s.status = rc;
            cli_fail_status(cli, rc, kv_error_text(rc));
            break;
        }
        kv_wait(kv);
    }
    if (s.status == KV_OK)
        report_end(&s);
    buf_deinit(&s.key);
    buf_deinit(&s.text);
    return cli_exit_of(s.status);
}
