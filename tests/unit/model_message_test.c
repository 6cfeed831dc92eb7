/* Messages: what they own is dropped once, what they weigh is what they keep alive, every type has a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/message.h"

#define KEY   "key"
#define VALUE "a value"

static struct row row_with(struct blob *payload)
{
    return (struct row){.kind = ROW_REGISTER, .stamp = {1, 1}, .payload = blob_ref(payload)};
}

/* Where each type keeps its row; types without one are left out. */
static void put_row(struct message *m, struct row row)
{
    switch (m->type) {
    case MSG_REQUEST: m->request.row = row, m->request.key = bytes_str(KEY); break;
    case MSG_RESPONSE: m->response.row = row; break;
    case MSG_WRITE: m->write.row = row, m->write.key = bytes_str(KEY); break;
    case MSG_READ_REPLY: m->read_reply.row = row; break;
    default: fail();
    }
}

static void a_row_is_released_with_its_message(void **state)
{
    (void)state;
    const struct {
        enum message_type type;
        size_t weight;
    } cases[] = {{MSG_REQUEST, strlen(KEY VALUE)},
                 {MSG_RESPONSE, strlen(VALUE)},
                 {MSG_WRITE, strlen(KEY VALUE)},
                 {MSG_READ_REPLY, strlen(VALUE)}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct blob *payload = blob_copy(bytes_str(VALUE));
        struct message m = {.type = cases[i].type};
        put_row(&m, row_with(payload));
        assert_int_equal(payload->refs, 2);
        assert_int_equal(message_weight(&m), cases[i].weight);
        message_release(&m);
        assert_int_equal(payload->refs, 1);
        message_release(&m); /* has nothing left */
        assert_int_equal(payload->refs, 1);
        blob_unref(payload);
    }
}

static void a_ring_is_released_with_its_message(void **state)
{
    (void)state;
    struct blob *value = blob_copy(bytes_str("a ring value"));
    struct message m = {.type = MSG_RING, .ring.value = blob_ref(value)};
    assert_int_equal(message_weight(&m), strlen("a ring value"));
    message_release(&m);
    message_release(&m);
    assert_int_equal(value->refs, 1);
    blob_unref(value);
    m.ring.value = NULL;
    assert_int_equal(message_weight(&m), 0);
    message_release(&m);
}

static void a_proposed_ring_is_released_with_its_message(void **state)
{
    (void)state;
    const enum message_type types[] = {MSG_PREPARE, MSG_PROMISE, MSG_ACCEPT, MSG_ACCEPTED, MSG_PREEMPTED};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct blob *value = blob_copy(bytes_str("a ring value"));
        struct message m = {.type = types[i], .paxos.value = blob_ref(value)};
        assert_int_equal(message_weight(&m), strlen("a ring value"));
        message_release(&m);
        message_release(&m);
        assert_int_equal(value->refs, 1);
        blob_unref(value);
    }
}

static void packs_are_released_with_their_message(void **state)
{
    (void)state;
    struct blob *pack = blob_copy(bytes_str("rows"));
    struct message m[] = {{.type = MSG_ROWS, .rows.pack = blob_ref(pack)},
                          {.type = MSG_COMPARE, .compare.digests = blob_ref(pack)},
                          {.type = MSG_COMPARED, .compared.pack = blob_ref(pack)},
                          {.type = MSG_MERGE, .merge.pack = blob_ref(pack)}};
    for (size_t i = 0; i < sizeof m / sizeof m[0]; i++) {
        assert_int_equal(message_weight(&m[i]), strlen("rows"));
        message_release(&m[i]);
        message_release(&m[i]);
    }
    assert_int_equal(pack->refs, 1);
    blob_unref(pack);
}

static void pages_release_their_rows(void **state)
{
    (void)state;
    struct blob *payload = blob_copy(bytes_str(VALUE));
    const struct scan_entry entries[3] = {{bytes_str(KEY), row_with(payload)},
                                          {bytes_str(KEY), {.stamp = {2, 2}}},
                                          {bytes_str(KEY), row_with(payload)}};
    struct message scan = {.type = MSG_SCAN_PAGE, .scan_page = {.count = 3, .entries = entries}};
    assert_int_equal(message_weight(&scan), strlen(KEY KEY KEY VALUE VALUE));
    message_release(&scan);
    message_release(&scan);
    assert_int_equal(payload->refs, 1);

    blob_ref(payload);
    struct message range = {.type = MSG_RANGE_PAGE,
                            .range_page = {.count = 1, .entries = entries, .next.key = bytes_str("next")}};
    assert_int_equal(message_weight(&range), strlen(KEY VALUE "next"));
    message_release(&range);
    assert_int_equal(payload->refs, 1);
    blob_unref(payload);
}

static void requests_weigh_their_keys(void **state)
{
    (void)state;
    struct message m = {.type = MSG_READ, .read.key = bytes_str(KEY)};
    assert_int_equal(message_weight(&m), strlen(KEY));
    m = (struct message){.type = MSG_SCAN, .scan = {.after.key = bytes_str(KEY), .prefix = bytes_str("p")}};
    assert_int_equal(message_weight(&m), strlen(KEY "p"));
    m = (struct message){.type = MSG_RANGE, .range = {.after.key = bytes_str(KEY), .prefix = bytes_str("p")}};
    assert_int_equal(message_weight(&m), strlen(KEY "p"));
    m = (struct message){.type = MSG_PING};
    assert_int_equal(message_weight(&m), 0);
    message_release(&m);
}

static void types_have_names(void **state)
{
    (void)state;
    const int types[] = {
        MSG_NONE,          MSG_HELLO,     MSG_WELCOME,    MSG_REFUSED,   MSG_RING_GET,     MSG_RING,
        MSG_FOUND,         MSG_REQUEST,   MSG_RESPONSE,   MSG_SCAN,      MSG_SCAN_PAGE,    MSG_STATUS_GET,
        MSG_STATUS,        MSG_STATS_GET, MSG_STATS,      MSG_FAULT,     MSG_FAULT_REPLY,  MSG_WRITE,
        MSG_WRITE_ACK,     MSG_READ,      MSG_READ_REPLY, MSG_RANGE,     MSG_RANGE_PAGE,   MSG_PING,
        MSG_PING_REQ,      MSG_ACK,       MSG_NACK,       MSG_SYNC,      MSG_SYNC_REPLY,   MSG_PREPARE,
        MSG_PROMISE,       MSG_ACCEPT,    MSG_ACCEPTED,   MSG_PREEMPTED, MSG_CHANGE,       MSG_CHANGE_REPLY,
        MSG_PROGRESS,      MSG_PULL,      MSG_ROWS,       MSG_ROOTS,     MSG_LEAVES,       MSG_COMPARE,
        MSG_COMPARED,      MSG_MERGE,     MSG_MERGED,     MSG_REPAIR,    MSG_REPAIR_REPLY, MSG_HEARTBEAT,
        MSG_HEARTBEAT_ACK, MSG_LIST_GET,  MSG_LIST,       MSG_PURGE,     MSG_PURGE_REPLY};
    const size_t count = sizeof types / sizeof types[0];
    for (size_t i = 0; i < count; i++) {
        assert_string_not_equal(message_name((enum message_type)types[i]), "?");
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(message_name((enum message_type)types[i]),
                                    message_name((enum message_type)types[k]));
    }
    assert_string_equal(message_name(MSG_WRITE_ACK), "WRITE_ACK");
    assert_string_equal(message_name((enum message_type)200), "?");
}

static void traffic_is_of_four_kinds(void **state)
{
    (void)state;
    const struct {
        enum message_type type;
        enum message_class class;
    } kinds[] = {
        {MSG_HELLO, CLASS_REQUEST},         {MSG_RING_GET, CLASS_RING}, {MSG_FOUND, CLASS_RING},
        {MSG_REQUEST, CLASS_REQUEST},       {MSG_STATS, CLASS_REQUEST}, {MSG_WRITE_ACK, CLASS_REQUEST},
        {MSG_PING, CLASS_CONTROL},          {MSG_SYNC, CLASS_CONTROL},  {MSG_HEARTBEAT, CLASS_CONTROL},
        {MSG_HEARTBEAT_ACK, CLASS_CONTROL}, {MSG_LIST, CLASS_CONTROL},  {MSG_PREPARE, CLASS_RING},
        {MSG_PROGRESS, CLASS_RING},         {MSG_PULL, CLASS_REPAIR},   {MSG_PURGE_REPLY, CLASS_REPAIR},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        assert_int_equal(message_class(kinds[i].type), kinds[i].class);
}

static void datagrams_say_whose_they_are(void **state)
{
    (void)state;
    struct message probe = {.type = MSG_NACK, .probe.from = 3};
    struct message beat = {.type = MSG_HEARTBEAT_ACK, .heartbeat.from = 4};
    struct message list = {.type = MSG_LIST, .from = 5};
    assert_int_equal(message_datagram_from(&probe), 3);
    assert_int_equal(message_datagram_from(&beat), 4);
    assert_int_equal(message_datagram_from(&list), 0); /* never travels as one */
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(member_state_name(MEMBER_ALIVE), "alive");
    assert_string_equal(member_state_name(MEMBER_SUSPECT), "suspect");
    assert_string_equal(member_state_name(MEMBER_DEAD), "dead");
    assert_string_equal(member_state_name(MEMBER_LEFT), "left");
    assert_string_equal(member_state_name((enum member_state)9), "?");
}

static void ring_states_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"none", "normal", "joining", "leaving", "left", "removed", "?"};
    for (int i = 0; i <= RING_STATE_REMOVED + 1; i++)
        assert_string_equal(ring_state_name((enum ring_state)i), names[i]);
}

static void clusters_differ_by_name_and_partitions(void **state)
{
    (void)state;
    assert_true(cluster_hash("a", 4096) == cluster_hash("a", 4096));
    assert_true(cluster_hash("a", 4096) != cluster_hash("b", 4096));
    assert_true(cluster_hash("a", 4096) != cluster_hash("a", 1024));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_released_with_its_message),
        cmocka_unit_test(a_ring_is_released_with_its_message),
        cmocka_unit_test(a_proposed_ring_is_released_with_its_message),
        cmocka_unit_test(packs_are_released_with_their_message),
        cmocka_unit_test(pages_release_their_rows),
        cmocka_unit_test(requests_weigh_their_keys),
        cmocka_unit_test(types_have_names),
        cmocka_unit_test(traffic_is_of_four_kinds),
        cmocka_unit_test(datagrams_say_whose_they_are),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test(ring_states_have_names),
        cmocka_unit_test(clusters_differ_by_name_and_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
