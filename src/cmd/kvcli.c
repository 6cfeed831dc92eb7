/* kvcli: the command line of a Gureum cluster. Options, the table of commands, and how things end. */
#include "cmd/kvcli.h"

#include <argp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/version.h"
#include "model/limits.h"

const struct cli_command CLI_COMMANDS[] = {
    {"put", "KEY VALUE|-|@FILE", "store a value; - reads standard input, @FILE a file", 2, 2,
     OPT_TTL | OPT_LITERAL | OPT_QUORUM, cmd_put},
    {"get", "KEY", "print a value, byte for byte", 1, 1, OPT_LOCAL | OPT_QUORUM, cmd_get},
    {"del", "KEY", "delete a key", 1, 1, OPT_QUORUM, cmd_del},
    {"scan", "[PREFIX]", "list keys, in token order", 0, 1, OPT_LIMIT | OPT_CURSOR, cmd_scan},
    {"load", "FILE", "store every line KEY<TAB>VALUE of a file (- : standard input)", 1, 1,
     OPT_TTL | OPT_FAILED | OPT_QUORUM, cmd_load},
    {"dump", "[PREFIX]", "print every key and value as such lines", 0, 1, OPT_QUORUM, cmd_dump},
    {"check", "FILE", "read every key of such a file and compare", 1, 1, OPT_QUORUM, cmd_check},
    {"status", "", "members, and how they look to the node asked", 0, 0, OPT_TSV, cmd_status},
    {"ring", "", "who owns how much", 0, 0, OPT_TSV, cmd_ring},
    {"where", "KEY", "token, partition, homes and fallbacks of a key", 1, 1, 0, cmd_where},
    {"stats", "[NODE]", "counters of a node", 0, 1, OPT_TSV, cmd_stats},
    {"explain", "get KEY | put KEY VALUE", "do it, and tell the request's own story", 2, 3,
     OPT_TTL | OPT_LITERAL | OPT_QUORUM, cmd_explain},
    {"watch", "", "a live view: members as they see each other, operations, failures", 0, 0, OPT_ONCE,
     cmd_watch},
    {"node",
     "list | leave NAME | remove NAME | replace NAME |\n"
     "    weight NAME W | zone NAME ZONE | add NAME --plan",
     "change the ring: who is in it, with how much of it, in which zone", 1, 3,
     OPT_TSV | OPT_PLAN | OPT_NO_WAIT | OPT_WEIGHT | OPT_ZONE, cmd_node},
    {"repair", "[NODE]", "a node (all, in turn) compares every row with its other homes, now", 0, 1,
     OPT_NO_WAIT, cmd_repair},
    {"fault", "list | clear | drop | delay MS | duplicate |\n    slow-disk MS | skew MS",
     "inject faults into nodes started with --lab, until they are cleared", 1, 2,
     OPT_FROM | OPT_TO | OPT_PERCENT, cmd_fault},
    {"help", "[COMMAND]", "this, or one command's usage", 0, 1, 0, cmd_help},
    {0},
};

const struct cli_command *cli_find(const char *name)
{
    for (const struct cli_command *c = CLI_COMMANDS; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

enum {
    KEY_STRICT = 0x100,
    KEY_VIA,
    KEY_TIMEOUT,
    KEY_JSON,
    KEY_TTL,
    KEY_LITERAL,
    KEY_LOCAL,
    KEY_LIMIT,
    KEY_CURSOR,
    KEY_TSV,
    KEY_FAILED,
    KEY_FROM,
    KEY_TO,
    KEY_PERCENT,
    KEY_ONCE,
    KEY_PLAN,
    KEY_NO_WAIT,
    KEY_WEIGHT,
    KEY_ZONE
};

static const struct argp_option OPTIONS[] = {
    {0, 0, 0, 0, "Whom to ask, and how:", 1},
    {"nodes", 'n', "HOST:PORT,...", 0, "Nodes to begin with; else $KV_NODES, else 127.0.0.1:7601 to 7605", 0},
    {"via", KEY_VIA, "NODE", 0,
     "This node only (name or HOST:PORT): it coordinates, nobody else is contacted", 0},
    {"timeout", KEY_TIMEOUT, "MS", 0, "Give up after this long (2 s, and 1 s more for each MiB of value)", 0},
    {"read", 'r', "R", 0, "Replicas that must answer a get (a majority)", 0},
    {"write", 'w', "W", 0, "Replicas that must have a put on disk (majority)", 0},
    {"strict", KEY_STRICT, 0, 0, "Only a key's homes count: linearizable with majorities", 0},
    {"json", KEY_JSON, 0, 0, "One JSON object a line", 0},
    {"verbose", 'v', 0, 0, "Say what was asked of whom", 0},
    {0, 0, 0, 0, "Of single commands:", 2},
    {"ttl", KEY_TTL, "SECONDS", 0, "put, load, explain: gone after this time", 0},
    {"literal", KEY_LITERAL, 0, 0, "put, explain: VALUE itself, even if it is - or begins with @", 0},
    {"local", KEY_LOCAL, 0, 0, "get: the addressed node's own copy", 0},
    {"limit", KEY_LIMIT, "N", 0, "scan: at most N keys", 0},
    {"cursor", KEY_CURSOR, "CURSOR", 0, "scan: go on where the last one ended", 0},
    {"tsv", KEY_TSV, 0, 0, "status, ring, stats, node: tab-separated, for scripts", 0},
    {"failed", KEY_FAILED, "FILE", 0, "load: write the lines that failed to FILE, to be loaded again", 0},
    {"from", KEY_FROM, "NODE", 0, "fault: what comes from this node (any)", 0},
    {"to", KEY_TO, "NODE", 0, "fault: in this node (all)", 0},
    {"plan", KEY_PLAN, 0, 0, "node: change nothing, show what would move", 0},
    {"no-wait", KEY_NO_WAIT, 0, 0, "node, repair: do not wait until it is done", 0},
    {"weight", KEY_WEIGHT, "W", 0, "node add --plan: of the new one, 1 to 16 (1)", 0},
    {"zone", KEY_ZONE, "ZONE", 0, "node add --plan: of the new one (one of its own)", 0},
    {"once", KEY_ONCE, 0, 0, "watch: print it once", 0},
    {"percent", KEY_PERCENT, "P", 0, "fault: this much of it (100)", 0},
    {0},
};

static long number(struct argp_state *state, const char *what, const char *arg, long min, long max)
{
    char *end;
    long v = strtol(arg, &end, 10);
    if (*arg == 0 || *end || v < min || v > max)
        argp_error(state, "%s '%s': a number from %ld to %ld", what, arg, min, max);
    return v;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct cli *c = state->input;
    switch (key) {
    case 'n': c->nodes = arg; break;
    case KEY_VIA: c->via = arg; break;
    case KEY_TIMEOUT: c->timeout_ms = (uint32_t)number(state, "--timeout", arg, 1, 600000); break;
    case 'r': c->r = (uint8_t)number(state, "-r", arg, 1, 7); break;
    case 'w': c->w = (uint8_t)number(state, "-w", arg, 1, 7); break;
    case KEY_STRICT: c->strict = true; break;
    case KEY_JSON: c->json = true; break;
    case 'v': c->verbose = true; break;
    case KEY_TTL:
        c->given |= OPT_TTL;
        c->ttl_ms = (uint64_t)number(state, "--ttl", arg, 1, 3153600000L) * 1000;
        break;
    case KEY_LITERAL: c->given |= OPT_LITERAL; break;
    case KEY_LOCAL: c->given |= OPT_LOCAL; break;
    case KEY_LIMIT:
        c->given |= OPT_LIMIT;
        c->limit = (uint32_t)number(state, "--limit", arg, 1, 1000000000);
        break;
    case KEY_CURSOR:
        c->given |= OPT_CURSOR;
        c->cursor = arg;
        break;
    case KEY_TSV: c->given |= OPT_TSV; break;
    case KEY_FAILED:
        c->given |= OPT_FAILED;
        c->failed = arg;
        break;
    case KEY_FROM:
        c->given |= OPT_FROM;
        c->from = arg;
        break;
    case KEY_TO:
        c->given |= OPT_TO;
        c->to = arg;
        break;
    case KEY_PERCENT:
        c->given |= OPT_PERCENT;
        c->percent = (uint32_t)number(state, "--percent", arg, 0, 100);
        break;
    case KEY_ONCE: c->given |= OPT_ONCE; break;
    case KEY_PLAN: c->given |= OPT_PLAN; break;
    case KEY_NO_WAIT: c->given |= OPT_NO_WAIT; break;
    case KEY_WEIGHT:
        c->given |= OPT_WEIGHT;
        c->weight = (uint32_t)number(state, "--weight", arg, 1, 16);
        break;
    case KEY_ZONE:
        c->given |= OPT_ZONE;
        c->zone = arg;
        break;
    case ARGP_KEY_ARG:
        if (c->argc == CLI_ARGS_MAX - 1)
            argp_error(state, "too many words");
        c->argv[c->argc++] = arg;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char DOC[] =
    /* In front of \v: what stands above the options. */
    "Puts, gets and looks around in a Gureum cluster. Any reachable node will do.\v"
    "Commands (kvcli help COMMAND for one of them):\n"
    "  put KEY VALUE|-|@FILE    get KEY    del KEY    scan [PREFIX]\n"
    "  load FILE    dump [PREFIX]    check FILE\n"
    "  status    ring    where KEY    stats [NODE]    watch\n"
    "  explain get KEY | put KEY VALUE\n"
    "  node list | leave NAME | remove NAME | replace NAME | weight NAME W |\n"
    "       zone NAME ZONE | add NAME --plan\n"
    "  repair [NODE]\n"
    "  fault list | clear | drop | delay MS | duplicate | slow-disk MS | skew MS\n"
    "Without a command: a prompt, with history and completion.\n\n"
    "Examples:\n"
    "  kvcli put greeting 'hello, cloud'\n"
    "  kvcli get greeting\n"
    "  kvcli --strict -r 2 -w 2 put balance 100\n"
    "  kvcli put photo @cat.jpg --ttl 3600\n"
    "  kvcli --via n2 get greeting --local\n"
    "  kvcli load words.tsv && kvcli check words.tsv\n"
    "  kvcli node leave n3 --plan && kvcli node leave n3\n"
    "  kvcli fault drop --percent 30 --to n3        # kvcli fault clear ends it\n\n"
    "Exit status: 0 ok, 1 not found (or check found differences), 2 wrong usage,\n"
    "3 unavailable and nothing was tried, 4 timeout with unknown outcome,\n"
    "6 refused, 7 no node reachable.";

static const struct argp PARSER = {OPTIONS, parse, "[COMMAND [ARGUMENT...]]", DOC, 0, 0, 0};

int cli_usage(const struct cli *cli, const char *format, ...)
{
    const struct cli_command *c = cli->argc ? cli_find(cli->argv[0]) : NULL;
    va_list args;
    va_start(args, format);
    fputs("kvcli: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    if (c)
        fprintf(stderr, "\nUsage: kvcli [OPTIONS] %s%s%s\n", c->name, *c->arguments ? " " : "", c->arguments);
    else
        fputs("\nUsage: kvcli [OPTIONS] COMMAND ...; 'kvcli --help' lists them\n", stderr);
    return EXIT_USAGE;
}

struct kv_options cli_options(const struct cli *cli)
{
    const char *nodes = cli->nodes ? cli->nodes : getenv("KV_NODES");
    return (struct kv_options){.nodes = nodes && *nodes ? nodes : NULL, .via = cli->via};
}

int cli_usage_nodes(const struct cli *cli)
{
    const char *nodes = cli_options(cli).nodes;
    return cli_usage(cli, "the nodes '%s'%s%s make no sense: HOST:PORT,...", nodes ? nodes : "",
                     cli->via ? " or --via " : "", cli->via ? cli->via : "");
}

struct kv *cli_kv(struct cli *cli)
{
    struct kv_options options = cli_options(cli);
    if (!cli->kv && kv_connect(&options, &cli->kv) != KV_OK)
        cli_usage_nodes(cli);
    return cli->kv;
}

struct kv_request cli_request(const struct cli *cli)
{
    return (struct kv_request){
        .r = cli->r,
        .w = cli->w,
        .flags =
            (cli->strict ? (unsigned)KV_STRICT : 0u) | (cli->given & OPT_LOCAL ? (unsigned)KV_LOCAL : 0u),
        .timeout_ms = cli->timeout_ms,
        .ttl_ms = cli->ttl_ms,
        .via = cli->via,
    };
}

int cli_exit_of(int status)
{
    switch (status) {
    case KV_OK: return EXIT_OK;
    case KV_E_NOT_FOUND: return EXIT_NOT_FOUND;
    case KV_E_UNAVAILABLE: return EXIT_UNAVAILABLE;
    case KV_E_TIMEOUT: return EXIT_TIMEOUT;
    case KV_E_NO_NODE: return EXIT_NO_NODE;
    default: return EXIT_REFUSED;
    }
}

int cli_fail_status(const struct cli *cli, int status, const char *message)
{
    if (cli->json)
        json_print(json_pack("{s:s, s:s}", "status", kv_error_word(status), "message", message));
    else
        fprintf(stderr, "kvcli: %s: %s\n", kv_error_word(status), message);
    return cli_exit_of(status);
}

int cli_fail(const struct cli *cli, const char *key, const struct kv_result *r)
{
    if (cli->json) {
        json_t *o = json_result(key, r, false);
        json_object_set_new(o, "message", json_string(r->message));
        json_object_set_new(o, "reachable", json_integer(r->reachable));
        json_print(o);
    } else if (r->status == KV_E_NOT_FOUND) {
        fprintf(stderr, "kvcli: not found: %s%s\n", key,
                r->proven ? ""
                          : " (not proven: too few of its homes answered; it may be on one that is away)");
    } else if (r->needed) {
        fprintf(stderr, "kvcli: %s: %s (asked %u, acknowledged %u, needed %u, reachable %u)\n",
                kv_error_word(r->status), r->message, r->asked, r->acked, r->needed, r->reachable);
    } else { /* no coordinator had a say */
        fprintf(stderr, "kvcli: %s: %s\n", kv_error_word(r->status), r->message);
    }
    return cli_exit_of(r->status);
}

/* The options that a command takes, without the words before the colon that say which do. */
static void help_options(unsigned taken)
{
    char text[40];
    for (const struct argp_option *o = OPTIONS; o->name || o->doc; o++)
        for (unsigned bit = OPT_TTL; o->name && bit <= OPT_ZONE; bit <<= 1)
            if ((taken & bit) && strcmp(o->name, cli_option_word(bit)) == 0) {
                const char *colon = strchr(o->doc, ':');
                snprintf(text, sizeof text, "--%s%s%s", o->name, o->arg ? "=" : "", o->arg ? o->arg : "");
                printf("    %-16s %s\n", text, colon ? colon + 2 : o->doc);
            }
    if (taken & OPT_QUORUM)
        printf("    -r R, -w W, --strict\n");
}

int cmd_help(struct cli *cli)
{
    for (const struct cli_command *c = CLI_COMMANDS; c->name; c++) {
        if (cli->argc == 2 && strcmp(cli->argv[1], c->name) != 0)
            continue;
        printf("%s%s%s\n    %s\n", c->name, *c->arguments ? " " : "", c->arguments, c->help);
        if (cli->argc == 2)
            help_options(c->options);
    }
    if (cli->argc == 2 && !cli_find(cli->argv[1]))
        return cli_usage(cli, "no command '%s'", cli->argv[1]);
    return EXIT_OK;
}

const char *cli_option_word(unsigned set)
{
    static const char *const WORDS[] = {"ttl",  "literal", "local",   "limit",  "cursor",
                                        "tsv",  "failed",  "from",    "to",     "percent",
                                        "once", "plan",    "no-wait", "weight", "zone"};
    return WORDS[__builtin_ctz(set)];
}

bool cli_key_ok(const struct cli *cli, const char *key, int *exit)
{
    size_t len = strlen(key);
    if (len > 0 && len <= KEY_MAX_BYTES)
        return true;
    char text[40];
    snprintf(text, sizeof text, "a key has 1 to %u bytes", KEY_MAX_BYTES);
    *exit = cli_fail_status(cli, len ? KV_E_TOO_LARGE : KV_E_INVALID, text);
    return false;
}

static int run_command(struct cli *cli)
{
    const struct cli_command *c = cli_find(cli->argv[0]);
    if (!c)
        return cli_usage(cli, "no command '%s'", cli->argv[0]);
    int n = cli->argc - 1;
    if (n < c->least)
        return cli_usage(cli, "%s: something is missing", c->name);
    if (n > c->most)
        return cli_usage(cli, "%s: '%s' is one word too many", c->name, cli->argv[1 + c->most]);
    if (cli->given & ~c->options)
        return cli_usage(cli, "%s does not take --%s", c->name, cli_option_word(cli->given & ~c->options));
    if (!(c->options & OPT_QUORUM) && (cli->r || cli->w || cli->strict))
        return cli_usage(cli, "%s does not take -r, -w or --strict", c->name);
    int exit;
    if (strncmp(c->arguments, "KEY", 3) == 0 && !cli_key_ok(cli, cli->argv[1], &exit))
        return exit;
    return c->run(cli);
}

int cli_run_line(struct cli *cli, int argc, char **argv)
{
    unsigned flags = cli->interactive ? ARGP_NO_EXIT : 0;
    if (argp_parse(&PARSER, argc, argv, flags, NULL, cli) != 0)
        return EXIT_USAGE;
    if (cli->argc == 0)
        return cli->interactive ? EXIT_OK : cli_prompt(cli);
    return run_command(cli);
}

int main(int argc, char **argv)
{
    struct cli cli = {.percent = 100};
    argp_program_version = GUREUM_VERSION_TEXT("kvcli");
    argp_err_exit_status = EXIT_USAGE;
    int status = cli_run_line(&cli, argc, argv);
    if (cli.kv)
        kv_disconnect(cli.kv);
    if (fflush(stdout) != 0 && status == EXIT_OK) {
        perror("kvcli: standard output");
        status = EXIT_REFUSED;
    }
    return status;
}
