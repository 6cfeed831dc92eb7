/* kvbench timeline: the figures of kvbench_timeline.h for each bucket of time, or for each phase of an
 * experiment, as CSV or as JSON lines.
 *
 * A phase begins at a line of the events file, `<ns><TAB><name>`, and lasts until the next one; the last one
 * until the last operation has ended. Times are those of histories (`kvbench clock` prints the present). */
#include <stdlib.h>
#include <string.h>

#include "cmd/common_file.h"
#include "cmd/kvbench.h"
#include "cmd/kvbench_history.h"
#include "cmd/kvbench_timeline.h"

#define PHASES_MAX        256u
#define PHASE_NAME_MAX    64u
#define TIMELINE_OPS_MAX  100000000u
#define BUCKET_DEFAULT_MS 100u

struct phase {
    uint64_t begin_ns;
    char name[PHASE_NAME_MAX];
};

struct phases {
    const struct bench_options *o;
    struct history history;
    uint32_t file; /* the one that is read */
    uint64_t first_ns, last_ns;
    struct phase phase[PHASES_MAX];
    size_t count;
};

static int on_line(const struct history_line *l, void *arg)
{
    struct phases *p = arg;
    struct history_op op;
    p->first_ns = l->start_ns < p->first_ns ? l->start_ns : p->first_ns;
    p->last_ns = l->end_ns > p->last_ns ? l->end_ns : p->last_ns;
    return history_enter(&p->history, l, p->file, &op);
}

static bool read_event(struct phases *p, const char *line)
{
    char *end;
    size_t len = strcspn(line, "\n");
    uint64_t ns = strtoull(line, &end, 10);
    bool later = p->count == 0 || ns > p->phase[p->count - 1].begin_ns;
    if (*end != '\t' || end + 1 >= line + len || p->count == PHASES_MAX || !later)
        return false;
    struct phase *phase = &p->phase[p->count++];
    phase->begin_ns = ns;
    snprintf(phase->name, sizeof phase->name, "%.*s", (int)(line + len - end - 1), end + 1);
    return strpbrk(phase->name, ",\"\\") == NULL; /* it stands in CSV and in JSON as it is */
}

static int read_events(struct phases *p, const char *name)
{
    char line[256];
    int number = 0, status = 0;
    FILE *f = file_open(name);
    if (!f) {
        fprintf(stderr, "kvbench: cannot read %s: %m\n", name);
        return 2;
    }
    while (status == 0 && fgets(line, sizeof line, f)) {
        number++;
        if (!read_event(p, line)) {
            fprintf(stderr, "kvbench: %s:%d is no event (<ns><TAB><name>, in order of time)\n", name, number);
            status = 2;
        }
    }
    fclose(f);
    return status;
}

/* ---- what is printed ---- */

/* Milliseconds with a digit; nothing, or null, for what never came. */
static void print_ms(const char *before, uint64_t ns, const char *nothing)
{
    if (ns == TIMELINE_NEVER)
        printf("%s%s", before, nothing);
    else
        printf("%s%.1f", before, (double)ns / 1e6);
}

static void print_json(const struct phases *p, const char *name, const struct timeline_span *s)
{
    if (name)
        printf("{\"phase\":\"%s\",\"begin_ms\":", name);
    else
        printf("{\"begin_ms\":");
    print_ms("", s->begin_ns - p->first_ns, "null");
    print_ms(",\"end_ms\":", s->end_ns - p->first_ns, "null");
    printf(",\"ops\":%llu,\"failed\":%llu,\"missed\":%llu,\"stale\":%llu,\"available_percent\":%.3f",
           (unsigned long long)s->ops, (unsigned long long)s->failed, (unsigned long long)s->missed,
           (unsigned long long)s->stale, timeline_available_percent(s));
    printf(",\"p50_us\":%llu,\"p99_us\":%llu,\"max_us\":%llu", (unsigned long long)s->p50_us,
           (unsigned long long)s->p99_us, (unsigned long long)s->max_us);
    print_ms(",\"recovery_ms\":", s->recovery_ns, "null");
    print_ms(",\"gap_ms\":", s->gap_ns, "null");
    printf("}\n");
}

static void print_csv(const struct phases *p, const char *name, const struct timeline_span *s)
{
    if (name)
        printf("%s,", name);
    print_ms("", s->begin_ns - p->first_ns, "");
    print_ms(",", s->end_ns - p->first_ns, "");
    printf(",%llu,%llu,%llu,%llu,%.3f,%llu,%llu,%llu", (unsigned long long)s->ops,
           (unsigned long long)s->failed, (unsigned long long)s->missed, (unsigned long long)s->stale,
           timeline_available_percent(s), (unsigned long long)s->p50_us, (unsigned long long)s->p99_us,
           (unsigned long long)s->max_us);
    print_ms(",", s->recovery_ns, "");
    print_ms(",", s->gap_ns, "");
    printf("\n");
}

static int print_span(const struct phases *p, const struct timeline *t, const char *name, uint64_t begin_ns,
                      uint64_t end_ns)
{
    struct timeline_span span = {.begin_ns = begin_ns, .end_ns = end_ns};
    int rc = timeline_measure(t, &span);
    if (rc == KV_OK)
        (p->o->json ? print_json : print_csv)(p, name, &span);
    return rc;
}

static int print_phases(const struct phases *p, const struct timeline *t)
{
    int rc = KV_OK;
    for (size_t i = 0; i < p->count && rc == KV_OK; i++) {
        uint64_t end_ns = i + 1 < p->count ? p->phase[i + 1].begin_ns : p->last_ns + 1;
        if (p->phase[i].begin_ns < end_ns)
            rc = print_span(p, t, p->phase[i].name, p->phase[i].begin_ns, end_ns);
    }
    return rc;
}

static int print_buckets(const struct phases *p, const struct timeline *t)
{
    uint64_t step_ns = (uint64_t)(p->o->bucket_ms ? p->o->bucket_ms : BUCKET_DEFAULT_MS) * 1000000;
    int rc = KV_OK;
    for (uint64_t at = p->first_ns; at <= p->last_ns && rc == KV_OK; at += step_ns)
        rc = print_span(p, t, NULL, at, at + step_ns);
    return rc;
}

static int print_all(struct phases *p)
{
    struct timeline t;
    int rc = timeline_init(&t, &p->history, (uint64_t)p->o->skew_ms * 1000000);
    if (rc != KV_OK)
        return rc;
    if (p->count)
        p->first_ns = p->phase[0].begin_ns; /* times are told from here */
    if (!p->o->json)
        printf("%sbegin_ms,end_ms,ops,failed,missed,stale,available_percent,p50_us,p99_us,max_us,recovery_ms,"
               "gap_ms\n",
               p->o->phases ? "phase," : "");
    rc = p->o->phases ? print_phases(p, &t) : print_buckets(p, &t);
    timeline_deinit(&t);
    return rc;
}

int bench_timeline(const struct bench_options *o)
{
    static struct phases p; /* large */
    memset(&p, 0, sizeof p);
    p.o = o;
    p.first_ns = UINT64_MAX;
    int status = o->events ? read_events(&p, o->events) : 0;
    if (status)
        return status;
    history_init(&p.history, TIMELINE_OPS_MAX);
    int rc = KV_OK;
    for (int i = 1; i < o->file_count && rc == KV_OK; i++) {
        p.file = (uint32_t)i - 1;
        rc = history_read_file(o->files[i], on_line, &p);
    }
    if (rc == KV_OK && p.history.count)
        rc = print_all(&p);
    history_deinit(&p.history);
    return rc == KV_OK ? 0 : 2;
}
