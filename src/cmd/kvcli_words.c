#include "cmd/kvcli_words.h"

const char *cli_state_word(uint8_t state)
{
    static const char *const WORDS[] = {"alive", "suspect", "dead", "left"};
    return state <= KV_LEFT ? WORDS[state] : "unknown";
}

const char *cli_ring_word(const struct kv_member *m)
{
    static const char *const WORDS[] = {"", "normal", "joining", "leaving", "left", "removed"};
    if (m->ring == KV_RING_NONE || m->ring > KV_RING_REMOVED) /* who is no member yet wants to become one */
        return m->in_ring ? "normal" : "joining";
    return WORDS[m->ring];
}

const char *cli_phase_word(uint8_t phase)
{
    static const char *const WORDS[] = {"stable", "pending", "switch"};
    return phase <= KV_SWITCH ? WORDS[phase] : "unknown";
}
