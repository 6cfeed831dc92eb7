/* The view as a page of text. Every line goes through `put`, which counts columns and cuts what does not fit;
 * each character drawn is one column wide. Colours only repeat what words and signs say.
 *
 *     gureum: 5 members, 4 alive, 1 dead · ring 3fe41c90 epoch 7, stable · seen by n1         12:00:01
 *
 *     node     state   seen by  ring    share   ops/s  fail/s hints gossip/s   keys
 *     n1       alive   -..D.    normal  20.1 %   1234       0     0  1.2 KiB  76442
 *     ...
 *     timeline, a second each
 *     n1        █████████████
 *     ops/s     ▁▂▃▄▅▆▇█       peak 12.3k
 *     available ██████▇▃█      99.98 %
 */
#include "cmd/kvcli_watch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd/common_human.h"
#include "cmd/kvcli_words.h"
#include "kv_error.h"

#define LABEL_COLUMNS 11u
#define NOTE_COLUMNS  16u /* behind a strip */
#define MATRIX_MIN    7u
#define NAME_MIN      8u
#define TABLE_COLUMNS 61u /* all columns of the table but names and matrix */

enum style { PLAIN, BOLD, DIM, GOOD, WARN, BAD };

static const char *const SGR[] = {"", "\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[31m"};

struct canvas {
    const struct watch_page *page;
    struct buf *out;
    uint32_t column, lines;
    int rc;
};

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Bytes of `text` that fill at most `columns`. */
static size_t fitting(const char *text, uint32_t columns, uint32_t *used)
{
    size_t n = 0;
    *used = 0;
    for (; text[n]; n++) {
        if (is_continuation(text[n]))
            continue;
        if (*used == columns)
            return n;
        ++*used;
    }
    return n;
}

static void append(struct canvas *c, const char *text, size_t len)
{
    int rc = buf_append(c->out, bytes_of(text, len));
    c->rc = rc ? rc : c->rc;
}

static void put_text(struct canvas *c, enum style style, const char *text)
{
    uint32_t used;
    size_t len = fitting(text, c->page->width - c->column, &used);
    bool dressed = c->page->color && style != PLAIN && len > 0;
    if (dressed)
        append(c, SGR[style], strlen(SGR[style]));
    append(c, text, len);
    if (dressed)
        append(c, "\033[0m", 4);
    c->column += used;
}

static void put(struct canvas *c, enum style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void put(struct canvas *c, enum style style, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put_text(c, style, text);
}

static void end_line(struct canvas *c)
{
    append(c, "\n", 1);
    c->column = 0;
    c->lines++;
}

/* ---- the head ---- */

static const char *dot(const struct canvas *c)
{
    return c->page->utf8 ? " \u00b7 " : " - ";
}

static void draw_members(struct canvas *c, const struct watch_view *v, const struct watch_total *t)
{
    static const enum style STYLES[] = {GOOD, WARN, BAD, DIM};
    put(c, BOLD, "%s", *v->cluster ? v->cluster : "no cluster yet");
    put(c, PLAIN, ": %u node%s", v->node_count, v->node_count == 1 ? "" : "s");
    for (uint8_t i = 0; i < 4; i++) {
        if (!t->states[i])
            continue;
        put(c, PLAIN, ", ");
        put(c, STYLES[i], "%u %s", t->states[i], cli_state_word(i));
    }
    if (t->unknown)
        put(c, WARN, ", %u unknown", t->unknown);
}

static void draw_title(struct canvas *c, const struct watch_view *v, const struct watch_total *t)
{
    uint32_t room = (uint32_t)strlen(c->page->clock) + 1;
    draw_members(c, v, t);
    if (v->facts_round)
        put(c, PLAIN, "%sring %08" PRIx64 " epoch %" PRIu64 ", %s", dot(c), v->ring_hash >> 32, v->epoch,
            cli_phase_word(v->phase));
    if (v->facts_round && c->column + strlen(v->seen_by) + 12 + room < c->page->width)
        put(c, PLAIN, "%sseen by %s", dot(c), v->seen_by);
    if (c->column + room <= c->page->width)
        put(c, DIM, "%*s", (int)(c->page->width - c->column), c->page->clock);
    end_line(c);
}

/* The change that is under way, what waits, and how far it is. */
static void draw_change(struct canvas *c, const struct watch_view *v)
{
    const struct progress *p = &v->progress;
    bool changing = v->phase != KV_STABLE;
    char percent[HUMAN_MAX], bytes[HUMAN_MAX], pace[HUMAN_MAX], left[HUMAN_MAX];
    if (!changing && v->queue_count == 0)
        return;
    put(c, WARN, changing ? "changes: " : "waits: ");
    put(c, PLAIN, "%s", v->queue_count ? v->queue[0] : "?");
    if (v->queue_count > 1)
        put(c, DIM, ", %u more wait%s", v->queue_count - 1, v->queue_count == 2 ? "s" : "");
    end_line(c);
    if (!changing || p->total == 0)
        return;
    put(c, PLAIN, "         %" PRIu64 " of %" PRIu64 " partitions, %s%s%s", p->done, p->total,
        human_percent(p->done, p->total, percent), dot(c), human_bytes((double)p->bytes, bytes));
    if (progress_left_s(p) > 0)
        put(c, PLAIN, ", %s/s, %s left", human_bytes(p->bytes_per_s, pace),
            human_seconds(progress_left_s(p), left));
    end_line(c);
}

static void draw_trouble(struct canvas *c, const struct watch_view *v)
{
    if (v->heard_round == v->round || v->round == 0 || !*v->trouble)
        return;
    put(c, BAD, "nobody has answered for %" PRIu64 " s", v->round - v->heard_round);
    put(c, PLAIN, " (%s)", v->trouble);
    end_line(c);
}

/* ---- the table ---- */

struct look {
    const char *sign; /* in the matrix */
    const char *word;
    enum style style;
};

static struct look look_of(uint8_t state)
{
    static const struct look LOOKS[] = {
        {".", "alive", PLAIN}, {"s", "suspect", WARN}, {"D", "dead", BAD}, {"L", "left", DIM}};
    return state < 4 ? LOOKS[state] : (struct look){"?", "unknown", WARN};
}

/* `wanted`, but at least `least`, and no more than makes the table too wide. */
static uint32_t fit_columns(const struct watch_page *page, uint32_t others, uint32_t wanted, uint32_t least)
{
    uint32_t room = page->width > others + least ? page->width - others : least;
    return wanted <= least ? least : wanted < room ? wanted : room;
}

static uint32_t matrix_columns(const struct watch_view *v, const struct watch_page *page)
{
    return fit_columns(page, TABLE_COLUMNS + NAME_MIN, v->node_count, MATRIX_MIN);
}

static int name_columns(const struct watch_view *v, const struct watch_page *page)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < v->node_count; i++) {
        size_t len = strlen(v->nodes[v->order[i]].name);
        longest = len > longest ? len : longest;
    }
    return (int)fit_columns(page, TABLE_COLUMNS + matrix_columns(v, page), (uint32_t)longest, NAME_MIN);
}

/* How each node sees this one, in the order of the rows; counts when there is no room for all. */
static void draw_matrix(struct canvas *c, const struct watch_view *v, uint32_t slot)
{
    uint32_t columns = matrix_columns(v, c->page), end = c->column + columns;
    if (v->node_count > columns) {
        uint32_t words = 0, alive = 0;
        for (uint32_t i = 0; i < v->node_count; i++) {
            uint8_t word = watch_word(v, v->order[i], slot);
            words += word < 4 && v->order[i] != slot;
            alive += word == KV_ALIVE && v->order[i] != slot;
        }
        put(c, alive == words ? PLAIN : WARN, "%u/%u", alive, words);
    } else {
        for (uint32_t i = 0; i < v->node_count; i++) {
            uint8_t word = watch_word(v, v->order[i], slot);
            struct look look = look_of(word);
            bool own = v->order[i] == slot && word == KV_ALIVE;
            put(c, own ? DIM : look.style, "%s", own ? "-" : look.sign);
        }
    }
    if (c->column < end)
        put(c, PLAIN, "%*s", (int)(end - c->column), "");
}

static enum style ring_style(const char *word)
{
    return strcmp(word, "normal") == 0 ? PLAIN : strcmp(word, "removed") == 0 ? BAD : WARN;
}

static void draw_ring_word(struct canvas *c, const struct watch_node *n)
{
    put(c, ring_style(n->ring), " %-7s", n->ring);
    if (n->gains && n->gains > n->taken) /* its share is what it will be: show how far it is */
        put(c, WARN, " %5.1f%%", 100.0 * n->taken / n->gains);
    else
        put(c, PLAIN, " %5.1f%%", 100 * n->share);
}

static void draw_rates(struct canvas *c, double ok, double failed, uint64_t hints, double gossip,
                       uint64_t rows)
{
    char text[4][HUMAN_MAX];
    put(c, PLAIN, " %6s", human_count(ok + failed, text[0]));
    put(c, failed > 0 ? BAD : PLAIN, " %6s", human_count(failed, text[1]));
    put(c, hints > 0 ? WARN : PLAIN, " %5s", human_count((double)hints, text[2]));
    put(c, PLAIN, " %8s %7" PRIu64, human_bytes(gossip, text[3]), rows);
}

static void draw_node(struct canvas *c, const struct watch_view *v, uint32_t slot)
{
    const struct watch_node *n = &v->nodes[slot];
    struct look look = look_of(watch_state(v, slot));
    bool answers = n->stats_round && n->stats_round + 1 >= v->round;
    put(c, BOLD, "%-*.*s", name_columns(v, c->page), name_columns(v, c->page), n->name);
    put(c, look.style, " %-7s ", look.word);
    draw_matrix(c, v, slot);
    draw_ring_word(c, n);
    if (answers && n->rated)
        draw_rates(c, n->ok_per_s, n->failed_per_s, n->last.hints, n->gossip_per_s, n->last.rows);
    else if (answers)
        put(c, DIM, " %6s %6s %5s %8s %7" PRIu64, "", "", "", "", n->last.rows);
    else
        put(c, DIM, " no answer");
    end_line(c);
}

static void draw_header(struct canvas *c, const struct watch_view *v)
{
    put(c, DIM, "%-*s %-7s %-*s %-7s %6s %6s %6s %5s %8s %7s", name_columns(v, c->page), "node", "state",
        (int)matrix_columns(v, c->page), "seen by", "ring", "share", "ops/s", "fail/s", "hints", "gossip/s",
        "rows");
    end_line(c);
}

static void draw_table(struct canvas *c, const struct watch_view *v, const struct watch_total *t,
                       uint32_t rows)
{
    uint32_t first = c->page->first;
    if (rows >= v->node_count || first > v->node_count - rows)
        first = rows >= v->node_count ? 0 : v->node_count - rows;
    draw_header(c, v);
    for (uint32_t i = first; i < v->node_count && i - first < rows; i++)
        draw_node(c, v, v->order[i]);
    put(c, DIM, "%-*s %-7s %-*s %-7s %6s", name_columns(v, c->page), "all", "",
        (int)matrix_columns(v, c->page), "", "", "");
    draw_rates(c, t->ok_per_s, t->failed_per_s, t->hints, t->gossip_per_s, t->rows);
    end_line(c);
}

/* ---- the timeline ---- */

static const char *bar(const struct canvas *c, double part)
{
    static const char *const BARS[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                       "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char *const DIGITS[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return c->page->utf8 ? BARS[(int)(part * 7)] : DIGITS[(int)(part * 9)];
}

static uint32_t timeline_columns(const struct watch_page *page)
{
    uint32_t columns =
        page->width > LABEL_COLUMNS + NOTE_COLUMNS + 10 ? page->width - LABEL_COLUMNS - NOTE_COLUMNS : 10;
    return columns < WATCH_HISTORY_MAX ? columns : WATCH_HISTORY_MAX;
}

/* Calls for each column, oldest first; before the beginning there is blank. */
static void draw_strip(struct canvas *c, const struct watch_view *v, const char *label,
                       void (*draw)(struct canvas *, const struct watch_view *, uint64_t at, const void *arg),
                       const void *arg)
{
    uint32_t columns = timeline_columns(c->page);
    put(c, PLAIN, "%-*.*s", (int)LABEL_COLUMNS, (int)LABEL_COLUMNS - 1, label);
    for (uint32_t i = columns; i-- > 0;) {
        if (v->ended > i)
            draw(c, v, (v->ended - i) % WATCH_HISTORY_MAX, arg);
        else
            put(c, PLAIN, " ");
    }
}

static void draw_state(struct canvas *c, const struct watch_view *v, uint64_t at, const void *arg)
{
    (void)v;
    const struct watch_node *n = arg;
    uint8_t state = n->strip[at];
    struct look look = look_of(state);
    if (state == WATCH_ABSENT)
        put(c, PLAIN, " ");
    else if (state == KV_ALIVE)
        put(c, GOOD, "%s", c->page->utf8 ? "\u2501" : "=");
    else
        put(c, look.style, "%s", look.sign);
}

static void draw_operations(struct canvas *c, const struct watch_view *v, uint64_t at, const void *arg)
{
    const struct watch_total *t = arg;
    const struct watch_column *column = &v->columns[at];
    double all = (double)(column->ok + column->failed);
    if (!column->heard)
        put(c, WARN, "?");
    else if (all == 0)
        put(c, DIM, ".");
    else
        put(c, PLAIN, "%s", bar(c, all / t->peak_per_s));
}

/* Full only when nothing failed. */
static void draw_available(struct canvas *c, const struct watch_view *v, uint64_t at, const void *arg)
{
    (void)arg;
    const struct watch_column *column = &v->columns[at];
    uint64_t all = column->ok + column->failed;
    double part = all ? (double)column->ok / (double)all : 0;
    if (!column->heard)
        put(c, WARN, "?");
    else if (all == 0)
        put(c, DIM, ".");
    else if (column->failed == 0)
        put(c, GOOD, "%s", c->page->utf8 ? "\u2588" : "#");
    else
        put(c, part > 0.9 ? WARN : BAD, "%s", bar(c, part * 0.86));
}

static void draw_timeline(struct canvas *c, const struct watch_view *v, const struct watch_total *t,
                          bool with_nodes)
{
    char text[HUMAN_MAX];
    for (uint32_t i = 0; with_nodes && i < v->node_count; i++) {
        const struct watch_node *n = &v->nodes[v->order[i]];
        draw_strip(c, v, n->name, draw_state, n);
        put(c, PLAIN, " %s", look_of(watch_state(v, v->order[i])).word);
        end_line(c);
    }
    draw_strip(c, v, "operations", draw_operations, t);
    put(c, PLAIN, " peak %s/s", human_count(t->peak_per_s, text));
    end_line(c);
    draw_strip(c, v, "available", draw_available, NULL);
    put(c, PLAIN, " %s", t->ok + t->failed ? human_percent(t->ok, t->ok + t->failed, text) : "no operations");
    end_line(c);
}

/* ---- the page ---- */

/* What is left of the page's lines below those drawn. */
static uint32_t lines_left(const struct canvas *c)
{
    if (c->page->height == 0)
        return UINT32_MAX;
    return c->page->height > c->lines ? c->page->height - c->lines : 0;
}

int watch_draw(const struct watch_view *v, const struct watch_page *page, struct buf *out)
{
    struct canvas c = {.page = page, .out = out};
    struct watch_total t = watch_total(v, timeline_columns(page));
    buf_clear(out);
    draw_title(&c, v, &t);
    draw_change(&c, v);
    draw_trouble(&c, v);
    end_line(&c);
    /* The header, the sums and two strips are always there; then come rows, a blank line, the other strips.
     */
    uint32_t left = lines_left(&c), rows = left > 4 ? left - 4 : 0;
    rows = rows < v->node_count ? rows : v->node_count;
    bool with_nodes = page->height == 0 || left >= 5 + 2 * v->node_count;
    draw_table(&c, v, &t, rows);
    if (lines_left(&c) > 2)
        end_line(&c);
    draw_timeline(&c, v, &t, with_nodes);
    return c.rc;
}
