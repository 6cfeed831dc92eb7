/* kvsim: the whole cluster in one process, on a virtual clock, every run repeatable from its seed. */
#include "cmd/kvsim.h"

#include <stdio.h>
#include <string.h>

#include "cmd/version.h"
#include "sim/run.h"
#include "sim/scenario.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", kvsim_run},         {"list", kvsim_list},     {"mutants", kvsim_mutants},
    {"members", kvsim_members}, {"growth", kvsim_growth},
};

int kvsim_list(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(stderr, "usage: kvsim list\nkvsim: what is '%s'?\n", argv[1]);
        return 2;
    }
    printf("scenarios (--scenario NAME)\n");
    for (uint32_t i = 0; scenarios[i]; i++)
        printf("  %-22s %s\n", scenarios[i]->name, scenarios[i]->text);
    printf("\nfaults (--faults NAME,...; all, none)\n");
    for (uint32_t c = 0; c < FAULT_CLASSES; c++)
        printf("  %-22s %s\n", fault_word((enum fault_class)c), fault_text((enum fault_class)c));
    printf("\ninvariants\n");
    for (uint32_t i = 0; run_invariants[i]; i++)
        printf("  %-22s %s\n", run_invariants[i], run_invariant_texts[i]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts(GUREUM_VERSION_TEXT("kvsim"));
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return kvsim_run(argc, argv);
}
