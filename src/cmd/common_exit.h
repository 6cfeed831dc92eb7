/* Exit statuses of kvcli and kvbench: the contract with scripts. */
#ifndef CMD_COMMON_EXIT_H
#define CMD_COMMON_EXIT_H

enum exit_status {
    EXIT_OK = 0,
    EXIT_NOT_FOUND = 1,
    EXIT_USAGE = 2,
    EXIT_UNAVAILABLE = 3, /* and nothing was tried */
    EXIT_TIMEOUT = 4,     /* and the outcome is unknown */
    EXIT_REFUSED = 6,
    EXIT_NO_NODE = 7,
};

#endif
