/* kvd: one node. Opens its store, learns who it was, listens, and runs until it is told to stop. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cmd/kvd_options.h"
#include "cmd/version.h"
#include "kv_error.h"
#include "uv/boot.h"

/* jemalloc's settings, which it looks for under this name. The engine's memtables are searched at random: in
 * pages of 2 MiB that costs a tenth less CPU for every request. Two arenas are enough for our few threads,
 * and keep what such pages waste at about 8 MiB. */
extern const char *malloc_conf;
__attribute__((visibility("default"))) const char *malloc_conf = "narenas:2,thp:always";

/* Standard error, one event a line. */
static void write_line(enum log_level level, const char *text, void *arg)
{
    struct timespec t;
    struct tm tm;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(stderr, "time=%s.%03ldZ level=%s node=%s %s\n", when, t.tv_nsec / 1000000, log_level_name(level),
            (const char *)arg, text);
}

/* Clients, members, and what the engine keeps open. Returns the limit in force. */
static unsigned long raise_file_limit(void)
{
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

/* A node that interrupts whoever sends it a message wakes up for every single one. One that lets him go on
 * finds several, and answers them with fewer system calls: with nodes and 50 clients on two cores a sixth
 * more puts, and nearly half more gets. Who has a core to spare wakes up as soon as before. Threads inherit
 * it. */
static void schedule_as_batch(void)
{
    struct sched_param none = {0};
    (void)sched_setscheduler(0, SCHED_BATCH, &none); /* refused, things go on as they were */
}

struct hint_visit {
    struct node *node;
    int rc;
};

static void visit_hints(uint32_t member, uint64_t count, uint64_t bytes, void *arg)
{
    struct hint_visit *v = arg;
    int rc = node_hint_total(v->node, member, count, bytes);
    if (rc != KV_OK)
        v->rc = rc;
}

static int make_node(const struct kvd_options *o, const struct boot *boot, struct node **out, char error[256])
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return KV_E_IO;
    struct node_config config = {
        .name = o->name,
        .cluster = o->cluster,
        .zone = o->zone,
        .weight = o->weight,
        .addr = o->listen,
        .replicas = o->replicas,
        .topology = o->topology_given ? &o->topology : NULL,
        .hub = o->hub,
        .partitions = RING_PARTITIONS,
        .value_max_bytes = o->value_max_bytes,
        .seed = seed,
        .swim = swim_config_default(),
        .founders = o->founders,
        .founder_count = o->founder_count,
        .join = o->join,
        .join_count = o->join_count,
        .transfer_rate_bytes = o->transfer_rate_bytes,
        .repair_round_us = o->repair_round_us,
        .purge_interval_us = o->purge_interval_us,
        .store_id = boot->store_id,
        .generation = boot->generation,
        .hlc_floor = boot->hlc_floor,
        .ring = buf_bytes(&boot->ring),
        .accepted = buf_bytes(&boot->accepted),
        .transfer = buf_bytes(&boot->transfer),
        .sequence = boot->sequence,
        .member = boot->member,
        .paxos = buf_bytes(&boot->paxos),
        .stores = buf_bytes(&boot->stores),
    };
    return node_create(&config, out, error);
}

/* The hub's are the same (node/membership.c). */
static void log_detection(const struct log *log)
{
    struct swim_config c = swim_config_default();
    log_line(log, LOG_INFO,
             "event=detection probe_interval_ms=%llu probe_timeout_ms=%llu probe_deadline_ms=%llu "
             "indirect_probes=%u suspicion_mult=%u suspicion_max_mult=%u suspicion_confirmations=%u",
             (unsigned long long)c.probe_interval_us / 1000, (unsigned long long)c.probe_timeout_us / 1000,
             (unsigned long long)c.probe_deadline_us / 1000, c.indirect_probes, c.suspicion_mult,
             c.suspicion_max_mult, c.suspicion_confirmations);
}

static int serve(const struct kvd_options *o, const struct log *log, struct store *store, struct node *node)
{
    static struct shell shell; /* large, and one of its kind */
    unsigned long files = raise_file_limit();
    uint32_t clients = files > 1024 ? (uint32_t)(files - 512 < CLIENTS_MAX ? files - 512 : CLIENTS_MAX)
                                    : (uint32_t)files / 2;
    struct shell_options options = {
        .listen = o->listen,
        .value_max_bytes = o->value_max_bytes,
        .clients_max = clients,
        .sync = o->sync,
        .lab = o->lab,
        .clock_skew_ms = o->clock_skew_ms,
        .log = *log,
    };
    char error[256] = "", text[ADDR_TEXT_MAX];
    static const char *const SYNC_WORDS[] = {"always", "interval", "none"};
    uv_loop_t *loop = uv_default_loop();
    int rc = shell_start(&shell, loop, &options, node, store, error);
    if (rc != KV_OK) {
        log_line(log, LOG_ERROR, "event=start_failed status=%s reason=\"%s\"", kv_error_word(rc), error);
        return 1;
    }
    log_line(
        log, LOG_INFO,
        "event=listening addr=%s tcp=clients,members udp=membership clients_max=%u sync=%s lab=%s version=%s",
        addr_format(&o->listen, text), clients, SYNC_WORDS[o->sync], o->lab ? "yes" : "no", GUREUM_VERSION);
    uv_run(loop, UV_RUN_DEFAULT);
    int status = shell.exit_status;
    shell_deinit(&shell);
    uv_loop_close(loop);
    log_line(log, LOG_INFO, "event=stopped status=%d", status);
    return status;
}

static int run(const struct kvd_options *o, const struct log *log)
{
    char error[STORE_ERROR_MAX] = "";
    struct store *store = NULL;
    struct node *node = NULL;
    struct boot boot = {0};
    struct store_options so = {.block_cache_bytes = (size_t)o->block_cache_mib << 20, .create = true};
    int status = 1;
    int rc = store_open(o->data, &so, &store, error);
    if (rc != KV_OK)
        goto fail;
    rc = boot_load(store, o->cluster, &boot, error);
    if (rc != KV_OK)
        goto fail;
    rc = make_node(o, &boot, &node, error);
    if (rc != KV_OK)
        goto fail;
    struct hint_visit visit = {node, KV_OK};
    rc = store_hint_totals(store, visit_hints, &visit);
    rc = rc == KV_OK ? visit.rc : rc;
    if (rc != KV_OK)
        goto fail;
    log_line(log, LOG_INFO, "event=starting store=%016llx generation=%llu data=%s fresh=%s",
             (unsigned long long)boot.store_id, (unsigned long long)boot.generation, o->data,
             boot.fresh ? "yes" : "no");
    log_detection(log);
    status = serve(o, log, store, node);
    goto out;
fail:
    log_line(log, LOG_ERROR, "event=start_failed status=%s reason=\"%s\"", kv_error_word(rc),
             error[0] ? error : kv_error_text(rc));
out:
    if (node)
        node_destroy(node);
    boot_deinit(&boot);
    if (store)
        store_close(store);
    return status;
}

int main(int argc, char **argv)
{
    static struct kvd_options options; /* the founders' table is large */
    kvd_options_parse(argc, argv, &options);
    signal(SIGPIPE, SIG_IGN);
    if (options.batch_scheduling)
        schedule_as_batch();
    struct log log = {options.log_level, write_line, options.name};
    return run(&options, &log);
}
