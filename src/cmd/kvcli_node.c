/* node: changing the ring. A change is asked for, waits in the ring's queue, and is made by the nodes; this
 * command only follows it. Interrupted, it leaves the change going.
 *
 * A change is over when the queue does not hold it any more; whether it was made shows the member. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/common_human.h"
#include "cmd/common_progress.h"
#include "cmd/kvcli.h"
#include "model/addr.h"

#define LOOK_MS        300u               /* between looks at a change that is made */
#define PATIENCE_MS    1000u              /* for one look */
#define LINE_US        UINT64_C(5000000)  /* a plain line this often, and whenever the phase changes */
#define NOBODY_US      UINT64_C(30000000) /* nobody has answered for so long: given up looking */
#define WEIGHT_CEILING 16u

struct node_run {
    struct cli *cli;
    struct kv *kv;
    struct kv_change change;
    char words[128]; /* "weight n3 2": as the queue has it */
    uint32_t id;     /* of the member; 0: none has this name */
    int exit;
    uint64_t epoch; /* the ring that has the change in its queue */
    /* What the last look saw. */
    bool heard;
    bool over;
    bool made;
    uint32_t before; /* changes that come first */
    uint8_t phase;
    struct progress progress;
    uint64_t moved_bytes; /* so far; nothing is told of it any more when the change is made */
    uint64_t heard_us, line_us;
    char line[256]; /* the last one that was shown */
};

static const char *const KINDS[] = {"", "join", "leave", "remove", "weight", "zone"};

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- how far it is ---- */

static const struct kv_member *find(const struct kv_status *s, uint32_t id, const char *name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->members[i].in_ring && (id ? s->members[i].id == id : strcmp(s->members[i].name, name) == 0))
            return &s->members[i];
    return NULL;
}

/* Whether the queue's entry is this change: it begins with the same words. */
static bool is_entry(const struct node_run *r, const char *entry)
{
    size_t len = strlen(r->words);
    return strncmp(entry, r->words, len) == 0 && (entry[len] == 0 || entry[len] == ' ');
}

/* Whether the ring is as the change wants it. */
static bool is_made(const struct node_run *r, const struct kv_status *s)
{
    const struct kv_member *m = find(s, r->id, r->change.name);
    switch (r->change.kind) {
    case KV_CHANGE_WEIGHT: return m && m->weight == r->change.weight;
    case KV_CHANGE_ZONE: return m && strcmp(m->zone, r->change.zone) == 0;
    default: return !m;
    }
}

static void on_look(const struct kv_status *s, void *arg)
{
    struct node_run *r = arg;
    uint64_t done = 0, total = 0, bytes = 0;
    r->heard = s->status == KV_OK && s->epoch >= r->epoch; /* else: a node that does not know of it yet */
    if (!r->heard)
        return;
    r->heard_us = now_us();
    r->phase = s->phase;
    for (r->before = 0; r->before < s->queue_count; r->before++)
        if (is_entry(r, s->queue[r->before]))
            break;
    r->over = r->before == s->queue_count;
    r->made = r->over && is_made(r, s);
    for (uint32_t i = 0; r->before == 0 && i < s->count; i++) {
        done += s->members[i].partitions_done;
        total += s->members[i].partitions_total;
        bytes += s->members[i].moved_bytes;
    }
    progress_look(&r->progress, r->heard_us, done, total, bytes);
    r->moved_bytes = bytes > r->moved_bytes ? bytes : r->moved_bytes;
}

/* ---- what is shown of it ---- */

static void describe(const struct node_run *r, char *out, size_t size)
{
    char percent[HUMAN_MAX], bytes[HUMAN_MAX], left[HUMAN_MAX], pace[2 * HUMAN_MAX] = "";
    const struct progress *p = &r->progress;
    if (!r->heard) {
        (void)snprintf(out, size, "%s: no node answers", r->words);
    } else if (r->before > 0) {
        (void)snprintf(out, size, "%s: waits for %u other change%s", r->words, r->before,
                       r->before == 1 ? "" : "s");
    } else if (p->total == 0) {
        (void)snprintf(out, size, "%s: %s", r->words,
                       r->phase == KV_STABLE ? "queued" : cli_phase_word(r->phase));
    } else {
        if (progress_left_s(p) > 0)
            (void)snprintf(pace, sizeof pace, ", %s/s, %s left", human_bytes(p->bytes_per_s, bytes),
                           human_seconds(progress_left_s(p), left));
        (void)snprintf(out, size, "%s: %s, %" PRIu64 " of %" PRIu64 " partitions (%s), %s%s", r->words,
                       cli_phase_word(r->phase), p->done, p->total, human_percent(p->done, p->total, percent),
                       human_bytes((double)p->bytes, bytes), pace);
    }
}

static void show_json(const struct node_run *r)
{
    const struct progress *p = &r->progress;
    json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:f}", "status", "under_way", "change",
                          r->words, "phase", cli_phase_word(r->phase), "before", (int)r->before,
                          "partitions_done", (json_int_t)p->done, "partitions_total", (json_int_t)p->total,
                          "moved_bytes", (json_int_t)p->bytes, "bytes_per_s", p->bytes_per_s);
    if (progress_left_s(p) >= 0)
        json_object_set_new(o, "seconds_left", json_real(progress_left_s(p)));
    json_print(o);
    fflush(stdout);
}

/* On a terminal one line that is rewritten; else a line now and then. */
static void show(struct node_run *r)
{
    char line[256];
    bool terminal = isatty(STDERR_FILENO) && !r->cli->json;
    describe(r, line, sizeof line);
    size_t head = strcspn(line, ","); /* up to the phase */
    bool news = strncmp(line, r->line, head) != 0 || r->line[head] != line[head];
    if (terminal) {
        fprintf(stderr, "\r%s\033[K", line);
    } else if (news || now_us() - r->line_us >= LINE_US) {
        r->line_us = now_us();
        if (r->cli->json)
            show_json(r);
        else
            fprintf(stderr, "%s\n", line);
    }
    memcpy(r->line, line, sizeof line);
}

static void show_end(const struct node_run *r)
{
    if (isatty(STDERR_FILENO) && !r->cli->json)
        fputs("\r\033[K", stderr);
}

/* ---- following it ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signum)
{
    (void)signum;
    interrupted = 1;
}

static int say_interrupted(const struct node_run *r)
{
    fprintf(stderr, "kvcli: %s goes on without us; kvcli status and kvcli watch show how far it is\n",
            r->words);
    if (!r->cli->interactive) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    return EXIT_TIMEOUT;
}

static int say_over(const struct node_run *r)
{
    char bytes[HUMAN_MAX];
    if (!r->made) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "%s was given up by the nodes, and the ring is as before; their logs say why",
                       r->words);
        return cli_fail_status(r->cli, KV_E_UNAVAILABLE, text);
    }
    if (r->cli->json)
        json_print(json_pack("{s:s, s:s, s:I}", "status", "ok", "change", r->words, "moved_bytes",
                             (json_int_t)r->moved_bytes));
    else
        printf("%s: done, %s moved\n", r->words, human_bytes((double)r->moved_bytes, bytes));
    return EXIT_OK;
}

static void look(struct node_run *r)
{
    struct kv_request request = {.timeout_ms = PATIENCE_MS, .via = r->cli->via};
    r->heard = false;
    if (kv_status(r->kv, &request, on_look, r) == KV_OK)
        kv_wait(r->kv);
}

static int follow(struct node_run *r)
{
    const struct timespec pause = {0, LOOK_MS * 1000000L};
    struct sigaction action = {.sa_handler = on_interrupt}, before;
    interrupted = 0;
    r->heard_us = now_us();
    sigaction(SIGINT, &action, &before); /* no SA_RESTART: it ends the pause */
    while (!interrupted && !r->over && now_us() - r->heard_us < NOBODY_US) {
        look(r);
        if (r->over)
            break;
        show(r);
        if (!interrupted)
            nanosleep(&pause, NULL);
    }
    sigaction(SIGINT, &before, NULL);
    show_end(r);
    if (r->over)
        return say_over(r);
    if (interrupted)
        return say_interrupted(r);
    return cli_fail_status(r->cli, KV_E_TIMEOUT, "no node answers any more; the change goes on when they do");
}

/* ---- asking for it ---- */

static void print_plan(struct node_run *r, const struct kv_changed *c)
{
    if (r->cli->json)
        json_print(json_pack("{s:s, s:s, s:b, s:I, s:i, s:i, s:i, s:f}", "status", "ok", "change", r->words,
                             "plan", 1, "epoch", (json_int_t)c->epoch, "moved", (int)c->moved, "least",
                             (int)c->least, "total", (int)c->total, "max_over_mean", c->max_over_mean));
    else
        printf("%s would move %u of %u replicas of partitions (least possible: %u);\n"
               "the busiest member would have %.2f of the mean. Nothing was changed.\n",
               r->words, c->moved, c->total, c->least, c->max_over_mean);
}

static void on_changed(const struct kv_changed *c, void *arg)
{
    struct node_run *r = arg;
    r->epoch = c->epoch;
    if (c->status != KV_OK)
        r->exit = cli_fail_status(r->cli, c->status, c->message);
    else if (r->change.plan)
        print_plan(r, c);
    else if ((r->cli->given & OPT_NO_WAIT) && r->cli->json)
        json_print(json_pack("{s:s, s:s, s:I}", "status", "queued", "change", r->words, "epoch",
                             (json_int_t)c->epoch));
    else if (r->cli->given & OPT_NO_WAIT)
        printf("%s: queued in epoch %" PRIu64 "; kvcli watch shows how far it is\n", r->words, c->epoch);
}

static void on_first_look(const struct kv_status *s, void *arg)
{
    struct node_run *r = arg;
    if (s->status != KV_OK) {
        r->exit = cli_fail_status(r->cli, s->status, s->message);
        return;
    }
    const struct kv_member *m = find(s, 0, r->change.name);
    r->id = m ? m->id : 0;
    if (!m && r->change.kind != KV_CHANGE_JOIN) {
        char text[128];
        (void)snprintf(text, sizeof text, "no member of the ring is named %s", r->change.name);
        r->exit = cli_fail_status(r->cli, KV_E_INVALID, text);
    }
}

static int change(struct cli *cli, struct kv_change what, const char *words)
{
    struct node_run r = {.cli = cli, .kv = cli_kv(cli), .change = what};
    struct kv_request request = {.timeout_ms = cli->timeout_ms, .via = cli->via};
    if (!r.kv)
        return EXIT_USAGE;
    (void)snprintf(r.words, sizeof r.words, "%s %s%s%s", KINDS[what.kind], what.name, *words ? " " : "",
                   words);
    r.change.plan = cli->given & OPT_PLAN;
    int rc = kv_status(r.kv, &request, on_first_look, &r);
    if (rc == KV_OK)
        kv_wait(r.kv);
    if (rc == KV_OK && r.exit == EXIT_OK &&
        (rc = kv_change(r.kv, &r.change, &request, on_changed, &r)) == KV_OK)
        kv_wait(r.kv);
    if (rc != KV_OK)
        return cli_fail_status(cli, rc, kv_error_text(rc));
    if (r.exit != EXIT_OK || r.change.plan || (cli->given & OPT_NO_WAIT))
        return r.exit;
    return follow(&r);
}

/* ---- replace ---- */

struct replacement {
    struct cli *cli;
    int exit;
};

static void on_replace(const struct kv_status *s, void *arg)
{
    struct replacement *r = arg;
    const char *name = r->cli->argv[2], *separator = "";
    const struct kv_member *m = s->status == KV_OK ? find(s, 0, name) : NULL;
    char text[160];
    if (s->status != KV_OK) {
        r->exit = cli_fail_status(r->cli, s->status, s->message);
    } else if (!m) {
        (void)snprintf(text, sizeof text, "no member of the ring is named %s", name);
        r->exit = cli_fail_status(r->cli, KV_E_INVALID, text);
    } else if (m->state != KV_DEAD && m->state != KV_LEFT) {
        (void)snprintf(text, sizeof text, "%s is %s; only a dead member can be replaced: stop it first", name,
                       cli_state_word(m->state));
        r->exit = cli_fail_status(r->cli, KV_E_INVALID, text);
    } else {
        printf("Start the new node under the name of the old one, with an empty data directory:\n"
               "  kvd --name %s --data DIR --listen HOST:PORT --join ",
               name);
        for (uint32_t i = 0; i < s->count; i++) {
            if (s->members[i].state != KV_ALIVE || !s->members[i].in_ring)
                continue;
            printf("%s%s", separator, s->members[i].address);
            separator = ",";
        }
        printf("\nIt takes over what %s held from the other homes; kvcli watch shows how far it is.\n", name);
    }
}

static int replace(struct cli *cli)
{
    struct replacement r = {.cli = cli};
    struct kv *kv = cli_kv(cli);
    struct kv_request request = cli_request(cli);
    if (!kv)
        return EXIT_USAGE;
    int rc = kv_status(kv, &request, on_replace, &r);
    if (rc != KV_OK)
        return cli_fail_status(cli, rc, kv_error_text(rc));
    kv_wait(kv);
    return r.exit;
}

/* ---- words ---- */

static int set_weight(struct cli *cli)
{
    char *end;
    long weight = strtol(cli->argv[3], &end, 10);
    if (!*cli->argv[3] || *end || weight < 1 || weight > (long)WEIGHT_CEILING)
        return cli_usage(cli, "node weight: '%s' is no number from 1 to %u", cli->argv[3], WEIGHT_CEILING);
    char words[8];
    (void)snprintf(words, sizeof words, "%ld", weight);
    return change(
        cli, (struct kv_change){.kind = KV_CHANGE_WEIGHT, .name = cli->argv[2], .weight = (uint32_t)weight},
        words);
}

static int add(struct cli *cli)
{
    const char *name = cli->argv[2];
    if (!(cli->given & OPT_PLAN))
        return cli_usage(cli,
                         "node add: a node joins by itself, when it is started so:\n"
                         "  kvd --name %s --data DIR --listen HOST:PORT --join HOST:PORT,...\n"
                         "'node add %s --plan' shows what would move",
                         name, name);
    if (cli->zone && !name_ok(cli->zone))
        return cli_usage(cli, "--zone '%s' is no name", cli->zone);
    return change(
        cli,
        (struct kv_change){
            .kind = KV_CHANGE_JOIN, .name = name, .weight = cli->weight ? cli->weight : 1, .zone = cli->zone},
        "");
}

static int set_zone(struct cli *cli)
{
    const char *zone = strcmp(cli->argv[3], "-") == 0 ? "" : cli->argv[3];
    if (*zone && !name_ok(zone))
        return cli_usage(cli, "node zone: '%s' is no name", zone);
    return change(cli, (struct kv_change){.kind = KV_CHANGE_ZONE, .name = cli->argv[2], .zone = zone}, zone);
}

static int leave(struct cli *cli)
{
    return change(cli, (struct kv_change){.kind = KV_CHANGE_LEAVE, .name = cli->argv[2]}, "");
}

static int remove_dead(struct cli *cli)
{
    return change(cli, (struct kv_change){.kind = KV_CHANGE_REMOVE, .name = cli->argv[2]}, "");
}

static int list(struct cli *cli)
{
    return cmd_status(cli);
}

int cmd_node(struct cli *cli)
{
    static const struct {
        const char *word, *arguments;
        int words; /* behind it */
        unsigned options;
        int (*run)(struct cli *cli);
    } WORDS[] = {
        {"list", "", 0, OPT_TSV, list},
        {"add", "NAME --plan [--weight W] [--zone ZONE]", 1, OPT_PLAN | OPT_WEIGHT | OPT_ZONE, add},
        {"leave", "NAME", 1, OPT_PLAN | OPT_NO_WAIT, leave},
        {"remove", "NAME", 1, OPT_PLAN | OPT_NO_WAIT, remove_dead},
        {"replace", "NAME", 1, 0, replace},
        {"weight", "NAME W", 2, OPT_PLAN | OPT_NO_WAIT, set_weight},
        {"zone", "NAME ZONE (- : one of its own)", 2, OPT_PLAN | OPT_NO_WAIT, set_zone},
    };
    const char *word = cli->argv[1];
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        if (strcmp(word, WORDS[i].word) != 0)
            continue;
        if (cli->argc != 2 + WORDS[i].words)
            return cli_usage(cli, "node %s takes: %s", word,
                             WORDS[i].words ? WORDS[i].arguments : "no more words");
        if (cli->given & ~WORDS[i].options)
            return cli_usage(cli, "node %s does not take --%s", word,
                             cli_option_word(cli->given & ~WORDS[i].options));
        if (cli->argc > 2 && !name_ok(cli->argv[2]))
            return cli_usage(cli, "node %s: '%s' is no name", word, cli->argv[2]);
        return WORDS[i].run(cli);
    }
    return cli_usage(cli, "no 'node %s'", word);
}
