/* put, get, del. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/common_file.h"
#include "cmd/kvcli.h"

#define READ_MAX (65u << 20) /* above the largest value any node takes: the node says the exact limit */

static int read_all(FILE *f, void **data, size_t *len)
{
    size_t cap = 64 << 10, n = 0, got;
    char *p = malloc(cap);
    while (p && (got = fread(p + n, 1, cap - n, f)) > 0) {
        n += got;
        if (n == cap && cap < READ_MAX) {
            char *more = realloc(p, cap *= 2);
            if (!more)
                free(p);
            p = more;
        } else if (n == cap) {
            free(p);
            return KV_E_TOO_LARGE;
        }
    }
    if (!p)
        return KV_E_NO_MEMORY;
    if (ferror(f)) {
        free(p);
        return KV_E_IO;
    }
    *data = p;
    *len = n;
    return KV_OK;
}

int cli_read_value(struct cli *cli, const char *word, void **data, size_t *len)
{
    bool input = strcmp(word, "-") == 0, file = word[0] == '@';
    if ((cli->given & OPT_LITERAL) || (!input && !file)) {
        *len = strlen(word);
        *data = strdup(word);
        return *data ? KV_OK : KV_E_NO_MEMORY;
    }
    FILE *f = input ? stdin : file_open(word + 1);
    if (!f) {
        fprintf(stderr, "kvcli: cannot read %s: %m (a value that begins with @ needs --literal)\n", word + 1);
        return KV_E_INVALID;
    }
    int rc = read_all(f, data, len);
    if (!input)
        fclose(f);
    if (rc != KV_OK)
        fprintf(stderr, "kvcli: %s: %s\n", input ? "standard input" : word + 1, kv_error_text(rc));
    return rc;
}

static void print_attempts(const struct cli *cli, const struct kv_result *r)
{
    char stamp[40];
    if (cli->verbose)
        fprintf(stderr,
                "kvcli: %s by %s in %u us: asked %u, acknowledged %u of %u needed, %u hinted, %u attempts, "
                "stamp %s\n",
                kv_error_word(r->status), r->coordinator, r->us, r->asked, r->acked, r->needed, r->hinted,
                r->attempts, stamp_text(r->stamp, stamp));
}

static int finish(struct cli *cli, const char *key, const struct kv_result *r)
{
    print_attempts(cli, r);
    if (r->status != KV_OK)
        return cli_fail(cli, key, r);
    if (cli->json)
        json_print(json_result(key, r, false));
    return EXIT_OK;
}

int cmd_put(struct cli *cli)
{
    void *value = NULL;
    size_t len = 0;
    const char *key = cli->argv[1];
    if (cli_read_value(cli, cli->argv[2], &value, &len) != KV_OK)
        return EXIT_USAGE;
    struct kv *kv = cli_kv(cli);
    struct kv_request request = cli_request(cli);
    struct kv_result r;
    if (kv)
        kv_put_wait(kv, key, strlen(key), value, len, &request, &r);
    free(value);
    return kv ? finish(cli, key, &r) : EXIT_USAGE;
}

int cmd_del(struct cli *cli)
{
    const char *key = cli->argv[1];
    struct kv *kv = cli_kv(cli);
    if (!kv)
        return EXIT_USAGE;
    struct kv_request request = cli_request(cli);
    struct kv_result r;
    kv_del_wait(kv, key, strlen(key), &request, &r);
    return finish(cli, key, &r);
}

int cmd_get(struct cli *cli)
{
    const char *key = cli->argv[1];
    struct kv *kv = cli_kv(cli);
    if (!kv)
        return EXIT_USAGE;
    struct kv_request request = cli_request(cli);
    struct kv_result r;
    kv_get_wait(kv, key, strlen(key), &request, &r);
    print_attempts(cli, &r);
    if (r.status != KV_OK)
        return cli_fail(cli, key, &r);
    if (cli->json) {
        json_print(json_result(key, &r, true));
    } else {
        fwrite(r.value, 1, r.value_len, stdout);
        if (isatty(STDOUT_FILENO) || cli->interactive)
            putchar('\n');
    }
    return EXIT_OK;
}
