/* Writing and reading histories. A line as the bench writes it, a flat object without escapes, is read here
 * by hand, ten times as fast as any JSON library could; every other line is left to one. */
#include "cmd/kvbench_history.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/common_file.h"
#include "kv_error.h"

static const char *const OPS[] = {
    [HISTORY_GET] = "get",
    [HISTORY_PUT] = "put",
    [HISTORY_DEL] = "del",
};

const char *history_tag(const void *value, size_t len, char out[HISTORY_TAG_MAX])
{
    const char *v = value;
    size_t n = 0;
    while (n < len && n < HISTORY_TAG_MAX - 1 && v[n] != '.') {
        bool plain = v[n] > 0x20 && v[n] < 0x7f && v[n] != '"' && v[n] != '\\';
        out[n] = '?';
        if (plain)
            out[n] = v[n];
        n++;
    }
    out[n] = 0;
    return out;
}

enum history_outcome history_outcome_of(const struct history_line *l)
{
    if (l->status == KV_OK || l->status == KV_E_NOT_FOUND)
        return HISTORY_OK;
    if (l->op == HISTORY_GET || l->unknown)
        return HISTORY_UNKNOWN;
    switch (l->status) {
    case KV_E_UNAVAILABLE:
    case KV_E_TOO_LARGE:
    case KV_E_INVALID:
    case KV_E_NOT_PERMITTED:
    case KV_E_NO_NODE: return HISTORY_REFUSED;
    default: return HISTORY_UNKNOWN;
    }
}

/* ---- writing ---- */

#define MUST_ESCAPE                                                                                        \
    "\"\\\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017\020\021\022\023\024\025\026\027\030" \
    "\031\032\033\034\035\036\037"

static void write_escaped(FILE *f, const char *text)
{
    for (;; text++) {
        size_t plain = strcspn(text, MUST_ESCAPE);
        fwrite(text, 1, plain, f);
        text += plain;
        if (*text == 0)
            return;
        fprintf(f, "\\u%04x", (unsigned)*text);
    }
}

int history_write(FILE *f, const struct history_line *l)
{
    fprintf(f, "{\"client\":%u,\"op\":\"%s\",\"key\":\"", l->client, OPS[l->op]);
    write_escaped(f, l->key);
    if (l->value) {
        fprintf(f, "\",\"value\":\"");
        write_escaped(f, l->value);
    }
    fprintf(f, "\",\"start_ns\":%llu,\"end_ns\":%llu,\"status\":\"%s\"", (unsigned long long)l->start_ns,
            (unsigned long long)l->end_ns, kv_error_word(l->status));
    if (l->ttl_ns)
        fprintf(f, ",\"ttl_ns\":%llu", (unsigned long long)l->ttl_ns);
    fprintf(f, "%s%s}\n", l->strict ? ",\"strict\":true" : "", l->unknown ? ",\"unknown\":true" : "");
    return ferror(f) ? KV_E_IO : KV_OK;
}

/* ---- the members of a line ---- */

enum member { CLIENT, OP, KEY, VALUE, START, END, TTL, STATUS, STRICT, UNKNOWN, MEMBERS };

static const struct {
    const char *name;
    char type; /* n: number, s: string, b: true or false */
    bool needed;
} MEMBER[MEMBERS] = {
    [CLIENT] = {"client", 'n', true},   [OP] = {"op", 's', true},          [KEY] = {"key", 's', true},
    [VALUE] = {"value", 's', false},    [START] = {"start_ns", 'n', true}, [END] = {"end_ns", 'n', true},
    [TTL] = {"ttl_ns", 'n', false},     [STATUS] = {"status", 's', true},  [STRICT] = {"strict", 'b', false},
    [UNKNOWN] = {"unknown", 'b', false}};

/* One member's value; type 0: not there. */
struct part {
    char type;
    uint64_t number; /* of a number; 0 or 1 of a truth value */
    const char *text;
};

static int status_of(const char *word)
{
#define MATCH(name, value, text, sentence) \
    if (strcmp(word, text) == 0)           \
        return value;
    KV_ERROR_TABLE(MATCH)
#undef MATCH
    return KV_E_MALFORMED;
}

static bool op_of(const char *word, enum history_kind *out)
{
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS; i++) {
        if (strcmp(word, OPS[i]) == 0) {
            *out = (enum history_kind)i;
            return true;
        }
    }
    return false;
}

static bool line_of(const struct part parts[MEMBERS], struct history_line *l)
{
    for (int i = 0; i < MEMBERS; i++)
        if (parts[i].type ? parts[i].type != MEMBER[i].type : MEMBER[i].needed)
            return false;
    *l = (struct history_line){
        .client = (uint32_t)parts[CLIENT].number,
        .key = parts[KEY].text,
        .value = parts[VALUE].text,
        .start_ns = parts[START].number,
        .end_ns = parts[END].number,
        .ttl_ns = parts[TTL].number,
        .status = status_of(parts[STATUS].text),
        .strict = parts[STRICT].number,
        .unknown = parts[UNKNOWN].number,
    };
    return parts[CLIENT].number <= UINT32_MAX && l->end_ns >= l->start_ns && l->status != KV_E_MALFORMED &&
           op_of(parts[OP].text, &l->op) && (l->op != HISTORY_PUT || l->value);
}

/* ---- reading by hand ---- */

static char *skip_space(char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
        at++;
    return at;
}

/* The closing quote of a string of plain ASCII that begins at `at`; NULL: it is no such string. */
static char *plain_string(char *at)
{
    if (*at != '"')
        return NULL;
    for (at++; *at != '"'; at++)
        if (*at < 0x20 || *at > 0x7e || *at == '\\')
            return NULL;
    return at;
}

/* One value; returns what follows it, NULL: not a plain one. A string is not terminated yet: the quote behind
 * it is put into `end`. */
static char *plain_value(char *at, struct part *out, char **end)
{
    static const char *const WORDS[] = {"false", "true"};
    *end = NULL;
    if (*at == '"') {
        *end = plain_string(at);
        *out = (struct part){'s', 0, at + 1};
        return *end ? *end + 1 : NULL;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (strncmp(at, WORDS[i], strlen(WORDS[i])) == 0) {
            *out = (struct part){'b', i, NULL};
            return at + strlen(WORDS[i]);
        }
    }
    char *digits = at;
    *out = (struct part){'n', 0, NULL};
    for (; *at >= '0' && *at <= '9'; at++)
        out->number = out->number * 10 + (uint64_t)(*at - '0');
    return at > digits && at - digits <= 18 && (*digits != '0' || at - digits == 1) ? at : NULL;
}

static int member_of(const char *name, size_t len)
{
    for (int i = 0; i < MEMBERS; i++)
        if (strncmp(MEMBER[i].name, name, len) == 0 && MEMBER[i].name[len] == 0)
            return i;
    return -1;
}

/* False: not a flat object of plain values, or not one that we write; the text is unchanged. */
static bool parse_plain(char *at, struct part parts[MEMBERS])
{
    char *ends[MEMBERS] = {0};
    at = skip_space(at);
    if (*at++ != '{')
        return false;
    for (;;) {
        char *name = skip_space(at), *quote = plain_string(name), *end;
        int i = quote ? member_of(name + 1, (size_t)(quote - name - 1)) : -1;
        at = i < 0 || parts[i].type ? NULL : skip_space(quote + 1);
        if (!at || *at != ':' || !(at = plain_value(skip_space(at + 1), &parts[i], &end)))
            return false;
        ends[i] = end;
        at = skip_space(at);
        if (*at == '}')
            break;
        if (*at++ != ',')
            return false;
    }
    if (*skip_space(at + 1) != 0)
        return false;
    for (int i = 0; i < MEMBERS; i++)
        if (ends[i])
            *ends[i] = 0;
    return true;
}

/* ---- reading ---- */

static void parts_of(json_t *o, struct part parts[MEMBERS])
{
    for (int i = 0; i < MEMBERS; i++) {
        json_t *v = json_object_get(o, MEMBER[i].name);
        parts[i] = (struct part){0};
        if (json_is_string(v))
            parts[i] = (struct part){'s', 0, json_string_value(v)};
        else if (json_is_boolean(v))
            parts[i] = (struct part){'b', json_is_true(v), NULL};
        else if (json_is_integer(v) && json_integer_value(v) >= 0)
            parts[i] = (struct part){'n', (uint64_t)json_integer_value(v), NULL};
        else if (v && !json_is_null(v))
            parts[i].type = '?';
    }
}

static int read_line(char *text, size_t len, int (*visit)(const struct history_line *line, void *arg),
                     void *arg)
{
    struct part parts[MEMBERS] = {0};
    struct history_line line;
    json_t *o = NULL;
    int rc = KV_E_MALFORMED;
    if (!parse_plain(text, parts)) {
        o = json_loadb(text, len, 0, NULL);
        if (!o)
            return KV_E_MALFORMED;
        parts_of(o, parts);
    }
    if (line_of(parts, &line))
        rc = visit(&line, arg);
    json_decref(o);
    return rc;
}

int history_read(FILE *f, int (*visit)(const struct history_line *line, void *arg), void *arg, uint64_t *bad)
{
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = KV_OK;
    *bad = 0;
    while (rc == KV_OK && (n = getline(&text, &cap, f)) >= 0) {
        ++*bad;
        rc = read_line(text, (size_t)n, visit, arg);
    }
    if (rc == KV_OK && ferror(f))
        rc = KV_E_IO;
    free(text);
    return rc;
}

int history_read_file(const char *name, int (*visit)(const struct history_line *line, void *arg), void *arg)
{
    uint64_t line = 0;
    FILE *f = file_open(name);
    if (!f) {
        fprintf(stderr, "kvbench: cannot read %s: %m\n", name);
        return KV_E_IO;
    }
    int rc = history_read(f, visit, arg, &line);
    fclose(f);
    if (rc == KV_E_MALFORMED)
        fprintf(stderr, "kvbench: %s:%llu is no line of a history\n", name, (unsigned long long)line);
    else if (rc != KV_OK)
        fprintf(stderr, "kvbench: %s: %s\n", name, kv_error_text(rc));
    return rc;
}

int history_enter(struct history *h, const struct history_line *l, uint32_t file, struct history_op *out)
{
    *out = (struct history_op){
        .start_ns = l->start_ns,
        .end_ns = l->end_ns,
        .ttl_ns = l->ttl_ns,
        .value = HISTORY_ABSENT,
        .client = file << HISTORY_CLIENT_BITS | l->client,
        .kind = (uint8_t)l->op,
        .outcome = (uint8_t)history_outcome_of(l),
        .strict = l->strict,
    };
    if (l->client >= 1u << HISTORY_CLIENT_BITS)
        return KV_E_MALFORMED;
    int rc = history_key(h, bytes_str(l->key), &out->key);
    bool holds = l->op == HISTORY_PUT || (l->op == HISTORY_GET && out->outcome == HISTORY_OK);
    if (rc == KV_OK && l->value && holds)
        rc = history_value(h, bytes_str(l->value), &out->value);
    if (rc == KV_OK)
        rc = history_append(h, out);
    return rc == KV_E_INVALID ? KV_E_MALFORMED : rc;
}
