/* kvcli: what its files share. One `struct cli` holds what the line said; every command is a function that is
 * given it. */
#ifndef CMD_KVCLI_H
#define CMD_KVCLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cmd/common_exit.h"
#include "cmd/kvcli_words.h"
#include "kv.h"

#define CLI_ARGS_MAX 64

/* Options that only some commands take. */
enum cli_option {
    OPT_TTL = 1 << 0,
    OPT_LITERAL = 1 << 1,
    OPT_LOCAL = 1 << 2,
    OPT_LIMIT = 1 << 3,
    OPT_CURSOR = 1 << 4,
    OPT_TSV = 1 << 5,
    OPT_FAILED = 1 << 6,
    OPT_FROM = 1 << 7,
    OPT_TO = 1 << 8,
    OPT_PERCENT = 1 << 9,
    OPT_ONCE = 1 << 10,
    OPT_PLAN = 1 << 11,
    OPT_NO_WAIT = 1 << 12,
    OPT_WEIGHT = 1 << 13,
    OPT_ZONE = 1 << 14,
    OPT_QUORUM = 1 << 30, /* -r, -w, --strict */
};

struct cli {
    struct kv *kv;
    /* The handle's. */
    const char *nodes;
    const char *via;
    uint8_t r, w;
    bool strict;
    uint32_t timeout_ms;
    bool json;
    bool verbose;
    bool interactive;
    /* One command's. */
    unsigned given; /* enum cli_option */
    uint64_t ttl_ms;
    uint32_t limit;
    const char *cursor;
    const char *failed;
    const char *from, *to;
    uint32_t percent;
    uint32_t weight;
    const char *zone;
    int argc; /* the command's word first */
    char *argv[CLI_ARGS_MAX];
};

struct cli_command {
    const char *name;
    const char *arguments;
    const char *help;
    int least, most; /* arguments */
    unsigned options;
    int (*run)(struct cli *cli);
};

extern const struct cli_command CLI_COMMANDS[]; /* ends with a NULL name */

const struct cli_command *cli_find(const char *name);

/* Parses one line's words into `cli` and runs it; used by main and by the prompt. */
int cli_run_line(struct cli *cli, int argc, char **argv);

/* A wrong word: says what, shows the command's usage. Returns EXIT_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The handle, opened at the first need. NULL after an error message. */
struct kv *cli_kv(struct cli *cli);

/* For a handle of one's own; what to say when it cannot be opened. */
struct kv_options cli_options(const struct cli *cli);
int cli_usage_nodes(const struct cli *cli);

/* What every request of this line has in common. */
struct kv_request cli_request(const struct cli *cli);

/* The first of a set of enum cli_option, as it is typed. */
const char *cli_option_word(unsigned set);

int cli_exit_of(int status);

/* Whether that can be a key; else says why not, and which exit status that is. */
bool cli_key_ok(const struct cli *cli, const char *key, int *exit);

/* Prints why something failed, with the numbers (text or JSON), and returns the exit status. */
int cli_fail(const struct cli *cli, const char *key, const struct kv_result *r);
int cli_fail_status(const struct cli *cli, int status, const char *message);

/* kvcli_json.c */
json_t *json_bytes(const void *data, size_t len); /* a string, or {"base64": ...} when it is not UTF-8 */
void json_print(json_t *object);                  /* one line on standard output; takes the reference */
json_t *json_result(const char *key, const struct kv_result *r, bool with_value);
const char *stamp_text(struct kv_stamp s, char out[40]);

/* The commands, by file: kvcli_data.c, kvcli_scan.c, kvcli_bulk.c, kvcli_cluster.c, kvcli_fault.c,
 * kvcli_explain.c, kvcli_watch.c, kvcli_node.c */
int cmd_put(struct cli *cli);
int cmd_get(struct cli *cli);
int cmd_del(struct cli *cli);
int cmd_scan(struct cli *cli);
int cmd_load(struct cli *cli);
int cmd_dump(struct cli *cli);
int cmd_check(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_ring(struct cli *cli);
int cmd_where(struct cli *cli);
int cmd_stats(struct cli *cli);
int cmd_explain(struct cli *cli);
int cmd_fault(struct cli *cli);
int cmd_repair(struct cli *cli);
int cmd_watch(struct cli *cli);
int cmd_node(struct cli *cli);
int cmd_help(struct cli *cli);

/* kvcli_data.c: the value that a word stands for: itself, @FILE, or - for standard input. KV_OK or a status
 * after a message. */
int cli_read_value(struct cli *cli, const char *word, void **data, size_t *len);

/* kvcli_prompt.c */
int cli_prompt(struct cli *cli);

#endif
