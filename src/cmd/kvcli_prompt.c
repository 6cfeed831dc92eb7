/* The prompt: history and completion by libedit, one handle for all lines. */
#include <editline/readline.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/kvcli.h"

/* Words, with 'single' and "double" quotes and backslashes, as in a shell. Returns how many, -1 for an open
 * quote. The words are cut in place. */
static int split(char *line, char **words, int max)
{
    int n = 0;
    char *out = line;
    for (char *p = line; *p;) {
        while (*p == ' ' || *p == '\t')
            p++;
        if (!*p)
            break;
        if (n == max)
            return -1;
        words[n++] = out;
        char quote = 0;
        for (; *p && (quote || (*p != ' ' && *p != '\t')); p++) {
            if (quote ? *p == quote : (*p == '\'' || *p == '"'))
                quote = quote ? 0 : *p;
            else if (*p == '\\' && quote != '\'' && p[1])
                *out++ = *++p;
            else
                *out++ = *p;
        }
        if (quote)
            return -1;
        if (*p)
            p++;
        *out++ = 0;
    }
    return n;
}

static char *complete_command(const char *text, int state)
{
    static const char *const OTHERS[] = {"quit", "exit", NULL};
    static size_t at;
    if (state == 0)
        at = 0;
    for (;; at++) {
        size_t commands = 0;
        while (CLI_COMMANDS[commands].name)
            commands++;
        const char *word = at < commands ? CLI_COMMANDS[at].name : OTHERS[at - commands];
        if (!word)
            return NULL;
        if (strncmp(word, text, strlen(text)) == 0) {
            at++;
            return strdup(word);
        }
    }
}

/* The first word is a command; `explain` is followed by get or put; files are completed elsewhere. */
static char **complete(const char *text, int start, int end)
{
    (void)end;
    return start == 0 ? rl_completion_matches(text, complete_command) : NULL;
}

static const char *history_path(char out[4096])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state)
        snprintf(out, 4096, "%s/kvcli_history", state);
    else if (home && *home)
        snprintf(out, 4096, "%s/.kvcli_history", home);
    else
        return NULL;
    return out;
}

/* A fresh line for the parser: what the command line said about nodes stays in force. */
static int run_words(const struct cli *base, struct kv **kv, char **words, int count)
{
    struct cli line = *base;
    line.kv = *kv;
    line.argc = 0;
    line.given = 0;
    line.interactive = true;
    char *argv[CLI_ARGS_MAX + 2] = {(char *)"kvcli"};
    memcpy(argv + 1, words, (size_t)count * sizeof *words);
    int status = cli_run_line(&line, count + 1, argv);
    *kv = line.kv;
    return status;
}

static int run_line(struct cli *cli, char *text)
{
    char *words[CLI_ARGS_MAX];
    int count = split(text, words, CLI_ARGS_MAX - 2);
    if (count < 0) {
        fprintf(stderr, "kvcli: an open quote, or too many words\n");
        return EXIT_USAGE;
    }
    if (count == 0)
        return EXIT_OK;
    int status = run_words(cli, &cli->kv, words, count);
    fflush(stdout);
    return status;
}

static bool is_quit(const char *line)
{
    return strcmp(line, "quit") == 0 || strcmp(line, "exit") == 0;
}

/* Lines from a pipe: no prompt, no history; the worst status counts. */
static int run_script(struct cli *cli)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int worst = EXIT_OK;
    while ((n = getline(&line, &cap, stdin)) >= 0) {
        if (n && line[n - 1] == '\n')
            line[n - 1] = 0;
        if (is_quit(line))
            break;
        int status = run_line(cli, line);
        worst = status > worst ? status : worst;
    }
    free(line);
    return worst;
}

int cli_prompt(struct cli *cli)
{
    char path[4096];
    const char *history = history_path(path);
    if (!isatty(STDIN_FILENO))
        return run_script(cli);
    rl_readline_name = (char *)"kvcli";
    rl_attempted_completion_function = complete;
    using_history();
    stifle_history(1000);
    if (history)
        read_history(history);
    puts("Gureum. 'help' lists the commands, 'quit' leaves.");
    char *line;
    while ((line = readline("kv> ")) != NULL && !is_quit(line)) {
        if (*line)
            add_history(line);
        run_line(cli, line);
        free(line);
    }
    free(line);
    if (history) {
        mode_t mask = umask(077); /* values may be private */
        write_history(history);
        umask(mask);
    }
    return EXIT_OK;
}
