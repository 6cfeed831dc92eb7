/* Writing and reading histories. */
#include "cmd/kvbench_history.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "kv_error.h"

static const char *const OPS[] = {"get", "put", "del"};

const char *history_tag(const void *value, size_t len, char out[HISTORY_TAG_MAX])
{
    const char *v = value;
    size_t n = 0;
    while (n < len && n < HISTORY_TAG_MAX - 1 && v[n] != '.') {
        out[n] = v[n] > 0x20 && v[n] < 0x7f && v[n] != '"' && v[n] != '\\' ? v[n] : '?';
        n++;
    }
    out[n] = 0;
    return out;
}

int history_write(FILE *f, const struct history_line *l)
{
    char value[HISTORY_TAG_MAX + 16] = "";
    if (l->value)
        snprintf(value, sizeof value, "\"value\":\"%s\",", l->value);
    int n =
        fprintf(f,
                "{\"client\":%u,\"op\":\"%s\",\"key\":\"%s\",%s\"start_ns\":%llu,\"end_ns\":%llu,\"status\":"
                "\"%s\"%s}\n",
                l->client, OPS[l->op], l->key, value, (unsigned long long)l->start_ns,
                (unsigned long long)l->end_ns, kv_error_word(l->status), l->strict ? ",\"strict\":true" : "");
    return n < 0 ? KV_E_IO : KV_OK;
}

static int status_of(const char *word)
{
#define MATCH(name, value, text, sentence) \
    if (strcmp(word, text) == 0)           \
        return value;
    KV_ERROR_TABLE(MATCH)
#undef MATCH
    return KV_E_MALFORMED;
}

static bool parse(json_t *o, struct history_line *l)
{
    const char *op = json_string_value(json_object_get(o, "op"));
    const char *status = json_string_value(json_object_get(o, "status"));
    l->key = json_string_value(json_object_get(o, "key"));
    if (!op || !status || !l->key)
        return false;
    for (int i = 0; i < 3; i++)
        if (strcmp(op, OPS[i]) == 0)
            l->op = (enum history_op)i;
    l->value = json_string_value(json_object_get(o, "value"));
    l->client = (uint32_t)json_integer_value(json_object_get(o, "client"));
    l->start_ns = (uint64_t)json_integer_value(json_object_get(o, "start_ns"));
    l->end_ns = (uint64_t)json_integer_value(json_object_get(o, "end_ns"));
    l->strict = json_is_true(json_object_get(o, "strict"));
    l->status = status_of(status);
    return l->end_ns >= l->start_ns && l->status != KV_E_MALFORMED;
}

int history_read(FILE *f, void (*visit)(const struct history_line *line, void *arg), void *arg, uint64_t *bad)
{
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;
    uint64_t number = 0;
    int rc = KV_OK;
    while (rc == KV_OK && (n = getline(&text, &cap, f)) >= 0) {
        number++;
        json_t *o = json_loadb(text, (size_t)n, 0, NULL);
        struct history_line l = {0};
        if (o && parse(o, &l)) {
            visit(&l, arg);
        } else {
            *bad = number;
            rc = KV_E_MALFORMED;
        }
        json_decref(o);
    }
    if (rc == KV_OK && ferror(f))
        rc = KV_E_IO;
    free(text);
    return rc;
}
