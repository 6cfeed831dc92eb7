/* The words of kvcli for what nodes say of themselves and of the ring; scripts read them too. */
#ifndef CMD_KVCLI_WORDS_H
#define CMD_KVCLI_WORDS_H

#include "kv.h"

const char *cli_state_word(uint8_t state);            /* enum kv_member_state */
const char *cli_ring_word(const struct kv_member *m); /* its enum kv_ring_state */
const char *cli_phase_word(uint8_t phase);            /* enum kv_ring_phase */

#endif
