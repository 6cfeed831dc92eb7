#include "cmd/kvcli_bars.h"

#include <stdio.h>
#include <string.h>

#define BAR_COLUMNS 40u
#define BARS_MAX    32u

struct span {
    const struct kv_trace *begin;
    const struct kv_trace *end; /* NULL: there was no answer */
};

static const char *what(const struct kv_trace *t)
{
    switch (t->kind) {
    case KV_TRACE_SEND: return "client";
    case KV_TRACE_ASK: return "asked";
    case KV_TRACE_HEDGE: return "hedge";
    case KV_TRACE_HINT: return "hint";
    case KV_TRACE_WRITE_BACK: return "back";
    default: return NULL;
    }
}

/* Whether `t` is what the span waits for: a replica's answer for what the coordinator asked, a node's reply
 * (or the loss of it) for what the library sent. */
static bool ends(const struct span *s, const struct kv_trace *t)
{
    bool client = s->begin->kind == KV_TRACE_SEND;
    bool end = client ? t->kind == KV_TRACE_REPLY || t->kind == KV_TRACE_LOST : t->kind == KV_TRACE_ANSWER;
    return !s->end && end && t->client == s->begin->client && strcmp(t->node, s->begin->node) == 0;
}

static uint32_t find_spans(const struct kv_trace *trace, uint32_t count, struct span spans[BARS_MAX])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (what(&trace[i])) {
            if (n < BARS_MAX)
                spans[n++] = (struct span){.begin = &trace[i]};
            continue;
        }
        uint32_t k = 0;
        while (k < n && !ends(&spans[k], &trace[i]))
            k++;
        if (k < n)
            spans[k].end = &trace[i];
    }
    return n;
}

/* What the bars are drawn on: all that happens between the two. */
struct scale {
    uint32_t from_us, to_us;
    uint32_t decided_us; /* UINT32_MAX: never */
    bool utf8;
};

static uint32_t column_of(const struct scale *s, uint32_t at_us)
{
    uint32_t whole_us = s->to_us > s->from_us ? s->to_us - s->from_us : 1;
    uint32_t since_us = at_us > s->from_us ? at_us - s->from_us : 0;
    return (uint32_t)((uint64_t)since_us * (BAR_COLUMNS - 1) / whole_us);
}

/* The moment at which the answer was there is a line across all bars. */
static int draw_bar(const struct span *s, const struct scale *scale, struct buf *out)
{
    bool utf8 = scale->utf8;
    uint32_t first = column_of(scale, s->begin->at_us);
    uint32_t last = column_of(scale, s->end ? s->end->at_us : scale->to_us);
    uint32_t decided = scale->decided_us == UINT32_MAX ? UINT32_MAX : column_of(scale, scale->decided_us);
    int rc = 0;
    for (uint32_t i = 0; i < BAR_COLUMNS && rc == 0; i++) {
        const char *cell = " ";
        if (i >= first && i <= last)
            cell = s->end ? (utf8 ? "\u2501" : "=") : (utf8 ? "\u2504" : "-");
        else if (i == decided)
            cell = utf8 ? "\u2502" : "|";
        rc = buf_append(out, bytes_str(cell));
    }
    return rc;
}

static int draw_span(const struct span *s, const struct scale *scale, struct buf *out)
{
    char who[80];
    bool hint = s->begin->kind == KV_TRACE_HINT;
    (void)snprintf(who, sizeof who, "%s%s%s", *s->begin->node ? s->begin->node : "?", hint ? " for " : "",
                   hint ? s->begin->other : "");
    int rc = buf_printf(out, "  %-6s %-12s ", what(s->begin), who);
    if (rc == 0)
        rc = draw_bar(s, scale, out);
    if (rc == 0 && s->end && s->end->kind != KV_TRACE_LOST)
        rc = buf_printf(out, " %6u us, %s\n", s->end->at_us - s->begin->at_us, kv_error_word(s->end->status));
    else if (rc == 0)
        rc = buf_printf(out, " %s\n", s->end ? "connection lost" : "no answer yet");
    return rc;
}

int bars_draw(const struct kv_trace *trace, uint32_t count, uint32_t us, bool utf8, struct buf *out)
{
    struct span spans[BARS_MAX];
    uint32_t n = find_spans(trace, count, spans);
    struct scale scale = {UINT32_MAX, us, UINT32_MAX, utf8};
    for (uint32_t i = 0; i < n; i++)
        if (spans[i].begin->at_us < scale.from_us)
            scale.from_us = spans[i].begin->at_us;
    for (uint32_t i = 0; i < count; i++) {
        if (trace[i].kind == KV_TRACE_DECIDE)
            scale.decided_us = trace[i].at_us;
        scale.to_us = trace[i].at_us > scale.to_us ? trace[i].at_us : scale.to_us;
    }
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = draw_span(&spans[i], &scale, out);
    return rc;
}
