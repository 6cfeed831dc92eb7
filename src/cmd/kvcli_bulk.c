/* load, check and dump: many requests in flight on one handle. A handle's puts of one key keep their order,
 * because their stamps are minted in the order of the calls. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cmd/kvcli.h"
#include "cmd/common_file.h"
#include "cmd/common_lines.h"
#include "cmd/common_stop.h"

#define BULK_WINDOW       512u        /* requests in flight */
#define BULK_WINDOW_BYTES (32u << 20) /* and their values */
#define BULK_SHOWN_MAX    20u         /* problems listed one by one */

struct bulk {
    struct cli *cli;
    struct kv *kv;
    const char *verb; /* "loaded" */
    struct lines lines;
    FILE *failed;
    uint64_t size;               /* of the file; 0: unknown */
    uint64_t done, bad, missing; /* lines: all that are done with, and two kinds of them */
    uint32_t in_flight;
    uint64_t in_flight_bytes;
    double begun, drawn;
    bool progress;
    struct kv_request request;
    struct buf text;
};

/* One line on its way. */
struct item {
    struct bulk *bulk;
    uint64_t number;
    size_t key_len, value_len;
    uint8_t data[]; /* key, value */
};

static struct bytes item_key(const struct item *it)
{
    return bytes_of(it->data, it->key_len);
}

static struct bytes item_value(const struct item *it)
{
    return bytes_of(it->data + it->key_len, it->value_len);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void draw_progress(struct bulk *b, bool last)
{
    double now = seconds();
    if (!b->progress || (!last && now - b->drawn < 0.1))
        return;
    b->drawn = now;
    double part = b->size ? (double)b->lines.bytes / (double)b->size : 0;
    int width = 30, full = (int)(part * width);
    fprintf(stderr, "\r[%.*s%.*s] %3.0f%%  %llu lines, %.0f/s ", full, "##############################",
            width - full, "..............................", part * 100, (unsigned long long)b->done,
            (double)b->done / (now - b->begun + 1e-9));
    if (last)
        fputs("\r\033[K", stderr);
}

/* A line that came to nothing; its key is empty where none could be read. The first few are told of. */
static void complain(struct bulk *b, uint64_t line, struct bytes key, const char *what)
{
    if (b->bad + b->missing > BULK_SHOWN_MAX)
        return;
    if (b->bad + b->missing == BULK_SHOWN_MAX) {
        fprintf(stderr, "kvcli: ... and more\n");
        return;
    }
    buf_clear(&b->text);
    if (lines_escape(bytes_of(key.data, key.len > 200 ? 200 : key.len), &b->text) == KV_OK)
        fprintf(stderr, "%skvcli: line %llu: %.*s%s%s\n", b->progress ? "\r\033[K" : "",
                (unsigned long long)line, (int)b->text.len, (const char *)b->text.data, key.len ? ": " : "",
                what);
}

static void line_failed(struct bulk *b, uint64_t line, struct bytes key, const char *what)
{
    complain(b, line, key, what);
    b->done++;
    b->bad++;
}

static void write_line(FILE *f, struct buf *text, struct bytes key, struct bytes value)
{
    buf_clear(text);
    if (lines_escape(key, text) == KV_OK && buf_append_byte(text, '\t') == KV_OK &&
        lines_escape(value, text) == KV_OK && buf_append_byte(text, '\n') == KV_OK)
        fwrite(text->data, 1, text->len, f);
}

static void bulk_pump(struct bulk *b);

static void item_done(struct item *it)
{
    struct bulk *b = it->bulk;
    b->in_flight--;
    b->in_flight_bytes -= it->value_len;
    free(it);
    bulk_pump(b);
}

static void on_put(const struct kv_result *r, void *arg)
{
    struct item *it = arg;
    struct bulk *b = it->bulk;
    if (r->status == KV_OK) {
        b->done++;
    } else {
        line_failed(b, it->number, item_key(it), r->message);
        if (b->failed)
            write_line(b->failed, &b->text, item_key(it), item_value(it));
    }
    item_done(it);
}

static void on_get(const struct kv_result *r, void *arg)
{
    struct item *it = arg;
    struct bulk *b = it->bulk;
    if (r->status == KV_E_NOT_FOUND) {
        complain(b, it->number, item_key(it), r->proven ? "missing" : "missing (not proven)");
        b->done++;
        b->missing++;
    } else if (r->status != KV_OK) {
        line_failed(b, it->number, item_key(it), r->message);
    } else if (!bytes_eq(bytes_of(r->value, r->value_len), item_value(it))) {
        line_failed(b, it->number, item_key(it), "another value");
    } else {
        b->done++;
    }
    item_done(it);
}

static bool bulk_is_load(const struct bulk *b)
{
    return strcmp(b->verb, "loaded") == 0;
}

static void bulk_send(struct bulk *b)
{
    struct bytes key = buf_bytes(&b->lines.key), value = buf_bytes(&b->lines.value);
    struct item *it = malloc(sizeof *it + key.len + value.len);
    if (!it) {
        line_failed(b, b->lines.number, key, kv_error_text(KV_E_NO_MEMORY));
        return;
    }
    *it = (struct item){b, b->lines.number, key.len, value.len};
    memcpy(it->data, key.data, key.len);
    if (value.len)
        memcpy(it->data + key.len, value.data, value.len);
    int rc = bulk_is_load(b)
                 ? kv_put(b->kv, it->data, key.len, it->data + key.len, value.len, &b->request, on_put, it)
                 : kv_get(b->kv, it->data, key.len, &b->request, on_get, it);
    if (rc == KV_OK) {
        b->in_flight++;
        b->in_flight_bytes += value.len;
        return;
    }
    line_failed(b, it->number, key, kv_error_text(rc));
    if (b->failed)
        write_line(b->failed, &b->text, key, value);
    free(it);
}

/* Keeps the window full; after Ctrl-C what is in it ends. */
static void bulk_pump(struct bulk *b)
{
    if (stop_signal())
        b->lines.file = NULL;
    while (b->in_flight < BULK_WINDOW && b->in_flight_bytes < BULK_WINDOW_BYTES && b->lines.file) {
        int rc = lines_next(&b->lines);
        if (rc == 0 || rc == KV_E_IO) {
            if (rc == KV_E_IO)
                line_failed(b, b->lines.number + 1, bytes_of(NULL, 0), strerror(errno));
            b->lines.file = NULL;
            break;
        }
        if (rc == 1) {
            bulk_send(b);
        } else {
            line_failed(b, b->lines.number, bytes_of(NULL, 0), "no KEY<TAB>VALUE, or a wrong escape");
        }
    }
    draw_progress(b, false);
}

static void summary(struct bulk *b)
{
    if (stop_signal())
        fprintf(stderr, "kvcli: interrupted after line %llu; no line behind it was begun\n",
                (unsigned long long)b->lines.number);
    double took = seconds() - b->begun;
    double rate = (double)b->done / (took + 1e-9);
    if (b->cli->json) {
        json_print(json_pack("{s:s, s:I, s:I, s:I, s:f}", "status", b->bad + b->missing ? "failed" : "ok",
                             b->verb, (json_int_t)(b->done - b->bad - b->missing), "failed",
                             (json_int_t)b->bad, "missing", (json_int_t)b->missing, "seconds", took));
    } else if (bulk_is_load(b)) {
        printf("%llu loaded, %llu failed, %.1f s, %.0f/s\n", (unsigned long long)(b->done - b->bad),
               (unsigned long long)b->bad, took, rate);
    } else {
        printf("%llu equal, %llu different or failed, %llu missing, %.1f s, %.0f/s\n",
               (unsigned long long)(b->done - b->bad - b->missing), (unsigned long long)b->bad,
               (unsigned long long)b->missing, took, rate);
    }
}

/* All is said: what was told to stop ends by the signal that said so. */
static void end_stopped(void)
{
    stop_release();
    if (stop_signal())
        raise(stop_signal());
}

static FILE *open_input(const char *path, uint64_t *size)
{
    if (strcmp(path, "-") == 0)
        return stdin;
    FILE *f = file_open(path);
    if (!f)
        fprintf(stderr, "kvcli: cannot read %s: %m\n", path);
    else if (fseek(f, 0, SEEK_END) == 0) {
        long end = ftell(f);
        *size = end > 0 ? (uint64_t)end : 0;
        rewind(f);
    }
    return f;
}

static int bulk_run(struct cli *cli, const char *verb)
{
    struct bulk b = {.cli = cli, .verb = verb, .request = cli_request(cli), .begun = seconds()};
    FILE *f = open_input(cli->argv[1], &b.size);
    if (!f)
        return EXIT_USAGE;
    b.kv = cli_kv(cli);
    if (cli->failed) {
        b.failed = fopen(cli->failed, "wb");
        if (!b.failed)
            fprintf(stderr, "kvcli: cannot write %s: %m\n", cli->failed);
    }
    int status = EXIT_USAGE;
    if (b.kv && (!cli->failed || b.failed)) {
        lines_init(&b.lines, f);
        if (b.size > 0) /* a pipe is waited for, and nobody knows for how long */
            stop_hold();
        b.progress = isatty(STDERR_FILENO) && b.size > 0 && !cli->json;
        bulk_pump(&b);
        while (b.in_flight > 0)
            kv_wait(b.kv);
        draw_progress(&b, true);
        summary(&b);
        fflush(stdout);
        status = b.missing ? EXIT_NOT_FOUND
                 : b.bad   ? (bulk_is_load(&b) ? EXIT_REFUSED : EXIT_NOT_FOUND)
                           : EXIT_OK;
        lines_deinit(&b.lines);
    }
    if (b.failed && fclose(b.failed) != 0)
        fprintf(stderr, "kvcli: %s: %m\n", cli->failed);
    if (f != stdin)
        fclose(f);
    buf_deinit(&b.text);
    end_stopped();
    return status;
}

int cmd_load(struct cli *cli)
{
    return bulk_run(cli, "loaded");
}

int cmd_check(struct cli *cli)
{
    return bulk_run(cli, "equal");
}

/* ---- dump: pages of a scan, and a get for each key ---- */

struct dump {
    struct cli *cli;
    struct kv *kv;
    struct kv_request request;
    struct buf cursor_key, text;
    struct kv_cursor after;
    bool done, incomplete;
    int status; /* of the scan, or of the last get that failed */
    uint64_t failed;
};

struct dump_item {
    struct dump *dump;
    size_t key_len;
    uint8_t key[];
};

static void on_dump_get(const struct kv_result *r, void *arg)
{
    struct dump_item *it = arg;
    struct dump *d = it->dump;
    if (r->status == KV_OK) {
        write_line(stdout, &d->text, bytes_of(it->key, it->key_len), bytes_of(r->value, r->value_len));
    } else if (r->status != KV_E_NOT_FOUND) { /* not found: deleted since the scan saw it */
        d->failed++;
        d->status = r->status;
    }
    free(it);
}

static void on_dump_page(const struct kv_scan_page *page, void *arg)
{
    struct dump *d = arg;
    if (page->status != KV_OK) {
        d->status = page->status;
        d->done = true;
        cli_fail_status(d->cli, page->status, page->message);
        return;
    }
    d->done = page->done;
    d->incomplete |= !page->complete;
    buf_set(&d->cursor_key, bytes_of(page->next.key, page->next.key_len));
    d->after = (struct kv_cursor){page->next.token, d->cursor_key.data, d->cursor_key.len};
    for (uint32_t i = 0; i < page->count; i++) {
        const struct kv_scan_entry *e = &page->entries[i];
        struct dump_item *it = malloc(sizeof *it + e->key_len);
        int rc = it ? KV_OK : KV_E_NO_MEMORY;
        if (it) {
            *it = (struct dump_item){d, e->key_len};
            memcpy(it->key, e->key, e->key_len);
            rc = kv_get(d->kv, it->key, it->key_len, &d->request, on_dump_get, it);
        }
        if (rc != KV_OK) {
            d->failed++;
            d->status = rc;
            free(it);
        }
    }
}

int cmd_dump(struct cli *cli)
{
    struct dump d = {.cli = cli, .kv = cli_kv(cli), .request = cli_request(cli)};
    const char *prefix = cli->argc > 1 ? cli->argv[1] : "";
    if (!d.kv)
        return EXIT_USAGE;
    stop_hold();
    while (!d.done && !stop_signal()) {
        struct kv_request request = {.timeout_ms = cli->timeout_ms, .via = cli->via};
        if (kv_scan(d.kv, prefix, strlen(prefix), d.after, BULK_WINDOW, &request, on_dump_page, &d) != KV_OK)
            break;
        kv_wait(d.kv);
    }
    if (d.failed)
        fprintf(stderr, "kvcli: %llu keys could not be read\n", (unsigned long long)d.failed);
    if (d.incomplete)
        fprintf(stderr,
                "kvcli: incomplete: some keys may be missing, because too many of their homes are away\n");
    if (stop_signal() && !d.done)
        fprintf(stderr, "kvcli: interrupted: not all keys are in what was written\n");
    buf_deinit(&d.cursor_key);
    buf_deinit(&d.text);
    fflush(stdout);
    end_stopped();
    return cli_exit_of(d.status);
}
