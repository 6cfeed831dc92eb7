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

static uint32_t column_of(uint32_t at_us, uint32_t whole_us)
{
    return (uint32_t)((uint64_t)at_us * (BAR_COLUMNS - 1) / (whole_us ? whole_us : 1));
}

/* The moment at which the answer was there is a line across all bars. */
static int draw_bar(const struct span *s, uint32_t decided_us, uint32_t whole_us, bool utf8, struct buf *out)
{
    uint32_t first = column_of(s->begin->at_us, whole_us);
    uint32_t last = column_of(s->end ? s->end->at_us : whole_us, whole_us);
    uint32_t decided = decided_us == UINT32_MAX ? UINT32_MAX : column_of(decided_us, whole_us);
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

static int draw_span(const struct span *s, uint32_t decided_us, uint32_t whole_us, bool utf8, struct buf *out)
{
    char who[80];
    bool hint = s->begin->kind == KV_TRACE_HINT;
    (void)snprintf(who, sizeof who, "%s%s%s", *s->begin->node ? s->begin->node : "?", hint ? " for " : "",
                   hint ? s->begin->other : "");
    int rc = buf_printf(out, "  %-6s %-12s ", what(s->begin), who);
    if (rc == 0)
        rc = draw_bar(s, decided_us, whole_us, utf8, out);
    if (rc == 0 && s->end && s->end->kind != KV_TRACE_LOST)
        rc = buf_printf(out, " %6u us, %s\n", s->end->at_us - s->begin->at_us, kv_error_word(s->end->status));
    else if (rc == 0)
        rc = buf_printf(out, " %s\n", s->end ? "connection lost" : "no answer yet");
    return rc;
}

int bars_draw(const struct kv_trace *trace, uint32_t count, uint32_t us, bool utf8, struct buf *out)
{
    struct span spans[BARS_MAX];
    uint32_t n = find_spans(trace, count, spans), decided_us = UINT32_MAX, whole_us = us;
    int rc = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (trace[i].kind == KV_TRACE_DECIDE)
            decided_us = trace[i].at_us;
        whole_us = trace[i].at_us > whole_us ? trace[i].at_us : whole_us;
    }
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = draw_span(&spans[i], decided_us, whole_us, utf8, out);
    return rc;
}
