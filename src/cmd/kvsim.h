/* The commands of kvsim. Each takes its own arguments, argv[0] being its name, and returns the exit status.
 */
#ifndef CMD_KVSIM_H
#define CMD_KVSIM_H

int kvsim_run(int argc, char **argv);     /* seeds and scenarios: what happens without a command */
int kvsim_mutants(int argc, char **argv); /* planted bugs, and how soon they are found */
int kvsim_list(int argc, char **argv);    /* scenarios, faults, invariants */

int kvsim_members(int argc, char **argv); /* the membership alone, up to 2000 nodes */
int kvsim_growth(int argc, char **argv);  /* throughput and control traffic as nodes are added */

#endif
