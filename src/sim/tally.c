#include "sim/tally.h"

static const struct {
    const char *word, *text;
} items[TALLY_COUNT] = {
#define TALLY_ROW(name, word, text) {word, text},
    TALLY_TABLE(TALLY_ROW)
#undef TALLY_ROW
};

void tally_add(struct tally *sum, const struct tally *t)
{
    for (int i = 0; i < TALLY_COUNT; i++)
        sum->counts[i] += t->counts[i];
}

const char *tally_word(enum tally_item item)
{
    return items[item].word;
}

const char *tally_text(enum tally_item item)
{
    return items[item].text;
}
